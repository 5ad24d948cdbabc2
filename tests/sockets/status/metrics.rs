//! Metrics follow events, and monitoring systems can read them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::bare::connect;
use taketurns::net::os_entropy;
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::status::StatusConfig;

use super::peers::play;
use super::server::{Server, turn_server};

#[test]
fn metrics_follow_the_turns() {
    let server = turn_server();
    assert_eq!(server.get("/metrics").header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    let [mut ann, bob] = play(&server, 6);
    ann.wait_for("GO");
    ann.say("ANSWER");
    ann.wait_for("NO");
    server.wait_for_metric("taketurns_refusals_total{code=\"malformed\"}", 1.0);
    for (name, value) in [
        ("taketurns_turns_total{outcome=\"answered\"}", 6.0),
        ("taketurns_answer_seconds_count", 6.0),
        // Each of the six went to the other player.
        ("taketurns_hand_over_seconds_count", 6.0),
        ("taketurns_seats{state=\"holding\"}", 1.0),
        ("taketurns_seats{state=\"waiting\"}", 1.0),
        ("taketurns_seats{state=\"away\"}", 0.0),
        ("taketurns_waiting", 1.0),
        ("taketurns_rings", 1.0),
        ("taketurns_connections", 2.0),
        ("taketurns_connections_accepted_total", 2.0),
        ("taketurns_longest_wait_bound_seconds", 30.0),
        // Two clients joined with 9 bytes each; six answers have 17, and one line has 7.
        ("taketurns_received_bytes_total", 127.0),
        ("taketurns_build_info{version=\"0.1.0\",protocol=\"turns\"}", 1.0),
    ] {
        assert!((server.metric(name) - value).abs() < 1e-9, "{name}");
    }
    assert!(server.metric("taketurns_hand_over_seconds_sum") > 0.0);
    drop(bob);
    server.wait_for_metric("taketurns_seats{state=\"away\"}", 1.0);
    server.wait_for_metric("taketurns_connections_closed_total", 1.0);
    ann.say("PASS");
    server.wait_for_metric("taketurns_turns_total{outcome=\"passed\"}", 1.0);
}

/// In the raw framing, GO is held back for a moment after WAIT, and the holder's time begins with it.
#[test]
fn a_go_that_is_held_back_is_no_hand_over() {
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Raw);
    config.signal_gap = Duration::from_secs(3);
    config.rules.min_seats = 1;
    let server = TurnServer::new(config, os_entropy()).expect("valid");
    let server = Server::start(server, StatusConfig::default());
    let hear = |mut client: &TcpStream, wanted: &str| {
        let mut heard = vec![0; wanted.len()];
        client.read_exact(&mut heard).expect("the server speaks");
        assert_eq!(String::from_utf8_lossy(&heard), wanted);
    };
    let mut ann = connect(server.addr);
    hear(&ann, "GO");
    let mut bob = connect(server.addr);
    hear(&bob, "WAIT");
    ann.write_all(b"ann:1").expect("it reads");
    hear(&bob, "GO");
    bob.write_all(b"bob:1").expect("it reads");
    hear(&ann, "GO");
    ann.write_all(b"ann:2").expect("it reads");
    hear(&bob, "GO");
    server.wait_for_metric("taketurns_answer_seconds_count", 2.0);
    assert!(
        (server.metric("taketurns_hand_over_seconds_count") - 2.0).abs() < 1e-9,
        "Bob's to Ann, and hers to him"
    );
    assert!(
        server.metric("taketurns_answer_seconds_sum") < 2.5,
        "Bob's first answer, whose GO had to wait, is left out"
    );
}

#[test]
fn every_metric_has_a_help_and_a_type_and_occurs_once() {
    let server = turn_server();
    let text = server.get("/metrics").body;
    let named = |kind: &'static str| {
        let names = text.lines().filter_map(move |line| line.strip_prefix(kind)?.split_once(' '));
        names.map(|(name, _)| name).collect::<Vec<_>>()
    };
    let (helps, mut types) = (named("# HELP "), named("# TYPE "));
    assert_eq!(helps, types);
    assert!(types.iter().all(|name| name.starts_with("taketurns_")));
    types.sort_unstable();
    types.dedup();
    assert_eq!(helps.len(), types.len());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(types.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

#[test]
fn the_documentation_of_the_module_has_every_metric() {
    let server = turn_server();
    let _players = play(&server, 2);
    let text = server.get("/metrics").body;
    let documented = include_str!("../../../src/status/mod.rs");
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE taketurns_")?.split(' ').next());
    let missing: Vec<_> = names
        .filter(|name| !["`", "{"].iter().any(|end| documented.contains(&format!("`{name}{end}"))))
        .collect();
    assert!(missing.is_empty(), "the documentation lacks {missing:?}");
    assert!(text.contains("taketurns_longest_wait_ratio"), "all are told");
}

/// Reads the metrics with the common parsers, if they are installed.
#[test]
fn the_parsers_of_prometheus_read_the_metrics() {
    const PYTHON: &str = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n\
        names = {sample.name for family in parse(sys.stdin.read()) for sample in family.samples}\n\
        assert {'taketurns_turns_total', 'taketurns_hand_over_seconds_bucket'} <= names, names\n";
    let server = turn_server();
    let _players = play(&server, 2);
    let text = server.get("/metrics").body;
    for (program, options) in [("python3", ["-c", PYTHON]), ("promtool", ["check", "metrics"])] {
        let mut command = Command::new(program);
        command.args(options).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("SKIPPED: there is no {program}");
            continue;
        };
        // It may end without reading; then its output gives the reason.
        let _ = child.stdin.take().expect("piped").write_all(text.as_bytes());
        let ended = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        if said.contains("ModuleNotFoundError") {
            eprintln!("SKIPPED: Python has no prometheus_client");
            continue;
        }
        assert!(ended.status.success() && said.is_empty(), "{program}: {said}");
    }
}
