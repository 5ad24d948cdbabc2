//! Clients that count: each answers its turns with growing numbers, at its own pace.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use log::{Level, log, warn};
use taketurns::net::Driver;
use taketurns::protocol::turns::{
    AnswerStatus, Bye, ClientConfig, ClientEvent, ClientId, ClientTurn, ConfigError, End, Farewell, Name,
    News, TurnClient,
};
use taketurns::time::{Instant, Now};
use taketurns::turn::Demand;

use super::remote::{Remote, follow, words_of};

/// How long the place or the turn of a new client can be on its way: a commit takes up to 3 s while etcd
/// replaces its own leader.
const PLACE_WITHIN: Duration = Duration::from_secs(4);

/// The counting clients of one process.
pub struct Counting {
    /// The pause of a client between two numbers.
    pace: Duration,
    /// The number of accepted answers after which a client is finished; `None` for no limit.
    count: Option<u64>,
    counters: HashMap<ClientId, Counter>,
    /// Pausing clients, by the end of their pause.
    pauses: BTreeSet<(Instant, ClientId)>,
    /// The number of clients that have neither reached their count nor given up.
    unfinished: usize,
    idleness: Idleness,
}

/// Whether the server lets clients rest that want turns always. The others get a place or a turn at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idleness {
    /// No client has got a seat yet.
    Unknown,
    /// A client has got a seat. At this time it rests, unless a place or a turn comes.
    RestsAt(Instant),
    /// This is known, and reported.
    Settled,
}

/// One client.
struct Counter {
    name: Name,
    number: i64,
    step: i64,
    accepted: u64,
    asks: bool,
    /// Whether it pauses from when it has answered, because its next turn may be what confirms the answer.
    pauses_early: bool,
    /// The turn to answer.
    turn: Option<ClientTurn>,
    /// The end of its pause; `None` if it does not pause.
    pauses_until: Option<Instant>,
    is_finished: bool,
}

/// News of a counting client.
pub enum Count {
    /// A number was accepted.
    Sent(Name, i64),
    /// A client gave up for good.
    Ended(Name, End),
}

impl Counting {
    pub fn new(pace: Duration, count: Option<u64>) -> Counting {
        let (counters, pauses) = (HashMap::new(), BTreeSet::new());
        Counting { pace, count, counters, pauses, unfinished: 0, idleness: Idleness::Unknown }
    }

    /// Adds a client, and connects it to `server`.
    pub fn add(
        &mut self,
        driver: &mut Driver<TurnClient>,
        server: &Remote,
        config: ClientConfig,
        number: i64,
        step: i64,
    ) -> Result<(), ConfigError> {
        let seat = config.seat.expect("a client that counts has a seat");
        let client = server.join(driver, config)?;
        let asks = seat.demand == Demand::Ask;
        self.counters.insert(
            client,
            Counter {
                name: seat.name,
                number,
                step,
                accepted: 0,
                asks,
                pauses_early: seat.confirms_by_go && !asks,
                turn: None,
                pauses_until: None,
                is_finished: false,
            },
        );
        self.unfinished += 1;
        Ok(())
    }

    /// Returns whether every client has reached its count or has given up.
    pub fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Returns when to call [`catch_up`](Self::catch_up).
    pub fn next_deadline(&self) -> Option<Instant> {
        let rests_at = match self.idleness {
            Idleness::RestsAt(at) => Some(at),
            _ => None,
        };
        self.pauses.first().map(|&(at, _)| at).into_iter().chain(rests_at).min()
    }

    /// Lets clients continue whose pause is over.
    pub fn catch_up(&mut self, now: Now, driver: &mut Driver<TurnClient>) {
        if matches!(self.idleness, Idleness::RestsAt(at) if at <= now.instant) {
            self.idleness = Idleness::Settled;
            super::complain(format_args!(
                "the server gives neither a turn nor a place in a queue; perhaps clients have to ask: see --demand ask"
            ));
        }
        while let Some(&(at, client)) = self.pauses.first().filter(|&&(at, _)| at <= now.instant) {
            self.pauses.remove(&(at, client));
            let Some(counter) = self.counters.get_mut(&client) else { continue };
            counter.pauses_until = None;
            match counter.turn {
                Some(_) => self.answer(now, driver, client),
                None => counter.ask(now, driver, client),
            }
        }
    }

