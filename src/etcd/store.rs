//! The store of a server that leads.

use std::fmt;
use std::io;

use log::warn;

use super::candidacy::{Reading, Shard};
use super::keys::Keys;
use super::lease::Lease;
use super::members::Members;
use super::message::{Answer, Code, Request, Trouble};
use super::parts;
use super::term::{Term, Verdict};
use crate::record::{Change, Key, MetaValue, State};
use crate::session::Epoch;
use crate::store::{Expiry, Lost, Store};

/// Entries in etcd, which only the server that leads changes.
///
/// Made by a [`Candidate`](super::Candidate) that has been elected. A commit is tried until etcd decides it
/// or the lease expires. Only an answer of etcd [fences](Lost::Fenced).
pub struct EtcdStore {
    keys: Keys,
    fence: i64,
    /// Known once the shard has been read.
    term: Option<Term>,
    lease: Lease,
    members: Members,
    fresh: Fresh,
}

/// The epoch of a store that is still empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh {
    pub(super) epoch: Epoch,
    /// Whether it is begun even if there already is another one.
    pub(super) is_wanted: bool,
}

impl EtcdStore {
    pub(super) fn new(keys: Keys, fence: i64, lease: Lease, members: Members, fresh: Fresh) -> EtcdStore {
        EtcdStore { keys, fence, term: None, lease, members, fresh }
    }

    /// Asks until there is an answer or the lease has expired.
    fn ask(&mut self, request: &Request) -> Result<Answer, Lost> {
        loop {
            if self.lease.is_over() {
                return Err(Lost::Expired);
            }
            if let Ok(answer) = self.members.ask(request) {
                self.members.prefer_leader();
                return Ok(answer);
            }
        }
    }

    fn read(&mut self) -> Result<Shard, Lost> {
        let mut reading = Reading::new(self.keys.clone());
        loop {
            let answer = self.ask(&reading.request())?;
            if let Some(shard) = reading.hear(answer).map_err(failed)? {
                self.term = Some(reading.term(self.fence, &shard));
                return Ok(shard);
            }
        }
    }

    /// Carries out one transaction, tried until it is decided.
    fn commit_part(&mut self, changes: &[Change]) -> Result<(), Lost> {
        let term = self.term.as_ref().expect("a store is loaded before it stores");
        let request = Request::Txn(term.commit(changes));
        loop {
            let answer = self.ask(&request)?;
            let term = self.term.as_mut().expect("as before");
            match term.hear(&answer) {
                Ok(Verdict::Durable) => return Ok(()),
                Ok(Verdict::Fenced) => return Err(Lost::Fenced),
                Err(trouble) => warn!("etcd: {trouble}"),
            }
        }
    }

    /// Returns the state of a shard, and whether its epoch has to be stored first. An error says what is
    /// wrong with the shard, and what to do.
    fn state(&self, shard: &Shard) -> Result<(State, bool), String> {
        let Fresh { epoch, is_wanted } = self.fresh;
        if shard.seq.is_none() && shard.entries.is_empty() {
            return Ok((State::new(MetaValue { epoch, forgotten_turn: 0 }), true));
        }
        let damaged = |what: &dyn fmt::Display| {
            format!(
                "is damaged: {what}; put a snapshot back and start with Candidate::with_new_epoch, or delete all \
                 keys below it to start over"
            )
        };
        if shard.seq.is_none() {
            return Err(damaged(&"the key seq is missing, and there are entries"));
        }
        let entries = shard.entries.iter().map(|(key, value)| (&key[..], &value[..]));
        let mut state = State::read(entries).map_err(|error| match error.is_of_another_version() {
            true => format!(
                "was written by another version of this program: {error}; run that one, or delete all keys \
                 below it to start over"
            ),
            false => damaged(&error),
        })?;
        if is_wanted {
            state.meta.epoch = epoch;
        }
        Ok((state, is_wanted))
    }
}

fn failed(trouble: Trouble) -> Lost {
    Lost::Failed(io::Error::other(format!("etcd: {trouble}")))
}

impl Store for EtcdStore {
    fn load(&mut self) -> Result<State, Lost> {
        let shard = self.read()?;
        let (state, is_new) = self.state(&shard).map_err(|what| {
            let prefix = self.keys.begin();
            let prefix = String::from_utf8_lossy(&prefix);
            Lost::Failed(io::Error::other(format!("etcd: what is stored below {prefix} {what}")))
        })?;
        if is_new {
            self.commit_part(&[Change::Put { key: Key::Meta, value: state.meta.encode() }])?;
        }
        Ok(state)
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Lost> {
        parts::cut(changes).iter().try_for_each(|part| self.commit_part(part))
    }

    fn expiry(&self) -> Option<Expiry> {
        Some(self.lease.expiry.clone())
    }

    /// Gives up the lead: another server may take over at once.
    fn close(mut self) -> Result<(), Lost> {
        let revoke = Request::Revoke { lease: self.lease.id };
        for _ in 0..self.members.len() {
            match self.members.ask(&revoke) {
                // A lease that has ended leaves nothing to give up.
                Ok(_) | Err(Trouble::Refused { code: Code::NOT_FOUND, .. }) => return Ok(()),
                Err(_) => {}
            }
        }
        warn!("etcd: the lead is not given up, and ends with its lease");
        Ok(())
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore")
            .field("keys", &self.keys)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}
