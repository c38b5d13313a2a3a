//! Values of msgpack as Borg 1 writes them: maps by raw strings, text as raw bytes.

use rmpv::Value;

use super::damaged;
use crate::error::Result;

/// Levels of values within each other.
const DEPTH_MAX: usize = 32;

/// A decoded map.
#[derive(Debug)]
pub(super) struct Map(Vec<(Value, Value)>);

impl Map {
    /// Reads one map from the front of `bytes` and tells how long it was; `None` if `bytes` ends within it.
    pub fn take(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut rest = bytes;
        match rmpv::decode::read_value_with_max_depth(&mut rest, DEPTH_MAX) {
            Ok(Value::Map(pairs)) => Ok(Some((Self(pairs), bytes.len() - rest.len()))),
            Ok(_) => Err(damaged("record is no map")),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(damaged("record is no msgpack").because(error)),
        }
    }

    /// Reads a map that is all of `bytes`.
    pub fn whole(bytes: &[u8]) -> Result<Self> {
        match Self::take(bytes)? {
            Some((map, used)) if used == bytes.len() => Ok(map),
            Some(_) => Err(damaged("something follows a record")),
            None => Err(damaged("record ends early")),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| raw(key) == Some(name.as_bytes())).map(|(_, value)| value)
    }

    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        raw(self.get(name)?)
    }

    /// Text; what is no UTF-8 in it is replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub fn uint(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    /// An integer, also one that is stored as its little-endian bytes because it is large.
    pub fn integer(&self, name: &str) -> Option<i128> {
        let value = self.get(name)?;
        if let Some(number) = value.as_i64() {
            return Some(number.into());
        }
        if let Some(number) = value.as_u64() {
            return Some(number.into());
        }
        let bytes = raw(value).filter(|bytes| (1..=16).contains(&bytes.len()))?;
        let fill = if bytes.last()? & 0x80 == 0 { 0 } else { 0xff };
        let mut wide = [fill; 16];
        wide[..bytes.len()].copy_from_slice(bytes);
        Some(i128::from_le_bytes(wide))
    }

    pub fn list(&self, name: &str) -> Option<&[Value]> {
        self.get(name)?.as_array().map(Vec::as_slice)
    }

    pub fn map(&self, name: &str) -> Option<Self> {
        let Value::Map(pairs) = self.get(name)? else { return None };
        Some(Self(pairs.clone()))
    }

    /// Names, as far as they are strings, and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.0.iter().filter_map(|(key, value)| Some((raw(key)?, value)))
    }
}

/// The bytes of a string or of binary data: Borg 1 makes no difference.
pub(super) fn raw(value: &Value) -> Option<&[u8]> {
    match value {
        Value::String(text) => Some(text.as_bytes()),
        Value::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// An id among the values of a list.
pub(super) fn id(value: &Value) -> Option<[u8; 32]> {
    raw(value)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(pairs: Vec<(&str, Value)>) -> Vec<u8> {
        let mut out = Vec::new();
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value)).collect();
        rmpv::encode::write_value(&mut out, &Value::Map(pairs)).unwrap();
        out
    }

    #[test]
    fn integers_may_be_small_or_large() {
        for (value, expected) in [
            (Value::from(5), Some(5)),
            (Value::from(-5), Some(-5)),
            (Value::from(u64::MAX), Some(i128::from(u64::MAX))),
            (Value::Binary(vec![0, 0, 0, 0, 0, 0, 0, 0, 1]), Some(1 << 64)),
            (Value::Binary(vec![0xff; 9]), Some(-1)),
            (Value::Binary(vec![]), None),
            (Value::Binary(vec![1; 17]), None),
            (Value::Nil, None),
        ] {
            let map = Map::whole(&encoded(vec![("n", value.clone())])).unwrap();
            assert_eq!(map.integer("n"), expected, "{value}");
        }
    }

    #[test]
    fn what_is_cut_is_incomplete_and_what_follows_is_refused() {
        let bytes = encoded(vec![("path", Value::Binary(b"a/b".to_vec())), ("mode", Value::from(33188))]);
        for length in 1..bytes.len() {
            assert!(Map::take(&bytes[..length]).unwrap().is_none(), "{length}");
            assert!(Map::whole(&bytes[..length]).is_err(), "{length}");
        }
        let (map, used) = Map::take(&[&bytes[..], b"more"].concat()).unwrap().unwrap();
        assert_eq!((used, map.bytes("path"), map.uint("mode")), (bytes.len(), Some(&b"a/b"[..]), Some(33188)));
        assert!(Map::whole(&[&bytes[..], b"more"].concat()).is_err());
        assert!(Map::take(&[0x90]).is_err(), "a list");
        assert!(Map::take(&[0x91; 10_000]).is_err(), "lists in lists");
        // A map of four billion pairs, of which there are none.
        assert!(Map::take(&[0xdf, 0xff, 0xff, 0xff, 0xff]).unwrap().is_none());
    }
}
