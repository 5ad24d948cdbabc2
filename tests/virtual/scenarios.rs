//! Stories of a ring, one per file in `tests/scenarios/`, for people to read.
//!
//! A line that starts with `> ` is something that happens, and the lines after it are its effects. Empty
//! lines and those that start with `#` are for the reader. The runner plays each story in a world of virtual
//! time, and compares. The effects are rewritten by `UPDATE_EXPECT=1 cargo test --test virtual scenarios`:
//! read the difference before you commit it.
//!
//! ```text
//! > the server starts: line framing, 3 seats needed, 10 s a turn, 20 s of grace
//! > ann connects                      a second time: what she had becomes her old connection
//! > ann says JOIN ann                 $ann1 stands for the first secret that ann was given, $ann2 for the second
//! > ann's connection is lost
//! > ann's connection goes dead        neither end is told
//! > 30 s pass                         or 100 ms
//! > who has the turn?
//! > the host accepts                or: accepts, cid is next; or: refuses: that square is taken
//! > the host says to bob: look out    or to main: to all who hear the ring
//! > the server drains
//! > the server restarts
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect_file;
use support::network::{Peer, World};
use support::{ms, secs};
use taketurns::protocol::turns::{Framing, TurnEvent, TurnServerConfig, Verdict};
use taketurns::turn::{Demand, Demands, HeldClock, HoldMax, Judging, Weight};

#[test]
fn every_story_happens_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(&folder).expect("the folder of the stories");
    let mut stories: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    stories.sort();
    assert!(stories.len() >= 16, "stories in {}", folder.display());
    for path in stories {
        let story = std::fs::read_to_string(&path).expect("a readable file");
        let told = Stage::play(&story, 0);
        // The story is the same however the bytes are split on their way.
        for seed in 1..10 {
            assert_eq!(Stage::play(&story, seed), told, "{}, cut another way", path.display());
        }
        expect_file![path].assert_eq(&told);
    }
}

struct Person {
    name: String,
    /// Their connections, the latest last.
    connections: Vec<Peer>,
    secrets: Vec<String>,
}

struct Stage {
    world: World,
    seed: u64,
    people: Vec<Person>,
    epochs: Vec<String>,
    /// How many of the world's records have been told.
    told_writes: usize,
    told_events: usize,
    told_answers: usize,
    told_closed: Vec<Peer>,
}

impl Stage {
    /// Returns the story with its effects.
    fn play(story: &str, seed: u64) -> String {
        let mut told = String::new();
        let mut stage = Stage::new(TurnServerConfig::default(), seed);
        for line in story.lines() {
            if let Some(command) = line.strip_prefix("> ") {
                writeln!(told, "{line}").expect("memory");
                let before = stage.world.elapsed();
                let answer = stage.act(command);
                told.push_str(&answer);
                stage.tell(before, &mut told);
            } else if line.is_empty() || line.starts_with('#') {
                writeln!(told, "{line}").expect("memory");
            }
        }
        told
    }

    fn new(config: TurnServerConfig, seed: u64) -> Stage {
        Stage {
            world: {
                let mut world = World::new(config, seed);
                world.chunking &= seed > 0;
                world
            },
            seed,
            people: Vec::new(),
            epochs: Vec::new(),
            told_writes: 0,
            told_events: 0,
            told_answers: 0,
            told_closed: Vec::new(),
        }
    }

