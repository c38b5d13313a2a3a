//! What a repository survives, in one sentence.

use std::fmt;

use crate::parity::Percent;

/// How objects are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all.
    Plain,
    /// By parity in every object of one store.
    Parity(Percent),
    /// By shards in several stores.
    Erasure {
        /// Shards that give an object back.
        needed: usize,
        /// Shards beyond these.
        spare: usize,
        /// The least parity of the stores, if all of them have some.
        parity: Option<Percent>,
        /// The same two numbers of objects that have others still, while the set is being upgraded.
        earlier: Option<(usize, usize)>,
    },
}

/// A store that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its number, counted from 1.
    pub store: usize,
    /// Where it should be.
    pub location: String,
    /// Why it is not.
    pub reason: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {} ({}) is missing: {}", self.store, self.location, self.reason)
    }
}

/// How a repository is protected, and what is missing of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How objects are protected.
    pub scheme: Scheme,
    /// Stores that are missing.
    pub missing: Vec<Missing>,
    /// Stores that are missing in sets that are stores of the set.
    pub missing_inside: Vec<Missing>,
    /// Damaged objects that were repaired while they were read; the stores still have the damage.
    pub healed_reads: u64,
}

impl Health {
    /// What is survived from now on, as one sentence without a full stop.
    pub fn survives(&self) -> String {
        match self.scheme {
            Scheme::Plain => "no redundancy: a lost or damaged object can not be rebuilt from this store".to_owned(),
            Scheme::Parity(percent) => format!("{}; not the loss of an object or of the store", sectors(percent)),
            Scheme::Erasure { needed, spare, parity, earlier } => {
                let least = earlier.map_or(spare, |(_, earlier)| spare.min(earlier));
                let stores = self.stores(needed + spare, least);
                let stores = match earlier {
                    None => stores,
                    Some((k, m)) => format!(
                        "{stores}; `gabion scrub --upgrade` goes on from {k}+{m} to {needed}+{spare}, with all stores"
                    ),
                };
                parity.map_or(stores.clone(), |percent| format!("{stores}; in every store {}", sectors(percent)))
            }
        }
    }

    fn stores(&self, all: usize, spare: usize) -> String {
        let missing = self.missing.len();
        let left = spare.saturating_sub(missing);
        match (missing, left) {
            (0, _) => format!("the loss of any {spare} of {all} stores"),
            (_, 0) => format!("{}: not the loss of any other", are_missing(missing, all)),
            _ => format!("{}: the loss of any {left} of the other {}", are_missing(missing, all), all - missing),
        }
    }
}

fn are_missing(missing: usize, all: usize) -> String {
    match missing {
        1 => format!("1 of {all} stores is missing"),
        _ => format!("{missing} of {all} stores are missing"),
    }
}

fn sectors(percent: Percent) -> String {
    format!("damage to any {:.1} % of the sectors of an object", percent.survived())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_says_what_is_survived() {
        let gone = |store| Missing { store, location: "/mnt".to_owned(), reason: "not there".to_owned() };
        let health = |scheme, missing: usize| Health {
            scheme,
            missing: (1..=missing).map(gone).collect(),
            missing_inside: Vec::new(),
            healed_reads: 0,
        };
        let ten = Percent::new(10).unwrap();
        let set = |parity| Scheme::Erasure { needed: 4, spare: 2, parity, earlier: None };
        let changing = Scheme::Erasure { needed: 4, spare: 2, parity: None, earlier: Some((2, 1)) };
        for (health, sentence) in [
            (health(Scheme::Plain, 0), "no redundancy: a lost or damaged object can not be rebuilt from this store"),
            (
                health(Scheme::Parity(ten), 0),
                "damage to any 9.1 % of the sectors of an object; not the loss of an object or of the store",
            ),
            (health(set(None), 0), "the loss of any 2 of 6 stores"),
            (health(set(None), 1), "1 of 6 stores is missing: the loss of any 1 of the other 5"),
            (health(set(None), 2), "2 of 6 stores are missing: not the loss of any other"),
            (
                health(changing, 0),
                "the loss of any 1 of 6 stores; `gabion scrub --upgrade` goes on from 2+1 to 4+2, with all stores",
            ),
            (
                health(set(Some(ten)), 0),
                "the loss of any 2 of 6 stores; in every store damage to any 9.1 % of the sectors of an object",
            ),
        ] {
            assert_eq!(health.survives(), sentence);
        }
        assert_eq!(gone(2).to_string(), "store 2 (/mnt) is missing: not there");
    }
}
