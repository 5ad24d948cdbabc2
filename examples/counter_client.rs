//! Counts up at a counter server; commands on standard input connect and disconnect it.
//!
//! ```text
//! cargo run --release --example counter_client -- --id 17
//! ```

mod common;

use std::process::ExitCode;

use argh::FromArgs;
use common::console::{Console, Happening, Screen};
use log::{LevelFilter, info};
use taketurns::net::{Event, now, os_entropy};
use taketurns::protocol::counter::{CounterClient, CounterClientConfig, CounterClientEvent, CounterId};
use taketurns::protocol::{DialId, Origin};

/// Count up at a counter server; c, s and exit on standard input connect, disconnect and leave.
#[derive(FromArgs)]
struct Options {
    /// the server, as HOST:PORT. Default: 127.0.0.1:2004
    #[argh(option, arg_name = "addr", default = "\"127.0.0.1:2004\".to_owned()")]
    connect: String,

    /// who to be, 0 to 10000. Default: random
    #[argh(option, arg_name = "n")]
    id: Option<u16>,

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn")]
    log_level: LevelFilter,
}

const HELP: [&str; 3] =
    ["c - connect to the server and count", "s - shut the connection down", "exit - leave"];

fn main() -> ExitCode {
    common::exit_code(run(&argh::from_env()))
}

fn run(options: &Options) -> Result<(), String> {
    common::logger::start(options.log_level);
    common::check_host_and_port(&options.connect, "connect to", "--connect 127.0.0.1:2004")?;
    let id = options.id.unwrap_or_else(random_id);
    let id = CounterId::new(id)
        .ok_or_else(|| format!("--id {id} is too high: it must be 0 to {}", CounterId::MAX))?;
    let client = CounterClient::new(CounterClientConfig::new(id), os_entropy());
    let mut console = Console::new(client, "What do you want to do? ")?;
    console.line(format_args!("Counter client {id} for {}", options.connect));
    HELP.iter().for_each(|line| console.line(format_args!("{line}")));
    let mut running: Option<DialId> = None;
    let mut over = false;
    while !over {
        console.prompt();
        let goes_on = console.pass(|screen, happening| match happening {
            Happening::Line(line) => match line.trim() {
                "" => {}
                "c" if running.is_some() => screen.line(format_args!("Client already running!")),
                "c" => running = Some(screen.driver.connect(now(), options.connect.as_str())),
                "s" => match running.take() {
                    Some(dial) => screen.driver.hang_up(dial),
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

fn network(
    screen: &mut Screen<'_, CounterClient>,
    running: &mut Option<DialId>,
    event: Event<CounterClientEvent>,
) {
    match event {
        Event::Opened { peer, .. } => info!("connected to {peer}"),
        Event::Closed { reason, origin, .. } => {
            // Not the one that was shut down with s.
            if let Some(dial) = running.take_if(|dial| origin == Origin::Dialed(*dial)) {
                screen.driver.hang_up(dial);
                screen.line(format_args!("The connection is {reason}; c connects again"));
            }
        }
        Event::Unreachable { dial, target, error, .. } => {
            screen.driver.hang_up(dial);
            *running = running.filter(|&other| other != dial);
            common::complain(format_args!(
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

fn random_id() -> u16 {
    let mut entropy = os_entropy();
    loop {
        let mut bytes = [0; 2];
        entropy(&mut bytes);
        // 14 bits, so that most tries are good.
        let id = u16::from_le_bytes(bytes) & 0x3fff;
        if id <= CounterId::MAX {
            return id;
        }
    }
}
