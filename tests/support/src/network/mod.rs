//! A turn server in virtual time, run by the real engine on sockets that exist only in memory.
//!
//! The engine decides the order of a pass, the budgets, the writes and the ends of connections. This module
//! is the network and the clock around it: peers that are moved by hand, and old clients, which read only
//! when they do not sleep, and take each `recv` for one message. An hour takes milliseconds, and a seed
//! replays everything.

// host.rs     the server's host
// old.rs      the oldest clients
// peer.rs     a peer's actions and observations
// sockets.rs  sockets in memory
// store.rs    a store in memory
// wired.rs    peers whose bytes on the wire are others

mod host;
mod old;
mod peer;
mod sockets;
mod store;
mod wired;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use taketurns::engine::{DriverConfig, Engine, Event, Ready};
use taketurns::protocol::Entropy;
use taketurns::protocol::turns::{Framing, Joining, Proposal, TurnEvent, TurnServer, TurnServerConfig};
use taketurns::session::Epoch;
use taketurns::time::{Instant, Now};

use crate::secs;
use crate::wire::Wires;

pub use host::Accepted;
pub use peer::{Delivery, Peer};
use sockets::Net;
use store::MemoryStore;

/// The listener whose connections speak TLS, where there is one.
const TLS_LISTENER: usize = 1;

/// With more passes than this at one instant, the server spins.
const PASSES_MAX: usize = 20_000;

/// Returns the value of `key=` in a line.
pub fn field<'a>(line: &'a str, key: &str) -> &'a str {
    find_field(line, key).unwrap_or_else(|| panic!("no {key}= in {line:?}"))
}

pub fn find_field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let head = line.split_once(" :").map_or(line, |(head, _)| head);
    head.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

pub struct World {
    engine: Engine<TurnServer, Net>,
    /// `None` for a server that keeps its state in memory.
    store: Option<MemoryStore>,
    config: TurnServerConfig,
    driver: DriverConfig,
    /// In addition to plain text.
    wires: Option<Wires>,
    /// The peers that have one of them, while the server has not given them up.
    wired: Vec<Peer>,
    now: Now,
    pub rng: fastrand::Rng,
    lives: u64,
    server_is_up: bool,
    pub passes: u64,
    /// How long the server's process has been suspended, in total.
    pub stood_still: Duration,
    /// How long it has had something that was not durable, in total.
    pub waited_for_store: Duration,
    /// Whether the host has acted since the last pass, which may have caused a record.
    has_acted: bool,
    /// All accepted answers.
    pub answers: Vec<Accepted>,
    /// Proposals that wait for a verdict, the oldest first.
    pub proposals: VecDeque<Proposal>,
    /// Clients that wait to be admitted, the oldest first.
    pub joining: VecDeque<Joining>,
    /// All other events of the server, with their times.
    pub events: Vec<(Duration, TurnEvent)>,
    events_looked: usize,
    /// Whether bytes are split at random places on their way.
    pub chunking: bool,
    /// Whether readable connections come in a random order in each pass.
    pub shuffling: bool,
    /// Whether all input of a pass is read before anything is written, as if more than 32 peers had spoken.
    pub crowded: bool,
    /// The address of the next peer; `None` gives each peer its own.
    pub next_address: Option<std::net::IpAddr>,
}

fn seeded_entropy(seed: u64) -> Entropy {
    let mut rng = fastrand::Rng::with_seed(seed);
    Box::new(move |bytes| rng.fill(bytes))
}

fn engine(
    config: &TurnServerConfig,
    driver: &DriverConfig,
    store: Option<&MemoryStore>,
    net: Net,
    seed: u64,
    now: Now,
) -> Engine<TurnServer, Net> {
    let server = match store {
        None => TurnServer::new(config.clone(), seeded_entropy(seed)).expect("a valid configuration"),
        Some(store) => TurnServer::restore(now, config.clone(), seeded_entropy(seed), store.state())
            .expect("a valid configuration"),
    };
    let mut engine = Engine::new(net, server, driver.clone(), seeded_entropy(seed + 500), now.instant);
    engine.listen(([10, 0, 0, 1], 5001).into(), |_, nth| Ok(nth)).expect("sockets in memory do not fail");
    engine
}

fn offer(engine: &mut Engine<TurnServer, Net>, wires: Wires) {
    engine.offer_upgrade((wires.web)());
    if let Some(tls) = wires.tls {
        let listener = |_: &mut Net, nth| {
            assert_eq!(nth, TLS_LISTENER);
            Ok(nth)
        };
        engine
            .listen_wrapped(([10, 0, 0, 1], 5002).into(), Some((tls.accept)()), listener)
            .expect("sockets in memory do not fail");
    }
}

impl World {
    pub fn new(config: TurnServerConfig, seed: u64) -> World {
        World::with_driver(config, seed, |_| {})
    }

