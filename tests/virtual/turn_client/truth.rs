//! A small honest server with random losses and restarts: the host is told the true status of each answer,
//! once.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use taketurns::protocol::turns::{AnswerStatus, ClientTurn, News};
use taketurns::session::{Content, Fence, Request};

use super::talk::{Talk, ann};

/// A seat, as the server keeps it.
#[derive(Default)]
struct Seat {
    secret: u64,
    before: Option<u64>,
    held: Option<u64>,
    /// The turn, its answer, and how often it was sent on the current connection.
    judged: Option<(u64, String, usize)>,
    last: Option<(u64, String)>,
}

struct Server {
    rng: Rng,
    epoch: u64,
    secrets: u64,
    turns: u64,
    seat: Option<Seat>,
    is_connected: bool,
    /// All answers that count.
    counted: Vec<String>,
    down: String,
}

impl Server {
    fn hear(&mut self, line: &str) {
        match Request::parse(line).expect("the client says nothing malformed") {
            Request::Join(join) => self.join(join.resume),
            Request::Answer { fence, content: Content::Text(text) } => self.answer(fence, text),
            Request::Pass { turn } | Request::Renew { turn } => {
                let is_pass = line.starts_with("PASS");
                let turn = turn.expect("it is always named");
                let seat = self.seat.as_mut().expect("it has joined");
                if seat.judged.is_some() && is_pass {
                    self.down += &format!("NO judging turn={turn} within=90 :wait\n");
                } else if seat.held != Some(turn) {
                    self.down += &format!("NO not-your-turn turn={turn} :no\n");
                } else if is_pass {
                    seat.held = None;
                    self.down += &format!("OK turn={turn}\nWAIT ahead=0\n");
                } else if self.rng.bool() {
                    self.down += &format!("GO turn={turn} within=100\n");
                } else {
                    self.down += &format!("NO hold-max turn={turn} within=70 :no\n");
                }
            }
            Request::Ping => self.down += "PONG\n",
            other => panic!("unforeseen: {other:?}"),
        }
    }

    fn join(&mut self, resume: Option<&str>) {
        self.secrets += 1;
        let resume = resume.map(|text| u64::from_str_radix(text, 16).expect("one of ours"));
        match (&mut self.seat, resume) {
            (Some(seat), Some(secret)) if seat.secret == secret || seat.before == Some(secret) => {
                seat.before = Some(secret);
            }
            (_, Some(_)) => {
                self.is_connected = false;
                self.down += "BYE bad-secret :no\n";
                return;
            }
            (_, None) => self.seat = Some(Seat::default()),
        }
        self.is_connected = true;
        let seat = self.seat.as_mut().expect("it has one now");
        seat.secret = self.secrets;
        let mut welcome =
            format!("WELCOME ann seat=1 ring=main epoch={:x} resume={:032x}", self.epoch, self.secrets);
        if let Some((last, _)) = seat.last {
            welcome += &format!(" last={last}");
        }
        if let Some((turn, _, replies)) = &mut seat.judged {
            *replies = 1;
            welcome += &format!(" judging={turn}");
        }
        self.down += &format!("{welcome}\n");
        match (seat.held, seat.judged.is_some()) {
            (Some(turn), false) => self.down += &format!("GO turn={turn} within=80\n"),
            (_, true) => {}
            // Or it rests.
            (None, false) if self.rng.bool() => self.down += "WAIT ahead=0\n",
            (None, false) => {}
        }
    }

    fn answer(&mut self, fence: Fence, text: &str) {
        let seat = self.seat.as_mut().expect("it has joined");
        let (turn, epoch) = (fence.turn.expect("it is always named"), fence.epoch.expect("so is this"));
        let within = seat.held.map_or(String::new(), |_| " within=60".to_owned());
        let is_repeated =
            seat.last.as_ref().is_some_and(|(last, known)| (*last, known.as_str()) == (turn, text));
        if epoch.0 == self.epoch && is_repeated {
            self.down += &format!("OK turn={turn}\n");
        } else if let Some((judged, known, replies)) = &mut seat.judged
            && (*judged, known.as_str()) == (turn, text)
        {
            *replies += 1;
        } else if epoch.0 != self.epoch || seat.held != Some(turn) || seat.judged.is_some() {
            self.down += &format!("NO stale-turn turn={turn}{within} :no\n");
        } else {
            seat.judged = Some((turn, text.to_owned(), 1));
            if self.rng.bool() {
                self.rule();
            }
        }
    }

    /// Lets the server's host rule.
    fn rule(&mut self) {
        let Some(seat) = &mut self.seat else { return };
        let Some((turn, text, replies)) = seat.judged.take() else { return };
        let replies = if self.is_connected { replies } else { 0 };
        let reply = if self.rng.u8(..4) > 0 {
            self.counted.push(text.clone());
            seat.held = None;
            seat.last = Some((turn, text));
            format!("OK turn={turn}\n")
        } else if self.is_connected && self.rng.bool() {
            format!("NO refused turn={turn} within=50 :no\n")
        } else {
            seat.held = None;
            format!("NO not-judged turn={turn} :no\n")
        };
        (0..replies).for_each(|_| self.down += &reply);
        if self.is_connected && seat.held.is_none() && self.rng.bool() {
            self.down += "WAIT ahead=0\n";
        }
    }

    fn grant(&mut self) {
        let Some(seat) = self.seat.as_mut().filter(|seat| self.is_connected && seat.held.is_none()) else {
            return;
        };
        self.turns += 1;
        seat.held = Some(self.turns);
        self.down += &format!("GO turn={} within=100\n", self.turns);
    }

    fn lapse(&mut self) {
        let Some(seat) = self.seat.as_mut().filter(|seat| seat.judged.is_none()) else { return };
        if let Some(turn) = seat.held.take().filter(|_| self.is_connected) {
            self.down += &format!("LAPSED turn={turn}\nWAIT ahead=1\n");
        }
    }

