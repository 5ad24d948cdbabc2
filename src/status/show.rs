//! The trait by which a protocol reports its status.

use super::{Fields, Metrics, Tally};
use crate::protocol::Protocol;
use crate::time::Now;

/// A protocol that can be watched. Every method has a default: with an empty `impl`, health, readiness and
/// the driver's counts are already served.
///
/// The page shows the name and the counts of any protocol. The additions of `about` and `state` are for other
/// readers of the feed.
///
/// # Examples
///
/// For the `Shout` of [`protocol`](crate::protocol#a-protocol-of-your-own):
///
/// ```
/// # use std::net::SocketAddr;
/// # use taketurns::protocol::{BuffersMin, CloseReason, ConnectionId, Links, Origin, Protocol};
/// # use taketurns::record::Record;
/// # use taketurns::time::{Instant, Now};
/// use taketurns::status::{Count, Show, Tally};
///
/// # struct Shout;
/// # impl Protocol for Shout {
/// #     type Event = String;
/// #     fn handle_open(&mut self, _: Now, _: ConnectionId, _: SocketAddr, _: Origin, _: &mut Links) {}
/// #     fn handle_bytes(&mut self, _: Now, _: ConnectionId, bytes: &[u8], _: &mut Links) -> usize { bytes.len() }
/// #     fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) { links.close(id) }
/// #     fn handle_flushed(&mut self, _: Now, _: &mut Links) {}
/// #     fn handle_closed(&mut self, _: Now, _: ConnectionId, _: CloseReason, _: &mut Links) {}
/// #     fn handle_timeout(&mut self, _: Now, _: &mut Links) {}
/// #     fn drain(&mut self, _: Now, _: &mut Links) {}
/// #     fn next_deadline(&self) -> Option<Instant> { None }
/// #     fn is_awaited(&self, _: ConnectionId) -> bool { false }
/// #     fn buffers_min(&self) -> BuffersMin { BuffersMin::default() }
/// #     fn poll_event(&mut self) -> Option<String> { None }
/// #     fn poll_record(&mut self, _: Now) -> Option<Record> { None }
/// #     fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
/// # }
/// impl Show for Shout {
///     fn name(&self) -> &'static str {
///         "shout"
///     }
///
///     // Its events are what it has shouted.
///     fn note(&self, _event: &String, tally: &mut Tally) {
///         tally.count("shouted");
///     }
///
///     fn counts(&self, tally: &Tally) -> Vec<Count> {
///         vec![Count { name: "shouted", help: "Lines that were shouted.", value: tally.counted("shouted") }]
///     }
/// }
/// ```
pub trait Show: Protocol {
    /// Returns the name of the protocol.
    fn name(&self) -> &'static str {
        "custom"
    }

    /// Says why it serves nobody yet, such as a server that stands by: `/readyz` answers 503 with this text,
    /// and the page shows it. A drain is not such a reason: the driver knows of it.
    fn not_ready(&self) -> Option<String> {
        None
    }

    /// Adds constants that a reader of the feed should know.
    fn about(&self, _about: &mut Fields) {}

    /// Notes in `tally` an event that the host is about to get.
    fn note(&self, _event: &Self::Event, _tally: &mut Tally) {}

    /// Returns running counts, for the feed and, as `taketurns_{name}_total`, for `/metrics`.
    fn counts(&self, _tally: &Tally) -> Vec<Count> {
        Vec::new()
    }

    /// Adds metrics other than counts. Keep the work bounded, because turns wait meanwhile.
    fn metrics(&self, _tally: &Tally, _metrics: &mut Metrics) {}

    /// Adds the current state to the feed. Keep the work bounded, because turns wait meanwhile.
    fn state(&self, _now: Now, _tally: &Tally, _state: &mut Fields) {}
}

/// A number that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Count {
    /// Its name: lower-case words with `_` between them.
    pub name: &'static str,
    /// Its meaning, as a sentence.
    pub help: &'static str,
    /// The count.
    pub value: u64,
}
