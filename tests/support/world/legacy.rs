//! The oldest clients, which the raw framing is made for.

use std::time::Duration;

use taketurns::time::Instant;

use super::peer::{Kind, Up};
use super::{Delivery, Peer, World, ms, secs};

/// One `recv(1024)` compared with `==`; 1 s of sleep after its number, 100 ms after `WAIT`.
pub(super) struct Legacy {
    name: String,
    number: i64,
    step: i64,
    asleep_until: Instant,
    /// How long after something came it is read, on a busy machine.
    lag: Duration,
    /// When what has come is read.
    reads_at: Instant,
    /// What came while it slept; the next `recv` takes it as one.
    kernel: Vec<u8>,
}

impl Legacy {
    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if self.kernel.is_empty() {
            self.reads_at = self.asleep_until.max(now + self.lag);
        }
        self.kernel.extend_from_slice(bytes);
    }

    /// When it will do something by itself.
    pub(super) fn next_event(&self) -> Option<Instant> {
        (!self.kernel.is_empty()).then_some(self.reads_at)
    }

    /// One `recv`: what it brings, and what the client says to that.
    fn recv(&mut self, now: Instant) -> (Vec<u8>, Option<String>) {
        let rest = self.kernel.split_off(self.kernel.len().min(1024));
        let bytes = std::mem::replace(&mut self.kernel, rest);
        let mut says = None;
        match bytes.as_slice() {
            b"GO" => {
                says = Some(format!("{}:{}", self.name, self.number));
                self.number += self.step;
                self.asleep_until = now + secs(1);
            }
            b"WAIT" => self.asleep_until = now + ms(100),
            _ => {}
        }
        (bytes, says)
    }
}

impl World {
    /// One of the oldest clients connects.
    pub(crate) fn connect_legacy(&mut self, name: &str, number: i64, step: i64) -> Peer {
        let peer = self.connect_legacy_quietly(name, number, step);
        self.drive();
        peer
    }

    pub(crate) fn connect_legacy_quietly(&mut self, name: &str, number: i64, step: i64) -> Peer {
        let legacy = Legacy {
            name: name.to_owned(),
            number,
            step,
            asleep_until: self.now.instant,
            lag: ms(self.rng.u64(0..95)),
            reads_at: self.now.instant,
            kernel: Vec::new(),
        };
        self.open(Kind::Legacy(legacy))
    }

    /// The program of the legacy client `peer` is stopped for `time`.
    pub(crate) fn stall(&mut self, peer: Peer, time: Duration) {
        let until = self.now.instant + time;
        if let Kind::Legacy(legacy) = &mut self.peers[peer.0].kind {
            legacy.asleep_until = legacy.asleep_until.max(until);
            legacy.reads_at = legacy.reads_at.max(until);
        }
    }

    /// When one of them reads.
    pub(super) fn next_legacy(&self) -> Option<Instant> {
        let due = self.live.iter().filter_map(|&at| match &self.peers[at].kind {
            Kind::Legacy(legacy) => legacy.next_event(),
            Kind::ByHand | Kind::Ours(_) => None,
        });
        due.min()
    }

    pub(super) fn run_legacy(&mut self) -> bool {
        let mut busy = false;
        for nth in 0..self.live.len() {
            let at = self.live[nth];
            let (now, time) = (self.now.instant, self.elapsed());
            let Kind::Legacy(legacy) = &mut self.peers[at].kind else { continue };
            if legacy.next_event().is_none_or(|due| due > now) {
                continue;
            }
            busy = true;
            let (bytes, says) = legacy.recv(now);
            self.peers[at].recvs.push(Delivery { at: time, peer: Peer(at), bytes });
            if let Some(says) = says {
                self.queue_up(Peer(at), Up::Bytes(says.into_bytes()));
            }
        }
        busy
    }
}
