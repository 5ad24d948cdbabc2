//! Our client that asks its host, with a server, over losses and restarts: the host is told the truth of each of its numbers.

use std::collections::{BTreeMap, BTreeSet};

use taketurns::protocol::turns::{ClientEvent, ClientTurn, Fate, Framing, TurnServerConfig};

use crate::client::client_config;
use crate::start::line_config;
use crate::world::{World, ms, secs};

/// What the host has been told, and what it has said.
#[derive(Default)]
struct Host {
    /// So many of the client's events are known.
    heard: usize,
    /// Turns that wait for their answers.
    open: Vec<ClientTurn>,
    granted: BTreeSet<(u64, u64)>,
    answered: i64,
    fates: BTreeMap<i64, Option<Fate>>,
}

impl Host {
    fn hear(&mut self, world: &World) {
        let events = world.client_events();
        for event in &events[self.heard..] {
            match *event {
                ClientEvent::Granted(turn) => {
                    let (epoch, number) = turn.fence.expect("the line framing has it");
                    assert!(self.granted.insert((epoch.0, number.get())), "{turn:?} is granted twice");
                    self.open.push(turn);
                }
                ClientEvent::Over(turn) => self.open.retain(|open| *open != turn),
                ClientEvent::Sent { number, .. } => self.note(number, None),
                ClientEvent::Lost { number, fate, .. } => self.note(number, Some(fate)),
                _ => {}
            }
        }
        self.heard = events.len();
    }

    fn note(&mut self, number: i64, fate: Option<Fate>) {
        assert!(self.fates.insert(number, fate).is_none(), "{number} had a fate already");
    }

    /// Answers some of the open turns.
    fn work(&mut self, world: &mut World) {
        for turn in std::mem::take(&mut self.open) {
            if world.rng.u8(..3) > 0 {
                self.open.push(turn);
                continue;
            }
            self.answered += 1;
            world.answer(&turn, self.answered).expect("nobody said that it is over");
            assert!(world.answer(&turn, -1).is_err(), "it is answered");
        }
    }

    fn judge(&self, world: &World, context: &str) {
        let accepted: Vec<_> = world.accepted().iter().map(|(_, number)| *number).collect();
        let counted: BTreeSet<_> = accepted.iter().copied().collect();
        assert_eq!(counted.len(), accepted.len(), "{context}: a number counts twice");
        let undecided = self.answered - i64::try_from(self.fates.len()).expect("few");
        assert!((0..=3).contains(&undecided), "{context}: nobody said what became of {undecided} numbers");
        for (number, fate) in &self.fates {
            match fate {
                None => assert!(counted.contains(number), "{context}: {number} does not count"),
                Some(Fate::Refused) => assert!(!counted.contains(number), "{context}: {number} counts"),
                Some(Fate::Unknown) => {}
            }
        }
    }
}

/// T22, T23 and T31: each number is accepted, or lost for good, or nobody can know, and the host is told which, once.
#[test]
fn client_that_asks_is_told_what_became_of_every_number() {
    let (mut sent, mut refused, mut unknown) = (0, 0, 0);
    for seed in 0..40 {
        let config = TurnServerConfig { turn_deadline: ms(400), seat_grace: secs(2), ..line_config() };
        let mut world = World::new(config, seed);
        world.run_asking_client(client_config(Framing::Line), &["ann", "bob", "cid"]);
        let mut host = Host::default();
        for _ in 0..300 {
            let (pause, at) = (world.rng.u64(0..150), world.rng.usize(0..3));
            world.drive_for(ms(pause));
            host.hear(&world);
            host.work(&mut world);
            match world.rng.u8(0..40) {
                0 => {
                    world.kill_server();
                    world.drive_for(ms(pause * 10));
                    world.start_server();
                }
                1 => world.break_client_end(at),
                2 => world.break_connection(at),
                3 | 4 => {
                    if let Some(peer) = world.client_peer(at) {
                        if pause % 2 == 0 {
                            world.lose_down(peer);
                        } else {
                            world.lose_up(peer);
                        }
                        world.drive_for(ms(pause));
                        host.hear(&world);
                        host.work(&mut world);
                        world.drive_for(ms(pause));
                        world.break_connection(at);
                    }
                }
                _ => {}
            }
            host.hear(&world);
        }
        world.drive_for(secs(10));
        host.hear(&world);
        host.judge(&world, &format!("seed {seed}"));
        sent += host.fates.values().filter(|fate| fate.is_none()).count();
        refused += host.fates.values().filter(|fate| **fate == Some(Fate::Refused)).count();
        unknown += host.fates.values().filter(|fate| **fate == Some(Fate::Unknown)).count();
    }
    assert!(
        sent > 1000 && refused > 20 && unknown > 20,
        "{sent} counted, {refused} refused, {unknown} unknown"
    );
}
