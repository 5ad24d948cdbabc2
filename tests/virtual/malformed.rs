//! Handwritten malformed input for every protocol and framing, sent whole and split at every byte, next to
//! other clients that must not notice anything.
//!
//! If messages have an end, a split must make no difference. If not, a piece may be refused instead of the
//! whole, but no part of it may count.

use std::time::Duration;

use support::rests::Rests;
use taketurns::protocol::counter::{CounterServer, CounterServerConfig};
use taketurns::protocol::dispatch::{DispatchServer, DispatchServerConfig};
use taketurns::protocol::echo::{EchoServer, EchoServerConfig};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::protocol::{ConnectionId, Links, Origin, Protocol};
use taketurns::time::Now;

/// A protocol without sockets, and its time.
struct Stage<P> {
    protocol: P,
    links: Links,
    now: Now,
    rests: Rests,
}

impl<P: Protocol> Stage<P> {
    fn new(protocol: P) -> Stage<P> {
        Stage { protocol, links: Links::new(1 << 20), now: Now::ORIGIN, rests: Rests::default() }
    }

    fn open(&mut self) -> ConnectionId {
        let peer = ([127, 0, 0, 1], 9).into();
        let id = self.links.open(peer);
        self.protocol.handle_open(self.now, id, peer, Origin::Accepted, &mut self.links);
        self.wait();
        id
    }

    fn say(&mut self, id: ConnectionId, bytes: &[u8]) {
        if self.links.is_open(id) && !bytes.is_empty() {
            self.rests.hear(&mut self.protocol, self.now, id, bytes, &mut self.links);
        }
    }

    /// Longer than the gather time, shorter than any timeout.
    fn wait(&mut self) {
        for _ in 0..20 {
            self.now.instant += Duration::from_millis(20);
            self.protocol.handle_timeout(self.now, &mut self.links);
            self.rests.go_on(&mut self.protocol, self.now, &mut self.links);
            self.protocol.handle_flushed(self.now, &mut self.links);
        }
    }

    /// Returns the bytes for `id` since the last call.
    fn heard(&mut self, id: ConnectionId) -> String {
        let heard = String::from_utf8_lossy(self.links.unsent(id)).into_owned();
        self.links.consume(id, heard.len());
        heard
    }
}

/// The result of malformed input.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    speaker_heard: String,
    is_open: bool,
    others_heard: Vec<String>,
}

/// The sender and the other clients.
struct Cast {
    speaker: ConnectionId,
    others: Vec<ConnectionId>,
}

/// Sends `text` in two pieces, of which the first has `cut` bytes.
fn outcome<P: Protocol>(stage: &mut Stage<P>, cast: &Cast, text: &[u8], cut: usize) -> Outcome {
    for &id in cast.others.iter().chain([&cast.speaker]) {
        stage.heard(id);
    }
    stage.say(cast.speaker, &text[..cut]);
    stage.say(cast.speaker, &text[cut..]);
    stage.wait();
    Outcome {
        speaker_heard: stage.heard(cast.speaker),
        is_open: stage.links.is_open(cast.speaker),
        others_heard: cast.others.iter().map(|&id| stage.heard(id)).collect(),
    }
}

/// For messages with an end: `text` must be refused in the way that `is_refusal` accepts, for every split. No
/// other client may be told, and `go_on` must find everything unchanged.
fn refused_alike<P: Protocol>(
    text: &[u8],
    set: impl Fn() -> (Stage<P>, Cast),
    is_refusal: impl Fn(&Outcome) -> bool,
    go_on: impl Fn(&mut Stage<P>, &Cast),
) {
    let (mut stage, cast) = set();
    let whole = outcome(&mut stage, &cast, text, 0);
    let shown = text[..text.len().min(80)].escape_ascii();
    assert!(is_refusal(&whole), "\"{shown}\" is not refused: {whole:?}");
    assert!(whole.others_heard.iter().all(String::is_empty), "\"{shown}\" is heard by others: {whole:?}");
    // The longest ones are not split at every byte.
    for cut in (1..text.len()).step_by(text.len().div_ceil(1_100)) {
        let (mut stage, cast) = set();
        assert_eq!(outcome(&mut stage, &cast, text, cut), whole, "\"{shown}\" cut after {cut} bytes");
        go_on(&mut stage, &cast);
    }
}

