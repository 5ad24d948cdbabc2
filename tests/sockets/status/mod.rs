//! The status listener on real sockets, next to busy servers. Tests without sockets are next to the code, in
//! virtual time.

// server.rs     a server with a status listener
// peers.rs      clients that ask, read the feed, or play
// requests.rs   answers, and readers that nothing waits for
// metrics.rs    the metrics
// feed.rs       the feed
// hosts.rs      other servers, other loops

mod feed;
mod hosts;
mod metrics;
mod peers;
mod requests;
mod server;
