//! Ranked dispatch: every sentence on the library, in virtual time, then the example programs as processes, with each other and
//! with Python programs that behave as the legacy client and server do (`tests/legacy`).
//!
//! A test is named after the sentence of docs/PROTOCOL.md that it proves.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests run real processes against a real clock")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, SystemTime};

use taketurns::protocol::dispatch::{
    COMMAND_BYTES_MAX, DispatchClient, DispatchClientEvent, DispatchEvent, DispatchServer,
    DispatchServerConfig, Policy, Rank, Rejection,
};
use taketurns::protocol::turns::Framing;
use taketurns::protocol::{AbortReason, CloseReason, ConnectionId, Links, Origin, Protocol, Wish};
use taketurns::time::{self, Now};

#[path = "support/bare.rs"]
mod bare;
#[path = "support/log.rs"]
mod logged;
#[path = "support/process/mod.rs"]
mod process;

use bare::{PATIENCE, connect, free_address};
use logged::{listen_to_log, take_log, times_logged};
use process::folder::Folder;
use process::input::{redirected, typed};
use process::programs::{example, legacy};
use process::{Process, Stream};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What a peer may have queued before it is given up; the driver's default.
const OUT_BYTES_MAX: usize = 64 * 1024;

// ---- a world in virtual time --------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
struct Peer(usize);

struct PeerState {
    id: ConnectionId,
    /// One entry a write, which is a `recv` for one who reads at once, and when it came.
    recvs: Vec<(Duration, String)>,
    looked: usize,
    reads: bool,
    closed: Option<Wish>,
}

/// A dispatch server and the peers at the other ends of its connections.
struct World {
    server: DispatchServer,
    links: Links,
    start: time::Instant,
    at: Duration,
    peers: Vec<PeerState>,
    events: Vec<DispatchEvent>,
}

impl World {
    fn new(config: DispatchServerConfig) -> World {
        World {
            server: DispatchServer::new(config),
            links: Links::new(OUT_BYTES_MAX),
            start: time::Instant::ORIGIN,
            at: Duration::ZERO,
            peers: Vec::new(),
            events: Vec::new(),
        }
    }

    /// With `count` clients that have heard their rank.
    fn with_clients(count: usize, config: DispatchServerConfig) -> (World, Vec<Peer>) {
        let mut world =
            World::new(DispatchServerConfig { max_clients: config.max_clients.max(count), ..config });
        let peers: Vec<_> = (0..count).map(|_| world.connect()).collect();
        for (rank, &peer) in peers.iter().enumerate() {
            assert_eq!(world.heard(peer).concat().trim_end(), format!("Your rank is {rank}"));
        }
        world.pass_time(ms(50));
        world.events.clear();
        (world, peers)
    }

    fn now(&self) -> Now {
        Now { instant: self.start + self.at, wall: SystemTime::UNIX_EPOCH + self.at }
    }

    fn connect(&mut self) -> Peer {
        let port = u16::try_from(1000 + self.peers.len()).expect("few peers");
        let addr = ([127, 0, 0, 1], port).into();
        let id = self.links.open(addr);
        self.peers.push(PeerState { id, recvs: Vec::new(), looked: 0, reads: true, closed: None });
        self.server.handle_open(self.now(), id, addr, Origin::Accepted, &mut self.links);
        self.flush();
        Peer(self.peers.len() - 1)
    }

    /// One readiness of `peer` brings `bytes`.
    fn say(&mut self, peer: Peer, bytes: impl AsRef<[u8]>) {
        let id = self.peers[peer.0].id;
        if self.links.is_open(id) {
            self.server.handle_bytes(self.now(), id, bytes.as_ref(), &mut self.links);
        }
        self.flush();
    }

    fn leave(&mut self, peer: Peer) {
        self.server.handle_end(self.now(), self.peers[peer.0].id, &mut self.links);
        self.flush();
    }

    fn drain(&mut self) {
        self.server.drain(self.now(), &mut self.links);
        self.flush();
    }

    /// What the driver does at the end of a pass.
    fn flush(&mut self) {
        while let Some(id) = self.links.take_touched() {
            let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else { continue };
            let bytes = self.links.unsent(id).to_vec();
            if peer.reads && !bytes.is_empty() {
                self.links.consume(id, bytes.len());
                peer.recvs.push((self.at, String::from_utf8(bytes).expect("the server speaks UTF-8")));
            }
            let wish = self.links.wish_of(id);
            if wish != Wish::Keep {
                peer.closed = Some(wish);
                let reason = match wish {
                    Wish::Abort(AbortReason::SlowReader) => CloseReason::SlowReader,
                    _ => CloseReason::Unwanted,
                };
                self.server.handle_closed(
                    Now { instant: self.start + self.at, wall: SystemTime::UNIX_EPOCH },
                    id,
                    reason,
                    &mut self.links,
                );
                self.links.remove(id);
            }
        }
        while let Some(event) = self.server.poll_event() {
            self.events.push(event);
        }
    }

    /// Lets time pass, deadline by deadline.
    fn pass_time(&mut self, by: Duration) {
        let end = self.at + by;
        let mut passes = 0;
        while let Some(due) = self.server.next_deadline().filter(|&due| due <= self.start + end) {
            self.at = self.at.max(due - self.start);
            self.server.handle_timeout(self.now(), &mut self.links);
            self.flush();
            passes += 1;
            assert!(passes < 20_000, "the server spins");
        }
        self.at = end;
    }

    /// What came since this was last asked, a `recv` each.
    fn heard(&mut self, peer: Peer) -> Vec<String> {
        let peer = &mut self.peers[peer.0];
        let fresh = peer.recvs[peer.looked..].iter().map(|(_, text)| text.clone()).collect();
        peer.looked = peer.recvs.len();
        fresh
    }

    /// The same in the line framing, a line each.
    fn lines(&mut self, peer: Peer) -> Vec<String> {
        let text = self.heard(peer).concat();
        assert!(text.is_empty() || text.ends_with('\n'), "only whole lines: {text:?}");
        text.lines().map(str::to_owned).collect()
    }

    fn is_closed(&self, peer: Peer) -> bool {
        self.peers[peer.0].closed.is_some()
    }

