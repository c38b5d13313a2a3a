//! README.md and docs: what they tell people to type is there, and works.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::place::{PROGRAM, Place};

/// The top of the project.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap()
}

/// The contents of all fenced blocks with exactly this word behind the fence.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    text.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// A machine of its own for the commands of a page: a home directory, disks, stand-ins for programs.
pub struct Machine(TempDir);

/// Where pages have their files. In a script each stands for the same place below the directory of the machine.
const ROOTS: [&str; 8] = ["/mnt/", "/tmp/", "/root/", "/home", "/etc", "/srv/", "/var/lib/", "/dev/vg0/"];

impl Machine {
    pub fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for folder in ["mnt/disk", "mnt/second", "mnt/1", "mnt/2", "mnt/3", "srv", "tmp", "bin", "root/.ssh"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        machine.file("root/Documents/notes.txt", b"notes\n");
        machine.file("root/Pictures/a.jpg", &[7; 3000]);
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    /// Makes something that stands in for a program this machine need not have.
    fn program(&self, name: &str, script: &str) {
        let name = format!("bin/{name}");
        self.file(&name, self.moved(&format!("#!/bin/sh\n{script}\n")).as_bytes());
        fs::set_permissions(self.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The script with all paths moved below the directory of the machine.
    fn moved(&self, script: &str) -> String {
        let (mut out, mut rest) = (String::new(), script);
        while let Some(first) = rest.chars().next() {
            let end = match ROOTS.iter().any(|root| rest.starts_with(root)) {
                true => {
                    out.push_str(&self.0.path().display().to_string());
                    rest.find([' ', '\n', '\'', '"', ',', ')']).unwrap_or(rest.len())
                }
                false => first.len_utf8(),
            };
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        out
    }

    /// A shell for the script, started with these options.
    pub fn shell(&self, options: &str, script: &str) -> Command {
        let programs = Path::new(PROGRAM).parent().unwrap().display().to_string();
        let path = format!("{}:{programs}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell
            .args([options, &self.moved(script)])
            .current_dir(self.0.path())
            .env("HOME", self.path("root"))
            .env("PATH", path);
        for variable in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            shell.env_remove(variable);
        }
        shell
    }

    /// Runs the script in one shell that ends with the first failure; what it said on standard output.
    fn run(&self, script: &str) -> String {
        let output = self.shell("-euxc", script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn the_tour_runs_as_it_stands() {
    let readme = page("README.md");
    let tour = readme.split_once("## Five minutes").unwrap().1;
    let mut blocks = blocks(tour.split_once("\n## ").unwrap().0, "sh");
    if !gabion_tests::can_mount("mounting in the tour") {
        blocks.retain(|block| !block.contains("gabion mount"));
    }
    assert!(blocks.len() >= 4, "the tour has lost its commands");

    let machine = Machine::new();
    machine.program("pg_dump", "echo \"dump of $1\"");
    let told = machine.run(&blocks.concat());
    assert!(told.contains("notes\n"), "{told}");
    let home = machine.path("root").display().to_string();
    let notes = machine.path(&format!("tmp/restored{home}/Documents/notes.txt"));
    assert_eq!(fs::read_to_string(notes).unwrap(), "notes\n");
    assert!(fs::read_to_string(machine.path("key.txt")).unwrap().starts_with("GABION_KEY"));
}

#[test]
fn the_cookbook_runs_as_it_stands() {
    let cookbook = page("docs/cookbook.md");
    let machine = Machine::new();
    machine.file("root/.gabion-passphrase", b"correct horse\n");
    machine.file("etc/hosts", b"127.0.0.1 localhost\n");
    machine.file("home/ada/letter.txt", b"Dear Charles\n");
    machine.file("var/lib/node_exporter/other.prom", b"");
    machine.file("var/lib/app/app.db", b"not asked for");
    machine.file("var/lib/libvirt/images/a.qcow2", &[3; 5_000_000]);
    let disk: Vec<u8> = (0..9_000_000_u32).map(|at| (at / 4096) as u8).collect();
    machine.file("dev/vg0/root", &disk);
    for program in ["pg_dump", "pg_dumpall", "mysqldump", "sqlite3"] {
        machine.program(program, &format!("echo \"{program} $*\""));
    }
    machine.program("psql", "cat > /tmp/psql-$1");
    machine.program("lvcreate", "cp /dev/vg0/root /dev/vg0/root-snapshot");
    machine.program("lvremove", "rm /dev/vg0/root-snapshot");
    // does what sshd does: the command of the key, whatever was asked for
    machine.program("ssh", "exec $(sed -n 's/^command=\"\\([^\"]*\\)\".*/\\1/p' ~/.ssh/authorized_keys)");
    let profile = machine.moved(blocks(&cookbook, "toml").first().unwrap());
    machine.file("root/.config/gabion/config.toml", profile.as_bytes());

    let script = blocks(&cookbook, "sh");
    assert!(script.len() >= 18, "the cookbook has lost recipes");
    machine.run(&script.concat());
    assert_eq!(fs::read_to_string(machine.path("tmp/psql-shop")).unwrap(), "pg_dump shop\n");
    assert_eq!(fs::read(machine.path("dev/vg0/root")).unwrap(), disk);
    let home = machine.path("root").display().to_string();
    let notes = machine.path(&format!("tmp/drill/out{home}/Documents/notes.txt"));
    assert_eq!(fs::read_to_string(notes).unwrap(), "notes\n");

    // a thief of the laptop's key deletes nothing
    let thief = "export GABION_PASSCOMMAND='cat /root/.gabion-passphrase'\n\
        gabion -r ssh://backup@nas.example/srv/backup/laptop delete home && exit 1\n\
        gabion -r /srv/backup/laptop repo-list --short";
    assert_eq!(machine.run(thief), "home\n");
}

/// All pages, with their names.
fn pages() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    let mut waiting = vec!["docs".to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(project().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().display());
            match entry.file_type().unwrap().is_dir() {
                true => waiting.push(name),
                false => names.push(name),
            }
        }
    }
    // that is the help itself
    names.retain(|name| name != "docs/cli.md");
    names.sort();
    names.into_iter().map(|name| (name.clone(), page(&name))).collect()
}

/// What a page tells to type, each from behind `gabion` to the end of the command.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("gabion ") {
        let before = &text[..start];
        // there the word is an argument
        let other = ["cargo test -p ", "secret-tool lookup "].iter().any(|program| before.ends_with(program));
        let typed = !other && before.chars().next_back().is_none_or(|last| " `\"'(/=\n".contains(last));
        let line =
            text[start + "gabion ".len()..].split(['\n', '`', '|', '&', ';', '#', '"', '(', '>']).next().unwrap();
        let mut words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        if words.first() == Some(&"-r") {
            words.drain(..words.len().min(2));
        }
        let verb = words.first().copied().unwrap_or_default();
        // prose about the program goes on with a word, too: commands of pages stand in code
        let in_code = before.matches('`').count() % 2 == 1;
        if typed
            && in_code
            && verb.starts_with(|c: char| c.is_ascii_lowercase())
            && verb.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        {
            found.push(words);
        }
    }
    found
}

#[test]
fn what_pages_tell_to_type_is_there() {
    let place = Place::bare();
    let mut helps: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    let pages = pages();
    let mut seen = 0;
    for (name, text) in &pages {
        for words in commands(text) {
            let group = matches!(words[0], "key" | "debug" | "cache" | "benchmark") && words.len() > 1;
            let verb = words[..1 + usize::from(group)].to_vec();
            let help = helps.entry(verb.clone()).or_insert_with(|| {
                let run = place.run(&[&["help"], &verb[..]].concat());
                assert_eq!(run.rc, 0, "{name}: gabion {}: {}", words.join(" "), run.err);
                run.out
            });
            // what follows `--` belongs to another program
            for option in words.iter().take_while(|word| **word != "--").filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().unwrap().trim_end_matches([',', ']', ')', '.']);
                let known = help.split([' ', ',', '\n', ']', '`']).any(|word| word == option);
                assert!(known, "{name}: gabion {}: there is no {option}", words.join(" "));
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "only {seen} options were found in all pages");
}

#[test]
fn commands_of_a_page_are_found() {
    let text = "gabion keeps. `gabion create --list a`, `x | gabion -r @b prune`\n```sh\ngabion key export --paper # x\n\
        gabion-core `BLAKE3(\"gabion 1 x\")`\n```\n";
    let found: Vec<String> = commands(text).iter().map(|words| words.join(" ")).collect();
    assert_eq!(found, ["create --list a", "prune", "key export --paper"]);
}
