//! Options and help of all programs. Wrong addresses are tested in `addresses.rs`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use support::bare::PATIENCE;

use crate::process::programs::example;
use crate::process::programs::example_as_here;
use crate::process::{Process, Stream};
use crate::programs::{Server, expect_one_complaint, turn_client};

/// An option that a program would ignore must be an error.
#[test]
#[cfg(not(feature = "status"))]
fn without_the_feature_a_status_address_is_an_error_that_names_the_feature() {
    for program in ["turn_server", "echo_server", "rank_server", "counter_server"] {
        let mut by_option = example_as_here(program);
        by_option.args(["--status", "127.0.0.1:0"]);
        let mut by_environment = example_as_here(program);
        by_environment.env("TAKETURNS_STATUS", "127.0.0.1:0");
        for mut command in [by_option, by_environment] {
            let mut process = Process::spawn(command.args(["--listen", "127.0.0.1:0"]));
            process.expect_exit(1, PATIENCE);
            let said = process.lines(Stream::Err);
            assert!(matches!(said[..], [line] if line.contains("--features status")), "{program}: {said:?}");
        }
    }
}

const PROGRAMS: [&str; 14] = [
    "turn_server",
    "turn_client",
    "turn_demo",
    "embed",
    "tic_tac_toe",
    "turn_lock",
    "moderator",
    "cluster",
    "echo_server",
    "echo_client",
    "rank_server",
    "rank_client",
    "counter_server",
    "counter_client",
];

/// [P1] "Wrong usage: exit code 2 with one line and how to get help."
#[test]
fn wrong_usage_ends_with_exit_code_2_and_one_line_that_says_where_help_is() {
    let wrong: [(&str, &[&str]); 25] = [
        ("turn_server", &["--framing", "morse"]),
        ("turn_server", &["--framing=morse"]),
        ("turn_server", &["--clients", "many"]),
        ("turn_server", &["--clients", "0"]),
        ("turn_server", &["--max-clients", "1"]),
        ("turn_server", &["--turn-deadline", "0s"]),
        ("turn_server", &["--demand", "never"]),
        ("turn_server", &["--hold-max", "forever"]),
        ("turn_server", &["--weight-max", "101"]),
        ("turn_server", &["--quiet=yes"]),
        ("turn_server", &["--log-level", "loud"]),
        ("turn_server", &["--listen"]),
        ("turn_server", &["--journal", "a", "--journal", "b"]),
        ("turn_client", &["--framing", "auto"]),
        ("turn_client", &["--count", "-1"]),
        ("turn_client", &["--framing", "raw", "--ring", "oak"]),
        ("turn_lock", &[]),
        ("turn_lock", &["--serve", "true"]),
        ("turn_lock", &["--journal", "a", "--", "true"]),
        ("turn_lock", &["--listen", "127.0.0.1:0", "--", "true"]),
        ("turn_lock", &["--serve", "--try"]),
        ("turn_lock", &["--serve", "--connect", "127.0.0.1:5001"]),
        ("turn_lock", &["gpu0", "--", "true"]),
        ("moderator", &["--clients", "20000"]),
        ("rank_server", &["0"]),
    ];
    let unknown = PROGRAMS.map(|program| (program, &["--no-such-option"][..]));
    for (program, options) in wrong.into_iter().chain(unknown) {
        let mut process = Process::spawn(example(program).args(options));
        process.expect_exit(2, PATIENCE);
        let said = expect_one_complaint(&process);
        let help = format!("(see {program} --help)");
        assert!(said.ends_with(&help), "{program} {options:?} says: {said}");
    }
}

/// The library's names of its rules would tell a user little.
#[test]
fn rules_that_grant_no_turn_are_reported_as_options_with_their_values() {
    for (program, options, said) in [
        ("turn_server", &["--turn-deadline", "0s"][..], &["'--turn-deadline' with value '0s'"][..]),
        ("turn_server", &["--hold-max", "0ms"], &["'--hold-max' with value '0ms'"]),
        ("tic_tac_toe", &["--turn-deadline", "0s"], &["'--turn-deadline' with value '0s'"]),
        ("moderator", &["--turn-deadline", "0s"], &["'--turn-deadline' with value '0s'"]),
        ("turn_server", &["--clients", "5", "--seats-max", "3"], &["--clients 5", "--seats-max 3"]),
    ] {
        let mut process = Process::spawn(example(program).args(options));
        process.expect_exit(2, PATIENCE);
        let complaint = expect_one_complaint(&process);
        for said in said {
            assert!(complaint.contains(said), "{program} {options:?} says: {complaint}");
        }
    }
}