    /// Creates a world whose server has a store.
    pub fn recorded(config: TurnServerConfig, seed: u64) -> World {
        let mut world = World::new(config, seed);
        world.record(seed);
        world
    }

    /// Starts the server again, with a store.
    pub fn record(&mut self, seed: u64) {
        self.store = Some(MemoryStore::new(Epoch(seed)));
        self.start_server();
    }

    pub fn with_out_bytes_max(config: TurnServerConfig, seed: u64, out_bytes_max: usize) -> World {
        World::with_driver(config, seed, |driver| driver.out_bytes_max = out_bytes_max)
    }

    pub fn with_driver(config: TurnServerConfig, seed: u64, set: impl FnOnce(&mut DriverConfig)) -> World {
        let now = Now::new(Instant::ORIGIN, SystemTime::UNIX_EPOCH + secs(1_700_000_000));
        let mut driver = DriverConfig { max_connections: Some(100_000), ..DriverConfig::default() };
        set(&mut driver);
        // All sentences also hold with a store: `TAKETURNS_RECORDED=1 cargo test`.
        let is_recorded = std::env::var_os("TAKETURNS_RECORDED").is_some();
        let store = is_recorded.then(|| MemoryStore::new(Epoch(seed)));
        World {
            engine: engine(&config, &driver, store.as_ref(), Net::default(), seed, now),
            store,
            chunking: config.framing == Some(Framing::Line),
            config,
            driver,
            wires: None,
            wired: Vec::new(),
            now,
            rng: fastrand::Rng::with_seed(seed ^ 0x5eed),
            lives: seed,
            server_is_up: true,
            passes: 0,
            stood_still: Duration::ZERO,
            waited_for_store: Duration::ZERO,
            has_acted: false,
            answers: Vec::new(),
            proposals: VecDeque::new(),
            joining: VecDeque::new(),
            events: Vec::new(),
            events_looked: 0,
            shuffling: false,
            crowded: false,
            next_address: None,
        }
    }

