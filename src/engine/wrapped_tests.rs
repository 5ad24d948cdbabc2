//! Wrapped connections, over a wire that is easy to read: `?` and `!` are the handshake, then each message is
//! its length as a digit, and its bytes in capitals. `0` is the farewell, `p` asks for a `P`, and `x` is
//! against the rules.

use super::*;
use crate::engine::{Input, Wrap, Wrapping};
use crate::protocol::Transport;

#[derive(Debug, Default)]
struct Digits {
    kept: Vec<u8>,
    is_open: bool,
    is_over: bool,
    speaks_first: bool,
    is_web_socket: bool,
}

impl Wrapping for Digits {
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        if std::mem::take(&mut self.speaks_first) {
            wire.push(b'?');
        }
        self.kept.extend_from_slice(bytes);
        while let Some(&first) = self.kept.first() {
            let length = match first {
                b'?' if !self.is_open => {
                    wire.push(b'!');
                    (self.is_open, _) = (true, self.kept.remove(0));
                    continue;
                }
                b'!' if !self.is_open => {
                    (self.is_open, _) = (true, self.kept.remove(0));
                    continue;
                }
                b'p' if self.is_open => {
                    wire.push(b'P');
                    self.kept.remove(0);
                    continue;
                }
                b'0' => return Ok(Input::Ended),
                b'1'..=b'9' if self.is_open => usize::from(first - b'0'),
                _ => {
                    wire.extend_from_slice(b"bad");
                    self.is_over = true;
                    return Err(io::Error::new(ErrorKind::InvalidData, "not a digit"));
                }
            };
            if self.kept.len() <= length {
                break;
            }
            plain.extend(self.kept.drain(..=length).skip(1).map(|byte| byte.to_ascii_lowercase()));
        }
        Ok(Input::Open)
    }

    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        if !self.is_open || self.is_over {
            return plain.len();
        }
        let count = plain.len().min(9);
        wire.push(b'0' + u8::try_from(count).expect("a digit"));
        wire.extend(plain[..count].iter().map(u8::to_ascii_uppercase));
        count
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_over, true) {
            wire.push(b'0');
        }
    }

    fn ping(&mut self, wire: &mut Vec<u8>) {
        wire.push(b'p');
    }

    fn transport(&self) -> Option<Transport> {
        self.is_open.then_some(Transport { is_web_socket: self.is_web_socket, ..Transport::default() })
    }
}

fn wrap() -> Wrap {
    Box::new(|| Box::new(Digits { is_web_socket: true, ..Digits::default() }))
}

/// The peer of the pipe `at` sends `bytes`. In a handshake they are read at the end of the pass, so this runs
/// that part.
fn say(engine: &mut Engine<FourByteEcho, Pipes>, id: ConnectionId, at: usize, bytes: &[u8]) {
    super::say(engine, id, at, bytes);
    engine.shake_hands(NOW);
}

fn hears(engine: &Engine<FourByteEcho, Pipes>, at: usize) -> String {
    String::from_utf8(engine.sockets.pipes[at].hears.clone()).expect("the wire is text")
}

/// A connection that has not sent anything.
fn newcomer(engine: &mut Engine<FourByteEcho, Pipes>, room: usize) -> ConnectionId {
    let at = engine.sockets.pipes.len();
    engine.sockets.pipes.push(Pipe { room, ..Pipe::default() });
    let wrapping = Box::new(Digits::default());
    engine.adopt_wrapped(NOW, at, ([192, 0, 2, 1], 9).into(), wrapping, &mut []).expect("pipes are easy")
}

fn opened(engine: &mut Engine<FourByteEcho, Pipes>) -> usize {
    let mut count = 0;
    engine.finish_batch(NOW).expect("events were taken");
    while let Some(event) = engine.poll_event() {
        count += usize::from(matches!(event, Event::Opened { .. }));
    }
    count
}

/// Half a message of the wire was read, and half of one was written.
#[test]
fn a_released_connection_takes_its_wire_along() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, usize::MAX);
    assert!(engine.release(NOW, id).is_none(), "its handshake is not complete");
    say(&mut engine, id, 0, b"?");
    opened(&mut engine);
    engine.sockets.pipes[0].room = 3;
    engine.act(NOW, |_, links| links.send(id, b"hello"));
    say(&mut engine, id, 0, b"4AB");
    let (mut other, new) = move_over(&mut engine, id, b"");
    assert_eq!(other.links.transport(new), Some(&Transport::default()));
    say(&mut other, new, 0, b"CD");
    assert_eq!((opened(&mut other), hears(&other, 0).as_str()), (1, "!5HELLO2OK"));
    assert_eq!(other.protocol.given, [(b"abcd".to_vec(), 4)]);
}

