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
    granted_at: Instant,
    /// The time with which the turn began.
    initial: Duration,
    /// How long this turn may last in total, once that is all that ends it.
    limit: Option<Duration>,
}

impl Lease {
    /// Creates a lease on a turn that was just granted. Its `GO` may have been written long ago, so a renewal
    /// is due at once.
    pub fn new(now: Now, turn: ClientTurn, grace: Duration, reserve: Duration) -> Lease {
        let (granted_at, renew_at) = (now.instant, Some(now.instant));
        let initial = turn.deadline.map_or(Duration::ZERO, |ends| ends.saturating_duration_since(granted_at));
        Lease { turn, grace, reserve, renew_at, until: None, granted_at, initial, limit: None }
    }

    /// Returns how long the server lets a turn last, rounded, if the lease ends because of that.
    pub fn limit(&self) -> Option<Duration> {
        self.limit.map(|limit| {
            let unit: u32 = if limit < Duration::from_secs(10) { 100 } else { 1_000 };
            let unit = Duration::from_millis(unit.into());
            let units = (limit + unit / 2).as_millis() / unit.as_millis();
            unit * u32::try_from(units).unwrap_or(u32::MAX)
        })
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

    /// Handles the times of `turn` that the server has sent, and whether it refuses to extend the turn any
    /// further. The error is the server's time, if the reserve leaves nothing of it.
    pub fn answered(
        &mut self,
        now: Now,
        client: &TurnClient,
        turn: &ClientTurn,
        is_hold_max: bool,
    ) -> Result<(), Duration> {
        let Some((sure_until, ends)) = client.sure_until(turn).zip(turn.deadline) else {
            // The turn was resumed on another connection, and must be renewed there.
            self.renew_at = Some(now.instant);
            return Ok(());
        };
        let time = ends.saturating_duration_since(now.instant);
        let within = time.min(self.grace);
        self.until = Some(sure_until - (time - within));
        // With more time left than the grace, a lost connection can still end the turn before that.
        let is_limit = is_hold_max && time == within;
        // The `GO` may have been read late, but says how much time there was when it was written.
        let total = ends.saturating_duration_since(self.granted_at).max(self.initial);
        self.limit = is_limit.then_some(total);
        let spare = within.checked_sub(self.reserve).filter(|spare| !spare.is_zero()).ok_or(within)?;
        self.renew_at = Some(now.instant + (spare / 4).max(Duration::from_millis(10)));
        Ok(())
    }
}
