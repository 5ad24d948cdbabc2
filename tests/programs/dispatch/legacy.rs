//! Each program with the legacy program on the other side.

use support::bare::PATIENCE;

use super::{Server, client_of, out, out_times};
use crate::process::input::typed;
use crate::process::programs::legacy;
use crate::process::{Process, Stream};

#[test]
fn r02_r03_r06_legacy_clients_work_unchanged() {
    let server = Server::start(&[]);
    let (host, port) = server.address.split_once(':').expect("host and port");
    let start = |rank: usize| {
        let (mut process, typist) = typed(legacy("rank_client.py")?.args([host, port]));
        out(&mut process, &format!("rank {rank}"));
        Some((process, typist))
    };
    let Some((mut first, mut first_typist)) = start(0) else { return };
    let Some((mut second, mut second_typist)) = start(1) else { return };
    let Some((mut third, _third_typist)) = start(2) else { return };
    first_typist.types("dance\n");
    out(&mut second, "got ' 0 dance 0'");
    out(&mut second, "executes  dance");
    second_typist.types("sing\n");
    out(&mut third, "got ' 1 sing 1'");
    // The first client is gone. The second still claims rank 1, and is served as rank 0.
    first.signal("KILL");
    first.wait_for_exit(PATIENCE);
    out(&mut second, "new rank 0");
    out(&mut third, "new rank 1");
    second_typist.types("jump\n");
    out(&mut third, "got ' 0 jump 0'");
    out(&mut third, "executes  jump");
    for client in [&second, &third] {
        assert!(!client.lines(Stream::Out).contains(&"crashed"), "two messages in one recv");
    }
}

#[test]
fn r11_our_client_works_with_a_legacy_server() {
    let Some(mut command) = legacy("rank_server.py") else { return };
    let mut server = Process::spawn(command.arg("0"));
    let port = server.wait_for_line("port", |line| line.stream == Stream::Out, PATIENCE).text;
    let address = format!("127.0.0.1:{port}");
    let (mut first, mut first_typist) = typed(&client_of(&address, &[]));
    out(&mut first, "Assigned rank: 0");
    let (mut second, mut second_typist) = typed(&client_of(&address, &[]));
    out(&mut second, "Assigned rank: 1");
    let mut third = Process::spawn(&mut client_of(&address, &["--stay"]));
    out(&mut third, "Assigned rank: 2");
    // Each command waits for the one before, because this server takes two that arrive together for one
    // message.
    for (command, count) in ["dance", "sing", "jump"].into_iter().zip(1..) {
        first_typist.types(&format!("{command}\n"));
        out(&mut second, &format!("[Executing] i am {command}ing watch me {command}"));
        out_times(&mut server, "executed by 1", count);
    }
    drop(first_typist);
    first.expect_exit(0, PATIENCE);
    out(&mut second, "New rank: 0");
    out(&mut third, "New rank: 1");
    // The client claims its current rank; this server would reject a claim of 1.
    second_typist.types("run\n");
    out(&mut third, "[Executing] i am runing watch me run");
}