    fn rejections(&self) -> Vec<Rejection> {
        let reason = |event: &DispatchEvent| match event {
            DispatchEvent::Rejected { reason, .. } => Some(*reason),
            _ => None,
        };
        self.events.iter().filter_map(reason).collect()
    }
}

fn raw() -> DispatchServerConfig {
    DispatchServerConfig::default()
}

fn line() -> DispatchServerConfig {
    DispatchServerConfig { framing: Framing::Line, ..raw() }
}

fn least_loaded(config: DispatchServerConfig) -> DispatchServerConfig {
    DispatchServerConfig { policy: Policy::LeastLoaded, ..config }
}

const NOTHING: [&str; 0] = [];

/// What the oldest client makes of a `recv`: who sent it, by its first and its last field, and the command, cut out.
fn legacy_cut(message: &str) -> (usize, usize, &str) {
    let fields: Vec<_> = message.split_whitespace().collect();
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{message:?} is no message"));
    (number(fields[0]), number(fields[fields.len() - 1]), &message[2..message.len() - 2])
}

// ---- R1 and R6: ranks ---------------------------------------------------------------------------------

#[test]
fn r01_ranks_are_given_by_arrival() {
    let mut world = World::new(raw());
    let peers = [(); 3].map(|()| world.connect());
    for (rank, peer) in peers.into_iter().enumerate() {
        assert_eq!(world.heard(peer), [format!("Your rank is {rank}")]);
    }
    let ranks: Vec<_> = world.server.ranks().map(|(rank, addr)| (rank.0, addr.port())).collect();
    assert_eq!(ranks, [(0, 1000), (1, 1001), (2, 1002)]);
    assert!(matches!(world.events[2], DispatchEvent::Ranked { rank: Rank(2), .. }));
}

#[test]
fn r06_everyone_below_moves_up_and_every_remaining_client_is_told() {
    for (config, end) in [(raw(), ""), (line(), "\n")] {
        let mut world = World::new(config);
        let peers = [(); 4].map(|()| world.connect());
        world.pass_time(ms(20));
        peers.iter().for_each(|&peer| drop(world.heard(peer)));
        world.leave(peers[1]);
        assert_eq!(world.heard(peers[0]), [format!("RYour rank is now 0{end}")]);
        assert_eq!(world.heard(peers[2]), [format!("RYour rank is now 1{end}")]);
        assert_eq!(world.heard(peers[3]), [format!("RYour rank is now 2{end}")]);
        assert!(world.is_closed(peers[1]));
        assert!(matches!(world.events.last(), Some(DispatchEvent::Left { rank: Rank(1), .. })));
        // The next one to come is the lowest.
        let new = world.connect();
        assert_eq!(world.heard(new), [format!("Your rank is 3{end}")]);
    }
}

// ---- R2 to R5: who gets a command ---------------------------------------------------------------------

#[test]
fn r02_the_sender_has_the_rank_that_the_server_knows() {
    let (mut world, peers) = World::with_clients(3, raw());
    // A claim of 0 does not make rank 1 the highest, and no claim is too large.
    world.say(peers[1], "C 0 dance");
    assert_eq!(world.heard(peers[2]), [" 1 dance 1"]);
    for claim in ["7", "99999999999999999999999", "00"] {
        world.pass_time(ms(20));
        world.say(peers[0], format!("C {claim} sing"));
        assert_eq!(world.heard(peers[1]), [" 0 sing 0"], "claimed {claim}");
    }
    // Who has moved up and goes on claiming its first rank is served.
    world.leave(peers[0]);
    world.pass_time(ms(20));
    world.heard(peers[2]);
    world.say(peers[1], "C 1 jump");
    assert_eq!(world.heard(peers[2]), [" 0 jump 0"]);
    assert_eq!(world.server.counts().dispatched, 5);
}

#[test]
fn r03_the_legacy_receiver_finds_the_command_where_it_cuts() {
    let (mut world, peers) = World::with_clients(3, raw());
    for command in
        ["dance", "dance now", "x", "3 times", "add 1 2", "grüß dich", &"x".repeat(COMMAND_BYTES_MAX)]
    {
        world.pass_time(ms(20));
        world.say(peers[1], format!("C 1 {command}"));
        let heard = world.heard(peers[2]);
        assert_eq!(heard, [format!(" 1 {command} 1")]);
        assert!(heard[0].len() <= 1024, "one recv takes it whole");
        // With the blank that belongs to the rank in front.
        assert_eq!(legacy_cut(&heard[0]), (1, 1, &*format!(" {command}")));
    }
}

#[test]
fn r04_next_is_the_closest_lower_rank() {
    let (mut world, peers) = World::with_clients(4, raw());
    for _ in 0..3 {
        world.say(peers[0], "C 0 a");
        world.say(peers[2], "C 2 b");
        world.pass_time(ms(20));
    }
    assert_eq!(world.heard(peers[1]), [" 0 a 0"; 3]);
    assert_eq!(world.heard(peers[3]), [" 2 b 2"; 3]);
    assert_eq!(world.heard(peers[2]), NOTHING);
}

#[test]
fn r04_least_loaded_gives_12_commands_over_4_idle_clients_3_each() {
    let (mut world, peers) = World::with_clients(5, least_loaded(raw()));
    for n in 0..12 {
        world.say(peers[0], format!("C 0 c{n}"));
    }
    world.pass_time(ms(100));
    for (worker, &peer) in peers[1..].iter().enumerate() {
        let expected: Vec<_> = (0..3).map(|round| format!(" 0 c{} 0", 4 * round + worker)).collect();
        assert_eq!(world.heard(peer), expected);
    }

    // The same where each job is done at once, so that the load is always nothing.
    let (mut world, peers) = World::with_clients(5, least_loaded(line()));
    let mut shares = [0; 5];
    for n in 1..=12 {
        world.say(peers[0], "C 0 dance\n");
        for worker in 1..5 {
            for job in world.lines(peers[worker]) {
                assert_eq!(job, format!("C {n} dance"));
                shares[worker] += 1;
                world.say(peers[worker], format!("D {n}\n"));
            }
        }
    }
    assert_eq!(shares, [0, 3, 3, 3, 3]);
}

