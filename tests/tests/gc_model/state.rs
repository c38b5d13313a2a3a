//! One state of the world: what is stored, what lists show of it, and how far everybody is.

use super::client::Client;
use super::collector::Collector;
use super::others::{Merger, Scrub};

/// Objects of one kind there can ever be, at most.
pub const NAMES_MAX: usize = 8;
/// Doom records there can ever be, at most.
pub const DOOMS_MAX: usize = 4;
/// Objects of one kind, a bit each: names are numbered as they are drawn.
pub type Set = u8;

/// How large a world is, and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub clients: usize,
    pub collectors: usize,
    /// Segments that can be made, the first two included.
    pub segments: usize,
    /// Dooms that can be made.
    pub dooms: usize,
    /// Fragments that can be made; 0: the index is one object that changes in place.
    pub fragments: usize,
    pub lists: Lists,
    /// Writes that may land once more, after anything else.
    pub duplicates: u8,
    /// Someone merges fragments; someone checks segments and writes what is damaged again.
    pub merger: bool,
    pub scrub: bool,
    /// The store may lose a segment of nodes.
    pub rot: bool,
    /// Processes may die. (A process that never goes on is as good as dead; but it still may.)
    pub deaths: bool,
}

impl World {
    /// So many of each, and nothing odd.
    pub const fn of(clients: usize, collectors: usize, segments: usize, dooms: usize) -> Self {
        let lists = Lists::Exact;
        Self {
            clients,
            collectors,
            segments,
            dooms,
            fragments: 0,
            lists,
            duplicates: 0,
            merger: false,
            scrub: false,
            rot: false,
            deaths: true,
        }
    }
}

/// What a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// One moment.
    Exact,
    /// What was made or deleted while it ran may be missing, or not.
    Torn,
    /// What was made or deleted less than L ago may be missing, or not; collectors wait.
    Stale,
}

/// How a collector looks for what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    PendingsArchives,
    ArchivesPendings,
    ArchivesPendingsArchives,
}

/// Whether the archive of a client has the tree of its base, to the last node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    Never,
    /// Sometimes.
    May,
    /// Whenever it has a base: so that a mutant dies of nothing else.
    Always,
}

/// The rules of the protocol; each can be broken.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A client announces its archive before it validates.
    pub pending: bool,
    /// It validates before it puts the archive,
    pub validate_before: bool,
    /// and after.
    pub validate_after: bool,
    /// A validation asks whether the segments exist,
    pub existence: bool,
    /// wrongly before it reads the dooms.
    pub existence_first: bool,
    /// An epoch of which a list shows nothing is taken for one that moved.
    pub empty_epoch_moved: bool,
    /// The epoch is a set of names, and not the number of its last name.
    pub epoch_set: bool,
    /// What went before an epoch that is adopted is not relied on later.
    pub withdraw_unusable: bool,
    /// What is stored again is validated again.
    pub validate_again: bool,
    /// Another root is announced anew.
    pub announce_new_root: bool,
    /// Pendings are deleted when their client is taken for dead.
    pub expiry: bool,
    /// A collector looks again after its doom is durable.
    pub look_after_doom: bool,
    /// It takes no segment for a copy that someone else doomed.
    pub heed_other_dooms: bool,
    /// It copies what is needed,
    pub evacuate: bool,
    /// and looks at its copies like at all others.
    pub check_copies: bool,
    /// A live archive whose node can not be read stops it.
    pub refuse_broken: bool,
    /// Who finds a doom may wrongly take it back.
    pub revocable_doom: bool,
    /// Who finds a doom carries it out in its writer's place, and lifts it.
    pub lift_of_others: bool,
    /// A new segment wrongly has an old one's name.
    pub names_reused: bool,
    /// The epoch moves before the doom is lifted.
    pub bump_before_lift: bool,
    /// The epoch moves after it.
    pub bump_after_lift: bool,
    /// A client reads the dooms before the index.
    pub dooms_before_index: bool,
    /// A client relies only on segments that it saw listed after it read the epoch.
    pub list_at_start: bool,
    pub looks: Looks,
    /// Times of L between a doom and the look, and between two looks.
    pub waits: (u8, u8),
    /// Clients may rely on the archive of another,
    pub base: bool,
    /// if they know that it was reported. Of another one every chunk is looked up.
    pub base_reported: bool,
    /// They ask whether it is live,
    pub base_checked: bool,
    /// wrongly before their pending is there.
    pub base_checked_before_pending: bool,
    /// They ask whether their first pending is still there after the archive was put.
    pub own_pending_seen_again: bool,
    /// An archive with the tree of its base is put without B4 and B5: its client relies on no segment.
    pub unchanged: Unchanged,
    /// Who gives a client up says so for good, before it deletes the pending; and the client asks for that.
    pub expiry_told: bool,
    /// The first pending stays until the end.
    pub first_pending_stays: bool,
    /// Index entries are dropped if a list that is later than the fragment lacks their segment.
    pub later_list: bool,
    /// Only fragments that were read are deleted,
    pub delete_only_read: bool,
    /// and only after what replaces them was put.
    pub put_before_delete: bool,
    /// A segment is written again in place only while it exists.
    pub replace_existing_only: bool,
}

