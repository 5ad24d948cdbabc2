//! Storage of records: the trait [`Store`], and [`StoreThread`], which calls it so that no loop has to wait
//! for a disk.
//!
//! Feature `store`, part of `journal` and `etcd`. This module has the parts that all stores share. The store
//! on a disk is [`journal`](crate::journal), and the one of several servers [`etcd`](crate::etcd). Records,
//! and the rule for when their effects may be told, are in [`record`](crate::record).

mod thread;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use thread::{COMMIT_SECONDS, StoreCounts, StoreThread};

use crate::record::{Change, State};
use crate::time::Instant;

/// Storage in which entries outlive the server.
///
/// It is called by one thread: [`load`](Self::load) once, before the server listens, then
/// [`commit`](Self::commit) repeatedly, then [`close`](Self::close).
pub trait Store: Send + 'static {
    /// Reads all entries.
    ///
    /// # Errors
    ///
    /// Returns [`Lost`] if the entries cannot be read. The server must not start then.
    fn load(&mut self) -> Result<State, Lost>;

    /// Stores all `changes` or none, durably. No key occurs twice.
    ///
    /// # Errors
    ///
    /// Returns [`Lost`] if the changes may not have been stored. The store must not be called again.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Lost>;

    /// Returns the size of the store in bytes, for metrics. Called after each commit. 0, the default, means
    /// that the store has no size to report.
    fn bytes(&self) -> u64 {
        0
    }

    /// Returns the expiry of the store's claim, if another server can take it over; `None`, the default, for
    /// a local disk. When it passes, the loop closes its clients. Called once, before the first commit.
    fn expiry(&self) -> Option<Expiry> {
        None
    }

    /// Closes the store, so that a restarted server or another one can open it at once.
    ///
    /// # Errors
    ///
    /// Returns [`Lost`] if the store cannot be closed. All commits are durable even then.
    fn close(self) -> Result<(), Lost>
    where
        Self: Sized;
}

/// The time until which a store's claim is valid. Renewing moves it on, and all clones share it.
///
/// The loop checks it at the start of every pass, so that a server that was suspended and replaced tells no
/// client anything stale.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use taketurns::net::now;
/// use taketurns::store::Expiry;
///
/// let begin = now().instant;
/// let expiry = Expiry::new(begin + Duration::from_secs(5));
/// let renews = expiry.clone(); // on another thread
/// renews.renew(begin + Duration::from_secs(7));
/// assert_eq!(expiry.at(), begin + Duration::from_secs(7));
/// ```
#[derive(Debug, Clone)]
pub struct Expiry(
    /// Nanoseconds since the origin of time.
    Arc<AtomicU64>,
);

impl Expiry {
    /// Makes an expiry at `at`.
    #[must_use]
    pub fn new(at: Instant) -> Expiry {
        Expiry(Arc::new(AtomicU64::new(nanos(at))))
    }

    /// Sets the expiry to `at`.
    pub fn renew(&self, at: Instant) {
        self.0.store(nanos(at), Ordering::Release);
    }

    /// Returns the expiry.
    #[must_use]
    pub fn at(&self) -> Instant {
        Instant::ORIGIN + Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}

fn nanos(at: Instant) -> u64 {
    u64::try_from(at.since_origin().as_nanos()).unwrap_or(u64::MAX)
}

/// The store is lost, which ends the server: nothing that waits for it may be sent, and every client must be
/// closed. Clients resume after a restart, or at another server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lost {
    /// The store failed. It is not retried, because after a failed sync no system tells what is on the disk.
    Failed(io::Error),
    /// Another server has taken over.
    Fenced,
    /// Another server may take over, because this one could not renew its claim in time.
    Expired,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Failed(source) => source.fmt(f),
            Lost::Fenced => f.write_str("another server has taken over"),
            Lost::Expired => {
                f.write_str("the lead was not renewed in time, and another server may take over")
            }
        }
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Lost::Failed(source) => source.source(),
            Lost::Fenced | Lost::Expired => None,
        }
    }
}
