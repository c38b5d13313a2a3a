//! What a collector may do next.

use super::search::Steps;
use super::state::{Lists, Looks, Names, Rules, Set, State, World, bit, members, shown};

/// A collector: where it is and what it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Collector {
    step: Step,
    /// What was there when the list began that it reads next, where lists are torn.
    from: Set,
    /// Its doom, and which of its segments are still to be deleted.
    doom: u8,
    chosen: Set,
    /// What its looks found that needs both chunks.
    needed: Needed,
    /// What the step after this one needs.
    note: Set,
    /// How often it waits for L before the next step, and what was there when it began to wait.
    waits: u8,
    known: Names,
}

/// What needs both chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Needed {
    #[default]
    Nothing,
    Pending,
    Archive,
}

/// What a collector does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Step {
    /// G1 to G4 have an arbitrary outcome.
    #[default]
    Idle,
    /// G5.
    Doom,
    /// G6, up to three times.
    Look(u8),
    /// G7: dooms, then copies; the copy (of the node, of the datum), its name, and again.
    ReadDooms,
    FindCopies,
    Copy(bool, bool),
    NameCopy,
    /// G8, one by one.
    Delete,
    /// G9: lists the epoch, puts a new name, deletes the old ones.
    ListEpochs,
    PutEpoch,
    DeleteEpochs,
    /// G10: fragments, then (here: after a list that came too early) segments; the new fragment; the old ones go.
    EarlySegments,
    ReadFragments,
    ListSegments,
    Replace,
    DeleteFragments,
    Lift,
    Dead,
}

impl Collector {
    pub fn dead() -> Self {
        Self { step: Step::Dead, ..Self::default() }
    }
}

/// One collector in one state.
struct Turn<'a> {
    rules: &'a Rules,
    world: World,
    state: &'a State,
    i: usize,
    me: Collector,
}

/// Every step of collector `i`, and what it is called.
pub fn steps(rules: &Rules, world: World, state: &State, i: usize, out: &mut Steps) {
    let me = state.collectors[i];
    let turn = Turn { rules, world, state, i, me };
    if world.deaths && !matches!(me.step, Step::Idle | Step::Dead) {
        turn.go(Collector::dead(), "collector dies", out);
    }
    if me.waits > 0 {
        let me = Collector { waits: me.waits - 1, known: Names::default(), ..me };
        turn.change(me, "collector waits", out, |next| next.listed.settle(&turn.me.known, &next.there));
        return;
    }
    match me.step {
        Step::Idle => turn.choose(out),
        Step::Doom => turn.doom(out),
        Step::Look(_) => turn.look(out),
        Step::ReadDooms | Step::FindCopies => turn.find(out),
        Step::Copy(..) | Step::NameCopy => turn.copy(out),
        Step::Delete => turn.delete(out),
        Step::ListEpochs | Step::PutEpoch | Step::DeleteEpochs => turn.bump(out),
        Step::EarlySegments | Step::ReadFragments | Step::ListSegments => turn.read_index(out),
        Step::Replace | Step::DeleteFragments | Step::Lift => turn.end(out),
        Step::Dead => {}
    }
}

