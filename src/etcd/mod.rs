//! A hot standby: the [`Store`](crate::store::Store) of servers that share one order, kept in
//! [etcd](https://etcd.io).
//!
//! Feature `etcd`. One server leads and listens; the others stand by, and take over when it dies, stops, or
//! is cut off. Clients resume at the one that leads. The distributed part is etcd's; here are its client,
//! the way to the lead ([`Candidate`]), and the store of the server that leads ([`EtcdStore`]). An event loop
//! [takes it](crate::net::EventLoop::store_in) as it takes a journal; `examples/turn_server.rs` with `--etcd`
//! is a program to copy from, and docs/FAILOVER.md has the promises and the faults.
//!
//! All keys stand below `/taketurns/<cluster>/0/`:
//!
//! | key | value |
//! |---|---|
//! | `lead` | who leads and where, under a lease. The revision at which it was created, F, names the term |
//! | `seq` | the last commit: `F:n` |
//! | all others | the entries, as a [journal](crate::journal) has them: the present state, no log |
//!
//! # A commit
//!
//! A commit is one transaction: *if* `lead` is still that of F, *and* `seq` is the commit before, *then* put
//! `seq` and the entries. If no answer comes, or an error, the same transaction is sent to the next member,
//! until etcd decides it. If it fails because an earlier try was carried out, `seq` says so. If it fails
//! otherwise, this server no longer leads and is fenced; nothing else fences it.
//!
//! The transaction goes to the member that is etcd's leader, if that is known and answers: any other one
//! would forward it, and hear a round trip later that it is committed.
//!
//! Both guards are needed. Without the first, a server that was suspended for a while would commit although
//! another one has taken over. Without the second, its own earlier try, carried out late, would overwrite
//! what is newer.
//!
//! # The lease
//!
//! A dedicated thread with its own connection renews the lease each time a third of it has passed. If that
//! fails until the lease ends, the store is [lost](crate::store::Lost::Expired), and the event loop closes
//! its clients, so that they look for another server. That is for their sake: no promise rests on a clock.
//!
//! # Limits
//!
//! A request may take 1 s. A transaction has at most 1,000 changes; a larger commit is cut between rings, and
//! within a ring so that each part leaves a state to continue from. One transaction is under way at any time.

mod candidacy;
mod candidate;
mod config;
mod connection;
mod executor;
mod keys;
mod lease;
mod members;
mod message;
mod parts;
mod proto;
mod store;
mod term;
#[cfg(test)]
mod tests;

pub use candidate::{Candidate, Step};
pub use config::{EtcdConfig, EtcdError, EtcdTls};
pub use store::EtcdStore;
