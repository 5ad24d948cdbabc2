//! A client of the line protocol as the protocol wants it: answers with a fence, its secret kept, and an
//! answer sent again if it did not count. Every message to it must agree with what it knows.

use std::collections::HashMap;

use super::tell;
use crate::network::{Peer, World, field, find_field};

/// When it cannot know whether its last answer counted, a player goes on here: nothing can be said about the
/// gap.
const NEXT_LIFE: u64 = 1_000_000;

pub(super) struct Player {
    pub(super) name: String,
    pub(super) ring: &'static str,
    weight: u8,
    asks: bool,
    hears: bool,
    pub(super) peer: Option<Peer>,
    /// The life of the server in which its secret is one, and the secret.
    secret: Option<(String, String)>,
    /// The secret that it came with, and one that must open nothing any more.
    used: Option<String>,
    pub(super) burnt: Option<String>,
    is_welcome: bool,
    /// The number of its next answer, and how often that was refused.
    number: u64,
    tries: u32,
    /// The turn and the answer whose fate is not known.
    in_flight: Option<(u64, String)>,
    /// The turn that it has and has not answered.
    turn: Option<u64>,
    /// Everything that it has said, by turn.
    said: HashMap<(String, u64), Vec<String>>,
    /// The turn that it gave up last: a `GO` for it that was under way is no turn to answer.
    passed: Option<u64>,
    last_ok: Option<(u64, String)>,
    /// `REST`s, and answers said again, whose confirmation is due.
    rests: u32,
    repeats: u32,
    pings: u32,
    /// Messages to and from it may be lost.
    is_cut: bool,
}

impl Player {
    pub(super) fn new(name: String, ring: &'static str, weight: u8, asks: bool, hears: bool) -> Player {
        Player {
            name,
            ring,
            weight,
            asks,
            hears,
            peer: None,
            secret: None,
            used: None,
            burnt: None,
            is_welcome: false,
            number: 1,
            tries: 0,
            in_flight: None,
            turn: None,
            said: HashMap::new(),
            passed: None,
            last_ok: None,
            rests: 0,
            repeats: 0,
            pings: 0,
            is_cut: false,
        }
    }

    fn say(&self, world: &mut World, line: &str) {
        let Some(peer) = self.peer else { return };
        tell!("{:>10.3} s  {} >> {line:?}", world.elapsed().as_secs_f64(), self.name);
        world.queue_bytes(peer, format!("{line}\n").as_bytes());
    }

    // Actions.

    /// Connects, and asks for its seat.
    pub(super) fn come(&mut self, world: &mut World) {
        // A `JOIN` that is still under way may not come later than the next one with the same secret.
        if let Some(old) = self.peer.filter(|_| self.secret.is_none() || !self.is_welcome) {
            world.find_dead(old);
        }
        self.peer = Some(world.connect_quietly());
        (self.turn, self.is_welcome, self.is_cut) = (None, false, false);
        (self.pings, self.rests, self.repeats) = (0, 0, 0);
        let mut join = format!("JOIN {} ring={}", self.name, self.ring);
        if self.weight > 1 {
            join += &format!(" weight={}", self.weight);
        }
        if self.asks {
            join += " demand=ask";
        }
        if self.hears {
            join += " hear=turns";
        }
        self.used = self.secret.as_ref().map(|(_, secret)| secret.clone());
        if let Some(secret) = &self.used {
            join += &format!(" resume={secret}");
        }
        self.say(world, &join);
    }

    pub(super) fn act(&mut self, world: &mut World) {
        match world.rng.u8(0..24) {
            0 => self.ping(world),
            1 => self.say(world, "what?"),
            2 => self.repeat(world),
            3 => self.pass(world),
            4 if self.asks || world.rng.u8(0..4) == 0 => self.rest(world),
            5 | 6 if self.turn.is_some() => {
                self.say(world, &format!("RENEW turn={}", self.turn.unwrap_or(0)));
            }
            7 => self.leave(world),
            8 => self.lose(world),
            9 => {
                // It sends, and never hears what became of it.
                self.is_cut = true;
                if let Some(peer) = self.peer {
                    world.lose_down(peer);
                }
                self.answer(world);
                self.lose(world);
            }
            10 if self.secret.is_some() => {
                self.is_cut = true;
                if let Some(peer) = self.peer {
                    world.lose_up(peer);
                }
                self.answer(world);
            }
            // Its old connection still seems alive to the server when the new one comes.
            11 if self.secret.is_some() => self.come(world),
            12..15 if self.asks => self.say(world, "ASK"),
            _ => self.answer(world),
        }
    }

