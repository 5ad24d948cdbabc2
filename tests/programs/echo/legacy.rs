//! Each program with the legacy program on the other side.

use support::bare::PATIENCE;
use support::text;

use super::{Server, client, client_with_input, echoed};
use crate::process::programs::legacy;
use crate::process::{Process, Stream};

#[test]
fn e02_the_legacy_client_gets_its_answer_in_one_recv() {
    let server = Server::start(&[]);
    let (host, port) = server.address.rsplit_once(':').expect("an address has a port");
    for message in ["Hello", "a b", "Grüße", &text(900)] {
        let Some(mut command) = legacy("echo_client.py") else { return };
        let mut client = Process::spawn(command.args([host, port, message]));
        client.expect_exit(0, PATIENCE);
        assert_eq!(echoed(&client.lines(Stream::Out).join("\n"), "got "), Some(message));
    }
    // It reads at most 1024 bytes of the answer. The server has received the whole message all the same.
    let Some(mut command) = legacy("echo_client.py") else { return };
    let mut client = Process::spawn(command.args([host, port, &text(5_000)]));
    client.expect_exit(0, PATIENCE);
    let out = client.lines(Stream::Out).join("\n");
    assert_eq!(
        echoed(&out, "got "),
        Some(&text(5_000)[..1_024 - "Server received at 2026-11-21 16:00:00: ".len()])
    );
    server.stop();
}

#[test]
fn e07_our_client_works_with_the_legacy_server() {
    let Some(mut command) = legacy("echo_server.py") else { return };
    let mut server = Process::spawn(command.arg("0"));
    let port = server.wait_for_line("port", |line| line.stream == Stream::Out, PATIENCE).text;
    let address = format!("127.0.0.1:{port}");
    for message in ["Hello", "Grüße", &text(1_024).replace('-', "+").replace(['"', '\'', '\\'], "_")] {
        let mut client = client(&address, &[message]);
        client.expect_exit(0, PATIENCE);
        assert_eq!(echoed(&client.lines(Stream::Out).join("\n"), "Response: "), Some(message));
    }
    // That server does not accept more than 1024 bytes. Whether its reset overtakes its answer is a matter of
    // luck; our client ends either way.
    let mut long = client(&address, &["x".repeat(5_000).as_str()]);
    let status = long.wait_for_exit(PATIENCE);
    match status.code() {
        Some(0) => assert!(
            echoed(&long.lines(Stream::Out).join("\n"), "Response: ").is_some_and(|m| m.len() <= 1_024)
        ),
        _ => assert!(long.lines(Stream::Err).iter().any(|line| line.starts_with("no response from "))),
    }
    let mut prompting = client_with_input(&address, "</dev/null");
    prompting.expect_exit(0, PATIENCE);
}