/// [P1] "A bare number is an error that shows the units."
#[test]
fn a_time_without_a_unit_is_wrong_usage_and_the_units_are_shown() {
    for (program, option) in [
        ("turn_server", "--turn-deadline"),
        ("turn_server", "--hold-max"),
        ("turn_server", "--turn-grace"),
        ("turn_server", "--seat-grace"),
        ("turn_client", "--pace"),
        ("turn_demo", "--pace"),
        ("turn_lock", "--timeout"),
        ("turn_lock", "--kill-after"),
        ("moderator", "--turn-deadline"),
        ("tic_tac_toe", "--turn-deadline"),
    ] {
        let mut process = Process::spawn(example(program).args([option, "30"]));
        process.expect_exit(2, PATIENCE);
        let said = expect_one_complaint(&process);
        for shown in [option, "30ms", "30s", "30m"] {
            assert!(said.contains(shown), "{program} {option} 30 says: {said}");
        }
    }
}

/// [P1] `-h` and `--help`, `-V` and `--version`.
#[test]
fn every_program_prints_its_usage_and_its_version() {
    for program in PROGRAMS {
        let said = |option: &str| {
            let mut process = Process::spawn(example(program).arg(option));
            process.expect_exit(0, PATIENCE);
            process.lines(Stream::Out).join("\n")
        };
        let (help, version) = (said("--help"), said("--version"));
        assert!(help.starts_with(&format!("Usage: {program}")), "{program} --help says: {help}");
        assert!(
            help.contains("-h, --help") && help.contains("-V, --version"),
            "{program} --help says: {help}"
        );
        let expected = format!("{program} {} (features: net", env!("CARGO_PKG_VERSION"));
        assert!(version.starts_with(&expected), "{program} --version says: {version}");
        assert_eq!((said("-h"), said("-V")), (help, version), "{program}");
    }
}

/// [P1] `--opt=value` means `--opt value`, even if the value looks like an option or contains a `=`.
#[test]
fn a_value_may_follow_an_equals_sign() {
    let mut server = Server::start(&["--clients=1", "--turn-deadline=1500ms"]);
    let connect = format!("--connect={}", server.address);
    let options = ["--clients=1", "--count=2", "--pace=0ms", "--name=-V", "--log-level=warn"];
    let mut client = Process::spawn(example("turn_client").arg(connect).args(options));
    client.expect_exit(0, PATIENCE);
    let mut client = turn_client(&server.address, &["--clients", "1", "--count", "1", "--name", "-h"]);
    client.expect_exit(0, PATIENCE);
    let names = server.process.wait_for_sent(3, PATIENCE).into_iter().map(|sent| sent.name);
    assert_eq!(names.collect::<Vec<_>>(), ["-V", "-V", "-h"]);

    let mut client = Process::spawn(example("turn_client").arg("--name=a=b"));
    client.expect_exit(2, PATIENCE);
    assert!(expect_one_complaint(&client).contains("\"a=b\""));
}

