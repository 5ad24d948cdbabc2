//! A client of the soak: what it does in its turn, and when it comes and goes, is random.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;

use crate::crowd::{Crowd, Heard};

const RINGS: usize = 8;
/// The longest time that a client stays, unless a turn ends that, and the longest time that it is away.
const STAY_MAX: f64 = 20.0;
const AWAY_MAX: f64 = 1.0;

/// Totals of all players.
#[derive(Default)]
pub struct Did {
    joins: u64,
    resumes: u64,
    /// Answers confirmed by an `OK`, or by the `WELCOME` of a resumption.
    pub confirmed: u64,
    lapses: u64,
    refusals: u64,
    farewells: u64,
    crashes: u64,
    leaves: u64,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Did { joins, resumes, confirmed, lapses, refusals, farewells, crashes, leaves } = self;
        write!(f, "{joins} joined, {resumes} resumed, {confirmed} answers confirmed, {refusals} refused, ")?;
        write!(f, "{lapses} turns lapsed, {crashes} crashed, {leaves} left, {farewells} heard BYE")
    }
}

pub struct Player {
    nth: usize,
    /// The number of lives that it began under another name.
    life: u64,
    number: i64,
    secret: Option<String>,
    epoch: String,
    /// The fence of an answer whose fate is open: its epoch and turn.
    flight: Option<(String, String)>,
    /// The last turn that it has renewed.
    renewed: Option<String>,
    /// An incomplete line.
    begun: String,
    /// When it leaves or comes back.
    change_at: Instant,
}

impl Player {
    pub fn new(nth: usize) -> Player {
        Player {
            nth,
            life: 0,
            number: 0,
            secret: None,
            epoch: String::new(),
            flight: None,
            renewed: None,
            begun: String::new(),
            change_at: Instant::now(),
        }
    }

    pub fn come_and_go(
        &mut self,
        server: SocketAddr,
        crowd: &mut Crowd,
        did: &mut Did,
        chance: &mut Rng,
    ) -> Result<()> {
        if Instant::now() < self.change_at {
            return Ok(());
        }
        if crowd.is_connected(self.nth) {
            self.crash(crowd, did, chance);
            return Ok(());
        }
        crowd.connect(self.nth, server)?;
        self.join(crowd, did, chance);
        self.change_at = after(chance, STAY_MAX);
        Ok(())
    }

    /// Joins as before, without its secret, or under another name.
    fn join(&mut self, crowd: &mut Crowd, did: &mut Did, chance: &mut Rng) {
        self.begun.clear();
        match chance.u8(..4) {
            0 => (self.life, self.secret) = (self.life + 1, None),
            1 => self.secret = None,
            _ => {}
        }
        let (name, ring) = (self.name(), self.nth % RINGS);
        let how = match self.secret.take() {
            Some(secret) => {
                did.resumes += 1;
                format!(" resume={secret}")
            }
            None => {
                did.joins += 1;
                self.flight = None;
                [" weight=3", " demand=ask", " hear=turns", ""][chance.usize(..4)].to_owned()
            }
        };
        crowd.say(self.nth, &format!("JOIN {name} ring=r{ring}{how}\n"));
        if how == " demand=ask" {
            crowd.say(self.nth, "ASK\n");
        }
    }

    fn name(&self) -> String {
        format!("p{}x{}", self.nth, self.life)
    }

    /// Crashes by a reset, by a proper close, or by a half-close.
    fn crash(&mut self, crowd: &mut Crowd, did: &mut Did, chance: &mut Rng) {
        did.crashes += 1;
        match chance.u8(..3) {
            0 => crowd.reset(self.nth),
            1 => crowd.close(self.nth),
            _ => crowd.half_close(self.nth),
        }
        self.change_at = after(chance, AWAY_MAX);
    }

