//! The raw framing: what happens in a world, and what must hold there.

use std::time::Duration;

use taketurns::protocol::turns::{Framing, TurnEvent};
use taketurns::turn::SeatId;

use super::super::world::{LINGER_TIMEOUT, World, ms, secs};
use super::book::{Book, Sitting};
use super::caller::{Caller, Manners};
use super::conditions::{self, Faults};
use super::{Played, STEP};

struct RawGame {
    faults: Faults,
    book: Book,
    callers: Vec<Caller>,
    /// Which caller is whose, by the number of its peer, and who is connected.
    by_peer: Vec<Option<usize>>,
    open: Vec<usize>,
    seats: Vec<SeatId>,
    seats_read: usize,
    reads_read: usize,
    most: usize,
}

/// Plays the world of `seed`.
pub(super) fn play(seed: u64, steps: usize) -> Played {
    let most = fastrand::Rng::with_seed(seed ^ 0xbeef).usize(2..=6);
    let (mut world, faults) = conditions::make_world(seed, Framing::Raw, most.max(3));
    let mut game = RawGame::new(faults, most);
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

impl RawGame {
    fn new(faults: Faults, most: usize) -> RawGame {
        RawGame {
            faults,
            book: Book::default(),
            callers: Vec::new(),
            by_peer: Vec::new(),
            open: Vec::new(),
            seats: Vec::new(),
            seats_read: 0,
            reads_read: 0,
            most,
        }
    }

    // What happens.

    fn come(&mut self, world: &mut World, manners: Manners) {
        let name = format!("c{}", self.callers.len());
        let peer = match manners {
            Manners::Legacy => world.connect_legacy_quietly(&name, 1, 1),
            Manners::Plain | Manners::Rude => world.connect_quietly(),
        };
        for ring in world.server().scheduler().rings() {
            self.book.joined(ring, 1);
        }
        self.by_peer.resize(peer.0 + 1, None);
        self.by_peer[peer.0] = Some(self.callers.len());
        self.open.push(self.callers.len());
        self.callers.push(Caller::new(name, peer, manners));
    }

    fn act(&mut self, world: &mut World) {
        let Faults { restarts, kicks, intruders, .. } = self.faults;
        if restarts && world.rng.u16(0..500) == 0 {
            return self.restart(world);
        }
        self.close_up(world);
        if self.open.len() < self.most && (self.open.is_empty() || world.rng.u8(0..4) == 0) {
            let manners = match world.rng.u8(0..6) {
                0 if intruders => Manners::Rude,
                0..3 => Manners::Plain,
                _ => Manners::Legacy,
            };
            return self.come(world, manners);
        }
        let at = self.open[world.rng.usize(0..self.open.len())];
        if kicks && world.rng.u8(0..60) == 0 {
            return world.kick_quietly(self.callers[at].peer);
        }
        self.callers[at].act(world);
    }

    /// The server stops, in order or not, and another life of it begins.
    fn restart(&mut self, world: &mut World) {
        world.step();
        self.judge(world);
        if world.rng.bool() {
            world.drain_quietly();
            let time = world.config().drain_timeout + LINGER_TIMEOUT;
            self.settle(world, time);
            assert_eq!(world.connections(), 0, "L4: the drain does not end");
        }
        world.kill_server();
        self.open.clear();
        self.seats.clear();
        let away = ms(world.rng.u64(0..2000));
        world.run(away, |_| {});
        world.start_server();
        self.book.begin_life();
    }

    fn pass_time(&mut self, world: &mut World) {
        if let Some(time) = conditions::stall(world, self.faults) {
            world.skip_time(time);
            self.book.stalled(world, time);
            world.step();
            self.judge(world);
        }
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

    fn settle(&mut self, world: &mut World, time: Duration) {
        world.run(time, |world| self.judge(world));
    }

    /// Whatever has happened: a ring of the oldest clients goes on.
    fn finish(&mut self, world: &mut World) {
        world.latency = Duration::ZERO;
        for caller in &self.callers {
            if caller.manners != Manners::Legacy && world.is_open(caller.peer) {
                world.crash_quietly(caller.peer);
            }
        }
        self.settle(world, secs(1));
        while self.open.len() < world.config().min_clients {
            self.come(world, Manners::Legacy);
        }
        self.settle(world, secs(20));
        let before = self.book.granted;
        self.settle(world, secs(20));
        let more = self.book.granted - before;
        assert!(more >= 10, "L1: the ring lives on: {more} turns");
        for caller in self.callers.iter().filter(|caller| caller.manners != Manners::Rude) {
            let accepted = self.book.numbers.get(&caller.name).map_or(&[][..], Vec::as_slice);
            caller.check_numbers(world, accepted);
        }
    }

    // What must hold.

    fn judge(&mut self, world: &mut World) {
        conditions::check_limits(world);
        self.follow_reads(world);
        self.close_up(world);
        self.follow_seats(world);
        let sitting = self.sitting(world);
        self.book.follow(world, &sitting);
        for counted in self.book.counted.drain(..) {
            let sits = counted.peer.and_then(|peer| self.by_peer[peer.0]).map(|at| &self.callers[at]);
            let caller = sits.expect("somebody sits there");
            let own = caller.name == counted.name || caller.manners == Manners::Rude;
            assert!(own, "S3: {} never said that: {counted:?}", caller.name);
        }
        for (name, early) in self.book.retired.drain(..) {
            assert!(!early, "T12: the seat of {name:?} was not kept");
        }
        for &at in &self.open {
            self.callers[at].hear(world);
        }
    }

    /// Whoever is closed has heard all that it will hear.
    fn close_up(&mut self, world: &World) {
        let RawGame { open, callers, .. } = self;
        open.retain(|&at| {
            let is_open = world.is_open(callers[at].peer);
            if !is_open {
                callers[at].hear(world);
            }
            is_open
        });
    }

    fn follow_reads(&mut self, world: &World) {
        for (heard, peer, bytes) in &world.reads[self.reads_read..] {
            if let Some(at) = self.by_peer[peer.0] {
                self.callers[at].was_read(world, *heard, bytes);
            }
        }
        self.reads_read = world.reads.len();
    }

    fn follow_seats(&mut self, world: &World) {
        for (_, event) in &world.events[self.seats_read..] {
            match event {
                TurnEvent::Seated { seat, .. } if !self.seats.contains(seat) => self.seats.push(*seat),
                TurnEvent::Retired { seat, .. } => self.seats.retain(|known| known != seat),
                _ => {}
            }
        }
        self.seats_read = world.events.len();
    }

    fn sitting(&self, world: &World) -> Vec<Sitting> {
        let scheduler = world.server().scheduler();
        for ring in scheduler.rings() {
            assert_eq!(scheduler.occupied(ring), self.open.len(), "T1: whoever is connected sits");
        }
        let occupied = self.seats.iter().filter(|seat| scheduler.is_occupied(**seat));
        occupied.map(|seat| Sitting { ring: seat.ring(), place: seat.place(), weight: 1 }).collect()
    }
}
