//! Sends messages to an echo server: one from the command line, or several as they are typed.
//!
//! ```text
//! cargo run --release --example echo_client -- "Hello"
//! cargo run --release --example echo_client
//! ```

mod common;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use common::addresses;
use common::console::{Console, Happening, Screen};
use common::options::Extras;
use common::tls::{self, Way};
use log::LevelFilter;
use taketurns::net::{Event, Target};
use taketurns::protocol::echo::{EchoClient, EchoClientConfig, EchoClientEvent};
use taketurns::protocol::{CloseReason, DialId};

/// Send a message to an echo server and print the response. Without a message, prompt for messages.
#[derive(FromArgs, ArgsInfo)]
struct Options {
    /// the message; if it is missing, the program prompts. (To send the word help, write it after --.)
    #[argh(positional)]
    message: Option<String>,

    /// the server, as HOST:PORT. Default: 127.0.0.1:8080
    #[argh(option, arg_name = "addr", default = "\"127.0.0.1:8080\".to_owned()")]
    connect: String,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let (options, extras) = common::options::with_extras(&[tls::OF_CLIENTS]);
    common::exit_code(talk(&options, &extras))
}

fn talk(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    let server = addresses::target(&options.connect, "--connect 127.0.0.1:8080")?;
    let way = Way::to(&server, extras)?;
    let mut console = Console::new(EchoClient::new(EchoClientConfig::default()), "Enter message to send: ")?;
    let end = match &options.message {
        Some(message) => one_shot(&mut console, message, &way, &server),
        None => prompting(&mut console, &way, &server),
    };
    console.finish();
    end
}

fn one_shot(
    console: &mut Console<EchoClient>,
    message: &str,
    way: &Way,
    server: &Target,
) -> Result<(), String> {
    console.ignore_input();
    console.driver.protocol_mut().say(message);
    let dial = way.connect(&mut console.driver, server.clone());
    let mut end = None;
    while end.is_none() {
        let goes_on = console.pass(|screen, happening| {
            if let Happening::Network(event) = happening
                && let Some(result) = outcome(screen, dial, server, event)
            {
                end = Some(result.map(|answer| screen.line(format_args!("Response: {answer}"))));
            }
        })?;
        if !goes_on {
            return Ok(());
        }
    }
    end.unwrap_or(Ok(()))
}

fn prompting(console: &mut Console<EchoClient>, way: &Way, server: &Target) -> Result<(), String> {
    console.line(format_args!("Echo client for {server}. Type quit, exit or q to leave."));
    // The message that was sent, and those that wait for it.
    let mut dial = None;
    let mut waiting = std::collections::VecDeque::new();
    let mut over = false;
    while !(over && dial.is_none() && waiting.is_empty()) {
        if dial.is_none() && !over {
            console.prompt();
        }
        console.hold(!waiting.is_empty());
        let goes_on = console.pass(|screen, happening| match happening {
            Happening::Line(line) if over || line.trim().is_empty() => {}
            Happening::Line(line) if matches!(line.trim(), "quit" | "exit" | "q") => over = true,
            Happening::Line(line) => waiting.push_back(line),
            Happening::EndOfInput => over = true,
            Happening::Network(event) => {
                let Some(current) = dial else { return };
                match outcome(screen, current, server, event) {
                    Some(Ok(answer)) => screen.line(format_args!("Server response: {answer}")),
                    Some(Err(message)) => screen.complain(format_args!("{message}")),
                    None => return,
                }
                dial = None;
            }
        })?;
        if !goes_on {
            return Ok(());
        }
        if dial.is_none()
            && let Some(message) = waiting.pop_front()
        {
            console.driver.protocol_mut().say(&message);
            dial = Some(way.connect(&mut console.driver, server.clone()));
        }
    }
    Ok(())
}

/// Returns the answer, or the reason why there is none. The connection is not retried.
fn outcome(
    screen: &mut Screen<'_, EchoClient>,
    dial: DialId,
    server: &Target,
    event: Event<EchoClientEvent>,
) -> Option<Result<String, String>> {
    let result = match event {
        Event::Unreachable { target, error, .. } => {
            Err(format!("cannot connect to {target}: {error}; is the server running? (see --connect)"))
        }
        Event::Protocol(EchoClientEvent::Answered(answer)) => {
            Ok(common::printable(answer.trim_end_matches('\n')))
        }
        Event::Protocol(EchoClientEvent::Unanswered(CloseReason::Unwanted)) => {
            Err(format!("no response from {server} in time; is it an echo server? (see --connect)"))
        }
        Event::Protocol(EchoClientEvent::Unanswered(reason)) => {
            Err(format!("no response from {server}: {reason}; is it an echo server? (see --connect)"))
        }
        _ => return None,
    };
    screen.driver.hang_up(dial);
    // Otherwise the log of this message could appear after the next prompt.
    log::logger().flush();
    Some(result)
}
