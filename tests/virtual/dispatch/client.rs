//! The client without sockets: the gap that it leaves, its handling of messages, its rank (R11). What a user
//! sees is tested in `programs/`.

use std::time::{Duration, SystemTime};

use support::ms;
use support::rests::Rests;
use taketurns::protocol::dispatch::Framing;
use taketurns::protocol::dispatch::{DispatchClient, DispatchClientEvent, Rank};
use taketurns::protocol::{CloseReason, ConnectionId, Intent, Links, Origin, Protocol};
use taketurns::time::{self, Now};

use super::world::OUT_BYTES_MAX;
use crate::logged::{listen_to_log, take_log};

struct ClientWorld {
    client: DispatchClient,
    links: Links,
    id: ConnectionId,
    start: time::Instant,
    at: Duration,
    written: Vec<(Duration, String)>,
    rests: Rests,
}

impl ClientWorld {
    fn new(framing: Framing) -> ClientWorld {
        let mut links = Links::new(OUT_BYTES_MAX);
        let id = links.open(([127, 0, 0, 1], 9).into());
        let (client, start) = (DispatchClient::new(framing), time::Instant::ORIGIN);
        let (at, written, rests) = (Duration::ZERO, Vec::new(), Rests::default());
        let mut world = ClientWorld { client, links, id, start, at, written, rests };
        world.client.handle_open(
            world.now(),
            id,
            ([127, 0, 0, 1], 1).into(),
            Origin::Accepted,
            &mut world.links,
        );
        world
    }

    fn now(&self) -> Now {
        Now::new(self.start + self.at, SystemTime::UNIX_EPOCH)
    }

    fn hear(&mut self, text: &str) -> Vec<DispatchClientEvent> {
        let now = self.now();
        self.rests.hear(&mut self.client, now, self.id, text.as_bytes(), &mut self.links);
        self.flush();
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    fn send(&mut self, command: &str) {
        let command = command.parse().expect("valid");
        self.client.send(self.now(), command, &mut self.links).expect("there is room");
    }

    fn flush(&mut self) {
        loop {
            while let Some(id) = self.links.take_touched() {
                let bytes = self.links.unsent(id).to_vec();
                self.links.consume(id, bytes.len());
                self.written.push((self.at, String::from_utf8(bytes).expect("UTF-8")));
            }
            self.client.handle_flushed(self.now(), &mut self.links);
            if !self.links.has_touched() {
                return;
            }
        }
    }

    fn pass_time(&mut self, by: Duration) {
        let end = self.at + by;
        while let Some(due) = self.client.next_deadline().filter(|&due| due <= self.start + end) {
            self.at = due - self.start;
            self.client.handle_timeout(self.now(), &mut self.links);
            self.flush();
        }
        self.at = end;
    }
}

#[test]
fn r11_the_client_leaves_the_gap_and_claims_its_current_rank() {
    let mut world = ClientWorld::new(Framing::Raw);
    world.send("early");
    world.flush();
    assert_eq!(world.written, [], "no rank to claim yet");
    assert_eq!(world.hear("Your rank is 2"), [DispatchClientEvent::Ranked(Rank(2))]);
    world.send("a");
    world.hear("RYour rank is now 1");
    world.send("b");
    world.pass_time(ms(100));
    let texts: Vec<_> = world.written.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["C 2 early", "C 1 a", "C 1 b"]);
    assert!(world.written.windows(2).all(|pair| pair[1].0 - pair[0].0 >= ms(10)));
}

#[test]
fn r11_the_client_executes_commands_from_above() {
    let mut world = ClientWorld::new(Framing::Raw);
    world.hear("Your rank is 1");
    let command = |text: &str| DispatchClientEvent::Command(text.parse().expect("valid"));
    assert_eq!(world.hear(" 0 dance now 0"), [command("dance now")]);
    assert_eq!(
        world.hear(" 2 dance 2"),
        [DispatchClientEvent::FromBelow(Rank(2), "dance".parse().expect("valid"))]
    );
    assert_eq!(world.hear(" 1 dance 1"), [command("dance")], "not from below, whoever sent it");
    assert_eq!(world.hear("nonsense"), []);
    assert_eq!(world.hear(" 0 a\x1b[2J 0"), []);

    let mut world = ClientWorld::new(Framing::Line);
    assert_eq!(world.hear("Your rank is 1\nC 7 dan").len(), 1);
    assert_eq!(world.hear("ce\n"), [command("dance")]);
    assert_eq!(world.written.last().expect("an answer").1, "D 7\n");
    use DispatchClientEvent::{Accepted, Done, Rejected};
    assert_eq!(
        world.hear("A 8\nO 8\nX worker-gone 9\n"),
        [Accepted(8), Done(8), Rejected("worker-gone 9".to_owned())]
    );
}

