//! Wakes an event loop's poll at the earliest deadline.
//!
//! For a finite timeout, the system sets and cancels a timer of its own at every poll, and the loop has to
//! read the clock again to compute it. On Linux a timer descriptor among the sockets avoids both: deadlines
//! nearly always move later, so it is set again only after it fired, or when a deadline moves before the time
//! it is set to.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

use crate::time::Instant;

#[cfg(target_os = "linux")]
pub(super) use descriptor::Timer;
#[cfg(not(target_os = "linux"))]
pub(super) use timeout::Timer;

#[cfg(target_os = "linux")]
mod descriptor {
    use std::os::fd::{AsRawFd as _, OwnedFd};

    use mio::Interest;
    use mio::unix::SourceFd;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::*;
    use crate::net::clock;

    #[derive(Debug)]
    pub(in super::super) struct Timer {
        descriptor: OwnedFd,
        /// When it will fire; reset when it has.
        set_to: Option<Instant>,
    }

    impl Timer {
        pub(in super::super) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Timer { descriptor, set_to: None })
        }

        /// Returns how long a poll may wait without missing `deadline`; `None` for no limit, because the
        /// timer will end it.
        pub(in super::super) fn timeout(
            &mut self,
            deadline: Option<Instant>,
        ) -> io::Result<Option<Duration>> {
            match deadline {
                Some(deadline) if self.set_to.is_none_or(|set_to| deadline < set_to) => self.set(deadline),
                Some(_) | None => Ok(None),
            }
        }

        /// Relative to now, so that tools that fake the time of a program, as some tests do, need not know of
        /// this timer.
        #[cold]
        fn set(&mut self, deadline: Instant) -> io::Result<Option<Duration>> {
            let wait = deadline.saturating_duration_since(clock::now().instant);
            if wait.is_zero() {
                // The deadline passed while we computed it. Report it now, because the timer would fire too
                // late.
                self.set_to = None;
                return Ok(Some(Duration::ZERO));
            }
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec::try_from(wait).map_err(io::Error::other)?,
            };
            timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
            self.set_to = Some(deadline);
            Ok(None)
        }

        /// Returns whether the deadline of the timer may have passed.
        pub(in super::super) fn is_reached(&self, now: Instant) -> bool {
            self.set_to.unwrap_or(Instant::ORIGIN) <= now
        }

        /// Notes that the timer has fired. It need not be read: the next time is another edge.
        pub(in super::super) fn fired(&mut self) {
            self.set_to = None;
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timeout {
    use super::*;
    use crate::net::clock;

    #[derive(Debug)]
    pub(in super::super) struct Timer;

    impl Timer {
        #[expect(clippy::unnecessary_wraps, reason = "the same signature as with a descriptor")]
        pub(in super::super) fn new(_: &Registry, _: Token) -> io::Result<Timer> {
            Ok(Timer)
        }

        #[expect(clippy::unnecessary_wraps, reason = "the same signature as with a descriptor")]
        pub(in super::super) fn timeout(
            &mut self,
            deadline: Option<Instant>,
        ) -> io::Result<Option<Duration>> {
            Ok(deadline.and_then(|deadline| clock::poll_timeout(clock::now(), Some(deadline))))
        }

        pub(in super::super) fn is_reached(&self, _: Instant) -> bool {
            true
        }

        pub(in super::super) fn fired(&mut self) {}
    }
}
