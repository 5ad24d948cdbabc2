//! Outbound connections that come back: capped exponential back-off with jitter.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::{DriverConfig, Target, Wrap};
use crate::protocol::{ConnectionId, Entropy};

/// Redirects that are followed in a row.
const REDIRECTS_MAX: u8 = 5;

pub(crate) struct Dial {
    /// The target of the host.
    pub(super) target: Target,
    /// Where a server has sent this client; `None` once nothing answers there.
    elsewhere: Option<Target>,
    /// Redirects since a connection was last confirmed.
    redirects: u8,
    /// Whether the next attempt begins without a pause.
    pub(super) is_hurried: bool,
    /// Makes the wire of each attempt, if it is wrapped.
    pub(super) wrap: Option<Wrap>,
    /// The connection, while there is one, established or on its way.
    pub(super) connection: Option<ConnectionId>,
    /// Addresses of the target that neither this attempt nor, if none is under way, the next one has tried.
    pub(super) untried: VecDeque<SocketAddr>,
    /// The address that was tried last.
    pub(super) tried: Option<SocketAddr>,
    /// Whether the attempt waits for the addresses of a name.
    pub(super) is_resolving: bool,
    /// Consecutive failures.
    failures: u32,
    /// Addresses that timed out since a connection was last confirmed. A refusal does not count: it shows
    /// that the network is fast.
    timeouts: u32,
}

impl Dial {
    pub(super) fn new(target: Target, wrap: Option<Wrap>) -> Dial {
        Dial {
            target,
            elsewhere: None,
            redirects: 0,
            is_hurried: false,
            wrap,
            connection: None,
            untried: VecDeque::new(),
            tried: None,
            is_resolving: false,
            failures: 0,
            timeouts: 0,
        }
    }

    /// Returns the target of the next attempt.
    pub(super) fn aim(&self) -> &Target {
        self.elsewhere.as_ref().unwrap_or(&self.target)
    }

    /// Aims the next attempts at `target`, and has the first begin at once. After too many redirects the
    /// host's target is next, after a pause. Returns whether this one is followed.
    pub(super) fn redirect(&mut self, target: Target) -> bool {
        self.is_hurried = self.redirects < REDIRECTS_MAX;
        (self.elsewhere, self.redirects) =
            if self.is_hurried { (Some(target), self.redirects + 1) } else { (None, 0) };
        self.untried.clear();
        self.is_hurried
    }

    /// Takes the addresses of its target for an attempt. Those of several targets begin behind the one that
    /// was tried last: the system of a suspended server still accepts connections, so that server would come
    /// first every time.
    pub(super) fn offer(&mut self, found: &[SocketAddr]) {
        self.untried = found.iter().copied().collect();
        if let (Target::Several(_), Some(tried)) = (self.aim(), self.tried)
            && let Some(at) = found.iter().position(|addr| *addr == tried)
        {
            self.untried.rotate_left((at + 1) % found.len());
        }
    }

    /// Returns whether this attempt has another address left to try at once.
    pub(super) fn has_untried(&self) -> bool {
        !self.untried.is_empty()
    }

    /// Notes that the connection was confirmed: the next failure counts as the first.
    pub(super) fn relax(&mut self) {
        (self.failures, self.timeouts, self.redirects) = (0, 0, 0);
    }

    /// Notes that an address did not answer in time: the next one gets more time.
    pub(super) fn time_out(&mut self) {
        self.timeouts = self.timeouts.saturating_add(1);
    }

    /// Returns how long this attempt may take at one address.
    pub(super) fn patience(&self, config: &DriverConfig) -> Duration {
        let doublings = 1_u32.checked_shl(self.timeouts).unwrap_or(u32::MAX);
        config.connect_timeout_min.saturating_mul(doublings).min(config.connect_timeout_max)
    }

    /// Notes that all addresses of an attempt have failed. If a server had redirected this client, nothing
    /// answers there any more.
    pub(super) fn fail(&mut self) {
        self.elsewhere = None;
    }

