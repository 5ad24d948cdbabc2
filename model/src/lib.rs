//! The turn scheduler in worlds so small that every possible history can be played.
//!
//! The scheduler is the real one, not a model of it. A state is a copy of the scheduler and of everything
//! that a judge has seen of it. Bytes, connections and sockets are not covered here, but by random tests and
//! in `fuzz/`.

// action.rs  the possible steps
// world.rs   a scheduler and its judge, one step at a time; trial.rs judges the steps
// restart.rs the step in which a server dies and the next one begins
// judge.rs   the promises, seen from outside
// futures.rs the futures that every state must have
// laws.rs    the sizes of worlds

pub mod action;
pub mod futures;
pub mod judge;
pub mod laws;
mod restart;
mod trial;
pub mod world;
