//! The events of a world, and the calls of its judges.

use crate::{ms, secs};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use taketurns::protocol::turns::{Framing, Verdict};
use taketurns::turn::Judging;

use super::book::Book;
use super::caller::{Caller, Manners};
use super::conditions::{self, Conditions};
use super::history::History;
use super::hostile::{FORGED, Hostiles};
use super::player::Player;
use super::{Plan, Played, STEP, tell};
use crate::network::World;

struct Game {
    conditions: Conditions,
    book: Book,
    history: History,
    players: Vec<Player>,
    callers: Vec<Caller>,
    hostiles: Hostiles,
    /// Accepted answers, by name.
    counted: HashMap<String, Vec<String>>,
    raw_most: usize,
    deliveries_read: usize,
    hash: DefaultHasher,
}

/// Plays the world of `plan`.
pub(super) fn play(plan: Plan) -> Played {
    let (mut world, mut game) = Game::new(plan);
    for step in 0..plan.steps {
        STEP.set(step);
        game.act(&mut world);
        game.pass_time(&mut world);
    }
    STEP.set(plan.steps);
    game.finish(&mut world);
    Played {
        hash: game.hash.finish(),
        passes: world.passes,
        granted: game.book.granted,
        accepted: game.book.accepted,
    }
}

impl Game {
    fn new(plan: Plan) -> (World, Game) {
        let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0xfeed);
        let (lines, raws) = (rng.usize(2..=6), rng.usize(1..=4));
        let (world, conditions) = conditions::make_world(plan, lines + raws + 2);
        let framing = world.config().framing;
        let rings = if rng.bool() { &["main"][..] } else { &["main", "lab"][..] };
        let players: Vec<_> = (0..if framing == Some(Framing::Raw) { 0 } else { lines })
            .map(|at| {
                let weight = if conditions.weights && rng.bool() { rng.u8(1..=12) } else { 1 };
                let asks = conditions.asking && rng.bool();
                Player::new(
                    format!("p{at}"),
                    rings[at % rings.len()],
                    weight,
                    asks,
                    rng.u8(0..3) == 0,
                    conditions.host_acts,
                )
            })
            .collect();
        let mut book = Book::default();
        let has_plain_order = !conditions.weights && !conditions.asking && !conditions.host_acts;
        // A resting or absent seat that comes back begins a wait without an event for the host.
        book.counts_waits = has_plain_order && !conditions.restarts && framing == Some(Framing::Raw);
        let game = Game {
            conditions,
            book,
            history: History::default(),
            players,
            callers: Vec::new(),
            hostiles: Hostiles::default(),
            counted: HashMap::new(),
            raw_most: if framing == Some(Framing::Line) { 0 } else { raws },
            deliveries_read: 0,
            hash: DefaultHasher::new(),
        };
        (world, game)
    }

    fn act(&mut self, world: &mut World) {
        let Conditions { restarts, host_acts, hostile, slow_readers, stored, .. } = self.conditions;
        if stored && world.rng.u8(0..80) == 0 {
            return self.restart(world);
        }
        match world.rng.u16(0..400) {
            0 if restarts => self.restart(world),
            1..10 if host_acts => self.act_as_host(world),
            10..40 if hostile => self.hostiles.act(world, &self.players),
            40..50 if slow_readers => self.sleep(world),
            choice if choice < 130 && self.raw_most > 0 => self.move_caller(world),
            _ if self.players.is_empty() => self.move_caller(world),
            _ => self.move_player(world),
        }
        self.judge_proposals(world);
    }

    fn move_player(&mut self, world: &mut World) {
        let at = world.rng.usize(0..self.players.len());
        let player = &mut self.players[at];
        if player.peer.is_none_or(|peer| !world.is_open(peer)) {
            if !world.is_draining() && world.rng.u8(0..3) > 0 {
                player.come(world);
            }
            return;
        }
        player.act(world);
    }

    fn move_caller(&mut self, world: &mut World) {
        let open: Vec<_> =
            (0..self.callers.len()).filter(|&at| world.is_open(self.callers[at].peer)).collect();
        if open.len() < self.raw_most && (open.is_empty() || world.rng.u8(0..4) == 0) {
            let manners = match world.rng.u8(0..5) {
                0 if world.config().framing.is_none() => Manners::Silent,
                1 | 2 => Manners::Plain,
                _ => Manners::Old,
            };
            return self.call(world, manners);
        }
        if let Some(&at) = open.get(world.rng.usize(0..open.len().max(1))) {
            self.callers[at].act(world);
        }
    }

    fn call(&mut self, world: &mut World, manners: Manners) {
        if world.is_draining() {
            return;
        }
        let name = format!("c{}", self.callers.len());
        let peer = match manners {
            Manners::Old => world.connect_old_quietly(&name, 1, 1),
            Manners::Plain | Manners::Silent => world.connect_quietly(),
        };
        self.callers.push(Caller::new(name, peer, manners));
    }

    /// The host rules at once, late, or never.
    fn judge_proposals(&mut self, world: &mut World) {
        while !world.proposals.is_empty() && world.rng.u8(0..4) > 0 {
            let turn = world.proposals[0].turn().get().to_le_bytes();
            let state = self.conditions.stored.then_some(&turn[..]);
            let verdict = match world.rng.u8(0..6) {
                0 => Verdict::Refuse { words: "no" },
                1 => Verdict::Accept { next: None, words: Some("well done"), state },
                _ => Verdict::Accept { next: None, words: None, state },
            };
            tell!("{:>10.3} s  the host rules: {verdict:?}", world.elapsed().as_secs_f64());
            let dropped = world.rng.u8(0..8) == 0;
            if dropped {
                world.proposals.pop_front();
            } else {
                let _ = world.try_rule_quietly(verdict);
            }
            self.judge(world);
        }
    }

    fn act_as_host(&mut self, world: &mut World) {
        let rings: Vec<_> = world.server().scheduler().rings().collect();
        let Some(&ring) = rings.get(world.rng.usize(0..rings.len().max(1))) else { return };
        let seats: Vec<_> = world.server().scheduler().seats_of(ring).map(|view| view.seat).collect();
        let choice = world.rng.u8(0..7);
        let seat = seats.get(world.rng.usize(0..seats.len().max(1))).copied();
        tell!("{:>10.3} s  the host does {choice}", world.elapsed().as_secs_f64());
        world.act_quietly(|server, now, links| {
            let _ = match (choice, seat) {
                (0, _) => server.skip(now, ring, links),
                (1, _) => server.extend(now, ring, ms(500), links),
                (2, _) => server.pause(now, ring, links),
                (3, _) => server.resume(now, ring, links),
                (4, Some(seat)) => server.name_next(seat),
                (5, _) => server.clear_ring(now, ring, "over", links),
                (_, Some(seat)) => server.remove(now, seat, links),
                _ => Ok(()),
            };
        });
        self.judge(world);
    }

    /// Makes a player stop reading for a while.
    fn sleep(&mut self, world: &mut World) {
        let Some(player) = self.players.first_mut() else { return };
        let Some(peer) = player.peer else { return };
        player.is_sleepy = true;
        if world.is_blocked(peer) || world.rng.bool() {
            world.read_again_quietly(peer);
        } else {
            let room = world.rng.usize(0..200);
            world.stop_reading(peer, room);
        }
    }

    /// Stops the server, with or without a drain, and starts another life.
    fn restart(&mut self, world: &mut World) {
        // A server with a store may die in the middle of something.
        if !self.conditions.stored || world.rng.bool() {
            self.settle(world, Duration::ZERO);
        }
        if world.rng.bool() {
            tell!("{:>10.3} s  the server drains", world.elapsed().as_secs_f64());
            world.drain_quietly();
            self.players.iter_mut().for_each(|player| player.part(world));
            let time = world.config().drain_timeout + secs(2);
            self.settle(world, time);
            assert_eq!(world.connections(), 0, "G8: the drain does not end");
        }
        tell!("{:>10.3} s  the server dies", world.elapsed().as_secs_f64());
        world.kill_server();
        world.proposals.clear();
        self.listen(world);
        self.players.iter_mut().for_each(|player| player.die(world));
        let away = ms(world.rng.u64(0..2000));
        world.drive_for(away);
        world.start_server();
        self.book.begin_life(world);
        self.history.begin_life(world);
        self.players.iter_mut().for_each(|player| player.live_on(world));
        tell!("{:>10.3} s  the server starts", world.elapsed().as_secs_f64());
    }

    /// Often several things happen in one pass. Sometimes time passes, and sometimes the server is suspended
    /// meanwhile.
    fn pass_time(&mut self, world: &mut World) {
        let most = u64::try_from(world.config().rules.turn_deadline.as_millis()).expect("small");
        if self.conditions.stalls && world.rng.u8(0..40) == 0 {
            let time = ms(world.rng.u64(1..3 * most));
            tell!("{:>10.3} s  the server stands still for {time:?}", world.elapsed().as_secs_f64());
            world.stand_still(time);
        }
        match world.rng.u8(0..4) {
            0 => {}
            1 => {
                world.step();
                self.judge(world);
            }
            2 => self.settle(world, Duration::ZERO),
            _ => {
                let pause = ms(world.rng.u64(0..most.min(2000)));
                self.settle(world, pause);
            }
        }
    }

    /// Lets `time` pass, and everything arrive that is due.
    fn settle(&mut self, world: &mut World, time: Duration) {
        world.run(time, |world| self.judge(world));
        self.players.iter().for_each(|player| player.check_replies(world, &self.history));
    }

    /// Checks that a ring of willing clients continues, whatever has happened.
    fn finish(&mut self, world: &mut World) {
        self.hostiles.leave(world);
        if self.conditions.stored {
            world.store_on_disk(ms(1));
        }
        let rings: Vec<_> = world.server().scheduler().rings().collect();
        for ring in rings {
            world.act_quietly(|server, now, links| {
                let _ = server.resume(now, ring, links);
            });
        }
        for player in &mut self.players {
            if let Some(peer) = player.peer.filter(|peer| world.is_blocked(*peer)) {
                world.read_again_quietly(peer);
            }
            player.lose(world);
        }
        self.settle(world, secs(10));
        let before = self.book.granted;
        for _ in 0..80 {
            for player in &mut self.players {
                if player.peer.is_none() {
                    player.come(world);
                }
                player.answer(world);
            }
            if self.raw_most > 0 && world.rng.u8(0..4) == 0 {
                self.move_caller(world);
            }
            while !world.proposals.is_empty() {
                let _ = world.try_rule_quietly(Verdict::ACCEPT);
            }
            self.settle(world, ms(200));
        }
        let willing = self.players.iter().filter(|player| player.ring == "main").count();
        let can_go_on = willing >= world.config().rules.min_seats && !self.conditions.asking;
        assert!(!can_go_on || self.book.granted > before + 5, "G1: the rings live on");
        self.check_numbers(world);
    }

    /// Judges everything since the last call, which is at most one pass.
    fn judge(&mut self, world: &mut World) {
        self.book.follow(world, &mut self.history);
        for counted in self.book.counted.drain(..) {
            assert!(
                !counted.text.starts_with(FORGED) || !counted.name.starts_with(['p', 'c']),
                "S3: {counted:?} is forged"
            );
            (&counted.name, counted.turn, &counted.text).hash(&mut self.hash);
            self.history.note_counted(world.server().epoch().to_string(), &counted);
            self.counted.entry(counted.name).or_default().push(counted.text);
        }
        let (clients, config) = (world.server().clients(), world.config());
        assert!(clients <= config.max_clients, "S7: {clients} clients");
        let seats = world.server().scheduler().seats();
        assert!(seats <= 2 * config.max_clients, "S7: {seats} seats");
        self.listen(world);
    }

    fn listen(&mut self, world: &mut World) {
        for delivery in &world.deliveries()[self.deliveries_read..] {
            let bytes = if world.is_encrypted(delivery.peer) { &[] } else { &delivery.bytes[..] };
            (delivery.at, delivery.peer, delivery.bytes.len(), bytes).hash(&mut self.hash);
        }
        self.deliveries_read = world.deliveries().len();
        self.players.iter_mut().for_each(|player| player.listen(world, &mut self.history));
        self.callers.iter_mut().for_each(|caller| caller.listen(world));
        self.hostiles.check(world);
    }

    fn check_numbers(&self, world: &World) {
        let none = Vec::new();
        for player in &self.players {
            player.check_numbers(self.counted.get(&player.name).unwrap_or(&none));
        }
        // A judging host refuses some messages of old clients.
        if world.config().rules.judging == Judging::Automatic {
            for caller in &self.callers {
                caller.check_numbers(world, self.counted.get(&caller.name).unwrap_or(&none));
            }
        }
    }
}
