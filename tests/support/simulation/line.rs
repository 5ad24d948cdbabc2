//! The line framing: what happens in a world, and what must hold there.

use std::collections::HashMap;
use std::time::Duration;

use taketurns::protocol::turns::{Bye, ClientEvent, Framing, TurnClientConfig, TurnEvent};

use super::super::world::{LINGER_TIMEOUT, Peer, World, field, ms, secs};
use super::book::Book;
use super::conditions::{self, Faults};
use super::intruder::{self, Intruders};
use super::player::{self, Player};
use super::wire::Wire;
use super::{Played, STEP};

struct LineGame {
    faults: Faults,
    book: Book,
    wire: Wire,
    players: Vec<Player>,
    /// Connections that their players have left behind, though to the server they may still seem alive.
    ghosts: Vec<(Peer, usize)>,
    /// Those of a `TurnClient`, by name.
    ours: Vec<&'static str>,
    intruders: Intruders,
    observers: Vec<(&'static str, Peer)>,
    watched: &'static [&'static str],
    /// What observers must have heard, by ring.
    outcomes: HashMap<String, Vec<String>>,
    outcomes_read: usize,
}

/// Plays the world of `seed`.
pub(super) fn play(seed: u64, steps: usize) -> Played {
    let (mut world, mut game) = LineGame::new(seed);
    for step in 0..steps {
        STEP.set(step);
        game.act(&mut world);
        game.pass_time(&mut world);
    }
    STEP.set(steps);
    game.finish(&mut world);
    Played {
        hash: world.hash.value(),
        passes: world.passes,
        granted: game.book.granted,
        accepted: game.book.accepted,
    }
}