fn line(text: &[u8]) -> Vec<u8> {
    [text, b"\n"].concat()
}

const TOO_LONG: &[u8] = &[b'x'; 1_100];
const LONG_NAME: &[u8] = &[b'x'; 65];

// ---- the turn protocol --------------------------------------------------------------------------------

fn turns(framing: Framing) -> Stage<TurnServer> {
    let mut config = TurnServerConfig::default();
    (config.framing, config.signal_gap) = (Some(framing), Duration::ZERO);
    Stage::new(TurnServer::new(config, Box::new(|bytes| bytes.fill(7))).expect("a valid configuration"))
}

/// Ann holds the turn, Bob is next, and then Eve, who sends the text.
fn three_in_lines() -> (Stage<TurnServer>, Cast) {
    let mut stage = turns(Framing::Line);
    let [ann, bob, speaker] = ["ann", "bob", "eve"].map(|name| {
        let id = stage.open();
        stage.say(id, format!("JOIN {name}\n").as_bytes());
        id
    });
    (stage, Cast { speaker, others: vec![ann, bob] })
}

#[test]
fn malformed_lines_of_the_turn_protocol() {
    let long_join = [b"JOIN ", LONG_NAME].concat();
    let lines: &[&[u8]] = &[
        b"nonsense",
        b"GO",
        b"WAIT",
        b"OK turn=1",
        b"join eve",
        b"JOIN",
        b"JOIN ",
        b"JOIN  eve",
        b"JOIN e:ve",
        b"JOIN eve ring",
        b"JOIN eve ring=",
        b"JOIN eve ring=a:b",
        b"JOIN eve weight=0",
        b"JOIN eve weight=101",
        b"JOIN eve weight=x",
        b"JOIN eve weight=-1",
        b"JOIN eve weight=99999999999999999999",
        b"JOIN eve weight=2",
        b"JOIN eve demand=never",
        b"JOIN eve hear=all",
        b"JOIN eve  ring=main",
        b"JOIN eve ring=main ",
        b"JOIN eve ring=main ring=main",
        b"JOIN eve :text",
        b"JOIN eve bytes=3\nabc",
        b"JOIN raw-1",
        b"JOIN \x01",
        &long_join,
        b":1",
        b"eve:1",
        b"eve:1 turn=1",
        b"ANSWER",
        b"ANSWER ",
        b"ANSWER x",
        b"ANSWER x :1",
        b"ANSWER:1",
        b"ANSWER  :1",
        b"ANSWER turn :1",
        b"ANSWER turn= :1",
        b"ANSWER turn=x :1",
        b"ANSWER turn=-1 :1",
        b"ANSWER turn=18446744073709551616 :1",
        b"ANSWER turn=1 turn=1 :1",
        b"ANSWER turn=1 x :1",
        b"ANSWER turn=1",
        b"ANSWER turn=1 :1",
        b"ANSWER epoch=x :1",
        b"ANSWER epoch= :1",
        b"ANSWER epoch=11112222333344445 :1",
        b"ANSWER epoch=0000000000000000 :1",
        b"ANSWER :1",
        b"ANSWER :a\x01b",
        b"ANSWER Turn=1 :1",
        b"answer :1",
        b"ANSWER bytes=3\nabc",
        b"ANSWER bytes=0\n",
        b"ANSWER turn=3 turn=4 bytes=6\nLEAVE\n",
        b"ANSWER turn=1 bytes=6\nLEAVE\n",
        b"ANSWER bytes=6\nPASS\n\n",
        b"XYZ bytes=6\nLEAVE\n",
        b"PING bytes=6\nLEAVE\n",
        b"ANSWER bytes=3 bytes=3\nabc",
        b"ANSWER bytes=x",
        b"ANSWER bytes=-1",
        b"ANSWER bytes=+1\nx",
        b"ANSWER bytes=262145",
        b"ANSWER bytes=3 :abc",
        b"ANSWER bytes=3\nabcd",
        b"PASS",
        b"PASS ",
        b"PASS turn",
        b"PASS turn=",
        b"PASS turn=x",
        b"PASS turn=1",
        b"PASS 1",
        b"PASS :1",
        b"RENEW",
        b"RENEW turn=1",
        b"RENEW x",
        b"ASK now",
        b"ASK :now",
        b"REST now",
        b"LEAVE ",
        b"LEAVE now",
        b"PING ",
        b"PING pong",
        b"WATCH",
        b"WATCH main",
        b"WATCH ring",
        b"WATCH ring=a:b",
        b" ",
        b"  ",
        b"\0",
        b"\x1b[2J",
        b"ANSWER :\x7f",
        b"\xff",
        b"ANSWER :\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        TOO_LONG,
    ];
    for text in lines {
        let is_refusal = |outcome: &Outcome| match outcome.is_open {
            true => outcome.speaker_heard.starts_with("NO ") && outcome.speaker_heard.lines().count() == 1,
            false => outcome.speaker_heard.lines().last().is_some_and(|last| last.starts_with("BYE ")),
        };
        refused_alike(&line(text), three_in_lines, is_refusal, |stage, cast| {
            stage.say(cast.others[0], b"ANSWER turn=1 :1\n");
            assert_eq!(stage.heard(cast.others[0]), "OK turn=1\n");
            assert_eq!(stage.heard(cast.others[1]), "GO turn=2 within=30000\n");
        });
    }
}

