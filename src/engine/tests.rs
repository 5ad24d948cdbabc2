//! An engine on pipes: the order of events, and their effects.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::{DriverConfig, Engine, Event, Interest, Ready, Sockets, Target};
use crate::protocol::{BuffersMin, CloseReason, ConnectionId, Links, Origin, Protocol};
use crate::record::Record;
use crate::time::{Instant, Now};

#[derive(Default)]
struct Pipe {
    /// Input not read yet.
    says: VecDeque<Vec<u8>>,
    /// Whether the stream ends after it.
    ends: bool,
    /// Bytes the peer has received.
    hears: Vec<u8>,
    /// Bytes the peer can still take.
    room: usize,
    /// The results of the next writes, which override `room`.
    script: VecDeque<io::Result<usize>>,
}

#[derive(Default)]
struct Pipes {
    pipes: Vec<Pipe>,
    /// For each check: its time, the `since` argument, and the number of sockets.
    checks: Vec<(Instant, Instant, usize)>,
    /// Connections that wait to be accepted.
    newcomers: usize,
    /// The port of each connection that was dialed.
    dialed: Vec<u16>,
}

impl Sockets for Pipes {
    type Socket = usize;
    type Listener = ();
    const SHORT_READ_EMPTIES: bool = true;
    const EXTENDS_FOR_BUSY_PEERS: bool = true;

    fn extend_for_busy_peers(&mut self, now: Instant, since: Instant, sockets: &[&usize]) -> bool {
        self.checks.push((now, since, sockets.len()));
        sockets.iter().any(|&&at| self.pipes[at].room == 0)
    }

