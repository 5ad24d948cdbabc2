//! Property tests of both directions: messages survive being written, split and read, and hostile bytes do no
//! harm.

use fastrand::Rng;

use super::*;
use crate::turn::{Demand, TurnNumber};
use crate::wire::message::{Limits, split_line, split_payload};

const ROUNDS: u64 = 3000;

/// A text of up to `max` characters, some plain, some not.
fn text(rng: &mut Rng, max: usize) -> String {
    let some = ['a', 'y', ' ', ':', '=', '-', '5', '\t', '\u{e9}', '\u{1f600}', '\u{202e}', '\u{a0}'];
    (0..rng.usize(..=max)).map(|_| *rng.choice(&some).expect("some")).collect()
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => (0..rng.usize(..2000)).map(|_| rng.u8(..)).collect(),
        1 => b"LEAVE\nANSWER bytes=5\n".repeat(rng.usize(..3)),
        2 => text(rng, 1100).into_bytes(),
        _ => text(rng, 10).into_bytes(),
    }
}

fn name(rng: &mut Rng) -> String {
    let some = ['a', 'Z', '0', '-', '\u{e9}', '\u{738b}', '"', '\''];
    (0..rng.usize(1..=20)).map(|_| *rng.choice(&some).expect("some")).collect()
}

fn perhaps<T>(rng: &mut Rng, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| value(rng))
}

fn number(rng: &mut Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn turn(rng: &mut Rng) -> TurnNumber {
    TurnNumber::new(number(rng).max(1)).expect("not 0")
}

/// Texts for a message to borrow from.
struct Texts {
    name: String,
    ring: String,
    words: String,
    content: Vec<u8>,
}

impl Texts {
    fn new(rng: &mut Rng) -> Texts {
        Texts { name: name(rng), ring: name(rng), words: text(rng, 1100), content: bytes(rng) }
    }
}

fn request<'a>(rng: &mut Rng, texts: &'a Texts) -> Request<'a> {
    let ring = texts.ring.parse().expect("a name");
    let token = Token::new("ey.x=:").filter(|_| rng.bool());
    let fence = Fence { turn: perhaps(rng, number), epoch: perhaps(rng, |rng| Epoch(rng.u64(..))) };
    match rng.u8(..9) {
        0 => Request::Join(Join {
            name: texts.name.parse().expect("a name"),
            ring,
            resume: perhaps(rng, |_| "000102030405060708090a0b0c0d0e0f"),
            weight: perhaps(rng, number),
            demand: perhaps(rng, |rng| if rng.bool() { Demand::Always } else { Demand::Ask }),
            hears: rng.bool(),
            confirms_by_go: rng.bool(),
            token,
        }),
        1 => Request::Answer { fence, content: Content::Payload(rng.usize(..10_000)) },
        2 => Request::Pass { turn: fence.turn },
        3 => Request::Renew { turn: fence.turn },
        4 => Request::Ask,
        5 => Request::Rest,
        6 => Request::Leave,
        7 => Request::Watch { ring, token },
        _ => Request::Ping,
    }
}

fn reply<'a>(rng: &mut Rng, texts: &'a Texts) -> Reply<'a> {
    let Texts { name, ring, words, content } = texts;
    let (epoch, words) = (Epoch(rng.u64(..)), perhaps(rng, |_| words.as_str()));
    let how = *rng.choice(How::ALL).expect("some");
    match rng.u8(..21) {
        0 => Reply::Welcome {
            name,
            seat: number(rng),
            ring,
            epoch,
            resume: Secret::new(rng.u128(..).to_be_bytes()),
            last: perhaps(rng, turn),
            judging: perhaps(rng, turn),
        },
        1 => Reply::Watching { ring, epoch, turn: perhaps(rng, turn) },
        2 => Reply::Seat {
            name,
            seat: number(rng),
            state: *rng.choice(ReportedState::ALL).expect("some"),
            weight: perhaps(rng, |rng| rng.u8(..)),
        },
        3 => Reply::Seats { ring, seats: rng.usize(..) },
        4 => Reply::Wait { ahead: rng.usize(..), needs: perhaps(rng, |rng| rng.usize(..)) },
        5 => Reply::Go { turn: turn(rng), within: number(rng), last: perhaps(rng, turn) },
        6 => Reply::Ok { turn: perhaps(rng, turn), words },
        7 => Reply::No {
            code: *rng.choice(Code::ALL).expect("some"),
            turn: perhaps(rng, number),
            within: perhaps(rng, number),
            words,
        },
        8 => Reply::Lapsed { turn: turn(rng), how: perhaps(rng, |_| how) },
        9 => Reply::Say { content },
        10 => Reply::Begin { name, turn: turn(rng), within: number(rng) },
        11 => Reply::Turn { name, turn: turn(rng), raw_name: perhaps(rng, |_| ring.as_str()), content },
        12 => Reply::Skip { name, turn: turn(rng), how },
        13 => Reply::Joined { name, seat: number(rng) },
        14 => Reply::Away { name },
        15 => Reply::Back { name },
        16 => Reply::Left { name },
        17 => Reply::Paused { ring },
        18 => Reply::Resumed { ring },
        19 => Reply::Pong,
        _ => Reply::Bye {
            code: *rng.choice(Bye::ALL).expect("some"),
            at: perhaps(rng, |_| "[::1]:5001"),
            words,
        },
    }
}

/// A line, its payload, and how many bytes both took.
type Received<'i> = (&'i str, Option<&'i [u8]>, usize);

