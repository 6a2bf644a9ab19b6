//! How far advertising is, for `status` to look at.
//!
//! Owns: the last that the machine and the thread that lists keys said. Refuses: to change
//! anything about either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shoal_protocol::advert::{Advert, Sent, Sweeping};
use shoal_store::adverts::AdvertList;

use crate::api::AdvertStatus;

/// See the top of this file. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    keys: Option<Keys>,
    machine: Option<Machine>,
}

#[derive(Debug, Clone, Copy)]
struct Keys {
    listed: u64,
    there: u64,
}

#[derive(Debug, Clone, Copy)]
struct Machine {
    at: Instant,
    sweeping: Sweeping,
    sent: Sent,
    room: Option<u64>,
}

impl Shown {
    /// Keys were listed for a sweep, or fewer or more of them are loaded.
    pub(super) fn listed(&self, list: Option<&AdvertList>) {
        self.change(|state| {
            state.keys = list.map(|list| Keys {
                listed: list.keys(),
                there: list.total(),
            });
        });
    }

    /// The machine has done something.
    pub(super) fn machine(&self, at: Instant, machine: &Advert) {
        self.change(|state| {
            state.machine = Some(Machine {
                at,
                sweeping: machine.sweeping(at),
                sent: machine.sent(),
                room: machine.capacity(),
            });
        });
    }

    /// Everything begins anew.
    pub(super) fn clear(&self) {
        self.change(|state| *state = State::default());
    }

    /// What there is to say; nothing before there is a team to advertise to.
    pub(super) fn status(&self, now: Instant) -> Option<AdvertStatus> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = state.machine?;
        let Sweeping {
            done,
            began_ago,
            took,
            next_in,
            interval,
        } = machine.sweeping;
        let since = now.saturating_duration_since(machine.at);
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Some(AdvertStatus {
            keys: state.keys.map(|keys| keys.there),
            keys_listed: state.keys.map(|keys| keys.listed),
            keys_room: machine.room,
            done_permille: (done * 1000.0) as u32,
            began_ago_s: (began_ago + since).as_secs(),
            took_ms: took.map(milliseconds),
            next_in_s: next_in.map(|next_in| next_in.saturating_sub(since).as_secs()),
            interval_s: interval.as_secs(),
            sweeps: machine.sent.sweeps,
            lookups: machine.sent.lookups,
            batches: machine.sent.batches,
            keys_sent: machine.sent.keys,
            keys_refused: machine.sent.refused,
            keys_given_up: machine.sent.given_up,
        })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