    fn recv(&mut self, at: &mut usize, buffer: &mut [u8]) -> io::Result<usize> {
        let pipe = &mut self.pipes[*at];
        let Some(mut said) = pipe.says.pop_front() else {
            return if pipe.ends { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        };
        if said.len() > buffer.len() {
            pipe.says.push_front(said.split_off(buffer.len()));
        }
        buffer[..said.len()].copy_from_slice(&said);
        Ok(said.len())
    }

    fn send(&mut self, at: &mut usize, bytes: &[u8]) -> io::Result<usize> {
        let pipe = &mut self.pipes[*at];
        if let Some(outcome) = pipe.script.pop_front() {
            pipe.hears.extend_from_slice(&bytes[..*outcome.as_ref().unwrap_or(&0)]);
            return outcome;
        }
        let count = bytes.len().min(pipe.room);
        pipe.room -= count;
        pipe.hears.extend_from_slice(&bytes[..count]);
        if count > 0 { Ok(count) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn shutdown(&mut self, _: &mut usize) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self, _: usize) {}

    fn watch(&mut self, _: ConnectionId, _: &mut usize, _: Interest, _: Option<Interest>) -> io::Result<()> {
        Ok(())
    }

    fn set_options(&mut self, _: &mut usize) {}

    fn accept(&mut self, (): &mut ()) -> io::Result<(usize, SocketAddr)> {
        self.newcomers = self.newcomers.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
        self.pipes.push(Pipe { room: usize::MAX, ..Pipe::default() });
        Ok((self.pipes.len() - 1, ([192, 0, 2, 1], 9).into()))
    }

    fn unlisten(&mut self, (): ()) {}

    fn connect(&mut self, addr: SocketAddr) -> io::Result<usize> {
        self.dialed.push(addr.port());
        // Nothing answers at port 1.
        if addr.port() == 1 {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        self.pipes.push(Pipe { room: usize::MAX, ..Pipe::default() });
        Ok(self.pipes.len() - 1)
    }

    fn established(&mut self, _: &mut usize) -> io::Result<bool> {
        Ok(true)
    }
}

/// Answers each message of four bytes with `reply`, to its sender and to `also`.
#[derive(Default)]
struct FourByteEcho {
    reply: Vec<u8>,
    also: Option<ConnectionId>,
    /// The bytes that it was given each time, and how many of them it used.
    given: Vec<(Vec<u8>, usize)>,
    rests: Vec<Vec<u8>>,
    closed: Vec<CloseReason>,
    /// It is given its input again when it is asked for a timeout, and then consumes all of it.
    reread: Option<ConnectionId>,
    takes_all: bool,
    awaited: Option<ConnectionId>,
    /// It treats its input as the handshake of another transport.
    upgrades: bool,
    /// It keeps the connection of a peer that has finished sending.
    stays: bool,
}

#[path = "wrapped_tests.rs"]
mod wrapped;

impl Protocol for FourByteEcho {
    type Event = ();

    fn handle_open(&mut self, _: Now, _: ConnectionId, _: SocketAddr, _: Origin, _: &mut Links) {}

    fn handle_bytes(&mut self, _: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        if self.upgrades {
            links.upgrade(id);
            return 0;
        }
        let mut used = if self.takes_all { bytes.len() } else { 0 };
        while bytes.len() - used >= 4 && links.may_go_on(id) {
            used += 4;
            links.send(id, &self.reply);
            self.also.into_iter().for_each(|also| links.send(also, &self.reply));
        }
        self.given.push((bytes.to_vec(), used));
        used
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        self.rests.push(rest.to_vec());
        if !self.stays {
            links.close(id);
        }
    }

    fn handle_closed(&mut self, _: Now, _: ConnectionId, reason: CloseReason, _: &mut Links) {
        self.closed.push(reason);
    }

    fn handle_timeout(&mut self, _: Now, links: &mut Links) {
        self.takes_all = true;
        self.reread.take().into_iter().for_each(|id| links.reread(id));
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}

    fn drain(&mut self, _: Now, _: &mut Links) {}

    fn next_deadline(&self) -> Option<Instant> {
        self.reread.map(|_| Now::ORIGIN.instant)
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        self.awaited == Some(id)
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}

const NOW: Now = Now::ORIGIN;

fn engine(config: DriverConfig) -> Engine<FourByteEcho, Pipes> {
    let echo = FourByteEcho { reply: b"ok".to_vec(), ..FourByteEcho::default() };
    Engine::new(Pipes::default(), echo, config, Box::new(|bytes| bytes.fill(7)), NOW.instant)
}

fn open(engine: &mut Engine<FourByteEcho, Pipes>) -> ConnectionId {
    let at = engine.sockets.pipes.len();
    engine.sockets.pipes.push(Pipe { room: usize::MAX, ..Pipe::default() });
    engine.adopt(NOW, at, ([192, 0, 2, 1], 9).into()).expect("pipes are easy")
}

/// The peer of the pipe `at` sends `bytes`, which arrive at once.
fn say(engine: &mut Engine<FourByteEcho, Pipes>, id: ConnectionId, at: usize, bytes: &[u8]) {
    engine.sockets.pipes[at].says.push_back(bytes.to_vec());
    engine.handle_readable(NOW, id);
}

/// Runs passes at [`NOW`] until nothing is left to do at once.
fn settle(engine: &mut Engine<FourByteEcho, Pipes>) {
    settle_at(engine, NOW);
}

fn at(seconds: u64) -> Now {
    Now::new(NOW.instant + Duration::from_secs(seconds), NOW.wall())
}

/// Runs passes at `now` until nothing is left to do at once.
fn settle_at(engine: &mut Engine<FourByteEcho, Pipes>, now: Now) {
    for _ in 0..1000 {
        engine.finish_batch(now).expect("events were taken");
        while let Some(event) = engine.poll_event() {
            assert!(!matches!(event, Event::Unreachable { .. }));
        }
        if engine.next_deadline().is_none_or(|due| due > now.instant) {
            return;
        }
    }
    panic!("it spins");
}

#[test]
fn input_that_is_not_consumed_is_given_again_in_one_piece() {
    let mut engine = engine(DriverConfig::default());
    let id = open(&mut engine);
    for piece in ["a", "bc", "defg", "h", "ijkl"] {
        say(&mut engine, id, 0, piece.as_bytes());
    }
    let given: Vec<_> = engine.protocol.given.iter().map(|(bytes, used)| (&bytes[..], *used)).collect();
    let expected: [(&[u8], usize); 5] = [(b"a", 0), (b"abc", 0), (b"abcdefg", 4), (b"efgh", 4), (b"ijkl", 4)];
    assert_eq!(given, expected);
    assert!(engine.rests.is_empty(), "nothing is left, and nothing is kept");
    assert_eq!(engine.sockets.pipes[0].hears, b"okokok");
}

#[test]
fn the_end_comes_with_what_was_not_consumed() {
    let mut engine = engine(DriverConfig::default());
    let id = open(&mut engine);
    say(&mut engine, id, 0, b"abcdef");
    engine.sockets.pipes[0].ends = true;
    engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
    assert_eq!(engine.protocol.rests, [b"ef"]);
    settle(&mut engine);
    assert_eq!((engine.connections(), engine.rests.len()), (0, 0));
}

#[test]
fn a_protocol_has_its_input_again_when_it_asks_for_it() {
    let mut engine = engine(DriverConfig::default());
    let [id, quiet] = [(); 2].map(|()| open(&mut engine));
    say(&mut engine, id, 0, b"abc");
    engine.protocol.reread = Some(id);
    settle(&mut engine);
    assert_eq!(engine.protocol.given.last(), Some(&(b"abc".to_vec(), 3)));
    // Without any input, it is not called.
    engine.protocol.reread = Some(quiet);
    settle(&mut engine);
    assert_eq!(engine.protocol.given.len(), 2);
}

#[test]
fn a_message_that_is_longer_than_may_be_kept_closes_its_connection() {
    let mut engine = engine(DriverConfig { in_bytes_max: 3, ..DriverConfig::default() });
    let [id, other] = [(); 2].map(|()| open(&mut engine));
    say(&mut engine, id, 0, b"abcdefg");
    assert_eq!(engine.connections(), 2, "three bytes may be kept");
    engine.protocol.also = Some(id);
    engine.config.in_bytes_max = 2;
    say(&mut engine, other, 1, b"abc");
    assert_eq!(
        (engine.protocol.closed.as_slice(), engine.counts().overlong),
        (&[CloseReason::Overlong][..], 1)
    );
    assert_eq!((engine.connections(), engine.rests.len()), (1, 1));
}

/// A message of 64 KiB takes no more reads than the number of buffers that it fills.
#[test]
fn a_long_message_takes_few_reads() {
    let mut engine = engine(DriverConfig::default());
    let id = open(&mut engine);
    let reads = 64 * 1024 / engine.config.read_bytes_max;
    engine.protocol.reply.clear();
    say(&mut engine, id, 0, &[b'x'; 64 * 1024]);
    settle(&mut engine);
    assert_eq!(engine.protocol.given.len(), reads);
}

#[test]
fn a_connection_that_is_congested_is_read_when_its_peer_has_read() {
    let mut engine = engine(DriverConfig { out_bytes_max: 100, ..DriverConfig::default() });
    let id = open(&mut engine);
    engine.protocol.reply = vec![b'.'; 20];
    engine.sockets.pipes[0].room = 0;
    say(&mut engine, id, 0, &b"abcd".repeat(10));
    settle(&mut engine);
    assert_eq!(engine.links.unsent(id).len(), 60, "the third answer is more than half of 100 bytes");
    say(&mut engine, id, 0, &b"abcd".repeat(10));
    settle(&mut engine);
    assert_eq!((engine.links.unsent(id).len(), engine.sockets.pipes[0].says.len()), (60, 1), "not read");
    // Its peer reads a bit, and at last everything.
    for room in [20, 30, usize::MAX] {
        engine.sockets.pipes[0].room = room;
        engine.handle_ready(NOW, id, Ready { readable: false, writable: true, to_end: false });
        settle(&mut engine);
        assert!(engine.links.unsent(id).len() <= 70);
    }
    assert_eq!((engine.sockets.pipes[0].hears.len(), engine.connections()), (20 * 20, 1));
}

/// The answers are many times as long as the requests, and the peer reads all the time.
#[test]
fn a_peer_that_reads_may_ask_for_as_much_as_it_likes() {
    let mut engine = engine(DriverConfig { out_bytes_max: 100, ..DriverConfig::default() });
    let id = open(&mut engine);
    engine.protocol.reply = vec![b'.'; 20];
    say(&mut engine, id, 0, &b"abcd".repeat(1000));
    settle(&mut engine);
    assert_eq!((engine.sockets.pipes[0].hears.len(), engine.counts().slow_readers), (20_000, 0));
}

/// Messages of one client go to another, which reads all the time: they are written before enough of them are
/// queued to close it.
#[test]
fn messages_to_others_are_written_before_the_rest_of_the_input_is_handled() {
    let mut engine = engine(DriverConfig { out_bytes_max: 100, ..DriverConfig::default() });
    let [id, other] = [(); 2].map(|()| open(&mut engine));
    engine.protocol.reply = vec![b'.'; 20];
    engine.protocol.also = Some(other);
    say(&mut engine, id, 0, &b"abcd".repeat(1000));
    settle(&mut engine);
    assert_eq!((engine.sockets.pipes[1].hears.len(), engine.counts().slow_readers), (20_000, 0));
    let most = engine.protocol.given.iter().map(|(_, used)| *used).max();
    assert_eq!(most, Some(12), "three messages at a time");
}

#[test]
fn a_peer_is_closed_for_length_only_once_it_has_refused_bytes() {
    let mut engine = engine(DriverConfig { out_bytes_max: 100, ..DriverConfig::default() });
    let id = open(&mut engine);
    // Much at once, which is offered after the host has acted.
    engine.act(NOW, |_, links| (0..10).for_each(|_| links.send(id, &[b'.'; 30])));
    assert_eq!(engine.sockets.pipes[0].hears.len(), 300);
    // The first refusal is no reason yet.
    engine.sockets.pipes[0].room = 10;
    engine.act(NOW, |_, links| (0..10).for_each(|_| links.send(id, &[b'.'; 30])));
    assert_eq!((engine.connections(), engine.links.unsent(id).len()), (1, 290));
    // It has read meanwhile, although no event has reported that yet.
    engine.sockets.pipes[0].room = 250;
    engine.act(NOW, |_, links| links.send(id, b"."));
    assert_eq!((engine.connections(), engine.links.unsent(id).len()), (1, 41));
    // It has not.
    engine.act(NOW, |_, links| links.send(id, &[b'.'; 60]));
    assert_eq!((engine.connections(), engine.counts().slow_readers), (0, 1));
    assert_eq!(engine.protocol.closed, [CloseReason::SlowReader]);
}

#[test]
fn messages_of_the_host_are_written_before_act_returns_and_the_next_pass_is_due() {
    let mut engine = engine(DriverConfig::default());
    let id = open(&mut engine);
    settle(&mut engine);
    let queued = engine.act(NOW, |_, links| {
        links.send(id, b"hello");
        links.unsent(id).len()
    });
    assert_eq!((queued, engine.sockets.pipes[0].hears.as_slice()), (5, &b"hello"[..]));
    assert_eq!(engine.next_deadline(), Some(NOW.instant));
    settle(&mut engine);
    assert!(engine.next_deadline().is_none_or(|due| due > NOW.instant));
}

/// Moves a connection, with all pipes, to another engine, where `first` precedes what was not read.
fn move_over(
    from: &mut Engine<FourByteEcho, Pipes>,
    id: ConnectionId,
    first: &[u8],
) -> (Engine<FourByteEcho, Pipes>, ConnectionId) {
    let released = from.release(NOW, id).expect("it is in use");
    let mut to = engine(DriverConfig::default());
    (to.sockets.pipes, to.protocol.reply) = (std::mem::take(&mut from.sockets.pipes), b"ok".to_vec());
    to.sockets.pipes.iter_mut().for_each(|pipe| pipe.room = usize::MAX);
    let id = to.adopt_released(NOW, released.after(first)).expect("there is room");
    (to, id)
}

#[test]
fn a_released_connection_goes_on_elsewhere_with_what_was_not_read_and_not_written() {
    let mut engine = engine(DriverConfig::default());
    let id = open(&mut engine);
    say(&mut engine, id, 0, b"bcd");
    engine.sockets.pipes[0].room = 2;
    engine.act(NOW, |_, links| links.send(id, b"hello "));
    let (mut other, new) = move_over(&mut engine, id, b"a");
    assert_eq!((engine.connections(), engine.protocol.closed.as_slice()), (0, &[CloseReason::Released][..]));
    assert!(engine.release(NOW, id).is_none(), "it is gone");
    let is_told = |event: &_| matches!(event, Event::Closed { reason: CloseReason::Released, .. });
    assert_eq!(std::iter::from_fn(|| engine.poll_event()).filter(is_told).count(), 1);
    assert_eq!(other.protocol.given, [(b"abcd".to_vec(), 4)]);
    say(&mut other, new, 0, b"efgh");
    settle(&mut other);
    assert_eq!(String::from_utf8_lossy(&other.sockets.pipes[0].hears), "hello okok");
}

/// The drain began while it was on its way to another loop.
#[test]
fn a_connection_that_is_adopted_while_draining_is_opened_and_closed() {
    let mut engine = engine(DriverConfig::default());
    let id = open(&mut engine);
    let released = engine.release(NOW, id).expect("it is in use");
    let mut other = super::tests::engine(DriverConfig::default());
    other.sockets.pipes = std::mem::take(&mut engine.sockets.pipes);
    other.drain(NOW);
    other.adopt_released(NOW, released).expect("there is room");
    settle(&mut other);
    // It lingers, so that its peer can read the last words.
    settle_at(&mut other, at(2));
    assert_eq!((other.connections(), other.protocol.closed.len()), (0, 1));
}

#[test]
fn a_connection_that_is_being_closed_or_was_dialed_is_not_released() {
    let mut engine = engine(DriverConfig::default());
    engine.connect(NOW, target(9));
    let dialed = establish(&mut engine);
    assert!(engine.release(NOW, dialed).is_none());
    let closing = open(&mut engine);
    engine.act(NOW, |_, links| links.close(closing));
    assert!(engine.release(NOW, closing).is_none());
}

/// A worker is busy, and reads an hour later.
#[test]
fn a_peer_that_takes_nothing_is_waited_for_while_it_is_in_use() {
    let mut engine = engine(DriverConfig::default());
    let [busy, leaves] = [(); 2].map(|()| open(&mut engine));
    engine.sockets.pipes.iter_mut().for_each(|pipe| pipe.room = 0);
    engine.act(NOW, |_, links| [busy, leaves].map(|id| links.send(id, &[b'.'; 1000])));
    settle(&mut engine);
    settle_at(&mut engine, at(3600));
    assert_eq!(engine.connections(), 2);
    // Nothing else would end a connection that is about to be closed.
    engine.act(at(3600), |_, links| links.close(leaves));
    settle_at(&mut engine, at(3619));
    assert_eq!(engine.connections(), 2);
    settle_at(&mut engine, at(3620));
    assert_eq!(
        (engine.connections(), engine.protocol.closed.as_slice()),
        (1, &[CloseReason::SlowReader][..])
    );
    engine.sockets.pipes[0].room = usize::MAX;
    engine.handle_ready(at(7200), busy, Ready { readable: false, writable: true, to_end: false });
    settle_at(&mut engine, at(7200));
    assert_eq!(engine.sockets.pipes[0].hears.len(), 1000);
}

/// Sockets are checked twice in the time for which a peer may be silent, while bytes are written or wait, and
/// then no more.
#[test]
fn sockets_are_checked_while_anything_is_written_or_waits() {
    let mut engine = engine(DriverConfig::default());
    let ids: Vec<_> = (0..300).map(|_| open(&mut engine)).collect();
    settle(&mut engine);
    assert_eq!(engine.next_deadline(), None, "nothing has been written");
    engine.act(at(5), |_, links| links.send(ids[0], b"."));
    for second in 5..100 {
        settle_at(&mut engine, at(second));
    }
    let checks = std::mem::take(&mut engine.sockets.checks);
    let rounds = [(15, 5), (25, 15)].map(|(now, since)| (at(now).instant, at(since).instant));
    let began: Vec<_> = checks.iter().filter(|(.., count)| *count == 128).step_by(2).collect();
    assert_eq!(began.len(), 2, "{checks:?}");
    for (began, (now, since)) in began.iter().zip(rounds) {
        assert_eq!((began.0, began.1), (now, since));
    }
    assert_eq!(checks.iter().map(|(.., count)| count).sum::<usize>(), 600, "each of them in each round");
    assert_eq!(engine.next_deadline(), None, "and nothing wakes it any more");
    // The last peer takes nothing.
    engine.sockets.pipes[299].room = 0;
    engine.act(at(100), |_, links| ids[298..].iter().for_each(|&id| links.send(id, b"..")));
    (100..200).for_each(|second| settle_at(&mut engine, at(second)));
    assert!(engine.sockets.checks.len() >= 27, "{:?}", engine.sockets.checks);
    assert!(engine.next_deadline().is_some());
}

/// A thousand peers hear a ring and do not read.
#[test]
fn when_too_much_is_queued_in_total_the_slowest_are_closed() {
    let mut engine = engine(DriverConfig { queued_bytes_max: 10_000, ..DriverConfig::default() });
    let ids: Vec<_> = (0..1001).map(|_| open(&mut engine)).collect();
    let (&reads, deaf) = ids.split_first().expect("there are some");
    engine.sockets.pipes[1..].iter_mut().for_each(|pipe| pipe.room = 0);
    for _ in 0..5 {
        engine.act(NOW, |_, links| ids.iter().for_each(|&id| links.send(id, &[b'.'; 10])));
        settle(&mut engine);
        let waits: usize = ids.iter().map(|&id| engine.links.unsent(id).len()).sum();
        assert!(waits <= 10_000, "{waits}");
    }
    assert_eq!((engine.connections(), engine.counts().slow_readers), (201, 800));
    assert!(engine.streams.get(reads).is_some() && engine.streams.get(deaf[0]).is_none());
    assert!(engine.streams.get(deaf[999]).is_some(), "it began to wait last");
    // A peer that has read everything is the last of them from then on, and a closed peer leaves room.
    let oldest = *deaf.iter().find(|&&id| engine.streams.get(id).is_some()).expect("200 are there");
    let at = *engine.streams.get(oldest).expect("it is there");
    engine.sockets.pipes[at].room = usize::MAX;
    engine.handle_ready(NOW, oldest, Ready { readable: false, writable: true, to_end: false });
    settle(&mut engine);
    engine.sockets.pipes[at].room = 0;
    engine.act(NOW, |_, links| links.send(oldest, &[b'.'; 51]));
    assert!(engine.streams.get(oldest).is_some() && engine.connections() == 200);
}

/// If the protocol wants another hello, the connection is made again in the next pass. If the peer only
/// closes it, it is made again after a pause.
#[test]
fn a_connection_comes_back_at_once_if_its_protocol_wants_that() {
    for is_wanted in [true, false] {
        let mut engine = engine(DriverConfig::default());
        engine.connect(NOW, SocketAddr::from(([192, 0, 2, 1], 9)));
        let (id, _) = engine.streams.iter().next().expect("it is on its way");
        engine.handle_ready(NOW, id, Ready { readable: false, writable: true, to_end: false });
        if is_wanted {
            engine.act(NOW, |_, links| links.reconnect_at_once(id));
        }
        engine.sockets.pipes[0].ends = true;
        engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
        settle(&mut engine);
        assert_eq!(
            (engine.connections(), engine.sockets.pipes.len()),
            if is_wanted { (1, 2) } else { (0, 1) }
        );
    }
}

/// Establishes the connection that is on its way, and returns it.
fn establish(engine: &mut Engine<FourByteEcho, Pipes>) -> ConnectionId {
    let (id, _) = engine.streams.iter().next().expect("it is on its way");
    engine.handle_ready(NOW, id, Ready { readable: false, writable: true, to_end: false });
    id
}

/// Has the peer of the newest connection close it. Returns what [`pass`] returns.
fn end(engine: &mut Engine<FourByteEcho, Pipes>, id: ConnectionId) -> Option<Target> {
    engine.sockets.pipes.last_mut().expect("it was connected").ends = true;
    engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
    pass(engine, NOW)
}

/// Runs a pass, and returns the target that it could not reach.
fn pass(engine: &mut Engine<FourByteEcho, Pipes>, now: Now) -> Option<Target> {
    let events: Vec<_> = std::iter::from_fn(|| engine.poll_event()).collect();
    engine.finish_batch(now).expect("events were taken");
    events.into_iter().chain(std::iter::from_fn(|| engine.poll_event())).find_map(|event| match event {
        Event::Unreachable { target, .. } => Some(target),
        _ => None,
    })
}

/// Runs a pass when its next deadline has come.
fn wait(engine: &mut Engine<FourByteEcho, Pipes>) {
    let mut now = NOW;
    now.instant = engine.next_deadline().expect("a pause");
    assert!(now.instant > NOW.instant);
    pass(engine, now);
}

fn target(port: u16) -> Target {
    SocketAddr::from(([192, 0, 2, 1], port)).into()
}

/// The host redirects while the connection is still open, or after it was closed and a pause has begun.
#[test]
fn a_redirected_connection_goes_there_at_once_and_stays_there_until_nothing_answers() {
    for is_late in [false, true] {
        let mut engine = engine(DriverConfig::default());
        let dial = engine.connect(NOW, target(9));
        let id = establish(&mut engine);
        if is_late {
            end(&mut engine, id);
        }
        assert!(engine.redirect(NOW, dial, target(8)));
        if !is_late {
            end(&mut engine, id);
        }
        pass(&mut engine, NOW);
        assert_eq!(engine.sockets.dialed, [9, 8], "late: {is_late}");

        // It proves itself, and is lost: the same server is next, after a pause.
        let id = establish(&mut engine);
        engine.act(NOW, |_, links| links.confirm(id));
        end(&mut engine, id);
        assert_eq!(engine.sockets.dialed.len(), 2);
        wait(&mut engine);
        assert_eq!(engine.sockets.dialed, [9, 8, 8]);

        // It is sent where nothing answers, so after a pause the host's target is next.
        let id = establish(&mut engine);
        assert!(engine.redirect(NOW, dial, target(1)));
        let unreachable = end(&mut engine, id).or_else(|| pass(&mut engine, NOW));
        assert_eq!(unreachable, Some(target(1)));
        wait(&mut engine);
        assert_eq!(engine.sockets.dialed, [9, 8, 8, 1, 9]);
    }
}

/// A host that decides late: the next attempt is already under way, and fails.
#[test]
fn a_connection_that_is_redirected_while_it_connects_goes_there_when_that_fails() {
    let mut engine = engine(DriverConfig::default());
    let dial = engine.connect(NOW, target(9));
    assert!(engine.redirect(NOW, dial, target(8)));
    let (id, _) = engine.streams.iter().next().expect("it is on its way");
    engine.connecting_failed(NOW, id, ErrorKind::ConnectionRefused.into());
    assert_eq!(pass(&mut engine, NOW), None);
    assert_eq!(engine.sockets.dialed, [9, 8]);
    let id = establish(&mut engine);
    end(&mut engine, id);
    pass(&mut engine, NOW);
    assert_eq!(engine.sockets.dialed, [9, 8], "not hurried a second time");
}

/// The host never answers the first question.
#[test]
fn a_name_is_asked_for_again_after_a_redirect_that_came_while_it_was_looked_up() {
    let mut engine = engine(DriverConfig::default());
    let asks = |engine: &mut Engine<FourByteEcho, Pipes>| {
        std::iter::from_fn(|| engine.poll_event())
            .filter(|event| matches!(event, Event::Resolve { .. }))
            .count()
    };
    let dial = engine.connect(NOW, Target::Name { host: "a".to_owned(), port: 9 });
    assert_eq!(asks(&mut engine), 1);
    assert!(engine.redirect(NOW, dial, target(1)));
    pass(&mut engine, NOW);
    assert_eq!(asks(&mut engine), 0);
    assert_eq!(engine.sockets.dialed, [1]);
    let mut later = NOW;
    later.instant = engine.next_deadline().expect("a pause");
    engine.finish_batch(later).expect("events were taken");
    assert_eq!(asks(&mut engine), 1);
}

/// Two servers that send a client to each other.
#[test]
fn five_redirects_in_a_row_are_followed_and_then_a_pause() {
    let mut engine = engine(DriverConfig::default());
    let dial = engine.connect(NOW, target(9));
    for port in 10..16 {
        let id = establish(&mut engine);
        assert_eq!(engine.redirect(NOW, dial, target(port)), port < 15);
        end(&mut engine, id);
        pass(&mut engine, NOW);
    }
    assert_eq!(engine.sockets.dialed, [9, 10, 11, 12, 13, 14]);
    wait(&mut engine);
    assert_eq!(engine.sockets.dialed, [9, 10, 11, 12, 13, 14, 9]);
    let id = establish(&mut engine);
    assert!(engine.redirect(NOW, dial, target(10)), "the count starts over");
    engine.hang_up(dial);
    end(&mut engine, id);
    assert!(!engine.redirect(NOW, dial, target(10)), "there is no such dial");
}

/// It is established while its host gives it up.
#[test]
fn a_connection_that_was_hung_up_while_it_connected_never_comes_up() {
    for drains in [false, true] {
        let mut engine = engine(DriverConfig::default());
        let dial = engine.connect(NOW, SocketAddr::from(([192, 0, 2, 1], 9)));
        let (id, _) = engine.streams.iter().next().expect("it is on its way");
        if drains {
            engine.drain(NOW);
        } else {
            engine.hang_up(dial);
        }
        engine.handle_ready(NOW, id, Ready { readable: false, writable: true, to_end: false });
        settle(&mut engine);
        assert_eq!((engine.connections(), engine.counts().stale_events), (0, 1));
        assert!(engine.protocol.closed.is_empty());
    }
}

/// The number of passes until a connection that sends a word is read, while each of 200 others has sent 16
/// KiB at once.
fn passes_during_a_flood(is_awaited: bool) -> usize {
    let mut engine = engine(DriverConfig::default());
    engine.protocol.takes_all = true;
    let flood: Vec<_> = (0..200).map(|_| open(&mut engine)).collect();
    let quiet = open(&mut engine);
    engine.protocol.awaited = Some(quiet).filter(|_| is_awaited);
    for (at, &id) in flood.iter().enumerate() {
        say(&mut engine, id, at, &[b'x'; 16 * 1024]);
    }
    say(&mut engine, quiet, flood.len(), b"word");
    for passes in 0..1000 {
        if engine.protocol.given.iter().any(|(bytes, _)| bytes == b"word") {
            return passes;
        }
        engine.finish_batch(NOW).expect("events were taken");
        while engine.poll_event().is_some() {}
    }
    panic!("it is never heard");
}

#[test]
fn those_that_flood_share_what_a_pass_reads() {
    // Of each of the 200, 1 KiB is read before the quiet one, and 64 KiB in each pass, so 3 passes read only
    // others. With 16 KiB of each, 50 passes would.
    assert_eq!(passes_during_a_flood(false), 1 + 200 / 64 + 1);
}

#[test]
fn an_awaited_connection_is_read_in_the_next_pass() {
    assert_eq!(passes_during_a_flood(true), 2);
}

/// Closing a socket takes the system much longer than reading from it.
#[test]
fn an_awaited_connection_does_not_wait_for_all_that_leave_at_once() {
    let mut engine = engine(DriverConfig::default());
    let all: Vec<_> = (0..1000).map(|_| open(&mut engine)).collect();
    let quiet = open(&mut engine);
    engine.protocol.awaited = Some(quiet);
    for (at, &id) in all.iter().enumerate() {
        engine.sockets.pipes[at].ends = true;
        engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
    }
    say(&mut engine, quiet, all.len(), b"word");
    let (mut passes, mut before) = (0, engine.connections());
    while engine.connections() > 1 {
        engine.finish_batch(NOW).expect("events were taken");
        while engine.poll_event().is_some() {}
        passes += 1;
        assert!(before - engine.connections() <= 32, "{before} to {} in a pass", engine.connections());
        before = engine.connections();
        assert!(passes < 2 || !engine.protocol.given.is_empty(), "it is read in the second pass");
    }
}

#[test]
fn a_message_is_written_as_far_as_the_socket_takes_it() {
    let run = |script: Vec<io::Result<usize>>| {
        let mut engine = engine(DriverConfig::default());
        engine.protocol.reply = b"HELLO".to_vec();
        let id = open(&mut engine);
        engine.sockets.pipes[0].script = script.into();
        say(&mut engine, id, 0, b"abcd");
        settle(&mut engine);
        let Pipe { script, hears, .. } = engine.sockets.pipes.swap_remove(0);
        assert_eq!(script.len(), 0, "each write was tried");
        let left = String::from_utf8(engine.links.unsent(id).to_vec()).expect("text");
        assert_eq!((engine.counts().bytes_out, hears.len()), (hears.len() as u64, hears.len()));
        (String::from_utf8(hears).expect("text"), left, engine.protocol.closed)
    };
    let error = |kind: ErrorKind| Err(kind.into());
    let done = |hears: &str, left: &str, closed: &[CloseReason]| (hears.into(), left.into(), closed.to_vec());
    let partly = vec![error(ErrorKind::Interrupted), Ok(2), error(ErrorKind::WouldBlock)];
    assert_eq!(run(partly), done("HE", "LLO", &[]));
    assert_eq!(run(vec![Ok(2), Ok(1), Ok(2)]), done("HELLO", "", &[]));
    let broken = |kind| [CloseReason::Broken(kind)];
    let reset = vec![Ok(1), error(ErrorKind::BrokenPipe)];
    assert_eq!(run(reset), done("H", "", &broken(ErrorKind::BrokenPipe)));
    assert_eq!(run(vec![Ok(0)]), done("", "", &broken(ErrorKind::WriteZero)));
}
