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
    /// [`Lost`]: the server must not start.
    fn load(&mut self) -> Result<State, Lost>;

    /// Stores all `changes` or none, durably. No key occurs twice.
    ///
    /// # Errors
    ///
    /// [`Lost`]: whether the changes are stored is unknown, and the store must not be called again.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Lost>;

    /// Returns the size of the store in bytes, for metrics. Called after each commit. 0, the default, means
    /// that the store has no size to report.
    fn bytes(&self) -> u64 {
        0
    }

    /// Returns how long the store may be believed, if others can take it away: the loop closes its clients
    /// when that is over. Asked once, before the first commit. Nobody takes a disk away.
    fn expiry(&self) -> Option<Expiry> {
        None
    }

    /// Closes the store, so that the next life or another server can open it at once.
    ///
    /// # Errors
    ///
    /// [`Lost`]. All commits are durable all the same.
    fn close(self) -> Result<(), Lost>
    where
        Self: Sized;
}

/// A time until which a store may be believed, which is moved on while its claim is renewed. All clones are
/// the same time.
///
/// A loop looks at it first thing in each pass: a server that was stopped for a while, and whose place
/// another one has taken, must not tell a client that it does not know it.
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
    /// Begins with a time.
    #[must_use]
    pub fn new(at: Instant) -> Expiry {
        Expiry(Arc::new(AtomicU64::new(nanos(at))))
    }

    /// The store may be believed until `at`.
    pub fn renew(&self, at: Instant) {
        self.0.store(nanos(at), Ordering::Release);
    }

    /// Returns until when.
    #[must_use]
    pub fn at(&self) -> Instant {
        Instant::ORIGIN + Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}

fn nanos(at: Instant) -> u64 {
    u64::try_from(at.since_origin().as_nanos()).unwrap_or(u64::MAX)
}

/// The store is lost, which ends the server's life: nothing that waits for it may be sent, and every client
/// must be closed. Clients resume in the next life, or at another server.
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
