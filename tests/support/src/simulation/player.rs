//! A correct client of the line protocol: it answers with a fence, keeps its secret, and repeats an answer
//! that did not count. Every message to it must agree with its knowledge.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use taketurns::turn::Judging;

use super::history::{History, Turn};
use super::tell;
use crate::network::{Peer, World, field, find_field};
use crate::wire::Way;

/// A player that cannot know whether its last answer counted continues from here, because nothing can be said
/// about the gap.
const NEXT_LIFE: u64 = 1_000_000;

pub(super) struct Player {
    pub(super) name: String,
    pub(super) ring: &'static str,
    weight: u8,
    asks: bool,
    hears: bool,
    /// Whether its connection asked for confirmations by `GO`.
    confirms_by_go: bool,
    pub(super) peer: Option<Peer>,
    way: Way,
    /// Its secret, and the life of the server in which that is valid.
    secret: Option<(String, String)>,
    /// The secret with which it resumed. Below, one that must no longer work.
    used: Option<String>,
    pub(super) burnt: Option<String>,
    is_welcome: bool,
    /// The epoch of its last `WELCOME`.
    epoch: String,
    /// Whether it resumed a seat that it had before.
    is_back: bool,
    /// The number of its next answer. Below, how often that was refused.
    number: u64,
    tries: u32,
    /// The turn and answer whose fate is unknown.
    in_flight: Option<(u64, String)>,
    /// The turn that it has and has not answered.
    turn: Option<u64>,
    /// Everything that it has sent, by turn.
    said: HashMap<(String, u64), Vec<String>>,
    /// The last turn that it gave up. A late `GO` for that is not a turn to answer.
    passed: Option<u64>,
    last_ok: Option<(u64, String)>,
    /// The number of `REST`s whose confirmation is due. Below, that of repeated answers.
    rests: u32,
    repeats: u32,
    pings: u32,
    /// Whether messages to and from it may be lost.
    is_cut: bool,
    /// When its connection was lost or the server started, if it has not been welcomed since.
    away_since: Option<Duration>,
    /// Whether the server drains. From then on grace may run, even if a `WELCOME` arrives late.
    is_parted: bool,
    /// Whether its seat may be gone or have another secret.
    may_be_gone: bool,
    /// Whether the host removes seats.
    is_removable: bool,
    /// Whether it sometimes stops reading.
    pub(super) is_sleepy: bool,
    /// The last turn that it was told about, and the earliest time at which that may end.
    certain: Option<(u64, Duration)>,
    /// Numbers of answers that only `last=` has confirmed. A host that died with its server may not have been
    /// told about them.
    by_last: BTreeSet<u64>,
}

impl Player {
    pub(super) fn new(
        name: String,
        ring: &'static str,
        weight: u8,
        asks: bool,
        hears: bool,
        is_removable: bool,
    ) -> Player {
        Player {
            name,
            ring,
            weight,
            asks,
            hears,
            confirms_by_go: false,
            peer: None,
            way: Way::Plain,
            secret: None,
            used: None,
            burnt: None,
            is_welcome: false,
            epoch: String::new(),
            is_back: false,
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
            away_since: None,
            is_parted: false,
            may_be_gone: false,
            is_removable,
            is_sleepy: false,
            certain: None,
            by_last: BTreeSet::new(),
        }
    }

    fn say(&self, world: &mut World, line: &str) {
        let Some(peer) = self.peer else { return };
        tell!("{:>10.3} s  {} >> {line:?}", world.elapsed().as_secs_f64(), self.name);
        world.queue_bytes(peer, format!("{line}\n").as_bytes());
    }