impl Turn<'_> {
    fn go(&self, me: Collector, name: &'static str, out: &mut Steps) {
        self.change(me, name, out, |_| {});
    }

    /// As another collector; a list that is next, or a wait, begins now.
    fn change(&self, me: Collector, name: &'static str, out: &mut Steps, change: impl FnOnce(&mut State)) {
        let mut next = *self.state;
        change(&mut next);
        next.collectors[self.i] = me;
        let there = next.there;
        let mine = &mut next.collectors[self.i];
        if self.world.lists != Lists::Stale {
            mine.waits = 0;
        } else if mine.waits > 0 {
            mine.known = there;
        }
        mine.from = match me.step {
            _ if self.world.lists != Lists::Torn => 0,
            Step::Look(number) if sees_pendings(self.rules.looks, number) => there.pendings,
            Step::Look(_) => there.archives,
            Step::ReadDooms => there.dooms,
            Step::FindCopies | Step::ListSegments | Step::EarlySegments => there.segments,
            Step::ListEpochs => there.epochs,
            Step::ReadFragments => there.fragments,
            _ => 0,
        };
        out.push((next, name));
    }

    /// What the list may show that this step reads.
    fn shown(&self, stale: Set, now: Set) -> impl Iterator<Item = Set> + use<> {
        let before = if self.world.lists == Lists::Stale { stale } else { self.me.from };
        shown(self.world.lists, before, now)
    }

    fn segments(&self) -> impl Iterator<Item = Set> + use<> {
        self.shown(self.state.listed.segments, self.state.there.segments)
    }

    fn choose(&self, out: &mut Steps) {
        let (state, doomed) = (self.state, self.state.doomed_by(Set::MAX));
        let among = state.there.segments & if self.rules.lift_of_others { !doomed } else { Set::MAX };
        if usize::from(state.dooms_made) < self.world.dooms {
            for chosen in (1..=among).filter(|chosen| chosen & !among == 0) {
                let left = |holders: Set| holders & state.there.segments & !doomed & !chosen != 0;
                let needed = (state.there.archives | state.there.pendings) != 0;
                if !self.rules.look_after_doom && needed && !(left(state.nodes) && left(state.data)) {
                    continue;
                }
                let me = Collector { step: Step::Doom, doom: state.dooms_made, chosen, ..self.me };
                self.change(me, "G3 choose segments", out, |next| next.dooms_made += 1);
            }
        }
        for doom in members(state.there.dooms) {
            let chosen = state.dooms[usize::from(doom)];
            if self.rules.lift_of_others {
                let me = Collector { step: Step::Look(0), doom, chosen, ..self.me };
                self.go(me, "G2 carry out the doom of another", out);
            }
            if self.rules.revocable_doom {
                self.change(self.me, "a doom is taken back", out, |next| next.there.dooms &= !bit(doom));
            }
        }
        if self.rules.expiry {
            for pending in members(state.there.pendings) {
                self.change(self.me, "G10 a pending expires", out, |next| {
                    next.there.pendings &= !bit(pending);
                    next.expired |= bit(pending);
                });
            }
        }
    }

    /// G5.
    fn doom(&self, out: &mut Steps) {
        let step = if self.rules.look_after_doom { Step::Look(0) } else { Step::Delete };
        let me = Collector { step, waits: self.rules.waits.0, ..self.me };
        self.change(me, "G5 put doom", out, |next| {
            next.there.dooms |= bit(me.doom);
            next.dooms_put |= bit(me.doom);
            next.dooms[usize::from(me.doom)] = me.chosen;
            next.ever_doomed |= me.chosen;
        });
    }

    /// G6.
    fn look(&self, out: &mut Steps) {
        let (me, there) = (self.me, self.state.there);
        let Step::Look(number) = me.step else { return };
        let pendings = sees_pendings(self.rules.looks, number);
        let listed = self.state.listed;
        let (before, now) =
            if pendings { (listed.pendings, there.pendings) } else { (listed.archives, there.archives) };
        for shown in self.shown(before, now) {
            // what is listed and can not be got went meanwhile
            let idle = if pendings { self.state.idle_pendings | self.state.expired } else { self.state.idle_archives };
            let found = match (shown & now & !idle, pendings) {
                (0, _) => Needed::Nothing,
                (_, true) => Needed::Pending,
                (_, false) => Needed::Archive,
            };
            let needed = me.needed.max(found);
            let more = number + 1 < if self.rules.looks == Looks::ArchivesPendingsArchives { 3 } else { 2 };
            let step = match needed {
                _ if more => Step::Look(number + 1),
                Needed::Nothing => Step::Delete,
                _ => Step::ReadDooms,
            };
            let waits = if more { self.rules.waits.1 } else { 0 };
            self.go(Collector { step, needed, waits, ..me }, "G6 look", out);
        }
    }

    /// G7: what is needed and has no copy that stays.
    fn find(&self, out: &mut Steps) {
        let (me, state) = (self.me, self.state);
        if me.step == Step::ReadDooms {
            for dooms in self.shown(state.listed.dooms, state.there.dooms) {
                let others = if self.rules.heed_other_dooms { state.doomed_by(dooms) } else { 0 };
                let note = others | state.dooms[usize::from(me.doom)];
                self.go(Collector { step: Step::FindCopies, note, ..me }, "G7 read dooms", out);
            }
            return;
        }
        let readable = state.nodes & state.there.segments != 0;
        if !readable && me.needed == Needed::Archive && self.rules.refuse_broken {
            self.go(Collector::dead(), "G7 refuses: a node of a live archive is gone", out);
            return;
        }
        for listed in self.segments() {
            let missing = |holders: Set| holders & listed & !me.note == 0;
            let (node, datum) = (readable && missing(state.nodes), readable && missing(state.data));
            let copy = (node || datum) && self.rules.evacuate;
            let step = if copy { Step::Copy(node, datum) } else { Step::Delete };
            self.go(Collector { step, note: 0, ..me }, "G7 find copies", out);
        }
    }

    fn copy(&self, out: &mut Steps) {
        let (me, state) = (self.me, self.state);
        let Step::Copy(node, datum) = me.step else {
            let step = if self.rules.check_copies { Step::ReadDooms } else { Step::Delete };
            let mut next = *state;
            if next.put_fragment(self.world, me.note).is_some() {
                let turn = Turn { state: &next, ..*self };
                turn.go(Collector { step, note: 0, ..me }, "G7 put fragment", out);
            }
            return;
        };
        let gone = |holders: Set| holders & state.there.segments == 0;
        let (node_gone, datum_gone) = (node && gone(state.nodes), datum && gone(state.data));
        if node_gone || datum_gone {
            // what has no source any more is not asked for again: nothing is left to save of it
            let (node, datum) = (node && !node_gone, datum && !datum_gone);
            let step = if node || datum { Step::Copy(node, datum) } else { Step::Delete };
            self.go(Collector { step, ..me }, "G7 the source went", out);
            return;
        }
        let mut next = *state;
        if let Some(name) = next.put_segment(self.rules, self.world, node, datum) {
            let turn = Turn { state: &next, ..*self };
            turn.go(Collector { step: Step::NameCopy, note: bit(name), ..me }, "G7 put copy", out);
        }
    }

    /// G8.
    fn delete(&self, out: &mut Steps) {
        let me = Collector { needed: Needed::Nothing, note: 0, ..self.me };
        let Some(segment) = members(me.chosen).next() else {
            let step = if self.rules.bump_before_lift { Step::ListEpochs } else { self.index_step() };
            self.go(Collector { step, waits: 2, ..me }, "G8 all deleted", out);
            return;
        };
        self.change(Collector { chosen: me.chosen & !bit(segment), ..me }, "G8 delete segment", out, |next| {
            next.there.segments &= !bit(segment);
        });
    }

    fn index_step(&self) -> Step {
        if self.rules.later_list { Step::ReadFragments } else { Step::EarlySegments }
    }

    /// G9.
    fn bump(&self, out: &mut Steps) {
        let (me, state) = (self.me, self.state);
        let lifted = self.rules.bump_after_lift && state.there.dooms & bit(me.doom) == 0;
        match me.step {
            Step::ListEpochs => {
                for note in self.shown(state.listed.epochs, state.there.epochs) {
                    self.go(Collector { step: Step::PutEpoch, note, ..me }, "G9 list epoch", out);
                }
            }
            Step::PutEpoch if usize::from(state.epochs_made) < super::state::NAMES_MAX => {
                let step = if self.rules.epoch_set { Step::DeleteEpochs } else { self.index_step() };
                self.change(Collector { step, ..me }, "G9 put epoch", out, |next| {
                    let kept = if self.rules.epoch_set { next.there.epochs } else { 0 };
                    next.there.epochs = kept | bit(next.epochs_made);
                    next.epochs_made += 1;
                });
            }
            Step::DeleteEpochs => {
                let done = Collector { step: self.index_step(), note: 0, waits: 2, ..me };
                let me = if lifted { Collector::default() } else { done };
                self.change(me, "G9 delete old epochs", out, |next| next.there.epochs &= !self.me.note);
            }
            _ => {}
        }
    }

    /// G10: what the index says, and what exists.
    fn read_index(&self, out: &mut Steps) {
        let (me, state) = (self.me, self.state);
        match me.step {
            Step::EarlySegments => {
                for listed in self.segments() {
                    let me = Collector { step: Step::ReadFragments, chosen: listed, ..me };
                    self.go(me, "G10 list segments too early", out);
                }
            }
            Step::ReadFragments => {
                for shown in self.shown(state.listed.fragments, state.there.fragments) {
                    let step = if self.rules.later_list { Step::ListSegments } else { Step::Replace };
                    let me = Collector { step, note: shown & state.there.fragments, waits: 1, ..me };
                    self.go(me, "G10 read fragments", out);
                }
            }
            _ => {
                for listed in self.segments() {
                    self.go(Collector { step: Step::Replace, chosen: listed, ..me }, "G10 list segments", out);
                }
            }
        }
    }

    /// G10: fragments are replaced, the doom is lifted. `note` is the fragments, `chosen` the segments listed.
    fn end(&self, out: &mut Steps) {
        let (me, state) = (self.me, self.state);
        let doomed = state.dooms[usize::from(me.doom)];
        match me.step {
            Step::Replace => {
                let keep = me.chosen & !doomed;
                let affected = |number: &u8| state.fragments[usize::from(*number)] & !keep != 0;
                let old = members(me.note & state.there.fragments).filter(affected).fold(0, |all, old| all | bit(old));
                self.replace(keep, old, out);
                if !self.rules.delete_only_read {
                    // one of them could not be read, and goes all the same
                    members(old)
                        .for_each(|unread| self.replace(keep & !state.fragments[usize::from(unread)], old, out));
                }
            }
            Step::DeleteFragments => {
                let Some(fragment) = members(me.note).next() else {
                    self.go(Collector { step: Step::Lift, chosen: 0, waits: 2, ..me }, "G10 fragments deleted", out);
                    return;
                };
                let me = Collector { note: me.note & !bit(fragment), ..me };
                self.change(me, "G10 delete fragment", out, |next| next.there.fragments &= !bit(fragment));
            }
            _ => {
                let late = Collector { step: Step::ListEpochs, doom: me.doom, ..Collector::default() };
                let me = if self.rules.bump_after_lift { late } else { Collector::default() };
                self.change(me, "G10 lift doom", out, |next| next.there.dooms &= !bit(self.me.doom));
            }
        }
    }

    fn replace(&self, keep: Set, old: Set, out: &mut Steps) {
        let lift = Collector { step: Step::Lift, note: 0, chosen: 0, waits: 2, ..self.me };
        if self.world.fragments == 0 {
            let doomed = self.state.dooms[usize::from(self.me.doom)];
            self.change(lift, "G10 rewrite index", out, |next| next.fragments[0] &= !doomed);
            return;
        }
        let kept = self.state.named_by(old) & keep;
        let mut next = *self.state;
        if kept != 0 && next.put_fragment(self.world, kept).is_none() {
            return;
        }
        let turn = Turn { state: &next, ..*self };
        turn.go(Collector { step: Step::DeleteFragments, note: old, chosen: 0, ..self.me }, "G10 put fragment", out);
    }
}

fn sees_pendings(looks: Looks, number: u8) -> bool {
    number == if looks == Looks::PendingsArchives { 0 } else { 1 }
}
