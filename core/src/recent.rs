//! What was used last, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;

/// A cache in two halves: what is used moves to the young one, and when that is full, what is in the old one goes.
///
/// So the least recently used values leave first, about, and nothing is kept in order.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_bytes: usize,
    half_bytes: usize,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    /// A cache of about `bytes_max` bytes; a single value may be larger.
    pub fn new(bytes_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, half_bytes: bytes_max / 2 }
    }

    /// The value of `key`, which counts as used now.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, bytes)) = self.old.remove_entry(key)?;
        self.keep(key, value.clone(), bytes);
        Some(value)
    }

    /// Whether there is a value of `key`.
    pub fn contains(&self, key: &K) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    /// Keeps a value that takes so many bytes.
    pub fn keep(&mut self, key: K, value: V, bytes: usize) {
        if self.young_bytes.saturating_add(bytes) > self.half_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        if let Some((_, replaced)) = self.young.insert(key, (value, bytes)) {
            self.young_bytes -= replaced;
        }
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> usize {
        self.young.values().chain(self.old.values()).map(|(_, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays() {
        let mut recent = Recent::new(100);
        for number in 0..1000 {
            recent.keep(number, number, 10);
            assert_eq!(recent.get(&0), Some(0), "used all the time");
            assert!(recent.bytes() <= 100);
        }
        assert!(recent.contains(&999) && !recent.contains(&500));
        assert_eq!((recent.get(&500), recent.get(&999)), (None, Some(999)));
    }

    #[test]
    fn a_value_of_any_size_is_kept_until_others_come() {
        let mut recent = Recent::new(0);
        recent.keep("a", 1, usize::MAX);
        assert_eq!(recent.get(&"a"), Some(1));
        recent.keep("b", 2, 1);
        recent.keep("c", 3, 1);
        assert_eq!((recent.get(&"a"), recent.get(&"c")), (None, Some(3)));
        recent.keep("c", 4, 7);
        assert_eq!((recent.get(&"c"), recent.bytes()), (Some(4), 8));
    }
}