#[test]
fn r04_load_is_what_is_not_done_or_was_sent_lately() {
    // Line: the one that does its jobs gets them all.
    let (mut world, peers) = World::with_clients(3, least_loaded(line()));
    world.say(peers[0], "C 0 a\nC 0 b\n");
    assert_eq!((world.lines(peers[1]), world.lines(peers[2])), (vec!["C 1 a".into()], vec!["C 2 b".into()]));
    for n in 3..8 {
        world.say(peers[2], format!("D {}\n", n - 1));
        world.say(peers[0], "C 0 c\n");
        assert_eq!(world.lines(peers[2]), [format!("C {n} c")]);
    }
    assert_eq!(world.lines(peers[1]), NOTHING);

    // Raw: rank 2 had one more in the last 10 s, from rank 1, so it is rank 1's turn until that is over.
    let (mut world, peers) = World::with_clients(3, least_loaded(raw()));
    world.say(peers[1], "C 1 x");
    world.say(peers[1], "C 1 x");
    world.pass_time(ms(9_900));
    assert_eq!(world.heard(peers[2]).len(), 2);
    world.say(peers[0], "C 0 a");
    world.say(peers[0], "C 0 b");
    world.pass_time(ms(50));
    assert_eq!((world.heard(peers[1]).len(), world.heard(peers[2]).len()), (2, 0));
    world.pass_time(ms(100));
    world.say(peers[0], "C 0 c");
    world.pass_time(ms(50));
    assert_eq!((world.heard(peers[1]).len(), world.heard(peers[2]).len()), (0, 1), "the window is over");
}

#[test]
fn r04_equal_clients_get_equal_shares_whoever_sends() {
    let (mut world, peers) = World::with_clients(6, least_loaded(raw()));
    for n in 0..60 {
        world.say(peers[n % 2], "C 0 x");
        world.pass_time(ms(20));
    }
    let shares: Vec<_> = peers.iter().map(|&peer| world.heard(peer).len()).collect();
    assert!(shares[1..].iter().all(|share| (11..=13).contains(share)), "{shares:?}");
}

#[test]
fn r05_the_lowest_rank_is_rejected() {
    let (mut world, peers) = World::with_clients(2, raw());
    world.say(peers[1], "C 1 dance");
    assert_eq!((world.heard(peers[0]), world.heard(peers[1])), (vec![], vec![]));
    assert_eq!(world.rejections(), [Rejection::LowestRank]);
    assert_eq!(world.server.counts().rejected, 1);

    let (mut world, peers) = World::with_clients(1, line());
    world.say(peers[0], "C 0 dance\n");
    assert_eq!(world.lines(peers[0]), ["X lowest-rank"]);
}

// ---- R7: the gap --------------------------------------------------------------------------------------

fn assert_gaps(world: &World) {
    for peer in &world.peers {
        for pair in peer.recvs.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= ms(10), "{pair:?}");
        }
    }
}

#[test]
fn r07_two_messages_never_come_in_one_recv() {
    let (mut world, peers) = World::with_clients(4, raw());
    for n in 0..5 {
        world.say(peers[1], format!("C 1 c{n}"));
    }
    world.leave(peers[0]);
    world.say(peers[1], "C 0 last");
    world.pass_time(ms(200));
    let heard = world.heard(peers[2]);
    assert_eq!(
        heard,
        [" 1 c0 1", " 1 c1 1", " 1 c2 1", " 1 c3 1", " 1 c4 1", "RYour rank is now 1", " 0 last 0"]
    );
    assert_gaps(&world);
    // Also a rank right behind the first one, and who comes and goes while messages wait.
    let new = world.connect();
    world.leave(peers[1]);
    world.leave(peers[2]);
    world.pass_time(ms(200));
    assert_eq!(world.heard(new), ["Your rank is 3", "RYour rank is now 1"], "only the newest rank waits");
    assert_gaps(&world);
}

/// A message is written at the end of its pass: 15 ms late here, which must not eat the gap up.
#[test]
fn r07_the_gap_begins_when_the_pass_of_a_message_is_over() {
    let (mut world, peers) = World::with_clients(2, raw());
    world.say(peers[0], "C 0 a");
    world.say(peers[0], "C 0 b");
    world.at += ms(15);
    world.server.handle_timeout(world.now(), &mut world.links);
    world.flush();
    assert_eq!(world.heard(peers[1]), [" 0 a 0"]);
    world.pass_time(ms(9));
    assert_eq!(world.heard(peers[1]), NOTHING);
    world.pass_time(ms(1));
    assert_eq!(world.heard(peers[1]), [" 0 b 0"]);
}

#[test]
fn r07_64_messages_wait_and_the_next_command_is_refused() {
    let (mut world, peers) = World::with_clients(3, raw());
    for n in 0..70 {
        world.say(peers[0], format!("C 0 c{n}"));
    }
    // One went at once, 64 wait, 5 are refused; the next rank waits nevertheless.
    assert_eq!(world.rejections(), [Rejection::Busy; 5]);
    assert_eq!(world.server.counts().rejected, 5);
    world.leave(peers[2]);
    world.pass_time(ms(1_000));
    let heard = world.heard(peers[1]);
    assert_eq!(heard.len(), 66);
    assert_eq!((heard[64].as_str(), heard[65].as_str()), (" 0 c64 0", "RYour rank is now 1"));
    assert_gaps(&world);
    assert!(!world.is_closed(peers[0]) && !world.is_closed(peers[1]), "nobody is closed for our delay");
    world.say(peers[0], "C 0 again");
    world.pass_time(ms(20));
    assert_eq!(world.heard(peers[1]), [" 0 again 0"]);
}

#[test]
fn r07_what_waits_is_still_sent_when_the_server_drains() {
    let (mut world, peers) = World::with_clients(2, raw());
    for n in 0..10 {
        world.say(peers[0], format!("C 0 c{n}"));
    }
    world.drain();
    assert!(world.is_closed(peers[0]));
    world.pass_time(ms(500));
    assert_eq!(world.heard(peers[1]).len(), 10);
    assert!(world.is_closed(peers[1]));
    assert_gaps(&world);
    assert!(world.server.next_deadline().is_none(), "nothing is left behind");
}

// ---- R8: the line framing -----------------------------------------------------------------------------

#[test]
fn r08_a_command_is_accepted_done_and_told() {
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 dance now\r\n");
    assert_eq!(world.lines(peers[0]), ["A 1"]);
    assert_eq!(world.lines(peers[1]), ["C 1 dance now"]);
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(peers[0]), ["O 1"]);
    // Done is done.
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(peers[1]), ["X malformed"]);
    assert_eq!(world.lines(peers[0]), NOTHING);
}

