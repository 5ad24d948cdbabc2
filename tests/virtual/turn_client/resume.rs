//! Turns whose connection is lost: the host is told the true status of each answer, once.

use taketurns::protocol::turns::{AnswerStatus, CommandError, News, Welcome};
use taketurns::session::{Code, How};

use super::talk::{SECRET, Talk, ann, answered, welcome};
use super::turns::{accepted, lost};

/// Returns the news after the welcome.
fn news_behind_welcome(talk: &mut Talk) -> Vec<News> {
    let mut news = talk.news();
    assert!(matches!(news.first(), Some(News::Welcomed(_))), "{news:?}");
    news.split_off(1)
}

fn is_resumed(talk: &mut Talk) -> bool {
    let news = talk.news();
    let [News::Welcomed(welcome)] = &news[..] else { panic!("{news:?}") };
    let Welcome { is_resumed, .. } = **welcome;
    is_resumed
}

/// T22: the secret of the last `WELCOME` is used, even if a later one was lost.
#[test]
fn a_client_resumes_its_seat_with_its_last_secret() {
    let mut talk = Talk::with(ann());
    assert_eq!(talk.hear(&welcome(1, "")), "JOIN ann ring=main\nPING\n");
    assert!(!is_resumed(&mut talk));
    talk.lose();
    let join = format!("JOIN ann ring=main resume={SECRET}\n");
    assert_eq!(talk.open(), join);
    talk.lose();
    assert_eq!(talk.open(), join, "the welcome may have been lost");
    talk.hear(&welcome(1, " last=3").replace(SECRET, &"7".repeat(32)));
    assert!(is_resumed(&mut talk));
    talk.lose();
    assert_eq!(talk.open(), format!("JOIN ann ring=main resume={}\n", "7".repeat(32)));
}

#[test]
fn a_turn_outlives_its_connection() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.resume(1, "");
    assert_eq!(talk.renew(&turn), Err(CommandError::NotConnected), "it may be over");
    assert_eq!(news_behind_welcome(&mut talk), []);
    talk.hear("GO turn=3 within=300\nPONG\n");
    assert!(matches!(talk.news()[..], [News::TimeChanged(_)]));
    assert_eq!(talk.renew(&turn), Ok("PING\nRENEW turn=3\n".to_owned()));
    assert_eq!(talk.answer(&turn, "x"), Ok(answered("x")));
}

/// T23: as long as it is not known to have counted, the same answer is sent into the same turn again, and
/// into no other.
#[test]
fn t23_an_answer_in_flight_is_sent_again_in_its_turn() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    assert_eq!(
        talk.resume(1, " last=1"),
        "PING\n",
        "the server has to say first that the turn is still held"
    );
    assert_eq!(talk.hear("GO turn=3 within=100\n"), answered("x"));
    assert_eq!(talk.hear("GO turn=3 within=900\n"), "", "once on each connection");
    assert_eq!(talk.hear("PONG\n"), "");
    talk.hear("OK turn=3\n");
    let news = news_behind_welcome(&mut talk);
    assert!(matches!(news[..], [News::TimeChanged(_), News::Accepted { .. }]), "{news:?}");
}

#[test]
fn t23_last_confirms_the_answer_in_flight() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.resume(1, " last=3");
    assert_eq!(news_behind_welcome(&mut talk), [accepted(turn)]);
    talk.hear("WAIT ahead=1\nPONG\n");
    assert_eq!(talk.news(), [News::Waiting { ahead: Some(1), needs: None }]);
}

/// It did not count if the server continues without confirming it. A resting seat gets neither `GO` nor
/// `WAIT`, but the pong shows it.
#[test]
fn an_answer_whose_turn_has_passed_is_lost() {
    for line in ["WAIT ahead=0 needs=1\n", "PONG\n", "GO turn=5 within=500\n", "LAPSED turn=3\n"] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.answer(&turn, "x").expect("it is open");
        talk.resume(1, "");
        assert_eq!(news_behind_welcome(&mut talk), []);
        assert_eq!(talk.hear(line), "");
        assert_eq!(talk.news()[0], lost(turn, "x", AnswerStatus::NotCounted), "{line}");
        assert_eq!(talk.hear("PONG\nWAIT ahead=3\n"), "");
    }
}

#[test]
fn a_turn_that_the_host_has_not_answered_is_over_when_another_one_comes() {
    for line in ["WAIT ahead=0\n", "PONG\n", "GO turn=5 within=500\n"] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.resume(1, "");
        talk.hear(line);
        assert_eq!(news_behind_welcome(&mut talk)[0], News::Over { turn, how: None }, "{line}");
        assert_eq!(talk.answer(&turn, "x"), Err(CommandError::StaleTurn));
    }
}

/// M6: the answer is with the server's host, and its `OK` or `NO` will come on this connection.
#[test]
fn m6_an_answer_being_judged_is_kept_and_not_sent_again() {
    for (reply, is_accepted) in [("OK turn=3\n", true), ("NO refused turn=3 :gone\n", false)] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.answer(&turn, "x").expect("it is open");
        assert_eq!(talk.resume(1, " judging=3"), "PING\n");
        assert_eq!(talk.hear("GO turn=3 within=500\nPONG\nWAIT ahead=1\n"), "");
        assert!(!talk.news().iter().any(|news| matches!(news, News::Lost { .. })));
        talk.hear(reply);
        let news = talk.news();
        match is_accepted {
            true => assert!(matches!(news[..], [News::Accepted { turn: of, .. }] if of.fence == turn.fence)),
            false => {
                assert!(matches!(news[..], [News::Refused { code: Code::Refused, .. }, News::Lost { .. }]));
            }
        }
    }
}

