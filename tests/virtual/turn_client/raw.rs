//! The raw framing, in which a client is not told whether its answers count.

use taketurns::protocol::Protocol as _;
use taketurns::protocol::turns::{
    AnswerStatus, ClientConfig, ClientTurn, CommandError, ConfigError, End, News, SeatRequest, TurnClient,
};
use taketurns::turn::{Demand, Weight};
use taketurns::wire::Framing;

use super::talk::{DIAL, Talk, ann, raw};
use super::turns::{accepted, lost};

const WAITING: News = News::Waiting { ahead: None, needs: None };

fn with_turn() -> (Talk, ClientTurn) {
    let mut talk = Talk::with(raw());
    talk.hear("GO");
    let turn = talk.granted();
    (talk, turn)
}

/// Lets the host answer without the network taking it.
fn queue(talk: &mut Talk, turn: &ClientTurn, answer: &str) {
    talk.client.answer(talk.now, turn, answer.as_bytes(), &mut talk.links).expect("it is open");
}

#[test]
fn a_number_counts_once_it_is_written() {
    let (mut talk, turn) = with_turn();
    assert_eq!((turn.fence, turn.deadline), (None, None));
    queue(&mut talk, &turn, "17");
    talk.client.handle_flushed(talk.now, &mut talk.links);
    assert_eq!(talk.news(), [], "the network has not taken it");
    assert_eq!(talk.said(), "ann:17");
    assert_eq!(talk.news(), [accepted(turn)]);
    assert_eq!(talk.answer(&turn, "18"), Err(CommandError::StaleTurn));
}

/// The legacy server runs its signals together, and sends `WAIT` at any time.
#[test]
fn signals_may_run_together_and_be_split_anywhere() {
    let signals = "WAITWAITGOWAIT";
    for at in 0..=signals.len() {
        let mut talk = Talk::with(raw());
        talk.hear(&signals[..at]);
        talk.hear(&signals[at..]);
        let news = talk.news();
        assert!(matches!(&news[..], [WAITING, WAITING, News::Granted(_), WAITING]), "{at}: {news:?}");
        assert!(talk.links.is_confirmed(talk.id));
    }
    // Half a signal belongs to its connection, and is kept while that lasts.
    let mut talk = Talk::with(raw());
    talk.hear("G");
    talk.lose();
    talk.open();
    talk.hear("O");
    assert_eq!(talk.news(), []);
    ["W", "A", "I", "T"].iter().for_each(|byte| drop(talk.hear(byte)));
    assert_eq!((talk.news(), talk.unconsumed()), (vec![WAITING], 0));
}

#[test]
fn bytes_that_are_no_signal_are_skipped() {
    let mut talk = Talk::with(raw());
    talk.hear("BYE malformed\x1b[2J\r\nWAGO");
    talk.granted();
}

#[test]
fn at_most_one_go_is_unanswered() {
    let (mut talk, turn) = with_turn();
    talk.hear("GOGO");
    assert_eq!(talk.news(), []);
    assert_eq!(talk.answer(&turn, "1").as_deref(), Ok("ann:1"));
    assert_eq!(talk.news(), [accepted(turn)], "one turn, one number");
}

/// The client may read the next `GO` before it notices that the answer was written, or even before it was. In
/// neither case is a number sent twice.
#[test]
fn a_go_while_a_number_is_being_sent_is_the_next_turn() {
    for is_written in [true, false] {
        let (mut talk, turn) = with_turn();
        queue(&mut talk, &turn, "1");
        if is_written {
            talk.links.consume(talk.id, "ann:1".len());
        }
        talk.client.handle_bytes(talk.now, talk.id, b"GO", &mut talk.links);
        if !is_written {
            assert_eq!(talk.news(), []);
            assert_eq!(talk.said(), "ann:1");
        }
        let news = talk.news();
        let [first, News::Granted(next)] = &news[..] else { panic!("{news:?}") };
        assert_eq!(*first, accepted(turn));
        assert_eq!(talk.answer(&turn, "1"), Err(CommandError::StaleTurn));
        assert_eq!(talk.answer(next, "2").as_deref(), Ok("ann:2"));
    }
}

#[test]
fn a_turn_ends_with_its_connection() {
    let (mut talk, first) = with_turn();
    talk.lose();
    assert_eq!(talk.news(), [News::Over { turn: first, how: None }]);
    talk.open();
    talk.hear("GO");
    let second = talk.granted();
    assert_eq!(talk.answer(&first, "17"), Err(CommandError::StaleTurn));
    assert_eq!(talk.answer(&second, "17").as_deref(), Ok("ann:17"));
    assert_eq!(talk.news(), [accepted(second)]);
}

