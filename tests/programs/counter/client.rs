//! `counter_client`: commands, input, signals, and an absent server (C10). See `terminal.rs` for terminals.

use std::fs;

use support::bare::PATIENCE;
use support::ms;

use super::{Client, Server, client_command, server_command};
use crate::process::folder::Folder;
use crate::process::input::redirected;
use crate::process::{Line, Stream};

#[test]
fn c10_the_commands_do_what_they_say() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let mut client = Client::start(&server.address, &["--id", "17"]);
    for help in ["c - ", "s - ", "exit - "] {
        client.wait_for(help);
    }
    client.type_line("s");
    client.wait_for("Client isn't running!");
    client.type_line("c");
    client.wait_for("Counting from 0");
    client.wait_for("Sent 2");
    client.type_line(" c ");
    client.wait_for("Client already running!");
    client.type_line("s");
    server.wait_for("disconnected");
    client.type_line("what?");
    client.process.wait_until("help again", PATIENCE, |lines| {
        (lines.iter().filter(|line| line.text.contains("exit - ")).count() == 2).then_some(())
    });
    client.type_line("exit");
    client.process.expect_exit(0, PATIENCE);
    assert!(client.process.lines(Stream::Out).iter().any(|line| line.contains("What do you want to do?")));
}

/// A new dial reuses the number of the previous one, which ends later.
#[test]
fn c10_s_and_c_at_once_continue_from_the_servers_number() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::start(&server.address, &["--id", "17"]);
    client.type_line("c");
    let mut last = 0;
    for round in 1..=5 {
        client.wait_for(&format!("Sent {}", last + 1));
        client.type_line("s\nc");
        let from = client.process.wait_until("new beginning", PATIENCE, |lines| {
            let begun = |line: &Line| line.text.split("Counting from ").nth(1)?.parse::<i64>().ok();
            lines.iter().filter_map(begun).nth(round)
        });
        let sent = client.process.lines(Stream::Out);
        let sent = sent.iter().filter_map(|line| line.strip_prefix("Sent ")?.parse::<i64>().ok()).max();
        assert_eq!(Some(from), sent, "from where it was");
        last = from;
    }
    client.process.expect_no_line("an end", |line| line.text.contains("connects again"), ms(1_500));
    client.wait_for(&format!("Sent {}", last + 1));
}

#[test]
fn c10_it_asks_and_counts_by_the_answer() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::start(&server.address, &[]);
    client.type_line("c");
    client.wait_for("Asked for ");
    let by: i64 =
        client.wait_for("Counting by ").split(' ').find_map(|word| word.parse().ok()).expect("a number");
    client.process.wait_until("steps", PATIENCE, |lines| {
        let behind = lines.iter().skip_while(|line| !line.text.contains("Counting by "));
        let sent: Vec<i64> =
            behind.filter_map(|line| line.text.strip_prefix("Sent ")?.parse().ok()).take(3).collect();
        (sent.len() == 3).then(|| assert_eq!([sent[1] - sent[0], sent[2] - sent[1]], [by, by]))
    });
}

#[test]
fn c10_standard_input_may_be_anything() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let file = folder.path("commands");
    fs::write(&file, "s\nc\nc\nexit").expect("a directory of ours");
    let command = client_command(&server.address, &["--id", "17"]);
    for input in ["< /dev/null", "<&-"] {
        redirected(&command, input).expect_exit(0, PATIENCE);
    }
    let mut client = redirected(&command, &format!("< '{}'", file.display()));
    client.expect_exit(0, PATIENCE);
    let said: Vec<_> = client.lines(Stream::Out);
    assert!(said.iter().any(|line| line.contains("Client isn't running!")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("Client already running!")), "{said:?}");
    // A pipe whose writer closes it.
    let mut client = Client::start(&server.address, &["--id", "17"]);
    client.type_line("c");
    client.wait_for("Sent 1");
    client.typist = None;
    client.process.expect_exit(0, PATIENCE);
}

#[test]
fn a05_without_a_server_the_client_says_so_and_stays() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let address = server.address.clone();
    let mut client = Client::start(&address, &["--id", "17"]);
    client.type_line("c");
    client.wait_for("Sent 1");
    server.process.signal("TERM");
    client.wait_for("The connection is closed by the peer");
    server.process.expect_exit(0, PATIENCE);
    client.type_line("c");
    let said = client.wait_for("cannot connect");
    assert!(said.contains(&address) && said.contains("--connect"), "{said}");
    client.type_line("s");
    client.wait_for("Client isn't running!");
    let mut server = Server::spawn(&mut server_command(&folder, &address));
    client.type_line("c");
    server.wait_for("client 17 sent 1");
}

#[test]
fn a06_sigterm_ends_the_client_with_0() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let mut client = Client::start(&server.address, &["--id", "17"]);
    client.process.wait_for_line("help", |line| line.text.contains("exit - "), PATIENCE);
    client.type_line("c");
    client.wait_for("Sent 1");
    client.process.signal("TERM");
    client.process.expect_exit(0, PATIENCE);
    server.wait_for("client 17 sent 1");
    server.wait_for("disconnected");
}
