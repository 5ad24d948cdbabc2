//! An event source in calloop, on Linux. Other systems also need a timer for the time that
//! [`EventLoop::arm`] returns.

use std::error::Error;
use std::io;
use std::ops::ControlFlow::{Break, Continue};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use calloop::generic::Generic;
use calloop::{EventSource, Interest, Mode, Poll, PostAction, Readiness, Token, TokenFactory};
use hosts::{Options, say};
use taketurns::net::{self, Driver, Event, EventLoop};
use taketurns::protocol::turns::{TurnEvent, TurnServer};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    let event_loop = options.serve()?;
    let server = event_loop.handle();

    let mut calloop = calloop::EventLoop::try_new()?;
    let signal = calloop.get_signal();
    calloop.handle().insert_source(Turns::new(event_loop)?, move |news, driver, options: &mut Options| {
        match news {
            News::Event(event) => options.print_event(driver.protocol(), &event),
            News::Over => signal.stop(),
        }
    })?;

    // The loop now belongs to its source. The handle reaches it from this thread as from any other.
    let stdin = Generic::new(io::stdin(), Interest::READ, Mode::Level);
    calloop.handle().insert_source(stdin, move |_, stdin, _| {
        let mut typed = [0; 1024];
        match rustix::io::read(&**stdin, &mut typed)? {
            0 => {
                server.drain();
                Ok(PostAction::Remove)
            }
            count => {
                // This fails if a thousand lines are waiting already.
                let _ = server.run(move |driver, now| say(driver, now, typed[..count].trim_ascii()));
                Ok(PostAction::Continue)
            }
        }
    })?;

    let mut options = options;
    calloop.run(None, &mut options, |_| {})?;
    Ok(())
}

/// An event loop as an event source: its descriptor, and the result of its last pass.
struct Turns {
    event_loop: EventLoop<TurnServer>,
    /// A duplicate that polls the same, because calloop gives safe code only shared access to the object that
    /// it watches.
    descriptor: Generic<OwnedFd>,
    /// The token for passes that are due although the descriptor does not report them.
    token: Option<Token>,
    timeout: Option<Duration>,
}

enum News {
    Event(Event<TurnEvent>),
    Over,
}

impl Turns {
    fn new(event_loop: EventLoop<TurnServer>) -> io::Result<Turns> {
        let descriptor = event_loop.as_fd().try_clone_to_owned()?;
        let descriptor = Generic::new(descriptor, Interest::READ, Mode::Level);
        Ok(Turns { event_loop, descriptor, token: None, timeout: Some(Duration::ZERO) })
    }
}

impl EventSource for Turns {
    type Event = News;
    type Metadata = Driver<TurnServer>;
    type Ret = ();
    type Error = net::Error;

    const NEEDS_EXTRA_LIFECYCLE_EVENTS: bool = true;

    fn before_sleep(&mut self) -> calloop::Result<Option<(Readiness, Token)>> {
        let is_due = self.timeout == Some(Duration::ZERO);
        Ok(self.token.filter(|_| is_due).map(|token| (Readiness::EMPTY, token)))
    }

    fn process_events<F>(&mut self, _: Readiness, _: Token, mut tell: F) -> Result<PostAction, net::Error>
    where
        F: FnMut(News, &mut Driver<TurnServer>),
    {
        match self.event_loop.run_ready(|driver, event| tell(News::Event(event), driver))? {
            Continue(timeout) => {
                self.timeout = timeout;
                Ok(PostAction::Continue)
            }
            Break(()) => {
                tell(News::Over, self.event_loop.driver_mut());
                Ok(PostAction::Remove)
            }
        }
    }

    fn register(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.token = Some(tokens.token());
        self.descriptor.register(poll, tokens)
    }

    fn reregister(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.token = Some(tokens.token());
        self.descriptor.reregister(poll, tokens)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.token = None;
        self.descriptor.unregister(poll)
    }
}
