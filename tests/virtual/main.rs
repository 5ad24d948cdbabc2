//! Tests without sockets or the system's clock: the protocols, with the engine or by hand, in virtual time.
//! They need no feature of the crate.

// protocol_sentences/  each numbered sentence of the turn protocol
// scenarios.rs         stories of a ring as text, in `tests/scenarios/`
// fairness.rs          the order and the bound of every wait, against oracle/
// simulation.rs        random worlds of the turn protocol
// turn_client/         our client alone, and with our server
// echo/, dispatch/, counter/   the older protocols
// malformed.rs         malformed messages, to every protocol
// logged.rs            the log, for tests that read it

mod counter;
mod dispatch;
mod echo;
mod fairness;
mod logged;
mod malformed;
mod oracle;
mod protocol_sentences;
mod scenarios;
mod simulation;
mod turn_client;
