//! Random worlds, and a judge that knows the protocol only from outside: what is written to clients, and what the host is told.
//!
//! What must hold in every world, after every pass:
//!
//! - A turn is granted to one seat, once, and numbers only grow; at most one connection of a ring has the turn (S1, S2).
//! - At most one answer counts for a turn, and it came from the seat that held it (S3).
//! - A ring with enough seats has a holder (L1), no turn outlives its deadline (L2), and no seat of weight 1 waits for
//!   more turns than the weights of the others allow (L3).
//!
//! In the line framing also: the numbers of a client count without gap or repetition, whatever is lost or sent again (S5);
//! every line gets its reply (T27); observers hear every outcome. In the raw framing: one `recv` is one signal; `WAIT`
//! comes first or never, and `GO` not before the gap; there is at most one unanswered `GO`; what a client was allowed to send
//! counts, in order, once, and nothing else does.
//!
//! A failure names its seed, which replays it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use taketurns::protocol::turns::{Framing, Skipped, TurnEvent, TurnServerConfig};
use taketurns::turn::{RingId, SeatId};

use super::world::{Peer, World, field, ms, secs};

/// Plays a world for each seed, `steps` actions each.
pub(crate) fn line_worlds(seeds: Range<u64>, steps: usize) {
    for seed in seeds {
        let _replay = Replay("line", seed);
        let (mut world, mut game) = LineGame::new(seed);
        game.play(&mut world, steps);
    }
}

/// The same in the raw framing.
pub(crate) fn raw_worlds(seeds: Range<u64>, steps: usize) {
    for seed in seeds {
        let _replay = Replay("raw", seed);
        let (mut world, mut game) = RawGame::new(seed);
        game.play(&mut world, steps);
    }
}

/// Says which seed it was when a test fails.
struct Replay(&'static str, u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed in the {} world of seed {}", self.0, self.1);
        }
    }
}

// ---- both framings: what the host is told -------------------------------------------------------------

/// A seat that a client sits on, and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sitting {
    ring: RingId,
    place: u64,
    weight: u64,
}

/// How many turns of others a waiting seat has seen, and how many it must bear.
#[derive(Debug, Clone, Copy)]
struct Wait {
    seen: u64,
    bound: u64,
}

#[derive(Default)]
struct RingBook {
    last_turn: u64,
    held: Option<(SeatId, u64)>,
    waits: BTreeMap<u64, Wait>,
}

/// Follows the events of a server.
#[derive(Default)]
struct Book {
    rings: HashMap<RingId, RingBook>,
    read: usize,
    granted: u64,
    /// What was accepted, by name, in order.
    accepted: HashMap<String, Vec<i64>>,
}

impl Book {
    /// After a pass: `sitting` are those who sit where, as the wire shows it.
    fn follow(&mut self, world: &World, sitting: &[Sitting], min_clients: usize) {
        for at in self.read..world.events.len() {
            let (time, event) = &world.events[at];
            match event {
                TurnEvent::Granted { seat, turn, deadline } => {
                    let ring = self.rings.entry(seat.ring()).or_default();
                    assert_eq!(ring.held, None, "S1: granted while held");
                    assert!(turn.get() > ring.last_turn, "S2: {turn} after {}", ring.last_turn);
                    assert!(world.time_of(*deadline) > *time, "L2: granted in the past");
                    ring.last_turn = turn.get();
                    ring.held = Some((*seat, turn.get()));
                    self.granted += 1;
                    let weight = sitting.iter().find(|s| (s.ring, s.place) == (seat.ring(), seat.place()));
                    if let Some(wait) = ring.waits.remove(&seat.place())
                        && weight.is_some_and(|sitting| sitting.weight == 1)
                    {
                        assert!(wait.seen <= wait.bound, "L3: {seat} of weight 1 waited: {wait:?}");
                    }
                }
                TurnEvent::Accepted { seat, turn, name, number } => {
                    self.accepted.entry(name.as_str().to_owned()).or_default().push(*number);
                    self.ended(*seat, turn.get(), true);
                }
                TurnEvent::Skipped { seat, turn, how, .. } => {
                    self.ended(*seat, turn.get(), *how != Skipped::Gone);
                }
                _ => {}
            }
        }
        self.read = world.events.len();
        self.check(world, sitting, min_clients);
    }

