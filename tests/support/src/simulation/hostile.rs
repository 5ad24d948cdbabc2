//! Hostile peers: they send what no client should, in pieces, and do not read. Nothing that they do may harm
//! others.

use super::player::Player;
use crate::network::{Peer, World};
use crate::wire::{HEAD, Way};

/// Answers that begin like this are sent only by clients that may not answer, so none of them may count.
pub(super) const FORGED: &str = "forged";

/// Lines that they send.
const WORDS: [&[u8]; 37] = [
    b"GO",
    b"WAIT",
    b"a:1",
    b"JOIN ",
    b"JOIN eve\n",
    b"JOIN eve hear=turns\n",
    b"JOIN mallory ring=lab demand=ask\n",
    b" resume=",
    b" ring=",
    b" weight=101",
    b" turn=",
    b" bytes=5",
    b"ANSWER",
    b"ANSWER :forged\n",
    b"ANSWER turn=1 :forged\n",
    b"ANSWER bytes=6\nLEAVE\n",
    b":",
    b"=",
    b"\n",
    b"\r\n",
    b"\0",
    b"\x1b[2J",
    b"\xff",
    b"\xc3",
    b"18446744073709551616",
    b"ASK\n",
    b"REST\n",
    b"RENEW\n",
    b"PASS\n",
    b"LEAVE\n",
    b"WATCH\n",
    b"PING\n",
    b"GET / HTTP/1.1\r\n",
    b"\x81\x85\0\0\0\0WATCH",
    b"\x82\x86\0\0\0\0",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
    b" ",
];

/// Returns some of these words, and noise.
fn babble(world: &mut World) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..world.rng.usize(1..6) {
        match world.rng.u8(0..16) {
            0 | 1 => bytes.extend([(); 20].map(|()| world.rng.u8(..))),
            2 => bytes.extend_from_slice(HEAD.as_bytes()),
            _ => bytes.extend_from_slice(WORDS[world.rng.usize(0..WORDS.len())]),
        }
    }
    bytes
}

#[derive(Default)]
pub(super) struct Hostiles {
    peers: Vec<Peer>,
    /// Peers that used a secret that must no longer work.
    thieves: Vec<Peer>,
}

impl Hostiles {
    /// Lets one of them act.
    pub(super) fn act(&mut self, world: &mut World, players: &[Player]) {
        self.peers.retain(|peer| world.is_open(*peer));
        if self.peers.len() < 2 && !world.is_draining() {
            let way = world.choose_way();
            self.peers.push(if way == Way::Tls && world.rng.bool() {
                world.connect_astray()
            } else {
                world.connect_over(way)
            });
        }
        let Some(&peer) = self.peers.get(world.rng.usize(0..2)) else { return };
        match world.rng.u8(0..10) {
            0 => world.reset_quietly(peer),
            1 => world.stop_reading(peer, 30),
            2 => self.steal(world, players),
            3 => world.queue_bytes(peer, &[b'x'; 1100]),
            4 => {
                let bytes = babble(world);
                world.queue_wire_bytes(peer, &bytes);
            }
            _ => {
                let bytes = babble(world);
                world.queue_bytes(peer, &bytes);
            }
        }
    }

    /// Connects with a secret that is known to have been replaced.
    fn steal(&mut self, world: &mut World, players: &[Player]) {
        if players.is_empty() || world.is_draining() {
            return;
        }
        let victim = &players[world.rng.usize(0..players.len())];
        let Some(secret) = &victim.burnt else { return };
        let thief = world.connect_quietly();
        let line = format!("JOIN {} ring={} resume={secret}\n", victim.name, victim.ring);
        world.queue_bytes(thief, line.as_bytes());
        self.thieves.push(thief);
    }

    pub(super) fn check(&mut self, world: &mut World) {
        for at in 0..self.thieves.len() {
            for line in world.heard_lines(self.thieves[at]) {
                assert!(!line.starts_with("WELCOME"), "T22: a secret that was replaced opens a seat: {line}");
            }
        }
        self.thieves.retain(|&thief| world.is_open(thief));
    }

    pub(super) fn leave(&mut self, world: &mut World) {
        self.peers.drain(..).for_each(|peer| world.reset_quietly(peer));
    }
}