#[test]
fn r08_nobody_else_can_say_that_a_job_is_done() {
    let (mut world, peers) = World::with_clients(3, line());
    world.say(peers[0], "C 0 dance\n");
    world.lines(peers[0]);
    for forger in [0, 2] {
        world.say(peers[forger], "D 1\n");
        assert_eq!(world.lines(peers[forger]), ["X malformed"]);
    }
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(peers[0]), ["O 1"]);
    assert_eq!(world.server.counts().refused, 2);
}

#[test]
fn r08_the_sender_hears_of_a_worker_that_is_gone_in_order() {
    let (mut world, peers) = World::with_clients(3, line());
    world.say(peers[0], "C 0 a\nC 0 b\nC 0 c\n");
    world.say(peers[1], "D 2\n");
    world.lines(peers[0]);
    world.leave(peers[1]);
    assert_eq!(world.lines(peers[0]), ["X worker-gone 1", "X worker-gone 3", "RYour rank is now 0"]);
}

#[test]
fn r08_a_sender_that_is_gone_leaves_nothing_behind() {
    let config = DispatchServerConfig { undone_max: 4, ..line() };
    let (mut world, peers) = World::with_clients(2, config);
    world.say(peers[0], "C 0 a\n");
    world.leave(peers[0]);
    assert_eq!(world.lines(peers[1]), ["C 1 a", "RYour rank is now 0"]);
    // Its slot is taken again: the newcomer must not hear what is not for it.
    let new = world.connect();
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(new), ["Your rank is 1"]);
    assert_eq!(world.lines(peers[1]), NOTHING);
    // The job is off the books of its worker.
    for n in 2..6 {
        world.say(peers[1], "C 0 x\n");
        assert_eq!(world.lines(new), [format!("C {n} x")]);
    }
    world.say(peers[1], "C 0 x\n");
    assert_eq!(world.lines(peers[1]), ["A 2", "A 3", "A 4", "A 5", "X busy"]);
    world.say(new, "D 3\n");
    world.say(peers[1], "C 0 x\n");
    assert_eq!(world.lines(peers[1]), ["O 3", "A 6"]);
}

#[test]
fn r08_what_raw_clients_cannot_say() {
    let (mut world, peers) = World::with_clients(2, raw());
    world.say(peers[1], "D 1");
    world.pass_time(ms(20));
    assert_eq!((world.heard(peers[0]), world.heard(peers[1])), (vec![], vec![]));
    assert_eq!(world.server.counts().refused, 1);
}

#[test]
fn r08_every_split_of_the_bytes_means_the_same() {
    let long = "y".repeat(2_000);
    let mut bytes = b"C 0 dance\r\nC 0 gr\xc3\xbc\xc3\x9f dich\nnonsense\n\nC 0 \xff\n".to_vec();
    bytes
        .extend_from_slice(format!("C 0 {long}\nC 0 {}\nC 0 end\nC 0 not ended", "z".repeat(961)).as_bytes());
    let play = |chunks: &[&[u8]]| {
        let (mut world, peers) = World::with_clients(2, line());
        chunks.iter().for_each(|chunk| world.say(peers[0], chunk));
        (world.lines(peers[0]), world.lines(peers[1]))
    };
    let whole = play(&[&bytes]);
    let malformed = "X malformed";
    assert_eq!(whole.0, ["A 1", "A 2", malformed, malformed, malformed, malformed, malformed, "A 3"]);
    assert_eq!(whole.1, ["C 1 dance", "C 2 grüß dich", "C 3 end"]);
    for cut in 1..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(play(&[head, tail]), whole, "cut at {cut}");
    }
    for size in [1, 2, 3, 7, 984, 985] {
        assert_eq!(play(&bytes.chunks(size).collect::<Vec<_>>()), whole, "chunks of {size}");
    }
}

// ---- R9 and R10: too many, too much, nonsense ---------------------------------------------------------

#[test]
fn r09_one_more_is_told_that_the_server_is_full() {
    for (config, end) in [(raw(), ""), (line(), "\n")] {
        let mut world = World::new(DispatchServerConfig { max_clients: 2, ..config });
        let first = world.connect();
        let second = world.connect();
        let third = world.connect();
        assert_eq!(world.heard(third), [format!("Server full{end}")]);
        assert_eq!(world.peers[third.0].closed, Some(Wish::Close), "with a second to read it");
        world.pass_time(ms(20));
        assert_eq!((world.heard(first).len(), world.heard(second).len()), (1, 1), "nobody's rank changes");
        assert_eq!(world.server.counts().turned_away, 1);
        world.leave(first);
        let fourth = world.connect();
        assert_eq!(world.heard(fourth), [format!("Your rank is 1{end}")]);
    }
}

#[test]
fn r10_a_malformed_command_is_refused_and_reaches_nobody() {
    let too_long = format!("C 0 {}", "x".repeat(COMMAND_BYTES_MAX + 1));
    let far_too_long = "C 0 ".repeat(1_000);
    let bad: &[&[u8]] = &[
        b"dance",
        b"C",
        b"C 0",
        b"C 0 ",
        b"C zero dance",
        b"C -1 dance",
        b"C 0 a\x1b[2J",
        b"C 0 a\nC 0 b",
        b"C 0 a\tb",
        b"C 0 \xc2\x85x",
        b"C 0 \xff\xfe",
        b"c 0 dance",
        b"RYour rank is now 0",
        too_long.as_bytes(),
        far_too_long.as_bytes(),
    ];
    let (mut world, peers) = World::with_clients(2, raw());
    for bad in bad {
        world.say(peers[0], bad);
    }
    world.pass_time(ms(100));
    assert_eq!((world.heard(peers[0]), world.heard(peers[1])), (vec![], vec![]));
    assert_eq!(world.server.counts().refused, bad.len() as u64);
    assert!(world.events.iter().all(|event| matches!(event, DispatchEvent::Refused { .. })));
    // The client stays, and what a person sends at a keyboard is one command.
    world.say(peers[0], " \r\n");
    world.say(peers[0], format!("C 0 {}\n", "x".repeat(COMMAND_BYTES_MAX)));
    assert_eq!(world.heard(peers[1]), [format!(" 0 {} 0", "x".repeat(COMMAND_BYTES_MAX))]);
    assert_eq!(world.server.counts().refused, bad.len() as u64, "whitespace alone is nothing");
}