    fn ended(&mut self, seat: SeatId, turn: u64, counts: bool) {
        let ring = self.rings.entry(seat.ring()).or_default();
        assert_eq!(ring.held.take(), Some((seat, turn)), "S3: only the turn that is held can end, and once");
        // A turn whose holder was lost costs the others no time, and comes again after a pause.
        ring.waits.values_mut().for_each(|wait| wait.seen += u64::from(counts));
    }

    fn check(&mut self, world: &World, sitting: &[Sitting], min_clients: usize) {
        let scheduler = world.server.scheduler();
        self.rings.retain(|ring, _| scheduler.has_ring(*ring));
        for id in scheduler.rings() {
            let ring = self.rings.entry(id).or_default();
            let here: Vec<_> = sitting.iter().filter(|sitting| sitting.ring == id).collect();
            let held = scheduler.held(id);
            assert_eq!(
                held.map(|held| (held.seat, held.turn.get())),
                ring.held,
                "the host is told of every turn"
            );
            let Some(held) = held else {
                assert!(
                    scheduler.occupied(id) < min_clients,
                    "L1: {} seats and no turn",
                    scheduler.occupied(id)
                );
                ring.waits.clear();
                continue;
            };
            assert!(world.time_of(held.deadline) >= world.elapsed(), "L2: a turn outlives its deadline");
            let longest = scheduler.longest_wait(id);
            assert!(longest.waited <= longest.bound + secs(2), "L3, as exported: {longest:?}");
            let total: u64 = here.iter().map(|sitting| sitting.weight).sum();
            ring.waits.retain(|place, _| here.iter().any(|sitting| sitting.place == *place));
            for sitting in here.iter().filter(|sitting| sitting.place != held.seat.place()) {
                let bound = total - sitting.weight;
                ring.waits.entry(sitting.place).or_insert(Wait { seen: 0, bound });
            }
        }
    }

    /// Somebody sat down: whoever waits in that ring may wait for so many turns more.
    fn joined(&mut self, ring: RingId, weight: u64) {
        let ring = self.rings.entry(ring).or_default();
        ring.waits.values_mut().for_each(|wait| wait.bound += weight);
    }
}

// ---- the line framing ---------------------------------------------------------------------------------

/// A client as the protocol wants it: fenced answers, its secret kept, an answer sent again if it did not count.
struct Player {
    name: String,
    ring: &'static str,
    weight: u64,
    peer: Option<Peer>,
    secret: Option<String>,
    number: i64,
    in_flight: Option<(u64, i64)>,
    /// The turn that it has and has not answered.
    turn: Option<u64>,
    passed: Option<u64>,
    last_ok: Option<(u64, i64)>,
    /// Something between it and the server is lost.
    cut: bool,
    /// It has its seat on this connection, and knows it: before that it says nothing, or its secret would be confirmed
    /// without having arrived.
    is_welcome: bool,
    /// How many `PING`s have had no `PONG` yet.
    pings: u32,
}

/// When it cannot know whether its last number counted, a player goes on here: nothing can be said about the gap.
const NEXT_LIFE: i64 = 1_000_000;