/// The first message of `input`; `None` if it is not complete.
fn first(input: &[u8]) -> Option<Result<Received<'_>, ()>> {
    let limits = Limits::for_answers(16 * 1024);
    let line = match split_line(input, &limits) {
        Ok(line) => line?,
        Err(_) => return Some(Err(())),
    };
    let Some(bytes) = line.payload else { return Some(Ok((line.text, None, line.used))) };
    match split_payload(&input[line.used..], bytes) {
        Ok(payload) => payload.map(|(payload, used)| Ok((line.text, Some(payload), line.used + used))),
        Err(_) => Some(Err(())),
    }
}

/// Whether its words fit a line. Longer ones are cut, and so do not survive.
fn fits(reply: &Reply<'_>) -> bool {
    match reply {
        Reply::Ok { words, .. } | Reply::No { words, .. } | Reply::Bye { words, .. } => {
            words.is_none_or(|words| words.len() < 800)
        }
        _ => true,
    }
}

/// The reply as it is read back, with the code's own words where it had none.
fn with_words(reply: Reply<'_>) -> Reply<'_> {
    match reply {
        Reply::No { code, turn, within, words } => {
            Reply::No { code, turn, within, words: words.or(Some(code.words())) }
        }
        Reply::Bye { code, at, words } => Reply::Bye { code, at, words: words.or(Some(code.words())) },
        reply => reply,
    }
}

#[test]
fn every_request_is_read_as_it_was_written() {
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let texts = Texts::new(&mut rng);
        let (request, mut out) = (request(&mut rng, &texts), Vec::new());
        request.encode(&mut out);
        let line = std::str::from_utf8(&out).expect("UTF-8").strip_suffix('\n').expect("a line");
        assert_eq!(Request::parse(line), Ok(request), "seed {seed}");
    }
}

#[test]
fn every_answer_is_read_as_it_was_written() {
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let answer = bytes(&mut rng);
        let fence =
            Fence { turn: perhaps(&mut rng, number), epoch: perhaps(&mut rng, |rng| Epoch(rng.u64(..))) };
        let mut out = Vec::new();
        Request::encode_answer(&mut out, fence, &answer);
        let (line, payload, used) = first(&out).expect("whole").expect("fine");
        let Ok(Request::Answer { fence: read, content }) = Request::parse(line) else { panic!("{line}") };
        let bytes = match content {
            Content::Text(text) => text.as_bytes(),
            Content::Payload(size) => payload.filter(|payload| payload.len() == size).expect("announced"),
        };
        assert_eq!((read, bytes, used), (fence, &answer[..], out.len()), "seed {seed}");
    }
}

#[test]
fn every_reply_is_read_as_it_was_written() {
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let texts = Texts::new(&mut rng);
        let (reply, mut out) = (reply(&mut rng, &texts), Vec::new());
        reply.encode(&mut out);
        let (line, payload, used) = first(&out).expect("whole").expect("fine");
        assert_eq!(used, out.len(), "seed {seed}");
        let read = Reply::parse(line, payload).expect(line);
        if fits(&reply) {
            assert_eq!(read, with_words(reply), "seed {seed}");
        }
    }
}

/// L1
#[test]
fn a_stream_of_messages_is_the_same_however_it_is_split() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let (mut stream, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..rng.usize(1..20) {
            let texts = Texts::new(&mut rng);
            reply(&mut rng, &texts).encode(&mut stream);
            ends.push(stream.len());
        }
        let (mut begin, mut read) = (0, Vec::new());
        let mut come = 0;
        while come < stream.len() {
            come = (come + rng.usize(1..=50)).min(stream.len());
            while let Some(message) = first(&stream[begin..come]) {
                begin += message.expect("fine").2;
                read.push(begin);
            }
        }
        assert_eq!(read, ends, "seed {seed}");
    }
}

/// L13
#[test]
fn the_contents_of_a_payload_are_never_carried_out() {
    for head in
        ["ANSWER turn=3 turn=4 bytes=6", "NONSENSE  bytes=6", "PASS bytes=6", "ANSWER bytes=6", "bytes=6 "]
    {
        let stream = format!("{head}\nLEAVE\n\nPING\n");
        let (line, payload, used) = first(stream.as_bytes()).expect("whole").expect("fine");
        assert_eq!((line, payload, &stream[used..]), (head, Some(&b"LEAVE\n"[..]), "PING\n"));
    }
}

/// A2
#[test]
fn hostile_bytes_never_panic_and_end() {
    let pieces: [&[u8]; 18] = [
        b"JOIN ",
        b"ANSWER ",
        b"TURN ",
        b"WELCOME ",
        b"bytes=",
        b"turn=",
        b"epoch=",
        b" :",
        b" ",
        b"\n",
        b"\r",
        b"=",
        b"5",
        b"0123456789abcdef",
        b"\xff",
        b"\xc3\xa9",
        b"\x00",
        b"\xe2\x80",
    ];
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let stream: Vec<u8> =
            (0..rng.usize(..60)).flat_map(|_| rng.choice(pieces).expect("some").to_vec()).collect();
        let _ = (
            looks_foreign(&stream),
            Redacted(&stream).to_string(),
            Name::from_bytes(&stream),
            RawName::from_bytes(&stream),
        );
        let mut rest = &stream[..];
        while let Some(Ok((line, payload, used))) = first(rest) {
            assert!(used > 0, "it makes progress");
            if let Err(unreadable) = Request::parse(line) {
                assert!(matches!(unreadable.code, Code::Malformed | Code::OutOfRange));
            }
            let _ = Reply::parse(line, payload);
            rest = &rest[used..];
        }
    }
}
