//! Our client by itself: the test is its server, and says what a server seldom says.

use std::time::Duration;

use log::Level;
use taketurns::protocol::turns::{ClientEvent, Framing, TurnClient, TurnClientConfig};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Links, Origin, Protocol};
use taketurns::time::Now;

use crate::client::{TWO, client_config, sent};
use crate::logged::{listen_to_log, take_log};
use crate::start::raw_config;
use crate::world::{self, World, ms, secs};

/// One client of a [`TurnClient`] by itself; the test is its server.
struct Alone {
    client: TurnClient,
    links: Links,
    now: Now,
    id: ConnectionId,
}

impl Alone {
    fn new(framing: Framing) -> Alone {
        Alone::with(client_config(framing))
    }

    fn with(config: TurnClientConfig) -> Alone {
        let mut client = TurnClient::new(config);
        client.add("ann".parse().expect("a name"), 1, 1);
        let mut links = Links::new(world::OUT_BYTES_MAX);
        let id = links.open(([127, 0, 0, 1], 9).into());
        let mut alone = Alone { client, links, now: world::some_now(), id };
        alone.opened();
        alone
    }

    fn opened(&mut self) {
        let peer = ([127, 0, 0, 1], 5001).into();
        self.client.handle_open(self.now, self.id, peer, Origin::Dialed(DialId(0)), &mut self.links);
    }

    fn lose(&mut self) {
        let reason = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
        self.client.handle_closed(self.now, self.id, reason, &mut self.links);
        self.links.remove(self.id);
    }

    fn reconnect(&mut self) {
        self.lose();
        self.id = self.links.open(([127, 0, 0, 1], 9).into());
        self.opened();
    }

    /// What it says to `bytes`.
    fn hear(&mut self, bytes: &str) -> String {
        if !bytes.is_empty() {
            self.client.handle_bytes(self.now, self.id, bytes.as_bytes(), &mut self.links);
        }
        let said = String::from_utf8(self.links.unsent(self.id).to_vec()).expect("UTF-8");
        self.links.consume(self.id, said.len());
        self.client.handle_flushed(self.now, &mut self.links);
        said
    }

    /// What it says once it is due.
    fn wake(&mut self) -> String {
        self.now.instant = self.client.next_deadline().expect("it waits for a time");
        self.client.handle_timeout(self.now, &mut self.links);
        self.hear("")
    }

    /// The numbers that it has reported as accepted since this was last asked.
    fn sent(&mut self) -> Vec<i64> {
        let events = std::iter::from_fn(|| self.client.poll_event());
        let number = |event| match event {
            ClientEvent::Sent { number, .. } => Some(number),
            _ => None,
        };
        events.filter_map(number).collect()
    }
}

/// T31: `last` says something about the answer in flight in the same epoch only.
#[test]
fn t31_client_trusts_last_in_the_same_epoch_only() {
    for (epoch, again) in [("00000000000000e1", "ann:2 turn=8\n"), ("00000000000000e2", "ann:1 turn=8\n")] {
        let mut ann = Alone::new(Framing::Line);
        assert_eq!(ann.hear(""), "JOIN ann ring=main\n");
        let secret = "0".repeat(32);
        let welcome = |epoch, last| {
            format!("WELCOME seat=1 ring=main epoch={epoch} resume={secret} last={last} number={last}\n")
        };
        ann.hear(&welcome("00000000000000e1", 0));
        assert_eq!(ann.hear("GO turn=1 within=30000\n"), "ann:1 turn=1\n");
        ann.reconnect();
        assert_eq!(ann.hear(""), format!("JOIN ann ring=main resume={secret}\n"));
        ann.hear(&welcome(epoch, 1));
        assert_eq!(ann.hear("GO turn=8 within=30000\n"), again, "epoch {epoch}");
    }
}

/// A refusal settles the fate of a number only if its turn is over by it.
#[test]
fn client_takes_a_number_back_when_its_turn_is_refused_as_over() {
    for (refusal, sent) in [
        ("NO turn=1 stale-turn that turn is over\n", &[][..]),
        ("NO turn=1 not-your-turn wait for GO\n", &[]),
        ("NO turn=1 malformed what?\n", &[1]),
        ("NO turn=9 stale-turn that turn is over\n", &[1]),
    ] {
        let mut ann = Alone::new(Framing::Line);
        assert_eq!(ann.hear("GO turn=1 within=30000\n"), "JOIN ann ring=main\nann:1 turn=1\n");
        ann.hear(refusal);
        ann.hear("OK turn=1\n");
        assert_eq!(ann.sent(), sent, "{refusal}");
    }
}

/// T11 with a pace: what has lapsed before the client could answer is not answered.
#[test]
fn client_drops_a_turn_that_lapsed_while_it_paused() {
    for (lapsed, said) in [("LAPSED turn=2\n", ""), ("LAPSED turn=9\n", "ann:2 turn=2\n")] {
        let mut ann = Alone::with(TurnClientConfig { pace: secs(1), ..client_config(Framing::Line) });
        ann.hear("GO turn=1 within=30000\nOK turn=1\n");
        assert_eq!(ann.hear("GO turn=2 within=30000\n"), "", "it pauses");
        ann.hear(lapsed);
        let (mut heard, until) = (String::new(), ann.now.instant + secs(2));
        while ann.client.next_deadline().is_some_and(|due| due <= until) {
            heard += &ann.wake();
        }
        assert_eq!(heard, said, "{lapsed}");
    }
}

