//! The turn protocol by its sentences: at least one test for each, named after it, in virtual time.
//!
//! They were written from docs/PROTOCOL.md, not from the code, and see the server only as its peers and its
//! host do. Tests with sockets are in `tests/sockets/`. Tests with processes are in `tests/programs/`: T14
//! (several listen addresses), A1 (the bound address), A5 (errors of the system and of usage), A6 (signals),
//! A7 (lingering close), and the part of A8 about standard output. Random worlds are in
//! `tests/virtual/simulation.rs`.

// start.rs        worlds to start from
// raw_seats.rs    T1, T2, T13: seats of raw clients
// raw_restarts.rs T2: two raw clients alternate, whatever happens to them
// raw_signals.rs  T3 to T5: `GO` and `WAIT`
// raw_answers.rs  T6, T8, T9: answers of raw clients
// raw_late.rs     T11: holders that are silent or late
// answers.rs      M1, M2, T23, T24, L3: answers, fences, repetition
// replies.rs      T27, L4: the reply to each line
// review.rs       cases in which two sentences meet
// order.rs        M8 to M11, M12: the order, demands, weights
// hold.rs         M13, M15: the clock of a turn
// lost.rs         M14, M16: turns whose holder is lost
// judging.rs      M3, M4: a host that judges
// judged.rs       M6, M7: what may be said while an answer is judged
// judged_lost.rs  M5: lost clients whose answer is judged
// host.rs         M17, M18, M20: what a host does
// host_turns.rs   M17: a host and the clock of a turn
// admission.rs    M19, M24: a host and rules that admit clients
// names.rs        M21, M22, T20: joining under a name
// secrets.rs      T22: coming back with a secret
// places.rs       M12a, M11, T13, T28, T31: limits, rings, lives of a server
// hearers.rs      T25, L8, L9: hearers, rosters, the order of writes
// confirm.rs      L14: answers that the next `GO` confirms
// payloads.rs     L1, L5, L13, T26: lines and payloads
// foreign.rs      L6, L7: other protocols, secrets in logs
// auto.rs         L10: connections whose framing is not known yet
// one_ring.rs     L11, L12: old and new clients in one ring
// drain.rs        T32: draining
// chaos.rs        A2: hosts that do anything, with clients that say anything
// recorded.rs     a server with a store, also over restarts
// limits.rs       A2, A3: hostile, idle and slow peers
// log.rs          A4, A8: the log
// web.rs          W1 to W7: WebSocket

mod admission;
mod answers;
mod auto;
mod chaos;
mod confirm;
mod drain;
mod foreign;
mod greed;
mod hearers;
mod hold;
mod host;
mod host_turns;
mod judged;
mod judged_lost;
mod judging;
mod limits;
mod log;
mod lost;
mod names;
mod one_ring;
mod order;
mod payloads;
mod places;
mod raw_answers;
mod raw_late;
mod raw_promises;
mod raw_restarts;
mod raw_seats;
mod raw_signals;
mod recorded;
mod replies;
mod review;
mod secrets;
mod start;
#[cfg(feature = "web-socket")]
mod web;
