//! Tells a client how long it certainly holds its turn, by the clock of its machine.

use std::time::Duration;

use taketurns::net::Driver;
use taketurns::protocol::turns::{ClientTurn, TurnClient};
use taketurns::time::{Instant, Now};

/// A turn that is renewed regularly.
///
/// Its time counts from the moment when the ping before the last answered renewal was sent. So a late reply
/// or a stopped process ends it too early, never too late.
pub struct Lease {
    pub turn: ClientTurn,
    /// How long the server keeps the turn of a lost connection. The connection may have been lost right after
    /// the server read the last renewal.
    grace: Duration,
    /// The time that the work needs to end.
    reserve: Duration,
    renew_at: Option<Instant>,
    /// The server grants the turn to no other client before this time; `None` until a renewal has been
    /// answered.
    until: Option<Instant>,
}

impl Lease {
    /// Creates a lease on a turn that was just granted. Its `GO` may have been written long ago, so a renewal
    /// is due at once.
    pub fn new(now: Now, turn: ClientTurn, grace: Duration, reserve: Duration) -> Lease {
        Lease { turn, grace, reserve, renew_at: Some(now.instant), until: None }
    }

    /// Returns when the turn ends, or `now` if that is not known.
    pub fn until(&self, now: Now) -> Instant {
        self.until.unwrap_or(now.instant)
    }

    /// Returns when the work must begin to end.
    fn end_at(&self) -> Option<Instant> {
        self.until.map(|until| until - self.reserve)
    }

    /// Returns the end of the turn, if the work must begin to end now. Reported once per answered renewal.
    pub fn take_end(&mut self, now: Now) -> Option<Instant> {
        let reserve = self.reserve;
        self.until.take_if(|until| *until - reserve <= now.instant)
    }

    /// Returns whether the turn is held, with more time left than the reserve.
    pub fn is_safe(&self, now: Now) -> bool {
        self.end_at().is_some_and(|end_at| now.instant < end_at)
    }

    /// Returns when to call [`renew`](Self::renew) or [`take_end`](Self::take_end).
    pub fn next_deadline(&self) -> Option<Instant> {
        self.renew_at.into_iter().chain(self.end_at()).min()
    }

    /// Renews the turn if that is due.
    pub fn renew(&mut self, now: Now, driver: &mut Driver<TurnClient>) {
        if self.renew_at.take_if(|at| *at <= now.instant).is_some() {
            // If the connection is lost, the turn is renewed after its resumption.
            let _ = driver.act(now, |clients, links| clients.renew(now, &self.turn, links));
        }
    }

    /// Handles the times of `turn` that the server has sent. The error is the server's time, if the reserve
    /// leaves nothing of it.
    pub fn answered(&mut self, now: Now, client: &TurnClient, turn: &ClientTurn) -> Result<(), Duration> {
        let Some((sure_until, ends)) = client.sure_until(turn).zip(turn.deadline) else {
            // The turn was resumed on another connection, and must be renewed there.
            self.renew_at = Some(now.instant);
            return Ok(());
        };
        let time = ends.saturating_duration_since(now.instant);
        let within = time.min(self.grace);
        self.until = Some(sure_until - (time - within));
        let spare = within.checked_sub(self.reserve).filter(|spare| !spare.is_zero()).ok_or(within)?;
        self.renew_at = Some(now.instant + (spare / 4).max(Duration::from_millis(10)));
        Ok(())
    }
}
