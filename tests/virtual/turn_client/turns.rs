//! Turns whose connection stays.

use std::time::Duration;

use taketurns::protocol::Protocol as _;
use taketurns::protocol::turns::{AnswerStatus, ClientEvent, ClientTurn, CommandError, News};
use taketurns::session::{Code, Epoch, How};
use taketurns::turn::TurnNumber;

use super::talk::{Talk, answered};

pub(crate) fn accepted(turn: ClientTurn) -> News {
    News::Accepted { turn, words: None }
}

pub(crate) fn lost(turn: ClientTurn, answer: &str, status: AnswerStatus) -> News {
    News::Lost { turn, answer: answer.as_bytes().into(), status }
}

fn refused(code: Code, turn: Option<ClientTurn>, words: &str) -> News {
    News::Refused { code, turn, words: Some(words.into()) }
}

/// Returns the turn with `ms` milliseconds left from now.
fn until(talk: &Talk, turn: ClientTurn, ms: u64) -> ClientTurn {
    let mut turn = turn;
    turn.deadline = Some(talk.now.instant + Duration::from_millis(ms));
    turn
}

#[test]
fn the_host_is_asked_once_and_its_answer_is_sent_once() {
    let (mut talk, turn) = Talk::with_turn_3();
    assert_eq!(turn.fence, TurnNumber::new(3).map(|number| (Epoch(1), number)));
    assert_eq!(turn.deadline, Some(talk.now.instant + Duration::from_millis(500)));
    assert_eq!(talk.said(), "", "it waits for its host");
    assert_eq!(talk.answer(&turn, "e2 e4"), Ok(answered("e2 e4")));
    assert_eq!(talk.answer(&turn, "e2 e4"), Err(CommandError::StaleTurn));
    assert_eq!(talk.news(), []);
    talk.hear("OK turn=3\n");
    assert_eq!(talk.news(), [accepted(turn)]);
    talk.hear("GO turn=5 within=500\n");
    let next = talk.granted();
    assert_eq!(talk.answer(&turn, "late"), Err(CommandError::StaleTurn), "that was the one before");
    assert_eq!(talk.answer(&next, ""), Ok("ANSWER turn=5 epoch=0000000000000001 :\n".to_owned()));
}

#[test]
fn an_answer_is_any_bytes_up_to_the_limit() {
    let (mut talk, turn) = Talk::with_turn_3();
    let too_large = vec![0; 16 * 1024 + 1];
    let result = talk.client.answer(talk.now, &turn, &too_large, &mut talk.links);
    assert_eq!(result, Err(CommandError::TooLarge));
    let said = talk.answer(&turn, "a\nLEAVE\n").expect("it is open");
    assert_eq!(said, "ANSWER turn=3 epoch=0000000000000001 bytes=8\na\nLEAVE\n\n");
}

#[test]
fn an_answer_that_is_accepted_comes_with_the_words_of_the_server() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.hear("OK turn=3 :check\n");
    assert_eq!(talk.news(), [News::Accepted { turn, words: Some("check".into()) }]);
}

#[test]
fn the_next_go_can_confirm_the_last_answer() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.hear("GO turn=4 within=500 last=3\n");
    let news = talk.news();
    assert!(
        matches!(news[..], [News::Accepted { turn: of, .. }, News::Granted(_)] if of == turn),
        "{news:?}"
    );
}

/// After a refusal the turn is still held, and the host may answer again.
#[test]
fn a_refused_answer_leaves_the_turn_open() {
    for code in [Code::Refused, Code::NotJudged, Code::TooLarge, Code::Malformed] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.answer(&turn, "e2 e5").expect("it is open");
        talk.hear(&format!("NO {code} turn=3 within=300 :no\n"));
        let held = until(&talk, turn, 300);
        assert_eq!(talk.news(), [refused(code, Some(held), "no")]);
        assert_eq!(talk.answer(&held, "e2 e4"), Ok(answered("e2 e4")), "{code}");
        talk.hear("OK turn=3\n");
        assert_eq!(talk.news(), [accepted(held)]);
    }
}

#[test]
fn a_refusal_without_time_left_ends_the_turn() {
    for code in [Code::StaleTurn, Code::NotYourTurn, Code::Refused, Code::NotJudged] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.answer(&turn, "x").expect("it is open");
        talk.hear(&format!("NO {code} turn=3 :over\n"));
        assert_eq!(
            talk.news(),
            [refused(code, None, "over"), lost(turn, "x", AnswerStatus::NotCounted)],
            "{code}"
        );
        assert_eq!(talk.answer(&turn, "x"), Err(CommandError::StaleTurn));
    }
}

