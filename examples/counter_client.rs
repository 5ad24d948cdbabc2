//! Counts up at a counter server. Commands on standard input connect and disconnect it.
//!
//! ```text
//! cargo run --release --example counter_client -- --id 17
//! ```

mod common;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use common::addresses;
use common::console::{Console, Happening, Screen};
use common::options::Extras;
use common::tls::{self, Way};
use log::{LevelFilter, info};
use taketurns::net::{Event, os_entropy};
use taketurns::protocol::counter::{CounterClient, CounterClientConfig, CounterClientEvent, CounterId};
use taketurns::protocol::{ConnectionId, DialId};

/// Count up at a counter server; c, s and exit on standard input connect, disconnect and leave.
#[derive(FromArgs, ArgsInfo)]
struct Options {
    /// the server, as HOST:PORT. Default: 127.0.0.1:2004
    #[argh(option, arg_name = "addr", default = "\"127.0.0.1:2004\".to_owned()")]
    connect: String,

    /// the client's id, 0 to 10000. Default: random
    #[argh(option, arg_name = "n", from_str_fn(parse_id))]
    id: Option<CounterId>,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

const HELP: [&str; 3] =
    ["c - connect to the server and count", "s - shut the connection down", "exit - leave"];

fn main() -> ExitCode {
    let (options, extras) = common::options::with_extras(&[tls::OF_CLIENTS]);
    common::exit_code(run(&options, &extras))
}

fn run(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    let server = addresses::target(&options.connect, "--connect 127.0.0.1:2004")?;
    let way = Way::to(&server, extras)?;
    let id = options.id.unwrap_or_else(random_id);
    let client = CounterClient::new(CounterClientConfig::new(id), os_entropy());
    let mut console = Console::new(client, "What do you want to do? ")?;
    console.line(format_args!("Counter client {id} for {}", options.connect));
    HELP.iter().for_each(|line| console.line(format_args!("{line}")));
    let mut running: Option<Running> = None;
    let mut over = false;
    while !over {
        console.prompt();
        let goes_on = console.pass(|screen, happening| match happening {
            Happening::Line(_) if over => {}
            Happening::Line(line) => match line.trim() {
                "" => {}
                "c" if running.is_some() => screen.line(format_args!("Client already running!")),
                "c" => {
                    let dial = way.connect(screen.driver, server.clone());
                    running = Some(Running { dial, connection: None });
                }
                "s" => match running.take() {
                    Some(Running { dial, .. }) => {
                        screen.driver.hang_up(dial);
                        screen.line(format_args!("The connection is shut down"));
                    }
                    None => screen.line(format_args!("Client isn't running!")),
                },
                "exit" => over = true,
                _ => HELP.iter().for_each(|line| screen.line(format_args!("{line}"))),
            },
            Happening::EndOfInput => over = true,
            Happening::Network(event) => network(screen, &mut running, event),
        })?;
        over |= !goes_on;
    }
    console.finish();
    Ok(())
}

/// A connection that was opened with c. A dial's number is reused after s, so only the connection id tells a
/// connection that was shut down from the next one.
struct Running {
    dial: DialId,
    /// `None` until it is established.
    connection: Option<ConnectionId>,
}

fn network(
    screen: &mut Screen<'_, CounterClient>,
    running: &mut Option<Running>,
    event: Event<CounterClientEvent>,
) {
    match event {
        Event::Opened { connection, peer, .. } => {
            info!("connected to {peer}");
            if let Some(running) = running {
                running.connection = Some(connection);
            }
        }
        Event::Closed { connection, reason, .. } => {
            // Ignores a connection that was shut down with s.
            if let Some(ended) = running.take_if(|running| running.connection == Some(connection)) {
                screen.driver.hang_up(ended.dial);
                screen.line(format_args!("The connection is {reason}; c connects again"));
            }
        }
        Event::Unreachable { dial, target, error, .. } => {
            screen.driver.hang_up(dial);
            running.take_if(|running| running.dial == dial);
            screen.complain(format_args!(
                "cannot connect to {target}: {error}; is the server running? (see --connect)"
            ));
        }
        Event::Protocol(CounterClientEvent::Began(number)) => {
            screen.line(format_args!("Counting from {number}"));
        }
        Event::Protocol(CounterClientEvent::Counted(number)) => screen.line(format_args!("Sent {number}")),
        Event::Protocol(CounterClientEvent::Asked(parity)) => screen.line(format_args!("Asked for {parity}")),
        Event::Protocol(CounterClientEvent::Increment(by)) => {
            screen.line(format_args!("Counting by {by} now"));
        }
        _ => {}
    }
}

fn parse_id(text: &str) -> Result<CounterId, String> {
    let id = text.parse().ok().and_then(CounterId::new);
    id.ok_or_else(|| format!("it must be a number from 0 to {}", CounterId::MAX))
}

fn random_id() -> CounterId {
    let mut entropy = os_entropy();
    loop {
        let mut bytes = [0; 2];
        entropy(&mut bytes);
        // 14 bits, so that most attempts succeed.
        if let Some(id) = CounterId::new(u16::from_le_bytes(bytes) & 0x3fff) {
            return id;
        }
    }
}
