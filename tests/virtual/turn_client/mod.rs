//! Our client in both framings: alone with a test that is its server, and says what a server seldom says; and
//! with our own server.

// talk.rs   one client, its connection, and a server's words for it
// turns.rs  turns whose connection stays
// resume.rs turns whose connection is lost
// wishes.rs asking, resting, leaving, draining
// ends.rs   what it takes from a BYE
// hello.rs  how it joins, and what it shows of its secrets
// lines.rs  whatever else a server may say
// pings.rs  signs of life
// raw.rs    the raw framing
// truth.rs  a small honest server, losses and restarts by chance
// together.rs  our own server, losses and restarts by chance; pair.rs is their world
// many.rs   many clients, and whose connection is whose

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
