//! What may stand behind `-o`, from people and from `fstab`.

use anyhow::Result;
use gabion_fuse::{Access, MountOptions, Owners};

use crate::args::parse_mode;
use crate::commands::umount::SOURCE_MARK;
use crate::compat::MOUNT_SOURCE;
use crate::exit_code::Failure;

/// What `--help` says of the options.
pub const HELP: &str = "\
Options behind -o:
  versions            show the trees of all archives as one; in it, every file is a
                      directory with all versions of the file
  allow_other         let all users look at it (if not root, needs user_allow_other in
                      /etc/fuse.conf)
  allow_root          let root look at it
  ignore_permissions  who may look at it may read everything
  uid=N gid=N         files belong to this user, this group
  umask=M             take permissions away, octal
  dev suid noexec     as for mount(8); devices and set-user-id have no effect otherwise

In fstab, with a symbolic link `gabionfs` to this program in the PATH of mount(8):
  /path/to/repository  /mnt/backup  fuse.gabionfs  noauto,allow_other  0 0

Examples:
  gabion mount /mnt                              # all archives
  gabion mount -a 'sh:home-*' --last 3 /mnt
  gabion mount --archive home /mnt home/me/Documents
  gabion mount -o versions,umask=0277,uid=1000 /mnt
  gabion umount /mnt";

/// Options of `mount(8)` and `fstab` that mean nothing to a file system of this kind, or that are so anyway.
const WITHOUT_EFFECT: [&str; 25] = [
    "ro",
    "rw",
    "nodev",
    "nosuid",
    "exec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "sync",
    "async",
    "defaults",
    "auto",
    "noauto",
    "user",
    "users",
    "nouser",
    "owner",
    "nofail",
    "_netdev",
    "default_permissions",
    "allow_damaged_files",
];

/// The options that were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Show versions of files.
    pub versions: bool,
    owners: Owners,
    mount: MountOptions,
}

impl Given {
    /// Understands options; `texts` are the parts between commas.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let mut given = Self::default();
        for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            given.take(text)?;
        }
        Ok(given)
    }

    fn take(&mut self, text: &str) -> Result<()> {
        let number =
            |value: &str| value.parse().map_err(|_| Failure::command(format!("-o {text}: the value must be a number")));
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("versions", None) => self.versions = true,
            ("allow_other", None) => self.mount.access = Access::All,
            ("allow_root", None) => self.mount.access = Access::Root,
            ("ignore_permissions", None) => self.mount.ignore_permissions = true,
            ("dev", None) => self.mount.devices = true,
            ("suid", None) => self.mount.set_id = true,
            ("noexec", None) => self.mount.no_execution = true,
            ("uid", Some(value)) => self.owners.uid = Some(number(value)?),
            ("gid", Some(value)) => self.owners.gid = Some(number(value)?),
            ("umask", Some(value)) => {
                let mask = parse_mode(value).map_err(|what| Failure::command(format!("-o {text}: {what}")))?;
                self.owners.umask = mask;
            }
            ("max_read", Some(value)) => {
                number(value)?;
                self.mount.others.push(text.to_owned());
            }
            ("fsname", Some(value)) => self.mount.source = value.to_owned(),
            (_, None) if WITHOUT_EFFECT.contains(&name) => {}
            _ if name.starts_with("x-") || name == "comment" || name == "subtype" => {}
            _ => {
                let known =
                    "versions, allow_other, allow_root, ignore_permissions, uid=, gid=, umask=, dev, suid, noexec";
                return Err(Failure::command(format!("-o {text} is no option of mount; known are: {known}")).into());
            }
        }
        Ok(())
    }

    /// Whose files are.
    pub fn owners(&self, numeric_ids: bool) -> Owners {
        Owners { numeric_ids, ..self.owners.clone() }
    }

    /// How to mount what lies at `location`.
    pub fn mount_options(&self, location: &str) -> MountOptions {
        let mut options = self.mount.clone();
        if options.source.is_empty() {
            options.source = location.to_owned();
        }
        if options.source == MOUNT_SOURCE {
            return options;
        }
        // By this `umount` knows what is its own; a comma would begin another option.
        options.source = format!("{SOURCE_MARK}{}", options.source.replace(',', "_"));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Given> {
        Given::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_understood() {
        let given = parsed("versions,allow_other,uid=7,gid=8,umask=0277,noexec").unwrap();
        assert!(given.versions);
        assert_eq!(given.owners(true), Owners { uid: Some(7), gid: Some(8), umask: 0o277, numeric_ids: true });
        let options = given.mount_options("/a,b");
        assert_eq!(
            (options.access, options.source.as_str(), options.no_execution),
            (Access::All, "gabionfs#/a_b", true)
        );
        assert!(!options.devices && !options.set_id && !options.ignore_permissions);
        let fstab = parsed("rw,noauto,nofail,_netdev,x-systemd.automount,dev,suid,fsname=backup").unwrap();
        let options = fstab.mount_options("/repo");
        assert!(options.devices && options.set_id);
        assert_eq!(options.source, "gabionfs#backup");
        assert_eq!(parsed("").unwrap(), Given::default());
    }

    #[test]
    fn nonsense_is_told() {
        for (text, part) in
            [("uid=x", "number"), ("umask=999", "octal"), ("version", "known are"), ("uid", "known are")]
        {
            let error = parsed(text).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(crate::exit_code::of_error(&error).rc, 4);
        }
    }
}