    /// Answers the turn that it has.
    pub(super) fn answer(&mut self, world: &mut World) {
        if !self.is_welcome || self.in_flight.is_some() {
            return;
        }
        let Some(turn) = self.turn.take() else { return };
        let answer = self.next_answer(world);
        let epoch = self.secret.as_ref().map(|(epoch, _)| epoch.clone()).unwrap_or_default();
        self.said.entry((epoch.clone(), turn)).or_default().push(answer.clone());
        self.in_flight = Some((turn, answer.clone()));
        self.send(world, turn, &epoch, &answer);
    }

    /// Some answers hold line ends and commands, and so need a payload.
    fn next_answer(&self, world: &mut World) -> String {
        let (number, tries) = (self.number, self.tries);
        match world.rng.u8(0..4) {
            0 => format!("{number}/{tries}\nLEAVE\n"),
            1 => format!("{number}/{tries} {}", "x".repeat(world.rng.usize(0..2000))),
            _ => format!("{number}/{tries}"),
        }
    }

    fn send(&self, world: &mut World, turn: u64, epoch: &str, answer: &str) {
        if answer.contains('\n') || answer.len() > 900 {
            let head = format!("ANSWER turn={turn} epoch={epoch} bytes={}\n{answer}", answer.len());
            self.say(world, &head);
        } else {
            self.say(world, &format!("ANSWER turn={turn} epoch={epoch} :{answer}"));
        }
    }

    /// Says its last answer again, or another one for the same turn.
    fn repeat(&mut self, world: &mut World) {
        let Some(((turn, answer), (epoch, _))) = self.last_ok.clone().zip(self.secret.clone()) else {
            return;
        };
        if !self.is_welcome || self.in_flight.is_some() {
            return;
        }
        if world.rng.bool() {
            self.repeats += 1;
            self.send(world, turn, &epoch, &answer);
        } else {
            self.send(world, turn, &epoch, "another answer");
        }
    }

    fn pass(&mut self, world: &mut World) {
        if self.is_welcome
            && self.in_flight.is_none()
            && let Some(turn) = self.turn.take()
        {
            self.passed = Some(turn);
            self.say(world, &format!("PASS turn={turn}"));
        }
    }

    fn rest(&mut self, world: &mut World) {
        if self.is_welcome && self.in_flight.is_none() {
            self.rests += 1;
            self.passed = self.turn.take().or(self.passed);
            self.say(world, "REST");
        }
    }

    fn ping(&mut self, world: &mut World) {
        if self.is_welcome {
            self.pings += 1;
            self.say(world, "PING");
        }
    }

    fn leave(&mut self, world: &mut World) {
        if self.is_welcome && self.in_flight.is_none() && !self.is_cut {
            self.secret = None;
            self.turn = None;
            self.say(world, "LEAVE");
        }
    }

    pub(super) fn lose(&mut self, world: &mut World) {
        if let Some(peer) = self.peer.take() {
            if world.rng.u8(0..3) == 0 {
                world.break_writes(peer);
            }
            match self.is_cut {
                true => world.find_dead(peer),
                false => world.reset_quietly(peer),
            }
        }
    }

    // Messages to it.

    /// Reads what came since it was last here.
    pub(super) fn listen(&mut self, world: &mut World) {
        let Some(peer) = self.peer else { return };
        let lines = world.heard_lines(peer);
        for line in &lines {
            tell!("{:>10.3} s  {} << {line:?}", world.elapsed().as_secs_f64(), self.name);
            self.hear(line);
        }
        if !world.is_open(peer) {
            self.peer = None;
            self.turn = None;
        }
    }

    fn hear(&mut self, line: &str) {
        let turn = || field(line, "turn").parse::<u64>().expect("a number");
        match line.split(' ').next().unwrap_or_default() {
            "WELCOME" => self.welcome(line),
            "GO" => {
                assert!(self.is_welcome, "a GO before the WELCOME");
                let is_sent = self.in_flight.as_ref().is_some_and(|(sent, _)| *sent == turn());
                self.turn = Some(turn()).filter(|turn| !is_sent && self.passed != Some(*turn));
            }
            "OK" => self.hear_ok(line),
            // An answer that is under way gets a reply of its own.
            "LAPSED" => self.turn = self.turn.filter(|held| *held != turn()),
            "NO" => self.hear_no(line),
            "PONG" => {
                self.pings = self.pings.checked_sub(1).expect("a PONG for every PING");
                self.has_spoken();
            }
            "BYE" => self.hear_bye(line),
            "WAIT" | "SAY" | "BEGIN" | "TURN" | "SKIP" | "JOINED" | "AWAY" | "BACK" | "LEFT" | "PAUSED"
            | "RESUMED" | "SEAT" | "SEATS" => {}
            // The lines of a payload that it hears.
            _ => assert!(self.hears, "what is {line:?}?"),
        }
    }

