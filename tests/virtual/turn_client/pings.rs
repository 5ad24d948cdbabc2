//! Signs of life.

use support::{ms, secs};
use taketurns::protocol::Protocol as _;
use taketurns::protocol::turns::{ClientConfig, CommandError, TurnClient};

use super::talk::{Talk, ann, welcome};

fn pinging() -> Talk {
    let mut talk = Talk::with(ClientConfig { ping_interval: Some(secs(7)), ..ann() });
    assert_eq!(talk.hear(&(welcome(1, "") + "PONG\n")), "JOIN ann ring=main\nPING\n");
    talk
}

#[test]
fn a_client_pings_at_its_interval() {
    let mut talk = pinging();
    assert_eq!(talk.pass_time(secs(6)), "");
    for _ in 0..3 {
        assert_eq!(talk.pass_time(secs(1)), "PING\n");
        talk.hear("PONG\n");
        assert_eq!(talk.pass_time(secs(6)), "");
    }
    assert!(talk.is_open());
}

#[test]
fn a_connection_whose_ping_is_not_answered_is_closed() {
    let mut talk = pinging();
    talk.pass_time(secs(7));
    talk.pass_time(secs(6));
    assert!(talk.is_open());
    talk.hear("SAY :is no pong\n");
    talk.pass_time(secs(1));
    assert!(talk.is_aborted(), "and the driver dials again");
    talk.lose();
    assert_eq!(talk.client.next_deadline(), None);
}

/// T22: any message after a resuming `JOIN` voids the old secret, and the `WELCOME` with the new one may be
/// lost.
#[test]
fn t22_nothing_is_sent_before_the_welcome_and_a_silent_connection_is_closed() {
    let mut talk = pinging();
    talk.lose();
    talk.open();
    assert_eq!(talk.command(TurnClient::ping), Err(CommandError::NotConnected));
    assert_eq!(talk.pass_time(secs(29)), "");
    assert!(talk.is_open());
    talk.pass_time(secs(1));
    assert!(talk.is_aborted(), "and the driver dials again");
}

#[test]
fn a_client_of_several_servers_waits_less_for_its_welcome() {
    let mut talk = Talk::with(ClientConfig { welcome_timeout: secs(5), ..ann() });
    talk.pass_time(secs(4));
    assert!(talk.is_open());
    talk.pass_time(secs(1));
    assert!(talk.is_aborted(), "and the driver dials the next one");
}

/// The host's own pings do not delay the end of a connection.
#[test]
fn a_host_that_pings_does_not_hide_the_silence() {
    let mut talk = pinging();
    for _ in 0..14 {
        assert!(talk.is_open());
        talk.command(TurnClient::ping).expect("it is connected");
        talk.pass_time(ms(500));
    }
    assert!(talk.is_aborted());
}

#[test]
fn a_host_can_ping() {
    let mut talk = Talk::with(ann());
    assert_eq!(talk.command(TurnClient::ping), Err(CommandError::NotConnected));
    talk.hear(&welcome(1, ""));
    assert_eq!(talk.command(TurnClient::ping).as_deref(), Ok("PING\n"));
    talk.lose();
    assert_eq!(talk.command(TurnClient::ping), Err(CommandError::NotConnected));
}

#[test]
fn a_client_without_an_interval_waits_for_nothing() {
    let mut talk = Talk::welcomed();
    talk.pass_time(secs(10));
    assert_eq!(talk.client.next_deadline(), None);
    talk.pass_time(secs(1_000_000));
    assert!(talk.is_open());
    talk.lose();
    assert_eq!(talk.client.next_deadline(), None);
}

#[test]
fn a_zero_interval_is_not_an_endless_loop() {
    let mut talk = Talk::with(ClientConfig { ping_interval: Some(secs(0)), ..ann() });
    talk.hear(&welcome(1, ""));
    talk.pass_time(ms(10));
    assert!(talk.is_aborted());
}
