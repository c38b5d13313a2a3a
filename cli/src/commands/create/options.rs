//! From what was typed to the options of the engine.

use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;

use anyhow::Result;
use gabion_core::fs::attributes::AttributeOptions;
use gabion_core::fs::stat::MetadataOptions;
use gabion_core::ops::create::{Change, Compare, CreateOptions, Rules};

use super::Args;
use crate::archives;
use crate::context::Context;
use crate::date::parse_moment_or_file;
use crate::exit_code::Failure;
use crate::output::units;

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        units::parse(text).map(Self)
    }
}

/// What a file must keep not to be read again.
#[derive(Clone, Debug)]
pub struct FilesCache(Compare);

impl FromStr for FilesCache {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let mut compare = Compare { changed: false, modified: false, size: false, inode: false, always_read: false };
        for word in text.split(',').map(str::trim) {
            match word {
                // a time of modification does not change without the time of change
                "ctime" => (compare.changed, compare.modified) = (true, true),
                "mtime" => compare.modified = true,
                "size" => compare.size = true,
                "inode" => compare.inode = true,
                "disabled" | "rechunk" => compare.always_read = true,
                _ => {
                    let known = "ctime, mtime, size, inode, rechunk, disabled";
                    return Err(Failure::command(format!("`{word}` is none of {known}")));
                }
            }
        }
        if !compare.always_read && !compare.modified {
            return Err(Failure::command("one of ctime and mtime is needed, or disabled"));
        }
        Ok(Self(compare))
    }
}

/// By what a file shows that it changed while it was read.
#[derive(Clone, Copy, Debug)]
pub struct ChangeSign(Change);

impl FromStr for ChangeSign {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        Ok(Self(match text {
            "ctime" => Change::Changed,
            "mtime" => Change::Modified,
            "disabled" => Change::Disabled,
            _ => return Err(Failure::command(format!("`{text}` is none of ctime, mtime, disabled"))),
        }))
    }
}

impl Args {
    /// Everything but the patterns, the paths, and what is never read.
    pub(super) fn options(&self, context: &Context) -> Result<CreateOptions> {
        let writer = self.resources.writer(context, self.archive.compression, Some(self.archive.chunker_params))?;
        Ok(CreateOptions {
            name: archives::new_name(context, &self.name)?,
            comment: context.placeholders.replace(&self.archive.comment)?,
            tags: self.archive.tags.iter().filter(|tag| !tag.is_empty()).cloned().collect(),
            timestamp: self
                .archive
                .timestamp
                .as_deref()
                .map(|text| parse_moment_or_file(text, context.zone()))
                .transpose()?,
            host: context.placeholders.hostname.clone(),
            user: context.placeholders.user.clone(),
            working_directory: std::env::current_dir().ok().map(|path| path.as_os_str().as_bytes().to_vec()),
            command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            chunker: self.archive.chunker_params,
            writer,
            rules: self.rules(),
            metadata: MetadataOptions {
                atime: self.files.atime,
                birthtime: !self.files.nobirthtime,
                numeric_ids: self.files.numeric_ids,
                flags: !self.files.noflags,
            },
            attributes: AttributeOptions { xattrs: !self.files.noxattrs, acls: !self.files.noacls },
            compare: self.files.files_cache.0,
            change: self.files.files_changed.0,
            read_special: self.files.read_special,
            ..CreateOptions::default()
        })
    }

    fn rules(&self) -> Rules {
        let tags = &self.tags;
        Rules {
            one_file_system: self.files.one_file_system,
            exclude_caches: tags.exclude_caches,
            exclude_if_present: tags.exclude_if_present.iter().map(|name| name.as_bytes().to_vec()).collect(),
            keep_exclude_tags: tags.keep_exclude_tags,
            exclude_larger_than: self.files.exclude_larger_than.map(|size| size.0),
            git_ignore: self.files.git_ignore,
            ..Rules::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_of_comparison() {
        let compare = |text: &str| text.parse::<FilesCache>().map(|mode| mode.0);
        assert_eq!(compare("ctime,size,inode").unwrap(), Compare::default());
        let mtime = Compare { changed: false, modified: true, size: true, inode: false, always_read: false };
        assert_eq!(compare("mtime,size").unwrap(), mtime);
        assert!(compare("disabled").unwrap().always_read && compare("rechunk,ctime").unwrap().always_read);
        assert_eq!(compare("size").unwrap_err().code.rc, 4);
        assert_eq!(compare("colour").unwrap_err().code.rc, 4);
    }
}
