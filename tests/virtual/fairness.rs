//! The order of a ring and the bound of every wait: random histories against an oracle and a judge; see
//! `oracle/mod.rs`.

use crate::oracle::history::{Act, History};
use crate::oracle::{Law, Place, trace};

fn law(random: &mut fastrand::Rng) -> Law {
    let deadline = random.u64(2..12);
    Law {
        min_seats: random.usize(1..4),
        deadline,
        hold_max: random.choice([None, Some(deadline), Some(deadline + 7), Some(2)]).expect("some"),
        turn_grace: random.choice([0, 0, 3]).expect("some"),
        seat_grace: random.u64(3..40),
        judging: random.choice([0, 0, 5]).expect("some"),
        proposals: random.u16(1..4),
    }
}

/// Plays the history of a seed. Returns how many waits ended, and how many of these after as many turns as
/// allowed.
fn play(seed: u64, steps: usize) -> (u64, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let weights: &[u8] = if seed.is_multiple_of(2) { &[1] } else { &[1, 1, 2, 3, 7, 100] };
    let mut history = History::new(law(&mut random));
    let seats_max = random.usize(2..12);
    history.play(Act::Join { weight: weights[weights.len() / 2], always: true });
    for _ in 0..steps {
        if history.oracle.chairs.iter().all(|chair| chair.place == Place::Gone) {
            break;
        }
        let act = history.choose(&mut random, weights, seats_max);
        history.play(act);
    }
    (history.oracle.judge.ended, history.oracle.judge.met)
}

/// Prints the seed of a failed history.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Even seeds make rings with equal weights, odd seeds use weights from 1 to 100.
#[test]
fn random_histories_follow_the_law_and_keep_the_bounds() {
    let (mut ended, mut met) = (0, 0);
    for seed in 0..1_200 {
        let seed = Seed(seed);
        let (more_ended, more_met) = play(seed.0, 200);
        (ended, met) = (ended + more_ended, met + more_met);
    }
    assert!(ended > 20_000 && met > 4_000, "{ended} waits ended, {met} at their bound: this says too little");
}

/// Ways in which a client with many names ends the turn of one name in order to get the next one sooner.
#[derive(Debug, Clone, Copy)]
enum Trick {
    /// A new name joins before the old one disconnects.
    FreshNames,
    /// Only one of many seats is connected at any time, the next in order.
    OneAtATime,
    /// Its seats rest and ask.
    RestAndAsk,
    /// It leaves and joins again.
    LeaveAndJoin,
}

/// The honest seat 0 answers at once, while the other client plays a trick in every turn. The judge counts
/// the turns before each turn of the honest seat, and the history fails if there are more than M12 allows.
fn trick(trick: Trick, weight: u8) {
    let law = Law {
        min_seats: 2,
        deadline: 9,
        hold_max: Some(9),
        turn_grace: 0,
        seat_grace: 30,
        judging: 0,
        proposals: 1,
    };
    let mut history = History::new(law);
    for weight in [1, weight, weight, weight] {
        history.play(Act::Join { weight, always: true });
    }
    let mut honest = 0;
    for round in 0..120 {
        history.play(Act::Tell);
        let seat = history.oracle.turn.expect("two seats are always there").seat;
        if seat == 0 {
            honest += 1;
            history.play(Act::Answer);
            continue;
        }
        let acts = match trick {
            Trick::FreshNames => vec![Act::Join { weight, always: true }, Act::Drop(seat)],
            Trick::OneAtATime => vec![Act::Back(seat % 3 + 1), Act::Drop(seat)],
            Trick::RestAndAsk => vec![Act::Rest(seat), Act::Ask(seat)],
            Trick::LeaveAndJoin => vec![Act::Leave(seat), Act::Join { weight, always: true }],
        };
        acts.into_iter().for_each(|act| history.play(act));
        if round % 7 == 6 {
            history.play(Act::Tick(1));
        }
    }
    let least = 120 / (2 + 3 * usize::from(weight));
    assert!(honest >= least, "{trick:?} with weight {weight}: {honest} turns of 120, {least} at least");
}

#[test]
fn m12_no_trick_of_a_client_with_many_names_gets_it_more_turns() {
    for weight in [1, 2, 100] {
        for each in [Trick::FreshNames, Trick::OneAtATime, Trick::RestAndAsk, Trick::LeaveAndJoin] {
            trick(each, weight);
        }
    }
}

/// The oracle itself is checked against output that another program produced from the same sentences.
#[test]
fn the_oracle_agrees_with_traces_of_another_program_in_every_grant() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/virtual/oracle/traces");
    let mut traces: Vec<_> =
        std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").path()).collect();
    traces.sort();
    assert!(traces.len() >= 4, "{traces:?}");
    for path in traces {
        eprintln!("{}", path.display());
        trace::replay(&std::fs::read_to_string(path).expect("text"));
    }
}