/// A legacy server leaves no gap.
#[test]
fn r11_the_client_splits_a_rank_from_an_adjacent_message() {
    let mut world = ClientWorld::new(Framing::Raw);
    let command = |text: &str| DispatchClientEvent::Command(text.parse().expect("valid"));
    use DispatchClientEvent::{NewRank, Ranked};
    assert_eq!(world.hear("Your rank is 2RYour rank is now 1"), [Ranked(Rank(2)), NewRank(Rank(1))]);
    assert_eq!(world.hear(" 0 dance 0RYour rank is now 1"), [command("dance"), NewRank(Rank(1))]);
    assert_eq!(world.hear("RYour rank is now 3 0 sing 0"), [NewRank(Rank(3)), command("sing")]);
}

/// A thousand commands that waited for a server are more than the driver queues for one peer.
#[test]
fn r11_the_client_never_queues_more_than_a_peer_may_have() {
    let mut world = ClientWorld::new(Framing::Line);
    let command = "x".repeat(900);
    (0..8_192).for_each(|_| world.send(&command));
    let one_more = world.client.send(world.now(), command.parse().expect("valid"), &mut world.links);
    assert!(one_more.is_err(), "and gives back what is too much");
    world.hear("Your rank is 0\n");
    assert!(world.links.is_open(world.id));
    let written: usize = world.written.iter().map(|(_, text)| text.matches('C').count()).sum();
    assert_eq!(written, 8_192);
}

/// The client as its host sees it.
#[test]
fn r11_the_client_knows_its_rank_and_waiting_commands() {
    let mut world = ClientWorld::new(Framing::Raw);
    assert_eq!((world.client.rank(), world.client.is_waiting()), (None, false));
    assert_eq!(world.hear("Server full"), [DispatchClientEvent::Full]);
    world.hear("Your rank is 2");
    world.hear("RYour rank is now 1");
    assert_eq!(world.client.rank(), Some(Rank(1)));
    world.send("a");
    assert!(!world.client.is_waiting(), "it went at once");
    world.send("b");
    assert!(world.client.is_waiting() && !world.client.is_busy());
    (0..4_000).for_each(|_| world.send("c"));
    assert!(world.client.is_busy(), "thousands had better not be read from a file at once");
    world.pass_time(Duration::from_secs(60));
    assert!(!world.client.is_waiting() && !world.client.is_busy());
}

#[test]
fn r11_a_lost_connection_takes_the_rank_along() {
    let mut world = ClientWorld::new(Framing::Line);
    world.hear("Your rank is 2\n");
    world.client.handle_end(world.now(), world.id, b"", &mut world.links);
    assert_eq!(world.links.intent_of(world.id), Intent::Close, "the server has finished");
    world.flush();
    let old = std::mem::replace(&mut world.id, world.links.open(([127, 0, 0, 1], 9).into()));
    world.client.handle_closed(world.now(), old, CloseReason::Finished, &mut world.links);
    assert_eq!(world.client.rank(), None);
    world.written.clear();
    world.send("a");
    world.flush();
    assert_eq!(world.written, [], "there is no server to send it to");
    let peer = ([127, 0, 0, 1], 1).into();
    world.client.handle_open(world.now(), world.id, peer, Origin::Accepted, &mut world.links);
    world.hear("Your rank is 0\n");
    assert_eq!(world.written.last().expect("it waited").1, "C 0 a\n");
    world.client.handle_closed(world.now(), old, CloseReason::Finished, &mut world.links);
    assert_eq!(world.client.rank(), Some(Rank(0)), "an older one that ends late changes nothing");
    world.client.drain(world.now(), &mut world.links);
    assert_eq!(world.links.intent_of(world.id), Intent::Close);
}

#[test]
fn a04_log_lines_about_unknown_messages_are_escaped_and_have_a_budget() {
    listen_to_log();
    let mut world = ClientWorld::new(Framing::Raw);
    (0..200).for_each(|_| drop(world.hear("nonsense\x1b[2J")));
    let log = take_log();
    assert_eq!(log.iter().filter(|(_, line)| line.ends_with("\"nonsense\\x1b[2J\"")).count(), 100, "{log:?}");
}

/// The host dials again before the last connection is gone. The old connection is closed, and its input no
/// longer counts.
#[test]
fn r11_a_new_connection_takes_the_place_of_the_last_one() {
    let mut world = ClientWorld::new(Framing::Line);
    world.hear("Your rank is 3\n");
    let last = world.id;
    world.id = world.links.open(([127, 0, 0, 1], 10).into());
    let (now, id) = (world.now(), world.id);
    world.client.handle_open(now, id, ([127, 0, 0, 1], 1).into(), Origin::Accepted, &mut world.links);
    assert_eq!((world.links.is_open(last), world.client.rank()), (false, None));
    world.client.handle_bytes(now, last, b"Your rank is 2\nC 1 dance\n", &mut world.links);
    world.client.handle_closed(now, last, CloseReason::Finished, &mut world.links);
    assert_eq!((world.client.rank(), world.client.poll_event()), (None, None));
    assert_eq!(world.hear("Your rank is 5\n"), [DispatchClientEvent::Ranked(Rank(5))]);
}
