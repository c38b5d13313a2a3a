//! Where the program keeps things, by the XDG base directory rules.

use std::path::PathBuf;

use crate::environment::Environment;
use crate::exit_code::Failure;

/// The directories of one user. None is made before something is put into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// What can be made again: indexes, lists of files.
    pub cache: PathBuf,
    /// What people write: the configuration file.
    pub config: PathBuf,
    /// What is remembered of repositories.
    pub data: PathBuf,
    /// Key files.
    pub keys: PathBuf,
}

impl Directories {
    /// The directories the environment asks for; `home` is used when it does not name a home directory.
    ///
    /// `GABION_x_DIR` wins, then `GABION_BASE_DIR` as home directory, then an absolute `XDG_x_HOME`, then home.
    pub fn new(environment: &Environment, home: Option<PathBuf>) -> Result<Self, Failure> {
        let base = environment.path("GABION_BASE_DIR");
        let home = base.clone().or_else(|| environment.path("HOME")).or(home);
        let find = |own: &str, xdg: &str, in_home: &str| {
            if let Some(path) = environment.path(own) {
                return Ok(path);
            }
            let xdg = environment.path(xdg).filter(|path| base.is_none() && path.is_absolute());
            let parent = xdg.or_else(|| home.as_deref().map(|home| home.join(in_home)));
            parent
                .map(|parent| parent.join("gabion"))
                .ok_or_else(|| Failure::command(format!("no home directory: set HOME or {own}")))
        };
        let config = find("GABION_CONFIG_DIR", "XDG_CONFIG_HOME", ".config")?;
        Ok(Self {
            cache: find("GABION_CACHE_DIR", "XDG_CACHE_HOME", ".cache")?,
            data: find("GABION_DATA_DIR", "XDG_DATA_HOME", ".local/share")?,
            keys: environment.path("GABION_KEYS_DIR").unwrap_or_else(|| config.join("keys")),
            config,
        })
    }
}

impl Directories {
    /// Copies of stored objects.
    pub fn objects(&self) -> PathBuf {
        self.cache.join("objects")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(pairs: &[(&str, &str)], home: Option<&str>) -> Result<[String; 4], Failure> {
        let environment = Environment::new(pairs.iter().map(|(name, value)| (name.into(), value.into())));
        let found = Directories::new(&environment, home.map(PathBuf::from))?;
        Ok([found.cache, found.config, found.data, found.keys].map(|path| path.to_str().unwrap().to_owned()))
    }

    #[test]
    fn the_nearest_wish_wins() {
        type Row<'a> = (&'a [(&'a str, &'a str)], [&'a str; 4]);
        let rows: &[Row<'_>] = &[
            (&[], ["/h/.cache/gabion", "/h/.config/gabion", "/h/.local/share/gabion", "/h/.config/gabion/keys"]),
            (
                &[("HOME", "/u"), ("XDG_CACHE_HOME", "/c"), ("XDG_CONFIG_HOME", "relative")],
                ["/c/gabion", "/u/.config/gabion", "/u/.local/share/gabion", "/u/.config/gabion/keys"],
            ),
            (
                &[("GABION_BASE_DIR", "/b"), ("HOME", "/u"), ("XDG_CACHE_HOME", "/c"), ("GABION_KEYS_DIR", "/k")],
                ["/b/.cache/gabion", "/b/.config/gabion", "/b/.local/share/gabion", "/k"],
            ),
            (
                &[("GABION_CONFIG_DIR", "/conf"), ("GABION_CACHE_DIR", "c"), ("XDG_DATA_HOME", "/d")],
                ["c", "/conf", "/d/gabion", "/conf/keys"],
            ),
        ];
        for (pairs, expected) in rows {
            assert_eq!(directories(pairs, Some("/h")).unwrap(), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn without_a_home_all_must_be_named() {
        assert_eq!(directories(&[("GABION_CACHE_DIR", "/c")], None).unwrap_err().code.rc, 4);
        let all = [("GABION_CACHE_DIR", "/c"), ("GABION_CONFIG_DIR", "/f"), ("GABION_DATA_DIR", "/d")];
        assert_eq!(directories(&all, None).unwrap(), ["/c", "/f", "/d", "/f/keys"]);
    }
}
