//! A loop that owns its `Poll`: a thin layer over [`Driver`], for programs that wait for nothing else, or
//! that wait in another kind of loop.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::clock::Clock;
use super::companion::Companion;
use super::handle::{Handle, Inbox};
#[cfg(feature = "store")]
use super::loop_store::LoopStore;
use super::timer::Timer;
use super::{Driver, DriverConfig, Error, Event, TokenSpace};
use crate::hint::unlikely;
use crate::protocol::Protocol;
#[cfg(feature = "store")]
use crate::store::{Lost, Store};
use crate::time::{Instant, Now, earlier};

/// The space of the driver's tokens. The waker and the timer have tokens of another space.
const DRIVER: TokenSpace = TokenSpace(0);
const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// Events taken from the system in a pass.
const EVENTS_MAX: usize = 1024;

/// Passes in a row inside another loop, which has other work.
const PASSES_MAX: usize = 8;

/// Owns a `mio::Poll` and drives a [`Driver`] on it.
///
/// # Examples
///
/// ```
/// use taketurns::net::{EventLoop, os_entropy};
/// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
/// let mut event_loop = EventLoop::new(server)?;
/// let addr = event_loop.driver_mut().listen(([127, 0, 0, 1], 0).into())?;
/// println!("Server listening on {addr}");
///
/// // Another thread, such as one that waits for signals, may ask for the end: holders finish, each client hears
/// // goodbye, and `run` returns.
/// let handle = event_loop.handle();
/// let thread = std::thread::spawn(move || handle.drain());
/// event_loop.run(|_driver, event| println!("{event:?}"))?;
/// # thread.join().unwrap();
/// # Ok(()) }
/// ```
pub struct EventLoop<P: Protocol> {
    poll: Poll,
    events: Events,
    driver: Driver<P>,
    clock: Clock,
    timer: Timer,
    /// How long it polls without sleeping.
    busy_poll: Option<Duration>,
    inbox: Inbox<P>,
    /// Whether the loop was told to stop, or is drained. Both are final.
    stopped: bool,
    companion: Option<Box<dyn Companion<P>>>,
    #[cfg(feature = "store")]
    store: Option<Box<LoopStore>>,
    /// Whether it has a companion or a store.
    has_more: bool,
}

impl<P: Protocol> EventLoop<P> {
    /// Makes a loop with the default limits and times.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no poll or waker left.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// let addr = event_loop.driver_mut().listen("127.0.0.1:0".parse()?)?;
    /// println!("listening on {addr}");
    /// # Ok(()) }
    /// ```
    pub fn new(protocol: P) -> Result<EventLoop<P>, Error> {
        EventLoop::with_config(protocol, DriverConfig::default())
    }

    /// Makes a loop with limits and times that the host chooses.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no poll or waker left, or if a buffer is too small for the longest
    /// messages of the protocol.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::{net::*, protocol::turns::*};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
    /// let config = DriverConfig { max_connections_per_address: Some(32), ..DriverConfig::default() };
    /// let event_loop = EventLoop::with_config(server, config)?;
    /// # Ok(()) }
    /// ```
    pub fn with_config(protocol: P, config: DriverConfig) -> Result<EventLoop<P>, Error> {
        let poll = Poll::new().map_err(Error::Poll)?;
        let busy_poll = Some(config.busy_poll).filter(|patience| !patience.is_zero());
        let driver = Driver::new(poll.registry(), DRIVER, protocol, config)?;
        let timer = Timer::new(poll.registry(), TIMER).map_err(Error::Poll)?;
        let inbox = Inbox::new(Waker::new(poll.registry(), WAKER).map_err(Error::Poll)?);
        let events = Events::with_capacity(EVENTS_MAX);
        let clock = Clock::new();
        Ok(EventLoop {
            poll,
            events,
            driver,
            clock,
            timer,
            busy_poll,
            inbox,
            stopped: false,
            companion: None,
            #[cfg(feature = "store")]
            store: None,
            has_more: false,
        })
    }

