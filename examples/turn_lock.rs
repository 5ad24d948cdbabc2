//! Runs a command while it holds the turn: flock(1) over the network. Other machines can refuse a command
//! whose turn is over, if it sends them `TAKETURNS_EPOCH` and `TAKETURNS_TURN`.
//!
//! ```text
//! cargo run --release --example turn_lock -- --serve
//! cargo run --release --example turn_lock -- --ring gpu0 -- make test
//! ```

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::command::Guarded;
use common::lease::Lease;
use common::options::{self, Extra, Extras, wrong_usage};
use common::remote::{self, Remote, Troubles};
use common::server::Service;
use common::{lookup, signals, storage, tls};
use log::LevelFilter;
use taketurns::net::{Driver, Event, EventLoop, now};
use taketurns::protocol::turns::{
    ClientConfig, ClientId, ClientTurn, Code, End, Name, News, TurnClient, TurnServerConfig,
};
use taketurns::session::Bye;
use taketurns::time::{Instant, Now};
use taketurns::turn::{Demand, Demands, HoldMax};

/// Run a command while holding the turn: flock over the network.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "The command finds its fence in TAKETURNS_EPOCH and TAKETURNS_TURN.
Times have a unit: 1500ms, 30s, 2m. The command cannot read from a terminal.
It is ended together with its process group: descendants that leave the group are not.
Ctrl-Z suspends the command, too. If its turn is over before it is resumed, it is killed.
The exit code is that of the command, or 128 + the number of the signal that ended it.")]
#[argh(error_code(1, "No turn: the server refuses this client, or with --try cannot be reached."))]
#[argh(error_code(2, "Wrong usage."))]
#[argh(error_code(75, "The turn did not come in time: see --timeout and --try."))]
#[argh(error_code(76, "The turn was lost, and so the command was ended: see --keep-going."))]
#[argh(error_code(126, "The command cannot be run."))]
#[argh(error_code(127, "The command was not found."))]
struct Options {
    /// the ring; one of its clients runs its command at a time. Default: main
    #[argh(option, arg_name = "name")]
    ring: Option<Name>,

    /// give up with 75 if another client has the turn
    #[argh(switch, long = "try")]
    at_once: bool,

    /// give up with 75 if the turn has not come by then. Default: never
    #[argh(option, arg_name = "time", from_str_fn(options::time))]
    timeout: Option<Duration>,

    /// time between SIGTERM and the earliest moment at which another client can have the turn; SIGKILL is
    /// sent before that. Default: 5s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(5)", from_str_fn(options::time))]
    kill_after: Duration,

    /// how long the server keeps the turn of a lost connection; must match its --turn-grace. Default: 10s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(10)", from_str_fn(options::time))]
    grace: Duration,

    /// leave the command running when the turn is lost, and exit with 76 when it ends
    #[argh(switch)]
    keep_going: bool,

    /// run the server: turn_server --demand ask --clients 1 --hold-max none --turn-grace 10s
    #[argh(switch)]
    serve: bool,

    /// the server's address, with --serve; may be given several times. Default: 127.0.0.1:5001
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,

    /// the command and its arguments
    #[argh(positional, greedy)]
    command: Vec<String>,
}

const EXTRAS: &[&[Extra]] = &[remote::OF_CLIENTS, tls::OF_CLIENTS, storage::OF_SERVERS, storage::OF_CLUSTERS];

const GAVE_UP: u8 = 75;

fn main() -> ExitCode {
    let (options, extras): (Options, _) = options::with_extras(EXTRAS);
    common::logger::start(options.log_level);
    match (options.serve, options.command.is_empty()) {
        (true, true) if options.ring.is_some() => {
            wrong_usage(format_args!("--serve serves every ring: leave --ring out"));
        }
        (true, true) => match of_clients(&options, &extras) {
            Some(option) => wrong_usage(format_args!("{option} is not for --serve")),
            None => common::exit_code(serve(&options, &extras)),
        },
        (false, false) => match of_servers(&options, &extras) {
            Some(option) => wrong_usage(format_args!("{option} is for --serve")),
            None => {
                refuse_ring_as_command(&options, &extras);
                common::end(lock(&options, &extras))
            }
        },
        _ => wrong_usage(format_args!("expected either a command, as in turn_lock -- make test, or --serve")),
    }
}

