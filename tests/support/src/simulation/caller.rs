//! A raw connection and its client. Each connection's client has its own name.

use super::tell;
use crate::ms;
use crate::network::{Peer, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    /// One of the oldest clients, which acts on its own.
    Old,
    /// Sends one complete message at a time, in turn or not.
    Plain,
    /// Sends nothing at all.
    Silent,
}

pub(super) struct Caller {
    pub(super) name: String,
    pub(super) peer: Peer,
    pub(super) manners: Manners,
    next: i64,
    has_go: bool,
    read: usize,
    gos: usize,
    /// The number of additional `GO`s that it may get, because it sent something malformed.
    tries: usize,
}

impl Caller {
    pub(super) fn new(name: String, peer: Peer, manners: Manners) -> Caller {
        Caller { name, peer, manners, next: 1, has_go: false, read: 0, gos: 0, tries: 0 }
    }

    /// Acts once.
    pub(super) fn act(&mut self, world: &mut World) {
        match (self.manners, world.rng.u8(0..16)) {
            (_, 0) => world.reset_quietly(self.peer),
            (Manners::Old, 1) if world.recvs(self.peer).len() > 1 => {
                let time = ms(world.rng.u64(0..12_000));
                world.stall(self.peer, time);
            }
            (Manners::Plain, 1) => {
                // T8: if it has the turn when this is read, it gets another try.
                self.tries += 1;
                self.say(world, "nonsense:");
            }
            (Manners::Plain, choice) if self.has_go && choice > 4 => {
                self.has_go = false;
                let text = format!("{}:{}", self.name, self.next);
                self.next += 1;
                self.say(world, &text);
            }
            _ => {}
        }
    }

    fn say(&self, world: &mut World, text: &str) {
        tell!("{:>10.3} s  {} >> {text:?}", world.elapsed().as_secs_f64(), self.name);
        world.queue_bytes(self.peer, text.as_bytes());
    }

    pub(super) fn listen(&mut self, world: &World) {
        let recvs = world.recvs(self.peer);
        for (at, recv) in recvs.iter().enumerate().skip(self.read) {
            tell!("{:>10.3} s  {} << \"{}\"", recv.at.as_secs_f64(), self.name, recv.bytes.escape_ascii());
            match recv.bytes.as_slice() {
                b"GO" => {
                    if self.has_go && self.manners != Manners::Old {
                        let left = self.tries.checked_sub(1);
                        self.tries = left.expect("T11: two unanswered GO on a connection");
                    }
                    let first = &recvs[0];
                    let is_apart = first.bytes != b"WAIT" || at != 1 || recv.at - first.at >= ms(100);
                    assert!(self.manners == Manners::Old || is_apart, "T5: GO right behind WAIT");
                    self.has_go = true;
                    self.gos += 1;
                }
                b"WAIT" => assert_eq!(at, 0, "T4: WAIT comes first, and once"),
                // It has sent nothing before it is told that there is no room.
                other if other.starts_with(b"BYE ") => {}
                other => panic!("T5: one recv of {} is \"{}\"", self.name, other.escape_ascii()),
            }
        }
        self.read = recvs.len();
    }

    /// Checks its accepted numbers, which are in order.
    pub(super) fn check_numbers(&self, world: &World, counted: &[String]) {
        let numbers: Vec<i64> = counted.iter().map(|text| text.parse().expect("a number")).collect();
        if self.manners == Manners::Old {
            let expected: Vec<_> = (1..).take(numbers.len()).collect();
            assert_eq!(numbers, expected, "{}: nothing lost, nothing twice", self.name);
            if world.is_open(self.peer) {
                assert!(numbers.len() + 2 >= self.gos, "T11: {} lost something", self.name);
            }
        } else {
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{}: {numbers:?}", self.name);
        }
    }
}
