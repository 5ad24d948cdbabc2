//! One hand-over in the scheduler alone.
//!
//! Measured: the holder's fenced answer and taking what the scheduler decided, once round the ring again and again, while
//! time goes on by a microsecond a turn. So at many seats it is also the cache misses of coming to a seat that was not looked
//! at for a whole lap.
//!
//! Not measured: bytes, sockets, a clock; joining and leaving; deadlines that lapse; what an owner keeps with its seats (here
//! nothing, so the seats are as small as they get).

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use taketurns::time::Instant;
use taketurns::turn::{Grant, Output, Scheduler, SchedulerConfig, SeatId, Weight};

/// A ring in which every turn is answered.
struct Table {
    scheduler: Scheduler<()>,
    now: Instant,
    holder: Grant,
}

impl Table {
    fn new(seats: usize, weight_of: impl Fn(usize) -> u8, is_vacant: impl Fn(usize) -> bool) -> Table {
        let config = SchedulerConfig { max_seats: seats, ..SchedulerConfig::default() };
        let mut scheduler = Scheduler::new(config);
        let now = Instant::ORIGIN;
        let weight = |nth| Weight::new(weight_of(nth)).expect("1 to 100");

        let first = scheduler.join_new_ring(now, weight(0), ()).expect("room");
        let others = (1..seats).map(|nth| scheduler.join(now, first.ring(), weight(nth), ()).expect("room"));
        let ids: Vec<SeatId> = std::iter::once(first).chain(others).collect();
        let mut holder = granted(&mut scheduler).expect("two seats start the ring");
        for (_, &seat) in ids.iter().enumerate().filter(|&(nth, _)| is_vacant(nth)) {
            scheduler.vacate(now, seat);
            holder = granted(&mut scheduler).unwrap_or(holder);
        }
        Table { scheduler, now, holder }
    }

    fn hand_over(&mut self) {
        self.now += Duration::from_micros(1);
        let Grant { seat, turn, .. } = self.holder;
        self.scheduler.answer(self.now, seat, Some(turn), 17).expect("the holder may answer");
        self.holder = granted(&mut self.scheduler).expect("the turn moves on");
    }
}

/// Takes every output; the last grant among them.
fn granted(scheduler: &mut Scheduler<()>) -> Option<Grant> {
    let outputs = std::iter::from_fn(|| scheduler.poll_output());
    outputs
        .filter_map(|output| if let Output::HandOver { granted, .. } = output { granted } else { None })
        .last()
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