/// A connection that is not one of its clients', or that comes when it is about to end, is closed.
#[test]
fn client_refuses_connections_that_are_not_its_own() {
    let mut ann = Alone::new(Framing::Line);
    let is_taken = |ann: &mut Alone, origin| {
        let peer = ([127, 0, 0, 1], 5001).into();
        let id = ann.links.open(peer);
        ann.client.handle_open(ann.now, id, peer, origin, &mut ann.links);
        ann.links.is_open(id)
    };
    assert!(!is_taken(&mut ann, Origin::Accepted));
    assert!(!is_taken(&mut ann, Origin::Dialed(DialId(1))), "there is no second client");
    ann.lose();
    assert!(is_taken(&mut ann, Origin::Dialed(DialId(0))));
    ann.client.drain(ann.now, &mut ann.links);
    assert!(!is_taken(&mut ann, Origin::Dialed(DialId(0))), "it is about to end");
}

/// A number that no connection has written is not reported; nobody else's waits for that.
#[test]
fn client_raw_reports_a_number_once_it_is_written() {
    let mut client = TurnClient::new(client_config(Framing::Raw));
    let mut links = Links::new(world::OUT_BYTES_MAX);
    let (now, peer) = (world::some_now(), ([127, 0, 0, 1], 5001).into());
    let ids = [0, 1, 2].map(|index| {
        client.add(format!("c{index}").parse().expect("a name"), 10 * (index + 1), 1);
        let id = links.open(peer);
        let origin = Origin::Dialed(DialId(usize::try_from(index).expect("small")));
        client.handle_open(now, id, peer, origin, &mut links);
        client.handle_bytes(now, id, b"GO", &mut links);
        id
    });
    let written = |client: &mut TurnClient, links: &mut Links, at: usize| {
        links.consume(ids[at], links.unsent(ids[at]).len());
        client.handle_flushed(now, links);
        client.poll_event()
    };
    let sent = |index: usize, number| {
        Some(ClientEvent::Sent { name: format!("c{index}").parse().expect("a name"), number })
    };
    client.handle_flushed(now, &mut links);
    assert_eq!(client.poll_event(), None);
    assert_eq!(written(&mut client, &mut links, 1), sent(1, 20));
    client.handle_closed(now, ids[0], CloseReason::Finished, &mut links);
    links.remove(ids[0]);
    assert_eq!(client.poll_event(), None, "it is lost, as far as the client knows");
    assert_eq!(written(&mut client, &mut links, 2), sent(2, 30));
}

/// Whoever has no connection waits for nothing.
#[test]
fn client_without_a_connection_is_not_woken() {
    let mut ann = Alone::new(Framing::Line);
    let welcome_by = ann.now.instant + Duration::from_secs(5);
    assert_eq!(
        ann.client.next_deadline(),
        Some(welcome_by),
        "then it wonders why the server does not answer"
    );
    ann.lose();
    assert_eq!(ann.client.next_deadline(), None);
}

/// What is neither `GO` nor `WAIT` is said once, in the log.
#[test]
fn client_raw_wonders_once_about_another_framing() {
    listen_to_log();
    let mut ann = Alone::new(Framing::Raw);
    ann.hear("WAITGOWAIT");
    assert_eq!(take_log(), []);
    ann.hear("BYE malformed\x1b[2J\n");
    ann.hear("what?\n");
    let log = take_log();
    assert!(
        matches!(&log[..], [(Level::Warn, line)] if line.contains("BYE malformed\\x1b[2J\\n")),
        "{log:?}"
    );
}

/// The legacy server runs its signals together, and says `WAIT` whenever it likes: one `GO` is one number.
#[test]
fn client_raw_understands_signals_that_run_together() {
    let mut ann = Alone::new(Framing::Raw);
    assert_eq!(ann.hear("WAIT"), "");
    assert_eq!(ann.hear("WAITWAITGO"), "ann:1");
    assert_eq!(ann.hear("WAITWA"), "");
    assert_eq!(ann.hear("IT"), "");
    assert_eq!(ann.hear("G"), "");
    assert_eq!(ann.hear("OWAIT"), "ann:2");
    // Half a signal belongs to its connection.
    ann.hear("G");
    ann.reconnect();
    assert_eq!(ann.hear("O"), "");
    assert_eq!(ann.hear("GO"), "ann:3");
}

/// Our raw client never sends a number twice, over any number of lost connections.
#[test]
fn client_raw_never_sends_a_number_twice() {
    for seed in 0..20 {
        let mut world = World::new(raw_config(), seed);
        world.run_client(TurnClientConfig { pace: ms(100), ..client_config(Framing::Raw) }, &TWO);
        for _ in 0..15 {
            let pause = world.rng.u64(0..3000);
            world.drive_for(ms(pause));
            let at = world.rng.usize(0..2);
            if world.rng.bool() { world.break_client_end(at) } else { world.break_connection(at) }
        }
        world.drive_for(secs(40));
        for name in ["Client1", "Client2"] {
            for list in [world.accepted(), sent(&world)] {
                let numbers: Vec<_> =
                    list.iter().filter(|(who, _)| who == name).map(|(_, number)| *number).collect();
                assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: {name}: {numbers:?}");
                assert!(numbers.len() > 10, "seed {seed}: {name} lives");
            }
        }
    }
}