/// An answer of the wire itself waited, and the protocol has nothing to say.
#[test]
fn what_the_wire_has_to_say_is_written_after_a_release() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, 1);
    say(&mut engine, id, 0, b"?");
    say(&mut engine, id, 0, b"p");
    assert_eq!(hears(&engine, 0), "!");
    let (other, _) = move_over(&mut engine, id, b"");
    assert_eq!(hears(&other, 0), "!P");
}

#[test]
fn a_protocol_is_told_of_a_connection_when_its_handshake_is_complete() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, usize::MAX);
    assert_eq!((opened(&mut engine), engine.connections(), engine.links.transport(id)), (0, 1, None));
    say(&mut engine, id, 0, b"?");
    assert_eq!((opened(&mut engine), hears(&engine, 0).as_str()), (1, "!"));
    assert_eq!(engine.links.transport(id), Some(&Transport::default()));
    engine.protocol.takes_all = true;
    settle_at(&mut engine, at(60));
    assert_eq!(engine.connections(), 1, "the deadline of the handshake no longer applies");
}

#[test]
fn bytes_sent_with_the_handshake_count_and_their_split_does_not_matter() {
    let said = b"?4ABCD5EFGHI3JKL0";
    for cut in 1..said.len() {
        let mut engine = engine(DriverConfig::default());
        let id = newcomer(&mut engine, usize::MAX);
        say(&mut engine, id, 0, &said[..cut]);
        say(&mut engine, id, 0, &said[cut..]);
        settle(&mut engine);
        let taken: Vec<u8> =
            engine.protocol.given.iter().flat_map(|(bytes, used)| bytes[..*used].to_vec()).collect();
        assert_eq!(taken, b"abcdefghijkl", "cut at {cut}");
        assert_eq!(hears(&engine, 0).replace("2OK", "").replace("6OKOKOK", "").replace("4OKOK", ""), "!0");
    }
}

#[test]
fn bytes_count_as_written_when_their_wire_form_is() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, 1);
    say(&mut engine, id, 0, b"?");
    let mark = engine.act(NOW, |_, links| {
        links.send(id, b"go");
        links.mark(id)
    });
    for (room, is_written, heard) in [(0, false, "!"), (2, false, "!2G"), (1, true, "!2GO")] {
        engine.sockets.pipes[0].room = room;
        engine.handle_ready(NOW, id, Ready { readable: false, writable: true, to_end: false });
        settle(&mut engine);
        assert_eq!((engine.links.is_written(id, mark), hears(&engine, 0).as_str()), (is_written, heard));
    }
}

#[test]
fn last_words_come_before_the_farewell_of_the_wire() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, usize::MAX);
    say(&mut engine, id, 0, b"?");
    engine.act(NOW, |_, links| {
        links.send(id, b"bye");
        links.close(id);
    });
    say(&mut engine, id, 0, b"4ABCD");
    settle_at(&mut engine, at(5));
    assert_eq!((hears(&engine, 0).as_str(), engine.connections()), ("!3BYE0", 0));
    assert_eq!(engine.protocol.closed, [CloseReason::Unwanted]);
    assert!(engine.protocol.given.is_empty() && engine.wires.is_empty());
    assert!(engine.links.transport(id).is_none());
}

#[test]
fn a_peer_that_breaks_the_rules_of_the_wire_is_told_and_closed() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, usize::MAX);
    say(&mut engine, id, 0, b"?4ABCD2ABx4EFGH");
    settle_at(&mut engine, at(5));
    assert_eq!((hears(&engine, 0).as_str(), engine.connections()), ("!bad", 0));
    assert_eq!((engine.protocol.rests.as_slice(), engine.protocol.given.len()), (&[b"ab".to_vec()][..], 1));
    assert_eq!((engine.protocol.closed.len(), engine.counts().handshakes_failed), (1, 0));
}

/// Whether the peer is silent, hangs up, or sends nonsense, the protocol never learns of it.
#[test]
fn the_protocol_learns_nothing_of_a_handshake_that_fails_or_takes_too_long() {
    for (said, ends, hears_so) in [(&b""[..], false, "0"), (b"x", false, "bad"), (b"", true, "")] {
        let mut engine = engine(DriverConfig::default());
        let id = newcomer(&mut engine, usize::MAX);
        engine.sockets.pipes[0].ends = ends;
        if !said.is_empty() {
            engine.sockets.pipes[0].says.push_back(said.to_vec());
        }
        engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
        settle(&mut engine);
        settle_at(&mut engine, at(9));
        assert_eq!(engine.connections(), usize::from(said.is_empty() && !ends));
        settle_at(&mut engine, at(11));
        settle_at(&mut engine, at(13));
        assert_eq!((hears(&engine, 0).as_str(), engine.connections()), (hears_so, 0));
        assert!(engine.protocol.closed.is_empty() && engine.protocol.rests.is_empty());
        assert_eq!(engine.counts().handshakes_failed, u64::from(!ends));
    }
}