    /// Connects and asks for its seat.
    pub(super) fn come(&mut self, world: &mut World) {
        // An older `JOIN` must not arrive later than the next one with the same secret.
        if let Some(old) = self.peer.filter(|_| self.secret.is_none() || !self.is_welcome) {
            world.find_dead(old);
            self.away_since.get_or_insert(world.elapsed());
        }
        self.way = world.choose_way();
        self.peer = Some(world.connect_over(self.way));
        (self.turn, self.is_welcome, self.is_cut) = (None, false, false);
        (self.pings, self.rests, self.repeats, self.certain) = (0, 0, 0, None);
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
        self.confirms_by_go = world.rng.u8(0..3) == 0;
        if self.confirms_by_go {
            join += " confirm=go";
        }
        self.used = self.secret.as_ref().map(|(_, secret)| secret.clone());
        self.is_back = self.used.is_some();
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
                // It sends but never gets a reply.
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
            // A bit of what it says is changed on its way, and TLS takes nothing for what it is not.
            15 if self.way.is_secure() => {
                self.answer(world);
                self.is_cut |= self.peer.is_some_and(|peer| world.corrupt(peer));
            }
            // It reconnects while its old connection still seems alive to the server.
            11 if self.secret.is_some() => self.come(world),
            12..15 if self.asks => {
                // If this arrives, the secret that it used is void, and its `WELCOME` may be lost.
                self.may_be_gone |= !self.is_welcome;
                self.say(world, "ASK");
            }
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
        if world.config().rules.judging == Judging::Host {
            // A turn may lapse while the host judges, whatever time it has left.
            self.certain = None;
        }
        self.send(world, turn, &epoch, &answer);
    }

    /// Some answers contain line ends and commands, and so need a payload.
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

    /// Repeats the answer that is in flight, or the last one, or sends a different one for the same turn.
    fn repeat(&mut self, world: &mut World) {
        let Some((epoch, _)) = self.secret.clone().filter(|_| self.is_welcome) else { return };
        if let Some((turn, answer)) = self.in_flight.clone() {
            // A host may refuse the first one and accept the second one, which nobody could tell apart.
            if world.config().rules.judging == Judging::Automatic {
                self.repeats += 1;
                self.send(world, turn, &epoch, &answer);
            }
            return;
        }
        let Some((turn, answer)) = self.last_ok.clone() else { return };
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
        if self.is_welcome && self.secret.is_some() {
            self.pings += 1;
            self.say(world, "PING");
        }
    }