    /// Returns the driver, to read from it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// assert_eq!(event_loop.driver().protocol().clients(), 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn driver(&self) -> &Driver<P> {
        &self.driver
    }

    /// Returns the driver, to listen, connect or drain.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// event_loop.driver_mut().listen("127.0.0.1:0".parse()?)?;
    /// # Ok(()) }
    /// ```
    pub fn driver_mut(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    /// Returns the registry of this loop's poll, for sources other than the driver's.
    #[cfg(feature = "status")]
    pub(crate) fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    /// Runs `companion` in every pass, in place of an earlier one.
    #[cfg(feature = "status")]
    pub(crate) fn accompany(&mut self, companion: Box<dyn Companion<P>>) {
        self.companion = Some(companion);
        self.has_more = true;
    }

    /// Returns a handle for other threads. All of them reach this loop.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// let handle = event_loop.handle();
    /// let thread = std::thread::spawn(move || event_loop.run(|_driver, event| println!("{event:?}")));
    /// handle.drain();
    /// thread.join().expect("the loop does not panic")?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle<P> {
        self.inbox.handle()
    }

    /// Runs until the loop is stopped or drained, and passes every event to `on_event`. Called again after
    /// that, it returns at once.
    ///
    /// `on_event` is called between passes. It acts on connections with [`Driver::act`], at the time of
    /// [`net::now`](super::now).
    ///
    /// # Errors
    ///
    /// Returns an error if the poll fails or the store is lost.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// event_loop.driver_mut().listen("127.0.0.1:0".parse()?)?;
    /// # event_loop.handle().drain();
    /// event_loop.run(|driver, event| {
    ///     if let Event::Protocol(TurnEvent::Ended { seat, turn, how }) = event {
    ///         println!("{} did not answer turn {turn}: {}", driver.protocol().name_of(seat), how.words());
    ///     }
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn run(&mut self, mut on_event: impl FnMut(&mut Driver<P>, Event<P::Event>)) -> Result<(), Error> {
        if self.has_more {
            return self.run_accompanied(on_event);
        }
        loop {
            let goes_on = self.pass(self.driver.next_deadline(), None, self.busy_poll)?;
            while let Some(event) = self.driver.poll_event() {
                on_event(&mut self.driver, event);
            }
            if !goes_on {
                return Ok(());
            }
        }
    }

    #[cold]
    fn run_accompanied(
        &mut self,
        mut on_event: impl FnMut(&mut Driver<P>, Event<P::Event>),
    ) -> Result<(), Error> {
        loop {
            let goes_on = self.run_once(None)?;
            while let Some(event) = self.poll_event() {
                on_event(&mut self.driver, event);
            }
            if !goes_on {
                #[cfg(feature = "store")]
                self.close_store()?;
                return Ok(());
            }
        }
    }

    /// Returns the next event for the host. Call it after each [`run_once`](Self::run_once) until it returns
    /// `None`. A status listener counts each event on its way.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// let goes_on = event_loop.run_once(Some(std::time::Duration::ZERO))?;
    /// while let Some(event) = event_loop.poll_event() {
    ///     println!("{event:?}");
    /// }
    /// assert!(goes_on);
    /// # Ok(()) }
    /// ```
    pub fn poll_event(&mut self) -> Option<Event<P::Event>> {
        let Some(companion) = &mut self.companion else { return self.driver.poll_event() };
        let event = self.driver.poll_event()?;
        companion.observe(&self.driver, &event);
        Some(event)
    }

    /// Runs one pass, which waits for at most `timeout`. Returns `false` when the loop is stopped or drained.
    /// Take the events with [`poll_event`](Self::poll_event).
    ///
    /// # Errors
    ///
    /// Returns an error if the poll fails, if the store is lost, or if the events of the last pass were not
    /// taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use taketurns::net::{EventLoop, now, os_entropy};
    /// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
    /// # event_loop.driver_mut().drain(now());
    /// while event_loop.run_once(Some(Duration::from_secs(1)))? {
    ///     while let Some(event) = event_loop.poll_event() {
    ///         println!("{event:?}");
    ///     }
    ///     // Something else to do, at least once a second.
    /// }
    /// # Ok(()) }
    /// ```
    pub fn run_once(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        let goes_on = self.pass(self.next_deadline(), timeout, self.busy_poll_of_all());
        // The next poll forgets the events of this one.
        if self.has_more && matches!(goes_on, Ok(_) | Err(Error::EventsPending)) {
            self.finish_more(self.clock.last())?;
        }
        goes_on
    }

    /// A pass without the companion, which must be made by `deadline`.
    #[inline(always)]
    fn pass(
        &mut self,
        deadline: Option<Instant>,
        timeout: Option<Duration>,
        busy_poll: Option<Duration>,
    ) -> Result<bool, Error> {
        let was_due = self.wait(deadline, timeout, busy_poll).map_err(Error::Poll)?;
        let now = self.clock.now();
        #[cfg(feature = "store")]
        if unlikely(self.has_more) {
            self.check_store(now)?;
        }
        let mut woken = self.handle_events(now);
        if unlikely(was_due) || unlikely(self.timer.is_reached(now.instant)) {
            woken |= self.catch_up(now).map_err(Error::Poll)?;
        }
        if unlikely(woken) {
            self.stopped |= self.inbox.obey(&mut self.driver, now);
            #[cfg(feature = "store")]
            self.tell_durable(now)?;
        }
        self.driver.finish_batch(now)?;
        self.stopped |= self.driver.is_drained();
        Ok(!self.stopped)
    }

    /// Makes passes that do not wait, and calls `on_event` with each event, as [`run`](Self::run) does.
    /// Returns how long the host may wait for this loop's descriptor before it calls this again, as
    /// [`arm`](Self::arm) does, or `Break` at the end. It is for a loop inside another one: see the
    /// [steps](crate::net#in-another-loop).
    ///
    /// It makes at most eight passes, because a flood would make them endless. Then it returns zero, so that
    /// other work of the host comes first.
    ///
    /// # Errors
    ///
    /// Returns an error if the poll or its timer fails, or the store is lost.
    ///
    /// # Examples
    ///
    /// Waits with `poll(2)`, next to whatever else the host waits for:
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::ops::ControlFlow::Continue;
    /// # use rustix::event::{PollFd, PollFlags, poll};
    /// # use taketurns::net::{EventLoop, os_entropy};
    /// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// # let mut event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
    /// # let handle = event_loop.handle();
    /// # let thread = std::thread::spawn(move || handle.drain());
    /// while let Continue(timeout) = event_loop.run_ready(|_driver, event| println!("{event:?}"))? {
    ///     let timeout = timeout.map(|timeout| timeout.try_into()).transpose()?;
    ///     poll(&mut [PollFd::new(&event_loop, PollFlags::IN)], timeout.as_ref())?;
    /// }
    /// # thread.join().unwrap();
    /// # Ok(()) }
    /// # #[cfg(not(target_os = "linux"))]
    /// # fn main() {}
    /// ```
    pub fn run_ready(
        &mut self,
        mut on_event: impl FnMut(&mut Driver<P>, Event<P::Event>),
    ) -> Result<ControlFlow<(), Option<Duration>>, Error> {
        let mut timeout = None;
        for _ in 0..PASSES_MAX {
            let goes_on = self.run_once(Some(Duration::ZERO))?;
            while let Some(event) = self.poll_event() {
                on_event(&mut self.driver, event);
            }
            if !goes_on {
                #[cfg(feature = "store")]
                self.close_store()?;
                return Ok(ControlFlow::Break(()));
            }
            timeout = self.arm()?;
            if timeout != Some(Duration::ZERO) {
                break;
            }
        }
        Ok(ControlFlow::Continue(timeout))
    }

    /// Returns how long the host may wait for this loop's descriptor to become readable before the next pass:
    /// the last step of [`run_ready`](Self::run_ready), for hosts that make the passes one by one.
    ///
    /// Zero means that a pass is due at once, for something that the descriptor does not announce. `None`
    /// means that the descriptor will announce everything. On Linux there is no other value, because the
    /// descriptor announces deadlines, too.
    ///
    /// Call it after [`run_once`](Self::run_once) with a timeout of zero, once the events are taken and the
    /// host has acted on the driver. A loop that is stopped or drained needs one more pass at once, which
    /// reports that.
    ///
    /// # Errors
    ///
    /// Returns an error if the system does not set its timer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    #[doc = in_a_loop!()]
    /// event_loop.driver_mut().drain(now());
    /// assert_eq!(event_loop.arm()?, Some(Duration::ZERO), "a pass would say that it is over");
    /// # Ok(()) }
    /// ```
    pub fn arm(&mut self) -> Result<Option<Duration>, Error> {
        let deadline = self.next_deadline();
        // Evaluated before the timer is set: otherwise it would be set for this deadline, and again for the
        // next one.
        let is_due = deadline.is_some_and(|deadline| deadline <= self.clock.last().instant);
        if is_due || self.stopped || self.driver.is_drained() || self.may_have_more() {
            return Ok(Some(Duration::ZERO));
        }
        self.timer.timeout(deadline).map_err(Error::Poll)
    }

    /// Returns whether the last poll returned as many events as fit. There may be more, which the system does
    /// not announce again to an outer loop that is edge-triggered as well.
    fn may_have_more(&self) -> bool {
        self.events.iter().count() >= EVENTS_MAX
    }

    /// Handles the events of the poll. Returns whether another thread wants something.
    #[inline(always)]
    fn handle_events(&mut self, now: Now) -> bool {
        let mut woken = false;
        for event in &self.events {
            match event.token() {
                token if self.driver.owns(token) => self.driver.handle_event(now, event),
                WAKER => woken = true,
                TIMER => self.timer.fired(),
                _ => {}
            }
        }
        woken
    }

    /// Reads all input that has arrived before a deadline passes. A process that was suspended, or had to
    /// wait for a processor, may find the deadline passed and an answer waiting that the poll has not
    /// reported yet. Peers that send more meanwhile may have to wait.
    #[cold]
    fn catch_up(&mut self, now: Now) -> io::Result<bool> {
        let mut woken = false;
        for _ in 0..=self.driver.connections() / EVENTS_MAX {
            if !self.driver.is_due(now) {
                break;
            }
            // The next poll forgets the events of this one.
            self.tell_companion(now);
            self.poll(Some(Duration::ZERO))?;
            if self.events.is_empty() {
                break;
            }
            woken |= self.handle_late_events(now);
        }
        Ok(woken)
    }

    #[inline(never)]
    fn handle_late_events(&mut self, now: Now) -> bool {
        self.handle_events(now)
    }

    /// Waits for events, for the deadline of the driver, or for `timeout`, whichever is first, and polls for
    /// `busy_poll` before it sleeps. It does not wait if the deadline has already passed, and returns whether
    /// it had.
    fn wait(
        &mut self,
        deadline: Option<Instant>,
        timeout: Option<Duration>,
        busy_poll: Option<Duration>,
    ) -> io::Result<bool> {
        if unlikely(deadline.is_some_and(|deadline| deadline <= self.clock.last().instant)) {
            self.poll(Some(Duration::ZERO))?;
            return Ok(true);
        }
        if unlikely(self.stopped) {
            self.poll(Some(Duration::ZERO))?;
            return Ok(false);
        }
        let until_deadline = self.timer.timeout(deadline)?;
        let timeout = match (timeout, until_deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (timeout, None) | (None, timeout) => timeout,
        };
        match busy_poll {
            None => self.poll(timeout)?,
            Some(patience) => self.spin_then_poll(patience, timeout)?,
        }
        Ok(false)
    }

    #[cold]
    fn spin_then_poll(&mut self, patience: Duration, timeout: Option<Duration>) -> io::Result<()> {
        let patience = timeout.map_or(patience, |timeout| timeout.min(patience));
        let since = self.clock.now().instant;
        while self.clock.now().instant.saturating_duration_since(since) < patience {
            self.poll(Some(Duration::ZERO))?;
            if !self.events.is_empty() {
                return Ok(());
            }
            // Other processes on this processor are likely to cause the next event.
            std::thread::yield_now();
        }
        self.poll(timeout.map(|timeout| timeout - patience))
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.has_more { self.next_deadline_of_all() } else { self.driver.next_deadline() }
    }

    #[cold]
    fn next_deadline_of_all(&self) -> Option<Instant> {
        let companion = self.companion.as_ref().and_then(|companion| companion.next_deadline());
        let deadline = earlier(self.driver.next_deadline(), companion);
        #[cfg(feature = "store")]
        let deadline = earlier(deadline, self.store.as_ref().and_then(|store| store.expires_at()));
        deadline
    }

    /// Returns how long to poll without sleeping.
    fn busy_poll_of_all(&self) -> Option<Duration> {
        #[cfg(feature = "store")]
        if let Some(until) = self.store.as_ref().and_then(|store| store.busy_poll_until()) {
            return self.busy_poll.max(Some(until.saturating_duration_since(self.clock.last().instant)));
        }
        self.busy_poll
    }

    fn tell_companion(&mut self, now: Now) {
        if let Some(companion) = &mut self.companion {
            self.events.iter().for_each(|event| companion.handle_event(now, event));
        }
    }

    #[cold]
    fn finish_more(&mut self, now: Now) -> Result<(), Error> {
        #[cfg(feature = "store")]
        if let Some(store) = &mut self.store {
            store.take_records(now, &mut self.driver);
        }
        self.finish_companion(now)
    }

    /// Runs the companion after the driver's pass, with its events from that pass, so that no turn waits for
    /// it.
    #[cold]
    fn finish_companion(&mut self, now: Now) -> Result<(), Error> {
        let Some(companion) = &mut self.companion else { return Ok(()) };
        companion.note_pass(now);
        self.events.iter().for_each(|event| companion.handle_event(now, event));
        companion.finish_batch(now, &mut self.driver)
    }
}

