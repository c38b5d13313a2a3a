//! Types, permissions and flags of files, as `ls` shows them.

use gabion_core::archive::metadata::{FileType, flag};

/// The first letter of a mode.
pub fn type_letter(file_type: FileType) -> char {
    match file_type {
        FileType::File => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::BlockDevice => 'b',
        FileType::CharacterDevice => 'c',
        FileType::Fifo => 'p',
    }
}

/// `-rwxr-xr-x`, as `ls` has it.
pub fn mode_text(file_type: FileType, mode: u32) -> String {
    let mut text = String::from(type_letter(file_type));
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

/// The names of the flags that are set.
pub fn flags_text(flags: u32) -> String {
    let known = [
        (flag::IMMUTABLE, "immutable"),
        (flag::APPEND, "append"),
        (flag::NODUMP, "nodump"),
        (flag::COMPRESSED, "compressed"),
    ];
    let set = known.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_ls() {
        for (file_type, mode, text) in [
            (FileType::File, 0o644, "-rw-r--r--"),
            (FileType::Directory, 0o1777, "drwxrwxrwt"),
            (FileType::File, 0o4755, "-rwsr-xr-x"),
            (FileType::File, 0o7000, "---S--S--T"),
            (FileType::Symlink, 0o777, "lrwxrwxrwx"),
            (FileType::Fifo, 0o2710, "prwx--s---"),
        ] {
            assert_eq!(mode_text(file_type, mode), text);
        }
    }

    #[test]
    fn flags_are_named() {
        assert_eq!(flags_text(0), "");
        assert_eq!(flags_text(flag::ALL), "immutable,append,nodump,compressed");
    }
}