#[test]
fn r10_the_client_stays_in_the_line_framing_too() {
    let (mut world, peers) = World::with_clients(2, line());
    for bad in [&b"dance\n"[..], b"C 0 a\x1b[2J\n", b"\xff\n", b"C 0 \n", &[b'x'; 5_000]] {
        world.say(peers[0], bad);
        assert_eq!(world.lines(peers[0]), ["X malformed"], "{:?}", bad.escape_ascii().to_string());
    }
    world.say(peers[0], [b'x'; 5_000]);
    assert_eq!(world.lines(peers[0]), NOTHING, "the same line, said to be too long already");
    world.say(peers[0], "\nC 0 dance\n");
    assert_eq!(world.lines(peers[1]), ["C 1 dance"]);
}

// ---- A4: the log --------------------------------------------------------------------------------------

#[test]
fn r02_a_claim_of_another_rank_is_logged() {
    listen_to_log();
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 a\n");
    assert_eq!(times_logged(["claims"]), [0]);
    world.say(peers[0], "C 7 b\n");
    assert_eq!(times_logged(["claims rank 7, has rank 0"]), [1]);
    (2..=20).for_each(|_| world.say(peers[0], "C 7 c\n"));
    assert_eq!(times_logged(["claims"]), [8], "the 2nd to 8th, and the 16th");
}

#[test]
fn a04_of_what_is_refused_the_log_shows_some() {
    listen_to_log();
    let (mut world, peers) = World::with_clients(2, line());
    for _ in 0..20 {
        world.say(peers[0], "dance\n");
        world.say(peers[1], "C 1 dance\n");
        world.say(peers[0], b"\xff\n");
    }
    // Not a command: 40 times. Of the lowest rank: 20 times.
    assert_eq!(times_logged(["refused, not a command", "[command rejected]"]), [10, 9]);
    let (mut world, _) = World::with_clients(2, DispatchServerConfig { max_clients: 2, ..raw() });
    (0..20).for_each(|_| _ = world.connect());
    assert_eq!(times_logged(["turned away"]), [9]);
}

// ---- A2 and A3: bounds --------------------------------------------------------------------------------

#[test]
fn a02_a_line_that_never_ends_is_closed_in_5_seconds() {
    for beginning in ["C", &"C".repeat(2_000)] {
        let (mut world, peers) = World::with_clients(2, line());
        world.say(peers[0], beginning);
        for _ in 0..4 {
            world.pass_time(ms(1_200));
            world.say(peers[0], "c");
        }
        assert!(!world.is_closed(peers[0]));
        world.pass_time(ms(300));
        assert!(world.is_closed(peers[0]));
        assert_eq!(world.lines(peers[0]).pop().as_deref(), Some("X line-timeout"));
        assert_eq!(world.lines(peers[1]), ["RYour rank is now 0"]);
    }
    // Each line has its own time.
    let (mut world, peers) = World::with_clients(2, line());
    for _ in 0..20 {
        world.say(peers[0], "C 0 ");
        world.pass_time(ms(3_000));
        // Its end comes with the beginning of the next one.
        world.say(peers[0], "x\nC 0 ");
        world.pass_time(ms(3_000));
        world.say(peers[0], "y\n");
    }
    world.pass_time(ms(60_000));
    assert!(!world.is_closed(peers[0]), "a peer may be silent between lines");
}

#[test]
fn a03_a_client_that_never_reads_is_closed_and_the_others_go_on() {
    for config in [raw(), line()] {
        let is_line = config.framing == Framing::Line;
        let (mut world, peers) = World::with_clients(3, config);
        world.peers[peers[1].0].reads = false;
        let command = format!("C 0 {}{}", "x".repeat(900), if is_line { "\n" } else { "" });
        for _ in 0..100 {
            world.say(peers[0], &command);
            world.pass_time(ms(10));
        }
        assert_eq!(world.peers[peers[1].0].closed, Some(Wish::Abort(AbortReason::SlowReader)));
        assert_eq!(world.server.ranks().count(), 2);
        let got = world.heard(peers[2]).len();
        assert!(got > 20, "the next one has them since: {got}");
    }
}

/// The server's own memory: what it keeps for each command must go.
#[test]
fn a02_an_hour_of_commands_leaves_nothing_behind() {
    for (config, end) in
        [(raw(), ""), (least_loaded(raw()), ""), (line(), "\n"), (least_loaded(line()), "\n")]
    {
        let (mut world, peers) = World::with_clients(3, config.clone());
        let mut done = 1;
        let mut play = |world: &mut World, count: usize| {
            for _ in 0..count {
                world.say(peers[0], format!("C 0 x{end}"));
                for worker in [1, 2] {
                    if !end.is_empty() && !world.heard(peers[worker]).is_empty() {
                        world.say(peers[worker], format!("D {done}\n"));
                        done += 1;
                    }
                }
                world.pass_time(ms(500));
                world.events.clear();
                world.peers.iter_mut().for_each(|peer| (peer.recvs.clear(), peer.looked = 0).0);
            }
            format!("{:?}", world.server).len()
        };
        let before = play(&mut world, 100);
        let after = play(&mut world, 7_200);
        assert!(after < before + 200, "{config:?}: from {before} to {after}");
    }
}

/// A sender as fast as it likes, least-loaded and no gap: the times of what was sent are bounded.
#[test]
fn a02_the_load_window_is_bounded() {
    let config = DispatchServerConfig { signal_gap: Duration::ZERO, ..least_loaded(raw()) };
    let (mut world, peers) = World::with_clients(2, config);
    for _ in 0..10_000 {
        world.say(peers[0], "C 0 x");
        world.pass_time(Duration::from_nanos(2));
    }
    assert_eq!(world.server.counts().dispatched, 10_000);
    let instants = format!("{:?}", world.server).matches("Instant").count();
    assert!(instants < 5_000, "{instants} instants are kept");
}

