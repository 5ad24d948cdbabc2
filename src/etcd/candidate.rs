//! A server that wants to lead, and waits while another one does.

use std::fmt;
use std::io;
use std::time::Duration;

use super::candidacy::{Candidacy, Outcome};
use super::config::{EtcdConfig, EtcdError};
use super::keys::Keys;
use super::lease::{ANSWERS_PER_LEASE, Lease};
use super::members::{ANSWER_WITHIN, Members};
use super::message::Claim;
use super::store::{EtcdStore, Fresh};
use crate::net::now;
use crate::protocol::Entropy;
use crate::session::Epoch;
use crate::time::Instant;

/// A server that stands by until nobody else leads.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use taketurns::etcd::{Candidate, EtcdConfig, Step};
/// use taketurns::net::{EventLoop, now, os_entropy};
/// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
/// use taketurns::store::Store as _;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let members = ["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"];
/// let config = EtcdConfig::new(members.map(String::from).to_vec(), "games", "10.0.1.1:5001");
/// let mut candidate = Candidate::new(config, os_entropy())?;
/// let mut store = loop {
///     match candidate.step()? {
///         Step::Leads(store) => break store,
///         Step::Behind(leader) => println!("standing by, {leader:?} leads"),
///         Step::NoAnswer(why) => println!("standing by, etcd does not answer: {why}"),
///     }
/// };
/// let server = TurnServer::restore(now(), TurnServerConfig::default(), os_entropy(), &store.load()?)?;
/// let mut event_loop = EventLoop::new(server)?;
/// event_loop.store_in(store, Duration::from_secs(3))?;
/// event_loop.driver_mut().listen("10.0.1.1:5001".parse()?)?;
/// event_loop.run(|_driver, event| println!("{event:?}"))?; // fails when the lead is lost
/// # Ok(()) }
/// ```
pub struct Candidate {
    config: EtcdConfig,
    keys: Keys,
    ttl: u64,
    members: Members,
    candidacy: Candidacy,
    /// When its lease was requested.
    since: Instant,
    /// The epoch to begin if nothing is stored yet or a new one is wanted.
    fresh: Epoch,
    wants_new_epoch: bool,
}

/// The result of a [step](Candidate::step).
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "few are made, and the large one once")]
pub enum Step {
    /// This server leads. Load its store, then [give](crate::net::EventLoop::store_in) it to an event loop.
    Leads(EtcdStore),
    /// Another server leads: the address that it advertises, if that can be read.
    Behind(Option<String>),
    /// etcd did not answer or refused, with the reason. The next step asks again.
    NoAnswer(String),
}

impl Candidate {
    /// Makes a candidate, which stands by from its first step on.
    ///
    /// # Errors
    ///
    /// Returns [`EtcdError`] if the settings cannot be used.
    pub fn new(config: EtcdConfig, mut entropy: Entropy) -> Result<Candidate, EtcdError> {
        let (keys, ttl) = (config.keys()?, config.ttl_seconds()?);
        let members = Members::new(&config, ANSWER_WITHIN)?;
        let mut id = [0; 16];
        entropy(&mut id);
        let id = u128::from_le_bytes(id);
        let claim = Claim { id: format!("{id:032x}"), at: config.advertise.clone() };
        let candidacy = Candidacy::new(keys.clone(), claim, ttl);
        let (fresh, since) = (Epoch::random(&mut entropy), now().instant);
        Ok(Candidate { config, keys, ttl, members, candidacy, since, fresh, wants_new_epoch: false })
    }

    /// Has this server begin another epoch when it leads. That is for an old snapshot of etcd that was put
    /// back: turns that were granted after it are granted again, and the epoch tells them apart.
    #[must_use]
    pub fn with_new_epoch(mut self) -> Candidate {
        self.wants_new_epoch = true;
        self
    }

    /// Campaigns, or waits behind another server for a second at most. It blocks, so call it on its own
    /// thread.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot start the thread that renews the lease.
    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.candidacy.wants_lease() {
                self.since = now().instant;
            }
            let answer = self.members.ask(&self.candidacy.request());
            match answer.and_then(|answer| self.candidacy.hear(answer)) {
                Ok(Outcome::GoesOn) => {}
                Ok(Outcome::Leads { lease, fence }) => return self.lead(lease, fence).map(Step::Leads),
                Ok(Outcome::Behind { leader, revision }) => {
                    self.members.wait_for_change(self.keys.lead(), revision);
                    return Ok(Step::Behind(leader.map(|leader| leader.at)));
                }
                Err(trouble) => {
                    if trouble.is_refusal() {
                        self.candidacy.refused();
                    }
                    return Ok(Step::NoAnswer(trouble.to_string()));
                }
            }
        }
    }

    fn lead(&self, lease: i64, fence: i64) -> io::Result<EtcdStore> {
        // The settings were good when this was made.
        let members = |within| Members::new(&self.config, within).map_err(io::Error::other);
        let ttl = Duration::from_secs(self.ttl);
        let lease = Lease::keep(lease, self.since, ttl, members(ttl / ANSWERS_PER_LEASE)?)?;
        let fresh = Fresh { epoch: self.fresh, is_wanted: self.wants_new_epoch };
        Ok(EtcdStore::new(self.keys.clone(), fence, lease, members(ANSWER_WITHIN)?, fresh))
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("config", &self.config).finish_non_exhaustive()
    }
}
