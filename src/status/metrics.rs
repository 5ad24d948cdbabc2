//! Metrics in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::Timings;

/// Metrics with their help texts, collected for one reader at one moment. Names are lower-case words
/// separated by `_`, without `taketurns_`. Values are in seconds and bytes, and a name ends with its unit.
///
/// Labels and their values must be constants of the program and never text from peers, because monitoring
/// systems keep every new value forever. An invalid metric (other characters in the name, a name used before,
/// an empty help text) is left out; in a debug build it panics.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The text of each metric, by its full name.
    families: BTreeMap<String, String>,
}

impl Metrics {
    /// Adds a number that only grows: `{name}_total`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::status::Metrics;
    /// let mut metrics = Metrics::default();
    /// metrics.counter("games", "Games that were finished.", 17);
    /// ```
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(&format!("{name}_total"), "counter", help, |family| family.sample("", &[], &value));
    }

    /// Adds numbers that only grow, distinguished by `label`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::status::Metrics;
    /// let mut metrics = Metrics::default();
    /// metrics.counters("games", "Finished games, by result.", "result", [("won", 12), ("drawn", 5)]);
    /// ```
    pub fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family(&format!("{name}_total"), "counter", help, |family| {
            for (which, value) in values {
                family.sample("", &[(label, which)], &value);
            }
        });
    }

    /// Adds a number that can go up and down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::status::Metrics;
    /// let mut metrics = Metrics::default();
    /// metrics.gauge("tables", "Tables with a game on them.", 3.0);
    /// ```
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help, |family| family.sample("", &[], &Float(value)));
    }

    /// Adds numbers that can go up and down, distinguished by `labels`; each value has one of each.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::status::Metrics;
    /// let mut metrics = Metrics::default();
    /// metrics.gauges("stones", "Stones on the board.", ["colour"], [(["black"], 31.0), (["white"], 30.0)]);
    /// ```
    pub fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'a str; N],
        values: impl IntoIterator<Item = ([&'a str; N], f64)>,
    ) {
        self.family(name, "gauge", help, |family| {
            for (which, value) in values {
                let labels: Vec<_> = labels.into_iter().zip(which).collect();
                family.sample("", &labels, &Float(value));
            }
        });
    }

    /// Adds a histogram of times.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use taketurns::status::{Metrics, Timings};
    /// let mut thinking = Timings::new("thinking", "From the turn to the move.");
    /// thinking.note(Duration::from_millis(1_200));
    /// let mut metrics = Metrics::default();
    /// metrics.timings(&thinking);
    /// ```
    pub fn timings(&mut self, timings: &Timings) {
        self.family(&format!("{}_seconds", timings.name()), "histogram", timings.help(), |family| {
            for (bound, count) in timings.buckets() {
                family.sample("_bucket", &[("le", &Float(bound).to_string())], &count);
            }
            family.sample("_sum", &[], &Float(timings.sum()));
            family.sample("_count", &[], &timings.count());
        });
    }

    /// Writes a metric of one `kind`, with the samples that `tell` adds.
    fn family(&mut self, name: &str, kind: &str, help: &str, tell: impl FnOnce(&mut Family<'_>)) {
        let name = format!("taketurns_{name}");
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || help.is_empty() || self.families.contains_key(&name) {
            return debug_assert!(false, "a metric is told once, and has a name and a help: {name}");
        }
        let mut family = Family { name: &name, text: String::new() };
        tell(&mut family);
        let samples = family.text;
        // A metric without samples is left out.
        if !samples.is_empty() {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            let text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
            self.families.insert(name, text);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.families.into_values().collect()
    }
}

/// A metric that is being written.
struct Family<'a> {
    name: &'a str,
    text: String,
}

impl Family<'_> {
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: &dyn fmt::Display) {
        let Family { name, text } = self;
        let _ = write!(text, "{name}{suffix}");
        for (nth, (label, which)) in labels.iter().enumerate() {
            let begin = if nth == 0 { '{' } else { ',' };
            let which = which.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(text, "{begin}{label}=\"{which}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{end} {value}");
    }
}

/// A number in the format of Prometheus.
struct Float(f64);

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => number.fmt(f),
        }
    }
}

/// Converts a number for a gauge, which is a floating-point number in Prometheus.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the last digit does not matter")]
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
    fn special_characters_are_escaped_and_numbers_have_the_format_of_prometheus() {
        let mut metrics = Metrics::default();
        metrics.counters("odd", "A \\ and\na line.", "which", [("a\"b\\c\nd", u64::MAX)]);
        metrics.gauge("endless", "A bound.", f64::INFINITY);
        metrics.gauge("unknown", "A ratio.", f64::NAN);
        let expected = "# HELP taketurns_endless A bound.\n# TYPE taketurns_endless gauge\ntaketurns_endless +Inf\n\
            # HELP taketurns_odd_total A \\\\ and\\na line.\n# TYPE taketurns_odd_total counter\n\
            taketurns_odd_total{which=\"a\\\"b\\\\c\\nd\"} 18446744073709551615\n\
            # HELP taketurns_unknown A ratio.\n# TYPE taketurns_unknown gauge\ntaketurns_unknown NaN\n";
        assert_eq!(metrics.into_text(), expected);
    }

    #[test]
    fn times_are_a_histogram() {
        let mut timings = Timings::new("pass", "Passes.");
        timings.note(Duration::from_micros(70));
        timings.note(Duration::from_secs(99));
        timings.note(Duration::from_micros(50));
        let mut metrics = Metrics::default();
        metrics.timings(&timings);
        let text = metrics.into_text();
        for line in [
            "# TYPE taketurns_pass_seconds histogram",
            "taketurns_pass_seconds_bucket{le=\"0.00002\"} 0",
            "taketurns_pass_seconds_bucket{le=\"0.00005\"} 1",
            "taketurns_pass_seconds_bucket{le=\"0.0001\"} 2",
            "taketurns_pass_seconds_bucket{le=\"30\"} 2",
            "taketurns_pass_seconds_bucket{le=\"+Inf\"} 3",
            "taketurns_pass_seconds_sum 99.00012",
            "taketurns_pass_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
