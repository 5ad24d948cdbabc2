//! What must come of every state in the end, played out from there: so that it holds beyond the last tick of a small world.
//!
//! Three futures, and all others lie between them: everybody is silent, every holder answers at once, everybody is lost.

use taketurns::turn::SeatId;

use crate::action::{Action, Fence};
use crate::judge::Broken;
use crate::world::World;

/// Whether every waiting seat gets a turn, though all holders are silent; and a drain comes to its end.
///
/// # Errors
///
/// The promise that was broken on the way.
pub fn silence_is_survived(world: &World) -> Result<bool, Broken> {
    let mut waiting = waiting(world);
    let mut world = world.clone();
    let weights: u32 = world.judge.chairs.iter().map(|chair| u32::from(chair.weight)).sum();
    for _ in 0..=(weights + 1) * (world.laws.deadline + 1) {
        if waiting.is_empty() && world.judge.draining == world.scheduler.is_drained() {
            return Ok(true);
        }
        world.step(Action::Tick)?;
        // Whose grace is over may pause nothing: only the vacant leave.
        waiting.retain(|&seat| world.judge.holder(seat.ring()).is_none_or(|holder| holder.seat != seat));
    }
    Ok(false)
}

/// Whether every waiting seat gets a turn if all holders answer at once, behind as many others as was said.
///
/// # Errors
///
/// The promise that was broken on the way.
pub fn answers_go_round(world: &World) -> Result<bool, Broken> {
    waiting(world).into_iter().try_fold(true, |all, seat| Ok(all && gets_its_turn(world.clone(), seat)?))
}

fn gets_its_turn(mut world: World, seat: SeatId) -> Result<bool, Broken> {
    let ahead = world.scheduler.ahead_of(seat);
    let mut first: Vec<SeatId> = Vec::new();
    for _ in 0..=world.judge.weight(seat.ring()) {
        let Some(holder) = world.judge.holder(seat.ring()).map(|holder| holder.seat) else {
            return Ok(false);
        };
        if holder == seat {
            return Ok(first.len() == ahead);
        }
        if !first.contains(&holder) {
            first.push(holder);
        }
        let at =
            world.judge.chairs.iter().position(|chair| chair.seat == holder).expect("a holder has a seat");
        world.step(Action::Answer(at, Fence::Current))?;
    }
    Ok(false)
}

/// Whether nothing is left of anybody once all are lost and every grace is over.
///
/// # Errors
///
/// The promise that was broken on the way.
pub fn nothing_remains(world: &World) -> Result<bool, Broken> {
    let mut world = world.clone();
    for at in 0..world.judge.chairs.len() {
        world.step(Action::Vacate(at))?;
    }
    for _ in 0..world.laws.grace {
        world.step(Action::Tick)?;
    }
    let empty = world.scheduler.seats() == 0 && world.scheduler.rings().next().is_none();
    Ok(empty && world.scheduler.next_deadline().is_none())
}

/// The seats that wait for a turn of a ring that plays.
fn waiting(world: &World) -> Vec<SeatId> {
    let plays = |seat: &SeatId| world.judge.plays(seat.ring(), &world.laws);
    let waits = world.judge.chairs.iter().filter(|chair| chair.patience.is_some());
    waits.map(|chair| chair.seat).filter(plays).collect()
}
