//! What a client may do next.

use super::search::Steps;
use super::state::{Lists, Rules, Set, State, Unchanged, World, bit, members, shown};

/// No segment, no archive.
pub const NONE: u8 = u8::MAX;

/// A client: where it is and what it remembers. What it does not need any more is forgotten, so that equal
/// futures are equal states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub step: Step,
    /// What was there when the list began that it reads next, where lists are torn.
    from: Set,
    /// The epoch it compares with.
    epoch: Set,
    /// Segments that the dooms name that it read last.
    doomed: Set,
    /// Segments that its index offers.
    usable: Set,
    /// The segments it relies on for the node and the datum.
    node: u8,
    datum: u8,
    /// The archive it takes the datum over from.
    base: u8,
    /// Which validation is next.
    stage: Stage,
    /// What the step after this one needs.
    note: Set,
    /// Something relied on was in a doom record when the dooms were read last (I3).
    warned: bool,
}

/// What a client does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Step {
    /// B0.
    #[default]
    Epoch,
    /// B1, in this order: dooms, index, list of segments.
    Dooms,
    Index,
    Segments,
    /// Chooses a base among the live archives.
    FindBase,
    /// b1, b2.
    First,
    CheckBase,
    /// Looks its chunks up; stores what is not there.
    Node,
    Datum,
    Store,
    Name,
    /// B4.
    Announce,
    /// A second pending replaces the first, wrongly.
    DropFirst,
    /// B5.
    Early,
    ReadDooms,
    ReadEpoch,
    List,
    Mend,
    /// B6.
    Publish,
    /// b4.
    Seen,
    Resolve,
    /// B7.
    Report,
    Tidy,
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
    /// After every chunk was looked up.
    Resolved,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            step: Step::Epoch,
            from: 0,
            epoch: 0,
            doomed: 0,
            usable: 0,
            node: NONE,
            datum: NONE,
            base: NONE,
            stage: Stage::Fresh,
            note: 0,
            warned: false,
        }
    }
}

impl Client {
    pub fn dead() -> Self {
        Self { step: Step::Dead, ..Self::default() }
    }

    /// A client that begins to read the epoch.
    pub fn reading(epochs: Set, lists: Lists) -> Self {
        Self { from: if lists == Lists::Torn { epochs } else { 0 }, ..Self::default() }
    }

    fn relies(&self) -> Set {
        [self.node, self.datum].into_iter().filter(|name| *name != NONE).fold(0, |all, name| all | bit(name))
    }
}

/// One client in one state.
struct Turn<'a> {
    rules: &'a Rules,
    world: World,
    state: &'a State,
    k: usize,
    me: Client,
}

/// Every step of client `k`, and what it is called.
pub fn steps(rules: &Rules, world: World, state: &State, k: usize, out: &mut Steps) {
    let me = state.clients[k];
    let turn = Turn { rules, world, state, k, me };
    if world.deaths && !matches!(me.step, Step::Epoch | Step::Done | Step::Dead) {
        turn.go(Client::dead(), "client dies", out);
    }
    match me.step {
        Step::Epoch | Step::Dooms | Step::Index | Step::Segments => turn.look(out),
        Step::FindBase | Step::First | Step::CheckBase => turn.take_base(out),
        Step::Node | Step::Datum => turn.look_up(out),
        Step::Store => turn.store(out),
        Step::Name | Step::Announce | Step::DropFirst => turn.announce(out),
        Step::Early | Step::ReadDooms | Step::ReadEpoch | Step::List => turn.validate(out),
        Step::Mend => turn.mend(out),
        Step::Publish | Step::Seen | Step::Resolve | Step::Report | Step::Tidy => turn.publish(out),
        Step::Done | Step::Dead => {}
    }
}