#[test]
fn m6_an_answer_that_is_judged_and_refused_may_be_given_again() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.resume(1, " judging=3");
    talk.hear("PONG\nNO refused turn=3 within=300 :no\n");
    let news = talk.news();
    assert!(matches!(news[..], [_, News::Refused { turn: Some(_), .. }]), "{news:?}");
    assert_eq!(talk.answer(&turn, "y"), Ok(answered("y")));
}

/// M5: the verdict came while the client was away.
#[test]
fn m5_an_answer_counts_even_if_its_client_is_away() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.resume(1, " judging=3");
    talk.news();
    talk.resume(1, " last=3");
    assert_eq!(news_behind_welcome(&mut talk), [accepted(turn)]);
}

#[test]
fn an_answer_while_the_connection_is_lost_is_sent_in_its_turn_or_not_at_all() {
    for (go, said) in [("GO turn=3 within=300\n", answered("x")), ("GO turn=5 within=500\n", String::new())] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.lose();
        assert_eq!(talk.answer(&turn, "x").as_deref(), Ok(""));
        talk.open();
        assert_eq!(talk.hear(&welcome(1, "")), "PING\n");
        assert_eq!(talk.hear(go), said);
        let news = news_behind_welcome(&mut talk);
        assert_eq!(news.contains(&lost(turn, "x", AnswerStatus::NotCounted)), said.is_empty(), "{news:?}");
    }
}

#[test]
fn an_answer_for_a_connection_that_is_being_closed_is_not_reported_as_sent() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.links.close(talk.id);
    assert_eq!(talk.answer(&turn, "x").as_deref(), Ok(""));
    talk.resume(2, "");
    assert_eq!(news_behind_welcome(&mut talk), [lost(turn, "x", AnswerStatus::NotCounted)]);
}

/// T31: `last` says something about the answer in flight only in the same epoch.
#[test]
fn t31_another_life_of_the_server_does_not_know() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.resume(2, " last=3");
    assert_eq!(news_behind_welcome(&mut talk), [News::Over { turn, how: None }]);
    for (is_sent, status) in [(true, AnswerStatus::Unknown), (false, AnswerStatus::NotCounted)] {
        let (mut talk, turn) = Talk::with_turn_3();
        if is_sent {
            talk.answer(&turn, "x").expect("it is open");
        }
        talk.lose();
        if !is_sent {
            talk.answer(&turn, "x").expect("it is open");
        }
        talk.open();
        talk.hear(&welcome(2, " last=3"));
        assert_eq!(news_behind_welcome(&mut talk), [lost(turn, "x", status)]);
    }
}

/// T31: the seat is gone, and the client joins again on the next connection, without a command.
#[test]
fn t31_a_client_joins_again_when_its_secret_is_worthless() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.lose();
    talk.open();
    talk.hear("BYE bad-secret :who?\n");
    let news = talk.news();
    assert!(
        matches!(&news[..], [News::Bye(_), news] if *news == lost(turn, "x", AnswerStatus::Unknown)),
        "{news:?}"
    );
    assert!(!talk.is_open() && talk.links.is_confirmed(talk.id), "the next one need not wait");
    talk.lose();
    assert_eq!(talk.open(), "JOIN ann ring=main\n");
    talk.hear(&welcome(1, ""));
    assert!(!is_resumed(&mut talk), "the seat is another one, although the life is the same");
}

#[test]
fn a_turn_given_up_without_a_connection_is_passed_on_the_next_one() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.lose();
    assert_eq!(talk.pass(&turn).as_deref(), Ok(""));
    talk.open();
    talk.hear(&welcome(1, ""));
    assert_eq!(talk.hear("GO turn=3 within=300\nPONG\n"), "PASS turn=3\n");
    assert_eq!(news_behind_welcome(&mut talk), []);
    talk.hear("GO turn=5 within=500\n");
    let news = talk.news();
    assert!(matches!(news[..], [News::Over { how: Some(How::Passed), .. }, News::Granted(_)]), "{news:?}");
}

#[test]
fn an_early_answer_waits_until_the_server_confirms_the_turn() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.resume(1, "");
    assert_eq!(talk.answer(&turn, "x").as_deref(), Ok(""));
    assert_eq!(talk.hear("GO turn=3 within=300\n"), answered("x"));
}

/// Before the `WELCOME` the life of the server is unknown, so its numbers mean nothing.
#[test]
fn a_refusal_before_the_welcome_ends_no_turn() {
    for line in ["NO stale-turn turn=3 :no\n", "NO refused turn=3 within=5 :no\n"] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.answer(&turn, "x").expect("it is open");
        talk.lose();
        talk.open();
        talk.hear(line);
        assert!(matches!(talk.news()[..], [News::Refused { turn: None, .. }]));
        talk.hear(&welcome(1, " last=3"));
        assert_eq!(news_behind_welcome(&mut talk), [accepted(turn)]);
    }
}