    /// Carries out `command`. Returns the narrator's reply.
    fn act(&mut self, command: &str) -> String {
        if let Some(options) = command.strip_prefix("the server starts: ") {
            *self = Stage::new(config(options), self.seed);
        } else if command == "the server drains" {
            self.world.drain();
        } else if command == "the server restarts" {
            self.world.kill_server();
            self.world.start_server();
        } else if command == "who has the turn?" {
            return self.holders();
        } else if let Some(verdict) = command.strip_prefix("the host accepts") {
            let next = verdict.strip_prefix(", ").and_then(|rest| rest.strip_suffix(" is next"));
            let next = next.map(|name| self.world.seat(name));
            return match self.world.try_rule(Verdict::Accept { next, words: None, state: None }) {
                Ok(()) => String::new(),
                Err(error) => format!("The host is told: {error}\n"),
            };
        } else if let Some(words) = command.strip_prefix("the host refuses: ") {
            self.world.refuse(words);
        } else if let Some(rest) = command.strip_prefix("the host says to ") {
            let (name, words) = rest.split_once(": ").expect("to whom");
            let ring = "main".parse().expect("a name");
            match name {
                "main" => {
                    self.world
                        .act(|server, _, links| server.say_to_ring(&ring, words.as_bytes(), links))
                        .expect("short words");
                }
                name => {
                    let seat = self.world.seat(name);
                    self.world
                        .act(|server, _, links| server.say_to_seat(seat, words.as_bytes(), links))
                        .expect("short words");
                }
            }
        } else if let Some(time) = command.strip_suffix(" pass") {
            self.world.drive_for(duration(time));
        } else if let Some((name, text)) = command.split_once(" says ") {
            let text = self.with_secrets(text);
            self.say(name, &text);
        } else if let Some(name) = command.strip_suffix(" connects") {
            // A client comes back from the same address.
            let first =
                self.people.iter().find(|person| person.name == name).map(|person| person.connections[0]);
            self.world.next_address = first.map(|peer| self.world.addr(peer).ip());
            let peer = self.world.connect_quietly();
            match self.people.iter_mut().find(|person| person.name == name) {
                Some(person) => person.connections.push(peer),
                None => {
                    let name = name.to_owned();
                    self.people.push(Person { name, connections: vec![peer], secrets: Vec::new() });
                }
            }
            self.world.drive();
        } else if let Some(name) = command.strip_suffix("'s connection is lost") {
            let peer = self.peer(name);
            self.told_closed.push(peer);
            self.world.reset(peer);
        } else if let Some(name) = command.strip_suffix("'s connection goes dead") {
            let peer = self.peer(name);
            self.world.lose_up(peer);
            self.world.lose_down(peer);
        } else {
            panic!("nobody knows how to do this: {command:?}");
        }
        String::new()
    }

    fn peer(&self, name: &str) -> Peer {
        let person = self.people.iter().find(|person| person.name == name);
        *person
            .and_then(|person| person.connections.last())
            .unwrap_or_else(|| panic!("{name} never connected"))
    }

    /// A line client ends its lines; an old client does not. `\
    /// ` is a line end within a payload.
    fn say(&mut self, name: &str, text: &str) {
        let peer = self.peer(name);
        let text = text.replace("\\n", "\n");
        let is_old = name.starts_with("Client");
        self.world.chunking &= !is_old;
        self.world.say_bytes(peer, format!("{text}{}", if is_old { "" } else { "\n" }).as_bytes());
        self.world.chunking = self.seed > 0 && self.world.config().framing == Some(Framing::Line);
    }

    fn holders(&self) -> String {
        let mut told = String::new();
        let scheduler = self.world.server().scheduler();
        for id in scheduler.rings() {
            let ring = self.world.server().ring_name(id).expect("a ring with a seat has a name");
            match scheduler.held(id) {
                Some(held) => {
                    let left = match held.clock {
                        HeldClock::Running { deadline } => {
                            self.world.time_of(deadline).saturating_sub(self.world.elapsed())
                        }
                        HeldClock::Stopped { left } | HeldClock::Judged { left, .. } => left,
                        HeldClock::Unreleased => Duration::ZERO,
                    };
                    let how = match held.clock {
                        HeldClock::Judged { .. } => ", and is judged",
                        HeldClock::Stopped { .. } => ", and stands still",
                        HeldClock::Unreleased => ", and has not been told",
                        HeldClock::Running { .. } => "",
                    };
                    let name = self.world.server().name_of(held.seat);
                    writeln!(told, "In ring {ring} {name} has turn {} for another {left:?}{how}.", held.turn)
                }
                None => writeln!(told, "In ring {ring} no seat has the turn."),
            }
            .expect("memory");
        }
        if told.is_empty() { "There is no ring.\n".to_owned() } else { told }
    }

