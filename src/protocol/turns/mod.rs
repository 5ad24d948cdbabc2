//! The turn protocol: clients take turns to answer, and only one may answer at a time.
//!
//! [`TurnServer`] is the server, and [`TurnClient`] is any number of clients. Both are
//! [`Protocol`](super::Protocol)s without sockets. A server accepts two kinds of clients into the same rings.
//! Line clients speak line protocol 1, with names, fences, resumption and hearers. Old raw clients take each
//! `recv` for one message and know only `GO` and `WAIT`. docs/PROTOCOL.md in the repository numbers each of
//! its sentences, and the code refers to these numbers (T5, M9).
//!
//! # A host that judges
//!
//! With [`Judging::Host`](crate::turn::Judging), a holder's answer is proposed to the host, which accepts or
//! refuses it. The clock of the turn stands still meanwhile.
//!
//! ```
//! use std::net::SocketAddr;
//! use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig, Verdict};
//! use taketurns::protocol::{Links, Origin, Protocol};
//! use taketurns::time::Now;
//! use taketurns::turn::Judging;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Players take 1 to 3 matches of 21; the one that takes the last one wins.
//! let mut matches = 21;
//!
//! let mut config = TurnServerConfig::default();
//! config.framing = Some(Framing::Line);
//! config.rules.judging = Judging::Host;
//! let mut server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)))?;
//!
//! // A program gives the server to `net::EventLoop::new`. A test needs no socket: the links show what would be written.
//! let (now, mut links) = (Now::ORIGIN, Links::new(64 * 1024));
//! let peer = SocketAddr::from(([127, 0, 0, 1], 9));
//! let [ann, bob] = ["ann", "bob"].map(|name| {
//!     let id = links.open(peer);
//!     server.handle_open(now, id, peer, Origin::Accepted, &mut links);
//!     server.handle_bytes(now, id, format!("JOIN {name} hear=turns\n").as_bytes(), &mut links);
//!     id
//! });
//!
//! let epoch = server.epoch();
//! for take in [4, 3] {
//!     let line = format!("ANSWER turn=1 epoch={epoch} :{take}\n");
//!     server.handle_bytes(now, ann, line.as_bytes(), &mut links);
//!     while let Some(event) = server.poll_event() {
//!         let TurnEvent::Proposed(proposal) = event else { continue };
//!         let taken = proposal.answer().number().filter(|taken| (1..=3.min(matches)).contains(taken));
//!         let verdict = match taken {
//!             Some(taken) => {
//!                 matches -= taken;
//!                 // This stands before the next player's GO.
//!                 server.say_to_ring(&"main".parse()?, format!("{matches} left").as_bytes(), &mut links)?;
//!                 Verdict::ACCEPT
//!             }
//!             None => Verdict::Refuse { words: "take 1 to 3" },
//!         };
//!         server.rule(now, proposal, verdict, &mut links)?;
//!     }
//! }
//! let heard = String::from_utf8_lossy(links.unsent(ann)).into_owned();
//! assert!(heard.contains("NO refused turn=1 within=30000 :take 1 to 3\nSAY :18 left\nOK turn=1\n"), "{heard}");
//! let heard = String::from_utf8_lossy(links.unsent(bob)).into_owned();
//! assert!(heard.contains("SAY :18 left\nGO turn=2 within=30000\n"), "{heard}");
//! # Ok(()) }
//! ```

// server.rs     connections and their sessions, draining, deadlines
//  ├ line.rs    requests of the line protocol; seating.rs has how its clients come and go
//  ├ raw.rs     raw messages, and when GO may be said; undecided.rs tells the framings apart
//  ├ moves.rs   moves of the scheduler, and the order of writes
//  ├ recording.rs what is recorded, and what waits for that: outbox.rs; restore.rs goes on from it
//  ├ judging.rs verdicts of the host, on proposals: proposal.rs
//  └ host.rs    the host's other methods; joining.rs has the clients that wait to be admitted
// config.rs, event.rs, counts.rs, ledger.rs  settings, events, counts
// client/       clients, any number on one loop

mod access;
mod client;
mod config;
mod counts;
mod event;
mod host;
mod joining;
mod judging;
mod ledger;
mod line;
mod moves;
mod outbox;
mod proposal;
mod raw;
mod recording;
mod restore;
mod seating;
mod server;
mod undecided;

pub use access::{AccessError, AccessRules};
pub use client::*;
pub use config::{Admission, TurnConfigError, TurnServerConfig};
pub use counts::TurnCounts;
pub use event::TurnEvent;
pub use joining::{Admit, Joining};
pub use ledger::{Answer, AnswerId};
pub use proposal::{Proposal, Unruled, Verdict};
pub use restore::RestoreError;
pub use server::TurnServer;

pub use crate::session::raw::{GO, WAIT};
pub use crate::session::{
    Bye, Code, Content, DEFAULT_RING, Epoch, Fence, How, InvalidHex, InvalidName, Join, NAME_BYTES_MAX, Name,
    RawName, Reply, ReportedState, Request, Secret, Token, UnknownCode, Unreadable,
};
pub use crate::table::SeatData;
pub use crate::wire::{Framing, UnknownFraming};
