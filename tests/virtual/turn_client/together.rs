//! Our clients with our server, over losses and restarts, in both framings.

use std::collections::{BTreeMap, BTreeSet};

use support::{ms, secs};
use taketurns::protocol::turns::{
    AnswerStatus, ClientConfig, ClientEvent, ClientId, ClientTurn, News, SeatRequest, TurnServerConfig,
    Verdict,
};
use taketurns::turn::{Demand, Judging};
use taketurns::wire::Framing;

use super::pair::Pair;

fn config() -> TurnServerConfig {
    TurnServerConfig::default()
}

/// Each second client of the line protocol has its answers confirmed by `GO`.
fn client(nth: i64, framing: Framing) -> ClientConfig {
    let mut seat = SeatRequest::new(format!("Client{nth}").parse().expect("a name"));
    seat.confirms_by_go = framing == Framing::Line && nth % 2 == 0;
    ClientConfig { framing, ..ClientConfig::from(seat) }
}

/// A host whose clients count: each from its index, in steps of their number.
struct Counting {
    next: BTreeMap<ClientId, i64>,
    /// Turns that wait for their answers.
    open: Vec<ClientTurn>,
    step: i64,
    /// The accepted numbers, as the clients know them.
    known: BTreeMap<ClientId, Vec<i64>>,
    is_raw: bool,
}

impl Counting {
    fn begin(pair: &mut Pair, framings: &[Framing]) -> Counting {
        let step = i64::try_from(framings.len()).expect("few");
        let mut next = BTreeMap::new();
        for (framing, start) in framings.iter().zip(1..) {
            let id = pair.add(client(start, *framing));
            next.insert(id, start);
        }
        Counting {
            next,
            open: Vec::new(),
            step,
            known: BTreeMap::new(),
            is_raw: framings.contains(&Framing::Raw),
        }
    }

    fn hear(&mut self, event: ClientEvent) {
        let next = self.next.get_mut(&event.client).expect("one of ours");
        match event.news {
            News::Granted(turn) => self.open.push(turn),
            News::Over { turn, .. } => self.open.retain(|open| open.client != turn.client),
            News::Accepted { .. } => {
                self.known.entry(event.client).or_default().push(*next);
                *next += self.step;
            }
            // A raw number is never sent twice.
            News::Lost { status: AnswerStatus::Unknown, .. } if self.is_raw => *next += self.step,
            _ => {}
        }
    }

    /// Answers every 10 ms.
    fn run(&mut self, pair: &mut Pair, ms_long: u64) {
        for _ in 0..ms_long.div_ceil(10) {
            pair.drive_for(ms(10), |_, event| self.hear(event));
            for turn in std::mem::take(&mut self.open) {
                let number = self.next[&turn.client].to_string();
                pair.answer(&turn, &number).expect("nobody said that it is over");
            }
        }
    }

    /// Answers every second.
    fn run_slowly(&mut self, pair: &mut Pair, ms_long: u64) {
        for _ in 0..ms_long.div_ceil(1_000) {
            pair.drive_for(secs(1), |_, event| self.hear(event));
            self.run(pair, 10);
        }
    }

    /// Checks that each client's numbers, as it knows them, are the exact sequence.
    fn assert_no_gap_and_no_repetition(&self, context: &str) {
        for (known, start) in self.known.values().zip(1..) {
            let expected: Vec<_> = (0..).map(|n| start + n * self.step).take(known.len()).collect();
            assert_eq!(*known, expected, "{context}");
        }
    }

    fn count(&self) -> usize {
        self.known.values().map(Vec::len).sum()
    }
}

/// Returns the numbers that the server has accepted.
fn accepted(pair: &Pair) -> Vec<i64> {
    let number = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).parse().expect("a number");
    pair.world.answers.iter().map(|answer| number(&answer.bytes)).collect()
}