#[test]
fn a_peer_that_asks_the_wire_for_more_than_it_reads_is_closed() {
    let mut engine = engine(DriverConfig { out_bytes_max: 100, ..DriverConfig::default() });
    let id = newcomer(&mut engine, 1);
    say(&mut engine, id, 0, b"?");
    say(&mut engine, id, 0, &[b'p'; 100]);
    settle(&mut engine);
    assert_eq!((engine.connections(), engine.counts().slow_readers), (1, 0));
    say(&mut engine, id, 0, b"p");
    settle(&mut engine);
    assert_eq!((engine.connections(), engine.counts().slow_readers), (0, 1));
}

#[test]
fn a_protocol_that_recognises_another_wire_continues_over_it() {
    let mut engine = engine(DriverConfig::default());
    engine.offer_upgrade(wrap());
    let id = open(&mut engine);
    engine.protocol.upgrades = true;
    say(&mut engine, id, 0, b"?4AB");
    engine.protocol.upgrades = false;
    assert_eq!(hears(&engine, 0), "!");
    say(&mut engine, id, 0, b"CD");
    assert_eq!(hears(&engine, 0), "!2OK");
    assert!(engine.links.transport(id).is_some());
    engine.sockets.pipes[0].ends = true;
    engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
    settle(&mut engine);
    assert_eq!((engine.connections(), engine.protocol.closed.len(), engine.wires.len()), (0, 1, 0));
}

#[test]
fn a_handshake_that_fails_counts_also_where_the_protocol_has_asked_for_it() {
    let mut engine = engine(DriverConfig::default());
    engine.offer_upgrade(wrap());
    let id = open(&mut engine);
    engine.protocol.upgrades = true;
    say(&mut engine, id, 0, b"x");
    settle(&mut engine);
    assert_eq!((hears(&engine, 0).as_str(), engine.counts().handshakes_failed), ("bad", 1));
}

/// As a WebSocket within TLS. Each length of the outer wire is that of the inner one's output.
#[test]
fn one_wire_may_be_in_another() {
    let mut engine = engine(DriverConfig::default());
    engine.offer_upgrade(wrap());
    let id = newcomer(&mut engine, usize::MAX);
    engine.protocol.upgrades = true;
    say(&mut engine, id, 0, b"?1?");
    engine.protocol.upgrades = false;
    say(&mut engine, id, 0, b"34AB2CD");
    assert_eq!(hears(&engine, 0), "!1!32OK");
    engine.act(NOW, |_, links| links.close(id));
    settle_at(&mut engine, at(5));
    assert_eq!((hears(&engine, 0).as_str(), engine.connections()), ("!1!32OK100", 0));
}

#[test]
fn an_outbound_connection_shakes_hands_before_its_protocol_knows_of_it() {
    let mut engine = engine(DriverConfig::default());
    let wrap: Wrap = Box::new(|| Box::new(Digits { speaks_first: true, ..Digits::default() }));
    engine.connect_wrapped(NOW, SocketAddr::from(([192, 0, 2, 1], 9)), wrap);
    let id = engine.streams.iter().next().expect("it connects").0;
    engine.handle_ready(NOW, id, Ready { readable: false, writable: true, to_end: false });
    assert_eq!((opened(&mut engine), hears(&engine, 0).as_str()), (0, "?"));
    say(&mut engine, id, 0, b"!");
    assert_eq!(opened(&mut engine), 1);
    // The next peer refuses, so the host is told why.
    engine.links.abort(id);
    engine.finish_batch(NOW).expect("events were taken");
    while engine.poll_event().is_some() {}
    engine.finish_batch(at(5)).expect("events were taken");
    while engine.poll_event().is_some() {}
    let id = engine.streams.iter().next().expect("it connects again").0;
    engine.handle_ready(NOW, id, Ready { readable: false, writable: true, to_end: false });
    say(&mut engine, id, 1, b"x");
    assert_eq!((engine.protocol.closed.len(), engine.connections()), (1, 0));
    engine.finish_batch(NOW).expect("events were taken");
    let events: Vec<_> = std::iter::from_fn(|| engine.poll_event()).collect();
    assert!(
        matches!(&events[..], [Event::Unreachable { error, .. }] if error.to_string() == "not a digit"),
        "{events:?}"
    );
}

#[test]
fn a_drain_does_not_wait_for_handshakes() {
    let mut engine = engine(DriverConfig::default());
    newcomer(&mut engine, usize::MAX);
    engine.drain(NOW);
    settle(&mut engine);
    assert!(engine.is_drained());
}