/// A stale turn is over, even if another one is held, whose time the server gives.
#[test]
fn a_refusal_of_another_turn_does_not_affect_this_one() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.hear("NO stale-turn turn=2 within=400 :no\nNO malformed :no\n");
    let expected = [refused(Code::StaleTurn, None, "no"), refused(Code::Malformed, None, "no")];
    assert_eq!(talk.news(), expected);
    talk.hear("NO stale-turn turn=3 within=400 :no\n");
    assert_eq!(
        talk.news(),
        [refused(Code::StaleTurn, None, "no"), lost(turn, "x", AnswerStatus::NotCounted)]
    );
}

#[test]
fn only_the_time_changes_with_a_go_for_the_same_turn() {
    let (mut talk, turn) = Talk::with_turn_3();
    assert_eq!(talk.renew(&turn), Ok("PING\nRENEW turn=3\n".to_owned()));
    assert_eq!(talk.hear("GO turn=3 within=900\n"), "");
    let longer = until(&talk, turn, 900);
    assert_eq!(talk.news(), [News::TimeChanged(longer)]);

    // Even while the answer is under way, which is not sent again.
    assert_eq!(talk.answer(&turn, "x"), Ok(answered("x")), "it is the same turn, whenever it ends");
    assert_eq!(talk.hear("GO turn=3 within=2000\n"), "");
    assert_eq!(talk.news(), [News::TimeChanged(until(&talk, turn, 2000))]);
    assert_eq!(talk.renew(&turn), Err(CommandError::StaleTurn), "it is answered");
}

/// The server's host may have given more time before it read the `RENEW`. Only what follows the `PONG` counts
/// from the `PING`.
#[test]
fn a_turn_is_certainly_held_from_when_the_last_answered_ping_was_sent() {
    let (mut talk, turn) = Talk::with_turn_3();
    let ms = |ms: u64| Duration::from_millis(ms);
    talk.hear("PONG\n");
    let joined = talk.now.instant;
    talk.pass_time(ms(100));
    talk.renew(&turn).expect("it is open");
    let renewed = talk.now.instant;
    talk.pass_time(ms(50));
    talk.hear("GO turn=3 within=700\n");
    assert_eq!(talk.client.sure_until(&turn), Some(joined + ms(700)), "said perhaps long before the renewal");
    talk.hear("PONG\nGO turn=3 within=900\n");
    assert_eq!(talk.client.sure_until(&turn), Some(renewed + ms(900)));
    talk.hear("NO hold-max turn=3 within=200 :too long\n");
    assert_eq!(talk.client.sure_until(&turn), Some(renewed + ms(200)));
    talk.hear("LAPSED turn=3\n");
    assert_eq!(talk.client.sure_until(&turn), None, "it is over");
}

#[test]
fn a_turn_that_cannot_be_renewed_lasts_until_its_end() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.renew(&turn).expect("it is open");
    talk.answer(&turn, "x").expect("it is open");
    talk.hear("NO hold-max turn=3 within=100 :no\n");
    assert_eq!(talk.news(), [refused(Code::HoldMax, None, "no")], "the answer has its own reply");
    talk.hear("OK turn=3\n");
    assert!(matches!(talk.news()[..], [News::Accepted { .. }]));

    let (mut talk, turn) = Talk::with_turn_3();
    talk.renew(&turn).expect("it is open");
    talk.hear("NO hold-max turn=3 within=100 :no\n");
    assert_eq!(talk.news(), [refused(Code::HoldMax, Some(until(&talk, turn, 100)), "no")]);
}

#[test]
fn a_turn_that_the_server_no_longer_knows_is_over() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.renew(&turn).expect("it is open");
    talk.hear("NO not-your-turn turn=3 :no\n");
    assert_eq!(talk.news(), [refused(Code::NotYourTurn, None, "no"), News::Over { turn, how: None }]);
}