/// L12: old and new clients take turns in one ring, with the same promises.
#[test]
fn l12_two_clients_alternate_in_any_framings() {
    for framings in [[Framing::Line; 2], [Framing::Raw; 2], [Framing::Raw, Framing::Line]] {
        let mut pair = Pair::new(config(), 3);
        let mut host = Counting::begin(&mut pair, &framings);
        // A connection that is silent for 300 ms is taken for a raw client.
        host.run(&mut pair, 2_000);
        let numbers = accepted(&pair);
        assert!(numbers.len() > 10, "{framings:?}: {numbers:?}");
        assert!(
            numbers.windows(2).all(|pair| pair[0] % 2 != pair[1] % 2),
            "{framings:?} alternate: {numbers:?}"
        );
        host.assert_no_gap_and_no_repetition(&format!("{framings:?}"));
    }
}

/// T31, with T22 and T23: lives of the server come and go under clients that answer as fast as they can, and
/// they lose nothing.
#[test]
fn t31_clients_survive_any_number_of_losses_and_restarts() {
    for seed in 0..8 {
        let mut pair = Pair::new(config(), seed);
        let mut host = Counting::begin(&mut pair, &[Framing::Line; 2]);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..12 {
            let pause = rng.u64(1..600);
            host.run(&mut pair, pause);
            match rng.u8(0..5) {
                0 => {
                    pair.world.kill_server();
                    host.run(&mut pair, 200);
                    pair.world.start_server();
                }
                1 => pair.break_client_end(rng.usize(0..2)),
                2 => pair.break_connection(rng.usize(0..2)),
                way => {
                    // One direction is broken until the client notices, the other is not.
                    let at = rng.usize(0..2);
                    if let Some(peer) = pair.peer(at) {
                        if way == 3 {
                            pair.world.lose_down(peer);
                        } else {
                            pair.world.lose_up(peer);
                        }
                        host.run(&mut pair, pause);
                        pair.break_connection(at);
                    }
                }
            }
        }
        // A half-broken connection that holds the turn has 30 s.
        host.run_slowly(&mut pair, 31_000);
        let before = host.count();
        host.run(&mut pair, 3_000);
        assert!(host.count() > before + 20, "seed {seed}: it lives");
        host.assert_no_gap_and_no_repetition(&format!("seed {seed}"));
    }
}

/// A raw number counts once it is written, and is never sent twice over any number of lost connections.
#[test]
fn a_raw_client_never_sends_a_number_twice() {
    for seed in 0..8 {
        let mut pair = Pair::new(config(), seed);
        let mut host = Counting::begin(&mut pair, &[Framing::Raw; 2]);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..15 {
            host.run(&mut pair, rng.u64(0..1000));
            let at = rng.usize(0..2);
            if let Some(peer) = pair.peer(at) {
                match rng.u8(0..3) {
                    0 => pair.world.lose_down(peer),
                    1 => pair.world.break_writes(peer),
                    _ => {}
                }
            }
            host.run(&mut pair, rng.u64(0..100));
            pair.break_connection(at);
        }
        host.run(&mut pair, 5_000);
        let numbers = accepted(&pair);
        let unique: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(unique.len(), numbers.len(), "seed {seed}: {numbers:?}");
        for rest in [0, 1] {
            let of_one: Vec<_> = numbers.iter().filter(|&&number| number % 2 == rest).collect();
            assert!(of_one.is_sorted() && of_one.len() > 5, "seed {seed}: {numbers:?}");
        }
    }
}

/// Clients whose host is slow, and is told the status of each answer.
#[derive(Default)]
struct Told {
    open: Vec<ClientTurn>,
    answers: usize,
    given: BTreeMap<ClientId, String>,
    fates: BTreeMap<String, Option<AnswerStatus>>,
}

impl Told {
    fn hear(&mut self, event: ClientEvent) {
        let client = event.client;
        match event.news {
            News::Granted(turn) | News::Refused { turn: Some(turn), .. } => {
                self.open.retain(|open| open.client != client);
                self.open.push(turn);
            }
            News::Over { .. } => self.open.retain(|open| open.client != client),
            News::Accepted { .. } => self.note(client, None),
            News::Lost { answer, status, .. } => {
                assert_eq!(*answer, *self.given[&client].as_bytes());
                self.note(client, Some(status));
            }
            _ => {}
        }
    }

    fn note(&mut self, client: ClientId, status: Option<AnswerStatus>) {
        let answer = self.given.remove(&client).expect("it has answered");
        assert!(self.fates.insert(answer, status).is_none(), "it had a status already");
    }