/// Nothing that peers do makes the server panic, spin, or write two raw messages at once.
#[test]
fn a02_random_peers() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_line = random.bool();
        let config = if is_line { line() } else { raw() };
        let config = if random.bool() { least_loaded(config) } else { config };
        let mut world =
            World::new(DispatchServerConfig { max_clients: 6, undone_max: 3, waiting_max: 4, ..config });
        for _ in 0..500 {
            let open: Vec<_> =
                (0..world.peers.len()).filter(|&at| world.peers[at].closed.is_none()).map(Peer).collect();
            let peer = if open.is_empty() { None } else { Some(open[random.usize(..open.len())]) };
            match (random.u8(..12), peer) {
                (0, _) | (_, None) => drop(world.connect()),
                (1, Some(peer)) => world.leave(peer),
                (2, Some(peer)) => world.say(peer, [random.u8(..), random.u8(..), b'\n']),
                (3, Some(peer)) => world.say(peer, "C "),
                (4, Some(peer)) => world.say(peer, format!("D {}\n", random.u8(..50))),
                (5, _) => world.pass_time(ms(random.u64(..3_000))),
                (6, _) => world.pass_time(ms(random.u64(..12))),
                (_, Some(peer)) => world.say(peer, format!("C {} c{}\n", random.u8(..9), random.u8(..))),
            }
            for (at, (rank, _)) in world.server.ranks().enumerate() {
                assert_eq!(rank.0, at, "seed {seed}");
            }
        }
        if !is_line {
            assert_gaps(&world);
        }
        world.drain();
        world.pass_time(ms(1_000));
        assert!(world.server.next_deadline().is_none(), "seed {seed}");
        assert!(world.peers.iter().all(|peer| peer.closed.is_some()), "seed {seed}");
    }
}

// ---- R11, on the library: our client ------------------------------------------------------------------

struct ClientWorld {
    client: DispatchClient,
    links: Links,
    id: ConnectionId,
    start: time::Instant,
    at: Duration,
    written: Vec<(Duration, String)>,
}

impl ClientWorld {
    fn new(framing: Framing) -> ClientWorld {
        let mut links = Links::new(OUT_BYTES_MAX);
        let id = links.open(([127, 0, 0, 1], 9).into());
        let (client, start) = (DispatchClient::new(framing), time::Instant::ORIGIN);
        let mut world = ClientWorld { client, links, id, start, at: Duration::ZERO, written: Vec::new() };
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
        Now { instant: self.start + self.at, wall: SystemTime::UNIX_EPOCH }
    }

