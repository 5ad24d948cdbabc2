//! Peers that mean no good: they say what nobody should, in pieces, and do not read. Nothing that they do may harm others.

use taketurns::protocol::turns::Framing;

use super::super::world::{Peer, World};
use super::book::FORGED;
use super::player::Player;

/// What they are fond of saying.
const WORDS: [&[u8]; 26] = [
    b"GO",
    b"WAIT",
    b"a:1",
    b"JOIN ",
    b"JOIN ann\n",
    b"JOIN ann ring=lab\n",
    b"JOIN bob\n",
    b" resume=",
    b" ring=",
    b" weight=101",
    b" turn=",
    b":",
    b"=",
    b"\n",
    b"\r\n",
    b"\0",
    b"\x1b[2J",
    b"\xff",
    b"\xc3",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"PASS\n",
    b"LEAVE\n",
    b"WATCH\n",
    b"PING\n",
    b" ",
];

/// A few of the words, and noise.
pub(super) fn babble(world: &mut World) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..world.rng.usize(1..6) {
        if world.rng.u8(0..8) == 0 {
            bytes.extend([(); 20].map(|()| world.rng.u8(..)));
        } else {
            bytes.extend_from_slice(WORDS[world.rng.usize(0..WORDS.len())]);
        }
    }
    bytes
}

/// The intruders of a world in the line framing.
#[derive(Default)]
pub(super) struct Intruders {
    peers: Vec<Peer>,
    /// Who came with a secret that must open nothing.
    thieves: Vec<Peer>,
}

impl Intruders {
    /// One of them does something.
    pub(super) fn act(&mut self, world: &mut World, players: &[Player]) {
        self.peers.retain(|peer| world.is_open(*peer));
        if self.peers.len() < 2 && !world.is_draining() {
            self.peers.push(world.connect_quietly());
        }
        if self.peers.is_empty() {
            return;
        }
        let peer = self.peers[world.rng.usize(0..self.peers.len())];
        let victim = &players[world.rng.usize(0..players.len())];
        match world.rng.u8(0..12) {
            0 => world.crash_quietly(peer),
            1 => world.stop_reading(peer, 30),
            2 => world.half_close_quietly(peer),
            3 | 4 => forge(world, peer, victim),
            5 => self.steal(world, victim),
            6 => world.queue_bytes(peer, &[b'x'; 1100]),
            _ => {
                let bytes = babble(world);
                world.queue_bytes(peer, &bytes);
            }
        }
    }

    /// One comes with a secret of `victim`'s that was replaced, and known to have arrived.
    pub(super) fn steal(&mut self, world: &mut World, victim: &Player) {
        let Some(secret) = victim.burnt.as_ref().filter(|_| !world.is_draining()) else { return };
        let thief = world.connect_quietly();
        world.queue(thief, &format!("JOIN {} ring={} resume={secret}", victim.name, victim.ring));
        self.thieves.push(thief);
    }

    /// What thieves hear.
    pub(super) fn check(&mut self, world: &mut World) {
        self.thieves.retain(|&thief| {
            for line in world.heard(thief) {
                let refused = [
                    "BYE bad-secret ",
                    "BYE full ",
                    "BYE shutting-down ",
                    "BYE hello-timeout ",
                    "BYE line-timeout ",
                ];
                assert!(
                    refused.iter().any(|bye| line.starts_with(bye)),
                    "T22: a secret that was replaced: {line}"
                );
            }
            world.is_open(thief)
        });
    }

    pub(super) fn leave(&mut self, world: &mut World) {
        self.peers.drain(..).for_each(|peer| world.crash_quietly(peer));
    }

    /// The server is gone, and with it the connections.
    pub(super) fn begin_life(&mut self) {
        *self = Intruders::default();
    }
}

/// Answers in the name of `victim`, for the turn that it has, one that it had or one that it will have.
pub(super) fn forge(world: &mut World, peer: Peer, victim: &Player) {
    debug_assert_eq!(world.config().framing, Framing::Line);
    let turn = victim.turn.or(victim.in_flight.map(|(turn, _)| turn)).unwrap_or(1) + world.rng.u64(0..2);
    let text = match world.rng.u8(0..3) {
        0 => format!("{}:{FORGED}", victim.name),
        _ => format!("{}:{FORGED} turn={turn}", victim.name),
    };
    world.queue(peer, &text);
}
