//! The lease of a leader, renewed by a thread with its own connection, so that a commit that waits does not
//! hold up a renewal.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use log::warn;

use super::members::Members;
use super::message::{Answer, Request};
use crate::net::now;
use crate::store::Expiry;
use crate::time::Instant;

/// Each member gets a tenth of the lease to answer. Even if etcd's leader is cut off just before a renewal,
/// so that connecting to it times out, two thirds of the lease remain, enough to ask three members twice, and
/// by then etcd has a new leader.
pub(super) const ANSWERS_PER_LEASE: u32 = 10;

/// A lease that is renewed until this is dropped.
pub(super) struct Lease {
    pub(super) id: i64,
    /// When the lease expires if it is not renewed; never later than etcd's own expiry, provided both clocks
    /// run at the same rate.
    pub(super) expiry: Expiry,
    /// Dropping this stops the thread.
    _thread: Sender<()>,
}

impl Lease {
    /// Starts a thread that renews the lease requested at `since`. Returns an error if it cannot be spawned.
    pub(super) fn keep(id: i64, since: Instant, ttl: Duration, members: Members) -> io::Result<Lease> {
        let expiry = Expiry::new(since + ttl);
        let (to_thread, from_lease) = channel();
        let mut keeper = Keeper { members, id, ttl, expiry: expiry.clone() };
        let run = move || {
            let mut next = since + ttl / 3;
            while from_lease.recv_timeout(next.saturating_duration_since(now().instant))
                == Err(RecvTimeoutError::Timeout)
            {
                match keeper.keep_alive() {
                    Some(at) => next = at,
                    None => return,
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "neither the loop nor its store may wait for this")]
        std::thread::Builder::new().name("taketurns-lease".to_owned()).spawn(run)?;
        Ok(Lease { id, expiry, _thread: to_thread })
    }

    pub(super) fn is_over(&self) -> bool {
        self.expiry.at() <= now().instant
    }
}

/// The thread's side.
struct Keeper {
    members: Members,
    id: i64,
    ttl: Duration,
    expiry: Expiry,
}

impl Keeper {
    /// Tries once to renew the lease. Returns when to try again; `None` if the lease has ended.
    fn keep_alive(&mut self) -> Option<Instant> {
        let sent = now().instant;
        // After a suspension another server may hold the lead, so an expired lease is not renewed.
        if self.expiry.at() <= sent {
            return None;
        }
        match self.members.ask(&Request::KeepAlive { lease: self.id }) {
            Ok(Answer::KeptAlive { ttl: 1.. }) => {
                self.expiry.renew(sent + self.ttl);
                Some(sent + self.ttl / 3)
            }
            Ok(_) => {
                warn!("etcd: the lease of this server has ended");
                self.expiry.renew(sent);
                None
            }
            // `ask` has moved on to the next member.
            Err(_) => Some(sent),
        }
    }
}