    fn hear(&mut self, text: &str) -> Vec<DispatchClientEvent> {
        self.client.handle_bytes(self.now(), self.id, text.as_bytes(), &mut self.links);
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
fn r11_the_client_executes_what_comes_from_above() {
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
fn r11_the_client_tells_a_rank_from_what_comes_with_it() {
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

/// What a host sees of it.
#[test]
fn r11_the_client_knows_its_rank_and_what_waits() {
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
    world.client.handle_end(world.now(), world.id, &mut world.links);
    assert_eq!(world.links.wish_of(world.id), Wish::Close, "the server has finished");
    world.flush();
    let old = std::mem::replace(&mut world.id, world.links.open(([127, 0, 0, 1], 9).into()));
    world.client.handle_closed(world.now(), old, CloseReason::Finished, &mut world.links);
    assert_eq!(world.client.rank(), None);
    world.written.clear();
    world.send("a");
    world.flush();
    assert_eq!(world.written, [], "there is nobody to send it to");
    let peer = ([127, 0, 0, 1], 1).into();
    world.client.handle_open(world.now(), world.id, peer, Origin::Accepted, &mut world.links);
    world.hear("Your rank is 0\n");
    assert_eq!(world.written.last().expect("it waited").1, "C 0 a\n");
    world.client.handle_closed(world.now(), old, CloseReason::Finished, &mut world.links);
    assert_eq!(world.client.rank(), Some(Rank(0)), "an older one that ends late changes nothing");
    world.client.drain(world.now(), &mut world.links);
    assert_eq!(world.links.wish_of(world.id), Wish::Close);
}

#[test]
fn a04_of_what_the_client_does_not_understand_the_log_shows_some() {
    listen_to_log();
    let mut world = ClientWorld::new(Framing::Raw);
    (0..20).for_each(|_| drop(world.hear("nonsense\x1b[2J")));
    let log = take_log();
    assert_eq!(log.iter().filter(|(_, line)| line.ends_with("\"nonsense\\u{1b}[2J\"")).count(), 9, "{log:?}");
}

#[test]
fn r04_a_policy_has_a_name() {
    assert_eq!("next".parse(), Ok(Policy::Next));
    assert_eq!("least-loaded".parse(), Ok(Policy::LeastLoaded));
    let unknown = "random".parse::<Policy>().expect_err("there is none").to_string();
    assert!(unknown.contains("next or least-loaded"), "{unknown}");
}

#[test]
fn r10_a_command_is_escaped_where_it_is_shown() {
    use taketurns::protocol::dispatch::Command;
    let command: Command = "dance\u{202e}now".parse().expect("a command");
    assert_eq!(command.to_string(), "dance\\u{202e}now");
    let invalid = "".parse::<Command>().expect_err("it is empty").to_string();
    assert!(invalid.contains("1 to 960 bytes"), "{invalid}");
}

// ---- the programs -------------------------------------------------------------------------------------

struct Server {
    process: Process,
    address: String,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        Server::start_at("127.0.0.1:0", args)
    }

    fn start_at(address: &str, args: &[&str]) -> Server {
        let mut process = Process::spawn(example("rank_server").args(args).args(["--listen", address]));
        let bound =
            process.wait_for_line("address", |line| line.text.starts_with("Server listening on "), PATIENCE);
        let address = bound.text.trim_start_matches("Server listening on ").to_owned();
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        connect(&self.address)
    }
}

fn client_of(address: &str, args: &[&str]) -> Command {
    let mut command = example("rank_client");
    command.args(["--connect", address]).args(args);
    command
}

fn out(process: &mut Process, text: &str) {
    out_times(process, text, 1);
}

/// Waits for a line on standard output, behind a prompt or not, so many times.
fn out_times(process: &mut Process, text: &str, times: usize) {
    process.wait_until(&format!("{times} times {text:?}"), PATIENCE, |seen| {
        let lines = seen.iter().filter(|line| line.stream == Stream::Out);
        let is_it = |line: &str| line.trim_start_matches("Enter command: ") == text;
        (lines.filter(|line| is_it(&line.text)).count() >= times).then_some(())
    });
}

#[test]
fn r11_r12_what_the_programs_say() {
    let mut server = Server::start(&[]);
    out(&mut server.process, "[STARTING] Listening for 5 clients...");
    let (mut first, mut typist) = typed(&client_of(&server.address, &[]));
    out(&mut first, "Assigned rank: 0");
    let mut second = Process::spawn(&mut client_of(&server.address, &["--stay"]));
    out(&mut second, "Assigned rank: 1");
    let mut third = redirected(&client_of(&server.address, &["--stay"]), "<&-");
    out(&mut third, "Assigned rank: 2");

    typist.types("dance\n");
    for line in [
        "[Processing]......",
        "[Received] received command dance from server:",
        "[Executing] i am danceing watch me dance",
    ] {
        out(&mut second, line);
    }
    out(&mut server.process, "Command executed by client with rank 1");
    typist.types("x\x1b[2J\n");
    first.wait_for_line("complaint", |line| line.text.starts_with("cannot send that"), PATIENCE);

    drop(typist);
    first.expect_exit(0, PATIENCE);
    out(&mut second, "New rank: 0");
    out(&mut third, "New rank: 1");
    for client in [second, third] {
        client.signal("TERM");
        drop(client);
    }
    out(&mut server.process, "0 connections");
    let lines: Vec<String> = server.process.lines(Stream::Out).iter().map(|line| shape(line)).collect();
    let expected = [
        "[STARTING] Listening for 5 clients...",
        "Server listening on A",
        "Accepted client A",
        "  0: A",
        "Accepted client A",
        "  0: A",
        "  1: A",
        "Accepted client A",
        "  0: A",
        "  1: A",
        "  2: A",
        "Command executed by client with rank 1",
        "[Disconnect] client A of rank 0",
        "[New ranking]",
        "  0: A",
        "  1: A",
    ];
    assert_eq!(lines[..expected.len()], expected);
    let rest = &lines[expected.len()..];
    assert!(rest[0].starts_with("[Disconnect] client A of rank "), "{rest:?}");
    assert_eq!(rest[1..3], ["[New ranking]", "  0: A"]);
    assert_eq!(rest[3..], ["[Disconnect] client A of rank 0", "[New ranking]", "0 connections"]);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// A line with its address replaced.
fn shape(line: &str) -> String {
    let words: Vec<_> =
        line.split(' ').map(|word| if word.starts_with("127.0.0.1:") { "A" } else { word }).collect();
    words.join(" ")
}

#[test]
fn r11_a_client_without_input_leaves() {
    let server = Server::start(&[]);
    Process::spawn(&mut client_of(&server.address, &[])).expect_exit(0, PATIENCE);
    redirected(&client_of(&server.address, &[]), "<&-").expect_exit(0, PATIENCE);
}

/// [R7] Commands from a pipe or a file come one by one; the last one has no end of line.
#[test]
fn r11_all_that_is_piped_in_is_sent() {
    let commands: Vec<_> = (0..30).map(|n| format!("command {n}")).collect();
    let folder = Folder::new();
    let file = folder.path("commands");
    std::fs::write(&file, commands.join("\n")).expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    for from_file in [true, false] {
        let (mut client, typist) = if from_file {
            (redirected(&client_of(&address, &[]), &format!("< '{}'", file.display())), None)
        } else {
            let (client, mut typist) = typed(&client_of(&address, &[]));
            typist.types(&commands.join("\n"));
            (client, Some(typist))
        };
        let (mut stream, _) = listener.accept().expect("the client comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
        stream.write_all(b"Your rank is 7").expect("the client is there");
        drop(typist);
        let mut text = String::new();
        let mut reads = 0;
        loop {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).expect("commands");
            if count == 0 {
                break;
            }
            reads += 1;
            text.push_str(std::str::from_utf8(&bytes[..count]).expect("UTF-8"));
        }
        let expected: String = commands.iter().map(|command| format!("C 7 {command}")).collect();
        assert_eq!(text, expected);
        assert!(reads > 20, "one by one, but for a busy machine: {reads}");
        drop(stream);
        client.expect_exit(0, PATIENCE);
    }
}

#[test]
fn r04_r08_four_workers_get_three_of_twelve_commands_each() {
    for framing in ["raw", "line"] {
        let server = Server::start(&["--framing", framing, "--policy", "least-loaded"]);
        let (mut boss, mut typist) = typed(&client_of(&server.address, &["--framing", framing]));
        out(&mut boss, "Assigned rank: 0");
        let args = ["--framing", framing, "--stay"];
        let mut workers: Vec<_> = (1..5)
            .map(|rank| {
                let mut worker = Process::spawn(&mut client_of(&server.address, &args));
                out(&mut worker, &format!("Assigned rank: {rank}"));
                worker
            })
            .collect();
        typist.types(&"dance\n".repeat(12));
        for worker in &mut workers {
            out_times(worker, "[Executing] i am danceing watch me dance", 3);
        }
        if framing == "line" {
            out(&mut boss, "Accepted as number 12");
            (1..=12).for_each(|n| out(&mut boss, &format!("Number {n} is done")));
        }
        drop(typist);
        boss.expect_exit(0, PATIENCE);
        for worker in &mut workers {
            worker.wait_for_line("new rank", |line| line.text.contains("New rank"), PATIENCE);
            let shares = worker.lines(Stream::Out).iter().filter(|line| line.contains("[Executing]")).count();
            assert_eq!(shares, 3, "{framing}");
        }
    }
}

#[test]
fn r05_the_lowest_rank_is_told_and_the_server_logs_it() {
    let mut server = Server::start(&["--framing", "line"]);
    let (mut client, mut typist) = typed(&client_of(&server.address, &["--framing", "line"]));
    out(&mut client, "Assigned rank: 0");
    typist.types("dance\n");
    out(&mut client, "Rejected: lowest-rank");
    let is_it = |line: &process::Line| line.stream == Stream::Err && line.text.contains("[command rejected]");
    server.process.wait_for_line("[command rejected]", is_it, PATIENCE);
}

#[test]
fn r09_a_full_server_says_so_and_the_client_waits_for_a_place() {
    let server = Server::start(&["1"]);
    let (mut first, typist) = typed(&client_of(&server.address, &[]));
    out(&mut first, "Assigned rank: 0");
    let mut told = String::new();
    server.connect().read_to_string(&mut told).expect("told, then closed");
    assert_eq!(told, "Server full");
    let (mut second, _typist) = typed(&client_of(&server.address, &[]));
    out(&mut second, "Server full; trying again until there is a place");
    drop(typist);
    first.expect_exit(0, PATIENCE);
    out(&mut second, "Assigned rank: 0");
}

#[test]
fn a05_a_client_says_that_there_is_no_server_and_stays() {
    let address = free_address();
    let (mut client, mut typist) = typed(&client_of(&address, &[]));
    client.wait_for_line("why", |line| line.text.contains("cannot connect to"), PATIENCE);
    typist.types("early\n");
    let server = Server::start_at(&address, &[]);
    out(&mut client, "Assigned rank: 0");
    server.process.kill(PATIENCE);
    client.wait_for_line("loss", |line| line.text.contains("Disconnected"), PATIENCE);
    let server = Server::start_at(&address, &[]);
    out_times(&mut client, "Assigned rank: 0", 2);
    drop(typist);
    client.expect_exit(0, PATIENCE);
    server.process.kill(PATIENCE);

    // What is piped in and cannot be sent is not dropped in silence.
    let (mut client, mut typist) = typed(&client_of(&address, &[]));
    typist.types("never sent");
    drop(typist);
    client.expect_exit(1, PATIENCE);
    assert!(client.lines(Stream::Err).iter().any(|line| line.contains("not all commands were sent")));
}

#[test]
fn a06_a_signal_drains_the_server_and_ends_the_client() {
    for framing in ["raw", "line"] {
        let mut server = Server::start(&["--framing", framing]);
        let (mut client, _typist) = typed(&client_of(&server.address, &["--framing", framing]));
        out(&mut client, "Assigned rank: 0");
        let mut silent = server.connect();
        server.process.signal("TERM");
        server.process.expect_exit(0, PATIENCE);
        let mut text = String::new();
        let _ = silent.read_to_string(&mut text);
        client.wait_for_line("loss", |line| line.text.contains("Disconnected"), PATIENCE);
        client.signal("INT");
        client.expect_exit(0, PATIENCE);
    }
}

#[test]
fn a05_wrong_usage_ends_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|addr| (addr.to_string(), taken)).expect("bound");
    for (args, why) in [
        (&["many"][..], "many"),
        (&["0"], "at least 1"),
        (&["-1"], "-1"),
        (&["--policy", "fair"], "next or least-loaded"),
        (&["--framing", "xml"], "xml"),
        (&["--listen", "127.0.0.1:99999"], "0 to 65535"),
        (&["--listen", &taken.0], "another with --listen"),
    ] {
        let mut server = Process::spawn(example("rank_server").args(args));
        server.expect_exit(1, PATIENCE);
        let said = server.lines(Stream::Err).join("\n");
        assert!(said.contains(why), "{args:?}: {said}");
    }
    for (args, why) in
        [(&["--connect", "nowhere"][..], "no port"), (&["--framing", "xml"], "xml"), (&["more"], "more")]
    {
        let mut client = Process::spawn(example("rank_client").args(args));
        client.expect_exit(1, PATIENCE);
        let said = client.lines(Stream::Err).join("\n");
        assert!(said.contains(why), "{args:?}: {said}");
    }
}

// ---- with the legacy programs, and at a terminal ------------------------------------------------------

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
    // The first one is gone; the second goes on claiming 1, and is served as 0.
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
    // One by one, though the pipe brings them at once.
    first_typist.types("dance\nsing\njump\n");
    for command in ["dance", "sing", "jump"] {
        out(&mut second, &format!("[Executing] i am {command}ing watch me {command}"));
    }
    out_times(&mut server, "executed by 1", 3);
    drop(first_typist);
    first.expect_exit(0, PATIENCE);
    out(&mut second, "New rank: 0");
    out(&mut third, "New rank: 1");
    // It claims the rank that it has now: a claim of 1 would be rejected by this server.
    second_typist.types("run\n");
    out(&mut third, "[Executing] i am runing watch me run");
}

#[test]
fn r11_the_prompt_is_not_mangled_by_what_arrives() {
    let server = Server::start(&[]);
    let (mut boss, mut boss_typist) = typed(&client_of(&server.address, &[]));
    out(&mut boss, "Assigned rank: 0");
    let Some(mut command) = legacy("rank_terminal.py") else { return };
    let client = client_of(&server.address, &[]);
    let (mut terminal, mut typist) = typed(command.arg(client.get_program()).args(client.get_args()));
    let raw = |terminal: &mut Process, text: &str| {
        terminal.wait_until(text, PATIENCE, |seen| {
            let raw = seen
                .iter()
                .filter_map(|line| line.text.strip_prefix("raw "))
                .map(|raw| raw.trim_matches('\''));
            raw.collect::<String>().contains(text).then_some(())
        });
    };
    raw(&mut terminal, "Enter command: ");
    boss_typist.types("dance\n");
    raw(&mut terminal, "watch me dance\\r\\nEnter command: ");
    // What has been typed stays on the screen when something arrives, and is sent as it stands there.
    typist.types("half typ\\\n");
    raw(&mut terminal, "half typ");
    boss_typist.types("jump\n");
    raw(&mut terminal, "watch me jump\\r\\nEnter command: half typ");
    typist.types("ed\n");
    raw(&mut terminal, "ed\\r\\nEnter command: ");
    drop(boss_typist);
    raw(&mut terminal, "New rank: 0\\r\\nEnter command: ");
    drop(typist);
    terminal.expect_exit(0, PATIENCE);
    let lines = terminal.lines(Stream::Out);
    let screen: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("screen ")).collect();
    assert_eq!(
        screen,
        [
            "Assigned rank: 1",
            "[Processing]......",
            "[Received] received command dance from server:",
            "[Executing] i am danceing watch me dance",
            "[Processing]......",
            "[Received] received command jump from server:",
            "[Executing] i am jumping watch me jump",
            "Enter command: half typed",
            "New rank: 0",
            "Enter command: ",
            "",
        ]
    );
    assert_eq!(*lines.last().expect("lines"), "exit 0");
}
