//! Placeholders in repository URLs, archive names and comments: `{hostname}-{now:%Y-%m-%d}`.

use gabion_core::clock::Timestamp;
use jiff::tz::TimeZone;

use crate::account::Account;
use crate::environment::Environment;
use crate::exit_code::{Failure, INVALID_PLACEHOLDER, PLACEHOLDER_ERROR};
use crate::output::format::{Piece, Spec, pieces};
use crate::output::time;

/// What the placeholders stand for.
#[derive(Clone, Debug)]
pub struct Placeholders {
    /// The machine's name, without domain.
    pub hostname: String,
    /// The machine's full name.
    pub fqdn: String,
    /// The user's name.
    pub user: String,
    /// The number of the process.
    pub pid: u32,
    /// The moment of the start; all placeholders of one run agree.
    pub now: Timestamp,
    /// The local zone.
    pub zone: TimeZone,
}

impl Placeholders {
    /// What they stand for on this machine.
    pub fn of_machine(environment: &Environment, now: Timestamp) -> Result<Self, Failure> {
        let node = node_name();
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let fqdn = full_name(&node, &hosts);
        let short = fqdn.split('.').next().unwrap_or_default();
        Ok(Self {
            hostname: environment.hostname()?.unwrap_or(short).to_owned(),
            user: match environment.username()? {
                Some(name) => name.to_owned(),
                None => user_name(environment),
            },
            fqdn,
            pid: std::process::id(),
            now,
            zone: time::local(),
        })
    }

    /// Puts the values in.
    ///
    /// # Errors
    /// With return code 6 for an unknown placeholder, 5 for one that can not be formatted as asked.
    pub fn replace(&self, text: &str) -> Result<String, Failure> {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::new(PLACEHOLDER_ERROR, format!("invalid placeholder in `{text}`: {why}"))
        };
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text).map_err(|error| wrong(&error))? {
            match piece {
                Piece::Literal(literal) => out.push_str(&literal),
                Piece::Field { key: key @ ("now" | "utcnow"), spec } => {
                    let zone = if key == "now" { &self.zone } else { &TimeZone::UTC };
                    let format = if spec.is_empty() { "%Y-%m-%dT%H:%M:%S" } else { spec };
                    out.push_str(&time::strftime(self.now, zone, format)?);
                }
                Piece::Field { key, spec } => {
                    let value = self.value(key).ok_or_else(|| unknown(key, text))?;
                    out.push_str(&Spec::parse(spec).map_err(|error| wrong(&error))?.pad(&value));
                }
            }
        }
        Ok(out)
    }

    fn value(&self, key: &str) -> Option<String> {
        let version = env!("PROGRAM_VERSION");
        // Without what says that it comes before a version, or after.
        let number = version.split(['-', '+']).next().unwrap_or(version);
        let first = |parts| number.split('.').take(parts).collect::<Vec<_>>().join(".");
        Some(match key {
            "hostname" => self.hostname.clone(),
            "fqdn" => self.fqdn.clone(),
            "reverse-fqdn" => self.fqdn.split('.').rev().collect::<Vec<_>>().join("."),
            "user" => self.user.clone(),
            "pid" => self.pid.to_string(),
            "unixtime" => self.now.seconds.to_string(),
            "gabionversion" | "borgversion" => version.to_owned(),
            "gabionmajor" | "borgmajor" => first(1),
            "gabionminor" | "borgminor" => first(2),
            "gabionpatch" | "borgpatch" => first(3),
            _ => return None,
        })
    }
}

fn unknown(key: &str, text: &str) -> Failure {
    Failure::new(
        INVALID_PLACEHOLDER,
        format!(
            "unknown placeholder `{{{key}}}` in `{text}`, known are: hostname, fqdn, reverse-fqdn, now, utcnow, user, \
             pid, unixtime, gabionversion, gabionmajor, gabionminor, gabionpatch"
        ),
    )
}

/// Without a name it is the number.
fn user_name(environment: &Environment) -> String {
    let name = Account::of_process().map(|account| account.name);
    name.or_else(|| environment.login_name().map(str::to_owned)).unwrap_or_else(user_number)
}

#[cfg(unix)]
fn user_number() -> String {
    rustix::process::getuid().as_raw().to_string()
}

#[cfg(not(unix))]
fn user_number() -> String {
    "unknown".to_owned()
}

#[cfg(unix)]
fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn node_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

/// The full name of the machine: its own if that has a domain, else the first with one in the
/// table of hosts. No name server is asked: a backup must not wait for one.
fn full_name(node: &str, hosts: &str) -> String {
    if node.contains('.') {
        return node.to_owned();
    }
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.map(|line| line.split_ascii_whitespace().skip(1).collect::<Vec<_>>());
    let full = names.filter(|names| names.contains(&node)).find_map(|names| {
        let belongs = |name: &&str| name.strip_prefix(node).is_some_and(|rest| rest.starts_with('.'));
        names.into_iter().find(belongs)
    });
    full.unwrap_or(node).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders() -> Placeholders {
        Placeholders {
            hostname: "pc".to_owned(),
            fqdn: "pc.example.org".to_owned(),
            user: "leo".to_owned(),
            pid: 42,
            now: Timestamp::new(1_795_379_400, 123_456_000),
            zone: TimeZone::posix("CET-1").unwrap(),
        }
    }

    #[test]
    fn values_are_put_in() {
        let version = env!("PROGRAM_VERSION");
        for (text, expected) in [
            ("plain", "plain"),
            ("{hostname}-{user}", "pc-leo"),
            ("{fqdn} {reverse-fqdn}", "pc.example.org org.example.pc"),
            ("{now}", "2026-11-22T21:30:00"),
            ("{utcnow}", "2026-11-22T20:30:00"),
            ("{now:%Y-%m-%dT%H:%M:%S.%f}", "2026-11-22T21:30:00.123456"),
            ("{utcnow:%H}", "20"),
            ("{pid} {unixtime}", "42 1795379400"),
            ("{{now}}", "{now}"),
            ("{user:>5}", "  leo"),
            ("{gabionversion}", version),
            ("{borgpatch}", version.split(['-', '+']).next().unwrap()),
        ] {
            assert_eq!(placeholders().replace(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_have_codes() {
        for (text, rc) in
            [("{nosuch}", 6), ("{now!r}", 6), ("{", 5), ("}", 5), ("{}", 5), ("{now:%!}", 5), ("{user:x y}", 5)]
        {
            assert_eq!(placeholders().replace(text).unwrap_err().code.rc, rc, "{text}");
        }
    }

    #[test]
    fn full_names_come_from_the_machine_or_the_table() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tpc.example.org pc # me\n10.0.0.1 x.org other\n";
        for (node, full) in
            [("pc", "pc.example.org"), ("a.b", "a.b"), ("none", "none"), ("localhost", "localhost"), ("other", "other")]
        {
            assert_eq!(full_name(node, hosts), full);
        }
    }

    #[test]
    fn the_environment_overrides_the_machine() {
        let pairs = [("GABION_HOSTNAME", "other"), ("GABION_USERNAME", "max")];
        let environment = Environment::new(pairs.map(|(name, value)| (name.into(), value.into())));
        let found = Placeholders::of_machine(&environment, Timestamp::new(0, 0)).unwrap();
        assert_eq!((&*found.hostname, &*found.user), ("other", "max"));
        assert!(!Placeholders::of_machine(&Environment::default(), found.now).unwrap().hostname.is_empty());
    }
}
