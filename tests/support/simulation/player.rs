//! The line framing: a client as the protocol wants it, with fenced answers, its secret kept, and an answer sent again if it
//! did not count. What it is told must agree with what it knows.

use std::collections::HashSet;

use super::super::world::{Peer, World, field};
use super::book::Counted;

/// When it cannot know whether its last number counted, a player goes on here: nothing can be said about the gap.
const NEXT_LIFE: i64 = 1_000_000;

pub(super) struct Player {
    pub(super) name: String,
    pub(super) ring: &'static str,
    pub(super) weight: u64,
    pub(super) peer: Option<Peer>,
    /// The life of the server in which its secret is one, and the secret.
    pub(super) secret: Option<(String, String)>,
    /// The secret that it came with, and one that must open nothing any more.
    used: Option<String>,
    pub(super) burnt: Option<String>,
    /// Its seat may be gone, or another connection's.
    is_unseated: bool,
    number: i64,
    pub(super) in_flight: Option<(u64, i64)>,
    /// The turn that it has and has not answered.
    pub(super) turn: Option<u64>,
    passed: Option<u64>,
    last_ok: Option<(u64, i64)>,
    /// How many answers it has said again, each with its own number, and has not been told of.
    repeats: u32,
    /// Whatever it has said: on which connection, for which turn, with which number.
    said: HashSet<(Peer, u64, i64)>,
    /// Something between it and the server is lost.
    pub(super) cut: bool,
    /// It has its seat on this connection, and knows it: before that it says nothing, or its secret would be confirmed
    /// without having arrived.
    pub(super) is_welcome: bool,
    /// How many `PING`s have had no `PONG` yet.
    pings: u32,
}

impl Player {
    pub(super) fn new(name: String, ring: &'static str, weight: u64) -> Player {
        Player {
            name,
            ring,
            weight,
            peer: None,
            secret: None,
            used: None,
            burnt: None,
            is_unseated: false,
            number: 1,
            in_flight: None,
            turn: None,
            passed: None,
            last_ok: None,
            repeats: 0,
            said: HashSet::new(),
            cut: false,
            is_welcome: false,
            pings: 0,
        }
    }

    // What it does.

    /// Connects, and asks for its seat.
    pub(super) fn come(&mut self, world: &mut World) {
        let peer = world.connect_quietly();
        self.peer = Some(peer);
        self.turn = None;
        self.cut = false;
        self.is_welcome = false;
        self.pings = 0;
        self.repeats = 0;
        self.used = self.secret.as_ref().map(|(_, secret)| secret.clone());
        let resume = self.used.as_ref().map(|secret| format!(" resume={secret}")).unwrap_or_default();
        world.queue(peer, &format!("JOIN {} ring={} weight={}{resume}", self.name, self.ring, self.weight));
    }

    /// Sends the number for the turn that it has.
    pub(super) fn answer(&mut self, world: &mut World) {
        let Some(peer) = self.peer.filter(|_| self.in_flight.is_none()) else { return };
        if let Some(turn) = self.turn.take() {
            self.in_flight = Some((turn, self.number));
            self.said.insert((peer, turn, self.number));
            world.queue(peer, &format!("{}:{} turn={turn}", self.name, self.number));
        }
    }

    pub(super) fn pass(&mut self, world: &mut World) {
        let Some(peer) = self.peer.filter(|_| self.in_flight.is_none()) else { return };
        if let Some(turn) = self.turn.take() {
            self.passed = Some(turn);
            world.queue(peer, &format!("PASS turn={turn}"));
        }
    }

    pub(super) fn ping(&mut self, world: &mut World) {
        if let Some(peer) = self.peer {
            self.pings += 1;
            world.queue(peer, "PING");
        }
    }

    /// Says its last answer again, or another number for the same turn.
    pub(super) fn repeat(&mut self, world: &mut World) {
        if let Some((peer, (turn, number))) = self.peer.zip(self.last_ok) {
            let is_other = world.rng.bool();
            let number = if is_other { number + 500 } else { number };
            self.repeats += u32::from(!is_other);
            world.queue(peer, &format!("{}:{number} turn={turn}", self.name));
        }
    }

    pub(super) fn leave(&mut self, world: &mut World) {
        if let Some(peer) = self.peer.filter(|_| self.in_flight.is_none() && !self.cut) {
            self.secret = None;
            self.turn = None;
            world.queue(peer, "LEAVE");
        }
    }

    // What it hears.