    fn welcome(&mut self, line: &str) {
        let epoch = field(line, "epoch").to_owned();
        if let (Some((known, _)), Some(_)) = (&self.secret, &self.used) {
            assert_eq!(*known, epoch, "T31: a secret is good for one life of the server");
        }
        self.is_welcome = true;
        self.secret = Some((epoch, field(line, "resume").to_owned()));
        let last = find_field(line, "last").map(|last| last.parse::<u64>().expect("a number"));
        let judging = find_field(line, "judging").map(|turn| turn.parse::<u64>().expect("a number"));
        let Some((sent, answer)) = self.in_flight.take() else { return };
        if last == Some(sent) {
            self.counted(sent, answer);
        } else if judging == Some(sent) {
            self.in_flight = Some((sent, answer));
        } else {
            assert_eq!(judging, None, "M6: it is judged what it has not said");
        }
    }

    fn hear_ok(&mut self, line: &str) {
        let turn = find_field(line, "turn").map(|turn| turn.parse::<u64>().expect("a number"));
        if let Some((sent, answer)) = self.in_flight.clone()
            && turn == Some(sent)
        {
            self.in_flight = None;
            return self.counted(sent, answer);
        }
        let is_repeated =
            self.repeats > 0 && turn.is_some() && turn == self.last_ok.as_ref().map(|(last, _)| *last);
        match turn {
            None => self.rests = self.rests.checked_sub(1).expect("an OK for a REST that it did not say"),
            Some(_) if turn == self.passed => {}
            Some(_) if is_repeated => self.repeats -= 1,
            Some(turn) => panic!("S5: {} was confirmed what it did not say: turn {turn}", self.name),
        }
    }

    fn hear_no(&mut self, line: &str) {
        assert!(line.contains(" :"), "T27: a code and words: {line:?}");
        let code = line.split(' ').nth(1).unwrap_or_default();
        let turn = find_field(line, "turn").map(|turn| turn.parse::<u64>().expect("a number"));
        let is_sent = self.in_flight.as_ref().is_some_and(|(sent, _)| turn == Some(*sent));
        match code {
            "refused" | "not-judged" if is_sent => {
                self.in_flight = None;
                self.tries += 1;
                self.turn = find_field(line, "within").and(turn);
            }
            "stale-turn" | "not-your-turn" if is_sent => self.in_flight = None,
            "judging" => self.rests = self.rests.saturating_sub(1),
            "stale-turn" | "not-your-turn" => {}
            "malformed" | "hold-max" | "refused" | "not-judged" | "not-joined" | "out-of-range" => {}
            code => panic!("why {code}: {line:?}"),
        }
    }

    fn hear_bye(&mut self, line: &str) {
        match line.split(' ').nth(1).unwrap_or_default() {
            "bad-secret" => {
                assert!(self.used.is_some(), "T22: {} came without a secret", self.name);
                self.secret = None;
                (self.last_ok, self.passed) = (None, None);
                if self.in_flight.take().is_some() {
                    self.number = (self.number / NEXT_LIFE + 1) * NEXT_LIFE + 1;
                    self.tries = 0;
                }
            }
            "left" | "removed" => {
                self.secret = None;
                (self.last_ok, self.passed) = (None, None);
            }
            "superseded" | "name-taken" | "hello-timeout" | "line-timeout" | "full" | "shutting-down" => {}
            code => panic!("why {code}: {line:?}"),
        }
        self.is_welcome = false;
    }

    fn counted(&mut self, turn: u64, answer: String) {
        self.last_ok = Some((turn, answer));
        self.number += 1;
        self.tries = 0;
    }

    /// The server has read a valid line of it since it was welcomed: the secret that it came with is of no
    /// use any more.
    fn has_spoken(&mut self) {
        if let Some(used) = self.used.take() {
            self.burnt = Some(used);
        }
    }

    // Invariants.

    /// Every request was answered, once nothing is under way.
    pub(super) fn check_replies(&self, world: &World) {
        let Some(peer) = self.peer.filter(|peer| !self.is_cut && world.is_open(*peer)) else { return };
        assert!(self.pings == 0 || world.is_blocked(peer), "T27: {} got no PONG", self.name);
    }
}

/// The answers of a client that counted: without gap or repetition, but where it could not know.
pub(super) fn check_numbers(name: &str, texts: &[String]) {
    let mut last = 0;
    for text in texts {
        let number: u64 = text.split('/').next().and_then(|number| number.parse().ok()).expect("a number");
        let is_new_life = number % NEXT_LIFE == 1 && number > last;
        assert!(number == last + 1 || is_new_life, "S5: {name}: {number} after {last}");
        last = number;
    }
}