/// Everything that can be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Names {
    pub segments: Set,
    pub fragments: Set,
    /// Live archives: bit 0 is the old one, bit k + 1 that of client k.
    pub archives: Set,
    /// Bit 2k is the first pending of client k, bit 2k + 1 the complete one.
    pub pendings: Set,
    pub dooms: Set,
    pub epochs: Set,
}

impl Names {
    /// What lists show at least after everything that `known` holds became visible, given what is there `now`.
    pub fn settle(&mut self, known: &Self, now: &Self) {
        let settle = |listed: &mut Set, known: Set, now: Set| {
            let open = *listed ^ now;
            *listed = (*listed & !open) | (known & open);
        };
        settle(&mut self.segments, known.segments, now.segments);
        settle(&mut self.fragments, known.fragments, now.fragments);
        settle(&mut self.archives, known.archives, now.archives);
        settle(&mut self.pendings, known.pendings, now.pendings);
        settle(&mut self.dooms, known.dooms, now.dooms);
        settle(&mut self.epochs, known.epochs, now.epochs);
    }
}

/// The world. There are two chunks: a node, which names a datum. Every archive needs both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub there: Names,
    /// The oldest state a list may show, where lists are stale.
    pub listed: Names,
    /// What segments hold, by their names.
    pub nodes: Set,
    pub data: Set,
    pub segments_made: u8,
    /// Segments that a doom ever named, and that a fragment ever named.
    pub ever_doomed: Set,
    pub ever_named: Set,
    /// What each fragment names.
    pub fragments: [Set; NAMES_MAX],
    pub fragments_made: u8,
    pub dooms: [Set; DOOMS_MAX],
    pub dooms_made: u8,
    pub epochs_made: u8,
    pub dooms_put: Set,
    /// Pendings there ever were, and those that protect nothing.
    pub announced: Set,
    pub idle_pendings: Set,
    /// Archives whose record names another root than the one that will be reported.
    pub idle_archives: Set,
    /// Pendings whose clients were given up.
    pub expired: Set,
    /// Clients that reported success.
    pub reported: Set,
    /// A name was given twice.
    pub reborn: bool,
    pub duplicates: u8,
    /// The store lost a copy of the node: from now on only the datum is missed.
    pub broken: bool,
    pub rot: bool,
    pub clients: [Client; 2],
    pub collectors: [Collector; 2],
    pub merger: Merger,
    pub scrub: Scrub,
}

