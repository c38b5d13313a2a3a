//! Who runs the program, by the table of users.

use std::path::PathBuf;

/// An entry of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The home directory, if there is one.
    pub home: Option<PathBuf>,
}

impl Account {
    /// The one of this process.
    #[cfg(unix)]
    pub fn of_process() -> Option<Self> {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::find(rustix::process::getuid().as_raw(), &users)
    }

    /// The one of this process: there is no table here.
    #[cfg(not(unix))]
    pub fn of_process() -> Option<Self> {
        None
    }

    fn find(uid: u32, users: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            (fields.nth(1)?.parse() == Ok(uid)).then(|| {
                let home = fields.nth(2).filter(|home| home.starts_with('/')).map(PathBuf::from);
                Self { name, home }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbad line\nleo:x:1000:1000::/home/leo:/bin/sh\nold:x:7:7:\n";
        let found = |uid| Account::find(uid, users).map(|Account { name, home }| (name, home));
        assert_eq!(found(1000), Some(("leo".to_owned(), Some("/home/leo".into()))));
        assert_eq!((found(7), found(8)), (Some(("old".to_owned(), None)), None));
    }
}
