//! A second user of an event loop's poll, next to the driver: the status listener. The loop knows only this
//! trait.

use mio::event::Event as Readiness;

use super::{Driver, Error, Event};
use crate::protocol::Protocol;
use crate::time::{Instant, Now};

/// Runs in the passes of a loop, each time after its driver.
pub(crate) trait Companion<P: Protocol>: Send {
    /// Notes that the driver's pass, which began at `now`, has ended.
    fn note_pass(&mut self, now: Now);

    /// Takes in one event of the poll; those of other sources are ignored.
    fn handle_event(&mut self, now: Now, event: &Readiness);

    /// Ends its own pass.
    fn finish_batch(&mut self, now: Now, driver: &mut Driver<P>) -> Result<(), Error>;

    /// When the next pass must be.
    fn next_deadline(&self) -> Option<Instant>;

    /// Takes note of an event that the host is about to get.
    fn observe(&mut self, driver: &Driver<P>, event: &Event<P::Event>);
}
