//! Takes turns with the other clients of a turn server: any number of clients in one process, on one event loop.
//!
//! ```text
//! cargo run --release --example turn_client
//! cargo run --release --example turn_client -- --clients 5 --count 10 --pace-ms 0
//! ```

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::FromArgs;
use common::printer::Printer;
use log::{LevelFilter, info, warn};
use taketurns::net::{Driver, Event, EventLoop, Target, now};
use taketurns::protocol::turns::{
    Bye, ClientEvent, Framing, InvalidName, NAME_BYTES_MAX, Name, TurnClient, TurnClientConfig,
};

/// Take turns at a turn server: run clients that send numbers, and print each that is accepted.
#[derive(FromArgs)]
struct Options {
    /// the server, as HOST:PORT; a host name is looked up again at every reconnection. Default: the environment variable
    /// TAKETURNS_CONNECT, else 127.0.0.1:5001
    #[argh(option, arg_name = "addr", default = "default_server()")]
    connect: String,

    /// how messages are told apart: raw or line, as the server has it. Default: raw
    #[argh(option, default = "Framing::Raw")]
    framing: Framing,

    /// how many clients to run. Default: 2
    #[argh(option, arg_name = "n", default = "2")]
    clients: usize,

    /// pause of a client between two of its numbers, in milliseconds; 0 is as fast as possible. Default: 1000
    #[argh(option, arg_name = "n", default = "1000")]
    pace_ms: u64,

    /// end when every client has had so many numbers accepted. Default: never
    #[argh(option, arg_name = "n")]
    count: Option<u64>,

    /// the client's name; with several clients, what stands before their numbers. Default: the environment variable
    /// TAKETURNS_NAME, else Client
    #[argh(option)]
    name: Option<String>,

    /// the first client's first number; the second one's is 1 more, and so on. Default: 1
    #[argh(option, arg_name = "n", default = "1")]
    start: i64,

    /// what a client adds to get its next number. Default: the number of clients
    #[argh(option, arg_name = "n")]
    step: Option<i64>,

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn default_server() -> String {
    common::environment("TAKETURNS_CONNECT").unwrap_or_else(|| "127.0.0.1:5001".to_owned())
}

fn main() -> ExitCode {
    common::exit_code(play(&common::options::from_environment()))
}

fn play(options: &Options) -> Result<(), String> {
    common::logger::start(options.log_level);
    common::check_target(&options.connect, "--connect 127.0.0.1:5001")?;
    let client = clients(options)?;
    if client.is_finished() {
        return Ok(());
    }
    let mut event_loop = EventLoop::new(client).map_err(|error| common::advise(&error))?;
    let handle = event_loop.handle();
    common::signals::on_first(move || handle.drain())?;
    for _ in 0..options.clients {
        event_loop.driver_mut().connect(now(), Target::from(options.connect.as_str()));
    }

    let mut printer = Printer::start();
    let mut refusals = 0;
    // Whether the server's absence has been mentioned since it was last there.
    let mut mentioned = false;
    let end = event_loop.run(|driver, event| match event {
        Event::Opened { peer, .. } => {
            mentioned = false;
            info!("connected to {peer}");
        }
        Event::Closed { peer, reason, .. } => info!("disconnected from {peer}: {reason}"),
        Event::Unreachable { target, error, .. } if !mentioned => {
            mentioned = true;
            common::complain(format_args!(
                "cannot connect to {target}: {error}; {}",
                common::advise_dialing(&error)
            ));
        }
        Event::Protocol(event) => report(driver, event, &mut refusals, &mut printer),
        _ => {}
    });
    printer.finish();
    end.map_err(|error| error.to_string())
}

fn report(driver: &mut Driver<TurnClient>, event: ClientEvent, refusals: &mut u64, printer: &mut Printer) {
    match event {
        ClientEvent::Sent { name, number } => printer.line(format_args!("{name} sent: {number}")),
        ClientEvent::Refused { name, code } => {
            *refusals += 1;
            if common::is_shown(*refusals) {
                warn!("{name}: refused by the server: {code}");
            }
        }
        ClientEvent::Bye { name, bye } => {
            let hint = if bye == Bye::NameTaken { "; see --name" } else { "" };
            warn!("{name}: the server closes the connection: {bye} ({}){hint}", bye.words());
        }
        ClientEvent::Finished => driver.drain(now()),
        _ => {}
    }
}

fn clients(options: &Options) -> Result<TurnClient, String> {
    let count = i64::try_from(options.clients).unwrap_or(0);
    if count == 0 {
        return Err("--clients 0 makes no sense: it must be at least 1".to_owned());
    }
    let mut client = TurnClient::new(TurnClientConfig {
        framing: options.framing,
        pace: Duration::from_millis(options.pace_ms),
        count: options.count,
        ..TurnClientConfig::default()
    });
    for (name, index) in names(options, count)?.into_iter().zip(0..) {
        client.add(name, options.start.saturating_add(index), options.step.unwrap_or(count));
    }
    Ok(client)
}

/// The names of `count` clients, from `--name`, else from the environment.
fn names(options: &Options, count: i64) -> Result<Vec<Name>, String> {
    let (source, base) = match (&options.name, common::environment("TAKETURNS_NAME")) {
        (Some(name), _) => ("--name", Some(name.clone())),
        (None, name) => ("TAKETURNS_NAME", name),
    };
    if let Some(base) = &base {
        check_name(base, options.framing)
            .map_err(|error| format!("{source} {base:?} cannot be used: {error}"))?;
    }
    let texts: Vec<String> = match base {
        Some(base) if count == 1 => vec![base],
        base => {
            (1..=count).map(|number| numbered(base.as_deref().unwrap_or("Client"), number, count)).collect()
        }
    };
    texts
        .iter()
        .map(|text| text.parse().map_err(|error| format!("the name {text:?} cannot be used: {error}")))
        .collect()
}

fn check_name(text: &str, framing: Framing) -> Result<(), String> {
    let name: Name = text.parse().map_err(|error: InvalidName| error.to_string())?;
    match framing {
        Framing::Line if !name.is_word() => Err("in the line framing a name has no space".to_owned()),
        _ => Ok(()),
    }
}

/// A number behind the name. Where there is no room for it, the name loses its beginning, because generated names, as those
/// of pods, differ at their end; all of them lose as much, or two could become the same.
fn numbered(base: &str, number: i64, count: i64) -> String {
    let room = NAME_BYTES_MAX - count.to_string().len();
    let mut start = base.len().saturating_sub(room);
    while !base.is_char_boundary(start) {
        start += 1;
    }
    format!("{}{number}", &base[start..])
}
