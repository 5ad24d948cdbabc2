//! Peers whose bytes on the wire are not those of the protocol: WebSocket, TLS, or both.

use taketurns::engine::Wrapping;

use super::sockets::{Pipe, Up};
use super::{Peer, TLS_LISTENER, World};
use crate::wire::{End, Way, WebClient, Wires, Within};

impl World {
    /// Offers `wires` from now on, in each life of the server.
    pub fn offer(&mut self, wires: Wires) {
        self.wires = Some(wires);
        super::offer(&mut self.engine, wires);
    }

    /// Any of the wires that there are.
    pub fn choose_way(&mut self) -> Way {
        match self.wires {
            None => Way::Plain,
            Some(Wires { tls: None, .. }) => Way::ALL[self.rng.usize(0..2)],
            Some(_) => Way::ALL[self.rng.usize(0..4)],
        }
    }

    /// A connection comes in over one of the wires, in the same pass as what is done next.
    pub fn connect_over(&mut self, way: Way) -> Peer {
        let Some(wires) = self.wires.filter(|_| way != Way::Plain) else { return self.connect_quietly() };
        let web: Box<dyn Wrapping> = Box::new(WebClient::new(Some(self.rng.fork())));
        let tls = wires.tls.filter(|_| way.is_secure()).map(|tls| (tls.connect)()());
        let end = match tls {
            None => web,
            Some(tls) if way == Way::Tls => tls,
            Some(outer) => Box::new(Within { outer, inner: web }),
        };
        let peer = self.open(None, if way.is_secure() { TLS_LISTENER } else { 0 });
        self.net_mut().pipes[peer.0].end = Some(End::new(end));
        self.wired.push(peer);
        self.send_wire(peer);
        peer
    }

    /// A connection in plain text comes in where TLS is spoken.
    pub fn connect_astray(&mut self) -> Peer {
        self.open(None, TLS_LISTENER)
    }

    /// Whether the bytes of `peer` differ from one run to the next, but for their number.
    pub fn is_encrypted(&self, peer: Peer) -> bool {
        self.net().pipes[peer.0].listener == TLS_LISTENER
    }

    /// `peer` says what wires say at the end.
    pub fn finish(&mut self, peer: Peer) {
        if let Some(end) = &mut self.net_mut().pipes[peer.0].end {
            end.finish();
            self.send_wire(peer);
        }
    }

    /// Changes a bit of the last bytes that are on their way from `peer`; returns whether there were any.
    /// Those of a handshake stay: what would come of a change differs from one run to the next.
    pub fn corrupt(&mut self, peer: Peer) -> bool {
        let (at, bit) = (self.rng.usize(..), self.rng.u8(0..8));
        let Pipe { up, end, .. } = &mut self.net_mut().pipes[peer.0];
        match up.back_mut() {
            Some((_, Up::Bytes(bytes))) if end.as_ref().is_some_and(End::is_open) => {
                let length = bytes.len();
                bytes[at % length] ^= 1 << bit;
                true
            }
            _ => false,
        }
    }

    /// The ends of wires take in what has come, and answer by themselves; whether any did.
    pub(super) fn run_wired(&mut self) -> bool {
        let mut wired = std::mem::take(&mut self.wired);
        let before = self.net().sequence;
        wired.retain(|&peer| {
            self.hear_wire(peer);
            self.is_open(peer)
        });
        self.wired.append(&mut wired);
        self.net().sequence > before
    }

    /// What the end of `peer` has heard goes to `unended`.
    pub(super) fn hear_wire(&mut self, peer: Peer) {
        let Pipe { recvs, looked, unended, end, .. } = &mut self.net_mut().pipes[peer.0];
        let Some(end) = end.as_mut().filter(|_| *looked < recvs.len()) else { return };
        for recv in &recvs[*looked..] {
            end.hear(&mut recv.bytes.clone());
        }
        *looked = recvs.len();
        unended.append(&mut end.plain);
        self.send_wire(peer);
    }

    /// What the end of `peer` has to send is on its way, in pieces.
    pub(super) fn send_wire(&mut self, peer: Peer) {
        let Some(end) = &mut self.net_mut().pipes[peer.0].end else { return };
        let mut rest = std::mem::take(&mut end.wire);
        while !rest.is_empty() {
            let cut = if self.rng.bool() { rest.len() } else { self.rng.usize(1..=rest.len()) };
            let after = rest.split_off(cut);
            self.queue_up(peer, Up::Bytes(rest));
            rest = after;
        }
    }
}
