//! The line framing: what the server has written, to whomever it arrives.

use std::collections::{HashMap, HashSet};

use taketurns::turn::RingId;

use super::super::world::{Peer, World, field};
use super::book::{Book, Sitting};
use super::player::Player;

#[derive(Default)]
pub(super) struct Wire {
    read: usize,
    /// The beginnings of lines that were not written to their end.
    unended: HashMap<Peer, Vec<u8>>,
    /// Who sits where, by the last `WELCOME` on each connection.
    seats: HashMap<Peer, Sitting>,
    /// Who has heard `GO`, and for which turn.
    pub(super) turns: HashMap<Peer, u64>,
    granted: HashMap<(RingId, u64), u64>,
    /// The rings that were ever there, by name.
    pub(super) names: HashMap<RingId, String>,
}

impl Wire {
    /// The server was started again; what had been written is of no interest.
    pub(super) fn begin_life(&mut self, world: &World) {
        *self = Wire { read: world.deliveries.len(), ..Wire::default() };
    }

    pub(super) fn sitting(&self) -> Vec<Sitting> {
        let mut sitting: Vec<_> = self.seats.values().copied().collect();
        sitting.sort_unstable_by_key(|sitting| (sitting.ring, sitting.place));
        sitting
    }

    /// Reads what was written in the last pass.
    pub(super) fn follow(&mut self, world: &World, players: &[Player], book: &mut Book) {
        for id in world.server().scheduler().rings() {
            if !self.names.contains_key(&id)
                && let Some(name) = world.server().ring_name(id)
            {
                self.names.insert(id, name.as_str().to_owned());
            }
        }
        for write in &world.deliveries[self.read..] {
            let mut bytes = self.unended.remove(&write.peer).unwrap_or_default();
            bytes.extend_from_slice(&write.bytes);
            let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            let rest = bytes.split_off(end);
            let text = String::from_utf8(bytes).expect("the server speaks UTF-8");
            text.lines().for_each(|line| self.note(world, write.peer, line, players, book));
            if !rest.is_empty() {
                self.unended.insert(write.peer, rest);
            }
        }
        self.read = world.deliveries.len();
        self.seats.retain(|peer, _| world.is_open(*peer));
        self.turns.retain(|peer, _| world.is_open(*peer));
        self.check(world);
    }

    fn note(&mut self, world: &World, peer: Peer, line: &str, players: &[Player], book: &mut Book) {
        let turn = || field(line, "turn").parse::<u64>().expect("a number");
        match line.split(' ').next().unwrap_or_default() {
            // Of two that have the same seat in one pass, the writes may come in any order; the older one is gone.
            "WELCOME" if world.is_open(peer) => {
                let name = field(line, "ring");
                let mut rings = world.server().scheduler().rings();
                let Some(ring) = rings.find(|ring| self.names[ring] == name) else { return };
                let place = field(line, "seat").parse().expect("a number");
                let player = players.iter().find(|player| player.peer == Some(peer));
                assert!(player.is_none_or(|player| player.ring == name), "T28: {line} in another ring");
                let weight = player.map_or(1, |player| player.weight);
                self.seats.retain(|_, other| (other.ring, other.place) != (ring, place));
                self.seats.insert(peer, Sitting { ring, place, weight });
                book.joined(ring, weight);
            }
            "GO" => {
                let Some(sitting) = self.seats.get(&peer) else { return };
                let place = *self.granted.entry((sitting.ring, turn())).or_insert(sitting.place);
                assert_eq!(place, sitting.place, "S2: two seats have heard GO for turn {}", turn());
                let before = self.turns.insert(peer, turn());
                assert_ne!(before, Some(turn()), "T3: GO twice");
            }
            "OK" | "LAPSED" if self.turns.get(&peer) == Some(&turn()) => {
                self.turns.remove(&peer);
            }
            _ => {}
        }
    }

    fn check(&self, world: &World) {
        // Who does not read has not heard how its turn ended, nor that it has one.
        let heard = |peer: &Peer| !world.is_blocked(*peer);
        let mut holders = HashSet::new();
        for peer in self.turns.keys().filter(|peer| heard(peer)) {
            let ring = self.seats.get(peer).map(|sitting| sitting.ring);
            assert!(ring.is_none_or(|ring| holders.insert(ring)), "S1: two connections have the turn");
        }
        for id in world.server().scheduler().rings() {
            let here = self.seats.values().filter(|sitting| sitting.ring == id).count();
            let all_heard = !world.is_anybody_blocked();
            let occupied = world.server().scheduler().occupied(id);
            assert!(here <= occupied, "who was welcomed and is connected, sits");
            if all_heard {
                assert_eq!(here, occupied, "who sits was welcomed");
            }
            let enough = here >= world.config().min_clients && !world.is_draining();
            assert!(!enough || !all_heard || holders.contains(&id), "L1: nobody in the ring has heard GO");
        }
    }
}
