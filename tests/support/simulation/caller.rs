//! The raw framing: a connection, its client, and what became of it. Every connection's client has a name of its own.

use super::super::world::{Peer, World, ms};
use super::intruder;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    /// One of the oldest clients, which moves by itself.
    Legacy,
    /// Says one complete message at a time, in turn or not.
    Plain,
    /// Says anything, in pieces, and does not read.
    Rude,
}

pub(super) struct Caller {
    pub(super) name: String,
    pub(super) peer: Peer,
    pub(super) manners: Manners,
    next: i64,
    /// Numbers that the server read while a `GO` was unanswered.
    allowed: Vec<i64>,
    /// `GO`s that came.
    gos: usize,
    has_go: bool,
    read: usize,
}

impl Caller {
    pub(super) fn new(name: String, peer: Peer, manners: Manners) -> Caller {
        Caller { name, peer, manners, next: 1, allowed: Vec::new(), gos: 0, has_go: false, read: 0 }
    }

    /// It does something.
    pub(super) fn act(&mut self, world: &mut World) {
        match self.manners {
            Manners::Legacy => self.act_legacy(world),
            Manners::Plain => self.act_plainly(world),
            Manners::Rude => self.act_rudely(world),
        }
    }

    fn act_legacy(&mut self, world: &mut World) {
        match world.rng.u8(0..12) {
            0 => world.reset_quietly(self.peer),
            // Only a client that has read its WAIT: no gap helps one that is stopped before.
            1 if world.recvs(self.peer).len() > 1 => {
                let time = ms(world.rng.u64(0..12_000));
                world.stall(self.peer, time);
            }
            _ => {}
        }
    }

    fn act_plainly(&mut self, world: &mut World) {
        match world.rng.u8(0..24) {
            0 => world.reset_quietly(self.peer),
            1 => world.crash_quietly(self.peer),
            2 => world.break_writes(self.peer),
            3 | 4 => {
                let text = if world.rng.bool() { "nonsense:" } else { "a:b:c" };
                self.say(world, text);
            }
            5 => world.half_close_quietly(self.peer),
            // In turn or not: it counts if there is an unanswered GO.
            6..20 if self.has_go || world.rng.u8(0..4) == 0 => {
                let text = format!("{}:{}", self.name, self.next);
                if self.say(world, &text) {
                    self.next += 1;
                }
            }
            _ => {}
        }
    }

    fn act_rudely(&mut self, world: &mut World) {
        match world.rng.u8(0..12) {
            0 => world.crash_quietly(self.peer),
            1 => world.half_close_quietly(self.peer),
            2 => world.stop_reading(self.peer, 1),
            3 => world.read_again_quietly(self.peer),
            4 => world.queue_bytes(self.peer, format!("{}:", self.name).as_bytes()),
            5 => world.queue_bytes(self.peer, b"7"),
            6 => world.queue_bytes(self.peer, &[b'x'; 1100]),
            _ => {
                let bytes = intruder::babble(world);
                world.queue_bytes(self.peer, &bytes);
            }
        }
    }

    /// One message at a time, so that none joins another.
    fn say(&mut self, world: &mut World, text: &str) -> bool {
        let free = !world.has_under_way(self.peer) && world.is_open(self.peer);
        if free {
            world.queue(self.peer, text);
        }
        free
    }

    /// The server has read `bytes` of it, when it had received `heard` writes.
    pub(super) fn was_read(&mut self, world: &World, heard: usize, bytes: &[u8]) {
        self.hear_some(world, heard);
        if self.manners == Manners::Plain && std::mem::take(&mut self.has_go) {
            let text = std::str::from_utf8(bytes).expect("it speaks plainly");
            let number = text.strip_prefix(&format!("{}:", self.name));
            self.allowed.extend(number.and_then(|number| number.parse::<i64>().ok()));
        }
    }

    pub(super) fn hear(&mut self, world: &World) {
        self.hear_some(world, world.recvs(self.peer).len());
    }

    /// The first `count` of all that it receives.
    fn hear_some(&mut self, world: &World, count: usize) {
        if self.manners == Manners::Rude {
            return;
        }
        let recvs = &world.recvs(self.peer)[..count];
        for (at, recv) in recvs.iter().enumerate().skip(self.read) {
            match recv.bytes.as_slice() {
                b"GO" => {
                    let is_plain = self.manners == Manners::Plain;
                    assert!(!is_plain || !self.has_go, "T11: two unanswered GO on a connection");
                    let first = &recvs[0];
                    let gap = first.bytes != b"WAIT" || at != 1 || recv.at - first.at >= ms(100);
                    assert!(!is_plain || gap, "T5: GO right behind WAIT");
                    self.has_go = true;
                    self.gos += 1;
                }
                b"WAIT" => assert_eq!(at, 0, "T4: WAIT comes first, and once"),
                other => panic!("T5: one recv of {} is \"{}\"", self.name, other.escape_ascii()),
            }
        }
        self.read = count.max(self.read);
    }

    /// `accepted`: its numbers that counted, in order.
    pub(super) fn check_numbers(&self, world: &World, accepted: &[i64]) {
        if self.manners == Manners::Legacy {
            let expected: Vec<_> = (1..).take(accepted.len()).collect();
            assert_eq!(accepted, expected, "{}: nothing lost, nothing twice", self.name);
        } else {
            assert!(accepted.windows(2).all(|pair| pair[0] < pair[1]), "{}: {accepted:?}", self.name);
            let stray = accepted.iter().find(|number| !self.allowed.contains(number));
            assert_eq!(stray, None, "T9: {} was not allowed to say that", self.name);
        }
        if world.is_open(self.peer) && !world.has_under_way(self.peer) {
            // What was allowed has counted, but for one that waits for its seat's next turn.
            let sent = if self.manners == Manners::Legacy { self.gos } else { self.allowed.len() };
            assert!(accepted.len() + 1 >= sent, "T11: {} lost something", self.name);
        }
    }
}