struct LineGame {
    book: Book,
    players: Vec<Player>,
    observers: Vec<(&'static str, Peer)>,
    /// What observers must have heard, by ring.
    outcomes: HashMap<String, Vec<String>>,
    outcomes_read: usize,
    names: HashMap<RingId, String>,
    wire: Wire,
    min_clients: usize,
    deadline: Duration,
}

/// What the server has written, to whomever it arrives.
#[derive(Default)]
struct Wire {
    read: usize,
    /// Who sits where, by the last `WELCOME` on each connection.
    seats: HashMap<Peer, Sitting>,
    turns: HashMap<Peer, u64>,
    granted: HashMap<(RingId, u64), u64>,
}

impl LineGame {
    fn new(seed: u64) -> (World, LineGame) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xfeed);
        let min_clients = rng.usize(1..=3);
        let deadline = ms(rng.u64(200..3000));
        let config = TurnServerConfig {
            framing: Framing::Line,
            min_clients,
            turn_deadline: deadline,
            seat_grace: ms(rng.u64(500..8000)),
            ..TurnServerConfig::default()
        };
        let mut world = World::new(config, seed);
        world.shuffling = true;
        let weighty = rng.bool();
        let rings = if rng.bool() { &["main"][..] } else { &["main", "lab"][..] };
        let players = (0..rng.usize(2..=7)).map(|at| Player {
            name: format!("p{at}"),
            ring: rings[at % rings.len()],
            weight: if weighty && rng.bool() { rng.u64(1..=12) } else { 1 },
            peer: None,
            secret: None,
            number: 1,
            in_flight: None,
            turn: None,
            passed: None,
            last_ok: None,
            cut: false,
            is_welcome: false,
            pings: 0,
        });
        let players = players.collect();
        // Observers keep a ring's name alive: in some worlds there are none.
        let watched = if rng.u8(0..3) > 0 { rings } else { &[] };
        let observers = watched.iter().map(|&ring| {
            let peer = world.connect();
            world.say(peer, &format!("WATCH ring={ring}"));
            world.heard(peer);
            (ring, peer)
        });
        let observers = observers.collect();
        let game = LineGame {
            book: Book::default(),
            players,
            observers,
            outcomes: HashMap::new(),
            outcomes_read: 0,
            names: HashMap::new(),
            wire: Wire::default(),
            min_clients,
            deadline,
        };
        (world, game)
    }

    fn play(&mut self, world: &mut World, steps: usize) {
        let most = u64::try_from(self.deadline.as_millis()).expect("small");
        for _ in 0..steps {
            let at = world.rng.usize(0..self.players.len());
            self.act(world, at);
            // Often several things happen in one pass; sometimes time goes by.
            match world.rng.u8(0..4) {
                0 => {}
                1 => {
                    world.step();
                    self.judge(world);
                }
                2 => self.settle(world, Duration::ZERO),
                _ => {
                    let pause = ms(world.rng.u64(0..most));
                    self.settle(world, pause);
                }
            }
        }
        // Whatever has happened: a ring whose clients are willing goes on.
        for at in 0..self.players.len() {
            self.lose(world, at);
            self.come(world, at);
        }
        self.settle(world, secs(10));
        let before = self.book.granted;
        for _ in 0..60 {
            for at in 0..self.players.len() {
                if self.players[at].peer.is_none() {
                    self.come(world, at);
                }
                self.answer(world, at);
            }
            self.settle(world, Duration::ZERO);
        }
        let of = |ring| self.players.iter().filter(|player| player.ring == ring).count();
        let can_go_on = ["main", "lab"].into_iter().any(|ring| of(ring) >= self.min_clients);
        assert!(!can_go_on || self.book.granted > before + 30, "L1: the rings live on");
        self.check_outcomes(world);
    }

    /// One player does something.
    fn act(&mut self, world: &mut World, at: usize) {
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
            2 => {
                player.pings += 1;
                world.queue(peer, "PING");
            }
            // Its last answer again, and another number for the same turn.
            3 | 4 => {
                if let Some((turn, number)) = player.last_ok {
                    let number = number + world.rng.i64(0..2) * 500;
                    world.queue(peer, &format!("{}:{number} turn={turn}", player.name));
                }
            }
            5 => {
                if player.in_flight.is_none()
                    && let Some(turn) = player.turn.take()
                {
                    player.passed = Some(turn);
                    world.queue(peer, &format!("PASS turn={turn}"));
                }
            }
            6 => self.lose(world, at),
            7 => {
                // It sends, and never hears what became of it.
                player.cut = true;
                world.lose_down(peer);
                self.answer(world, at);
                if world.rng.bool() {
                    world.step();
                    self.judge(world);
                }
                self.lose(world, at);
            }
            8 if player.secret.is_some() => {
                player.cut = true;
                world.lose_up(peer);
                self.answer(world, at);
            }
            9 if player.secret.is_some() => {
                // The old connection still seems alive to the server when the new one comes.
                player.cut = true;
                world.lose_up(peer);
                if world.rng.bool() {
                    world.lose_down(peer);
                }
                self.come(world, at);
            }
            10 if player.in_flight.is_none() && !player.cut => {
                player.secret = None;
                player.turn = None;
                world.queue(peer, "LEAVE");
            }
            11 => world.half_close_quietly(peer),
            _ => self.answer(world, at),
        }
    }

    /// Sends the number for the turn that it has.
    fn answer(&mut self, world: &mut World, at: usize) {
        let player = &mut self.players[at];
        let Some(peer) = player.peer.filter(|_| player.in_flight.is_none()) else { return };
        if let Some(turn) = player.turn.take() {
            player.in_flight = Some((turn, player.number));
            world.queue(peer, &format!("{}:{} turn={turn}", player.name, player.number));
        }
    }

    fn lose(&mut self, world: &mut World, at: usize) {
        if let Some(peer) = self.players[at].peer.take() {
            world.reset_quietly(peer);
        }
    }

    fn come(&mut self, world: &mut World, at: usize) {
        let peer = world.connect_quietly();
        let player = &mut self.players[at];
        player.peer = Some(peer);
        player.turn = None;
        player.cut = false;
        player.is_welcome = false;
        player.pings = 0;
        let resume = player.secret.as_ref().map(|secret| format!(" resume={secret}")).unwrap_or_default();
        let join = format!("JOIN {} ring={} weight={}{resume}", player.name, player.ring, player.weight);
        world.queue(peer, &join);
    }

    /// `time` goes by, and everything in it arrives.
    fn settle(&mut self, world: &mut World, time: Duration) {
        world.step();
        world.drive_bounded(time, |world| {
            self.judge(world);
            false
        });
        self.judge(world);
        for player in &self.players {
            let answered = player.cut || player.peer.is_none() || player.pings == 0;
            assert!(answered, "T27: {} got no PONG", player.name);
        }
    }

    /// Looks at all that has happened since it was last here: at most one pass.
    fn judge(&mut self, world: &mut World) {
        for id in world.server.scheduler().rings() {
            if let Some(name) = world.server.ring_name(id) {
                self.names.insert(id, name.as_str().to_owned());
            }
        }
        self.read_wire(world);
        let sitting: Vec<_> = self.wire.seats.values().copied().collect();
        self.book.follow(world, &sitting, self.min_clients);
        self.read_outcomes(world);
        for at in 0..self.players.len() {
            if let Some(peer) = self.players[at].peer {
                for line in world.heard(peer) {
                    self.players[at].hear(&line);
                }
                if !world.is_open(peer) {
                    self.players[at].peer = None;
                }
            }
        }
    }

    fn read_wire(&mut self, world: &World) {
        let ids: HashMap<&str, RingId> =
            world.server.scheduler().rings().map(|id| (self.names[&id].as_str(), id)).collect();
        for write in &world.deliveries[self.wire.read..] {
            for line in write.text().lines() {
                let turn = || field(line, "turn").parse::<u64>().expect("a number");
                match line.split(' ').next().unwrap_or_default() {
                    "WELCOME" => {
                        let Some(&ring) = ids.get(field(line, "ring")) else { continue };
                        let place = field(line, "seat").parse().expect("a number");
                        let name = field(line, "ring");
                        let player = self.players.iter().find(|player| player.peer == Some(write.peer));
                        let weight = player.map_or(1, |player| player.weight);
                        assert!(player.is_none_or(|player| player.ring == name));
                        self.wire.seats.retain(|_, other| (other.ring, other.place) != (ring, place));
                        self.wire.seats.insert(write.peer, Sitting { ring, place, weight });
                        self.book.joined(ring, weight);
                    }
                    "GO" => {
                        let Some(sitting) = self.wire.seats.get(&write.peer) else { continue };
                        let place = *self.wire.granted.entry((sitting.ring, turn())).or_insert(sitting.place);
                        assert_eq!(place, sitting.place, "S2: two seats have heard GO for turn {}", turn());
                        let before = self.wire.turns.insert(write.peer, turn());
                        assert_ne!(before, Some(turn()), "T3: GO twice");
                    }
                    "OK" | "LAPSED" if self.wire.turns.get(&write.peer) == Some(&turn()) => {
                        self.wire.turns.remove(&write.peer);
                    }
                    _ => {}
                }
            }
        }
        self.wire.read = world.deliveries.len();
        self.wire.seats.retain(|peer, _| world.is_open(*peer));
        self.wire.turns.retain(|peer, _| world.is_open(*peer));
        let mut holders = HashSet::new();
        for peer in self.wire.turns.keys() {
            let ring = self.wire.seats.get(peer).map(|sitting| sitting.ring);
            assert!(ring.is_none_or(|ring| holders.insert(ring)), "S1: two connections have the turn");
        }
        for id in world.server.scheduler().rings() {
            let here = self.wire.seats.values().filter(|sitting| sitting.ring == id).count();
            assert_eq!(
                here,
                world.server.scheduler().occupied(id),
                "who was welcomed and is connected, sits"
            );
            if here >= self.min_clients {
                assert!(holders.contains(&id), "L1: nobody in the ring has heard GO");
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
            self.outcomes.entry(self.names[&seat.ring()].clone()).or_default().push(line);
        }
        self.outcomes_read = world.events.len();
    }

    fn check_outcomes(&mut self, world: &mut World) {
        for &(ring, observer) in &self.observers {
            let expected = self.outcomes.remove(ring).unwrap_or_default();
            assert_eq!(world.heard(observer), expected, "observers of {ring} hear every outcome");
            let turns: Vec<u64> =
                expected.iter().map(|line| field(line, "turn").parse().expect("a number")).collect();
            assert!(
                turns.windows(2).all(|pair| pair[0] < pair[1]),
                "S2, also over a ring that was made again"
            );
        }
        for (name, numbers) in &self.book.accepted {
            let mut last = 0;
            for &number in numbers {
                let new_life = number % NEXT_LIFE == 1 && number > last;
                assert!(number == last + 1 || new_life, "{name}: {number} after {last}");
                last = number;
            }
        }
    }
}

