//! One hand-over in the scheduler alone.
//!
//! Measured: the holder's fenced answer, the next grant and the start of its clock, around the ring again and
//! again, with a microsecond per turn. With many seats this includes the cache misses for seats that were not
//! touched for a whole lap.
//!
//! Not measured: bytes, sockets, a clock; joining and leaving; deadlines that lapse; the owner's data in its
//! seats (there is none here, so the seats are as small as possible).

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use taketurns::time::Instant;
use taketurns::turn::{Demand, Grant, Outcome, Rules, Scheduler, SchedulerConfig, SeatId, Weight};

/// A ring in which every turn is answered.
struct Table {
    scheduler: Scheduler<()>,
    now: Instant,
    holder: Grant,
}

impl Table {
    fn new(seats: usize, weight_of: impl Fn(usize) -> u8, is_vacant: impl Fn(usize) -> bool) -> Table {
        let mut config = SchedulerConfig::default();
        config.max_seats = seats;
        let mut scheduler = Scheduler::new(config).expect("rules that make sense");
        let now = Instant::ORIGIN;
        let mut rules = Rules::default();
        rules.weight_max = Weight::MAX;
        let ring = scheduler.make_ring(now, rules).expect("room");
        let mut join = |nth| {
            let weight = Weight::new(weight_of(nth)).expect("1 to 100");
            scheduler.join(now, ring, weight, Demand::Always, ()).expect("room").0
        };
        let ids: Vec<SeatId> = (0..seats).map(&mut join).collect();
        for (_, &seat) in ids.iter().enumerate().filter(|&(nth, _)| is_vacant(nth)) {
            let _ = scheduler.vacate(now, seat);
        }
        let held = scheduler.held(ring).expect("two seats start the ring");
        scheduler.start(now, held.seat, held.turn);
        Table { scheduler, now, holder: Grant { seat: held.seat, turn: held.turn } }
    }

    fn hand_over(&mut self) {
        self.now += Duration::from_micros(1);
        let Grant { seat, turn } = self.holder;
        let holding = self.scheduler.holding(seat, Some(turn.get())).expect("the holder may answer");
        self.holder = holding.end(self.now, Outcome::Answered).granted.expect("the turn moves on");
        self.scheduler.start(self.now, self.holder.seat, self.holder.turn);
    }
}

fn scheduler(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    let mut measure = |what, seats, mut table: Table| {
        group.bench_function(BenchmarkId::new(what, seats), |bencher| bencher.iter(|| table.hand_over()));
    };
    for seats in [2, 256, 10_000, 100_000] {
        measure("equal weights", seats, Table::new(seats, |_| 1, |_| false));
    }
    measure(
        "weights 1 to 10",
        256,
        Table::new(256, |nth| [1, 2, 3, 4, 5, 6, 7, 8, 9, 10][nth % 10], |_| false),
    );
    measure("every second seat vacant", 256, Table::new(256, |_| 1, |nth| nth % 2 == 1));
    group.finish();
}

criterion_group!(benches, scheduler);
criterion_main!(benches);
