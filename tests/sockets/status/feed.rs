//! The feed: what it reports about turns, how often, and the first messages to a reader. Slow readers are
//! tested in `requests.rs`.

use std::io::Write as _;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::bare::{PATIENCE, connect};
use taketurns::protocol::turns::TurnServerConfig;
use taketurns::status::StatusConfig;

use super::peers::{Player, Reader, play};
use super::server::{Server, turn_server, turns, wait_until};

#[test]
fn the_feed_reports_turns_as_they_are_taken() {
    let server = turn_server();
    let (mut reader, hello) = Reader::begin(server.status);
    assert_eq!(hello["server"], format!("taketurns {}", env!("CARGO_PKG_VERSION")));
    let fields =
        ["protocol", "framing", "turn_deadline_ms", "seat_grace_ms", "min_seats"].map(|name| &hello[name]);
    assert_eq!(serde_json::json!(fields), serde_json::json!(["turns", "line", 30_000, 60_000, 2]));
    assert_eq!(hello["epoch"].as_str().map(str::len), Some(16));
    let state = reader.message("state");
    assert_eq!((&state["draining"], &state["connections"]), (&false.into(), &0.into()));
    assert_eq!((&state["rings"], state.get("hand_over")), (&serde_json::json!([]), None));

    let [mut ann, bob] = play(&server, 3);
    let state = reader.state_with("three turns", |state| state["turns"]["answered"] == 3);
    let ring = &state["rings"][0];
    assert_eq!((&ring["name"], &ring["turn"], &ring["paused"]), (&"main".into(), &4.into(), &false.into()));
    assert_eq!((&ring["holder"]["seat"], &ring["holder"]["turn"]), (&2.into(), &4.into()));
    assert_eq!((&ring["holder"]["name"], &ring["holder"]["within_ms"]), (&"bob".into(), &30_000.into()));
    let counts = serde_json::json!({"waiting": 1, "resting": 0, "holding": 1, "judged": 0, "away": 0});
    assert_eq!(ring["counts"], counts);
    let mut seats = ring["seats"].clone();
    for seat in seats.as_array_mut().expect("a list") {
        let held = seat.as_object_mut().and_then(|seat| seat.remove("held_us"));
        assert!(held.is_some_and(|held| held.is_u64()), "{ring}");
    }
    assert_eq!(
        seats,
        serde_json::json!([
            {"seat": 1, "state": "waiting", "name": "ann", "answer": "3", "turn": 3},
            {"seat": 2, "state": "holding", "name": "bob", "answer": "2", "turn": 2},
        ])
    );
    assert_eq!((&ring["seats_left_out"], &state["rings_left_out"]), (&0.into(), &0.into()));

    drop(bob);
    let state = reader.state_with("a seat that is away", |state| state["rings"][0]["counts"]["away"] == 1);
    let ring = &state["rings"][0];
    assert_eq!((&ring["seats"][1]["state"], ring.get("holder")), (&"away".into(), None), "{state}");
    let left = ring["seats"][1]["grace_left_ms"].as_u64().expect("a grace");
    assert!((50_000..=60_000).contains(&left), "{left} ms");
    ann.say("PASS");
    let state = reader.state_with("a refusal", |state| state["refusals"]["not-your-turn"] == 1);
    assert_eq!(state["turns"]["gone"], 1);
}

#[test]
fn a_large_ring_is_shown_in_part_and_the_rest_is_counted() {
    let server = turn_server();
    let mut players: Vec<_> = (0..70).map(|_| connect(server.addr)).collect();
    for (player, nth) in players.iter_mut().zip(1..) {
        player.write_all(format!("JOIN p{nth} ring=r{}\n", nth % 10 / 9).as_bytes()).expect("it reads");
    }
    for nth in 0..8 {
        let mut player = connect(server.addr);
        player.write_all(format!("JOIN x ring=x{nth}\n").as_bytes()).expect("it reads");
        players.push(player);
    }
    let (mut reader, _) = Reader::begin(server.status);
    let full = |state: &Value| {
        state["rings"].as_array().is_some_and(|rings| rings.len() == 8) && state["connections"] == 78
    };
    let state = reader.state_with("all rings", |state| full(state) && state["rings_left_out"] == 2);
    let seats = |ring: &Value| ring["seats"].as_array().expect("a list").len() as u64;
    for ring in state["rings"].as_array().expect("a list") {
        assert_eq!(
            ring["counts"].as_object().map(|counts| counts.values().filter_map(Value::as_u64).sum()),
            Some(seats(ring) + ring["seats_left_out"].as_u64().expect("a number"))
        );
        assert!(seats(ring) <= 64);
    }
}

#[test]
fn the_feed_sends_one_to_ten_messages_per_second() {
    let server = turn_server();
    let (mut reader, _) = Reader::begin(server.status);
    // Measured by the server's clock, so that it does not matter when messages are read.
    let uptime = |state: &Value| state["uptime_ms"].as_u64().expect("a number");
    let first = reader.message("state");
    let before = reader.message("state");
    let quiet = uptime(&before) - uptime(&first);
    assert!(quiet >= 900, "nothing has happened, and it says so after {quiet} ms");

    let (enough, is_enough) = channel();
    let players = std::thread::spawn(move || {
        let mut players = ["ann", "bob"].map(|name| Player::join(server.addr, name));
        let mut number = 0;
        while is_enough.try_recv().is_err() {
            number += 1;
            players[usize::try_from((number + 1) % 2).expect("0 or 1")].play(number);
        }
    });
    let messages = 10;
    let states: Vec<_> = (0..messages).map(|_| reader.message("state")).collect();
    enough.send(()).expect("they play");
    players.join().expect("they play");
    let last = &states[states.len() - 1];
    let took = uptime(last) - uptime(&before);
    assert!(messages * 100 <= took + 1, "{messages} messages in {took} ms");
    assert!(took < messages * 500, "{messages} messages in {took} ms are as few as of a quiet server");
    let answered = last["turns"]["answered"].as_u64().expect("a number");
    assert!(answered > messages, "{answered} turns, as many as messages");
}

#[test]
fn a_reader_is_not_told_about_earlier_hand_overs() {
    let server = turn_server();
    let mut players = play(&server, 6);
    server.wait_for_metric("taketurns_hand_over_seconds_count", 6.0);
    let (mut reader, _) = Reader::begin(server.status);
    assert_eq!(reader.message("state").get("hand_over"), None);
    players[0].play(7);
    let state = reader.state_with("a hand-over", |state| state.get("hand_over").is_some());
    assert_eq!(state["hand_over"]["count"], 1);
}

/// The time that the turn has left must be current.
#[test]
fn the_first_message_to_a_reader_has_the_current_state() {
    let config = StatusConfig { heartbeat: PATIENCE, ..StatusConfig::default() };
    let server = Server::start(turns(TurnServerConfig::default()), config);
    let uptime = |state: &Value| state["uptime_ms"].as_u64().expect("a number");
    let (mut first, _) = Reader::begin(server.status);
    let before = uptime(&first.message("state"));
    let begun = Instant::now();
    wait_until("a while", || begun.elapsed() > Duration::from_millis(300));
    let (mut second, _) = Reader::begin(server.status);
    let after = uptime(&second.message("state"));
    assert!(after >= before + 200, "{before} ms, and then {after} ms");
}
