//! Serves the turn protocol: clients take turns to send a number.
//!
//! ```text
//! cargo run --release --example turn_server
//! cargo run --release --example turn_server -- --framing line --clients 3 --listen 127.0.0.1:6000
//! ```

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::FromArgs;
use common::printer::Printer;
use common::server::{self, Service};
use common::status;
use log::LevelFilter;
use taketurns::net::{Event, os_entropy};
use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig};

/// Serve the turn protocol: clients take turns to send a number, and each accepted number is printed.
#[derive(FromArgs)]
#[argh(
    note = "Fixed limits: a message or line of 1024 bytes, a name of 64. Line framing: JOIN or WATCH within 10 s, and a line
ends within 5 s. A client that does not read is closed after 10 s, or once 64 KiB wait for it. At shutdown the
holders have 3 s to finish.
Status: 64 connections, of which 32 may read /events; the head of a request has 8192 bytes and comes within 5 s."
)]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times, all feed the same ring. Default: the environment
    /// variable TAKETURNS_LISTEN, else 127.0.0.1:5001
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// how messages are told apart: raw (no delimiters, for the oldest clients) or line. Default: raw
    #[argh(option, default = "Framing::Raw")]
    framing: Framing,

    /// turns start when so many clients are connected, and pause while fewer are. Default: 2
    #[argh(option, arg_name = "n", default = "2")]
    clients: usize,

    /// one client more is turned away; at most the limit of file descriptors less 32. Default: 10000
    #[argh(option, arg_name = "n", default = "10_000")]
    max_clients: usize,

    /// a client that is silent for so long loses its turn, in milliseconds. Default: 30000
    #[argh(option, arg_name = "n", default = "30_000")]
    turn_deadline_ms: u64,

    /// the seat of a client that is gone keeps its place for so long, in milliseconds. Default: 60000
    #[argh(option, arg_name = "n", default = "60_000")]
    seat_grace_ms: u64,

    /// print no numbers (for measuring)
    #[argh(switch)]
    quiet: bool,

    /// connections that one address may have; more are closed without a word. Loopback has no limit. Default: none
    #[argh(option, arg_name = "n")]
    max_per_address: Option<usize>,

    /// address of a page, metrics and probes over HTTP, as HOST:PORT, if built with the feature status. Default: the
    /// environment variable TAKETURNS_STATUS, else none
    #[argh(option, arg_name = "addr")]
    status: Option<String>,

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    common::exit_code(serve(&common::options::from_environment()))
}

fn serve(options: &Options) -> Result<(), String> {
    common::logger::start(options.log_level);
    let status = status::address(options.status.as_deref())?;
    let driver_config = server::driver_config(options.max_per_address, status)?;
    let config = config(options, driver_config.clients_max())?;
    let turns = TurnServer::new(config, os_entropy());
    let service = Service::listen(turns, driver_config, &options.listen, "127.0.0.1:5001", status)?;

    let mut printer = Printer::start();
    for addr in &service.bound {
        printer.line(format_args!("Server listening on {addr}"));
    }
    let end = service.run(|_, event| match event {
        Event::Opened { peer, .. } => printer.line(format_args!("Client {peer} connected.")),
        Event::Closed { peer, .. } => printer.line(format_args!("Client {peer} disconnected.")),
        Event::Protocol(TurnEvent::Accepted { name, number, .. }) if !options.quiet => {
            printer.line(format_args!("{name} sent: {number}"));
        }
        _ => {}
    });
    printer.finish();
    end
}

/// The options as the library wants them. The system's limit of descriptors allows `clients_max` clients.
fn config(options: &Options, clients_max: usize) -> Result<TurnServerConfig, String> {
    for (option, value) in [
        ("--clients", options.clients as u64),
        ("--max-clients", options.max_clients as u64),
        ("--turn-deadline-ms", options.turn_deadline_ms),
    ] {
        if value == 0 {
            return Err(format!("{option} 0 makes no sense: it must be at least 1"));
        }
    }
    if options.max_clients < options.clients {
        return Err(format!(
            "--max-clients {} would never let --clients {} connect: raise the one or lower the other",
            options.max_clients, options.clients
        ));
    }
    if options.clients > clients_max {
        return Err(format!(
            "--clients {} needs more file descriptors than this process may have: see ulimit -n",
            options.clients
        ));
    }
    Ok(TurnServerConfig {
        framing: options.framing,
        min_clients: options.clients,
        max_clients: options.max_clients.min(clients_max),
        turn_deadline: Duration::from_millis(options.turn_deadline_ms),
        seat_grace: Duration::from_millis(options.seat_grace_ms),
        ..TurnServerConfig::default()
    })
}
