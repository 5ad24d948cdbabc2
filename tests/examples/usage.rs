//! Options and help of all programs. What a wrong address does is in `addresses.rs`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::bare::PATIENCE;
use crate::process::programs::example;
#[cfg(not(feature = "status"))]
use crate::process::programs::example_as_here;
use crate::process::{Process, Stream};

/// What a program would not do must not go by unnoticed.
#[test]
#[cfg(not(feature = "status"))]
fn without_the_feature_a_status_address_ends_a_server_with_one_line_that_names_the_feature() {
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

/// [A5] "Wrong usage: exit code 1 with the usage, as argh does."
#[test]
fn wrong_usage_ends_with_exit_code_1_and_where_to_find_the_usage() {
    let wrong: [(&str, &[&str]); 9] = [
        ("turn_server", &["--no-such-option"]),
        ("turn_server", &["--framing", "morse"]),
        ("turn_server", &["--clients", "many"]),
        ("turn_server", &["--log-level", "loud"]),
        ("turn_client", &["--no-such-option"]),
        ("turn_client", &["--framing", "morse"]),
        ("turn_client", &["--count", "-1"]),
        ("turn_demo", &["--no-such-option"]),
        ("embed", &["--no-such-option"]),
    ];
    for (program, options) in wrong {
        let mut process = Process::spawn(example(program).args(options));
        process.expect_exit(1, PATIENCE);
        let said = process.lines(Stream::Err).join("\n");
        assert!(said.contains("--help") || said.contains("Usage"), "{program} {options:?} says: {said}");
    }
}

#[test]
fn help_lists_every_option() {
    let server = [
        "--listen",
        "--framing",
        "--clients",
        "--max-clients",
        "--turn-deadline-ms",
        "--seat-grace-ms",
        "--max-per-address",
        "--quiet",
        "--log-level",
    ];
    let client = [
        "--connect",
        "--framing",
        "--clients",
        "--pace-ms",
        "--count",
        "--name",
        "--start",
        "--step",
        "--log-level",
    ];
    let programs: [(&str, &[&str]); 4] =
        [("turn_server", &server), ("turn_client", &client), ("turn_demo", &["--count"]), ("embed", &[])];
    for (program, options) in programs {
        let mut process = Process::spawn(example(program).arg("--help"));
        process.expect_exit(0, PATIENCE);
        let said = process.lines(Stream::Out).join("\n");
        assert!(said.contains("Usage"), "{program} --help says: {said}");
        for option in options {
            assert!(said.contains(option), "{program} --help does not tell of {option}: {said}");
        }
    }
}

#[test]
fn an_option_that_is_not_utf8_is_said() {
    let mut process = Process::spawn(example("turn_client").arg(OsStr::from_bytes(b"--name=\xff")));
    process.expect_exit(1, PATIENCE);
    let said = process.lines(Stream::Err).join(" ");
    assert!(said.contains(r"--name=\xFF"), "{said}");
}

/// [A2] "Every limit is documented": where it is looked for first.
#[test]
fn help_of_every_server_tells_its_limits() {
    let expected = ["--max-per-address", "file descriptors", "bytes", "within", "does not read"];
    for program in ["turn_server", "echo_server", "rank_server", "counter_server"] {
        let mut process = Process::spawn(example(program).arg("--help"));
        process.expect_exit(0, PATIENCE);
        let said = process.lines(Stream::Out).join(" ");
        // Lines are broken anywhere.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in expected {
            assert!(said.contains(words), "{program} --help does not tell of {words}: {said}");
        }
    }
}