    fn leave(&mut self, world: &mut World) {
        if self.is_welcome && (self.in_flight.is_none() || self.confirms_by_go) && !self.is_cut {
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
                // A wire may end without the stream.
                false if self.way != Way::Plain && world.rng.bool() => world.finish(peer),
                false => world.reset_quietly(peer),
            }
            self.away_since.get_or_insert(world.elapsed());
        }
    }

    /// The server drains: it closes connections, and tells them so once everything before that is durable.
    pub(super) fn part(&mut self, world: &World) {
        self.away_since.get_or_insert(world.elapsed());
        self.is_parted = true;
    }

    /// The server dies. A seat whose grace is over is gone.
    pub(super) fn die(&mut self, world: &World) {
        self.may_be_gone |= !world.has_store() || self.is_grace_over(world);
    }

    /// The server is back, and all grace starts again.
    pub(super) fn live_on(&mut self, world: &World) {
        (self.away_since, self.is_parted) = (Some(world.elapsed()), false);
        // A replaced secret may be valid again, if the replacement is not durable.
        self.burnt = None;
    }

    fn is_grace_over(&self, world: &World) -> bool {
        let grace = world.config().rules.seat_grace;
        self.away_since.is_some_and(|since| world.elapsed() >= since + grace)
    }

    /// Reads everything since the last call.
    pub(super) fn listen(&mut self, world: &mut World, history: &mut History) {
        let Some(peer) = self.peer else { return };
        let lines = world.heard_lines(peer);
        for line in &lines {
            tell!("{:>10.3} s  {} << {line:?}", world.elapsed().as_secs_f64(), self.name);
            self.hear(line, world, history);
        }
        if !world.is_open(peer) {
            self.peer = None;
            self.turn = None;
            self.away_since.get_or_insert(world.elapsed());
        }
    }

    /// Returns the turn with this number in its ring.
    fn turn_of(&self, number: u64) -> Turn {
        Turn { epoch: self.epoch.clone(), ring: self.ring.to_owned(), number }
    }

    fn hear(&mut self, line: &str, world: &World, history: &mut History) {
        let turn = || field(line, "turn").parse::<u64>().expect("a number");
        match line.split(' ').next().unwrap_or_default() {
            "WELCOME" => self.welcome(line, history),
            "GO" => {
                assert!(self.is_welcome, "a GO before the WELCOME");
                assert!(
                    !world.has_store() || world.is_grant_stored(self.ring, turn()),
                    "the store does not know of {line:?}"
                );
                let is_first = history.note_go(self.turn_of(turn()), &self.name);
                self.hear_last(turn(), line, world, history);
                self.hear_go(turn(), line, is_first, world);
                let is_sent = self.in_flight.as_ref().is_some_and(|(sent, _)| *sent == turn());
                self.turn = Some(turn()).filter(|turn| !is_sent && self.passed != Some(*turn));
            }
            "OK" => self.hear_ok(line, world, history),
            // An answer that is under way gets its own reply.
            "LAPSED" => {
                let is_early =
                    self.certain.is_some_and(|(certain, until)| certain == turn() && world.elapsed() < until);
                let is_by_time = !line.contains(" how=");
                assert!(!is_early || !is_by_time || self.is_sleepy, "M13: {line:?}, and {:?}", self.certain);
                self.turn = self.turn.filter(|held| *held != turn());
            }
            "NO" => self.hear_no(line, world),
            "PONG" => {
                self.pings = self.pings.checked_sub(1).expect("a PONG for every PING");
                self.has_spoken();
            }
            "BYE" => {
                // A drain closes connections without what a slow store holds back.
                let waits = self.is_welcome && !world.is_behind() && self.waits_for_ok(history);
                assert!(!waits, "L14: {line:?} came before the OK for its answer");
                self.hear_bye(line, world);
            }
            "WAIT" | "SAY" | "BEGIN" | "TURN" | "SKIP" | "JOINED" | "AWAY" | "BACK" | "LEFT" | "PAUSED"
            | "RESUMED" | "SEAT" | "SEATS" => {}
            // The lines of a payload that it hears.
            _ => assert!(self.hears, "what is {line:?}?"),
        }
    }

    fn welcome(&mut self, line: &str, history: &mut History) {
        let epoch = field(line, "epoch").to_owned();
        if let (Some((known, _)), true) = (&self.secret, self.is_back) {
            assert_eq!(*known, epoch, "T31: a secret is good for one life of the server");
        }
        self.is_welcome = true;
        self.epoch.clone_from(&epoch);
        self.may_be_gone = false;
        self.away_since.take_if(|_| !self.is_parted);
        self.secret = Some((epoch, field(line, "resume").to_owned()));
        let last = find_field(line, "last").map(|last| last.parse::<u64>().expect("a number"));
        let judging = find_field(line, "judging").map(|turn| turn.parse::<u64>().expect("a number"));
        if !self.is_back {
            self.last_ok = None;
            // It left, and its connection was lost before the server said goodbye.
            self.skip_unknown();
        }
        let known = self.last_ok.as_ref().map(|(turn, _)| *turn);
        let sent = self.in_flight.as_ref().map(|(turn, _)| *turn);
        assert!(
            !self.is_back || last == known || last == sent,
            "M2: last={last:?}; {known:?} was confirmed, {sent:?} is in flight"
        );
        let Some((sent, answer)) = self.in_flight.take() else { return };
        if last == Some(sent) {
            self.by_last.insert(self.number);
            history.note_ok(self.turn_of(sent), &self.name, &answer);
            self.counted(sent, answer);
        } else if judging == Some(sent) {
            self.in_flight = Some((sent, answer));
        } else {
            assert_eq!(judging, None, "M6: it is judged what it has not said");
        }
    }

    /// L14: a `GO` names the last answer of its seat that counted, if its connection asked for that. An
    /// earlier answer that is not named does not count and never will.
    fn hear_last(&mut self, turn: u64, line: &str, world: &World, history: &mut History) {
        let last = find_field(line, "last").map(|last| last.parse::<u64>().expect("a number"));
        let known = self.last_ok.as_ref().map(|(turn, _)| *turn).filter(|_| self.confirms_by_go);
        let sent = self.in_flight.as_ref().map(|(turn, _)| *turn).filter(|sent| *sent < turn);
        assert!(
            last == known || self.confirms_by_go && last == sent,
            "L14: {line:?}; {known:?} was confirmed, {sent:?} is in flight"
        );
        let Some((sent, answer)) = self.in_flight.take_if(|_| self.confirms_by_go && sent.is_some()) else {
            return;
        };
        if last == Some(sent) {
            assert!(
                !world.has_store() || world.is_answer_stored(self.ring, &self.name, sent),
                "the store does not know of {line:?}"
            );
            history.note_ok(self.turn_of(sent), &self.name, &answer);
            self.counted(sent, answer);
        } else {
            let is_counted = history.is_counted(&self.turn_of(sent));
            assert!(!is_counted, "L14: {line:?}, and its answer to {sent} counted");
        }
    }

    /// Returns whether it has not been told that its answer counts, as far as the host knows.
    fn waits_for_ok(&self, history: &History) -> bool {
        self.in_flight.as_ref().is_some_and(|(sent, _)| history.is_counted(&self.turn_of(*sent)))
    }

    /// A holder gets the whole time of a turn when it is first told. Only a client that resumed gets the
    /// rest.
    fn hear_go(&mut self, turn: u64, line: &str, is_first: bool, world: &World) {
        let (within, until) = self.time_told(turn, line, world).expect("the time of a turn");
        let told = self.certain.filter(|(told, _)| *told == turn);
        if is_first {
            let may_be_short = self.certain.is_none() && self.is_back;
            let whole = world.config().rules.turn_deadline;
            assert!(may_be_short || within >= whole, "M13: {line:?}, and the deadline is {whole:?}");
            self.certain = Some((turn, until));
        } else {
            self.certain = Some((turn, told.map_or(until, |(_, before)| before.max(until))));
        }
    }

    /// Returns the time that `turn` has left by `line`, and when that ends. A line must not promise more time
    /// than there is.
    fn time_told(&self, turn: u64, line: &str, world: &World) -> Option<(Duration, Duration)> {
        let within = Duration::from_millis(find_field(line, "within")?.parse().expect("milliseconds"));
        let is_right = self.is_sleepy || world.time_left(self.ring, turn).is_none_or(|left| within <= left);
        assert!(is_right, "M13: {line:?}, and {:?} is left", world.time_left(self.ring, turn));
        Some((within, world.elapsed() + within))
    }

    fn hear_ok(&mut self, line: &str, world: &World, history: &mut History) {
        let turn = find_field(line, "turn").map(|turn| turn.parse::<u64>().expect("a number"));
        if let Some((sent, answer)) = self.in_flight.clone()
            && turn == Some(sent)
        {
            assert!(
                !world.has_store() || world.is_answer_stored(self.ring, &self.name, sent),
                "the store does not know of {line:?}"
            );
            history.note_ok(self.turn_of(sent), &self.name, &answer);
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

    fn hear_no(&mut self, line: &str, world: &World) {
        assert!(line.contains(" :"), "T27: a code and words: {line:?}");
        let code = line.split(' ').nth(1).unwrap_or_default();
        let turn = find_field(line, "turn").map(|turn| turn.parse::<u64>().expect("a number"));
        let is_sent = self.in_flight.as_ref().is_some_and(|(sent, _)| turn == Some(*sent));
        let told = turn.and_then(|turn| self.time_told(turn, line, world));
        match code {
            "refused" | "not-judged" if is_sent => {
                self.in_flight = None;
                self.certain = turn.zip(told.map(|(_, until)| until));
                self.tries += 1;
                self.turn = told.and(turn);
            }
            "stale-turn" | "not-your-turn" if is_sent => self.in_flight = None,
            "judging" => self.rests = self.rests.saturating_sub(1),
            "stale-turn" | "not-your-turn" => {}
            "malformed" | "hold-max" | "refused" | "not-judged" | "not-joined" | "out-of-range" => {}
            code => panic!("why {code}: {line:?}"),
        }
    }

    fn hear_bye(&mut self, line: &str, world: &World) {
        match line.split(' ').nth(1).unwrap_or_default() {
            "bad-secret" => {
                assert!(self.used.is_some(), "T22: {} came without a secret", self.name);
                // Its own second `JOIN` may have voided the secret that it read meanwhile, so this is only
                // checked in worlds with a store, where seats have to survive.
                let is_judged = world.has_store() && !self.is_removable;
                assert!(
                    !is_judged || self.may_be_gone || self.is_grace_over(world),
                    "{} is away since {:?}, and its seat is gone",
                    self.name,
                    self.away_since
                );
                self.secret = None;
                (self.last_ok, self.passed) = (None, None);
                self.skip_unknown();
            }
            "left" | "removed" => {
                if self.is_welcome {
                    // An answer in flight did not count: that would have been said before.
                    self.in_flight = None;
                }
                self.skip_unknown();
                self.secret = None;
                (self.last_ok, self.passed) = (None, None);
            }
            // An older `JOIN` of its own arrived later and used the seat's secret.
            "superseded" => self.may_be_gone = true,
            "name-taken" | "hello-timeout" | "line-timeout" | "full" | "shutting-down" => {}
            code => panic!("why {code}: {line:?}"),
        }
        self.is_welcome = false;
    }

    /// Skips an answer in flight whose fate nobody knows.
    fn skip_unknown(&mut self) {
        if self.in_flight.take().is_some() {
            self.number = (self.number / NEXT_LIFE + 1) * NEXT_LIFE + 1;
            self.tries = 0;
        }
    }

    fn counted(&mut self, turn: u64, answer: String) {
        self.last_ok = Some((turn, answer));
        self.number += 1;
        self.tries = 0;
    }

    /// The server has read a valid line from it since its welcome, so the secret with which it resumed is no
    /// longer valid.
    fn has_spoken(&mut self) {
        if let Some(used) = self.used.take() {
            self.burnt = Some(used);
        }
    }

    /// Checks that every request was answered, once nothing is under way.
    pub(super) fn check_replies(&self, world: &World, history: &History) {
        let Some(peer) = self.peer.filter(|peer| !self.is_cut && world.is_open(*peer)) else { return };
        // A connection with much queued is not read, nor is one that is about to be closed.
        let may_be_closing = self.is_removable || self.is_parted;
        let is_unread = world.is_behind() && (may_be_closing || world.out_bytes_max() < 1024);
        assert!(self.pings == 0 || world.is_blocked(peer) || is_unread, "T27: {} got no PONG", self.name);
        let is_quiet = self.is_welcome && !world.is_blocked(peer) && !world.is_behind();
        let waits = is_quiet && self.waits_for_ok(history);
        let is_go_due = self.confirms_by_go && world.is_held(self.ring);
        assert!(!waits || is_go_due, "L14: {} got no OK, and no GO is due", self.name);
    }

    /// Checks its answers that were reported to the host, `texts`: no gap and no repetition, except where it
    /// could not know, or the host died before it was told.
    pub(super) fn check_numbers(&self, texts: &[String]) {
        let name = &self.name;
        let mut last = 0;
        for text in texts {
            let number: u64 =
                text.split('/').next().and_then(|number| number.parse().ok()).expect("a number");
            let first = last.max(number / NEXT_LIFE * NEXT_LIFE) + 1;
            let has_gap = (first..number).any(|unheard| !self.by_last.contains(&unheard));
            assert!(number >= first && !has_gap, "S5: {name}: {number} after {last}");
            last = number;
        }
    }
}
