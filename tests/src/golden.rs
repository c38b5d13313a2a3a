//! Old repositories: what they are made of, so that what they hold can be told for ever.
//!
//! [`make`] writes two repositories, `plain` (suite `none`) and `sealed` (`aes256-gcm` under a passphrase), with two
//! archives each. They are kept as files; every later version must read them.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use gabion_backends::{Access, Location, OpenOptions, open};
use gabion_core::backend::Store;
use gabion_core::clock::{FixedClock, Timestamp};
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::id_hash::IdHash;
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::crypto::secret::Passphrase;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::repository::{Client, KeyLocation, NewRepository, NewSlot, Repository};

use crate::Random;

/// What opens the sealed repository.
pub const PASSPHRASE: &str = "golden";
/// The names of the archives, oldest first.
pub const ARCHIVES: [&str; 2] = ["first", "second"];

/// When the archives were begun, in seconds since 1970.
const STARTS: [i64; 2] = [1_790_000_000, 1_790_086_400];

/// Makes both repositories in `place`.
pub fn make(place: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(place)?;
    for (name, suite) in [("plain", Suite::None), ("sealed", Suite::Aes256Gcm)] {
        let passphrase = Passphrase::new(PASSPHRASE.into());
        let slot = NewSlot {
            passphrase: (suite != Suite::None).then_some(&passphrase),
            kdf: KdfParams::weak_for_tests(),
            label: "golden".to_owned(),
            location: KeyLocation::Repository,
        };
        let new = NewRepository { suite, id_hash: IdHash::default(), slot };
        let store = Store::new(open(&Location::Local(place.join(name)), Access::Create, &OpenOptions::default())?)?;
        let created = FixedClock(Timestamp::new(STARTS[0], 0));
        let repository = Repository::create(store, Client::default(), &new, &created)?;
        for (archive, start) in ARCHIVES.iter().zip(STARTS) {
            let source = tempfile::tempdir()?;
            make_source(&source.path().join("tree"), archive)?;
            let mut above = source.path().to_owned().into_os_string();
            above.push("/./tree");
            let plan = Plan::new([Path::new(&above)], Wanted::All);
            let options = CreateOptions {
                name: (*archive).to_owned(),
                comment: "made once, read for ever".to_owned(),
                tags: vec!["golden".to_owned()],
                host: "golden".to_owned(),
                user: "golden".to_owned(),
                ..CreateOptions::default()
            };
            let clock = FixedClock(Timestamp::new(start, 0));
            create(&repository, Input::Files(&plan), &options, &clock, &Silent::new())?;
        }
    }
    Ok(())
}

/// The source of an archive, at `root`, which must not exist. Never to be changed.
pub fn make_source(root: &Path, archive: &str) -> std::io::Result<()> {
    fs::create_dir_all(root.join("folder/below"))?;
    fs::write(root.join("inline"), format!("the {archive} archive"))?;
    fs::write(root.join("empty"), "")?;
    fs::write(root.join("folder/chunk"), Random::new(1).bytes(5_000))?;
    fs::write(root.join("folder/text"), "All work and no play makes a dull file. ".repeat(500))?;
    fs::write(root.join("folder/below/n\u{e4}me\n"), "odd")?;
    fs::hard_link(root.join("inline"), root.join("folder/linked"))?;
    symlink("../inline", root.join("folder/link"))?;
    let holes = File::create(root.join("holes"))?;
    holes.set_len(3 << 20)?;
    holes.write_all_at(&Random::new(2).bytes(4096), 1 << 20)?;
    if archive != ARCHIVES[0] {
        fs::write(root.join("news"), Random::new(3).bytes(3_000))?;
    }
    for name in ["inline", "empty", "folder/chunk", "folder/text", "folder/below/n\u{e4}me\n", "holes"] {
        let time = UNIX_EPOCH + Duration::new(1_600_000_000, name.len() as u32 * 1000);
        File::options().append(true).open(root.join(name))?.set_modified(time)?;
    }
    Ok(())
}