    /// Handles an event of a client.
    pub fn handle(&mut self, now: Now, driver: &mut Driver<TurnClient>, event: ClientEvent) -> Option<Count> {
        let counter = self.counters.get_mut(&event.client)?;
        match event.news {
            News::Welcomed(welcome) if self.idleness == Idleness::Unknown && !welcome.is_resumed => {
                self.idleness = match counter.asks {
                    true => Idleness::Settled,
                    false => Idleness::RestsAt(now.instant + PLACE_WITHIN),
                };
            }
            News::Waiting { .. } => self.idleness = Idleness::Settled,
            News::Granted(turn) => {
                self.idleness = Idleness::Settled;
                counter.turn = Some(turn);
                if counter.is_finished {
                    rest(now, driver, event.client);
                } else if counter.pauses_until.is_none() {
                    self.answer(now, driver, event.client);
                }
            }
            News::Accepted { .. } => return self.accepted(now, driver, event.client),
            News::Over { .. } => {
                counter.turn = None;
                if counter.asks {
                    self.pause(now, driver, event.client);
                }
            }
            News::Lost { status, .. } => {
                counter.turn = None;
                if status == AnswerStatus::Unknown {
                    // The number may have counted, and no number is sent twice.
                    counter.go_on();
                }
                if counter.asks {
                    self.pause(now, driver, event.client);
                }
            }
            News::Refused { code, turn, words } => {
                // The same number would be refused again, and the client has no other.
                if let Some(turn) = turn.filter(|_| !counter.is_finished) {
                    driver.act(now, |clients, links| counter.warn(clients.pass(now, &turn, links)));
                }
                if may_log(Level::Warn, now, driver) {
                    let words =
                        words.map_or_else(|| code.words().to_owned(), |words| super::loggable(&words));
                    warn!("{}: refused by the server: {code} ({words})", counter.name);
                }
            }
            News::Bye(bye) if bye.code != Bye::Left => dismissed(now, driver, counter.name, &bye),
            News::Ended { why, dial } => {
                self.unfinished -= usize::from(!counter.is_finished);
                counter.is_finished = true;
                if let Some(dial) = dial {
                    driver.hang_up(dial);
                }
                return Some(Count::Ended(counter.name, why));
            }
            _ => {}
        }
        None
    }

    /// Counts the answer of a client, which then pauses or, after its last number, rests.
    fn accepted(&mut self, now: Now, driver: &mut Driver<TurnClient>, client: ClientId) -> Option<Count> {
        let counter = self.counters.get_mut(&client)?;
        let sent = Count::Sent(counter.name, counter.number);
        counter.go_on();
        counter.accepted += 1;
        if self.count == Some(counter.accepted) {
            counter.is_finished = true;
            self.unfinished -= 1;
            rest(now, driver, client);
        } else if !counter.pauses_early {
            self.pause(now, driver, client);
        }
        Some(sent)
    }

    /// Answers the turn of a client.
    fn answer(&mut self, now: Now, driver: &mut Driver<TurnClient>, client: ClientId) {
        let Some(counter) = self.counters.get_mut(&client) else { return };
        counter.answer(now, driver);
        if counter.pauses_early {
            self.pause(now, driver, client);
        }
    }

    /// Begins the pause of a client. Afterwards it asks for its next turn if it has to.
    fn pause(&mut self, now: Now, driver: &mut Driver<TurnClient>, client: ClientId) {
        let Some(counter) = self.counters.get_mut(&client).filter(|counter| !counter.is_finished) else {
            return;
        };
        if self.pace.is_zero() {
            return counter.ask(now, driver, client);
        }
        if let Some(at) = counter.pauses_until.replace(now.instant + self.pace) {
            self.pauses.remove(&(at, client));
        }
        self.pauses.insert((now.instant + self.pace, client));
    }
}

impl Counter {
    fn answer(&mut self, now: Now, driver: &mut Driver<TurnClient>) {
        let Some(turn) = self.turn.take() else { return };
        let number = self.number.to_string();
        driver.act(now, |clients, links| {
            self.warn(clients.answer(now, &turn, number.as_bytes(), links));
        });
    }

    /// Asks for a turn, unless the client always waits for turns.
    fn ask(&self, now: Now, driver: &mut Driver<TurnClient>, client: ClientId) {
        if self.asks {
            driver.act(now, |clients, links| self.warn(clients.ask(now, client, links)));
        }
    }

    /// Moves on to the next number.
    fn go_on(&mut self) {
        self.number = self.number.wrapping_add(self.step);
    }

    fn warn(&self, result: Result<(), impl std::fmt::Display>) {
        if let Err(error) = result {
            log::debug!("{}: {error}", self.name);
        }
    }
}

/// Goes where the server of a client sends it, if anywhere, and logs why the connection is closed.
fn dismissed(now: Now, driver: &mut Driver<TurnClient>, name: Name, bye: &Farewell) {
    let is_followed = follow(driver, bye);
    let hint = if bye.code == Bye::NameTaken { "; see --name" } else { "" };
    // A server that is being replaced is no reason to warn.
    let level = match bye.code {
        Bye::ShuttingDown | Bye::BadSecret => Level::Info,
        Bye::Moved if is_followed => Level::Info,
        _ => Level::Warn,
    };
    if may_log(level, now, driver) {
        log!(level, "{name}: the server closes the connection: {}{hint}", words_of(bye));
    }
}

/// Returns whether another line about the server may be logged.
fn may_log(level: Level, now: Now, driver: &mut Driver<TurnClient>) -> bool {
    driver.act(now, |_, links| links.may_log(level))
}

/// Lets a client rest for good. A raw client has no message for that, and stays silent.
fn rest(now: Now, driver: &mut Driver<TurnClient>, client: ClientId) {
    driver.act(now, |clients, links| clients.rest(now, client, links).ok());
}
