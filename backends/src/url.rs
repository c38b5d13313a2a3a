//! The pieces of a URL: `//user:password@host:port/path?name=value`, percent-decoded.
//!
//! Errors never repeat what was written, because it may contain a password; names of parameters are no secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use gabion_core::error::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// The error of a location that can not be understood.
pub(crate) fn invalid(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "understand location").with("reason", reason)
}

/// A text that is never shown: a password, an access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for whoever has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What stands behind `scheme:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Url {
    pub user: Option<String>,
    pub password: Option<Hidden>,
    /// Without the brackets of an IPv6 address; empty if there is none.
    pub host: String,
    pub port: Option<u16>,
    /// Empty, or with its leading slash.
    pub path: String,
    pub parameters: Parameters,
}

impl Url {
    /// Takes apart what stands behind `scheme:`, which begins with `//`.
    pub fn parse(rest: &str) -> Result<Self> {
        let rest = rest.strip_prefix("//").ok_or_else(|| invalid("two slashes must follow the scheme"))?;
        let (rest, parameters) = split_parameters(rest)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (user, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((user, password)) => (Some(decoded(user)?), Some(Hidden::new(decoded(password)?))),
            None => (None, None),
        };
        let (host, port) = host_and_port(place)?;
        Ok(Self {
            user: user.filter(|user| !user.is_empty()),
            password: password.filter(|password| !password.expose().is_empty()),
            host,
            port,
            path: decoded(path)?,
            parameters,
        })
    }
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| invalid("a bracket of the host is not closed"))?;
            match rest.strip_prefix(':') {
                Some(port) => (host.to_owned(), Some(port)),
                None if rest.is_empty() => (host.to_owned(), None),
                None => return Err(invalid("something stands behind the host")),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (decoded(host)?, Some(port)),
            None => (decoded(place)?, None),
        },
    };
    let number = |port: &str| port.parse().ok().filter(|port| *port > 0);
    let port = port.map(|port| number(port).ok_or_else(|| invalid("the port is no number from 1 to 65535")));
    Ok((host, port.transpose()?))
}

/// Cuts `?name=value&...` off the end of a location.
pub(crate) fn split_parameters(text: &str) -> Result<(&str, Parameters)> {
    match text.split_once('?') {
        Some((before, parameters)) => Ok((before, Parameters::parse(parameters)?)),
        None => Ok((text, Parameters::default())),
    }
}

/// What stands behind the `?`. A store takes what it knows; what is left over is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(BTreeMap<String, Hidden>);

impl Parameters {
    fn parse(text: &str) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, Hidden::new(decoded(value)?));
            if parameters.insert(name.clone(), value).is_some() {
                return Err(invalid("a parameter is given twice").with("parameter", name.escape_debug()));
            }
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter; it counts as known.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|value| value.expose().to_owned())
    }

    /// The value of a parameter as a number, a truth value, or whatever reads itself from text.
    pub fn take_as<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>> {
        let wrong = |_| invalid("the value of a parameter makes no sense").with("parameter", name);
        self.take(name).map(|value| value.parse().map_err(wrong)).transpose()
    }

    /// Refuses the first parameter nobody took.
    pub fn finish(self) -> Result<()> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid("unknown parameter").with("parameter", name.escape_debug())),
        }
    }
}

/// Text whose percent signs are resolved; neither NUL nor broken UTF-8 comes out of it.
pub(crate) fn decoded(text: &str) -> Result<String> {
    let text = String::from_utf8(decoded_bytes(text)?);
    text.map_err(|_| invalid("a percent sign leads to what is no UTF-8"))
}

/// Bytes whose percent signs are resolved; NUL is refused.
pub(crate) fn decoded_bytes(text: &str) -> Result<Vec<u8>> {
    let digit = |c: Option<&u8>| c.and_then(|c| char::from(*c).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => (high << 4 | low) as u8,
                _ => return Err(invalid("a percent sign without two digits")),
            },
            plain => plain,
        });
    }
    if out.contains(&0) {
        return Err(invalid("location contains a NUL"));
    }
    Ok(out)
}

/// The reverse of [`decoded`]: everything but letters, digits and `-._~/` becomes a percent sign and two digits.
pub(crate) fn encoded(text: impl AsRef<[u8]>) -> String {
    let mut out = String::with_capacity(text.as_ref().len());
    for &byte in text.as_ref() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart() {
        let url = Url::parse("//me%40x:hun%74er2@host.example:2222/a%20b/./c?x=1%262&y").unwrap();
        assert_eq!((url.user.as_deref(), url.host.as_str(), url.port), (Some("me@x"), "host.example", Some(2222)));
        assert_eq!(url.password.as_ref().unwrap().expose(), "hunter2");
        assert_eq!(url.path, "/a b/./c");
        let mut parameters = url.parameters.clone();
        assert_eq!((parameters.take("x").as_deref(), parameters.take("y").as_deref()), (Some("1&2"), Some("")));
        parameters.finish().unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        let url = Url::parse("//[::1]:6379").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", Some(6379), ""));
        let url = Url::parse("///0").unwrap();
        assert_eq!((url.host.as_str(), url.path.as_str(), url.user), ("", "/0", None));
    }

    #[test]
    fn parameters_are_typed_and_unknown_ones_refused_by_name() {
        let parameters = || Url::parse("//h?n=5&b=true&t=hunter2").unwrap().parameters;
        let mut known = parameters();
        assert_eq!((known.take_as::<u16>("n").unwrap(), known.take_as::<bool>("b").unwrap()), (Some(5), Some(true)));
        let error = parameters().take_as::<u16>("t").unwrap_err();
        assert_eq!(error.context("parameter"), Some("t"));
        let left = known.finish().unwrap_err();
        assert_eq!(left.context("parameter"), Some("t"));
        for error in [error, left] {
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn nonsense_is_refused_without_being_repeated() {
        for text in [
            "h",
            "/h",
            "//h:x/hunter2",
            "//h:0/",
            "//h:99999/",
            "//[::1/hunter2",
            "//[::1]x",
            "//h/%",
            "//h/%a",
            "//h/%zz",
            "//h/%00",
            "//h/%ff",
            "//h?a=1&a=hunter2",
            "//u:hunter2%@h",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let text = "a b/ü%?&=+,~";
        assert_eq!(encoded(text), "a%20b/%C3%BC%25%3F%26%3D%2B%2C~");
        assert_eq!(decoded(&encoded(text)).unwrap(), text);
    }
}