impl LineGame {
    fn new(seed: u64) -> (World, LineGame) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xfeed);
        let weighty = rng.bool();
        let rings = if rng.bool() { &["main"][..] } else { &["main", "lab"][..] };
        let players: Vec<_> = (0..rng.usize(2..=7))
            .map(|at| {
                let weight = if weighty && rng.bool() { rng.u64(1..=12) } else { 1 };
                Player::new(format!("p{at}"), rings[at % rings.len()], weight)
            })
            .collect();
        let ours = &["t0", "t1"][..rng.usize(0..3)];
        // Observers keep a ring's name alive: in some worlds there are none.
        let watched = if rng.u8(0..3) > 0 { rings } else { &[] };
        let clients = players.len() + ours.len() + watched.len();
        let (mut world, faults) = conditions::make_world(seed, Framing::Line, clients);
        let mut game = LineGame {
            faults,
            book: Book::default(),
            wire: Wire::default(),
            players,
            ghosts: Vec::new(),
            ours: ours.to_vec(),
            intruders: Intruders::default(),
            observers: Vec::new(),
            watched,
            outcomes: HashMap::new(),
            outcomes_read: 0,
        };
        game.watch(&mut world);
        if !game.ours.is_empty() {
            let pace = ms(rng.u64(0..1000).max(1));
            let config = TurnClientConfig { framing: Framing::Line, pace, ..TurnClientConfig::default() };
            let clients: Vec<_> = game.ours.iter().map(|name| (*name, 1, 1)).collect();
            world.run_client(config, &clients);
        }
        (world, game)
    }

    fn watch(&mut self, world: &mut World) {
        for &ring in self.watched {
            let peer = world.connect_quietly();
            world.queue(peer, &format!("WATCH ring={ring}"));
            self.observers.push((ring, peer));
        }
        self.settle(world, secs(1));
    }

    // What happens.

    fn act(&mut self, world: &mut World) {
        let Faults { restarts, kicks, intruders, slow_readers, .. } = self.faults;
        let at = world.rng.usize(0..self.players.len());
        match world.rng.u16(0..400) {
            0 if restarts => self.restart(world),
            1..6 if kicks => self.kick(world, at),
            6..40 if intruders => self.intruders.act(world, &self.players),
            40..50 if slow_readers => self.sleep(world, at),
            50..60 => self.intruders.steal(world, &self.players[at]),
            60..65 if !self.ghosts.is_empty() => {
                let (ghost, at) = self.ghosts[world.rng.usize(0..self.ghosts.len())];
                // Its seat has moved, or what it says would count.
                if self.players[at].is_welcome {
                    intruder::forge(world, ghost, &self.players[at]);
                }
            }
            65..70 if !self.ours.is_empty() => {
                let index = world.rng.usize(0..self.ours.len());
                match world.rng.bool() {
                    true => world.break_client_end(index),
                    false => world.break_connection_quietly(index),
                }
            }
            _ => self.move_player(world, at),
        }
    }

    /// One player does something.
    fn move_player(&mut self, world: &mut World, at: usize) {
        let player = &mut self.players[at];
        let Some(peer) = player.peer.filter(|peer| world.is_open(*peer)) else {
            if world.rng.u8(0..3) > 0 {
                self.come(world, at);
            }
            return;
        };
        let choice = world.rng.u8(0..24);
        if !player.is_welcome && !matches!(choice, 6 | 11) {
            return;
        }
        match choice {
            // Nonsense, in turn and out of it.
            0 => world.queue(peer, "what?"),
            1 => world.queue(peer, &format!("{}:7 turn={}", player.name, u64::MAX)),
            2 => player.ping(world),
            3 | 4 => player.repeat(world),
            5 => player.pass(world),
            6 => self.lose(world, at),
            7 => {
                // It sends, and never hears what became of it.
                player.cut = true;
                world.lose_down(peer);
                player.answer(world);
                if world.rng.bool() {
                    world.step();
                    self.judge(world);
                }
                self.lose(world, at);
            }
            8 if player.secret.is_some() => {
                player.cut = true;
                world.lose_up(peer);
                player.answer(world);
            }
            9 if player.secret.is_some() => {
                // The old connection still seems alive to the server when the new one comes.
                self.ghosts.push((peer, at));
                if world.rng.bool() {
                    world.lose_down(peer);
                }
                self.come(world, at);
            }
            10 => player.leave(world),
            11 => world.half_close_quietly(peer),
            _ => player.answer(world),
        }
    }

    fn come(&mut self, world: &mut World, at: usize) {
        if !world.is_draining() {
            self.players[at].come(world);
        }
    }

    fn lose(&mut self, world: &mut World, at: usize) {
        if let Some(peer) = self.players[at].peer.take() {
            match world.rng.u8(0..4) {
                0 => world.crash_quietly(peer),
                1 => world.break_writes(peer),
                _ => world.reset_quietly(peer),
            }
        }
    }

    fn kick(&mut self, world: &mut World, at: usize) {
        if let Some(peer) = self.players[at].peer {
            world.kick_quietly(peer);
        }
    }

    /// A player, or an observer, does not read for a while.
    fn sleep(&mut self, world: &mut World, at: usize) {
        let Some(peer) = self.players[at].peer.filter(|peer| world.is_open(*peer)) else { return };
        match world.is_blocked(peer) || world.rng.bool() {
            true => world.read_again_quietly(peer),
            false => {
                let room = world.rng.usize(0..200);
                world.stop_reading(peer, room);
            }
        }
    }

    /// The server stops, in order or not, and another life of it begins.
    fn restart(&mut self, world: &mut World) {
        world.step();
        self.judge(world);
        if world.rng.bool() {
            self.drain(world);
        }
        self.check_outcomes(world);
        world.kill_server();
        self.judge_players(world);
        self.observers.clear();
        self.ghosts.clear();
        self.outcomes.clear();
        self.intruders.begin_life();
        let away = ms(world.rng.u64(0..2000));
        world.run(away, |_| {});
        world.start_server();
        self.book.begin_life();
        self.players.iter_mut().for_each(|player| player.was_unseated(false));
        self.wire.begin_life(world);
        self.watch(world);
    }

    /// L4: nobody is there any more when the holders had their time and everybody has had a second for the last words.
    fn drain(&mut self, world: &mut World) {
        world.drain_quietly();
        let until = world.elapsed() + world.config().drain_timeout + 2 * LINGER_TIMEOUT;
        while world.connections() > 0 && world.elapsed() < until {
            for at in 0..self.players.len() {
                self.players[at].answer(world);
            }
            self.settle(world, ms(100));
        }
        assert_eq!(world.connections(), 0, "L4: the drain does not end");
    }

    /// Often several things happen in one pass; sometimes time goes by, and sometimes the server sleeps through it.
    fn pass_time(&mut self, world: &mut World) {
        if let Some(time) = conditions::stall(world, self.faults) {
            world.skip_time(time);
            self.book.stalled(world, time);
            world.step();
            self.judge(world);
        }
        let most = u64::try_from(world.config().turn_deadline.as_millis()).expect("small");
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

    /// `time` goes by, and everything in it arrives.
    fn settle(&mut self, world: &mut World, time: Duration) {
        world.run(time, |world| self.judge(world));
        self.players.iter().for_each(|player| player.check_replies(world));
    }

    /// Whatever has happened: a ring whose clients are willing goes on.
    fn finish(&mut self, world: &mut World) {
        self.intruders.leave(world);
        world.latency = Duration::ZERO;
        for at in 0..self.players.len() {
            self.lose(world, at);
        }
        // Until the server has found out whose connections are dead.
        self.settle(world, secs(22));
        let before = self.book.granted;
        for _ in 0..60 {
            for at in 0..self.players.len() {
                if self.players[at].peer.is_none() {
                    self.come(world, at);
                }
                self.players[at].answer(world);
            }
            self.settle(world, ms(100));
        }
        let of = |ring| self.players.iter().filter(|player| player.ring == ring).count();
        let can_go_on = ["main", "lab"].into_iter().any(|ring| of(ring) >= world.config().min_clients);
        assert!(!can_go_on || self.book.granted > before + 10, "L1: the rings live on");
        self.check_outcomes(world);
        self.check_numbers(world);
    }

    // What must hold.

    /// Looks at all that has happened since it was last here: at most one pass.
    fn judge(&mut self, world: &mut World) {
        conditions::check_limits(world);
        self.wire.follow(world, &self.players, &mut self.book);
        self.book.follow(world, &self.wire.sitting());
        for counted in self.book.counted.drain(..) {
            if let Some(player) = self.players.iter().find(|player| player.name == counted.name) {
                player.check_counted(&counted);
            }
        }
        for (name, early) in self.book.retired.drain(..) {
            if let Some(player) = self.players.iter_mut().find(|player| player.name == name) {
                // Or a JOIN of its own without a secret has come late.
                let again = self.book.moved.iter().any(|(who, _)| *who == name);
                player.was_unseated(early && !again);
            }
        }
        self.read_outcomes(world);
        self.intruders.check(world);
        // Before and after: what a player heard in this pass may have come from either side of a move.
        self.follow_moves();
        self.judge_players(world);
        self.follow_moves();
        self.book.moved.clear();
    }

    /// A seat went to a connection that its player has left behind, by a JOIN that came late.
    fn follow_moves(&mut self) {
        for (name, peer) in &self.book.moved {
            let left_behind =
                self.players.iter_mut().filter(|player| player.name == *name && player.peer != Some(*peer));
            left_behind.for_each(|player| player.was_unseated(false));
        }
    }

    fn judge_players(&mut self, world: &mut World) {
        for player in &mut self.players {
            let Some(peer) = player.peer else { continue };
            for line in world.heard(peer) {
                player.hear(&line);
            }
            if !world.is_open(peer) {
                player.peer = None;
            }
        }
    }

    fn read_outcomes(&mut self, world: &World) {
        for (_, event) in &world.events[self.outcomes_read..] {
            let (seat, line) = match event {
                TurnEvent::Accepted { seat, turn, name, number } => {
                    (seat, format!("TURN turn={turn} {name}:{number}"))
                }
                TurnEvent::Skipped { seat, turn, name, how } => {
                    let name = name.expect("the line framing knows every name");
                    (seat, format!("SKIP turn={turn} {name} {how}"))
                }
                _ => continue,
            };
            // A ring that was there for less than a pass has no name here, and had nobody to watch it.
            let ring = self.wire.names.get(&seat.ring()).cloned().unwrap_or_default();
            self.outcomes.entry(ring).or_default().push(line);
        }
        self.outcomes_read = world.events.len();
    }

    fn check_outcomes(&mut self, world: &mut World) {
        for outcomes in self.outcomes.values() {
            let grows = outcomes.windows(2).all(|pair| turn_of(&pair[0]) < turn_of(&pair[1]));
            assert!(grows, "S2, also over a ring that was made again");
        }
        for &(ring, observer) in &self.observers {
            let mut heard = world.heard(observer);
            assert!(heard.first().is_some_and(|line| line.starts_with("WATCHING ")), "T28: {heard:?}");
            let since = turn_of(&heard.remove(0));
            heard.retain(|line| !line.starts_with("BYE shutting-down "));
            // The turn that was granted last may have been over.
            let over = heard.first().is_none_or(|line| turn_of(line) != since);
            let mut expected = self.outcomes.remove(ring).unwrap_or_default();
            expected.retain(|line| turn_of(line) >= since + u64::from(over));
            let differs = heard.iter().zip(&expected).position(|(heard, expected)| heard != expected);
            let same = differs.is_none() && heard.len() == expected.len();
            let at = differs.unwrap_or(heard.len().min(expected.len()));
            let (heard, expected) = (heard.get(at), expected.get(at));
            assert!(same, "T25: an observer of {ring} heard {heard:?} for {expected:?}");
        }
    }

    fn check_numbers(&self, world: &World) {
        let none = Vec::new();
        for player in &self.players {
            let numbers = self.book.numbers.get(&player.name).unwrap_or(&none);
            player::check_numbers(&player.name, numbers);
        }
        for name in &self.ours {
            let (mut sent, mut refused) = (Vec::new(), 0);
            for event in world.client_events() {
                match event {
                    ClientEvent::Sent { name: who, number } if who.as_str() == *name => sent.push(*number),
                    ClientEvent::Bye { name: who, bye: Bye::BadSecret } if who.as_str() == *name => {
                        refused += 1;
                    }
                    _ => {}
                }
            }
            player::check_numbers(name, &sent);
            let mut counted = self.book.numbers.get(*name).unwrap_or(&none).clone();
            let before = counted.len();
            counted.dedup();
            player::check_numbers(name, &counted);
            // What it could not know about it said again.
            assert!(before - counted.len() <= refused, "S5: {name} counted twice");
            assert!(counted.len() >= sent.len(), "S5: {name} was told of more than counted");
        }
    }
}

fn turn_of(line: &str) -> u64 {
    field(line, "turn").parse().expect("a number")
}
