//! Histories of servers that share an order through a simulated etcd, judged by what their clients hear.
//!
//! The network loses, delays and repeats requests; servers are suspended for longer than their lease, die,
//! and hand over. Half of the worlds have servers that do not look at their clocks, because no promise rests
//! on them. The judge knows which answers were confirmed with `OK`.
//!
//! - No turn has two answers that were confirmed.
//! - A server that takes over knows all answers that were confirmed before.
//! - The server that leads is never fenced by one that does not.
//! - After the faults, some server leads, and turns continue.
//!
//! With a guard left out, the same judge has to find violations.

pub(super) mod member;
mod simulated;

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use simulated::{Etcd, Ignores, Network, Sender, Tick};

use super::candidacy::{Candidacy, Outcome, Reading, Shard};
use super::keys::Keys;
use super::message::{Answer, Claim, Request, Trouble};
use super::parts;
use super::term::{Term, Verdict};
use crate::record::{Change, Key};

const SERVERS: usize = 3;
const RINGS: usize = 3;
const TTL: u64 = 5;
const ANSWER_WITHIN: Tick = 10;
const FAULTY: Tick = 1500;
const HEALED: Tick = 300;

/// The numbers of the last answered turns, by ring, and who has answered them.
type Turns = BTreeMap<usize, (u64, u32)>;

/// Everything that clients have heard, from all servers.
#[derive(Debug, Default)]
struct Judge {
    /// The confirmed answers: ring, turn, answer.
    log: Vec<(usize, u64, u32)>,
    confirmed: BTreeMap<(usize, u64), u32>,
    violations: Vec<String>,
    take_overs: u64,
    fenced: u64,
}

impl Judge {
    fn ok(&mut self, ring: usize, turn: u64, answer: u32) {
        self.log.push((ring, turn, answer));
        let before = self.confirmed.insert((ring, turn), answer);
        if let Some(before) = before.filter(|before| *before != answer) {
            self.violations.push(format!("turn {turn} of ring {ring} has answers {before} and {answer}"));
        }
    }

    /// A server has read these turns, and began when the first `known` answers were confirmed.
    fn took_over(&mut self, turns: &Turns, known: usize) {
        self.take_overs += 1;
        for &(ring, turn, answer) in &self.log[..known] {
            let (last, by) = turns.get(&ring).copied().unwrap_or_default();
            if last < turn || last == turn && by != answer {
                self.violations.push(format!("turn {turn} of ring {ring} is lost: the last one is {last}"));
            }
        }
    }
}

enum Stage {
    Standing(Candidacy),
    Reading { reading: Reading, fence: i64, lease: i64, known: usize },
    Leading(Box<Leader>),
    Dead { until: Tick },
}

struct Leader {
    fence: i64,
    lease: i64,
    term: Term,
    turns: Turns,
    /// The rest of the commit that is under way, and the messages that wait for all of it.
    parts: VecDeque<Vec<Change>>,
    answers: Vec<(usize, u64, u32)>,
    /// Whether it hands over when the commit is done.
    leaves: bool,
}

struct Server {
    stage: Stage,
    /// The attempt that it waits for, and when it gives that up.
    attempt: u64,
    gives_up_at: Tick,
    /// When it continues, if it was suspended.
    stopped_until: Tick,
    lease_ends: Tick,
    keeps_alive_at: Tick,
    watches_clock: bool,
}

struct World {
    keys: Keys,
    rng: Rng,
    now: Tick,
    etcd: Etcd,
    network: Network,
    servers: Vec<Server>,
    judge: Judge,
    answers_given: u32,
    ids: u64,
}

/// Attempts of keepalives: nobody waits for these by number.
const KEEPALIVE: u64 = u64::MAX;

fn ring_key(ring: usize) -> Key {
    Key::Ring(format!("r{ring}").parse().expect("a name"))
}