    pub(super) fn hear(&mut self, line: &str) {
        let turn = || field(line, "turn").parse::<u64>().expect("a number");
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "WELCOME" => self.welcome(line),
            "WAIT" => {}
            "GO" => self.turn = Some(turn()),
            "OK" => self.hear_ok(turn(), line),
            "LAPSED" => self.turn = self.turn.filter(|held| *held != turn()),
            "NO" => {
                assert!(words.len() >= 4, "T27: a code and words: {line:?}");
                // A line that cannot be read is refused under the turn that is held, too: that says nothing of an answer.
                let about_an_answer = matches!(words[2], "stale-turn" | "not-your-turn");
                self.in_flight = self.in_flight.filter(|(sent, _)| !about_an_answer || *sent != turn());
            }
            "PONG" => {
                self.pings = self.pings.checked_sub(1).expect("T27: a PONG for every PING");
                self.confirmed();
            }
            "BYE" => self.hear_bye(&words),
            _ => panic!("what is {line:?}?"),
        }
    }

    fn welcome(&mut self, line: &str) {
        let epoch = field(line, "epoch").to_owned();
        if let (Some((known, _)), Some(_)) = (&self.secret, &self.used) {
            assert_eq!(*known, epoch, "T31: a secret is good for one life of the server");
        }
        self.is_welcome = true;
        self.is_unseated = false;
        self.secret = Some((epoch, field(line, "resume").to_owned()));
        let last: u64 = field(line, "last").parse().expect("a number");
        if let Some((turn, number)) = self.in_flight.take()
            && turn == last
        {
            assert_eq!(field(line, "number"), number.to_string(), "S5: the first one stands");
            self.counted(turn);
        }
    }

    fn hear_ok(&mut self, turn: u64, line: &str) {
        self.confirmed();
        if self.in_flight.is_some_and(|(in_flight, _)| in_flight == turn) {
            self.in_flight = None;
            self.counted(turn);
        } else if self.passed.take_if(|passed| *passed == turn).is_none() {
            let again = self.repeats > 0 && self.last_ok.is_some_and(|(last, _)| last == turn);
            assert!(again, "S5: {} did not say that: {line}", self.name);
            self.repeats -= 1;
        }
    }

    fn hear_bye(&mut self, words: &[&str]) {
        assert!(words.len() >= 3, "T27: a code and words: {words:?}");
        match words[1] {
            "bad-secret" => {
                assert!(self.used.is_some(), "T22: {} came without a secret", self.name);
                assert!(self.is_unseated, "T22: {} came with the secret of its seat", self.name);
                self.secret = None;
                self.last_ok = None;
                if self.in_flight.take().is_some() {
                    self.number = (self.number / NEXT_LIFE + 1) * NEXT_LIFE + 1;
                }
            }
            "left" => self.last_ok = None,
            "superseded" | "name-taken" | "hello-timeout" | "line-timeout" | "full" | "removed"
            | "shutting-down" => {}
            code => panic!("why {code}?"),
        }
    }

    fn counted(&mut self, turn: u64) {
        self.last_ok = Some((turn, self.number));
        self.number += 1;
    }

    /// The server has read a valid line of it since it was welcomed: the secret that it came with is of no use any more.
    fn confirmed(&mut self) {
        if let Some(used) = self.used.take() {
            self.burnt = Some(used);
        }
    }

    // What must hold of it.

    /// Its seat is gone, or moved to another of its connections, by a JOIN that was on its way for longer than the one behind it.
    /// `early`: before the grace was over.
    pub(super) fn was_unseated(&mut self, early: bool) {
        assert!(!early || self.secret.is_none(), "T12: the seat of {} was not kept", self.name);
        self.is_unseated = true;
    }

    /// Only what it has said itself counts, and as it said it.
    pub(super) fn check_counted(&self, counted: &Counted) {
        let Counted { peer, turn, number, .. } = counted;
        let said = peer.is_some_and(|peer| self.said.contains(&(peer, *turn, *number)));
        assert!(said, "S3: {} never said that on the connection that sits there: {counted:?}", self.name);
    }

    /// Every line that has arrived has its reply.
    pub(super) fn check_replies(&self, world: &World) {
        let Some(peer) = self.peer.filter(|peer| !self.cut && world.is_open(*peer)) else { return };
        let waits = world.has_under_way(peer) || world.is_blocked(peer);
        assert!(waits || self.pings == 0, "T27: {} got no PONG", self.name);
    }
}

/// The numbers of a client that counted, without gap or repetition, but where it could not know.
pub(super) fn check_numbers(name: &str, numbers: &[i64]) {
    let mut last = 0;
    for &number in numbers {
        let new_life = number % NEXT_LIFE == 1 && number > last;
        assert!(number == last + 1 || new_life, "S5: {name}: {number} after {last}");
        last = number;
    }
}