    /// Answers some of the open turns, and passes others.
    fn work(&mut self, pair: &mut Pair, rng: &mut fastrand::Rng) {
        for turn in std::mem::take(&mut self.open) {
            match rng.u8(..8) {
                0 => pair.pass(&turn).expect("nobody said that it is over"),
                1..=4 => self.open.push(turn),
                _ => {
                    self.answers += 1;
                    let answer = format!("answer\n{}", self.answers);
                    pair.answer(&turn, &answer).expect("nobody said that it is over");
                    self.given.insert(turn.client, answer);
                }
            }
        }
    }

    fn judge(&self, pair: &Pair, context: &str) {
        let counted: Vec<_> = pair
            .world
            .answers
            .iter()
            .map(|answer| String::from_utf8_lossy(&answer.bytes).into_owned())
            .collect();
        let unique: BTreeSet<_> = counted.iter().collect();
        assert_eq!(unique.len(), counted.len(), "{context}: an answer counts twice");
        for (answer, status) in &self.fates {
            match status {
                None => assert!(unique.contains(answer), "{context}: {answer:?} does not count"),
                Some(AnswerStatus::NotCounted) => {
                    assert!(!unique.contains(answer), "{context}: {answer:?} counts");
                }
                Some(AnswerStatus::Unknown) => {}
            }
        }
    }
}

/// T22, T23, T31, M5, M6, M14 and M16: each answer is accepted, lost for good, or of unknown status, and the
/// host is told which, once.
#[test]
fn the_host_is_told_the_fate_of_every_answer() {
    let mut fates = [0; 3];
    for seed in 0..16 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut server = config();
        server.rules.turn_deadline = ms(400);
        server.rules.seat_grace = secs(2);
        server.rules.turn_grace = ms(if seed % 2 == 0 { 0 } else { 300 });
        server.rules.judging = if seed % 4 < 2 { Judging::Host } else { Judging::Automatic };
        let mut pair = Pair::new(server, seed);
        let ids = ["ann", "bob", "cid"].map(|name| {
            let mut seat = SeatRequest::new(name.parse().expect("a name"));
            seat.demand = if name == "cid" { Demand::Ask } else { Demand::Always };
            seat.confirms_by_go = rng.bool();
            pair.add(ClientConfig::from(seat))
        });
        let mut host = Told::default();
        for _ in 0..200 {
            let (pause, at) = (rng.u64(0..100), rng.usize(0..3));
            pair.drive_for(ms(pause), |_, event| host.hear(event));
            host.work(&mut pair, &mut rng);
            while !pair.world.proposals.is_empty() && rng.bool() {
                let verdict = if rng.u8(..3) > 0 { Verdict::ACCEPT } else { Verdict::Refuse { words: "no" } };
                // A verdict that comes too late is an error and changes nothing.
                let _ = pair.world.try_rule(verdict);
            }
            match rng.u8(0..40) {
                0 => {
                    pair.world.kill_server();
                    pair.world.proposals.clear();
                    pair.drive_for(ms(pause * 10), |_, event| host.hear(event));
                    pair.world.start_server();
                }
                1 => pair.break_client_end(at),
                2 | 3 => pair.break_connection(at),
                4 | 5 => {
                    if let Some(peer) = pair.peer(at) {
                        if pause % 2 == 0 {
                            pair.world.lose_down(peer);
                        } else {
                            pair.world.lose_up(peer);
                        }
                        pair.drive_for(ms(pause), |_, event| host.hear(event));
                        host.work(&mut pair, &mut rng);
                        pair.break_connection(at);
                    }
                }
                6..=12 => pair.ask(ids[2]).expect("it has a seat, or will have one"),
                _ => {}
            }
        }
        pair.drive_for(secs(10), |_, event| host.hear(event));
        host.judge(&pair, &format!("seed {seed}"));
        assert!(host.given.len() <= 3, "seed {seed}");
        for status in host.fates.values() {
            fates[status.map_or(0, |status| 1 + usize::from(status == AnswerStatus::Unknown))] += 1;
        }
    }
    let [accepted, refused, unknown] = fates;
    assert!(accepted > 500 && refused > 20 && unknown > 10, "{fates:?}");
}