#[test]
fn malformed_answers_without_an_end() {
    let long_name = [LONG_NAME, b":1"].concat();
    let answers: &[&[u8]] = &[
        b"ann",
        b"ann:",
        b":1",
        b"::",
        b":",
        b"ann:x",
        b"ann:-",
        b"ann:+",
        b"ann: 1",
        b"ann:x1",
        b"a\x01b:1",
        b"a\x1b[2J:1",
        b"a\xff:1",
        b"\xff\xfe",
        b"\0:1",
        &long_name,
        b"ann;1",
        b"1",
        b"GO",
        b"WAIT",
        b"GOWAIT",
        b"hello world",
        b"JOIN ann",
        b"{}",
        b"ann=1",
        b"\xc2\x85:1",
        b"a\nb:1",
        b"GET / HTTP/1.1\r\n\r\n",
        TOO_LONG,
    ];
    for text in answers {
        for cut in 0..text.len() {
            let mut stage = turns(Framing::Raw);
            let (ann, bob) = (stage.open(), stage.open());
            // Otherwise some of these would be taken for the first bytes of another protocol.
            for (id, answer) in [(ann, "ann:1"), (bob, "bob:1")] {
                stage.heard(id);
                stage.say(id, answer.as_bytes());
            }
            let cast = Cast { speaker: ann, others: vec![bob] };
            let outcome = outcome(&mut stage, &cast, text, cut);
            let about = format!("\"{}\" cut after {cut} bytes: {outcome:?}", text.escape_ascii());
            let counts = stage.protocol.counts();
            assert!(counts.accepted == 2 && counts.refused >= 1, "{about}");
            // Each strike brings another GO to the same holder, and nothing to the others.
            assert!(outcome.is_open && outcome.speaker_heard.replace("GO", "").is_empty(), "{about}");
            assert_eq!(outcome.others_heard, [""], "{about}");
            stage.say(ann, b"ann:1");
            assert_eq!((stage.protocol.counts().accepted, stage.heard(bob).as_str()), (3, "GO"), "{about}");
        }
    }
}

