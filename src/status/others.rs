//! The status of the echo, dispatch and counter servers, which is their counts.

use super::metrics::float;
use super::{Count, Fields, Metrics, Show, Tally};
use crate::protocol::counter::{CounterEvent, CounterServer};
use crate::protocol::dispatch::DispatchServer;
use crate::protocol::echo::{EchoEvent, EchoServer};
use crate::time::Now;

impl Show for EchoServer {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn note(&self, event: &EchoEvent, tally: &mut Tally) {
        tally.count(match event {
            EchoEvent::Answered { .. } => "echoed",
            EchoEvent::Refused { .. } => "refused",
        });
    }

    fn counts(&self, tally: &Tally) -> Vec<Count> {
        vec![
            Count { name: "echoed", help: "Messages that were answered.", value: tally.counted("echoed") },
            Count { name: "refused", help: "Messages that were refused.", value: tally.counted("refused") },
        ]
    }
}

impl Show for DispatchServer {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    fn counts(&self, _: &Tally) -> Vec<Count> {
        let counts = DispatchServer::counts(self);
        vec![
            Count { name: "commands", help: "Commands that went to a client.", value: counts.dispatched },
            Count {
                name: "commands_rejected",
                help: "Commands that went to no client.",
                value: counts.rejected,
            },
            Count { name: "refused", help: "Messages that were not commands.", value: counts.refused },
            Count {
                name: "turned_away",
                help: "Clients told that the server is full.",
                value: counts.turned_away,
            },
        ]
    }

    fn metrics(&self, _: &Tally, metrics: &mut Metrics) {
        metrics.gauge("ranks", "Clients that have a rank.", float(self.ranks().count()));
    }

    fn state(&self, _: Now, _: &Tally, state: &mut Fields) {
        state.put("ranks", &self.ranks().count());
    }
}

impl Show for CounterServer {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn note(&self, event: &CounterEvent, tally: &mut Tally) {
        match event {
            CounterEvent::Began { .. } => tally.count("greeted"),
            CounterEvent::Counted { .. } => tally.count("numbers"),
            CounterEvent::Gave { .. } => tally.count("randoms"),
            // Not all refusals are reported as events; the server counts them itself.
            CounterEvent::Refused { .. } | CounterEvent::Ended { .. } => {}
        }
    }

    fn counts(&self, tally: &Tally) -> Vec<Count> {
        vec![
            Count { name: "greeted", help: "Clients that sent their id.", value: tally.counted("greeted") },
            Count { name: "numbers", help: "Numbers that were reported.", value: tally.counted("numbers") },
            Count {
                name: "randoms",
                help: "Random numbers that were given out.",
                value: tally.counted("randoms"),
            },
            Count { name: "refused", help: "Messages that were refused.", value: self.refused() },
        ]
    }
}
