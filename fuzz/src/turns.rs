//! A turn server and its host: the rules that a mode chooses, the commands of `x`, and a check of the reports
//! against the promises: one holder a ring, numbers that grow, one end a turn, one verdict an answer.
//!
//! | line | the host |
//! |---|---|
//! | `xa`, `xr`, `xd` | accepts, refuses, drops the oldest proposal |
//! | `xA3` | accepts it, and names the seat of connection 3 next |
//! | `xn3`, `xk3`, `xy3` | names the seat of connection 3 next, removes it, says something to it |
//! | `xs`, `xe`, `xp`, `xc` | skips, extends, pauses, continues every ring |
//! | `xj`, `xf` | admits, turns away the client that has waited for that longest |
//! | `xm` | sets the rules of `main` to those of a lock |
//! | `xl` | lets all names that were removed join again |

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use taketurns::protocol::ConnectionId;
use taketurns::protocol::turns::{
    Admission, Admit, Framing, Joining, Name, Proposal, TurnEvent, TurnServer, TurnServerConfig, Verdict,
};
use taketurns::turn::{Demand, Demands, HoldMax, Judging, RingId, Rules, SeatId, Weight};

use crate::session::{Session, entropy};

const CLIENTS_MAX: usize = 6;
const ANSWER_BYTES_MAX: usize = 64;

/// The state of the host, and its open decisions.
#[derive(Default)]
struct Host {
    held: HashMap<RingId, (SeatId, u64)>,
    last: HashMap<RingId, u64>,
    proposals: VecDeque<Proposal>,
    joining: VecDeque<Joining>,
    removed: Vec<Name>,
}

impl Host {
    fn note(&mut self, event: TurnEvent) {
        match event {
            TurnEvent::Granted { seat, turn } => {
                let before = self.held.insert(seat.ring(), (seat, turn.get()));
                assert_eq!(before, None, "two hold the turn");
                let last = self.last.insert(seat.ring(), turn.get()).unwrap_or(0);
                assert!(turn.get() > last, "a turn is granted twice");
            }
            TurnEvent::Accepted { seat, turn, .. } | TurnEvent::Ended { seat, turn, .. } => {
                let held = self.held.remove(&seat.ring());
                assert_eq!(held, Some((seat, turn.get())), "a turn ends that was not held");
            }
            TurnEvent::Proposed(proposal) => {
                let held = self.held.get(&proposal.seat().ring());
                assert_eq!(held, Some(&(proposal.seat(), proposal.turn().get())), "it has not the turn");
                assert!(proposal.answer().bytes.len() <= ANSWER_BYTES_MAX);
                self.proposals.push_back(proposal);
            }
            TurnEvent::NotJudged { seat, turn } => {
                assert_eq!(self.held.get(&seat.ring()), Some(&(seat, turn.get())), "it ends behind this");
            }
            TurnEvent::Joining(joining) => self.joining.push_back(*joining),
            _ => {}
        }
    }

    fn act(&mut self, session: &mut Session<TurnServer>, what: &[u8]) {
        let &[verb, ref rest @ ..] = what else { return };
        let meant = rest.first().and_then(|digit| session.connection(usize::from(digit.wrapping_sub(b'0'))));
        let seat = meant.and_then(|id| session.protocol.seat_of(id));
        match verb {
            b'a' => self.rule(session, Verdict::ACCEPT),
            b'A' => self.rule(session, Verdict::Accept { next: seat, words: Some("well done"), state: None }),
            b'r' => self.rule(session, Verdict::Refuse { words: "no" }),
            b'd' => drop(self.proposals.pop_front()),
            b'j' => self.admit(session),
            b'f' => self.forbid(session),
            b's' | b'e' | b'p' | b'c' => act_on_rings(session, verb),
            b'm' => set_rules(session),
            b'l' => self.lift(session),
            _ => self.act_on_seat(session, verb, meant, seat),
        }
    }

    /// A verdict that comes too late, or names a seat that cannot be next, is an error and changes nothing.
    fn rule(&mut self, Session { protocol, links, now, .. }: &mut Session<TurnServer>, verdict: Verdict<'_>) {
        let Some(proposal) = self.proposals.pop_front() else { return };
        if let Err(unruled) = protocol.rule(*now, proposal, verdict, links) {
            self.proposals.extend(unruled.proposal);
        }
    }

    fn admit(&mut self, Session { protocol, links, now, .. }: &mut Session<TurnServer>) {
        let Some(joining) = self.joining.pop_front() else { return };
        let weight = joining.weight.and_then(|weight| u8::try_from(weight).ok()).and_then(Weight::new);
        let mut admit = Admit::default();
        (admit.weight, admit.owns_name) = (weight, joining.token.is_some());
        protocol.say_to(joining.connection, b"welcome", links).expect("short words");
        protocol.admit(*now, joining.connection, &admit, links);
    }