    /// Returns the pause before the next attempt: a random time between the shortest pause and the cap for
    /// this failure, which doubles each time. So a thousand clients of a server that has died do not come
    /// back at the same instant.
    pub(super) fn back_off(&mut self, config: &DriverConfig, entropy: &mut Entropy) -> Duration {
        self.untried.clear();
        self.failures = self.failures.saturating_add(1);
        let doubled =
            config.reconnect_min.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let cap = doubled.min(config.reconnect_max);
        let spread = cap.saturating_sub(config.reconnect_min);
        let mut bytes = [0; 4];
        entropy(&mut bytes);
        let delay =
            config.reconnect_min + spread.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX));
        // At least 1 ms, because a name that does not resolve fails at once, every time.
        delay.max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_are_capped_and_spread() {
        let config = DriverConfig::default();
        let mut dial = Dial::new(Target::from(SocketAddr::from(([127, 0, 0, 1], 1))), None);
        let mut most: Entropy = Box::new(|bytes| bytes.fill(0xff));
        let caps: Vec<_> = (0..8).map(|_| dial.back_off(&config, &mut most).as_millis()).collect();
        assert_eq!(caps, [200, 400, 800, 1600, 2000, 2000, 2000, 2000]);
        let mut least: Entropy = Box::new(|bytes| bytes.fill(0));
        assert_eq!(dial.back_off(&config, &mut least).as_millis(), 100);
        dial.relax();
        assert_eq!(dial.back_off(&config, &mut most).as_millis(), 200);
        (0..100).for_each(|_| assert!(dial.back_off(&config, &mut most) <= config.reconnect_max));
    }

    #[test]
    fn the_time_for_an_attempt_is_short_at_first_and_grows() {
        let config = DriverConfig::default();
        let mut dial = Dial::new(Target::from(SocketAddr::from(([127, 0, 0, 1], 1))), None);
        let mut entropy: Entropy = Box::new(|bytes| bytes.fill(0));
        let mut patience = |dial: &mut Dial| {
            let patience = dial.patience(&config).as_millis();
            dial.time_out();
            dial.back_off(&config, &mut entropy);
            patience
        };
        assert_eq!([(); 6].map(|()| patience(&mut dial)), [1000, 2000, 4000, 8000, 10_000, 10_000]);
        (0..40).for_each(|_| assert_eq!(patience(&mut dial), 10_000));
        dial.relax();
        assert_eq!(patience(&mut dial), 1000);
    }

    #[test]
    fn of_several_servers_the_one_behind_the_last_is_next() {
        let addrs = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let order = |target: Target, tried: Option<usize>| {
            let mut dial = Dial::new(target, None);
            dial.tried = tried.map(|nth| addrs[nth]);
            dial.offer(&addrs);
            dial.untried.iter().map(SocketAddr::port).collect::<Vec<_>>()
        };
        let several = || Target::Several(addrs.map(Target::from).to_vec());
        assert_eq!(order(several(), None), [1, 2, 3]);
        assert_eq!(order(several(), Some(0)), [2, 3, 1]);
        assert_eq!(order(several(), Some(2)), [1, 2, 3]);
        let name = Target::Name { host: "a".to_owned(), port: 1 };
        assert_eq!(order(name, Some(0)), [1, 2, 3], "the system's resolver has an order of its own");
    }

    /// A server that ends refuses for a second, and then nothing answers at its address: that is found out as
    /// soon as without refusals.
    #[test]
    fn refusals_give_no_attempt_more_time() {
        let config = DriverConfig::default();
        let mut dial = Dial::new(Target::from(SocketAddr::from(([127, 0, 0, 1], 1))), None);
        let mut entropy: Entropy = Box::new(|bytes| bytes.fill(0));
        for _ in 0..5 {
            dial.back_off(&config, &mut entropy);
            assert_eq!(dial.patience(&config), config.connect_timeout_min);
        }
    }
}
