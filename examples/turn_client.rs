//! Takes turns with the other clients of a turn server. One process can run any number of clients on one
//! event loop.
//!
//! ```text
//! cargo run --release --example turn_client
//! cargo run --release --example turn_client -- --clients 5 --count 10 --pace 0s
//! ```

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::counting::{Count, Counting};
use common::lookup;
use common::options::{self, Extras, wrong_usage};
use common::remote::{self, Remote, Troubles};
use common::{output, tls};
use log::{LevelFilter, info};
use taketurns::net::{Event, EventLoop, now};
use taketurns::protocol::turns::{ClientConfig, End, NAME_BYTES_MAX, Name, SeatRequest, TurnClient};
use taketurns::turn::{Demand, Weight};
use taketurns::wire::Framing;

/// Take turns at a turn server: run clients that send numbers, and print each accepted number.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "Times have a unit: 1500ms, 30s, 2m.")]
struct Options {
    /// how messages are delimited: line, or raw for the oldest servers. Default: line
    #[argh(option, default = "Framing::Line")]
    framing: Framing,

    /// the number of clients to run. Default: 2
    #[argh(option, arg_name = "n", default = "2", from_str_fn(options::clients))]
    clients: usize,

    /// pause of a client between two of its numbers; 0s means as fast as possible. Default: 1s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(1)", from_str_fn(options::time))]
    pace: Duration,

    /// end when every client has had this many numbers accepted. Default: never
    #[argh(option, arg_name = "n")]
    count: Option<u64>,

    /// the client's name; with several clients, the part before their numbers. Default: the environment
    /// variable TAKETURNS_NAME, else Client
    #[argh(option)]
    name: Option<String>,

    /// the first client's first number; the second one's is 1 more, and so on. Default: 1
    #[argh(option, arg_name = "n", default = "1")]
    start: i64,

    /// the difference between two numbers of a client. Default: the number of clients
    #[argh(option, arg_name = "n")]
    step: Option<i64>,

    /// the ring to join. Default: main
    #[argh(option, arg_name = "name")]
    ring: Option<Name>,

    /// turns for each turn of a client of weight 1, if the ring allows it. Default: 1
    #[argh(option, arg_name = "n", default = "Weight::ONE", from_str_fn(options::weight))]
    weight: Weight,

    /// when clients want turns: always, or ask (each asks after its pause). Default: always
    #[argh(option, default = "Demand::Always", from_str_fn(options::demand))]
    demand: Demand,

    /// have an answer confirmed with the client's next turn, which saves a message: an accepted number is
    /// printed as late as that
    #[argh(switch)]
    confirm_go: bool,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let (options, extras) = options::with_extras(&[remote::OF_CLIENTS, tls::OF_CLIENTS]);
    common::exit_code(play(&options, &extras))
}

fn play(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    let server = Remote::named(extras)?;
    let mut event_loop = EventLoop::new(TurnClient::new()).map_err(|error| common::advise(&error))?;
    let mut counting = counting(options, &server, &mut event_loop)?;
    let handle = event_loop.handle();
    common::signals::on_first(move || handle.drain())?;

    let mut end = Ok(());
    let mut troubles = Troubles::default();
    let mut goes_on = true;
    while goes_on {
        if counting.is_finished() {
            event_loop.driver_mut().drain(now());
        }
        let pause = counting.next_deadline().map(|at| at.saturating_duration_since(now().instant));
        goes_on = event_loop.run_once(pause).map_err(|error| error.to_string())?;
        let now = now();
        while let Some(event) = event_loop.poll_event() {
            let trouble = match &event {
                _ if options.clients == 1 => troubles.of(&event, event_loop.driver().is_draining()),
                // Of several clients, some may play while others have no place.
                Event::Unreachable { .. } => troubles.of(&event, false),
                Event::Opened { .. } => {
                    troubles = Troubles::default();
                    None
                }
                _ => None,
            };
            if let Some(trouble) = trouble {
                troubles.mention(&trouble);
            }
            match event {
                Event::Opened { peer, .. } => info!("connected to {peer}"),
                Event::Resolve { target } => lookup::of_loop(target, event_loop.handle()),
                Event::Closed { peer, reason, .. } => info!("disconnected from {peer}: {reason}"),
                Event::Protocol(event) => match counting.handle(now, event_loop.driver_mut(), event) {
                    Some(Count::Sent(name, number)) => output::line(format_args!("{name} sent: {number}")),
                    Some(Count::Ended(name, why)) if end.is_ok() && why != End::Left => {
                        end = Err(format!("{name}: {}", common::reason(why)));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        counting.catch_up(now, event_loop.driver_mut());
    }
    end
}

fn counting(
    options: &Options,
    server: &Remote,
    event_loop: &mut EventLoop<TurnClient>,
) -> Result<Counting, String> {
    let count = i64::try_from(options.clients).unwrap_or(0);
    if count == 0 {
        wrong_usage(format_args!("--clients 0 is invalid: it must be at least 1"));
    }
    let mut counting = Counting::new(options.pace, options.count);
    if options.count == Some(0) {
        return Ok(counting);
    }
    for (name, index) in names(options, count).into_iter().zip(0..) {
        let mut seat = SeatRequest::new(name);
        (seat.weight, seat.demand) = (options.weight, options.demand);
        seat.confirms_by_go = options.confirm_go;
        let mut config = ClientConfig::from(seat);
        config.framing = options.framing;
        config.ring = options.ring.unwrap_or(config.ring);
        let (start, step) = (options.start.saturating_add(index), options.step.unwrap_or(count));
        let added = counting.add(event_loop.driver_mut(), server, config, start, step);
        if let Err(error) = added {
            wrong_usage(format_args!("these options contradict each other: {error}"));
        }
    }
    Ok(counting)
}

/// Returns the names of `count` clients, from `--name`, else from the environment.
fn names(options: &Options, count: i64) -> Vec<Name> {
    let (source, base) = match (&options.name, common::environment("TAKETURNS_NAME")) {
        (Some(name), _) => ("--name", Some(name.clone())),
        (None, name) => ("TAKETURNS_NAME", name),
    };
    if let Some(base) = &base
        && let Err(error) = base.parse::<Name>()
    {
        wrong_usage(format_args!("{source} {base:?} cannot be used: {error}"));
    }
    let texts: Vec<String> = match base {
        Some(base) if count == 1 => vec![base],
        base => {
            (1..=count).map(|number| numbered(base.as_deref().unwrap_or("Client"), number, count)).collect()
        }
    };
    texts.iter().map(|text| text.parse().expect("a name followed by a number is valid")).collect()
}

/// Appends a number to the name. If there is no room, the beginning of the name is cut, because generated
/// names, such as those of pods, differ at their ends. All names are cut equally, or two could become the
/// same.
fn numbered(base: &str, number: i64, count: i64) -> String {
    let room = NAME_BYTES_MAX - count.to_string().len();
    let mut start = base.len().saturating_sub(room);
    while !base.is_char_boundary(start) {
        start += 1;
    }
    format!("{}{number}", &base[start..])
}
