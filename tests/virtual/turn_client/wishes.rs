//! Asking, resting, leaving, draining.

use std::time::Duration;

use taketurns::protocol::Protocol as _;
use taketurns::protocol::turns::{
    AnswerStatus, ClientConfig, CommandError, End, News, SeatRequest, TurnClient,
};
use taketurns::session::How;
use taketurns::turn::Demand;

use super::talk::{DIAL, Talk, ann, welcome};
use super::turns::{accepted, lost};

/// Returns a client that rests until it asks.
fn lock() -> Talk {
    let seat = SeatRequest { demand: Demand::Ask, ..ann().seat.expect("it has one") };
    let mut talk = Talk::with(ClientConfig::from(seat));
    assert_eq!(talk.said(), "JOIN ann ring=main demand=ask\n");
    talk
}

fn ended(why: End) -> News {
    News::Ended { why, dial: Some(DIAL) }
}

#[test]
fn a_resting_seat_asks_for_one_turn() {
    let mut talk = lock();
    talk.hear(&welcome(1, ""));
    assert_eq!(talk.command(TurnClient::ask).as_deref(), Ok("ASK\n"));
    talk.hear("WAIT ahead=2\nGO turn=3 within=500\n");
    let news = talk.news();
    assert!(matches!(news[..], [_, News::Waiting { ahead: Some(2), .. }, News::Granted(_)]), "{news:?}");
}

/// The request stands until the turn is granted, whatever happens. Asking does not move a seat that already
/// waits.
#[test]
fn a_request_for_a_turn_is_kept_until_it_is_granted() {
    let mut talk = lock();
    assert_eq!(talk.command(TurnClient::ask).as_deref(), Ok(""), "it has no seat yet");
    assert_eq!(talk.hear(&welcome(1, "")), "PING\nASK\n");
    talk.hear("WAIT ahead=2\n");
    assert_eq!(talk.resume(1, ""), "PING\nASK\n");
    assert_eq!(talk.resume(2, ""), "PING\nASK\n");
    talk.hear("GO turn=3 within=500\n");
    assert_eq!(talk.resume(2, ""), "PING\n");
    talk.hear("GO turn=3 within=500\n");
    // The holder asks for one more turn.
    assert_eq!(talk.command(TurnClient::ask).as_deref(), Ok("ASK\n"));
    talk.hear("GO turn=3 within=500\n");
    assert_eq!(talk.resume(2, ""), "PING\nASK\n");
    talk.hear("GO turn=4 within=500\n");
    assert_eq!(talk.resume(2, ""), "PING\n");
}

#[test]
fn a_waiting_seat_repeats_its_rest_until_it_is_confirmed() {
    let mut talk = Talk::welcomed();
    assert_eq!(talk.command(TurnClient::rest).as_deref(), Ok("REST\n"));
    assert_eq!(talk.resume(1, ""), "PING\nREST\n");
    talk.hear("OK turn=9\n");
    assert_eq!(talk.resume(1, ""), "PING\nREST\n", "that was for something else");
    talk.news();
    talk.hear("OK\n");
    assert_eq!(talk.news(), [News::Confirmed { words: None }]);
    assert_eq!(talk.resume(1, ""), "PING\n");
}

#[test]
fn a_holder_that_rests_gives_its_turn_up() {
    for ok in ["OK\n", "OK turn=3\n"] {
        let (mut talk, turn) = Talk::with_turn_3();
        assert_eq!(talk.command(TurnClient::rest).as_deref(), Ok("REST\n"));
        assert_eq!(talk.answer(&turn, "x"), Err(CommandError::StaleTurn));
        // It is sent in one form only, even if the connection is lost meanwhile.
        assert_eq!(talk.resume(1, ""), "PING\nREST\n");
        assert_eq!(talk.hear("GO turn=3 within=100\n"), "");
        talk.news();
        talk.hear(ok);
        assert!(matches!(talk.news()[..], [News::Over { how: Some(How::Passed), .. }]));
        assert_eq!(talk.resume(1, ""), "PING\n");
    }
}

/// M6: `REST` is answered with `NO judging`.
#[test]
fn m6_a_seat_whose_answer_is_judged_does_not_rest() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.command(TurnClient::rest).expect("it has a seat");
    talk.hear("NO judging turn=3 within=400 :wait\nOK turn=3\n");
    let news = talk.news();
    assert!(
        matches!(news[..], [News::Refused { turn: None, .. }, News::Accepted { .. }]),
        "the answer has its own reply: {news:?}"
    );
    assert_eq!(talk.resume(1, ""), "PING\n");
}

