//! Runs a command while it has the turn: flock(1) over the network. A command that may touch things outside this machine should tell them
//! `TAKETURNS_EPOCH` and `TAKETURNS_TURN`, so that they can refuse one that comes too late.
//!
//! ```text
//! cargo run --release --example turn_lock -- --serve
//! cargo run --release --example turn_lock -- --ring gpu0 -- make test
//! ```

mod common;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::command::Job;
use common::counting;
use common::lease::Lease;
use common::options::{self, wrong_usage};
use common::printer::Printer;
use common::server::Service;
use log::LevelFilter;
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use taketurns::net::{Driver, Event, EventLoop, now};
use taketurns::protocol::turns::{
    ClientConfig, ClientId, Code, Name, News, SeatRequest, TurnClient, TurnServerConfig,
};
use taketurns::time::{Instant, Now};
use taketurns::turn::{Demand, Demands, HoldMax};

/// Run a command while it has the turn, as flock does, over the network. Exits with the command's code; 75: the turn did not
/// come in time; 76: the turn was lost, and the command was ended.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "Times have a unit: 1500ms, 30s, 2m. A command that reads the terminal finds nothing there.")]
struct Options {
    /// the server, as HOST:PORT. Default: the environment variable TAKETURNS_CONNECT, else 127.0.0.1:5001
    #[argh(option, arg_name = "addr", default = "common::default_server()")]
    connect: String,

    /// the ring, of whose clients one at a time runs its command. Default: main
    #[argh(option, arg_name = "name")]
    ring: Option<Name>,

    /// give up with 75 if another client has the turn
    #[argh(switch, long = "try")]
    at_once: bool,

    /// give up with 75 if the turn has not come by then. Default: never
    #[argh(option, arg_name = "time", from_str_fn(options::time))]
    timeout: Option<Duration>,

    /// time between SIGTERM and the earliest moment another client can have the turn; SIGKILL comes before that. Default: 5s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(5)", from_str_fn(options::time))]
    kill_after: Duration,

    /// how long the server keeps the turn of a lost connection, its --turn-grace. Default: 10s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(10)", from_str_fn(options::time))]
    grace: Duration,

    /// let the command go on when the turn is lost, and exit with 76 when it ends
    #[argh(switch)]
    keep_going: bool,

    /// show another machine, too, the secret by which a turn outlives its connection, in plain text
    #[argh(switch)]
    allow_plaintext_secrets: bool,

    /// be the server: turn_server --demand ask --clients 1 --hold-max none --turn-grace 10s
    #[argh(switch)]
    serve: bool,

    /// the server's address, with --serve; may be given several times. Default: 127.0.0.1:5001
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,

    /// the command and its arguments
    #[argh(positional, greedy)]
    command: Vec<String>,
}

const GAVE_UP: u8 = 75;
const LOST: u8 = 76;

fn main() -> ExitCode {
    let options: Options = options::from_environment();
    common::logger::start(options.log_level);
    match (options.serve, options.command.is_empty()) {
        (true, true) => common::exit_code(serve(&options)),
        (false, false) => lock(&options).unwrap_or_else(|message| common::exit_code(Err(message))),
        _ => wrong_usage(format_args!("expected either a command, as in turn_lock -- make test, or --serve")),
    }
}

fn serve(options: &Options) -> Result<(), String> {
    let mut config = TurnServerConfig::default();
    config.rules.min_seats = 1;
    config.rules.demands = Demands::Only(Demand::Ask);
    config.rules.hold_max = HoldMax::Unlimited;
    config.rules.turn_grace = Duration::from_secs(10);
    let service = Service::listen_turns(config, &options.listen)?;
    let mut printer = Printer::start();
    service.bound.iter().for_each(|addr| printer.line(format_args!("Server listening on {addr}")));
    service.run(|_, _| {})
}

fn lock(options: &Options) -> Result<ExitCode, String> {
    common::check_target(&options.connect, "--connect 127.0.0.1:5001")?;
    let mut event_loop = EventLoop::new(TurnClient::new()).map_err(|error| common::advise(&error))?;
    let signals = common::signals::of_loop(&[SIGCHLD, SIGHUP, SIGINT, SIGTERM], event_loop.handle())?;
    let mut lock = Lock::new(options, event_loop.driver_mut())?;
    let mut absence = common::Absence::default();
    let mut goes_on = true;
    while goes_on {
        let pause = lock.next_deadline().map(|at| at.saturating_duration_since(now().instant));
        goes_on = event_loop.run_once(pause).map_err(|error| error.to_string())?;
        let now = now();
        while let Some(event) = event_loop.poll_event() {
            match event {
                Event::Opened { .. } => absence.is_over(),
                Event::Closed { .. } => lock.lease.iter_mut().for_each(Lease::disconnected),
                Event::Unreachable { target, error, .. } if options.at_once && lock.lease.is_none() => {
                    lock.fail(1, format_args!("cannot connect to {target}: {error} (see --connect)"));
                }
                Event::Unreachable { target, error, .. } => absence.mention(&target, &error),
                Event::Protocol(event) => lock.hear(now, event_loop.driver_mut(), event.news),
                _ => {}
            }
        }
        signals.try_iter().for_each(|signal| lock.signalled(signal));
        lock.act(now, event_loop.driver_mut());
    }
    Ok(ExitCode::from(lock.end.unwrap_or(1)))
}