/// Returns an option that was given, and that only `--serve` takes.
fn of_servers(options: &Options, extras: &Extras) -> Option<&'static str> {
    let stored = extras.first_of(storage::OF_SERVERS).or(extras.first_of(storage::OF_CLUSTERS));
    stored.or((!options.listen.is_empty()).then_some("--listen"))
}

/// Returns an option that was given, and that `--serve` would ignore.
fn of_clients(options: &Options, extras: &Extras) -> Option<&'static str> {
    let given = [
        ("--try", options.at_once),
        ("--timeout", options.timeout.is_some()),
        ("--keep-going", options.keep_going),
    ];
    let given = given.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option);
    extras.first_of(remote::OF_CLIENTS).or(given)
}

/// Ends the program if the command looks like a ring and a command, as other programs expect them. Locking
/// `main` instead of that ring would protect nothing.
fn refuse_ring_as_command(options: &Options, extras: &Extras) {
    if let [ring, separator, command @ ..] = &options.command[..]
        && separator == "--"
        && !extras.has_separator
    {
        wrong_usage(format_args!(
            "{ring:?} would be the command: perhaps you mean `--ring {ring} -- {}`; if not, put -- before it",
            command.join(" ")
        ));
    }
}

fn serve(options: &Options, extras: &Extras) -> Result<(), String> {
    let mut config = TurnServerConfig::default();
    config.rules.min_seats = 1;
    config.rules.demands = Demands::Only(Demand::Ask);
    config.rules.hold_max = HoldMax::Unlimited;
    config.rules.turn_grace = Duration::from_secs(10);
    let Some(service) = Service::listen_turns(config, &options.listen, extras)? else { return Ok(()) };
    service.announce();
    service.run(|_, _, _| {})
}

fn lock(options: &Options, extras: &Extras) -> Result<ExitCode, String> {
    let remote = Remote::named(extras)?;
    let mut event_loop = EventLoop::new(TurnClient::new()).map_err(|error| common::advise(&error))?;
    let heard = signals::of_loop(&signals::all(), event_loop.handle())?;
    let mut lock = Lock::new(options, &remote, event_loop.driver_mut())?;
    let mut troubles = Troubles::default();
    while !event_loop.driver().is_drained() {
        let pause = lock.next_deadline().map(|at| at.saturating_duration_since(now().instant));
        event_loop.run_once(pause).map_err(|error| error.to_string())?;
        // This comes first, because the program may have been stopped for a while.
        heard.try_iter().for_each(|signal| lock.signalled(signal));
        let now = now();
        while let Some(event) = event_loop.poll_event() {
            match troubles.of(&event, lock.work.is_running()) {
                Some(trouble) if options.at_once && lock.work.lease.is_none() => {
                    lock.end(1, &format!("{trouble} (see --connect)"));
                }
                Some(trouble) if lock.end.is_none() => troubles.mention(&trouble),
                _ => {}
            }
            match event {
                Event::Resolve { target } => lookup::of_loop(target, event_loop.handle()),
                Event::Protocol(event) => lock.handle(now, event_loop.driver_mut(), event.news),
                _ => {}
            }
        }
        lock.act(now, event_loop.driver_mut());
    }
    Ok(ExitCode::from(lock.end.unwrap_or(1)))
}

struct Lock<'a> {
    options: &'a Options,
    client: ClientId,
    give_up_at: Option<Instant>,
    work: Guarded,
    has_told_needs: bool,
    /// The exit code, once the turn is no longer needed.
    end: Option<u8>,
}

