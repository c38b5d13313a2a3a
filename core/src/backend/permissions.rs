//! What a client may do in a store: the table that every store with restricted clients follows.

use std::fmt;
use std::str::FromStr;

use super::ObjectName;
use crate::error::{Error, ErrorKind, Result};

/// What a client may do.
///
/// | objects | [`NoDelete`](Self::NoDelete) | [`WriteOnly`](Self::WriteOnly) |
/// |---|---|---|
/// | `index` `pending` `archives` `locks` | put, get, list | put, get, list |
/// | `segments` | put, get, list | put, list |
/// | everything else | get, list | get, list |
///
/// Under both nothing is replaced or deleted, and a name that exists takes no other bytes. The record of a removal is
/// something that is put; a client that must not destroy must not write one.
///
/// The more is refused, the greater the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permissions {
    /// Everything.
    #[default]
    All,
    /// Back up and restore, but destroy nothing.
    NoDelete,
    /// Back up, but read no data and destroy nothing.
    WriteOnly,
    /// Restore.
    ReadOnly,
}

/// What is asked of a store, as far as permissions tell it apart. Sizes belong to lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To put an object under a name of its own.
    Put,
    /// To replace an object.
    Replace,
    /// To read the bytes of an object.
    Get,
    /// To learn names and sizes.
    List,
    /// To delete an object.
    Delete,
}

/// Namespaces that grow while a client backs up.
const GROWING: [&str; 4] = ["index", "pending", "archives", "locks"];
const SEGMENTS: &str = "segments";

impl Permissions {
    /// All of them, the most powerful first.
    pub const ALL: [Self; 4] = [Self::All, Self::NoDelete, Self::WriteOnly, Self::ReadOnly];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::NoDelete => "no-delete",
            Self::WriteOnly => "write-only",
            Self::ReadOnly => "read-only",
        }
    }

    /// Whether a client may do this to the object of this name.
    pub fn allow(self, action: Action, name: &ObjectName) -> bool {
        let namespace = name.as_str().split('/').next().unwrap_or_default();
        let grows = name.as_str().contains('/') && (GROWING.contains(&namespace) || namespace == SEGMENTS);
        match (self, action) {
            (Self::All, _) | (_, Action::List) => true,
            (_, Action::Replace | Action::Delete) | (Self::ReadOnly, Action::Put) => false,
            (Self::NoDelete | Self::WriteOnly, Action::Put) => grows,
            (Self::WriteOnly, Action::Get) => namespace != SEGMENTS,
            (Self::NoDelete | Self::ReadOnly, Action::Get) => true,
        }
    }

    /// Whether a client may remove and replace objects.
    pub fn may_delete(self) -> bool {
        self == Self::All
    }

    /// Refuses what only a client with all permissions can do, before it begins with it.
    ///
    /// # Errors
    /// `PermissionDenied` with the fact `permissions`.
    pub fn require_all(self, operation: &'static str) -> Result<()> {
        if self == Self::All {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PermissionDenied, operation).with("permissions", self))
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Permissions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "understand permissions")
                .with("reason", "they are all, no-delete, write-only or read-only")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is allowed to whom: put, replace, get, list, delete, each for the four permissions in their order.
    const TABLE: [(&str, [&str; 4]); 14] = [
        ("config", ["prgld", "gl", "gl", "gl"]),
        ("keys/a", ["prgld", "gl", "gl", "gl"]),
        ("removed/a.b", ["prgld", "gl", "gl", "gl"]),
        ("gc/doom/a", ["prgld", "gl", "gl", "gl"]),
        ("gc/epoch/a", ["prgld", "gl", "gl", "gl"]),
        ("damage/a", ["prgld", "gl", "gl", "gl"]),
        ("reserve/0", ["prgld", "gl", "gl", "gl"]),
        ("later/a", ["prgld", "gl", "gl", "gl"]),
        ("segments", ["prgld", "gl", "l", "gl"]),
        ("index/0.a", ["prgld", "pgl", "pgl", "gl"]),
        ("pending/a", ["prgld", "pgl", "pgl", "gl"]),
        ("archives/a", ["prgld", "pgl", "pgl", "gl"]),
        ("locks/a", ["prgld", "pgl", "pgl", "gl"]),
        ("segments/a", ["prgld", "pgl", "pl", "gl"]),
    ];

    #[test]
    fn the_table_row_by_row() {
        let actions = [
            (Action::Put, 'p'),
            (Action::Replace, 'r'),
            (Action::Get, 'g'),
            (Action::List, 'l'),
            (Action::Delete, 'd'),
        ];
        for (name, allowed) in TABLE {
            let object = ObjectName::new(name).unwrap();
            for (permissions, letters) in Permissions::ALL.into_iter().zip(allowed) {
                for (action, letter) in actions {
                    let allowed = permissions.allow(action, &object);
                    assert_eq!(allowed, letters.contains(letter), "{permissions} {action:?} {name}");
                }
            }
        }
    }

    #[test]
    fn words_go_both_ways() {
        for permissions in Permissions::ALL {
            assert_eq!(permissions.to_string().parse::<Permissions>().unwrap(), permissions);
            assert_eq!(permissions.require_all("test").is_ok(), permissions.may_delete());
        }
        assert_eq!("append-only".parse::<Permissions>().unwrap_err().kind(), ErrorKind::InvalidInput);
        let refused = Permissions::NoDelete.require_all("compact").unwrap_err();
        assert_eq!(refused.context("permissions"), Some("no-delete"));
    }
}