#[test]
fn other_protocols_at_a_raw_port() {
    let first: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00:1",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"a\x01b:1",
        b"a\xff:1",
    ];
    for text in first {
        let mut stage = turns(Framing::Raw);
        let (ann, bob) = (stage.open(), stage.open());
        let cast = Cast { speaker: ann, others: vec![bob] };
        let outcome = outcome(&mut stage, &cast, text, 0);
        assert!(!outcome.is_open && outcome.speaker_heard.is_empty(), "{}: {outcome:?}", text.escape_ascii());
        assert_eq!(stage.protocol.counts().accepted, 0);
    }
}

// ---- timestamped echo ---------------------------------------------------------------------------------

fn echo(keep_open: bool) -> (Stage<EchoServer>, Cast) {
    let config = EchoServerConfig { keep_open, ..EchoServerConfig::default() };
    let mut stage = Stage::new(EchoServer::new(config, Box::new(|_| "now".to_owned())));
    let (other, speaker) = (stage.open(), stage.open());
    (stage, Cast { speaker, others: vec![other] })
}

#[test]
fn malformed_messages_of_the_echo_protocol() {
    let too_long = vec![b'x'; 70_000];
    let cut_off = [b"x".repeat(2_000), b"\xe2\x82".to_vec()].concat();
    let messages: &[&[u8]] = &[
        b"\xff",
        b"hello \xff",
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"a\xe2\x82",
        b"\x80",
        &cut_off,
        &too_long,
    ];
    for (text, keep_open) in messages.iter().flat_map(|text| [(text, false), (text, true)]) {
        let is_refusal = |outcome: &Outcome| !outcome.is_open && outcome.speaker_heard.starts_with("Error: ");
        let go_on = |stage: &mut Stage<EchoServer>, cast: &Cast| {
            stage.say(cast.others[0], b"hello\n");
            assert_eq!(stage.heard(cast.others[0]).trim_end(), "Server received at now: hello");
        };
        if keep_open {
            refused_alike(&line(text), || echo(true), is_refusal, go_on);
        } else {
            // A first piece without an end is a message of its own.
            let (mut stage, cast) = echo(false);
            let whole = outcome(&mut stage, &cast, &line(text), 0);
            assert!(is_refusal(&whole), "\"{}\": {whole:?}", text[..text.len().min(80)].escape_ascii());
            go_on(&mut stage, &cast);
        }
    }
}

// ---- ranked dispatch ----------------------------------------------------------------------------------

fn dispatch(framing: Framing) -> (Stage<DispatchServer>, Cast) {
    let config = DispatchServerConfig { framing, ..DispatchServerConfig::default() };
    let mut stage = Stage::new(DispatchServer::new(config));
    let [speaker, worker, last] = [(); 3].map(|()| stage.open());
    // Otherwise some of these would be taken for the first bytes of another protocol.
    stage.say(speaker, b"C 0 hello\n");
    stage.wait();
    (stage, Cast { speaker, others: vec![worker, last] })
}

const NO_COMMANDS: &[&[u8]] = &[
    b"C",
    b"C 1",
    b"C x dance",
    b"C -1 dance",
    b"C +1 dance",
    b"C  dance",
    b"C 1.5 dance",
    b"c 1 dance",
    b"D",
    b"D x",
    b"D -1",
    b"E 1 x",
    b"C 1 \x01ab",
    b"C 1 \x1b[2J",
    b"C 1 \xff",
    b"hello",
    b"Your rank is 0",
    b"RYour rank is now 0",
    b"C1 dance",
    b"C 1\x7f",
    b"A 1",
    b"O 1",
    b"X lowest-rank",
    b"\0",
    b"\xff\xff",
];