impl Turn<'_> {
    fn go(&self, me: Client, name: &'static str, out: &mut Steps) {
        self.change(me, name, out, |_| {});
    }

    /// As another client; a list that is next begins now.
    fn change(&self, me: Client, name: &'static str, out: &mut Steps, change: impl FnOnce(&mut State)) {
        let mut next = *self.state;
        change(&mut next);
        next.clients[self.k] = me;
        let there = next.there;
        next.clients[self.k].from = match me.step {
            _ if self.world.lists != Lists::Torn => 0,
            Step::Epoch | Step::ReadEpoch => there.epochs,
            Step::Dooms | Step::ReadDooms => there.dooms,
            Step::Index => there.fragments,
            Step::Segments | Step::List | Step::Early => there.segments,
            Step::FindBase | Step::CheckBase => there.archives,
            _ => 0,
        };
        out.push((next, name));
    }

    /// What the list may show that this step reads.
    fn shown(&self, stale: Set, now: Set) -> impl Iterator<Item = Set> + use<> {
        let before = if self.world.lists == Lists::Stale { stale } else { self.me.from };
        shown(self.world.lists, before, now)
    }

    fn epochs(&self) -> impl Iterator<Item = Set> + use<> {
        self.shown(self.state.listed.epochs, self.state.there.epochs)
    }

    fn segments(&self) -> impl Iterator<Item = Set> + use<> {
        self.shown(self.state.listed.segments, self.state.there.segments)
    }

    fn archives(&self) -> impl Iterator<Item = Set> + use<> {
        self.shown(self.state.listed.archives, self.state.there.archives)
    }

    /// Segments that are doomed, as far as it can be seen.
    fn dooms(&self) -> impl Iterator<Item = Set> {
        self.shown(self.state.listed.dooms, self.state.there.dooms).map(|dooms| self.state.doomed_by(dooms))
    }

    fn index(&self) -> impl Iterator<Item = Set> {
        let shown = self.shown(self.state.listed.fragments, self.state.there.fragments);
        shown.map(|fragments| self.state.named_by(fragments))
    }

    /// B0 and B1.
    fn look(&self, out: &mut Steps) {
        let me = self.me;
        let (first, second) =
            if self.rules.dooms_before_index { (Step::Dooms, Step::Index) } else { (Step::Index, Step::Dooms) };
        let after = |step| if step == first { second } else { Step::Segments };
        match me.step {
            Step::Epoch => {
                for epoch in self.epochs() {
                    self.go(Client { step: first, epoch, ..me }, "B0 read epoch", out);
                }
            }
            Step::Dooms => {
                for doomed in self.dooms() {
                    self.go(Client { step: after(Step::Dooms), doomed, ..me }, "B1 read dooms", out);
                }
            }
            Step::Index => {
                for usable in self.index() {
                    self.go(Client { step: after(Step::Index), usable, ..me }, "B1 read index", out);
                }
            }
            _ if self.rules.list_at_start => {
                for listed in self.segments() {
                    let usable = me.usable & listed & !me.doomed;
                    self.go(Client { step: Step::FindBase, usable, doomed: 0, ..me }, "B1 list segments", out);
                }
            }
            _ => {
                let usable = me.usable & !me.doomed;
                self.go(Client { step: Step::FindBase, usable, doomed: 0, ..me }, "B1 is done", out);
            }
        }
    }

    /// The base, b1, b2.
    fn take_base(&self, out: &mut Steps) {
        let me = self.me;
        let live = |archives: Set| me.base != NONE && archives & bit(me.base) != 0;
        let early = self.rules.base_checked_before_pending;
        match me.step {
            Step::FindBase => {
                self.go(Client { step: Step::First, ..me }, "take no base", out);
                // one that nobody reported may lack something already
                let good = |base: u8| base == 0 || self.state.reported & bit(base - 1) != 0;
                for base in (0..=2).filter(|base| self.rules.base && usize::from(*base) != self.k + 1) {
                    if self.rules.base_reported && !good(base) {
                        continue;
                    }
                    if self.archives().any(|archives| archives & bit(base) != 0) {
                        let step = if early { Step::CheckBase } else { Step::First };
                        self.go(Client { step, base, ..me }, "take a base", out);
                    }
                }
            }
            Step::First => {
                let check = me.base != NONE && self.rules.base_checked && !early;
                let step = if check { Step::CheckBase } else { Step::Node };
                self.change(Client { step, ..me }, "b1 put first pending", out, |next| {
                    if self.rules.pending {
                        let first = bit(2 * self.k as u8);
                        next.expired &= !first;
                        next.there.pendings |= first;
                        next.announced |= first;
                        // without a base it protects nothing
                        next.protect(first, me.base != NONE);
                    }
                });
            }
            _ => {
                let step = if early { Step::First } else { Step::Node };
                for archives in self.archives() {
                    let base = if live(archives) { me.base } else { NONE };
                    self.go(Client { step, base, ..me }, "b2 is the base live?", out);
                }
            }
        }
    }

    /// Relies on a segment for each chunk, or stores it.
    fn look_up(&self, out: &mut Steps) {
        let me = self.me;
        if me.step == Step::Node {
            if me.base != NONE && self.rules.unchanged != Unchanged::Never {
                self.go(Client { step: Step::Publish, ..me }, "take everything over", out);
                if self.rules.unchanged == Unchanged::Always {
                    return;
                }
            }
            for node in members(me.usable & self.state.nodes).chain([NONE]) {
                self.go(Client { step: Step::Datum, node, ..me }, "look the node up", out);
            }
            return;
        }
        let after = |me: Client| {
            let missing = me.node == NONE || (me.datum == NONE && me.base == NONE);
            Client { step: if missing { Step::Store } else { self.announcement() }, ..me }
        };
        if me.base != NONE {
            self.go(after(me), "take the datum over", out);
            return;
        }
        for datum in members(me.usable & self.state.data).chain([NONE]) {
            self.go(after(Client { datum, ..me }), "look the datum up", out);
        }
    }

    fn announcement(&self) -> Step {
        if self.rules.pending { Step::Announce } else { self.validation(Stage::Before) }
    }

    fn validation(&self, stage: Stage) -> Step {
        match stage {
            Stage::Fresh => self.announcement(),
            Stage::Before if !self.rules.validate_before => Step::Publish,
            Stage::After if !self.rules.validate_after => self.sight(),
            _ if self.rules.existence_first => Step::Early,
            _ => Step::ReadDooms,
        }
    }

    fn sight(&self) -> Step {
        if self.rules.own_pending_seen_again && self.rules.pending { Step::Seen } else { Step::Report }
    }

    /// B2, also for what is stored again.
    fn store(&self, out: &mut Steps) {
        let mut next = *self.state;
        let (node, datum) = (self.me.node == NONE, self.me.datum == NONE && self.me.base == NONE);
        let Some(name) = next.put_segment(self.rules, self.world, node, datum) else { return };
        let mut me = Client { step: Step::Name, note: bit(name), ..self.me };
        me.usable |= bit(name);
        if node {
            me.node = name;
        }
        if datum {
            me.datum = name;
        }
        next.clients[self.k] = me;
        out.push((next, "B2 put segment"));
    }

    /// The fragment, and B4.
    fn announce(&self, out: &mut Steps) {
        let me = self.me;
        let complete = bit(2 * self.k as u8 + 1);
        match me.step {
            Step::Name => {
                let step = match me.stage {
                    Stage::Fresh => self.announcement(),
                    _ if !self.rules.validate_again => self.validated(me.stage),
                    stage => self.validation(stage),
                };
                let mut next = *self.state;
                if next.put_fragment(self.world, me.note).is_some() {
                    let turn = Turn { state: &next, ..*self };
                    turn.go(Client { step, note: 0, ..me }, "B2 put fragment", out);
                }
            }
            Step::Announce => {
                let step =
                    if self.rules.first_pending_stays { self.validation(Stage::Before) } else { Step::DropFirst };
                self.change(Client { step, stage: Stage::Before, ..me }, "B4 put pending", out, |next| {
                    next.there.pendings |= complete;
                    next.announced |= complete;
                    next.expired &= !complete;
                    next.protect(complete, true);
                });
            }
            _ => {
                let step = self.validation(Stage::Before);
                self.change(Client { step, ..me }, "the first pending goes too early", out, |next| {
                    next.there.pendings &= !bit(2 * self.k as u8);
                });
            }
        }
    }

    fn validated(&self, stage: Stage) -> Step {
        match stage {
            Stage::Fresh | Stage::Before => Step::Publish,
            Stage::After => self.sight(),
            Stage::Resolved => Step::Report,
        }
    }

    /// B5.
    fn validate(&self, out: &mut Steps) {
        let me = self.me;
        match me.step {
            Step::Early => {
                for note in self.segments() {
                    self.go(Client { step: Step::ReadDooms, note, ..me }, "B5 list segments too early", out);
                }
            }
            Step::ReadDooms => {
                // what was lifted in between counts as well, unless it may come back
                let certain = self.world.lists == Lists::Exact && self.world.duplicates == 0;
                let warned = certain && me.relies() & self.state.ever_doomed != 0;
                for doomed in self.dooms() {
                    let me = Client { step: Step::ReadEpoch, doomed, warned, ..me };
                    if self.rules.existence && !self.rules.existence_first {
                        self.go(me, "B5 read dooms", out);
                        continue;
                    }
                    let here = if self.rules.existence_first { me.note } else { Set::MAX };
                    self.judge(me, doomed | !here, "B5 read dooms", out);
                }
            }
            Step::ReadEpoch => {
                for epoch in self.epochs() {
                    let moved = epoch != me.epoch || (self.rules.empty_epoch_moved && epoch == 0);
                    if moved || me.relies() & me.doomed != 0 {
                        self.go(Client { step: Step::List, note: epoch, ..me }, "B5 read epoch, which moved", out);
                    } else {
                        self.judge(me, 0, "B5 read epoch", out);
                    }
                }
            }
            _ => {
                for listed in self.segments() {
                    let bad = me.doomed | !listed;
                    let mut me = me;
                    if me.relies() & bad == 0 {
                        me.epoch = me.note;
                        if self.rules.withdraw_unusable {
                            me.usable &= !bad;
                        }
                    }
                    self.judge(me, bad, "B5 list segments", out);
                }
            }
        }
    }

    /// Goes on if nothing relied on is bad.
    fn judge(&self, me: Client, bad: Set, name: &'static str, out: &mut Steps) {
        let lost = me.relies() & bad;
        if lost != 0 {
            self.go(Client { step: Step::Mend, note: lost, doomed: 0, warned: false, ..me }, name, out);
            return;
        }
        let name = if me.warned { "I3: a doomed segment is relied on" } else { name };
        self.go(Client { step: self.validated(me.stage), doomed: 0, note: 0, warned: false, ..me }, name, out);
    }

    /// What was lost is found elsewhere or copied; if it is gone, everything begins again.
    fn mend(&self, out: &mut Steps) {
        let lost = self.me.note;
        let mut me = Client { usable: self.me.usable & !lost, note: 0, ..self.me };
        if lost & !self.state.there.segments != 0 && self.rules.announce_new_root {
            let archive = bit(self.k as u8 + 1);
            self.change(Client::default(), "overtaken: begin again", out, |next| next.there.archives &= !archive);
            return;
        }
        let other = |holders: Set| members(me.usable & holders).next().unwrap_or(NONE);
        let is_lost = |name: u8| name != NONE && lost & bit(name) != 0;
        if is_lost(me.node) {
            me.node = other(self.state.nodes);
        }
        if is_lost(me.datum) {
            me.datum = other(self.state.data);
        }
        let whole = me.node != NONE && (me.datum != NONE || me.base != NONE);
        me.step = if whole { self.validation(me.stage) } else { Step::Store };
        self.change(me, "copy what is lost", out, |next| {
            if lost & !self.state.there.segments != 0 {
                // read again from a source that changed: the pendings name another root
                next.protect(0b11 << (2 * self.k), false);
                next.idle_archives |= bit(self.k as u8 + 1) & next.there.archives;
            }
        });
    }

    /// B6, b4, B7.
    fn publish(&self, out: &mut Steps) {
        let me = self.me;
        let (first, complete) = (bit(2 * self.k as u8), bit(2 * self.k as u8 + 1));
        match me.step {
            Step::Publish => {
                // Who relies on nothing has nothing to validate.
                let step = if me.relies() == 0 { self.sight() } else { self.validation(Stage::After) };
                self.change(Client { step, stage: Stage::After, ..me }, "B6 put archive", out, |next| {
                    next.there.archives |= bit(self.k as u8 + 1);
                });
            }
            Step::Seen => {
                let own = if self.rules.first_pending_stays { first } else { complete };
                let given_up = self.rules.expiry_told && self.state.expired & own != 0;
                let there = self.state.there.pendings & own != 0 && !given_up;
                let step = if there { Step::Report } else { Step::Resolve };
                self.go(Client { step, ..me }, "b4 is my pending still there?", out);
            }
            Step::Resolve => {
                let mut me = me;
                let known = |holders: Set| members(me.usable & holders).next().unwrap_or(NONE);
                let (node, datum) = (known(self.state.nodes), known(self.state.data));
                me.node = if me.node == NONE { node } else { me.node };
                me.datum = if me.datum == NONE { datum } else { me.datum };
                if me.node == NONE || me.datum == NONE {
                    let archive = bit(self.k as u8 + 1);
                    self.change(Client::default(), "a chunk is gone: begin again", out, |next| {
                        next.there.archives &= !archive;
                    });
                    return;
                }
                me = Client { base: NONE, stage: Stage::Resolved, ..me };
                me.step = self.validation(me.stage);
                self.go(me, "b4 look every chunk up", out);
            }
            Step::Report => {
                self.change(Client { step: Step::Tidy, ..Client::default() }, "B7 report", out, |next| {
                    next.reported |= bit(self.k as u8);
                    next.idle_archives &= !bit(self.k as u8 + 1);
                });
            }
            _ => {
                self.change(Client { step: Step::Done, ..me }, "B7 delete pendings", out, |next| {
                    next.there.pendings &= !(first | complete);
                });
            }
        }
    }
}
