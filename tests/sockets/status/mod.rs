//! The status listener on real sockets, beside servers that have something to do. What needs no socket is
//! tested beside the code, in virtual time.

// server.rs     a server with a status listener
// peers.rs      those who ask, read the feed, and play
// requests.rs   answers, and readers that nobody waits for
// metrics.rs    what is measured
// feed.rs       what is told as it happens
// hosts.rs      other servers, other loops

mod feed;
mod hosts;
mod metrics;
mod peers;
mod requests;
mod server;
