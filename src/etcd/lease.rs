//! The lease of a leader, kept alive by a thread with a connection of its own, so that a commit that waits
//! does not hold it up.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use log::warn;

use super::members::Members;
use super::message::{Answer, Request};
use crate::net::now;
use crate::store::Expiry;
use crate::time::Instant;

/// Members are given this part of a lease to answer. A lease that was due to be renewed when etcd's leader
/// was cut off, so that nothing refuses a connection to it, has two thirds left. In that time each of three
/// members is asked twice, and by the second time another one leads.
pub(super) const ASKED_IN_A_LEASE: u32 = 10;

/// A lease that is kept alive until this is dropped.
pub(super) struct Lease {
    pub(super) id: i64,
    /// When it ends unless it is kept alive once more. That is never later than etcd ends it, if the clocks
    /// of both run at the same pace.
    pub(super) expiry: Expiry,
    /// Its loss ends the thread.
    _thread: Sender<()>,
}

impl Lease {
    /// Keeps a lease alive that was asked for at `since`.
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
    /// Tries once. Returns when to try again; `None` if the lease is over.
    fn keep_alive(&mut self) -> Option<Instant> {
        let sent = now().instant;
        // A process that was stopped does not claim again what another one may have by now.
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
            // The next member, at once.
            Err(_) => Some(sent),
        }
    }
}