#[test]
fn a_number_that_was_being_sent_may_have_counted() {
    for taken in [0, 4] {
        let (mut talk, turn) = with_turn();
        queue(&mut talk, &turn, "17");
        talk.hear_go_unwritten();
        talk.links.consume(talk.id, taken);
        talk.lose();
        assert_eq!(talk.news(), [lost(turn, "17", AnswerStatus::Unknown)], "{taken} bytes of it were taken");
        talk.open();
        assert_eq!(talk.news(), [], "the next GO was the lost connection's");
    }
    let (mut talk, turn) = with_turn();
    queue(&mut talk, &turn, "17");
    talk.links.consume(talk.id, 6);
    talk.lose();
    assert_eq!(talk.news(), [accepted(turn)], "it was written, and only not noticed");
}

impl Talk {
    fn hear_go_unwritten(&mut self) {
        self.client.handle_bytes(self.now, self.id, b"GO", &mut self.links);
    }
}

#[test]
fn a_number_for_a_connection_that_is_being_closed_is_not_reported_as_sent() {
    let (mut talk, turn) = with_turn();
    talk.links.close(talk.id);
    assert_eq!(talk.answer(&turn, "17").as_deref(), Ok(""));
    talk.lose();
    assert_eq!(talk.news(), [lost(turn, "17", AnswerStatus::NotCounted)]);
}

#[test]
fn an_answer_is_a_number() {
    let (mut talk, turn) = with_turn();
    for text in ["", "x", "1.5", "+1", " 1", "9223372036854775808", "1:2"] {
        assert_eq!(talk.answer(&turn, text), Err(CommandError::NotANumber), "{text}");
    }
    assert_eq!(talk.answer(&turn, "-9223372036854775808").as_deref(), Ok("ann:-9223372036854775808"));
}

#[test]
fn passing_a_turn_closes_the_connection() {
    let (mut talk, turn) = with_turn();
    talk.pass(&turn).expect("it is open");
    assert!(talk.is_aborted(), "there is no message for it");
    talk.lose();
    assert!(matches!(talk.news()[..], [News::Over { .. }]));
}

#[test]
fn a_raw_client_has_no_other_commands() {
    let (mut talk, turn) = with_turn();
    assert_eq!(talk.renew(&turn), Err(CommandError::NotInRaw));
    for command in [TurnClient::ask, TurnClient::rest, TurnClient::ping] {
        assert_eq!(talk.command(command), Err(CommandError::NotInRaw));
    }
}

#[test]
fn a_raw_client_leaves_with_its_answer_written() {
    let (mut talk, turn) = with_turn();
    queue(&mut talk, &turn, "17");
    talk.hear_go_unwritten();
    assert_eq!(talk.command(TurnClient::leave).as_deref(), Ok("ann:17"));
    assert!(!talk.is_open() && !talk.is_aborted());
    assert_eq!(talk.news(), [accepted(turn)], "and no further turn is begun");
    talk.lose();
    assert_eq!(talk.news(), [News::Ended { why: End::Left, dial: Some(DIAL) }]);
    talk.open();
    assert!(talk.is_aborted());

    let mut talk = Talk::with(raw());
    talk.lose();
    talk.command(TurnClient::leave).expect("it is there");
    assert_eq!(talk.news(), [News::Ended { why: End::Left, dial: Some(DIAL) }]);
}

#[test]
fn settings_that_the_framing_cannot_express_are_refused() {
    let seat = ann().seat.expect("it has one");
    let of = |seat: SeatRequest| ClientConfig { framing: Framing::Raw, ..ClientConfig::from(seat) };
    let bad = [
        of(SeatRequest { weight: Weight::MAX, ..seat }),
        of(SeatRequest { demand: Demand::Ask, ..seat }),
        of(SeatRequest { hears: true, ..seat }),
        of(SeatRequest { confirms_by_go: true, ..seat }),
        ClientConfig { ring: "x".parse().expect("a name"), ..raw() },
        ClientConfig { token: "x".parse().ok(), ..raw() },
        ClientConfig { ping_interval: Some(std::time::Duration::from_secs(1)), ..raw() },
        ClientConfig { seat: None, ..raw() },
    ];
    for config in bad {
        let error = TurnClient::new().add(config).expect_err("the framing cannot express it");
        let ConfigError::NotInRaw(what) = error else { panic!("{error}") };
        assert_eq!(error.to_string(), format!("a client of the raw framing cannot {what}"));
    }
}

#[test]
fn a_raw_client_that_drains_closes_when_all_is_written() {
    let (mut talk, turn) = with_turn();
    queue(&mut talk, &turn, "17");
    assert_eq!(talk.drain(), "ann:17");
    assert_eq!(talk.news(), [accepted(turn)]);
    assert!(!talk.is_open() && !talk.is_aborted());
}