impl Lock<'_> {
    fn new<'a>(
        options: &'a Options,
        remote: &Remote,
        driver: &mut Driver<TurnClient>,
    ) -> Result<Lock<'a>, String> {
        let mut config = ClientConfig::seat(common::unique_name());
        config.seat.iter_mut().for_each(|seat| seat.demand = Demand::Ask);
        config.ring = options.ring.unwrap_or(config.ring);
        let spare = options.grace.saturating_sub(options.kill_after);
        config.ping_interval = Some((spare / 4).max(Duration::from_millis(100)));
        let client = remote.join(driver, config).map_err(|error| error.to_string())?;
        let give_up_at = options.timeout.map(|timeout| now().instant + timeout);
        let work = Guarded::new(options.keep_going, options.kill_after);
        Ok(Lock { options, client, give_up_at, work, has_told_needs: false, end: None })
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.give_up_at.into_iter().chain(self.work.next_deadline()).min()
    }

    fn handle(&mut self, now: Now, driver: &mut Driver<TurnClient>, news: News) {
        match news {
            News::Waiting { .. } if self.options.at_once => self.end(GAVE_UP, ""),
            News::Waiting { needs: Some(needs), .. } if !self.has_told_needs => {
                self.has_told_needs = true;
                common::complain(format_args!(
                    "this ring has no turns until {needs} more joined; a turn_lock --serve needs no others"
                ));
            }
            News::Granted(turn) if self.end.is_none() => {
                self.work.lease = Some(Lease::new(now, turn, self.options.grace, self.options.kill_after));
            }
            News::TimeChanged(turn) => self.renewed(now, driver, &turn, false),
            News::Refused { code: Code::HoldMax, turn: Some(turn), .. } => {
                self.renewed(now, driver, &turn, true);
            }
            News::Bye(bye) if self.work.is_running() && bye.code == Bye::ShuttingDown => {
                self.work.lose(now, "the server is shutting down");
            }
            News::Over { .. } | News::Bye(_) if self.work.is_running() => self.work.lose(now, "it has ended"),
            News::Bye(bye) => _ = remote::follow(driver, &bye),
            News::Over { .. } => {
                self.work.lease = None;
                // The library repeats a request only until the turn is granted.
                let _ = driver.act(now, |clients, links| clients.ask(now, self.client, links));
            }
            News::Ended { why, dial } => {
                dial.into_iter().for_each(|dial| driver.hang_up(dial));
                let why = match why {
                    End::Refused => "this ring is not for locks; turn_lock needs a turn_lock --serve",
                    why => common::reason(why),
                };
                if self.work.is_running() { self.work.lose(now, why) } else { self.end(1, why) }
            }
            _ => {}
        }
    }

    /// Handles the answer to a renewal, and starts the command if it does not run yet.
    fn renewed(&mut self, now: Now, driver: &Driver<TurnClient>, turn: &ClientTurn, is_hold_max: bool) {
        let Some(lease) = &mut self.work.lease else { return };
        let answered = lease.answered(now, driver.protocol(), turn, is_hold_max);
        match (answered, self.work.is_running()) {
            (_, true) => {}
            (Err(time), _) => self.end(1, &format!("--kill-after leaves nothing of a turn of {time:?}")),
            (Ok(()), _) => match self.work.start(now, &self.options.command) {
                Ok(()) => self.give_up_at = self.give_up_at.filter(|_| !self.work.is_running()),
                Err((code, message)) => self.end(code, &message),
            },
        }
    }

    fn signalled(&mut self, signal: i32) {
        if !self.work.signalled(signal) {
            self.end(u8::try_from(128 + signal).unwrap_or(u8::MAX), "");
        }
    }

    /// Does everything that is due, and checks whether the command has ended.
    fn act(&mut self, now: Now, driver: &mut Driver<TurnClient>) {
        if let Some(code) = self.work.poll(now) {
            self.end(code, "");
        }
        if self.give_up_at.is_some_and(|at| at <= now.instant) {
            self.end(GAVE_UP, "");
        }
        self.work.lease.iter_mut().for_each(|lease| lease.renew(now, driver));
        if self.end.is_some() && !driver.is_draining() {
            driver.act(now, |clients, links| clients.rest(now, self.client, links).ok());
            driver.drain(now);
        }
    }

    fn end(&mut self, code: u8, why: &str) {
        if self.end.is_none() && !why.is_empty() {
            common::complain(format_args!("{why}"));
        }
        (self.give_up_at, self.work.lease) = (None, None);
        self.end.get_or_insert(code);
    }
}