    /// Loses the connection. The turn may or may not be kept for a while.
    fn lose(&mut self) {
        self.is_connected = false;
        self.down.clear();
        if let Some(seat) = self.seat.as_mut().filter(|seat| seat.judged.is_none())
            && self.rng.bool()
        {
            seat.held = None;
        }
    }

    fn restart(&mut self) {
        self.lose();
        self.epoch += 1;
        self.turns = 0;
        self.seat = None;
    }
}

/// The host, with its answers and their reported fates.
#[derive(Default)]
struct Host {
    open: Option<ClientTurn>,
    granted: usize,
    ended: usize,
    answers: usize,
    fates: BTreeMap<String, Option<AnswerStatus>>,
    /// The answer to the turn that is not over.
    under_way: String,
}

impl Host {
    fn hear(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Granted(turn) => {
                    self.granted += 1;
                    assert_eq!(self.ended + 1, self.granted, "the last one has not ended");
                    self.open = Some(turn);
                }
                News::Refused { turn: Some(turn), .. } => self.open = Some(turn),
                News::Over { .. } => self.end(),
                News::Accepted { .. } => {
                    let answer = self.under_way.clone();
                    self.note(answer, None);
                }
                News::Lost { answer, status, .. } => {
                    let answer = String::from_utf8(answer.into()).expect("text");
                    assert_eq!(answer, self.under_way);
                    self.note(answer, Some(status));
                }
                _ => {}
            }
        }
    }

    fn note(&mut self, answer: String, status: Option<AnswerStatus>) {
        assert!(self.fates.insert(answer, status).is_none(), "it had a status already");
        self.end();
    }

    fn end(&mut self) {
        self.ended += 1;
        self.open = None;
    }

    fn act(&mut self, talk: &mut Talk, rng: &mut Rng) -> String {
        let Some(turn) = self.open else { return String::new() };
        match rng.u8(..8) {
            0 => {
                self.open = None;
                talk.pass(&turn).expect("nobody said that it is over")
            }
            1 => talk.renew(&turn).unwrap_or_default(),
            _ => {
                self.answers += 1;
                self.under_way = format!("{}", self.answers);
                self.open = None;
                let said = talk.answer(&turn, &self.under_way).expect("nobody said that it is over");
                assert!(talk.answer(&turn, "again").is_err(), "it is answered");
                said
            }
        }
    }

    fn judge(&self, server: &Server, seed: u64) {
        let counted: BTreeSet<_> = server.counted.iter().collect();
        assert_eq!(counted.len(), server.counted.len(), "seed {seed}: an answer counts twice");
        for (answer, status) in &self.fates {
            match status {
                None => assert!(counted.contains(answer), "seed {seed}: {answer} does not count"),
                Some(AnswerStatus::NotCounted) => {
                    assert!(!counted.contains(answer), "seed {seed}: {answer} counts");
                }
                Some(AnswerStatus::Unknown) => {}
            }
        }
        let untold = counted.iter().filter(|&&answer| !self.fates.contains_key(answer)).count();
        assert!(untold <= 1, "seed {seed}: nobody said what became of {untold} answers that count");
    }
}

/// The world: bytes on their way up and down, and the two sides.
struct World {
    talk: Talk,
    server: Server,
    up: String,
    is_up: bool,
}

impl World {
    fn lose(&mut self) {
        if std::mem::take(&mut self.is_up) {
            self.up.clear();
            self.server.lose();
            self.talk.lose();
        }
    }

    fn step(&mut self, host: &mut Host, rng: &mut Rng) {
        if !self.is_up {
            self.is_up = true;
            self.up = self.talk.open();
        }
        match rng.u8(..60) {
            0 if rng.u8(..3) == 0 => self.lose(),
            1 if rng.u8(..5) == 0 => {
                self.lose();
                self.server.restart();
            }
            2..=4 => self.server.lapse(),
            5..=12 => self.server.grant(),
            13..=18 => self.server.rule(),
            19..=30 => {
                let said = host.act(&mut self.talk, rng);
                self.up += &said;
            }
            31..=44 => {
                if let Some((line, rest)) = self.up.split_once('\n') {
                    self.server.hear(line);
                    self.up = rest.to_owned();
                }
            }
            _ => {
                let end = rng.usize(..=self.server.down.len());
                let said: String = self.server.down.drain(..end).collect();
                let said = self.talk.hear(&said);
                self.up += &said;
            }
        }
        if !self.talk.is_open() {
            self.lose();
        }
        host.hear(self.talk.news());
    }
}

/// T22, T23, T31, M5 and M6: each answer is accepted, lost for good, or of unknown status, and the host is
/// told which.
#[test]
fn the_host_is_told_the_fate_of_every_answer() {
    let mut fates = [0; 3];
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let server = Server {
            rng: Rng::with_seed(!seed),
            epoch: 1,
            secrets: 0,
            turns: 0,
            seat: None,
            is_connected: false,
            counted: Vec::new(),
            down: String::new(),
        };
        let mut talk = Talk::with(ann());
        let up = talk.said();
        let (mut world, mut host) = (World { talk, server, up, is_up: true }, Host::default());
        for _ in 0..1_000 {
            world.step(&mut host, &mut rng);
        }
        host.judge(&world.server, seed);
        assert!(host.granted > 5, "seed {seed}: it lives");
        for status in host.fates.values() {
            fates[status.map_or(0, |status| 1 + usize::from(status == AnswerStatus::Unknown))] += 1;
        }
    }
    let [accepted, refused, unknown] = fates;
    assert!(accepted > 2_000 && refused > 1_000 && unknown > 200, "{fates:?}");
}
