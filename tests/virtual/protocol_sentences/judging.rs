//! A host that judges answers: its verdicts (M3, M4).

use support::{ms, secs};
use taketurns::protocol::turns::{TurnEvent, Verdict};
use taketurns::turn::HostError;

use super::start::{heads, holder, judged_config, line_ring, turn};

/// M3: if accepted with words, the turn moves on, and the answer counts once.
#[test]
fn m03_an_accepted_proposal_counts() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
    world.say(ann.peer, "ANSWER turn=1 :b2");
    world.drive_for(secs(1));
    assert_eq!((world.heard(ann.peer), world.heard(bob.peer), world.answers.len()), (vec![], vec![], 0));
    assert_eq!(world.proposals[0].answer().text(), Some("b2"));
    world.rule(Verdict::Accept { next: None, words: Some("well played"), state: None });
    assert_eq!(world.heard(ann.peer), ["OK turn=1 :well played"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    assert_eq!(world.accepted(), ["ann:b2"]);
    world.say(ann.peer, "ANSWER turn=1 :b2");
    assert_eq!((world.heard(ann.peer), world.answers.len()), (vec!["OK turn=1".to_owned()], 1));
    let counts = world.server().counts();
    assert_eq!((counts.proposed, counts.accepted, counts.repeated), (1, 1, 1));
}

/// M3: if refused with words, the holder keeps the turn, its number, and the time that was left at its
/// answer.
#[test]
fn m03_a_refused_proposal_leaves_the_turn_with_the_time_that_was_left() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
    world.drive_for(secs(10));
    world.say(ann.peer, "ANSWER turn=1 :b2");
    world.drive_for(secs(2));
    world.refuse("that square is taken");
    assert_eq!(world.heard(ann.peer), ["NO refused turn=1 within=20000 :that square is taken"]);
    world.say(ann.peer, "ANSWER turn=1 :b2");
    assert_eq!(world.proposals.len(), 1, "a refused answer may be given again");
    world.refuse("still");
    world.drive_for(secs(20) - ms(1));
    assert_eq!(world.heard(bob.peer), [""; 0]);
    world.drive_for(ms(1));
    assert_eq!(world.heard(ann.peer)[1], "LAPSED turn=1");
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// M3: the host may name the next seat, which may be the holder. After that the order continues.
#[test]
fn m03_a_verdict_may_name_the_next_seat() {
    let (mut world, [ann, bob, cid]) = line_ring(judged_config(), ["ann", "bob", "cid"]);
    world.say(ann.peer, "ANSWER :1");
    let next = Some(world.seat("cid"));
    world.rule(Verdict::Accept { next, words: None, state: None });
    assert_eq!(world.heard(cid.peer), ["GO turn=2 within=30000"]);
    world.say(cid.peer, "ANSWER :2");
    let next = Some(world.seat("cid"));
    world.rule(Verdict::Accept { next, words: None, state: None });
    assert_eq!(world.heard(cid.peer), ["OK turn=2", "GO turn=3 within=30000"], "once more");
    world.say(cid.peer, "ANSWER :3");
    world.accept();
    assert_eq!(world.heard(bob.peer), ["GO turn=4 within=30000"]);
}

/// M4: a verdict whose next seat cannot be next changes nothing. The proposal is returned and can be ruled
/// on.
#[test]
fn m04_a_verdict_that_names_an_impossible_next_seat_changes_nothing() {
    let (mut world, [ann, bob, _]) = line_ring(judged_config(), ["ann", "bob", "cid demand=ask"]);
    world.reset(bob.peer);
    world.say(ann.peer, "ANSWER :1");
    for (next, error) in [("cid", HostError::Resting), ("bob", HostError::Away)] {
        let next = Some(world.seat(next));
        let unruled =
            world.try_rule(Verdict::Accept { next, words: None, state: None }).expect_err("cannot be next");
        assert_eq!(unruled.error, error);
        world.proposals.push_front(unruled.proposal.expect("it can be ruled on"));
        assert_eq!((world.heard(ann.peer), world.answers.len()), (vec![], 0));
    }
    world.accept();
    assert_eq!(world.heard(ann.peer), ["OK turn=1", "GO turn=2 within=30000"]);
}

/// M4: a verdict for a turn that is over is an error for the host and changes nothing.
#[test]
fn m04_a_late_verdict_changes_nothing() {
    for late in [Verdict::ACCEPT, Verdict::Refuse { words: "no" }] {
        let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
        world.say(ann.peer, "ANSWER :1");
        world.drive_for(secs(5));
        assert_eq!(turn(&world), Some(2));
        let unruled = world.try_rule(late).expect_err("too late");
        assert_eq!((unruled.error, unruled.proposal.is_none()), (HostError::NotJudged, true));
        assert_eq!(heads(&world.heard(ann.peer)), ["NO not-judged turn=1", "LAPSED turn=1"]);
        assert_eq!((world.heard(bob.peer).len(), world.answers.len(), turn(&world)), (1, 0, Some(2)));
    }
}

/// M3, M4: a turn is judged for at most 5 s in total, however many proposals there are. The host is told.
#[test]
fn m03_a_turn_is_judged_for_the_judging_timeout_in_total() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
    for _ in 0..4 {
        world.say(ann.peer, "ANSWER :1");
        world.drive_for(secs(1));
        world.refuse("no");
        world.heard(ann.peer);
        world.drive_for(secs(1));
    }
    world.say(ann.peer, "ANSWER :1");
    world.drive_for(secs(1) - ms(1));
    assert_eq!((world.heard(ann.peer), world.heard(bob.peer)), (vec![], vec![]));
    world.drive_for(ms(1));
    assert_eq!(heads(&world.heard(ann.peer)), ["NO not-judged turn=1", "LAPSED turn=1"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    let not_judged =
        world.new_events().iter().filter(|(_, event)| matches!(event, TurnEvent::NotJudged { .. })).count();
    assert_eq!((not_judged, world.server().counts().not_judged), (1, 1));
}

/// M3: the 16th refusal ends the turn. Illegal moves every 0.9 s keep it no longer than `hold_max` +
/// `judging_timeout`.
#[test]
fn m03_the_sixteenth_refusal_ends_the_turn() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
    for nth in 1..=16 {
        world.drive_for(ms(900));
        world.say(ann.peer, "ANSWER :illegal");
        world.refuse("no");
        let heard = world.heard(ann.peer);
        if nth < 16 {
            assert_eq!(heard.len(), 1, "{heard:?}");
            assert!(heard[0].contains(" within="), "{heard:?}");
        } else {
            assert_eq!(heads(&heard), ["NO refused turn=1", "LAPSED turn=1"]);
        }
    }
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// M15: a host that never rules costs each turn at most `hold_max` + `judging_timeout`.
#[test]
fn m15_a_host_that_never_rules_keeps_the_bound() {
    let (mut world, members) = line_ring(judged_config(), ["ann", "bob", "cid"]);
    for _ in 0..12 {
        world.drive_for(secs(29));
        let holder =
            members.iter().find(|member| Some(&member.name) == holder(&world).as_ref()).expect("a holder");
        world.say(holder.peer, "ANSWER :1");
        world.drive_for(secs(5));
    }
    assert_eq!(turn(&world), Some(13), "34 s each");
    let longest = world.server().scheduler().longest_wait(world.ring("main"));
    assert_eq!((longest.waited, longest.bound), (secs(68), Some(secs(70))));
}

/// M4: a proposal that the host drops is refused as `not-judged`, and this is logged.
#[test]
fn m04_a_dropped_proposal_is_refused() {
    crate::logged::listen_to_log();
    let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
    world.drive_for(secs(1));
    world.say(ann.peer, "ANSWER :1");
    crate::logged::take_log();
    world.proposals.clear();
    world.say(ann.peer, "PING");
    let heard = world.heard(ann.peer);
    assert!(heard.iter().any(|line| line.starts_with("NO not-judged turn=1 within=29000 :")), "{heard:?}");
    assert!(crate::logged::take_log().iter().any(|(_, line)| line.contains("gave no verdict")));
    world.say(ann.peer, "ANSWER :1");
    world.accept();
    assert_eq!(world.accepted(), ["ann:1"]);
}

/// M4: a skip and a drain refuse an answer that is being judged.
#[test]
fn m04_a_skipped_or_drained_proposal_is_refused() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
    world.say(ann.peer, "ANSWER :1");
    let ring = world.ring("main");
    world.act(|server, now, links| server.skip(now, ring, links)).expect("a turn is held");
    assert_eq!(heads(&world.heard(ann.peer)), ["NO not-judged turn=1", "LAPSED turn=1 how=skipped"]);
    assert!(world.try_rule(Verdict::ACCEPT).is_err());
    world.heard(bob.peer);
    world.say(bob.peer, "ANSWER :2");
    world.drain();
    world.drive_for(secs(3));
    let heard = world.heard(bob.peer);
    assert!(heard[0].starts_with("NO not-judged turn=2 "), "{heard:?}");
    assert_eq!(heads(&heard).last().map(String::as_str), Some("BYE shutting-down"));
    assert_eq!(world.answers.len(), 0);

    // A verdict during the drain counts.
    let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
    world.say(ann.peer, "ANSWER :1");
    world.drain();
    world.drive_for(secs(1));
    world.accept();
    assert_eq!(heads(&world.heard(ann.peer)), ["OK turn=1", "BYE shutting-down"]);
    assert_eq!(world.accepted(), ["ann:1"]);
}