/// With a store.
#[cfg(feature = "store")]
impl<P: Protocol + 'static> EventLoop<P> {
    /// Stores the [records](Protocol::poll_record) of the protocol in `store`, on its own thread, so that the
    /// loop never waits for it. Messages that a record causes are sent when it is durable.
    ///
    /// The store has been [loaded](Store::load), and the protocol was made from its state. Call this before
    /// the first pass. `limit` is the time that the store has at the end, to store the records that still
    /// wait.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Thread`] if the system cannot start the store's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// use taketurns::journal::Journal;
    /// use taketurns::net::{EventLoop, now, os_entropy};
    /// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// use taketurns::session::Epoch;
    /// use taketurns::store::Store as _;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = std::env::temp_dir().join(format!("taketurns-store-in-{}", std::process::id()));
    /// let mut journal = Journal::open(&dir, Epoch::random(&mut os_entropy()))?;
    /// let state = journal.load()?;
    /// let server = TurnServer::restore(now(), TurnServerConfig::default(), os_entropy(), &state)?;
    /// let mut event_loop = EventLoop::new(server)?;
    /// event_loop.store_in(journal, Duration::from_secs(3))?;
    /// # event_loop.driver_mut().drain(now());
    /// event_loop.run(|_driver, event| println!("{event:?}"))?;
    /// # std::fs::remove_dir_all(dir)?;
    /// # Ok(()) }
    /// ```
    pub fn store_in(&mut self, store: impl Store, limit: Duration) -> Result<(), Error> {
        self.store = Some(Box::new(LoopStore::new(store, self.handle(), limit)?));
        self.has_more = true;
        Ok(())
    }
}