    /// Returns the virtual time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.time_of(self.now.instant)
    }

    /// Converts `instant` to the world's own time.
    pub fn time_of(&self, instant: Instant) -> Duration {
        instant - Instant::ORIGIN
    }

    pub fn config(&self) -> &TurnServerConfig {
        &self.config
    }

    pub fn out_bytes_max(&self) -> usize {
        self.driver.out_bytes_max
    }

    pub fn server(&self) -> &TurnServer {
        self.engine.protocol()
    }

    /// Returns the number of connections that the engine keeps, including those that are being closed.
    pub fn connections(&self) -> usize {
        self.engine.connections()
    }

    /// Returns when the server's process next has something to do on its own.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }

    /// Runs one pass of the loop. Returns whether anything happened.
    pub fn step(&mut self) -> bool {
        self.passes += 1;
        self.has_acted = false;
        let mut is_busy = self.run_old() | self.run_wired();
        if !self.server_is_up {
            return is_busy;
        }
        let (writes, reads) = (self.net().deliveries.len(), self.net().reads);
        is_busy |= self.store.as_mut().is_some_and(|store| store.work(self.now.instant));
        if let Some(upto) = self.store.as_mut().and_then(|store| store.reached.take()) {
            is_busy = true;
            self.engine.handle_durable(self.now, upto);
        }
        is_busy |= self.next_deadline().is_some_and(|due| due <= self.now.instant);
        self.read();
        let writable = std::mem::take(&mut self.net_mut().writable);
        for id in writable {
            is_busy = true;
            let ready = Ready { readable: false, writable: true, to_end: false };
            self.engine.handle_ready(self.now, id, ready);
        }
        for listener in 0..self.net().newcomers.len() {
            if !self.net().newcomers[listener].is_empty() {
                is_busy = true;
                self.engine.handle_knock(listener);
            }
        }
        self.engine.finish_batch(self.now).expect("the events of the last pass were taken");
        is_busy |= self.take_events();
        if let Some(store) = &mut self.store {
            store.waiting.extend(std::iter::from_fn(|| self.engine.poll_record(self.now)));
            is_busy |= store.work(self.now.instant);
            if is_busy && store.waiting.is_empty() {
                store.assert_remembers(self.engine.protocol().snapshot(self.now));
            }
        }
        self.server()
            .scheduler()
            .check_invariants()
            .expect("the scheduler's invariants hold after every pass");
        // Handshakes are read at the end of the pass.
        is_busy || self.net().deliveries.len() > writes || self.net().reads > reads
    }

    /// Reads one segment of each peer that has any.
    fn read(&mut self) {
        let mut ready = self.net_mut().begin_pass();
        if self.shuffling {
            self.rng.shuffle(&mut ready);
        }
        for &(_, id) in &ready {
            if self.crowded {
                let ready = Ready { readable: true, writable: false, to_end: false };
                self.engine.handle_ready(self.now, id, ready);
            } else {
                self.engine.handle_readable(self.now, id);
            }
        }
    }

    fn net(&self) -> &Net {
        self.engine.sockets()
    }

    fn net_mut(&mut self) -> &mut Net {
        let at = self.elapsed();
        let net = self.engine.sockets_mut();
        net.at = at;
        net
    }

    pub fn deliveries(&self) -> &[Delivery] {
        &self.net().deliveries
    }

    fn take_events(&mut self) -> bool {
        let at = self.elapsed();
        let mut has_any = false;
        while let Some(event) = self.engine.poll_event() {
            has_any = true;
            match event {
                Event::Protocol(TurnEvent::Accepted { seat, turn, answer }) => {
                    let server = self.engine.protocol();
                    let said = server.answer(answer).expect("an answer of this pass");
                    let name = server.name_of(seat).to_string();
                    let ring = server.ring_name(seat.ring()).map(ToString::to_string);
                    let raw_name = said.raw_name.map(str::to_owned);
                    let bytes = said.bytes.to_vec();
                    let (turn, events_before) = (turn.get(), self.events.len());
                    self.answers.push(Accepted {
                        at,
                        seat,
                        ring,
                        name,
                        raw_name,
                        turn,
                        bytes,
                        events_before,
                    });
                }
                Event::Protocol(TurnEvent::Proposed(proposal)) => self.proposals.push_back(proposal),
                Event::Protocol(TurnEvent::Joining(joining)) => self.joining.push_back(*joining),
                Event::Protocol(event) => self.events.push((at, event)),
                _ => {}
            }
        }
        has_any
    }

    /// Runs passes until nothing more happens at this instant.
    pub fn drive(&mut self) {
        for _ in 0..PASSES_MAX {
            if !self.step() {
                return;
            }
        }
        panic!("A2: {PASSES_MAX} passes at one instant");
    }

    /// Lets `time` pass, and runs everything in it when it is due.
    pub fn drive_for(&mut self, time: Duration) {
        let until = self.now.instant + time;
        loop {
            self.drive();
            let next = self.next_event().filter(|&next| next <= until);
            let Some(next) = next else {
                self.set_time(until);
                return self.drive();
            };
            self.set_time(next.max(self.now.instant));
        }
    }

    /// Lets `time` pass like [`drive_for`](Self::drive_for), but begins with a pass, and calls `after_pass`
    /// after each.
    pub fn run(&mut self, time: Duration, mut after_pass: impl FnMut(&mut World)) {
        let until = self.now.instant + time;
        let mut passes = 0;
        loop {
            let is_busy = self.step();
            after_pass(self);
            passes += 1;
            assert!(
                passes < PASSES_MAX,
                "A2: {PASSES_MAX} passes at one instant; due: loop {:?}, scheduler {:?}, now {:?}",
                self.next_deadline(),
                self.server().scheduler().next_deadline(),
                self.now.instant
            );
            if is_busy {
                continue;
            }
            if self.now.instant >= until {
                return;
            }
            let next = self.next_event().filter(|&next| next <= until).unwrap_or(until);
            self.set_time(next.max(self.now.instant));
            passes = 0;
        }
    }

    /// Returns whether there is more to do at this instant.
    pub fn is_busy(&self) -> bool {
        self.server_is_up && self.next_deadline().is_some_and(|due| due <= self.now.instant)
    }

    /// Lets time pass during which the server does nothing, but old clients continue.
    pub fn stand_still(&mut self, time: Duration) {
        let until = self.now.instant + time;
        while let Some(due) = self.next_old().filter(|&due| due <= until) {
            self.set_time(due.max(self.now.instant));
            self.run_old();
        }
        self.set_time(until);
        self.stood_still += time;
    }

    /// Lets time pass during which the server's process is suspended.
    pub fn skip_time(&mut self, time: Duration) {
        let until = self.now.instant + time;
        self.set_time(until);
    }

    fn set_time(&mut self, instant: Instant) {
        let passed = instant - self.now.instant;
        self.now = Now::new(instant, self.now.wall() + passed);
        if self.store.as_ref().is_some_and(MemoryStore::is_behind) {
            self.waited_for_store += passed;
        }
        let at = self.elapsed();
        let net = self.engine.sockets_mut();
        net.at = at;
        if !passed.is_zero() {
            net.arrive();
        }
    }

    /// Returns when something will next happen without further action.
    fn next_event(&self) -> Option<Instant> {
        let server = self.next_deadline().into_iter().filter(|_| self.server_is_up);
        server.chain(self.store.as_ref().and_then(MemoryStore::next_event)).chain(self.next_old()).min()
    }
}