#[test]
fn malformed_lines_of_dispatch() {
    let too_long = [b"C 0 ".to_vec(), vec![b'x'; 961]].concat();
    for text in NO_COMMANDS.iter().copied().chain([&too_long[..], b"C 0 ", b"D 99"]) {
        let is_refusal = |outcome: &Outcome| outcome.is_open && outcome.speaker_heard.starts_with("X ");
        refused_alike(
            &line(text),
            || dispatch(Framing::Line),
            is_refusal,
            |stage, cast| {
                stage.say(cast.speaker, b"C 0 dance\n");
                assert!(stage.heard(cast.speaker).starts_with("A "));
                assert!(stage.heard(cast.others[0]).ends_with(" dance\n"));
            },
        );
    }
}

#[test]
fn malformed_commands_without_an_end() {
    for text in NO_COMMANDS {
        for cut in 0..text.len() {
            let (mut stage, cast) = dispatch(Framing::Raw);
            let outcome = outcome(&mut stage, &cast, text, cut);
            let about = format!("\"{}\" cut after {cut} bytes: {outcome:?}", text.escape_ascii());
            let counts = stage.protocol.counts();
            assert!(counts.dispatched == 1 && counts.refused >= 1, "{about}");
            assert!(outcome.is_open && outcome.speaker_heard.is_empty(), "{about}");
            assert_eq!(outcome.others_heard, ["", ""], "{about}");
            stage.say(cast.speaker, b"C 0 dance");
            stage.wait();
            assert_eq!(stage.heard(cast.others[0]), " 0 dance 0", "{about}");
        }
    }
}

// ---- the counter --------------------------------------------------------------------------------------

/// Client 5, which sends the text, and client 6.
fn counters() -> (Stage<CounterServer>, Cast) {
    let entropy = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    let mut stage = Stage::new(CounterServer::new(CounterServerConfig::default(), entropy));
    let [speaker, other] = [b"5", b"6"].map(|id| {
        let connection = stage.open();
        stage.say(connection, id);
        connection
    });
    stage.say(speaker, b"17 ");
    stage.wait();
    (stage, Cast { speaker, others: vec![other] })
}

#[test]
fn malformed_words_of_a_counter() {
    let too_long = [vec![b'1'; 33], b" ".to_vec()].concat();
    let words: &[&[u8]] = &[
        b"x ",
        b"odd1 ",
        b"Even ",
        b"ODD ",
        b"evenodd ",
        b"9223372036854775808 ",
        b"-9223372036854775809 ",
        b"1.5 ",
        b"0x1 ",
        b"-- ",
        b"+ ",
        b"- ",
        b"1e3 ",
        b"1,000 ",
        b"\xff ",
        b"\0 ",
        b"\x1b[2J ",
        b"\xd9\xa1 ",
        &too_long,
    ];
    for text in words {
        let is_closed = text.len() > 33;
        let is_refusal = |outcome: &Outcome| outcome.is_open != is_closed && outcome.speaker_heard.is_empty();
        refused_alike(text, counters, is_refusal, |stage, cast| {
            assert_eq!(stage.protocol.refused(), 1);
            let mut records = stage.protocol.records();
            assert!(records.any(|(id, record)| id.get() == 5 && record.number == 17), "nothing has changed");
            drop(records);
            stage.say(cast.others[0], b"odd ");
            assert_eq!(stage.heard(cast.others[0]).parse::<u8>().map(|random| random % 2), Ok(1));
        });
    }
}

#[test]
fn invalid_ids_of_a_counter() {
    for id in
        [&b"x"[..], b"-1", b"10001", b"99999999999999999999", b"1.5", b"\xff", b"\0", b"five", b":1", b"0x5"]
    {
        let (mut stage, cast) = counters();
        let speaker = stage.open();
        let cast = Cast { speaker, others: vec![cast.speaker, cast.others[0]] };
        let outcome = outcome(&mut stage, &cast, id, 0);
        assert!(
            !outcome.is_open && outcome.speaker_heard.is_empty(),
            "\"{}\": {outcome:?}",
            id.escape_ascii()
        );
        assert_eq!(outcome.others_heard, ["", ""]);
    }
}