#[cfg(feature = "store")]
impl<P: Protocol> EventLoop<P> {
    /// Stores the records that still wait, and closes the store. [`run`](Self::run) does so at its end; a
    /// host that makes the passes itself calls this after [`run_once`](Self::run_once) has returned `false`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the records cannot be stored, or the store is not closed in time.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// # event_loop.driver_mut().drain(now());
    /// while event_loop.run_once(None)? {
    ///     while let Some(event) = event_loop.poll_event() {
    ///         println!("{event:?}");
    ///     }
    /// }
    /// event_loop.close_store()?;
    /// # Ok(()) }
    /// ```
    pub fn close_store(&mut self) -> Result<(), Error> {
        self.store.take().map_or(Ok(()), |store| store.close())
    }

    fn tell_durable(&mut self, now: Now) -> Result<(), Error> {
        let Some(store) = &mut self.store else { return Ok(()) };
        store.tell_durable(now, &mut self.driver).inspect_err(|_| self.lose_store(now))
    }

    /// Runs at the start of a pass: while this process was suspended, another server may have taken over, and
    /// no client may be told what this one believes.
    #[cold]
    fn check_store(&mut self, now: Now) -> Result<(), Error> {
        let expires_at = self.store.as_ref().and_then(|store| store.expires_at());
        if expires_at.is_none_or(|at| now.instant < at) {
            return Ok(());
        }
        self.lose_store(now);
        Err(Error::Store(Lost::Expired))
    }

