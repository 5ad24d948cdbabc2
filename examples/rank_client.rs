//! Takes a rank at a rank server, sends commands, and executes those of clients of higher rank.
//!
//! ```text
//! cargo run --release --example rank_client
//! ```

mod common;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use common::addresses;
use common::console::{Console, Happening, Screen};
use common::options::Extras;
use common::tls::{self, Way};
use log::{LevelFilter, info};
use taketurns::net::{Event, now};
use taketurns::protocol::dispatch::{Command, DispatchClient, DispatchClientEvent};
use taketurns::wire::Framing;

/// Take a rank at a rank server, send commands as they are typed, and execute those that arrive.
#[derive(FromArgs, ArgsInfo)]
struct Options {
    /// the server, as HOST:PORT. Default: 127.0.0.1:5555
    #[argh(option, arg_name = "addr", default = "\"127.0.0.1:5555\".to_owned()")]
    connect: String,

    /// how messages are delimited: raw or line, like the server. Default: raw
    #[argh(option, default = "Framing::Raw")]
    framing: Framing,

    /// stay after the end of the input, and execute commands. Default: leave
    #[argh(switch)]
    stay: bool,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let (options, extras) = common::options::with_extras(&[tls::OF_CLIENTS]);
    common::exit_code(run(&options, &extras))
}

fn run(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    let server = addresses::target(&options.connect, "--connect 127.0.0.1:5555")?;
    let way = Way::to(&server, extras)?;
    let mut console = Console::new(DispatchClient::new(options.framing), "Enter command: ")?;
    way.connect(&mut console.driver, server);
    // Whether a missing or full server has been reported since the client last had a rank.
    let mut mentioned = false;
    let mut over = false;
    // Lines typed before the end are still sent if there is a server.
    while !(over && (mentioned || !console.driver.protocol().is_waiting())) {
        if !over && console.driver.protocol().rank().is_some() {
            console.prompt();
        }
        // There is room for more than one read brings in. A long input waits in its pipe.
        let is_busy = console.driver.protocol().is_busy();
        console.hold(is_busy);
        let goes_on = console.pass(|screen, happening| match happening {
            Happening::Line(line) if line.trim().is_empty() => {}
            Happening::Line(line) => send(screen, line.trim()),
            Happening::EndOfInput => over = !options.stay,
            Happening::Network(Event::Opened { peer, .. }) => info!("connected to {peer}"),
            Happening::Network(Event::Closed { reason, .. }) => {
                if !mentioned {
                    screen.line(format_args!("Disconnected ({reason}); connecting again..."));
                }
            }
            Happening::Network(Event::Unreachable { target, error, .. }) => {
                if !std::mem::replace(&mut mentioned, true) {
                    screen.complain(format_args!(
                        "cannot connect to {target}: {error}; trying again until a server is there (see --connect)"
                    ));
                }
            }
            Happening::Network(Event::Protocol(DispatchClientEvent::Full)) => {
                if !std::mem::replace(&mut mentioned, true) {
                    screen.line(format_args!("Server full; trying again until there is a place"));
                }
            }
            Happening::Network(Event::Protocol(event)) => {
                mentioned &= !matches!(event, DispatchClientEvent::Ranked(_));
                show(screen, event);
            }
            Happening::Network(_) => {}
        })?;
        if !goes_on {
            console.finish();
            return Ok(());
        }
    }
    let unsent = console.driver.protocol().is_waiting();
    console.finish();
    if unsent { Err("not all commands were sent: no server accepted them".to_owned()) } else { Ok(()) }
}

fn send(screen: &mut Screen<'_, DispatchClient>, line: &str) {
    match line.parse::<Command>() {
        Ok(command) => {
            let now = now();
            let sent = screen.driver.act(now, |client, links| client.send(now, command, links));
            if sent.is_err() {
                screen.complain(format_args!(
                    "too many commands are waiting for the server: this one was dropped"
                ));
            }
        }
        Err(error) => screen.complain(format_args!("cannot send that: {error}")),
    }
}

fn show(screen: &mut Screen<'_, DispatchClient>, event: DispatchClientEvent) {
    match event {
        DispatchClientEvent::Ranked(rank) => screen.line(format_args!("Assigned rank: {rank}")),
        DispatchClientEvent::NewRank(rank) => screen.line(format_args!("New rank: {rank}")),
        DispatchClientEvent::Command(command) => {
            screen.line(format_args!("[Processing]......"));
            screen.line(format_args!("[Received] received command {command} from server:"));
            screen.line(format_args!("[Executing] i am {command}ing watch me {command}"));
        }
        DispatchClientEvent::FromBelow(rank, command) => {
            screen.line(format_args!("Rejected: command {command} of rank {rank}, which is below"));
        }
        DispatchClientEvent::Rejected(reason) => {
            screen.line(format_args!("Rejected: {}", common::printable(&reason)));
        }
        DispatchClientEvent::Accepted(job) => screen.line(format_args!("Accepted as number {job}")),
        DispatchClientEvent::Done(job) => screen.line(format_args!("Number {job} is done")),
        _ => {}
    }
}