impl World {
    fn new(seed: u64, ignores: Ignores) -> World {
        let mut rng = Rng::with_seed(seed);
        let watches_clock = rng.bool();
        let mut world = World {
            keys: Keys::of("x").expect("plain"),
            rng,
            now: 0,
            etcd: Etcd::new(ignores),
            network: Network::default(),
            servers: Vec::new(),
            judge: Judge::default(),
            answers_given: 0,
            ids: 0,
        };
        for _ in 0..SERVERS {
            let stage = Stage::Standing(world.candidacy());
            world.servers.push(Server {
                stage,
                attempt: 0,
                gives_up_at: 0,
                stopped_until: 0,
                lease_ends: 0,
                keeps_alive_at: 0,
                watches_clock,
            });
        }
        world
    }

    fn candidacy(&mut self) -> Candidacy {
        self.ids += 1;
        Candidacy::new(self.keys.clone(), Claim { id: self.ids.to_string(), at: String::new() }, TTL)
    }

    /// The server starts over, as a process that is started again.
    fn start_over(&mut self, at: usize) {
        self.servers[at].stage = Stage::Standing(self.candidacy());
        self.forget(at);
    }

    /// Accepts no answer to the last attempt any more, and makes the next one at once.
    fn forget(&mut self, at: usize) {
        self.servers[at].attempt += 1;
        self.servers[at].gives_up_at = self.now;
    }

    fn is_healed(&self) -> bool {
        self.now >= FAULTY
    }

    fn play(mut self) -> (Judge, u64) {
        while self.now < FAULTY {
            self.step();
        }
        let before = self.judge.log.len();
        while self.now < FAULTY + HEALED {
            self.step();
        }
        if self.judge.log.len() <= before {
            self.judge.violations.push("no turn continues after the faults".to_owned());
        }
        (self.judge, self.network.late)
    }

    fn step(&mut self) {
        let (now, is_healed) = (self.now, self.is_healed());
        self.etcd.expire(now);
        for at in 0..SERVERS {
            self.afflict(at);
        }
        let attempts: Vec<(u64, Tick)> =
            self.servers.iter().map(|server| (server.attempt, server.gives_up_at)).collect();
        let waits = |(at, attempt): Sender| attempts[at].0 == attempt && now < attempts[at].1;
        self.network.arrive(now, is_healed, &mut self.etcd, waits, &mut self.rng);
        for ((at, attempt), answer) in self.network.answers(now) {
            // A suspended one reads it when it continues, if it has not given up by then.
            if now < self.servers[at].stopped_until {
                continue;
            }
            if attempt == KEEPALIVE {
                if let Ok(Answer::KeptAlive { ttl: 1.. }) = answer {
                    self.servers[at].lease_ends = self.servers[at].keeps_alive_at - 17 + 10 * TTL;
                }
            } else if attempt == self.servers[at].attempt && now <= self.servers[at].gives_up_at {
                self.hear(at, answer);
            }
        }
        for at in 0..SERVERS {
            if now >= self.servers[at].stopped_until {
                self.act(at);
            }
        }
        self.now += 1;
    }