struct Lock<'a> {
    options: &'a Options,
    client: ClientId,
    /// When to give up, until the command is started.
    give_up_at: Option<Instant>,
    lease: Option<Lease>,
    job: Option<Job>,
    is_lost: bool,
    /// The exit code, once the turn is not needed any more.
    end: Option<u8>,
}

impl Lock<'_> {
    fn new<'a>(options: &'a Options, driver: &mut Driver<TurnClient>) -> Result<Lock<'a>, String> {
        let mut seat = SeatRequest::new(common::unique_name());
        seat.demand = Demand::Ask;
        let mut config = ClientConfig::from(seat);
        config.ring = options.ring.unwrap_or(config.ring);
        config.allow_plaintext_secrets = options.allow_plaintext_secrets;
        let spare = options.grace.saturating_sub(options.kill_after);
        config.ping_interval = Some((spare / 4).max(Duration::from_millis(100)));
        let joined = counting::join(driver, options.connect.as_str(), config);
        let client = joined.map_err(|error| error.to_string())?;
        let give_up_at = options.timeout.map(|timeout| now().instant + timeout);
        Ok(Lock { options, client, give_up_at, lease: None, job: None, is_lost: false, end: None })
    }

    fn next_deadline(&self) -> Option<Instant> {
        let kill_at = self.job.as_ref().and_then(Job::next_deadline);
        let renew_at = self.lease.as_ref().and_then(Lease::next_deadline);
        [self.give_up_at, kill_at, renew_at].into_iter().flatten().min()
    }

    fn hear(&mut self, now: Now, driver: &mut Driver<TurnClient>, news: News) {
        match news {
            News::Waiting { .. } if self.options.at_once => self.end(GAVE_UP),
            News::Granted(turn) if self.end.is_none() => {
                self.lease = Some(Lease::new(now, turn, self.options.grace, self.options.kill_after));
            }
            News::TimeChanged(turn) | News::Refused { code: Code::HoldMax, turn: Some(turn), .. } => {
                let Some(lease) = &mut self.lease else { return };
                match lease.answered(now, &turn) {
                    Err(time) if self.job.is_none() => {
                        self.fail(1, format_args!("--kill-after leaves nothing of a turn of {time:?}"));
                    }
                    _ => self.start(now),
                }
            }
            News::Over { .. } if self.job.is_some() => self.lose(now, None, "the server says so"),
            News::Over { .. } => {
                self.lease = None;
                // The client asks again by itself only until the turn is granted.
                let _ = driver.act(now, |clients, links| clients.ask(now, self.client, links));
            }
            News::Ended { why, dial } => {
                dial.into_iter().for_each(|dial| driver.hang_up(dial));
                match self.job {
                    Some(_) => self.lose(now, None, common::reason(why)),
                    None => self.fail(1, format_args!("{}", common::reason(why))),
                }
            }
            _ => {}
        }
    }

    /// Starts the command, unless it is too late for that by now.
    fn start(&mut self, now: Now) {
        let lease = self.lease.as_ref().filter(|lease| lease.is_safe(now) && self.job.is_none());
        let Some((epoch, turn)) = lease.and_then(|lease| lease.turn.fence) else { return };
        let fence = [("TAKETURNS_EPOCH", epoch.to_string()), ("TAKETURNS_TURN", turn.to_string())];
        match Job::start(&self.options.command, &fence) {
            Ok(job) => (self.job, self.give_up_at) = (Some(job), None),
            Err((code, message)) => self.fail(code, format_args!("{message}")),
        }
    }

    /// Another client can have the turn from `until` on: if that is not said, from when the lease is over at the latest.
    fn lose(&mut self, now: Now, until: Option<Instant>, why: &str) {
        let Some(job) = &mut self.job else { return };
        let Some(lease) = self.lease.take() else { return };
        self.is_lost = true;
        let Options { keep_going, kill_after, .. } = *self.options;
        let then = if keep_going { "the command goes on" } else { "the command is ended" };
        common::complain(format_args!("the turn is lost ({why}); {then}"));
        if !keep_going {
            let until = until.unwrap_or_else(|| lease.until(now));
            job.end((until - kill_after / 10).min(now.instant + kill_after));
        }
    }

    fn signalled(&mut self, signal: i32) {
        match (&self.job, Signal::from_named_raw(signal)) {
            (_, None | Some(Signal::CHILD)) => {}
            (Some(job), Some(signal)) => job.signal(signal),
            (None, Some(_)) => self.end(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        }
    }

    /// What is due, and what has become of the command.
    fn act(&mut self, now: Now, driver: &mut Driver<TurnClient>) {
        if let Some(code) = self.job.as_mut().and_then(|job| job.poll(now.instant)) {
            self.job = None;
            self.end(if self.is_lost { LOST } else { code });
        }
        if let Some(until) = self.lease.as_mut().and_then(|lease| lease.take_end(now)) {
            self.lose(now, Some(until), "the server cannot be reached");
        }
        if self.give_up_at.is_some_and(|at| at <= now.instant) {
            self.end(GAVE_UP);
        }
        if let Some(lease) = &mut self.lease {
            lease.renew(now, driver);
        }
        if self.end.is_some() {
            driver.act(now, |clients, links| clients.rest(now, self.client, links).ok());
            driver.drain(now);
        }
    }

    fn fail(&mut self, code: u8, message: fmt::Arguments<'_>) {
        if self.end.is_none() {
            common::complain(message);
            self.end(code);
        }
    }

    fn end(&mut self, code: u8) {
        (self.give_up_at, self.lease) = (None, None);
        self.end.get_or_insert(code);
    }
}
