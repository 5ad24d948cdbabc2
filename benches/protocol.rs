//! One hand-over in scheduler and protocol together: from the bytes of an answer to the bytes for each client
//! that is told about it.
//!
//! Measured: parsing the answer, deciding, formatting the output, and taking the bytes and the events.
//!
//! Not measured: sockets, and the driver's work.

use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use taketurns::net::now;
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::protocol::{ConnectionId, Links, Origin, Protocol as _};
use taketurns::time::Now;

/// A ring in which every turn is answered.
struct Table {
    server: TurnServer,
    links: Links,
    clients: Vec<(ConnectionId, String)>,
    holder: usize,
    /// Always the same, so that reading the clock is not measured.
    now: Now,
}

impl Table {
    fn new(framing: Framing, clients: usize) -> Table {
        let mut config = TurnServerConfig::default();
        (config.framing, config.rules.min_seats, config.signal_gap) =
            (Some(framing), clients, Duration::ZERO);
        let server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7))).expect("limits that fit");
        let mut table =
            Table { server, links: Links::new(64 * 1024), clients: Vec::new(), holder: 0, now: now() };
        (0..clients).for_each(|nth| table.seat(framing, nth));
        table.carry_out();
        table
    }

    fn seat(&mut self, framing: Framing, nth: usize) {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let id = self.links.open(peer);
        self.server.handle_open(self.now, id, peer, Origin::Accepted, &mut self.links);
        if framing == Framing::Line {
            let join = format!("JOIN client{nth:04}\n");
            self.server.handle_bytes(self.now, id, join.as_bytes(), &mut self.links);
        }
        let answer = match framing {
            Framing::Line => "ANSWER :17\n".to_owned(),
            Framing::Raw => format!("client{nth:04}:17"),
        };
        self.clients.push((id, answer));
    }

    fn hand_over(&mut self) {
        let (id, answer) = &self.clients[self.holder];
        self.server.handle_bytes(self.now, *id, answer.as_bytes(), &mut self.links);
        self.carry_out();
        self.holder = (self.holder + 1) % self.clients.len();
    }

    fn carry_out(&mut self) {
        while let Some(id) = self.links.take_touched() {
            let count = self.links.unsent(id).len();
            self.links.consume(id, count);
        }
        while self.server.poll_event().is_some() {}
    }
}

fn protocol(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protocol");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (name, framing) in [("raw", Framing::Raw), ("line", Framing::Line)] {
        for clients in [2, 256, 10_000] {
            let mut table = Table::new(framing, clients);
            group.bench_function(BenchmarkId::new(name, clients), |bencher| {
                bencher.iter(|| table.hand_over());
            });
            let accepted = table.server.counts().accepted;
            assert!(accepted > 0 && table.server.counts().refused == 0, "every answer counts");
        }
    }
    group.finish();
}

criterion_group!(benches, protocol);
criterion_main!(benches);
