//! The loop over all objects.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use gabion_core::backend::ObjectName;
use gabion_core::error::Result;

use super::{Examined, Health, Scrub, State, Task};

/// How a scrub goes.
pub struct Options<'a> {
    /// What is done with every object.
    pub task: Task,
    /// Begin behind this object, in the order in which [`Noted`] tells of them.
    pub after: Option<ObjectName>,
    /// Objects that are worked on at once.
    pub width: usize,
    /// Asked before every object: whether time is up.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// What is told of every object.
#[derive(Debug)]
pub struct Noted<'a> {
    /// Which it is.
    pub name: &'a ObjectName,
    /// How it was found, and what was done.
    pub examined: &'a Examined,
    /// Its number, counted from 1, and how many there are to do.
    pub done: usize,
    /// All objects of this run.
    pub total: usize,
}

/// What a scrub saw and did.
#[derive(Debug)]
pub struct Scrubbed {
    /// Objects that were examined.
    pub objects: usize,
    /// Objects that were damaged and are whole now.
    pub repaired: usize,
    /// Objects that are damaged, and can be repaired.
    pub damaged: usize,
    /// Objects that can not be repaired.
    pub lost: usize,
    /// Objects that are protected otherwise than new ones.
    pub outdated: usize,
    /// Objects that were written again for it.
    pub upgraded: usize,
    /// Parts of objects that do not exist.
    pub leftovers: usize,
    /// Objects that did not exist, whose parts were removed.
    pub removed: usize,
    /// Objects that should have been written, and could not.
    pub troubles: usize,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Where several stores are: how many of them every object that was examined can lose now, at least.
    pub spare: Option<usize>,
    /// The last object that was examined, if some were left out because time was up.
    pub stopped_after: Option<ObjectName>,
    /// Whether some objects were left out.
    pub is_complete: bool,
    /// How all is protected.
    pub health: Health,
}

impl Scrubbed {
    fn new(health: Health) -> Self {
        Self {
            objects: 0,
            repaired: 0,
            damaged: 0,
            lost: 0,
            outdated: 0,
            upgraded: 0,
            leftovers: 0,
            removed: 0,
            troubles: 0,
            read: 0,
            written: 0,
            spare: None,
            stopped_after: None,
            is_complete: true,
            health,
        }
    }

    /// What the repository survives now, one sentence without a full stop.
    pub fn survives(&self) -> String {
        let survives = self.health.survives();
        match (self.lost, self.damaged + self.outdated) {
            (0, 0) => survives,
            (0, 1) => format!("{survives}; one object survives less until it is repaired or upgraded"),
            (0, less) => format!("{survives}; {less} objects survive less until they are repaired or upgraded"),
            (1, _) => format!("{survives}; one object is lost already"),
            (lost, _) => format!("{survives}; {lost} objects are lost already"),
        }
    }

    fn note(&mut self, examined: &Examined) {
        self.objects += 1;
        self.read += examined.read;
        self.written += examined.written;
        self.troubles += usize::from(examined.trouble.is_some());
        self.spare = match (self.spare, examined.spare) {
            (Some(least), Some(spare)) => Some(least.min(spare)),
            (least, spare) => least.or(spare),
        };
        match examined.state {
            State::Intact => {}
            State::Outdated => self.outdated += 1,
            State::Upgraded => self.upgraded += 1,
            State::Damaged => self.damaged += 1,
            State::Repaired => self.repaired += 1,
            State::Lost(_) => self.lost += 1,
            State::Leftover => self.leftovers += 1,
            State::Removed => self.removed += 1,
            State::Gone => self.objects -= 1,
        }
    }
}

/// Examines all objects, `config` and before it its copy: whoever can not read what is upgraded shall not begin to write
/// beside it.
///
/// `told` hears of every object in order. Fails if a store stops to answer; what was done is done.
pub async fn scrub(layer: &dyn Scrub, options: &Options<'_>, told: &mut dyn FnMut(Noted<'_>)) -> Result<Scrubbed> {
    let health = layer.health().await?;
    let mut names: Vec<ObjectName> = layer.names().try_collect().await?;
    names.sort_by(|a, b| place(a).cmp(&place(b)));
    if let Some(after) = &options.after {
        names.retain(|name| place(name) > place(after));
    }
    let total = names.len();
    let mut scrubbed = Scrubbed::new(health);
    let examinations = stream::iter(names)
        .take_while(|_| std::future::ready(!(options.stop)()))
        .map(|name| async move { layer.examine(&name, options.task).await.map(|examined| (name, examined)) });
    let mut examinations = examinations.buffered(options.width.max(1));
    let mut done = 0;
    while let Some((name, examined)) = examinations.try_next().await? {
        done += 1;
        scrubbed.note(&examined);
        told(Noted { name: &name, examined: &examined, done, total });
        scrubbed.stopped_after = Some(name);
    }
    drop(examinations);
    scrubbed.is_complete = done == total;
    if scrubbed.is_complete {
        scrubbed.stopped_after = None;
    }
    let are_well = scrubbed.lost + scrubbed.damaged + scrubbed.outdated + scrubbed.troubles == 0;
    if options.task == Task::Upgrade && options.after.is_none() && scrubbed.is_complete && are_well {
        layer.upgraded().await?;
    }
    scrubbed.health = layer.health().await?;
    Ok(scrubbed)
}

/// The order of the work.
fn place(name: &ObjectName) -> (u8, &ObjectName) {
    let rank = match name.as_str() {
        "spare/identity" => 0,
        "config" => 1,
        _ => 2,
    };
    (rank, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_repository_is_comes_first() {
        let mut names = ["archives/a", "config", "segments/a", "spare/a", "spare/identity"]
            .map(|name| ObjectName::new(name).unwrap());
        names.sort_by(|a, b| place(a).cmp(&place(b)));
        let order: Vec<&str> = names.iter().map(ObjectName::as_str).collect();
        assert_eq!(order, ["spare/identity", "config", "archives/a", "segments/a", "spare/a"]);
    }
}
