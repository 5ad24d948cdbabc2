//! Metrics in the text format of Prometheus, as of one moment.

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use super::Timings;

/// Metrics, each with its help, as they are gathered for one reader. Names are lower-case words with `_` between them, without
/// `taketurns_`; values are in seconds and bytes, and a name ends in its unit.
///
/// Labels and their values are constants of the program's, never text of a peer's: every new one would be kept for ever by those
/// who read this. What cannot be told (a name of other characters, one that was told already, an empty help) is left out, and in a
/// debug build it panics.
#[derive(Debug, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// A number that only grows: `{name}_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        let Ok(counter) = IntCounter::new(format!("taketurns_{name}_total"), help) else {
            return debug_assert!(false, "{name} is no name");
        };
        counter.inc_by(value);
        self.register(counter);
    }

    /// Numbers that only grow, told apart by `label`.
    pub fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let Ok(counters) = IntCounterVec::new(Opts::new(format!("taketurns_{name}_total"), help), &[label])
        else {
            return debug_assert!(false, "{name} is no name");
        };
        for (which, value) in values {
            counters.with_label_values(&[which]).inc_by(value);
        }
        self.register(counters);
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let Ok(gauge) = Gauge::new(format!("taketurns_{name}"), help) else {
            return debug_assert!(false, "{name} is no name");
        };
        gauge.set(value);
        self.register(gauge);
    }

    /// Numbers that go up and down, told apart by `labels`; each value has one of each.
    pub fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([&'static str; N], f64)>,
    ) {
        let Ok(gauges) = GaugeVec::new(Opts::new(format!("taketurns_{name}"), help), &labels) else {
            return debug_assert!(false, "{name} is no name");
        };
        for (which, value) in values {
            gauges.with_label_values(&which).set(value);
        }
        self.register(gauges);
    }

    /// How often something took how long.
    pub fn timings(&mut self, timings: &Timings) {
        self.register(timings.histogram());
    }

    fn register(&mut self, collector: impl Collector + 'static) {
        let registered = self.registry.register(Box::new(collector));
        debug_assert!(registered.is_ok(), "a metric is told once, and has a help: {registered:?}");
    }

    pub(super) fn into_text(self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// Of a number for a gauge, which Prometheus counts in floating point.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nobody looks at the last digit")]
pub(super) fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn metrics_are_written_with_their_help_and_type() {
        let mut metrics = Metrics::default();
        metrics.counter("bells", "Bells that rang.", 7);
        metrics.counters("turns", "Turns.", "outcome", [("answered", 3), ("lapsed", 0)]);
        metrics.gauge("wait_seconds", "A wait.", 0.25);
        metrics.gauges("build_info", "About.", ["version"], [(["1.0"], 1.0)]);
        metrics.counters("nothing", "None.", "why", []);
        let expected = "# HELP taketurns_bells_total Bells that rang.\n# TYPE taketurns_bells_total counter\n\
            taketurns_bells_total 7\n# HELP taketurns_build_info About.\n# TYPE taketurns_build_info gauge\n\
            taketurns_build_info{version=\"1.0\"} 1\n# HELP taketurns_turns_total Turns.\n# TYPE taketurns_turns_total counter\n\
            taketurns_turns_total{outcome=\"answered\"} 3\ntaketurns_turns_total{outcome=\"lapsed\"} 0\n\
            # HELP taketurns_wait_seconds A wait.\n# TYPE taketurns_wait_seconds gauge\ntaketurns_wait_seconds 0.25\n";
        assert_eq!(metrics.into_text(), expected);
    }

    #[test]
    fn times_are_a_histogram() {
        let mut timings = Timings::new("pass", "Passes.");
        timings.note(Duration::from_micros(70));
        timings.note(Duration::from_secs(99));
        let mut metrics = Metrics::default();
        metrics.timings(&timings);
        let text = metrics.into_text();
        for line in [
            "# TYPE taketurns_pass_seconds histogram",
            "taketurns_pass_seconds_bucket{le=\"0.00005\"} 0",
            "taketurns_pass_seconds_bucket{le=\"0.0001\"} 1",
            "taketurns_pass_seconds_bucket{le=\"+Inf\"} 2",
            "taketurns_pass_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
