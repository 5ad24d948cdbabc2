//! The oldest clients, for which the raw framing exists.

use std::time::Duration;

use taketurns::time::Instant;

use super::sockets::Up;
use super::{Delivery, Peer, World};
use crate::{ms, secs};

/// A client that compares each `recv(1024)` with `==`, and sleeps for 1 s after its number and 100 ms after
/// `WAIT`.
pub(super) struct Old {
    name: String,
    number: i64,
    step: i64,
    asleep_until: Duration,
    /// How long after their arrival bytes are read, on a busy machine.
    lag: Duration,
    reads_at: Duration,
    /// Bytes that arrived while it slept. The next `recv` returns them as one.
    kernel: Vec<u8>,
}

impl Old {
    pub(super) fn receive(&mut self, at: Duration, bytes: &[u8]) {
        if self.kernel.is_empty() {
            self.reads_at = self.asleep_until.max(at + self.lag);
        }
        self.kernel.extend_from_slice(bytes);
    }

    fn next_event(&self) -> Option<Duration> {
        (!self.kernel.is_empty()).then_some(self.reads_at)
    }

    /// Does one `recv`. Returns its bytes, and the client's answer.
    fn recv(&mut self, at: Duration) -> (Vec<u8>, Option<String>) {
        let rest = self.kernel.split_off(self.kernel.len().min(1024));
        let bytes = std::mem::replace(&mut self.kernel, rest);
        let mut says = None;
        match bytes.as_slice() {
            b"GO" => {
                says = Some(format!("{}:{}", self.name, self.number));
                self.number += self.step;
                self.asleep_until = at + secs(1);
            }
            b"WAIT" => self.asleep_until = at + ms(100),
            _ => {}
        }
        (bytes, says)
    }
}

impl World {
    /// Connects an old client, which counts from `number` in steps of `step`.
    pub fn connect_old(&mut self, name: &str, number: i64, step: i64) -> Peer {
        let peer = self.connect_old_quietly(name, number, step);
        self.drive();
        peer
    }

    pub fn connect_old_quietly(&mut self, name: &str, number: i64, step: i64) -> Peer {
        let old = Old {
            name: name.to_owned(),
            number,
            step,
            asleep_until: self.elapsed(),
            lag: ms(self.rng.u64(0..95)),
            reads_at: Duration::ZERO,
            kernel: Vec::new(),
        };
        self.open(Some(old), 0)
    }

    /// Suspends the program of the old client `peer` for `time`.
    pub fn stall(&mut self, peer: Peer, time: Duration) {
        let until = self.elapsed() + time;
        if let Some(old) = &mut self.net_mut().pipes[peer.0].old {
            old.asleep_until = old.asleep_until.max(until);
            old.reads_at = old.reads_at.max(until);
        }
    }

    /// Returns when one of them next reads.
    pub(super) fn next_old(&self) -> Option<Instant> {
        let due = self.net().pipes.iter().filter_map(|pipe| pipe.old.as_ref()?.next_event());
        due.min().map(|due| Instant::ORIGIN + due)
    }

    pub(super) fn run_old(&mut self) -> bool {
        let now = self.elapsed();
        let mut is_busy = false;
        for at in 0..self.net().pipes.len() {
            let Some(old) = self.net_mut().pipes[at].old.as_mut() else { continue };
            if old.next_event().is_none_or(|due| due > now) {
                continue;
            }
            is_busy = true;
            let (bytes, says) = old.recv(now);
            self.net_mut().pipes[at].recvs.push(Delivery { at: now, peer: Peer(at), bytes });
            if let Some(says) = says {
                self.queue_up(Peer(at), Up::Bytes(says.into_bytes()));
            }
        }
        is_busy
    }
}
