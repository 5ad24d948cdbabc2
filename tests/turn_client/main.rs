//! Our client by itself, in both framings: the test is its server, and says what a server seldom says.

// talk.rs   one client, its connection, and a server's words for it
// turns.rs  what becomes of a turn while the connection stays
// resume.rs what becomes of it when the connection is lost
// wishes.rs asking, resting, leaving, draining
// ends.rs   what it takes from a BYE
// hello.rs  how it joins, and what it shows of its secrets
// lines.rs  whatever else a server may say
// pings.rs  signs of life
// raw.rs    the raw framing
// truth.rs  a small honest server, losses and restarts by chance
// many.rs   many clients, and whose connection is whose

mod ends;
mod hello;
mod lines;
mod many;
mod pings;
mod raw;
mod resume;
mod talk;
mod truth;
mod turns;
mod wishes;