#[test]
fn wires_are_pinged_if_that_is_configured() {
    let config = DriverConfig { wire_ping: Some(Duration::from_secs(20)), ..DriverConfig::default() };
    let mut engine = engine(config);
    let [a, _silent] = [(); 2].map(|()| newcomer(&mut engine, usize::MAX));
    say(&mut engine, a, 0, b"?");
    engine.protocol.takes_all = true;
    for (seconds, heard) in [(5, "!"), (20, "!p"), (39, "!p"), (40, "!pp")] {
        settle_at(&mut engine, at(seconds));
        assert_eq!(hears(&engine, 0), heard, "after {seconds} s");
    }
}

/// Each is expensive where the wire is TLS, so turns come between them.
#[test]
fn a_pass_continues_a_few_handshakes_and_the_next_is_due_at_once() {
    let mut engine = engine(DriverConfig::default());
    let ids = [(); 6].map(|()| newcomer(&mut engine, usize::MAX));
    opened(&mut engine);
    for (at, &id) in ids.iter().enumerate() {
        engine.sockets.pipes[at].says.push_back(b"?".to_vec());
        engine.handle_readable(NOW, id);
        engine.handle_readable(NOW, id);
        assert_eq!(hears(&engine, at), "", "it is read after all others");
    }
    assert_eq!(opened(&mut engine), 4);
    assert_eq!(engine.next_deadline(), Some(NOW.instant));
    assert_eq!(opened(&mut engine), 2);
    assert!(engine.next_deadline().is_none_or(|at| at > NOW.instant));
    assert!(engine.securing == 0 && engine.handshakes.is_empty());
}

#[test]
fn newcomers_wait_while_many_shake_hands() {
    let mut engine = engine(DriverConfig { handshakes_max: 2, ..DriverConfig::default() });
    let addr = ([192, 0, 2, 1], 1).into();
    engine.listen_wrapped(addr, Some(wrap()), |_, _| Ok(())).expect("pipes are easy");
    engine.sockets.newcomers = 4;
    settle(&mut engine);
    assert_eq!((engine.connections(), engine.sockets.newcomers), (2, 2));
    assert!(engine.next_deadline().is_some_and(|at| at > NOW.instant), "it does not spin meanwhile");
    // The first completes its handshake, and the second gives up.
    let ids: Vec<_> = engine.streams.iter().map(|(id, _)| id).collect();
    say(&mut engine, ids[0], 0, b"?");
    settle(&mut engine);
    assert_eq!((engine.connections(), engine.sockets.newcomers), (3, 1));
    engine.sockets.pipes[1].ends = true;
    engine.handle_ready(NOW, ids[1], Ready { readable: true, writable: false, to_end: true });
    settle(&mut engine);
    settle(&mut engine);
    assert_eq!((engine.connections(), engine.sockets.newcomers), (3, 0));
}

#[test]
fn the_newcomers_of_a_listener_may_come_over_another_wire() {
    let mut engine = engine(DriverConfig::default());
    let addr = ([192, 0, 2, 1], 1).into();
    engine.listen_wrapped(addr, Some(wrap()), |_, _| Ok(())).expect("pipes are easy");
    assert!(engine.rewrap(addr, Box::new(|| Box::new(Digits { speaks_first: true, ..Digits::default() }))));
    assert!(!engine.rewrap(([192, 0, 2, 1], 2).into(), wrap()));
    engine.sockets.newcomers = 1;
    settle(&mut engine);
    assert_eq!(hears(&engine, 0), "?");
}

#[test]
fn a_peer_that_says_nothing_to_the_protocol_is_read_a_few_times_in_a_pass() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, usize::MAX);
    say(&mut engine, id, 0, b"?");
    settle(&mut engine);
    engine.sockets.pipes[0].says.extend((0..6).map(|_| b"p".to_vec()));
    engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
    assert_eq!(engine.sockets.pipes[0].says.len(), 2);
    settle(&mut engine);
    settle(&mut engine);
    assert_eq!(hears(&engine, 0), "!PPPPPP");
}

#[test]
fn the_end_of_the_input_is_told_once() {
    let mut engine = engine(DriverConfig::default());
    let id = newcomer(&mut engine, usize::MAX);
    engine.protocol.stays = true;
    say(&mut engine, id, 0, b"?");
    settle(&mut engine);
    say(&mut engine, id, 0, b"0");
    engine.sockets.pipes[0].ends = true;
    engine.handle_ready(NOW, id, Ready { readable: true, writable: false, to_end: true });
    settle(&mut engine);
    assert_eq!((engine.protocol.rests.len(), engine.connections()), (1, 1));
}