impl Player {
    fn hear(&mut self, line: &str) {
        let turn = || field(line, "turn").parse::<u64>().expect("a number");
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "WELCOME" => {
                self.is_welcome = true;
                self.secret = Some(field(line, "resume").to_owned());
                let last = field(line, "last").parse().expect("a number");
                if let Some((turn, number)) = self.in_flight.take()
                    && turn == last
                {
                    assert_eq!(field(line, "number"), number.to_string(), "S5: the first one stands");
                    self.counted(turn);
                }
            }
            "WAIT" => {}
            "GO" => self.turn = Some(turn()),
            "OK" => {
                let known = self.in_flight.is_some_and(|(in_flight, _)| in_flight == turn());
                let again = self.last_ok.is_some_and(|(last, _)| last == turn());
                if known {
                    self.in_flight = None;
                    self.counted(turn());
                } else {
                    assert!(
                        again || self.passed == Some(turn()),
                        "{} was not told anything: {line}",
                        self.name
                    );
                }
            }
            "LAPSED" => self.turn = self.turn.filter(|held| *held != turn()),
            "NO" => {
                assert!(words.len() >= 4, "T27: a code and words: {line:?}");
                // A line that cannot be read is refused under the turn that is held, too: that says nothing of an answer.
                let about_an_answer = matches!(words[2], "stale-turn" | "not-your-turn");
                self.in_flight =
                    self.in_flight.filter(|(turn_sent, _)| !about_an_answer || *turn_sent != turn());
            }
            "PONG" => self.pings = self.pings.checked_sub(1).expect("a PONG for every PING"),
            "BYE" => {
                assert!(words.len() >= 3, "T27: a code and words: {line:?}");
                match words[1] {
                    "bad-secret" => {
                        self.secret = None;
                        self.last_ok = None;
                        if self.in_flight.take().is_some() {
                            self.number = (self.number / NEXT_LIFE + 1) * NEXT_LIFE + 1;
                        }
                    }
                    "left" => self.last_ok = None,
                    "superseded" | "name-taken" | "hello-timeout" => {}
                    code => panic!("why {code}?"),
                }
            }
            _ => panic!("what is {line:?}?"),
        }
    }

    fn counted(&mut self, turn: u64) {
        self.last_ok = Some((turn, self.number));
        self.number += 1;
    }
}