#[test]
fn a_turn_that_lapses_is_over_and_takes_no_answer() {
    for (line, how) in [("LAPSED turn=3\n", How::Lapsed), ("LAPSED turn=3 how=skipped\n", How::Skipped)] {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.hear("LAPSED turn=2\n");
        assert_eq!(talk.news(), [], "another one");
        talk.hear(line);
        assert_eq!(talk.news(), [News::Over { turn, how: Some(how) }]);
        assert_eq!(talk.answer(&turn, "x"), Err(CommandError::StaleTurn));
        assert_eq!(talk.pass(&turn), Err(CommandError::StaleTurn));
        assert_eq!(talk.said(), "");
    }
}

/// `WAIT` and `GO` may overtake the reply to an answer.
#[test]
fn a_late_answer_is_reported_as_lost() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.hear("LAPSED turn=3\nWAIT ahead=1\n");
    assert_eq!(talk.news(), [News::Waiting { ahead: Some(1), needs: None }], "its reply is still to come");
    talk.hear("NO stale-turn turn=3 :late\n");
    assert_eq!(
        talk.news(),
        [refused(Code::StaleTurn, None, "late"), lost(turn, "x", AnswerStatus::NotCounted)]
    );

    let (mut talk, turn) = Talk::with_turn_3();
    talk.answer(&turn, "x").expect("it is open");
    talk.hear("LAPSED turn=3\nGO turn=5 within=500\n");
    let news = talk.news();
    assert_eq!(news[0], lost(turn, "x", AnswerStatus::NotCounted));
    let News::Granted(next) = news[1] else { panic!("{news:?}") };
    talk.hear("NO stale-turn turn=3 :late\n");
    assert_eq!(talk.news(), [refused(Code::StaleTurn, None, "late")], "the new turn is not meant");
    talk.answer(&next, "y").expect("it is open");
}

#[test]
fn a_turn_can_be_given_up() {
    let (mut talk, turn) = Talk::with_turn_3();
    assert_eq!(talk.pass(&turn), Ok("PASS turn=3\n".to_owned()));
    assert_eq!(talk.answer(&turn, "x"), Err(CommandError::StaleTurn));
    assert_eq!(talk.news(), []);
    talk.hear("GO turn=3 within=900\n");
    assert_eq!(talk.news(), [], "the time of a turn that was given up is of no interest");
    talk.hear("OK turn=3\n");
    assert!(matches!(talk.news()[..], [News::Over { how: Some(How::Passed), .. }]));
}

#[test]
fn a_turn_whose_end_is_refused_is_still_held() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.pass(&turn).expect("it is open");
    talk.hear("NO malformed turn=3 within=300 :no\n");
    assert_eq!(talk.news(), [refused(Code::Malformed, Some(until(&talk, turn, 300)), "no")]);
    talk.answer(&turn, "x").expect("it is open");
}

#[test]
fn a_turn_may_be_answered_after_its_time_by_our_clock() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.pass_time(Duration::from_secs(1));
    assert!(turn.deadline.is_some_and(|deadline| deadline < talk.now.instant));
    assert_eq!(talk.answer(&turn, "x"), Ok(answered("x")), "the server decides");
}

/// Ten thousand clients may be told about their turns in one pass.
#[test]
fn an_event_is_small() {
    assert!(size_of::<ClientEvent>() <= 80, "{}", size_of::<ClientEvent>());
}

/// The first turns allocate for all later ones.
#[test]
fn a_steady_turn_allocates_nothing() {
    let mut talk = Talk::welcomed();
    talk.hear("PONG\n");
    talk.news();
    let mut play = |turns: std::ops::Range<u8>| {
        let mut accepted = 0;
        for _ in turns {
            for line in ["GO turn=3 within=500\n", "OK turn=3\n"] {
                talk.client.handle_bytes(talk.now, talk.id, line.as_bytes(), &mut talk.links);
                while let Some(event) = talk.client.poll_event() {
                    match event.news {
                        News::Granted(turn) => {
                            let answer = b"an answer of 22 bytes.";
                            talk.client.answer(talk.now, &turn, answer, &mut talk.links).expect("it is open");
                        }
                        News::Accepted { .. } => accepted += 1,
                        other => panic!("{other:?}"),
                    }
                }
                talk.links.consume(talk.id, talk.links.unsent(talk.id).len());
                talk.links.take_touched();
                talk.client.handle_flushed(talk.now, &mut talk.links);
            }
        }
        accepted
    };
    assert_eq!(play(0..10), 10);
    let allocated = allocation_counter::measure(|| assert_eq!(play(0..100), 100));
    assert_eq!(allocated.count_total, 0);
}