    /// Tells what has happened since the last call, in order.
    fn tell(&mut self, since: Duration, told: &mut String) {
        let mut lines: Vec<(Duration, String)> = Vec::new();
        for answer in &self.world.answers[self.told_answers..] {
            let (text, turn) = (answer.text(), answer.turn);
            let line = format!("The server reports: {} answers (turn {turn})", text.escape_debug());
            lines.push((answer.at, line));
        }
        self.told_answers = self.world.answers.len();
        for (at, event) in &self.world.events[self.told_events..] {
            let name = |seat| self.world.server().name_of(seat);
            let line = match event {
                TurnEvent::Ended { seat, how, turn } => {
                    format!("The server reports: {} {how} (turn {turn})", name(*seat))
                }
                TurnEvent::NotJudged { seat, turn } => {
                    format!("The server reports: {} was not judged (turn {turn})", name(*seat))
                }
                TurnEvent::Refused { code, .. } => format!("The server reports: refused, {code}"),
                _ => continue,
            };
            lines.push((*at, line));
        }
        self.told_events = self.world.events.len();
        for write in &self.world.deliveries()[self.told_writes..] {
            if !self.world.is_deaf(write.peer) {
                let who = self.label(write.peer);
                lines.extend(write.text().lines().map(|line| (write.at, format!("{who} hears: {line}"))));
            }
        }
        self.told_writes = self.world.deliveries().len();
        for peer in self.people.iter().flat_map(|person| &person.connections) {
            if let Some(at) = self.world.closed_at(*peer).filter(|_| !self.told_closed.contains(peer)) {
                self.told_closed.push(*peer);
                if !self.world.is_deaf(*peer) {
                    lines.push((at, format!("{} is disconnected", self.label(*peer))));
                }
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        for (at, line) in lines {
            if at > since {
                write!(told, "After {:?}: ", at - since).expect("memory");
            }
            let line = self.without_secrets(&line);
            writeln!(told, "{line}").expect("memory");
        }
    }

    fn label(&self, peer: Peer) -> String {
        let person = self.people.iter().find(|person| person.connections.contains(&peer));
        let Person { name, connections, .. } = person.expect("everybody has a name");
        if connections.last() == Some(&peer) { name.clone() } else { format!("{name}'s old connection") }
    }

    /// Replaces `$ann1` by Ann's actual secret.
    fn with_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for person in &self.people {
            for (at, secret) in person.secrets.iter().enumerate().rev() {
                text = text.replace(&format!("${}{}", person.name, at + 1), secret);
            }
        }
        text
    }

    /// Replaces secrets and epochs, which are random, by names.
    fn without_secrets(&mut self, line: &str) -> String {
        let who = line.split([' ', '\'']).next().unwrap_or_default();
        let words = line.split(' ').map(|word| {
            if let Some(secret) = word.strip_prefix("resume=").filter(|secret| secret.len() == 32) {
                let person =
                    self.people.iter_mut().find(|person| person.name == who).expect("somebody hears it");
                person.secrets.push(secret.to_owned());
                return format!("resume=${who}{}", person.secrets.len());
            }
            let Some(epoch) = word.strip_prefix("epoch=") else { return word.to_owned() };
            let known = self.epochs.iter().position(|known| known == epoch);
            let at = known.unwrap_or_else(|| {
                self.epochs.push(epoch.to_owned());
                self.epochs.len() - 1
            });
            format!("epoch=EPOCH{}", at + 1)
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

fn config(options: &str) -> TurnServerConfig {
    let mut config = TurnServerConfig::default();
    for option in options.split(", ") {
        let rules = &mut config.rules;
        match option {
            "a host judges" => rules.judging = Judging::Host,
            "no end of a turn" => rules.hold_max = HoldMax::Unlimited,
            "seats ask" => rules.demands = Demands::Only(Demand::Ask),
            "any weight" => rules.weight_max = Weight::MAX,
            _ => set_counted(&mut config, option),
        }
    }
    config
}

fn set_counted(config: &mut TurnServerConfig, option: &str) {
    let (first, rest) = option.split_once(' ').expect("words");
    let count = || first.parse::<usize>().unwrap_or_else(|_| panic!("a number: {option:?}"));
    match rest {
        "framing" => {
            config.framing = (first != "auto").then(|| first.parse().expect("raw, line or auto"));
        }
        "seats needed" | "seat needed" => config.rules.min_seats = count(),
        "clients at most" => config.max_clients = count(),
        "rings at most" => config.max_rings = count(),
        "s a turn" => config.rules.turn_deadline = duration(&format!("{first} s")),
        "s of grace" => config.rules.seat_grace = duration(&format!("{first} s")),
        "s for a lost holder" => config.rules.turn_grace = duration(&format!("{first} s")),
        _ => panic!("the server knows no {option:?}"),
    }
}

fn duration(text: &str) -> Duration {
    match text.split_once(' ') {
        Some((count, "s")) => secs(count.parse().expect("seconds")),
        Some((count, "ms")) => ms(count.parse().expect("milliseconds")),
        _ => panic!("a time in s or ms: {text:?}"),
    }
}
