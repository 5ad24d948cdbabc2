//! The findings, for people to read.

use std::time::Duration;

use model::judge::Chair;
use model::world::World;
use stateright::Checker;

use crate::check::{Check, KINDS};

pub fn head() {
    println!("{:<10} {:>9} {:>11} {:>6} {:>8}", "world", "states", "steps", "depth", "seconds");
}

pub fn row(name: &str, checker: &impl Checker<Check>, time: Duration) {
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    let (depth, seconds) = (checker.max_depth(), time.as_secs_f64());
    println!("{name:<10} {states:>9} {steps:>11} {depth:>6} {seconds:>8.1}");
    let seen = KINDS.iter().zip(checker.model().seen()).filter(|&(_, count)| count > 0);
    println!(
        "{:>10} {}",
        "",
        seen.map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    );
}

/// Prints the history of each broken promise.
pub fn histories(checker: &impl Checker<Check>) {
    let mut found: Vec<_> = checker.discoveries().into_iter().collect();
    found.sort_by_key(|(promise, _)| *promise);
    for (promise, path) in &found {
        println!("\nBROKEN: {promise}.\nThe shortest history that leads there:\n");
        let mut action = None;
        for (world, next) in path.clone().into_vec() {
            if let Some(action) = action {
                println!("  {action:?}");
            }
            show(&world);
            action = next;
        }
    }
}

fn show(world: &World) {
    world.news.iter().for_each(|news| println!("      {news:?}"));
    let chairs: Vec<_> = world.judge.chairs.iter().map(|chair| shown(world, chair)).collect();
    println!("      tick {}: {}", world.tick, chairs.join("; "));
    world.broken.iter().for_each(|broken| println!("      !! {}", broken.seen));
}

/// Describes a seat, with the number by which actions name it.
fn shown(world: &World, chair: &Chair) -> String {
    let at = world.judge.chairs.iter().position(|other| other == chair).unwrap_or(0);
    let holder = world.judge.holder(chair.seat.ring()).filter(|holder| holder.seat == chair.seat);
    let does = match (holder, chair.away_since) {
        (Some(holder), _) => format!("holds {holder:?}"),
        (None, Some(since)) => format!("away since tick {since}"),
        (None, None) if chair.wants => "waits".to_owned(),
        (None, None) => "rests".to_owned(),
    };
    format!("seat {at} ({}, name {}) {does}", chair.seat, chair.name)
}
