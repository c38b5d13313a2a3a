//! The order of a list: `>size,path`.

use std::cmp::Ordering;
use std::str::FromStr;

use crate::exit_code::Failure;

/// A key and what it compares.
pub type SortKey<T> = (&'static str, fn(&T, &T) -> Ordering);

/// What can be sorted, and by which keys.
pub trait Sortable: Sized + 'static {
    /// The keys and what they compare.
    const KEYS: &'static [SortKey<Self>];
}

/// Keys in the order of their weight.
#[derive(Clone, Debug)]
pub struct SortKeys<T>(Vec<Key<T>>);

#[derive(Clone, Debug)]
struct Key<T> {
    name: &'static str,
    compare: fn(&T, &T) -> Ordering,
    descending: bool,
}

impl<T: Sortable> SortKeys<T> {
    /// The names of the keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|key| key.name)
    }

    /// Sorts; items that are equal in all keys keep their order.
    pub fn sort(&self, items: &mut [T]) {
        items.sort_by(|a, b| {
            let by_key = self.0.iter().map(|key| {
                let order = (key.compare)(a, b);
                if key.descending { order.reverse() } else { order }
            });
            by_key.fold(Ordering::Equal, Ordering::then)
        });
    }
}

impl<T: Sortable> FromStr for SortKeys<T> {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let key = |word: &str| {
            let (name, descending) = match word.trim() {
                word if word.starts_with('>') => (&word[1..], true),
                word => (word.strip_prefix('<').unwrap_or(word), false),
            };
            let known = T::KEYS.iter().find(|(known, _)| *known == name);
            known.map(|(name, compare)| Key { name, compare: *compare, descending }).ok_or_else(|| {
                let known: Vec<_> = T::KEYS.iter().map(|(name, _)| *name).collect();
                Failure::command(format!("can not sort by `{name}`, known are: {}", known.join(", ")))
            })
        };
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Pair(u8, u8);

    impl Sortable for Pair {
        const KEYS: &'static [SortKey<Self>] = &[("left", |a, b| a.0.cmp(&b.0)), ("right", |a, b| a.1.cmp(&b.1))];
    }

    #[test]
    fn the_first_key_weighs_most() {
        let keys: SortKeys<Pair> = ">left, <right".parse().unwrap();
        assert_eq!(keys.names().collect::<Vec<_>>(), ["left", "right"]);
        let mut pairs = [Pair(1, 2), Pair(2, 2), Pair(2, 1)];
        keys.sort(&mut pairs);
        assert_eq!(pairs, [Pair(2, 1), Pair(2, 2), Pair(1, 2)]);
        assert!("colour".parse::<SortKeys<Pair>>().is_err() && "".parse::<SortKeys<Pair>>().is_err());
    }
}
