//! One state of the world: what is stored, and how far everybody is.

/// Segments there can ever be, at most.
pub const SEGMENTS_MAX: usize = 6;
/// Doom records there can ever be, at most.
pub const DOOMS_MAX: usize = 3;
/// A set of segments, a bit each.
pub type Set = u8;

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub clients: usize,
    pub collectors: usize,
    /// Segments that can be made, the first included.
    pub segments: usize,
    /// Dooms that can be made.
    pub dooms: usize,
}

/// How a collector looks for what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    PendingsArchives,
    ArchivesPendings,
    ArchivesPendingsArchives,
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
    /// Pendings are deleted when their client is taken for dead.
    pub expiry: bool,
    /// A collector looks again after its doom is durable.
    pub look_after_doom: bool,
    /// It takes no segment for a copy that someone else doomed.
    pub heed_other_dooms: bool,
    /// It copies what is needed.
    pub evacuate: bool,
    /// Who adopts a doom may wrongly take it back.
    pub revocable_doom: bool,
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
    /// Clients may rely on the old archive alone.
    pub base: bool,
    /// They ask whether it is live,
    pub base_checked: bool,
    /// wrongly before their pending is there.
    pub base_checked_before_pending: bool,
    /// They ask whether their pending is still there after the archive was put.
    pub own_pending_seen_again: bool,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Client {
    /// B0: has read nothing.
    #[default]
    Start,
    /// B1: reads the dooms (or, wrongly, the index).
    ReadFirst {
        epoch: u8,
    },
    /// B1: reads the index (or the dooms).
    ReadSecond {
        epoch: u8,
        seen: Set,
    },
    /// B1: lists the segments.
    ListFirst {
        epoch: u8,
        candidates: Set,
    },
    /// B2: has nothing to rely on, stores the chunk. `stage` is what comes after.
    Upload {
        epoch: u8,
        stage: Stage,
    },
    /// B2: names its segment in the index.
    Index {
        epoch: u8,
        stage: Stage,
        relies: u8,
    },
    /// B4: announces.
    Announce {
        epoch: u8,
        relies: u8,
    },
    /// B5: lists before the dooms, wrongly.
    ListEarly {
        epoch: u8,
        stage: Stage,
        relies: u8,
    },
    /// B5: reads the dooms.
    ReadDooms {
        epoch: u8,
        stage: Stage,
        relies: u8,
        here: bool,
    },
    /// B5: reads the epoch.
    ReadEpoch {
        epoch: u8,
        stage: Stage,
        relies: u8,
        doomed: bool,
    },
    /// B5: asks for existence.
    List {
        epoch: u8,
        stage: Stage,
        relies: u8,
        doomed: bool,
    },
    /// B6: puts the archive.
    Publish {
        epoch: u8,
        relies: u8,
    },
    /// B7.
    Report,
    /// b1: announces that it relies on the base.
    AnnounceBase {
        live: bool,
    },
    /// b2: is the base live?
    CheckBase,
    /// Puts the archive that relies on the base.
    PublishBased,
    /// b4: is its pending still there?
    CheckPending,
    Done,
    Dead,
}

/// Which validation comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nothing was announced yet.
    #[default]
    Fresh,
    /// Before the archive.
    Before,
    /// After the archive.
    After,
}

/// Where a collector is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Collector {
    #[default]
    Idle,
    /// G5: puts its doom.
    Doom {
        number: u8,
        chosen: Set,
    },
    /// G6: looks, up to three times.
    Look {
        number: u8,
        chosen: Set,
        adopted: bool,
        look: u8,
        needed: bool,
    },
    /// G7: reads the dooms of all.
    ReadDooms {
        number: u8,
        chosen: Set,
    },
    /// G7: looks for a copy.
    FindCopy {
        number: u8,
        chosen: Set,
        doomed: Set,
    },
    /// G7: copies the chunk.
    Copy {
        number: u8,
        chosen: Set,
    },
    /// G7: names the copy in the index.
    IndexCopy {
        number: u8,
        chosen: Set,
        copy: u8,
    },
    /// G8: deletes, one by one.
    Delete {
        number: u8,
        chosen: Set,
    },
    /// G9: moves the epoch.
    Bump {
        number: u8,
    },
    /// G10: rewrites the index.
    Rewrite {
        number: u8,
    },
    /// G10: lifts the doom.
    Lift {
        number: u8,
    },
    /// Moves the epoch too late.
    BumpLate,
    Dead,
}

/// The world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub created: Set,
    pub deleted: Set,
    pub indexed: Set,
    /// Bit 0 is the old archive, bit k + 1 that of client k.
    pub archives: u8,
    /// Bit k is the pending of client k.
    pub pendings: u8,
    /// Clients that reported success.
    pub reported: u8,
    /// Dooms made so far, and which are there.
    pub dooms_made: u8,
    pub dooms_there: u8,
    pub dooms: [Set; DOOMS_MAX],
    pub next_segment: u8,
    pub epoch: u8,
    pub clients: [Client; 2],
    pub collectors: [Collector; 2],
}

impl State {
    /// A repository with one segment and one archive that needs it.
    pub fn first(size: Size) -> Self {
        assert!(size.segments <= SEGMENTS_MAX && size.dooms <= DOOMS_MAX);
        let mut state = Self {
            created: 1,
            deleted: 0,
            indexed: 1,
            archives: 1,
            pendings: 0,
            reported: 0,
            dooms_made: 0,
            dooms_there: 0,
            dooms: [0; DOOMS_MAX],
            next_segment: 1,
            epoch: 0,
            clients: [Client::Dead; 2],
            collectors: [Collector::Dead; 2],
        };
        state.clients[..size.clients].fill(Client::Start);
        state.collectors[..size.collectors].fill(Collector::Idle);
        state
    }

    /// Segments that exist.
    pub fn existing(&self) -> Set {
        self.created & !self.deleted
    }

    /// Segments that are doomed by anyone.
    pub fn doomed(&self) -> Set {
        let there = (0..DOOMS_MAX).filter(|number| self.dooms_there >> number & 1 != 0);
        there.fold(0, |all, number| all | self.dooms[number])
    }

    /// I0 and I1: what is live, or was reported, has its chunk in a segment that exists and is indexed.
    pub fn loss(&self) -> Option<&'static str> {
        if self.existing() & self.indexed != 0 {
            return None;
        }
        if self.archives & 1 != 0 {
            return Some("the old archive lost its chunk");
        }
        (self.reported != 0).then_some("a reported archive lost its chunk")
    }
}

/// The bits of a set.
pub fn members(set: Set) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| set >> bit & 1 != 0)
}