    pub fn hear(&mut self, heard: &Heard, crowd: &mut Crowd, did: &mut Did, chance: &mut Rng) {
        self.begun.push_str(&String::from_utf8_lossy(&heard.bytes));
        let text = std::mem::take(&mut self.begun);
        let mut lines: Vec<&str> = text.split('\n').collect();
        self.begun = lines.pop().unwrap_or_default().to_owned();
        for line in lines {
            self.take_line(line, crowd, did, chance);
        }
        if heard.ended {
            self.change_at = after(chance, AWAY_MAX);
        }
    }

    fn take_line(&mut self, line: &str, crowd: &mut Crowd, did: &mut Did, chance: &mut Rng) {
        let field = |key| line.split(' ').find_map(|field| field.strip_prefix(key));
        match line.split(' ').next().unwrap_or_default() {
            "WELCOME" => {
                self.secret = field("resume=").map(str::to_owned);
                self.epoch = field("epoch=").unwrap_or_default().to_owned();
                // The answer of the turn in `last=` has counted. Any other has not, and never will.
                self.settle(field("last="), did);
                self.flight = None;
            }
            "GO" => self.play(field("turn=").unwrap_or("0"), crowd, did, chance),
            "OK" => {
                self.settle(field("turn="), did);
                // A client that rests asks for another turn.
                crowd.say(self.nth, "ASK\n");
            }
            "NO" => did.refusals += 1,
            "LAPSED" => {
                did.lapses += 1;
                crowd.say(self.nth, "ASK\n");
            }
            "BYE" => {
                did.farewells += 1;
                self.secret = None;
            }
            _ => {}
        }
    }

    /// Notes that the answer to `turn` has counted, if it is under way.
    fn settle(&mut self, turn: Option<&str>, did: &mut Did) {
        let is_it = |flight: &mut (String, String)| flight.0 == self.epoch && turn == Some(flight.1.as_str());
        did.confirmed += u64::from(self.flight.take_if(is_it).is_some());
    }

    /// Mostly answers. A repeated `GO` for an answered turn only gives the remaining time.
    fn play(&mut self, turn: &str, crowd: &mut Crowd, did: &mut Did, chance: &mut Rng) {
        if self.flight.as_ref().is_some_and(|(epoch, flying)| *epoch == self.epoch && flying == turn) {
            return;
        }
        let again = self.renewed.take().is_some_and(|renewed| renewed == turn);
        match chance.u8(..100) {
            0..2 => {}
            2..4 => self.crash(crowd, did, chance),
            4..5 => {
                did.leaves += 1;
                crowd.say(self.nth, "LEAVE\n");
            }
            5..7 => {
                crowd.say(self.nth, "what?\nPASS turn=0\nANSWER turn=0 bytes=6\nLEAVE\n\n");
                self.answer(turn, crowd, chance);
            }
            7..9 => {
                self.answer(turn, crowd, chance);
                self.crash(crowd, did, chance);
            }
            9..10 => crowd.say(self.nth, &format!("PASS turn={turn}\n")),
            10..11 => crowd.say(self.nth, "REST\n"),
            11..13 if !again => {
                self.renewed = Some(turn.to_owned());
                crowd.say(self.nth, &format!("RENEW turn={turn}\n"));
            }
            _ => self.answer(turn, crowd, chance),
        }
    }

    /// Answers as text or as bytes.
    fn answer(&mut self, turn: &str, crowd: &mut Crowd, chance: &mut Rng) {
        self.number += 1;
        let fence = format!("turn={turn} epoch={}", self.epoch);
        let answer = match chance.u8(..10) {
            0 => {
                let text = format!("{}\nLEAVE\n", self.number);
                format!("ANSWER {fence} bytes={}\n{text}\n", text.len())
            }
            _ => format!("ANSWER {fence} :{}\n", self.number),
        };
        self.flight = Some((self.epoch.clone(), turn.to_owned()));
        crowd.say(self.nth, &answer);
    }
}

/// Returns a random time from now, at most this many seconds.
fn after(chance: &mut Rng, most: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(chance.f64() * most)
}
