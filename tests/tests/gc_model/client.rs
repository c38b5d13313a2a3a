//! What a client may do next.

use super::state::{Client, Rules, Size, Stage, State, members};

/// Every step of client `k`, and what it is called.
pub fn steps(rules: &Rules, size: Size, state: &State, k: usize, out: &mut Vec<(State, &'static str)>) {
    let client = state.clients[k];
    let begun = !matches!(client, Client::Start | Client::Done | Client::Dead)
        && !matches!(client, Client::ReadFirst { .. } | Client::ReadSecond { .. } | Client::ListFirst { .. });
    if begun {
        out.push((with(state, k, Client::Dead), "client crashes"));
    }
    match client {
        Client::Start => start(rules, state, k, out),
        Client::ReadFirst { epoch } => {
            let seen = if rules.dooms_before_index { state.doomed() } else { state.indexed };
            out.push((with(state, k, Client::ReadSecond { epoch, seen }), "B1 first read"));
        }
        Client::ReadSecond { epoch, seen } => {
            let candidates = if rules.dooms_before_index { state.indexed & !seen } else { seen & !state.doomed() };
            if rules.list_at_start {
                out.push((with(state, k, Client::ListFirst { epoch, candidates }), "B1 second read"));
            } else {
                choose(rules, state, k, epoch, candidates, out);
            }
        }
        Client::ListFirst { epoch, candidates } => {
            choose(rules, state, k, epoch, candidates & state.existing(), out);
        }
        Client::Upload { epoch, stage } => upload(rules, size, state, k, epoch, stage, out),
        Client::Index { epoch, stage, relies } => {
            let mut next = with(state, k, after_index(rules, epoch, stage, relies));
            next.indexed |= 1 << relies;
            out.push((next, "B2 put index"));
        }
        Client::Announce { epoch, relies } => {
            let follow = if rules.validate_before {
                validation(rules, epoch, Stage::Before, relies)
            } else {
                Client::Publish { epoch, relies }
            };
            let mut next = with(state, k, follow);
            next.pendings |= 1 << k;
            out.push((next, "B4 put pending"));
        }
        Client::Publish { epoch, relies } => {
            let follow =
                if rules.validate_after { validation(rules, epoch, Stage::After, relies) } else { Client::Report };
            let mut next = with(state, k, follow);
            next.archives |= 2 << k;
            out.push((next, "B6 put archive"));
        }
        Client::Report => {
            let mut next = with(state, k, Client::Done);
            next.reported |= 1 << k;
            next.pendings &= !(1 << k);
            out.push((next, "B7 report, delete pending"));
        }
        Client::Done | Client::Dead => {}
        Client::AnnounceBase { .. } | Client::CheckBase | Client::PublishBased | Client::CheckPending => {
            based(rules, state, k, client, out);
        }
        _ => validate(rules, size, state, k, client, out),
    }
}

fn with(state: &State, k: usize, client: Client) -> State {
    let mut next = *state;
    next.clients[k] = client;
    next
}

fn start(rules: &Rules, state: &State, k: usize, out: &mut Vec<(State, &'static str)>) {
    out.push((with(state, k, Client::ReadFirst { epoch: state.epoch }), "B0 read epoch"));
    if rules.base && state.archives & 1 != 0 {
        out.push((with(state, k, Client::AnnounceBase { live: true }), "take the old archive as base"));
    }
}

/// Relies on any candidate, or on none of them.
fn choose(rules: &Rules, state: &State, k: usize, epoch: u8, usable: u8, out: &mut Vec<(State, &'static str)>) {
    for relies in members(usable) {
        let follow = after_index(rules, epoch, Stage::Fresh, relies);
        out.push((with(state, k, follow), "B1 rely on a segment"));
    }
    out.push((with(state, k, Client::Upload { epoch, stage: Stage::Fresh }), "B1 rely on none"));
}

fn upload(
    rules: &Rules,
    size: Size,
    state: &State,
    k: usize,
    epoch: u8,
    stage: Stage,
    out: &mut Vec<(State, &'static str)>,
) {
    let mut next = *state;
    let relies = if rules.names_reused { 0 } else { state.next_segment };
    if usize::from(relies) >= size.segments {
        return;
    }
    if rules.names_reused {
        next.deleted &= !1;
    } else {
        next.next_segment += 1;
    }
    next.created |= 1 << relies;
    next.clients[k] = Client::Index { epoch, stage, relies };
    out.push((next, "B2 put segment"));
}

fn after_index(rules: &Rules, epoch: u8, stage: Stage, relies: u8) -> Client {
    match stage {
        Stage::Fresh if rules.pending => Client::Announce { epoch, relies },
        Stage::Fresh if rules.validate_before => validation(rules, epoch, Stage::Before, relies),
        Stage::Fresh => Client::Publish { epoch, relies },
        stage => validation(rules, epoch, stage, relies),
    }
}

fn validation(rules: &Rules, epoch: u8, stage: Stage, relies: u8) -> Client {
    if rules.existence_first {
        return Client::ListEarly { epoch, stage, relies };
    }
    Client::ReadDooms { epoch, stage, relies, here: true }
}

fn validated(epoch: u8, stage: Stage, relies: u8) -> Client {
    if stage == Stage::After { Client::Report } else { Client::Publish { epoch, relies } }
}

/// B5.
fn validate(rules: &Rules, _: Size, state: &State, k: usize, client: Client, out: &mut Vec<(State, &'static str)>) {
    let is_doomed = |relies: u8| state.doomed() >> relies & 1 != 0;
    let exists = |relies: u8| state.existing() >> relies & 1 != 0;
    let (follow, step) = match client {
        Client::ListEarly { epoch, stage, relies } => {
            (Client::ReadDooms { epoch, stage, relies, here: exists(relies) }, "B5 list segments too early")
        }
        Client::ReadDooms { epoch, stage, relies, here } => {
            let doomed = is_doomed(relies);
            let follow = if rules.existence && !rules.existence_first {
                Client::ReadEpoch { epoch, stage, relies, doomed }
            } else if doomed || !here {
                Client::Upload { epoch, stage }
            } else {
                validated(epoch, stage, relies)
            };
            (follow, "B5 read dooms")
        }
        Client::ReadEpoch { epoch, stage, relies, doomed } => {
            let follow = if doomed {
                Client::Upload { epoch, stage }
            } else if state.epoch == epoch {
                validated(epoch, stage, relies)
            } else {
                // the epoch to compare with from now on, if the list agrees
                Client::List { epoch: state.epoch, stage, relies, doomed }
            };
            (follow, "B5 read epoch")
        }
        Client::List { epoch, stage, relies, .. } => {
            let follow = if exists(relies) { validated(epoch, stage, relies) } else { Client::Upload { epoch, stage } };
            (follow, "B5 list segments")
        }
        _ => return,
    };
    out.push((with(state, k, follow), step));
}

/// b1 to b4: an archive that relies on the old one alone.
fn based(rules: &Rules, state: &State, k: usize, client: Client, out: &mut Vec<(State, &'static str)>) {
    let live = state.archives & 1 != 0;
    // what does not hold is begun again, without a base
    let again = Client::ReadFirst { epoch: state.epoch };
    let (mut next, step) = match client {
        Client::AnnounceBase { live: seen } => {
            if rules.base_checked_before_pending && !seen {
                return;
            }
            let follow = if rules.base_checked && !rules.base_checked_before_pending {
                Client::CheckBase
            } else {
                Client::PublishBased
            };
            let mut next = with(state, k, follow);
            next.pendings |= 1 << k;
            (next, "b1 put pending that names the base")
        }
        Client::CheckBase => (with(state, k, if live { Client::PublishBased } else { again }), "b2 is the base live?"),
        Client::PublishBased => {
            let follow = if rules.own_pending_seen_again { Client::CheckPending } else { Client::Report };
            (with(state, k, follow), "put archive built on the base")
        }
        _ => {
            let there = state.pendings >> k & 1 != 0;
            (with(state, k, if there { Client::Report } else { again }), "b4 is my pending still there?")
        }
    };
    if client == Client::PublishBased {
        next.archives |= 2 << k;
    }
    out.push((next, step));
}