// ---- the raw framing ----------------------------------------------------------------------------------

/// A connection, its client, and what became of it. Every connection's client has a name of its own.
struct Caller {
    name: String,
    peer: Peer,
    /// One of the oldest clients, which moves by itself. The others are moved here, and not always kindly.
    is_legacy: bool,
    next: i64,
    /// Numbers that were sent while a `GO` was unanswered.
    allowed: Vec<i64>,
    /// `GO`s that came, and when anything was last said.
    gos: usize,
    has_go: bool,
    said_since_go: bool,
    read: usize,
}

struct RawGame {
    book: Book,
    callers: Vec<Caller>,
    seats: Vec<SeatId>,
    seats_read: usize,
    min_clients: usize,
    most: usize,
}

impl RawGame {
    fn new(seed: u64) -> (World, RawGame) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xbeef);
        let min_clients = rng.usize(1..=3);
        let config = TurnServerConfig {
            min_clients,
            turn_deadline: ms(rng.u64(500..5000)),
            seat_grace: ms(rng.u64(500..8000)),
            ..TurnServerConfig::default()
        };
        let mut world = World::new(config, seed);
        world.shuffling = true;
        let most = rng.usize(2..=6);
        let game = RawGame {
            book: Book::default(),
            callers: Vec::new(),
            seats: Vec::new(),
            seats_read: 0,
            min_clients,
            most,
        };
        (world, game)
    }

    fn play(&mut self, world: &mut World, steps: usize) {
        for _ in 0..steps {
            self.act(world);
            match world.rng.u8(0..3) {
                0 => {
                    world.step();
                    self.judge(world);
                }
                1 => self.settle(world, Duration::ZERO),
                _ => {
                    let pause = ms(world.rng.u64(0..1500));
                    self.settle(world, pause);
                }
            }
        }
        for caller in &self.callers {
            if !caller.is_legacy && world.is_open(caller.peer) {
                world.reset_quietly(caller.peer);
            }
        }
        self.settle(world, Duration::ZERO);
        while self.open(world).len() < self.min_clients {
            self.come(world, true);
        }
        self.settle(world, secs(20));
        let before = self.book.granted;
        self.settle(world, secs(20));
        assert!(
            self.book.granted >= before + 15,
            "L1: the ring lives on: {} turns",
            self.book.granted - before
        );
        self.check_numbers(world);
    }

    fn open(&self, world: &World) -> Vec<usize> {
        (0..self.callers.len()).filter(|at| world.is_open(self.callers[*at].peer)).collect()
    }

    fn come(&mut self, world: &mut World, is_legacy: bool) {
        let name = format!("c{}", self.callers.len());
        let peer =
            if is_legacy { world.connect_legacy_quietly(&name, 1, 1) } else { world.connect_quietly() };
        for ring in world.server.scheduler().rings() {
            self.book.joined(ring, 1);
        }
        self.callers.push(Caller {
            name,
            peer,
            is_legacy,
            next: 1,
            allowed: Vec::new(),
            gos: 0,
            has_go: false,
            said_since_go: true,
            read: 0,
        });
    }

    fn act(&mut self, world: &mut World) {
        let open = self.open(world);
        if open.len() < self.most && (open.is_empty() || world.rng.u8(0..4) == 0) {
            let is_legacy = world.rng.bool();
            return self.come(world, is_legacy);
        }
        let at = open[world.rng.usize(0..open.len())];
        let caller = &mut self.callers[at];
        let peer = caller.peer;
        match world.rng.u8(0..12) {
            0 => world.reset_quietly(peer),
            1 if caller.is_legacy => {
                let time = ms(world.rng.u64(0..12_000));
                // Only a client that has read its WAIT: no gap helps one that is stopped before.
                if world.recvs(peer).len() > 1 {
                    world.stall(peer, time);
                }
            }
            2 if !caller.is_legacy => caller.say(world, "nonsense:"),
            3 if !caller.is_legacy => caller.say(world, "a:b:c"),
            4 if !caller.is_legacy => world.half_close_quietly(peer),
            // In turn or not: it counts if there is an unanswered GO.
            5..=10 if !caller.is_legacy && (caller.has_go || world.rng.u8(0..4) == 0) => {
                let text = format!("{}:{}", caller.name, caller.next);
                caller.say(world, &text);
            }
            _ => {}
        }
    }

    fn settle(&mut self, world: &mut World, time: Duration) {
        world.step();
        world.drive_bounded(time, |world| {
            self.judge(world);
            false
        });
        self.judge(world);
    }

    fn judge(&mut self, world: &mut World) {
        for (_, event) in &world.events[self.seats_read..] {
            if let TurnEvent::Granted { seat, .. } = event
                && !self.seats.contains(seat)
            {
                self.seats.push(*seat);
            }
        }
        self.seats_read = world.events.len();
        let scheduler = world.server.scheduler();
        for ring in scheduler.rings() {
            assert_eq!(scheduler.occupied(ring), self.open(world).len(), "T1: whoever is connected sits");
        }
        // Seats are known from their first turn on; the others count for the bound all the same.
        let known = self.seats.iter().filter(|seat| scheduler.is_occupied(**seat));
        let mut sitting: Vec<_> =
            known.map(|seat| Sitting { ring: seat.ring(), place: seat.place(), weight: 1 }).collect();
        for ring in scheduler.rings() {
            while sitting.len() < scheduler.occupied(ring) {
                sitting.push(Sitting { ring, place: u64::MAX, weight: 1 });
            }
        }
        self.book.follow(world, &sitting, self.min_clients);
        for caller in &mut self.callers {
            caller.hear(world);
        }
    }

    fn check_numbers(&self, world: &World) {
        for caller in &self.callers {
            let none = Vec::new();
            let accepted = self.book.accepted.get(&caller.name).unwrap_or(&none);
            if caller.is_legacy {
                let expected: Vec<_> = (1..).take(accepted.len()).collect();
                assert_eq!(*accepted, expected, "{}: nothing lost, nothing twice", caller.name);
            } else {
                assert!(accepted.windows(2).all(|pair| pair[0] < pair[1]), "{}: {accepted:?}", caller.name);
                let stray = accepted.iter().find(|number| !caller.allowed.contains(number));
                assert_eq!(stray, None, "T9: {} was not allowed to say that", caller.name);
            }
            if world.is_open(caller.peer) {
                // What was allowed has counted, but for one that waits for its seat's next turn.
                let sent = if caller.is_legacy { caller.gos } else { caller.allowed.len() };
                assert!(accepted.len() + 1 >= sent, "T11: {} lost something", caller.name);
            }
        }
    }
}