#[test]
fn a_client_that_leaves_ends_when_the_server_has_confirmed_it() {
    let (mut talk, turn) = Talk::with_turn_3();
    assert_eq!(talk.command(TurnClient::leave).as_deref(), Ok("LEAVE\n"));
    assert_eq!(talk.answer(&turn, "x"), Err(CommandError::Ended));
    assert_eq!(talk.command(TurnClient::leave), Err(CommandError::Ended));
    assert_eq!(talk.news(), []);
    talk.hear("BYE left :goodbye\n");
    let news = talk.news();
    assert!(matches!(news[0], News::Bye(_)));
    assert_eq!(news[1..], [News::Over { turn, how: None }, ended(End::Left)]);
    assert!(!talk.is_open());
    talk.lose();
    talk.open();
    assert!(!talk.is_open(), "it does not come back");
}

/// `LEAVE` takes effect after the verdict.
#[test]
fn an_answer_in_flight_counts_before_its_client_leaves() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.command(TurnClient::leave).expect("it has a seat");
    talk.hear("OK turn=3\nBYE left :goodbye\n");
    let news = talk.news();
    assert_eq!((&news[0], &news[2]), (&accepted(turn), &ended(End::Left)));
}

#[test]
fn a_client_leaves_when_it_is_back() {
    let (mut talk, _) = Talk::with_turn_3();
    talk.lose();
    assert_eq!(talk.command(TurnClient::leave).as_deref(), Ok(""));
    talk.open();
    assert_eq!(talk.hear(&welcome(1, "")), "LEAVE\n");
    talk.lose();
    talk.open();
    talk.news();
    talk.hear("BYE bad-secret :who?\n");
    let news = talk.news();
    assert!(news.contains(&ended(End::Left)), "its seat is gone, and that is what it wanted: {news:?}");

    // The server has not answered its hello yet, or knows nothing about the client.
    let mut talk = Talk::with(ann());
    talk.said();
    assert_eq!(talk.command(TurnClient::leave).as_deref(), Ok(""));
    assert_eq!(talk.hear(&welcome(1, "")), "LEAVE\n");
    let mut talk = Talk::with(ann());
    talk.lose();
    talk.command(TurnClient::leave).expect("it is there");
    assert_eq!(talk.news(), [ended(End::Left)]);
}

#[test]
fn a_draining_client_leaves_and_waits_for_its_replies() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    assert_eq!(talk.drain(), "LEAVE\n");
    assert_eq!(talk.command(TurnClient::ask), Err(CommandError::Ended));
    assert!(talk.is_open());
    talk.hear("OK turn=3\nBYE left :goodbye\n");
    assert_eq!(talk.news()[0], accepted(turn));
    assert!(!talk.is_open());

    // A server that does not answer is not waited for.
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.drain();
    talk.pass_time(Duration::from_millis(999));
    assert!(talk.is_open());
    talk.pass_time(Duration::from_millis(1));
    assert!(!talk.is_open());
    talk.lose();
    assert_eq!(talk.news(), [lost(turn, "x", AnswerStatus::Unknown)]);
    assert_eq!(talk.client.next_deadline(), None);
}

#[test]
fn a_client_without_a_seat_has_nothing_to_wait_for_when_it_drains() {
    let mut talk = Talk::with(ann());
    talk.said();
    assert_eq!(talk.drain(), "");
    assert!(!talk.is_open());

    for (is_sent, status) in [(true, AnswerStatus::Unknown), (false, AnswerStatus::NotCounted)] {
        let (mut talk, turn) = Talk::with_turn_3();
        if is_sent {
            talk.answer(&turn, "x").expect("it is open");
        }
        talk.lose();
        if !is_sent {
            talk.answer(&turn, "x").expect("it is open");
        }
        talk.drain();
        assert_eq!(talk.news(), [lost(turn, "x", status)]);
        talk.open();
        assert!(!talk.is_open(), "nothing is begun any more");
    }
}

#[test]
fn a_watcher_has_no_seat_to_ask_with() {
    let mut talk = Talk::with(ClientConfig::watch("main".parse().expect("a name")));
    assert_eq!(talk.said(), "WATCH ring=main\n");
    for command in [TurnClient::ask, TurnClient::rest] {
        assert_eq!(talk.command(command), Err(CommandError::NoSeat));
    }
    talk.hear("WATCHING main epoch=1f turn=4\n");
    assert!(matches!(talk.news()[..], [News::Watching { turn: Some(_), .. }]));
    assert_eq!(talk.command(TurnClient::leave).as_deref(), Ok("LEAVE\n"));
    talk.hear("BYE left :goodbye\n");
    assert_eq!(talk.news()[1], ended(End::Left));
}
