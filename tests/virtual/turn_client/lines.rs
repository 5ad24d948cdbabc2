//! Everything else that a server may send: to hearers, in any split, unknown, early, or nonsense.

use taketurns::protocol::turns::{ClientConfig, Heard, How, Name, News, ReportedState};
use taketurns::turn::TurnNumber;

use super::talk::{SECRET, Talk, ann, welcome};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn heard(heard: Heard) -> News {
    News::Heard(Box::new(heard))
}

/// Everything that hearers can be told.
const ROUND: &str = "SEAT bob seat=2 state=holding weight=3\nSEATS main seats=1\nJOINED eve seat=3\nAWAY eve\nBACK eve\n\
    BEGIN bob turn=4 within=250\nTURN bob turn=4 as=Bob :e2 e4\nTURN bob turn=5 bytes=3\na\nb\n\
    SKIP bob turn=6 how=lapsed\nLEFT eve\nPAUSED main\nRESUMED main\nSAY :hello\nSAY bytes=2\n\n\n\n";

fn round() -> Vec<News> {
    let turn = |number| TurnNumber::new(number).expect("not 0");
    let (bob, eve) = (name("bob"), name("eve"));
    let (answer, more) = (b"e2 e4".as_slice().into(), b"a\nb".as_slice().into());
    vec![
        heard(Heard::Seat { name: bob, seat: 2, state: ReportedState::Holding, weight: 3 }),
        heard(Heard::Seats { seats: 1 }),
        heard(Heard::Joined { name: eve, seat: 3 }),
        heard(Heard::Away(eve)),
        heard(Heard::Back(eve)),
        heard(Heard::Began { name: bob, turn: turn(4), within: std::time::Duration::from_millis(250) }),
        heard(Heard::Answered { name: bob, turn: turn(4), raw_name: Some(name("Bob")), answer }),
        heard(Heard::Answered { name: bob, turn: turn(5), raw_name: None, answer: more }),
        heard(Heard::Skipped { name: bob, turn: turn(6), how: How::Lapsed }),
        heard(Heard::Left(eve)),
        heard(Heard::Paused),
        heard(Heard::Resumed),
        News::Said(b"hello".as_slice().into()),
        News::Said(b"\n\n".as_slice().into()),
    ]
}

#[test]
fn a_watcher_hears_everything_that_happens() {
    let mut talk = Talk::with(ClientConfig::watch(name("main")));
    talk.hear("WATCHING main epoch=1f\n");
    talk.hear(ROUND);
    assert_eq!(talk.news()[1..], round());
}

/// L1: how bytes are split never affects messages.
#[test]
fn l1_every_split_of_the_bytes_has_the_same_effect() {
    for at in 0..=ROUND.len() {
        let mut talk = Talk::welcomed();
        talk.hear(&ROUND[..at]);
        talk.hear(&ROUND[at..]);
        assert_eq!(talk.news(), round(), "split at {at}");
        assert_eq!(talk.unconsumed(), 0);
    }
    let mut talk = Talk::welcomed();
    ROUND.chars().for_each(|c| drop(talk.hear(&c.to_string())));
    assert_eq!(talk.news(), round());
}

#[test]
fn an_unknown_line_reaches_the_host() {
    let mut talk = Talk::welcomed();
    talk.hear("SCORE ann points=3 :well done\nIMAGE bytes=3\n\x00\n\x01\nGO turn=4\nBEGIN a:b turn=4 within=1\nSAY :x\n");
    let unknown = |line: &str, payload: Option<&[u8]>| News::Unknown {
        line: line.into(),
        payload: payload.map(Into::into),
    };
    assert_eq!(
        talk.news(),
        [
            unknown("SCORE ann points=3 :well done", None),
            unknown("IMAGE bytes=3", Some(b"\x00\n\x01")),
            unknown("GO turn=4", None),
            unknown("BEGIN a:b turn=4 within=1", None),
            News::Said(b"x".as_slice().into()),
        ]
    );
}

#[test]
fn l7_an_unknown_line_is_passed_on_without_its_secrets() {
    let mut talk = Talk::welcomed();
    talk.hear(&format!("WELCOMES ann resume={SECRET} name=J\u{f6}rg\nHELLO J\u{f6}rg\n"));
    let news = talk.news();
    let [News::Unknown { line, .. }, News::Unknown { line: other, .. }] = &news[..] else {
        panic!("{news:?}")
    };
    assert!(line.starts_with("WELCOMES ann resume=...") && !line.contains(SECRET), "{line}");
    assert_eq!(&**other, "HELLO J\u{f6}rg");
}

#[test]
fn everything_before_the_welcome_is_ignored() {
    let mut talk = Talk::with(ann());
    talk.hear("GO turn=1 within=5\nWAIT ahead=1\nOK turn=1\nSAY bytes=3\nGO\n\nLAPSED turn=1\nSCORE :x\nWATCHING main epoch=1\n");
    assert_eq!(talk.news(), []);
    talk.hear("NO malformed :what?\nPONG\n");
    assert!(matches!(talk.news()[..], [News::Refused { turn: None, .. }]));
    talk.hear(&welcome(1, ""));
    assert!(matches!(talk.news()[..], [News::Welcomed(_)]));
}

#[test]
fn a_connection_is_closed_if_a_message_of_the_server_has_no_end() {
    let long = "x".repeat(1025);
    for bytes in
        [&long, "SAY bytes=2\nabc\n", "SAY bytes=2 bytes=2\n", "SAY bytes=65537\n", "SAY bytes=1 :x\n"]
    {
        let mut talk = Talk::welcomed();
        talk.hear(bytes);
        assert!(talk.is_aborted(), "{bytes}");
        assert_eq!(talk.news(), []);
    }
    let mut talk = Talk::welcomed();
    talk.hear(&"x".repeat(1024));
    assert!(talk.is_open());
    let mut talk = Talk::welcomed();
    talk.hear(&format!("SAY bytes=65536\n{}\n", "x".repeat(65536)));
    assert_eq!(talk.news().len(), 1);
}

/// Bytes that are not text, in a payload and in a line.
#[test]
fn a_line_that_is_not_utf8_ends_the_connection() {
    use taketurns::protocol::Protocol as _;
    let mut talk = Talk::welcomed();
    talk.client.handle_bytes(talk.now, talk.id, b"SAY bytes=1\n\xff\n", &mut talk.links);
    assert_eq!(talk.news(), [News::Said(b"\xff".as_slice().into())]);
    talk.client.handle_bytes(talk.now, talk.id, b"SAY :\xff\n", &mut talk.links);
    assert!(talk.is_aborted());
}

/// A client that receives much at once, and has much to send, stops until its output is written.
#[test]
fn nothing_after_the_end_of_a_connection_has_an_effect() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.hear("BYE shutting-down :bye\nLAPSED turn=3\nGO turn=4 within=5\n");
    assert_eq!(talk.news().len(), 1);
    assert_eq!(talk.answer(&turn, "x").as_deref(), Ok(""), "it is kept");
}