impl State {
    /// A repository with a segment for the node, one for the datum, and an archive that needs both.
    pub fn first(world: World) -> Self {
        assert!(world.segments <= NAMES_MAX && world.fragments <= NAMES_MAX && world.dooms <= DOOMS_MAX);
        let there = Names { segments: 0b11, fragments: 1, archives: 1, pendings: 0, dooms: 0, epochs: 1 };
        let mut state = Self {
            there,
            listed: there,
            nodes: 0b01,
            data: 0b10,
            segments_made: 2,
            ever_doomed: 0,
            ever_named: 0b11,
            fragments: [0; NAMES_MAX],
            fragments_made: 1,
            dooms: [0; DOOMS_MAX],
            dooms_made: 0,
            epochs_made: 1,
            dooms_put: 0,
            announced: 0,
            idle_pendings: 0,
            idle_archives: 0,
            expired: 0,
            reported: 0,
            reborn: false,
            duplicates: world.duplicates,
            broken: false,
            rot: world.rot,
            clients: [Client::dead(); 2],
            collectors: [Collector::dead(); 2],
            merger: Merger::Idle,
            scrub: Scrub::Idle,
        };
        state.fragments[0] = 0b11;
        state.clients[..world.clients].fill(Client::reading(there.epochs, world.lists));
        state.collectors[..world.collectors].fill(Collector::default());
        state
    }

    /// Segments that these dooms name.
    pub fn doomed_by(&self, dooms: Set) -> Set {
        members(dooms & self.there.dooms).fold(0, |all, number| all | self.dooms[usize::from(number)])
    }

    /// Segments that these fragments name, as far as they can be read.
    pub fn named_by(&self, fragments: Set) -> Set {
        members(fragments & self.there.fragments).fold(0, |all, number| all | self.fragments[usize::from(number)])
    }

    /// A new segment with this content; `None` if there are no names left.
    pub fn put_segment(&mut self, rules: &Rules, world: World, node: bool, datum: bool) -> Option<u8> {
        if rules.names_reused {
            let name = if node { 0 } else { 1 };
            self.reborn |= self.there.segments & bit(name) == 0;
            self.there.segments |= bit(name);
            return Some(name);
        }
        let name = self.segments_made;
        if usize::from(name) >= world.segments {
            return None;
        }
        self.segments_made += 1;
        self.there.segments |= bit(name);
        self.nodes |= if node { bit(name) } else { 0 };
        self.data |= if datum { bit(name) } else { 0 };
        Some(name)
    }

    /// Names segments in the index; `None` if there are no names for fragments left.
    pub fn put_fragment(&mut self, world: World, segments: Set) -> Option<()> {
        self.ever_named |= segments;
        if world.fragments == 0 {
            self.fragments[0] |= segments;
            return Some(());
        }
        let number = self.fragments_made;
        if usize::from(number) >= world.fragments {
            return None;
        }
        self.fragments_made += 1;
        self.fragments[usize::from(number)] = segments;
        self.there.fragments |= bit(number);
        Some(())
    }

    /// Whether these pendings protect what the archive needs.
    pub fn protect(&mut self, pendings: Set, protect: bool) {
        self.idle_pendings = self.idle_pendings & !pendings | if protect { 0 } else { pendings };
    }

    /// What is wrong: I0, I1, I4, I6. (I3 and I5 are looked at where they could be broken.)
    pub fn wrong(&self) -> Option<&'static str> {
        if self.reborn {
            return Some("I4: a name was given twice");
        }
        let hidden = self.ever_named & self.there.segments & !self.ever_doomed & !self.named_by(self.there.fragments);
        if hidden != 0 {
            return Some("I6: the index hides a segment that nobody doomed");
        }
        let is_there = |holders: Set| self.there.segments & holders != 0;
        if (is_there(self.nodes) || self.broken) && is_there(self.data) {
            return None;
        }
        if self.there.archives & 1 != 0 {
            return Some("I0: the old archive lost a chunk");
        }
        (self.reported != 0 && !self.broken).then_some("I1: a reported archive lost a chunk")
    }
}

/// What a list may show of objects that were `before`, and are there `now`.
pub fn shown(lists: Lists, before: Set, now: Set) -> impl Iterator<Item = Set> {
    let open = if lists == Lists::Exact { 0 } else { before ^ now };
    let base = now & !open;
    let mut next = Some(open);
    // every subset of what is open, everything first
    std::iter::from_fn(move || {
        let some = next?;
        next = (some != 0).then(|| (some - 1) & open);
        Some(base | some)
    })
}

/// The set of one object.
pub fn bit(number: u8) -> Set {
    1 << number
}

/// The numbers of a set.
pub fn members(set: Set) -> impl Iterator<Item = u8> {
    (0..8).filter(move |number| set >> number & 1 != 0)
}
