//! Tests of a journal: the rules of damage, and a disk that loses power.

mod disk;
mod losses;
mod rules;

use std::collections::BTreeMap;

use super::Fault;
use crate::record::{Change, State};

/// Returns the changes from one state to another.
fn changes(from: &State, to: &State) -> Vec<Change> {
    let before: BTreeMap<_, _> = from.puts().into_iter().map(|put| (*put.key(), put)).collect();
    let after: BTreeMap<_, _> = to.puts().into_iter().map(|put| (*put.key(), put)).collect();
    let gone = before.keys().filter(|key| !after.contains_key(key)).map(|&key| Change::Delete { key });
    let new = after.iter().filter(|(key, put)| before.get(key) != Some(put)).map(|(_, put)| put.clone());
    gone.chain(new).collect()
}

fn fails_at(step: impl std::fmt::Display) -> impl FnOnce(Fault) -> String {
    move |fault| format!("step {step}: {fault}")
}
