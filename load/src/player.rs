//! A client of the soak: what it does when it has the turn, and when it comes and goes, is chance.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;

use crate::crowd::{Crowd, Heard};

const RINGS: usize = 8;
/// A client stays for as long at most, if it does not end sooner over a turn, and is away for as long at most.
const STAY_MAX: f64 = 20.0;
const AWAY_MAX: f64 = 1.0;

/// What all players did.
#[derive(Default)]
pub struct Did {
    joins: u64,
    resumes: u64,
    pub confirmed: u64,
    lapses: u64,
    refusals: u64,
    crashes: u64,
    leaves: u64,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Did { joins, resumes, confirmed, lapses, refusals, crashes, leaves } = self;
        write!(f, "{joins} joined, {resumes} resumed, {confirmed} answers confirmed, {refusals} refused, ")?;
        write!(f, "{lapses} turns lapsed, {crashes} crashed, {leaves} left")
    }
}

pub struct Player {
    nth: usize,
    /// Lives that it began under another name.
    life: u64,
    number: i64,
    secret: Option<String>,
    /// The beginning of a line.
    begun: String,
    /// When it goes, or comes back.
    change_at: Instant,
}

impl Player {
    pub fn new(nth: usize) -> Player {
        let (begun, change_at) = (String::new(), Instant::now());
        Player { nth, life: 0, number: 0, secret: None, begun, change_at }
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

    /// As it was, or without its secret, or as somebody else.
    fn join(&mut self, crowd: &mut Crowd, did: &mut Did, chance: &mut Rng) {
        self.begun.clear();
        match chance.u8(..4) {
            0 => (self.life, self.secret) = (self.life + 1, None),
            1 => self.secret = None,
            _ => {}
        }
        let resume = self.secret.take().map(|secret| format!(" resume={secret}"));
        did.joins += u64::from(resume.is_none());
        did.resumes += u64::from(resume.is_some());
        let weight = if resume.is_none() && chance.u8(..10) == 0 { " weight=3" } else { "" };
        let (name, ring, resume) = (self.name(), self.nth % RINGS, resume.unwrap_or_default());
        crowd.say(self.nth, &format!("JOIN {name} ring=r{ring}{resume}{weight}\n"));
    }

    fn name(&self) -> String {
        format!("p{}x{}", self.nth, self.life)
    }

    /// By a reset, or in good order, or half.
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
            "WELCOME" => self.secret = field("resume=").map(str::to_owned),
            "GO" => self.play(field("turn=").unwrap_or("0"), crowd, did, chance),
            "OK" => did.confirmed += 1,
            "NO" => did.refusals += 1,
            "LAPSED" => did.lapses += 1,
            "BYE" => self.secret = None,
            _ => {}
        }
    }

    /// Mostly it answers.
    fn play(&mut self, turn: &str, crowd: &mut Crowd, did: &mut Did, chance: &mut Rng) {
        let name = self.name();
        self.number += 1;
        match chance.u8(..100) {
            0..2 => {}
            2..4 => self.crash(crowd, did, chance),
            4..5 => {
                did.leaves += 1;
                crowd.say(self.nth, "LEAVE\n");
            }
            5..7 => crowd.say(
                self.nth,
                &format!("what?\n{name}:x\nPASS turn=0\n{name}:{} turn={turn}\n", self.number),
            ),
            7..9 => {
                crowd.say(self.nth, &format!("{name}:{} turn={turn}\n", self.number));
                self.crash(crowd, did, chance);
            }
            _ => crowd.say(self.nth, &format!("{name}:{} turn={turn}\n", self.number)),
        }
    }
}

/// Some time from now on, in seconds.
fn after(chance: &mut Rng, most: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(chance.f64() * most)
}
