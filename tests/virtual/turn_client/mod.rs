//! Our client in both framings: alone, with a test as its server that sends unusual messages; and with our
//! own server.

// talk.rs   one client, its connection, and messages of a server
// turns.rs  turns whose connection stays
// resume.rs turns whose connection is lost
// wishes.rs asking, resting, leaving, draining
// ends.rs   the effect of each BYE
// hello.rs  how it joins, and the secrets that it sends
// lines.rs  everything else that a server may send
// pings.rs  signs of life
// raw.rs    the raw framing
// truth.rs  a small honest server, with random losses and restarts
// together.rs  our own server, with random losses and restarts; pair.rs is their world
// many.rs   many clients, and the owner of each connection

mod ends;
mod hello;
mod lines;
mod many;
mod pair;
mod pings;
mod raw;
mod resume;
mod talk;
mod together;
mod truth;
mod turns;
mod wishes;
