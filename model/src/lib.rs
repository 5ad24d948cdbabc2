//! The turn scheduler in worlds so small that everything that can happen in them can be played.
//!
//! The scheduler is the real one, not a model of it. A state is a copy of it, and of what a judge has seen of
//! it. What is not here: bytes, connections and sockets; those are played by chance, in the tests and in
//! `fuzz/`.

// action.rs  what can happen
// world.rs   a scheduler and its judge, one step at a time; trial.rs how each is judged
// judge.rs   the promises, from outside
// futures.rs what must come of every state in the end
// laws.rs    how small a world is

pub mod action;
pub mod futures;
pub mod judge;
pub mod laws;
mod trial;
pub mod world;
