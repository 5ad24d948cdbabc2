//! Several loops in one server, each with its own rings, on a thread of its own. The first accepts clients.

use std::net::SocketAddr;
use std::thread::{Builder, JoinHandle};

use log::{Level, warn};
use taketurns::net::{Driver, DriverConfig, Event, EventLoop, Handle, now, os_entropy};
use taketurns::protocol::CloseReason;
use taketurns::protocol::turns::{Admit, Joining, TurnEvent, TurnServer, TurnServerConfig};

use super::answers::Answers;
use super::news::News;
use super::output;
use super::spread::part_of;

/// Makes the parts of loops differ from those of servers, or each server would use one loop only.
const SALT: u64 = 0x6c6f_6f70;

/// All loops but the first.
#[derive(Default)]
pub struct Loops {
    handles: Vec<Handle<TurnServer>>,
    threads: Vec<JoinHandle<()>>,
}

impl Loops {
    /// Starts `count - 1` loops. They print accepted answers unless `is_quiet`.
    pub fn start(
        count: usize,
        config: &TurnServerConfig,
        limits: &DriverConfig,
        is_quiet: bool,
    ) -> Result<Loops, String> {
        let mut loops = Loops::default();
        for nth in 1..count {
            let turns = TurnServer::new(config.clone(), os_entropy()).map_err(|error| error.to_string())?;
            let event_loop =
                EventLoop::with_config(turns, limits.clone()).map_err(|error| super::advise(&error))?;
            loops.handles.push(event_loop.handle());
            #[expect(clippy::disallowed_methods, reason = "loops on several processors need threads")]
            let thread = Builder::new()
                .name(format!("loop {}", nth + 1))
                .spawn(move || run(event_loop, is_quiet))
                .map_err(|error| format!("cannot start a thread for --loops {count}: {error}"))?;
            loops.threads.push(thread);
        }
        Ok(loops)
    }

    /// Returns a function that has all of them finish their work.
    pub fn drain(&self) -> Box<dyn Fn() + Send> {
        let handles = self.handles.clone();
        Box::new(move || handles.iter().for_each(Handle::drain))
    }

    /// Admits a client, on the loop that has its ring.
    pub fn admit(&self, driver: &mut Driver<TurnServer>, joining: &Joining) {
        let Some(at) = part_of(&joining.ring, self.handles.len() + 1, SALT).checked_sub(1) else {
            return driver.act(now(), |server, links| {
                server.admit(now(), joining.connection, &Admit::default(), links);
            });
        };
        let Some(released) = driver.release(now(), joining.connection) else { return };
        let (peer, released) = (released.peer(), released.after(joining.hello()));
        let adopts = self.handles[at].run(move |driver, now| {
            if let Err(error) = driver.adopt_released(now, released) {
                dropped(driver, peer, &error.to_string());
            }
        });
        if adopts.is_err() {
            dropped(driver, peer, "its loop is busy or has ended");
        }
    }

    /// Waits until all have finished their work.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn dropped(driver: &mut Driver<TurnServer>, peer: SocketAddr, why: &str) {
    if driver.act(now(), |_, links| links.may_log(Level::Warn)) {
        warn!("{peer}: dropped: {why}");
    }
}

/// Ends the program when a loop panics: its rings would be served by nobody.
struct EndsTheProgram;

impl Drop for EndsTheProgram {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(101);
        }
    }
}

fn run(mut event_loop: EventLoop<TurnServer>, is_quiet: bool) {
    let _ends = EndsTheProgram;
    let (mut news, mut answers) = (News::start(None), Answers::default());
    let mut goes_on = true;
    while goes_on {
        goes_on = event_loop.run_once(news.catch_up()).unwrap_or_else(|error| {
            super::complain(format_args!("a loop has ended: {error}"));
            output::finish();
            std::process::exit(1)
        });
        while let Some(event) = event_loop.poll_event() {
            handle(event, event_loop.driver_mut(), &mut news, &mut answers, is_quiet);
        }
    }
    news.finish();
}

/// Handles an event of any loop. A client that goes from one to another neither comes nor leaves.
pub fn handle(
    event: Event<TurnEvent>,
    driver: &mut Driver<TurnServer>,
    news: &mut News,
    answers: &mut Answers,
    is_quiet: bool,
) {
    match event {
        Event::Closed { reason: CloseReason::Released, .. } => {}
        Event::Closed { peer, .. } => news.line(format_args!("Client {peer} disconnected.")),
        Event::Protocol(TurnEvent::Joining(joining)) => {
            driver.act(now(), |server, links| {
                server.admit(now(), joining.connection, &Admit::default(), links);
            });
        }
        Event::Protocol(event) if !is_quiet => {
            if let Some(answer) = answers.handle(driver.protocol(), &event) {
                // The main output, which --quiet suppresses.
                output::line(format_args!("{answer}"));
            }
        }
        _ => {}
    }
}
