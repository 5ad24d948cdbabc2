//! `cluster`: all of it on this machine, by one command.

use support::bare::PATIENCE;

use super::etcd;
use crate::process::input::typed;
use crate::process::programs::example_as_here;
use crate::process::{Line, Stream};

#[test]
fn the_server_that_leads_is_killed_and_the_clients_go_on() {
    if !etcd::is_there() {
        return;
    }
    let (mut process, mut typist) = typed(&example_as_here("cluster"));
    let counts = |line: &Line| line.stream == Stream::Out && line.text.ends_with(" turns");
    process.wait_for_line("turns", counts, 2 * PATIENCE);
    typist.types("kill\n");
    process.wait_for_line("silence", |line| line.text.contains(" of silence; 127.0.0.1:"), 2 * PATIENCE);
    typist.types("help\n");
    process.wait_for_line("help", |line| line.text.contains("kill - kill the server that leads"), PATIENCE);
    typist.types("quit\n");
    process.expect_exit(0, PATIENCE);
}
