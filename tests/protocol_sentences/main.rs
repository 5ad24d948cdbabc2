//! The turn protocol by its sentences: one test at least for each, named after it, in virtual time.
//!
//! They were written from docs/PROTOCOL.md, not from the code, and see the server only as its peers and its host do. What needs
//! sockets is tested in `tests/sockets/`, what needs processes in `tests/examples/`: T14 (several listen addresses), A1
//! (what is bound), A5 (errors of the system and of usage), A6 (signals), A7 (lingering close), and of A8 what
//! concerns standard output. Random worlds are in `tests/simulation.rs`.

// start.rs          worlds to start from
// seats.rs          T1, T2, T10, T12, T13: who sits, who is gone
// signals.rs        T3 to T5: `GO` and `WAIT`
// answers.rs        T6 to T9: answers
// deadlines.rs      T11: holders that are silent or late
// names.rs          T20 to T22: joining, resuming, secrets
// replies.rs        T23, T24, T27: what a line gets in return
// lines.rs          T25, T26: the order of writes, the end of a line
// rings.rs          T28, T30, T31: rings, pauses, lives of a server
// fairness.rs       T29: weights, bounded waiting
// drain.rs          T32: draining
// client.rs         our client, with a server
// client_asks.rs    our client that asks its host, with a server
// client_alone.rs   our client, with what a test tells it
// limits.rs         A2, A3: hostile, idle and slow peers
// log.rs            A4, A8: what is logged

#[path = "../support/log.rs"]
mod logged;
#[path = "../support/world/mod.rs"]
mod world;

mod answers;
mod client;
mod client_alone;
mod client_asks;
mod deadlines;
mod drain;
mod fairness;
mod limits;
mod lines;
mod log;
mod names;
mod replies;
mod rings;
mod seats;
mod signals;
mod start;