impl Caller {
    /// One message at a time, so that it is read in the very next pass.
    fn say(&mut self, world: &mut World, text: &str) {
        if world.has_under_way(self.peer) || !world.is_open(self.peer) {
            return;
        }
        if text.starts_with(&format!("{}:", self.name)) {
            if self.has_go {
                self.allowed.push(self.next);
            }
            self.next += 1;
        }
        self.has_go = false;
        self.said_since_go = true;
        world.queue(self.peer, text);
    }

    fn hear(&mut self, world: &World) {
        let recvs = world.recvs(self.peer);
        for (at, recv) in recvs.iter().enumerate().skip(self.read) {
            match recv.bytes.as_slice() {
                b"GO" => {
                    assert!(self.is_legacy || self.said_since_go, "T11: two unanswered GO on a connection");
                    let first = &recvs[0];
                    let gap = first.bytes != b"WAIT" || at != 1 || recv.at - first.at >= ms(100);
                    assert!(self.is_legacy || gap, "T5: GO right behind WAIT");
                    (self.has_go, self.said_since_go) = (true, false);
                    self.gos += 1;
                }
                b"WAIT" => assert_eq!(at, 0, "T4: WAIT comes first, and once"),
                other => panic!("T5: one recv of {} is \"{}\"", self.name, other.escape_ascii()),
            }
        }
        self.read = recvs.len();
    }
}