    /// Now and then suspends, kills or shuts down a server.
    fn afflict(&mut self, at: usize) {
        let now = self.now;
        if let Stage::Dead { until } = self.servers[at].stage {
            if until <= now {
                self.start_over(at);
            }
            return;
        }
        if self.is_healed() {
            self.servers[at].stopped_until = self.servers[at].stopped_until.min(FAULTY);
            return;
        }
        match self.rng.u16(..700) {
            0 => {
                self.servers[at].stage = Stage::Dead { until: now + self.rng.u64(1..150) };
                self.forget(at);
            }
            1..4 => self.servers[at].stopped_until = now + self.rng.u64(1..150),
            4 => {
                if let Stage::Leading(leader) = &mut self.servers[at].stage {
                    leader.leaves = true;
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, at: usize, answer: Result<Answer, Trouble>) {
        self.forget(at);
        let Ok(answer) = answer else {
            if let Stage::Standing(candidacy) = &mut self.servers[at].stage {
                candidacy.refused();
            }
            return;
        };
        match &mut self.servers[at].stage {
            Stage::Standing(candidacy) => {
                let outcome = candidacy.hear(answer).expect("what was asked for");
                if let Outcome::Leads { lease, fence } = outcome {
                    self.servers[at].keeps_alive_at = self.now;
                    let reading = Reading::new(self.keys.clone());
                    let known = self.judge.log.len();
                    self.servers[at].stage = Stage::Reading { reading, fence, lease, known };
                }
            }
            Stage::Reading { reading, fence, lease, known } => {
                let (fence, lease, known) = (*fence, *lease, *known);
                if let Some(shard) = reading.hear(answer).expect("what was asked for") {
                    let term = reading.term(fence, &shard);
                    let turns = turns(&shard);
                    self.judge.took_over(&turns, known);
                    // Like a server that stores that its clients have come back.
                    let hello = vec![Change::Put { key: Key::Meta, value: b"hello".to_vec() }];
                    let leader = Leader {
                        fence,
                        lease,
                        term,
                        turns,
                        parts: VecDeque::from([hello]),
                        answers: Vec::new(),
                        leaves: false,
                    };
                    self.servers[at].stage = Stage::Leading(Box::new(leader));
                }
            }
            Stage::Leading(leader) => match leader.term.hear(&answer).expect("what was asked for") {
                Verdict::Durable => {
                    leader.parts.pop_front();
                    if leader.parts.is_empty() {
                        for (ring, turn, by) in leader.answers.drain(..) {
                            leader.turns.insert(ring, (turn, by));
                            self.judge.ok(ring, turn, by);
                        }
                    }
                }
                Verdict::Fenced => {
                    self.judge.fenced += 1;
                    let lead = self.etcd.value(&self.keys.lead());
                    if lead.is_some_and(|lead| lead.create_revision == leader.fence) {
                        self.judge.violations.push("the server that leads was fenced".to_owned());
                    }
                    self.start_over(at);
                }
            },
            Stage::Dead { .. } => {}
        }
    }

    /// Sends what is to be sent.
    fn act(&mut self, at: usize) {
        let (now, is_healed) = (self.now, self.is_healed());
        let server = &mut self.servers[at];
        let lease = match &server.stage {
            Stage::Reading { lease, .. } => Some(*lease),
            Stage::Leading(leader) => Some(leader.lease),
            _ => None,
        };
        if let Some(lease) = lease {
            if server.watches_clock && server.lease_ends <= now {
                return self.start_over(at);
            }
            if server.keeps_alive_at <= now {
                server.keeps_alive_at = now + 17;
                let request = Request::KeepAlive { lease };
                self.network.send(now, is_healed, (at, KEEPALIVE), &request, &mut self.rng);
            }
        }
        let server = &mut self.servers[at];
        if now < server.gives_up_at {
            return;
        }
        let request = match &mut server.stage {
            Stage::Dead { .. } => return,
            Stage::Standing(candidacy) => {
                if candidacy.wants_lease() {
                    server.lease_ends = now + 10 * TTL;
                }
                candidacy.request()
            }
            Stage::Reading { reading, .. } => reading.request(),
            Stage::Leading(leader) if leader.parts.is_empty() && leader.leaves => {
                let revoke = Request::Revoke { lease: leader.lease };
                self.network.send(now, is_healed, (at, 0), &revoke, &mut self.rng);
                return self.start_over(at);
            }
            Stage::Leading(leader) => {
                if leader.parts.is_empty() {
                    leader.answer(&mut self.answers_given, &mut self.rng);
                }
                match leader.parts.front() {
                    Some(part) => Request::Txn(leader.term.commit(part)),
                    None => return,
                }
            }
        };
        server.attempt += 1;
        server.gives_up_at = now + ANSWER_WITHIN;
        self.network.send(now, is_healed, (at, server.attempt), &request, &mut self.rng);
    }
}

impl Leader {
    /// Holders answer in some of the rings.
    fn answer(&mut self, given: &mut u32, rng: &mut Rng) {
        let mut changes = Vec::new();
        for ring in 0..RINGS {
            if rng.bool() {
                continue;
            }
            *given += 1;
            let turn = self.turns.get(&ring).map_or(0, |turn| turn.0) + 1;
            self.answers.push((ring, turn, *given));
            changes.push(Change::Put { key: ring_key(ring), value: format!("{turn} {given}").into_bytes() });
            let Key::Ring(name) = ring_key(ring) else { unreachable!() };
            // Sometimes more seats than a transaction takes.
            for place in 0..if rng.u16(..400) == 0 { rng.u64(..2000) } else { 1 } {
                changes.push(Change::Put { key: Key::Seat(name, place), value: b"seat".to_vec() });
            }
        }
        self.parts = parts::cut(changes).into();
    }
}

fn turns(shard: &Shard) -> Turns {
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let Ok(Key::Ring(name)) = Key::from_bytes(key) else { return None };
        let ring = name.to_string().strip_prefix('r')?.parse().ok()?;
        let (turn, by) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        Some((ring, (turn.parse().ok()?, by.parse().ok()?)))
    };
    shard.entries.iter().filter_map(read).collect()
}

/// Plays histories, and adds up what happened: violations, take-overs, fenced servers, late tries, answers.
fn play(seeds: std::ops::Range<u64>, ignores: Ignores) -> (Vec<String>, [u64; 4]) {
    let (mut violations, mut counts) = (Vec::new(), [0; 4]);
    for seed in seeds {
        let (judge, late) = World::new(seed, ignores).play();
        violations.extend(judge.violations.into_iter().map(|what| format!("seed {seed}: {what}")));
        let more = [judge.take_overs, judge.fenced, late, judge.log.len() as u64];
        for (count, more) in counts.iter_mut().zip(more) {
            *count += more;
        }
    }
    (violations, counts)
}

/// Histories that `cargo test` plays. The variable has it play more: `TAKETURNS_HISTORIES=100000`.
const HISTORIES: u64 = 200;

#[test]
fn no_answer_is_lost_or_doubled_whatever_the_network_does() {
    let histories = std::env::var("TAKETURNS_HISTORIES");
    let histories = histories.map_or(HISTORIES, |histories| histories.parse().expect("a number"));
    let (violations, counts) = play(0..histories, Ignores::default());
    assert!(violations.is_empty(), "{} violations, such as {:?}", violations.len(), &violations[0]);
    let [take_overs, fenced, late, answers] = counts;
    println!(
        "{histories} histories, {take_overs} take-overs, {fenced} servers fenced, {late} requests carried out late, \
         {answers} answers: 0 lost, 0 doubled"
    );
    assert!(take_overs > 3 * histories && fenced > histories / 4 && late > histories, "{counts:?}");
}

/// The first of a few hundred histories in which the judge finds this.
fn assert_finds(what: &str, ignores: Ignores) {
    let found = (0..300).find(|&seed| {
        let (violations, _) = play(seed..seed + 1, ignores);
        violations.iter().any(|violation| violation.contains(what))
    });
    assert!(found.is_some(), "nothing of {what:?} is found with {ignores:?}");
}

#[test]
fn without_the_fence_the_judge_finds_violations() {
    assert_finds("the server that leads was fenced", Ignores { fence: true, sequence: false });
}

#[test]
fn without_the_sequence_the_judge_finds_violations() {
    assert_finds("is lost", Ignores { fence: false, sequence: true });
}

#[test]
fn without_any_guard_the_judge_finds_violations() {
    assert_finds("has answers", Ignores { fence: true, sequence: true });
}
