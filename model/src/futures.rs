//! The future that every state must have, played out from there, so that the proof extends beyond the last
//! tick of a small world.
//!
//! There are three futures, and all others lie between them: all clients and the host are silent, every
//! holder passes at once, or all clients are lost.

use taketurns::turn::SeatId;

use crate::action::{Action, Deed, Fence, Rule};
use crate::judge::{Broken, Holder};
use crate::world::World;

/// Returns the world with every pause ended and every holder told.
fn going_on(world: &World) -> Result<World, Broken> {
    let mut world = world.clone();
    for at in 0..world.judge.circles.len() {
        if world.judge.circles[at].paused {
            world.step(Action::Host(at, Rule::Resume))?;
        }
    }
    tell(&mut world)?;
    Ok(world)
}

fn tell(world: &mut World) -> Result<(), Broken> {
    for at in 0..world.judge.circles.len() {
        let is_untold = |world: &World| {
            let holder = world.judge.circles[at].holder.as_ref();
            holder.is_some_and(|holder| !holder.told && holder.absent.is_none())
        };
        if is_untold(world) {
            world.step(Action::Tell(at))?;
        }
    }
    Ok(())
}

/// Returns whether every waiting seat gets a turn even if all holders are silent, and whether a drain ends.
///
/// # Errors
///
/// The promise that was broken on the way.
pub fn silence_is_survived(world: &World) -> Result<bool, Broken> {
    let mut world = going_on(world)?;
    let mut waiting = waiting(&world);
    let weights: u32 = world.judge.chairs.iter().map(|chair| u32::from(chair.weight)).sum();
    let each = world.laws.deadline + world.laws.judging + world.laws.ticks.min(99) + 1;
    for _ in 0..=(2 * weights + 2) * each {
        if waiting.is_empty() && world.judge.draining == world.scheduler.is_drained() {
            return Ok(true);
        }
        world.step(Action::Tick)?;
        tell(&mut world)?;
        // A ring that falls below quorum because an absence has ended stands still.
        let plays = |world: &World, seat: SeatId| world.judge.plays(seat.ring(), &world.laws);
        waiting.retain(|&seat| !world.judge.holds(seat) && plays(&world, seat));
    }
    Ok(false)
}

/// Returns whether every waiting seat gets a turn if all holders pass at once, after as many others as
/// promised.
///
/// # Errors
///
/// The promise that was broken on the way.
pub fn passes_go_round(world: &World) -> Result<bool, Broken> {
    let world = going_on(world)?;
    waiting(&world).into_iter().try_fold(true, |all, seat| Ok(all && gets_its_turn(world.clone(), seat)?))
}

fn gets_its_turn(mut world: World, seat: SeatId) -> Result<bool, Broken> {
    let ahead = world.scheduler.ahead_of(seat);
    // The host's choice takes precedence over the order.
    let is_named = world.judge.circle(seat.ring()).is_some_and(|circle| circle.named.is_some());
    let mut first: Vec<SeatId> = Vec::new();
    let weights: u32 = world.judge.chairs.iter().map(|chair| u32::from(chair.weight)).sum();
    for _ in 0..=2 * weights + 2 {
        let Some(holder) = world.judge.holder(seat.ring()).cloned() else { return Ok(false) };
        if holder.seat == seat {
            return Ok(is_named || first.len() == ahead);
        }
        if !first.contains(&holder.seat) {
            first.push(holder.seat);
        }
        pass_on(&mut world, &holder)?;
    }
    Ok(false)
}

/// Passes the turn of `holder` on.
fn pass_on(world: &mut World, holder: &Holder) -> Result<(), Broken> {
    let at = world.judge.chairs.iter().position(|chair| chair.seat == holder.seat);
    let at = at.expect("a holder has a seat");
    let ring = world.judge.circles.iter().position(|circle| circle.ring == holder.seat.ring());
    let ring = ring.expect("a seat has a ring");
    if holder.absent.is_some() {
        world.step(Action::Occupy(at))?;
    }
    if holder.judged {
        world.step(Action::Host(ring, Rule::Accept(None)))?;
    } else {
        world.step(Action::Hold(at, Fence::Current, Deed::Pass))?;
    }
    tell(world)
}

/// Returns whether nothing is left of any client once all are lost and every grace is over.
///
/// # Errors
///
/// The promise that was broken on the way.
pub fn nothing_remains(world: &World) -> Result<bool, Broken> {
    let mut world = going_on(world)?;
    for at in 0..world.judge.chairs.len() {
        world.step(Action::Vacate(at))?;
    }
    let restored = if world.laws.restarts > 0 { world.laws.deadline } else { 0 };
    let absent = world.laws.turn_grace + world.laws.judging + restored;
    for _ in 0..(world.laws.seat_grace + absent) * 2 {
        world.step(Action::Tick)?;
        tell(&mut world)?;
    }
    let is_empty = world.scheduler.seats() == 0 && world.scheduler.rings().next().is_none();
    Ok(is_empty && world.scheduler.next_deadline().is_none())
}

/// Returns whether the order stays the same when the server dies in this state and its clients come back in
/// time. They come in reverse, to show that no client gains by being quick.
///
/// # Errors
///
/// The promise that was broken on the way.
pub fn restarts_change_no_order(world: &World) -> Result<bool, Broken> {
    // The choices of the host do not survive.
    if world.judge.draining || world.judge.circles.iter().any(|circle| circle.named.is_some()) {
        return Ok(true);
    }
    let world = going_on(world)?;
    let mut restarted = world.clone();
    restarted.step(Action::Restart)?;
    for (at, chair) in world.judge.chairs.iter().enumerate().rev() {
        if chair.away_since.is_none() {
            restarted.step(Action::Occupy(at))?;
            tell(&mut restarted)?;
        }
    }
    Ok(orders(world)? == orders(restarted)?)
}

/// Returns the names of the next holders of each ring.
fn orders(mut world: World) -> Result<Vec<Vec<u8>>, Broken> {
    let weights: u32 = world.judge.chairs.iter().map(|chair| u32::from(chair.weight)).sum();
    let mut orders = vec![Vec::new(); world.judge.circles.len()];
    for (at, order) in orders.iter_mut().enumerate() {
        for _ in 0..=2 * weights {
            let Some(holder) = world.judge.circles[at].holder.clone() else { break };
            order.push(world.judge.chair(holder.seat).expect("a holder has a seat").name);
            pass_on(&mut world, &holder)?;
        }
    }
    Ok(orders)
}

/// Returns the seats that wait for a turn of a ring that plays.
fn waiting(world: &World) -> Vec<SeatId> {
    let plays = |seat: &SeatId| world.judge.plays(seat.ring(), &world.laws);
    let waits = world.judge.chairs.iter().filter(|chair| chair.wait.is_some());
    waits.map(|chair| chair.seat).filter(plays).collect()
}
