//! How long a turn is certainly a client's own, by the clock of its machine.

use std::time::Duration;

use taketurns::net::Driver;
use taketurns::protocol::turns::{ClientTurn, TurnClient};
use taketurns::time::{Instant, Now};

/// A turn that is renewed again and again.
///
/// It counts from when the last renewal that the server answered was sent. So an answer that is late, or a process that was stopped, makes
/// its end too early, and never too late.
pub struct Lease {
    pub turn: ClientTurn,
    /// How long the server keeps the turn of a lost connection: it may have lost ours right behind our last renewal.
    grace: Duration,
    /// The time that is needed for coming to an end.
    reserve: Duration,
    /// When the renewal was sent that the server has not answered.
    renewal: Option<Instant>,
    renew_at: Option<Instant>,
    /// The server grants the turn to no other client before this. `None` until a renewal is answered.
    until: Option<Instant>,
}

impl Lease {
    /// Of a turn that was just granted. That may have been written long ago, so it is renewed before anything else is done.
    pub fn new(now: Now, turn: ClientTurn, grace: Duration, reserve: Duration) -> Lease {
        Lease { turn, grace, reserve, renewal: None, renew_at: Some(now.instant), until: None }
    }

    /// When the turn ends, as far as that is known.
    pub fn until(&self, now: Now) -> Instant {
        self.until.unwrap_or(now.instant)
    }

    /// When to come to an end.
    fn end_at(&self) -> Option<Instant> {
        self.until.map(|until| until - self.reserve)
    }

    /// Whether it is time to come to an end. Said once, until another renewal is answered.
    pub fn take_end(&mut self, now: Now) -> Option<Instant> {
        let reserve = self.reserve;
        self.until.take_if(|until| *until - reserve <= now.instant)
    }

    /// Whether it is known to be held, with time to spare.
    pub fn is_safe(&self, now: Now) -> bool {
        self.end_at().is_some_and(|end_at| now.instant < end_at)
    }

    /// When [`renew`](Self::renew) is to be called, or to come to an end.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.renew_at.into_iter().chain(self.end_at()).min()
    }

    /// Renews the turn if that is due.
    pub fn renew(&mut self, now: Now, driver: &mut Driver<TurnClient>) {
        if self.renew_at.take_if(|at| *at <= now.instant).is_some() {
            let sent = driver.act(now, |clients, links| clients.renew(now, &self.turn, links));
            self.renewal = sent.is_ok().then_some(now.instant);
        }
    }

    /// The server has said when the turn ends: `turn`. The error is the time that it gives, if that is less than the reserve.
    pub fn answered(&mut self, now: Now, turn: &ClientTurn) -> Result<(), Duration> {
        let Some((sent, ends)) = self.renewal.take().zip(turn.deadline) else {
            // It is the first word behind a lost connection.
            self.renew_at = Some(now.instant);
            return Ok(());
        };
        let within = ends.saturating_duration_since(now.instant).min(self.grace);
        self.until = Some(sent + within);
        let spare = within.checked_sub(self.reserve).filter(|spare| !spare.is_zero()).ok_or(within)?;
        self.renew_at = Some(now.instant + (spare / 4).max(Duration::from_millis(10)));
        Ok(())
    }

    /// The connection is lost, and what it was asked with it.
    pub fn disconnected(&mut self) {
        self.renewal = None;
    }
}
