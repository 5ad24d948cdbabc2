//! `echo_client` at a pseudo-terminal: prompt, log and answers on one screen (E7).

use support::bare::{PATIENCE, free_address};

use super::{Server, echoed};
use crate::process::programs::{example, legacy};
use crate::process::{Process, Stream};

/// Returns the text on a terminal, without control bytes, while `keys` are typed, each at a prompt.
fn at_a_terminal(address: &str, log_level: &str, keys: &[&str]) -> Option<Vec<String>> {
    let mut command = legacy("echo_terminal.py")?;
    command.arg("Enter message to send: ").args(keys).arg("--").arg(example("echo_client").get_program());
    let mut person = Process::spawn(command.args(["--log-level", log_level, "--connect", address]));
    person.expect_exit(0, PATIENCE);
    let shown = person.lines(Stream::Out).into_iter().map(|line| line.trim_end_matches('\r').to_owned());
    Some(shown.filter(|line| !line.is_empty()).collect())
}

#[test]
fn e07_a_person_at_a_terminal_is_asked_again_after_each_answer() {
    let server = Server::start(&[]);
    let Some(shown) = at_a_terminal(&server.address, "off", &["one\\n", "\\n", "two\\n", "quit\\n"]) else {
        return;
    };
    assert!(shown[0].starts_with("Echo client"), "{shown:#?}");
    assert_eq!(shown[1], "Enter message to send: one");
    assert_eq!(echoed(&shown[2], "Server response: "), Some("one"), "{shown:#?}");
    assert_eq!(shown[3..5], ["Enter message to send: ", "Enter message to send: two"]);
    assert_eq!(echoed(&shown[5], "Server response: "), Some("two"));
    assert_eq!(shown[6..], ["Enter message to send: quit", "exit 0"]);
}

#[test]
fn e07_ctrl_d_and_ctrl_c_leave_the_prompt_on_a_line_of_its_own() {
    let server = Server::start(&[]);
    for key in ["\\x04", "\\x03"] {
        let Some(shown) = at_a_terminal(&server.address, "off", &["one\\n", key]) else { return };
        assert_eq!(shown.last().map(String::as_str), Some("exit 0"), "{shown:#?}");
        assert!(shown[shown.len() - 2].starts_with("Enter message to send: "), "{shown:#?}");
    }
}

/// Two threads write the log and the prompt.
#[test]
fn e07_the_log_of_a_message_comes_before_its_response_and_never_after_a_prompt() {
    let server = Server::start(&[]);
    for _ in 0..10 {
        let keys = ["one\\n", "two\\n", "q\\n"];
        let Some(shown) = at_a_terminal(&server.address, "info", &keys) else { return };
        let order = [
            "Echo client",
            ": one",
            "connected to",
            "sent message",
            "received response",
            "connection closed",
        ];
        for (line, expected) in shown.iter().zip(order) {
            assert!(line.contains(expected), "{shown:#?}");
        }
        assert!(!shown.iter().any(|line| line.contains("Enter") && line.contains("INFO")), "{shown:#?}");
    }
}

#[test]
fn e07_a_person_is_told_that_the_server_is_away_and_asked_again() {
    let address = free_address();
    let Some(shown) = at_a_terminal(&address, "off", &["one\\n", "q\\n"]) else { return };
    assert!(shown[2].contains(&format!("cannot connect to {address}: ")), "{shown:#?}");
    assert_eq!(shown[3..], ["Enter message to send: q", "exit 0"]);
}
