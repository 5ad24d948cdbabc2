//! The judge of all lives of a server together: no later life may contradict what clients and the host have
//! been told.
//!
//! It knows only what the server has told. A turn is identified by its epoch, ring and number, like in a
//! client's fence.

use std::collections::{HashMap, HashSet};

use taketurns::turn::Judging;

use super::book::Counted;
use crate::network::World;

/// The identity of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Turn {
    pub(super) epoch: String,
    pub(super) ring: String,
    pub(super) number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    client: String,
    text: String,
}

#[derive(Default)]
pub(super) struct History {
    /// The client that was told that it has the turn.
    holders: HashMap<Turn, String>,
    /// The accepted answer, as its client or the host was told.
    answers: HashMap<Turn, Answer>,
    /// Turns whose client has been told that its answer counts. A `GO` may be read after the host learns of
    /// the answer, but not after the client does.
    confirmed: HashSet<Turn>,
    /// The last turn that was reported to the host, by epoch and ring.
    last: HashMap<(String, String), u64>,
}

impl History {
    /// Checks a restarted server: the host's state for a ring must not be older than the ring's last answer,
    /// or than the last one that was reported to the host.
    pub(super) fn begin_life(&self, world: &World) {
        if !world.has_store() || world.config().rules.judging != Judging::Host {
            return;
        }
        let (server, epoch) = (world.server(), world.server().epoch().to_string());
        for (name, ring) in &world.store().state().rings {
            let state = server.host_state(name);
            let state =
                state.map(|state| u64::from_le_bytes(state.try_into().expect("the number of a turn")));
            let answered = ring.seats.values().filter_map(|seat| seat.last).map(|last| last.turn.get()).max();
            let of_ring = |turn: &&Turn| turn.epoch == epoch && turn.ring == name.as_str();
            let heard = self.answers.keys().filter(of_ring).map(|turn| turn.number).max();
            // A ring that was forgotten and created again has none.
            let least = answered.max(heard.filter(|_| state.is_some()));
            assert!(state >= least, "M23: the state is of turn {state:?}, and {least:?} counted");
        }
    }

    /// Notes that `client` was told that it has `turn`. Returns whether that was for the first time.
    pub(super) fn note_go(&mut self, turn: Turn, client: &str) -> bool {
        if let Some(answer) = self.answers.get(&turn) {
            assert!(
                answer.client == client && !self.confirmed.contains(&turn),
                "S3: {client} is granted {turn:?}, for which {answer:?} counted"
            );
        }
        let is_first = !self.holders.contains_key(&turn);
        let holder = self.holders.entry(turn.clone()).or_insert_with(|| client.to_owned());
        assert_eq!(*holder, client, "S1: the holders of {turn:?}");
        is_first
    }

    /// Returns whether an answer to `turn` counted, as far as its client or the host was told.
    pub(super) fn is_counted(&self, turn: &Turn) -> bool {
        self.answers.contains_key(turn)
    }

    /// Notes that the host was told of a grant.
    pub(super) fn note_grant(&mut self, turn: Turn) {
        let last = self.last.entry((turn.epoch, turn.ring)).or_default();
        assert!(turn.number > *last, "S2: {} is granted, in whatever life, after {last}", turn.number);
        *last = turn.number;
    }

    /// Notes that `client` was told that its answer counts.
    pub(super) fn note_ok(&mut self, turn: Turn, client: &str, text: &str) {
        self.confirmed.insert(turn.clone());
        self.note_answer(turn, Answer { client: client.to_owned(), text: text.to_owned() });
    }

    /// Notes that the host was told of an accepted answer.
    pub(super) fn note_counted(&mut self, epoch: String, counted: &Counted) {
        let Some(ring) = counted.ring.clone() else { return };
        let turn = Turn { epoch, ring, number: counted.turn };
        self.note_answer(turn, Answer { client: counted.name.clone(), text: counted.text.clone() });
    }

    fn note_answer(&mut self, turn: Turn, answer: Answer) {
        if let Some(holder) = self.holders.get(&turn) {
            assert_eq!(*holder, answer.client, "S3: who held {turn:?}, and who has answered");
        }
        let counted = self.answers.entry(turn.clone()).or_insert_with(|| answer.clone());
        assert_eq!(*counted, answer, "S3: the answers to {turn:?}");
    }
}