    fn lose_store(&mut self, now: Now) {
        self.store = None;
        self.driver.engine.close_all(now);
    }
}

/// The descriptor of the loop's poll, for a host that waits for it together with other things. It becomes
/// readable when a pass has something to do; [`EventLoop::arm`] returns how long to wait for that. The
/// descriptor stays the same and open for as long as the loop exists. Use it only to wait until it is
/// readable.
///
/// # Examples
///
/// ```
/// # #[cfg(target_os = "linux")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use rustix::event::{PollFd, PollFlags, poll};
/// # use taketurns::net::{EventLoop, os_entropy};
/// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
/// let event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
/// event_loop.handle().drain();
/// let mut descriptors = [PollFd::new(&event_loop, PollFlags::IN)];
/// assert_eq!(poll(&mut descriptors, None)?, 1); // a pass would find what the handle wants
/// # Ok(()) }
/// # #[cfg(not(target_os = "linux"))]
/// # fn main() {}
/// ```
#[cfg(unix)]
impl<P: Protocol> AsFd for EventLoop<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

/// The same descriptor, for loops that need a number, such as tokio's `AsyncFd`.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::os::fd::{AsFd, AsRawFd};
/// # use taketurns::net::{EventLoop, os_entropy};
/// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
/// let event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
/// assert_eq!(event_loop.as_raw_fd(), event_loop.as_fd().as_raw_fd());
/// # Ok(()) }
/// # #[cfg(not(unix))]
/// # fn main() {}
/// ```
#[cfg(unix)]
impl<P: Protocol> AsRawFd for EventLoop<P> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<P: Protocol> fmt::Debug for EventLoop<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("driver", &self.driver)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}
