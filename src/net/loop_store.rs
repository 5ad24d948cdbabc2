//! The store of a loop: its records go there after each pass, and a pass begins when more are durable.

use std::time::Duration;

use super::{Driver, Error, Handle};
use crate::protocol::Protocol;
use crate::store::{Store, StoreThread};
use crate::time::{Instant, Now};

/// The store of an event loop.
#[derive(Debug)]
pub(super) struct LoopStore {
    thread: StoreThread,
    /// The time that closing it may take.
    limit: Duration,
}

impl LoopStore {
    pub(super) fn new<P: Protocol + 'static>(
        store: impl Store,
        handle: Handle<P>,
        limit: Duration,
    ) -> Result<LoopStore, Error> {
        let thread = StoreThread::spawn(store, move || handle.wake()).map_err(Error::Thread)?;
        Ok(LoopStore { thread, limit })
    }

    /// Returns until when the loop polls without sleeping.
    pub(super) fn busy_poll_until(&self) -> Option<Instant> {
        self.thread.busy_poll_until()
    }

    /// Returns when the store's claim expires unless it is renewed by then.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.thread.expires_at()
    }

    /// Tells the protocol which records are durable.
    pub(super) fn tell_durable<P: Protocol>(
        &mut self,
        now: Now,
        driver: &mut Driver<P>,
    ) -> Result<(), Error> {
        let durable = self.thread.durable().map_err(Error::Store)?;
        driver.handle_durable(now, durable);
        Ok(())
    }

    /// Takes the records of a pass.
    pub(super) fn take_records<P: Protocol>(&mut self, now: Now, driver: &mut Driver<P>) {
        while let Some(record) = driver.poll_record(now) {
            self.thread.submit(record);
        }
        self.thread.flush();
        driver.stored = Some(self.thread.counts());
    }

    /// Stores the records that wait, and closes the store.
    pub(super) fn close(self) -> Result<(), Error> {
        self.thread.close(self.limit).map(|_| ()).map_err(Error::Store)
    }
}