    fn forbid(&mut self, Session { protocol, links, now, .. }: &mut Session<TurnServer>) {
        if let Some(joining) = self.joining.pop_front() {
            protocol.forbid(*now, joining.connection, "not you", links);
        }
    }

    fn act_on_seat(
        &mut self,
        Session { protocol, links, now, .. }: &mut Session<TurnServer>,
        verb: u8,
        id: Option<ConnectionId>,
        seat: Option<SeatId>,
    ) {
        let (Some(id), Some(seat)) = (id, seat) else { return };
        match verb {
            b'n' => drop(protocol.name_next(seat)),
            b'k' => {
                self.removed.extend(protocol.name_of(seat).to_string().parse::<Name>());
                protocol.remove(*now, seat, links).expect("it exists");
            }
            b'y' => {
                protocol.say_to(id, b"two\nlines", links).expect("short words");
                protocol.say_to_seat(seat, b"words", links).expect("short words");
            }
            _ => {}
        }
    }

    fn lift(&mut self, Session { protocol, now, .. }: &mut Session<TurnServer>) {
        for name in self.removed.drain(..) {
            protocol.lift(*now, &main(), &name);
        }
    }
}

fn main() -> Name {
    "main".parse().expect("a name")
}

fn act_on_rings(Session { protocol, links, now, .. }: &mut Session<TurnServer>, verb: u8) {
    let rings: Vec<_> = protocol.scheduler().rings().collect();
    for ring in rings {
        let _ = match verb {
            b's' => protocol.skip(*now, ring, links),
            b'e' => protocol.extend(*now, ring, Duration::from_secs(1), links),
            b'p' => protocol.pause(*now, ring, links),
            _ => protocol.resume(*now, ring, links),
        };
    }
    protocol.say_to_ring(&main(), b"to all that hear", links).expect("short words");
}

fn set_rules(Session { protocol, links, now, .. }: &mut Session<TurnServer>) {
    protocol.set_rules(*now, main(), lock(), links).expect("rules that can be kept");
}

fn lock() -> Rules {
    let mut rules = Rules::default();
    rules.min_seats = 1;
    rules.demands = Demands::Only(Demand::Ask);
    rules.hold_max = HoldMax::Unlimited;
    rules.turn_grace = Duration::from_secs(10);
    rules
}

fn config(framing: Option<Framing>, mode: u8) -> TurnServerConfig {
    let mut config = TurnServerConfig::default();
    config.framing = framing;
    config.max_clients = CLIENTS_MAX;
    config.max_rings = 2;
    config.answer_bytes_max = ANSWER_BYTES_MAX;
    config.raw_bytes_max = 128;
    config.roster_max = 3;
    config.max_per_address = (mode & 1 != 0).then_some(4);
    if mode & 2 != 0 {
        config.rules.judging = Judging::Host;
        config.rules.proposals_max = 3;
    }
    if mode & 4 != 0 && framing != Some(Framing::Raw) {
        let Rules { judging, proposals_max, .. } = config.rules;
        config.rules = lock();
        (config.rules.judging, config.rules.proposals_max) = (judging, proposals_max);
    }
    if mode & 8 != 0 {
        config.rules.turn_grace = Duration::from_secs(2);
        config.rules.seats_max = Some(4);
        config.rules.weight_max = Weight::new(100).expect("not 0");
    }
    if mode & 16 != 0 && framing == Some(Framing::Line) {
        config.admission = Admission::Host;
    }
    config
}

/// Plays `input` against a server with short limits, and judges it. The first byte is its mode.
pub fn play(framing: Option<Framing>, input: &[u8]) {
    let Some((&mode, script)) = input.split_first() else { return };
    let server = TurnServer::new(config(framing, mode), entropy()).expect("limits that fit each other");
    let host = RefCell::new(Host::default());
    let check = |session: &mut Session<TurnServer>| {
        let mut host = host.borrow_mut();
        session.events.drain(..).for_each(|event| host.note(event));
        let scheduler = session.protocol.scheduler();
        scheduler.check_invariants().expect("invariants hold after every step");
        let held = scheduler.rings().filter(|&ring| scheduler.held(ring).is_some()).count();
        assert_eq!(held, host.held.len(), "what is held was granted");
        assert!(session.protocol.clients() <= CLIENTS_MAX, "more clients than allowed");
        assert!(scheduler.seats() <= 2 * CLIENTS_MAX, "more seats than allowed");
    };
    Session::server(server).play(script, |session, what| host.borrow_mut().act(session, what), check);
}