/// A program that was asked for TLS but cannot provide it must not listen or connect in plain text.
#[test]
fn tls_options_that_cannot_be_honoured_end_a_program() {
    let file = "/nonexistent/server.pem";
    let key = ["--tls-cert", file, "--tls-key", file];
    let ca = ["--tls", "--tls-ca", file];
    for (program, options) in [("turn_server", &key[..]), ("echo_server", &key), ("turn_client", &ca)] {
        let mut process = Process::spawn(example_as_here(program).args(options));
        process.expect_exit(1, PATIENCE);
        let said = expect_one_complaint(&process);
        let named = if options[0] == "--tls" { "--tls-ca" } else { "--tls-cert" };
        let why = if cfg!(feature = "tls") { &format!("{named} {file}: ") } else { "lacks the feature tls" };
        assert!(said.contains(why), "{program} says: {said}");
    }
    let mut process = Process::spawn(example("turn_server").arg("--tls-cert"));
    process.expect_exit(2, PATIENCE);
    assert!(expect_one_complaint(&process).contains("No value provided for option '--tls-cert'"));
    if cfg!(feature = "tls") {
        for (program, options) in [
            ("turn_server", &["--tls-cert", file][..]),
            ("turn_server", &["--tls-cert", file, "--tls-key", file, "--tls-crl", file]),
            ("turn_server", &["--tls-client-ca", file]),
            ("turn_client", &["--tls-ca", file]),
            ("turn_client", &["--tls", "--tls-cert", file]),
        ] {
            let mut process = Process::spawn(example_as_here(program).args(options));
            process.expect_exit(2, PATIENCE);
            assert!(expect_one_complaint(&process).contains(" need"), "{program} {options:?}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_reported_with_its_option() {
    for (program, option) in [
        ("turn_server", "--access"),
        ("moderator", "--access"),
        ("turn_client", "--token-file"),
        ("turn_lock", "--token-file"),
    ] {
        let mut command = example(program);
        command.args([option, "/nonexistent/file"]);
        if program == "turn_lock" {
            command.args(["--", "true"]);
        }
        let mut process = Process::spawn(&mut command);
        process.expect_exit(1, PATIENCE);
        let said = expect_one_complaint(&process);
        assert!(said.starts_with(&format!("{option} /nonexistent/file: ")), "{program} says: {said}");
    }
}

#[test]
fn a_switch_in_the_environment_is_on_or_off() {
    for (value, words) in [("1", "lacks the feature"), ("yes", "TAKETURNS_WEB_SOCKET is 1 or 0"), ("0", "")] {
        let mut command = example("turn_server");
        command.args(["--listen", "127.0.0.1:0"]).env("TAKETURNS_WEB_SOCKET", value);
        let mut process = Process::spawn(&mut command);
        if words.is_empty() || value == "1" && cfg!(feature = "web-socket") {
            process.wait_for_line("address", |line| line.text.contains("Server listening on "), PATIENCE);
        } else {
            process.expect_exit(if value == "1" { 1 } else { 2 }, PATIENCE);
            assert!(expect_one_complaint(&process).contains(words), "{value}");
        }
    }
}

#[test]
fn help_lists_every_option() {
    let server = [
        "--listen",
        "--framing",
        "--clients",
        "--max-clients",
        "--seats-max",
        "--weight-max",
        "--demand",
        "--turn-deadline",
        "--hold-max",
        "--turn-grace",
        "--seat-grace",
        "--max-per-address",
        "--quiet",
        "--tls-cert",
        "--tls-key",
        "--tls-client-ca",
        "--tls-client-cert",
        "--tls-crl",
        "--access",
        "--insecure-tokens",
        "--web-socket",
        "--web-origin",
        "--web-host",
        "--web-ping",
        "--status-host",
        "--log-level",
    ];
    let client = [
        "--connect",
        "--framing",
        "--clients",
        "--pace",
        "--count",
        "--name",
        "--start",
        "--step",
        "--ring",
        "--weight",
        "--demand",
        "--tls",
        "--tls-ca",
        "--tls-cert",
        "--tls-key",
        "--tls-name",
        "--log-level",
    ];
    let lock = [
        "--connect",
        "--ring",
        "--try",
        "--timeout",
        "--kill-after",
        "--keep-going",
        "--serve",
        "TAKETURNS_EPOCH and TAKETURNS_TURN",
        "75 The turn did not come in time",
        "76 The turn was lost",
    ];
    let programs: [(&str, &[&str]); 7] = [
        ("turn_server", &server),
        ("turn_client", &client),
        ("turn_demo", &["--count", "--pace"]),
        ("embed", &["--count"]),
        ("tic_tac_toe", &["--listen", "--turn-deadline"]),
        ("turn_lock", &lock),
        ("moderator", &["--listen", "--clients", "--turn-deadline", "--tls-cert", "--access"]),
    ];
    for (program, options) in programs {
        let mut process = Process::spawn(example(program).arg("--help"));
        process.expect_exit(0, PATIENCE);
        let said = process.lines(Stream::Out).join("\n");
        assert!(said.contains("Usage"), "{program} --help says: {said}");
        for option in options {
            assert!(said.contains(option), "{program} --help does not mention {option}: {said}");
        }
    }
}

#[test]
fn an_option_that_is_not_utf8_is_reported() {
    let mut process = Process::spawn(example("turn_client").arg(OsStr::from_bytes(b"--name=\xff")));
    process.expect_exit(2, PATIENCE);
    let said = process.lines(Stream::Err).join(" ");
    assert!(said.contains(r"--name=\xFF"), "{said}");
}

/// [A2] "Every limit is documented", where users look first.
#[test]
fn help_of_every_server_lists_its_limits() {
    let expected = ["--max-per-address", "file descriptors", "bytes", "within", "does not read"];
    for program in ["turn_server", "echo_server", "rank_server", "counter_server"] {
        let mut process = Process::spawn(example(program).arg("--help"));
        process.expect_exit(0, PATIENCE);
        let said = process.lines(Stream::Out).join(" ");
        // Lines may be broken anywhere.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in expected {
            assert!(said.contains(words), "{program} --help does not mention {words}: {said}");
        }
    }
}
