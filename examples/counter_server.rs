//! Remembers the last number of every client, and gives out random odd and even numbers.
//!
//! ```text
//! cargo run --release --example counter_server
//! cargo run --release --example counter_server -- --state counters.txt
//! ```

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;
use common::journal::Journal;
use common::printer::Printer;
use common::server;
use common::state::State;
use common::status;
use log::{LevelFilter, warn};
use taketurns::net::{Event, EventLoop, now, os_entropy};
use taketurns::protocol::counter::{CounterEvent, CounterServer, CounterServerConfig};

/// Remember the last number of every client, and give out random odd and even numbers.
#[derive(FromArgs)]
#[argh(
    note = "Fixed limits: 10000 clients, and not more than the limit of file descriptors; a message of 32 bytes; an
id from 0 to 10000, which is sent within 10 s. A client that does not read is closed after 10 s, or once 64 KiB
wait for it.
Status: 64 connections, of which 32 may read /events; the head of a request has 8192 bytes and comes within 5 s."
)]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times. Default: the environment variable
    /// TAKETURNS_LISTEN, else 127.0.0.1:2004
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// file to which every message is appended. Default: server.log
    #[argh(option, arg_name = "file", default = "PathBuf::from(\"server.log\")")]
    log_file: PathBuf,

    /// file in which the numbers outlive the server; written once a second when they change. Default: none
    #[argh(option, arg_name = "file")]
    state: Option<PathBuf>,

    /// connections that one address may have; more are closed without a word. Loopback has no limit. Default: none
    #[argh(option, arg_name = "n")]
    max_per_address: Option<usize>,

    /// address of a page, metrics and probes over HTTP, as HOST:PORT, if built with the feature status. Default: the
    /// environment variable TAKETURNS_STATUS, else none
    #[argh(option, arg_name = "addr")]
    status: Option<String>,

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    common::exit_code(serve(&argh::from_env()))
}

fn serve(options: &Options) -> Result<(), String> {
    common::logger::start(options.log_level);
    let status = status::address(options.status.as_deref())?;
    let driver_config = server::driver_config(options.max_per_address, status)?;
    let counter = CounterServer::new(CounterServerConfig::default(), os_entropy());
    let mut event_loop =
        EventLoop::with_config(counter, driver_config).map_err(|error| common::advise(&error))?;
    let mut bound = Vec::new();
    for addr in common::listen_addresses(&options.listen, "127.0.0.1:2004")? {
        bound.push(event_loop.driver_mut().listen(addr).map_err(|error| common::advise(&error))?);
    }
    server::warn_of_strangers(&bound);
    status::serve(&mut event_loop, status)?;
    // Only now: the files may be those of a server that has the address.
    let counter = event_loop.driver_mut().protocol_mut();
    let mut state = options.state.as_ref().map(|file| State::open(file, counter)).transpose()?;
    let mut journal = Journal::open(&options.log_file)?;
    let handle = event_loop.handle();
    common::signals::on_first(move || handle.drain())?;

    let mut printer = Printer::start();
    let mut note = |text: &str| {
        printer.line(format_args!("{text}"));
        journal.line(text);
    };
    note("SERVER ONLINE");
    for addr in bound {
        note(&format!("Waiting for new connections on {addr}"));
    }
    journal.flush();
    loop {
        let save_at = state.as_ref().and_then(State::next_deadline);
        let until_save = save_at.map(|at| at.saturating_duration_since(now().instant));
        let goes_on = event_loop.run_once(until_save).map_err(|error| error.to_string())?;
        while let Some(event) = event_loop.poll_event() {
            match event {
                Event::Protocol(event) => {
                    let text = event.to_string();
                    printer.line(format_args!("{text}"));
                    journal.line(&text);
                    if let (Some(state), CounterEvent::Counted { .. } | CounterEvent::Gave { .. }) =
                        (&mut state, &event)
                    {
                        state.touch(now().instant);
                    }
                }
                Event::AcceptPaused { addr, error, pause } => {
                    warn!("{addr}: cannot accept ({error}), trying again in {pause:?}; see ulimit -n");
                }
                _ => {}
            }
        }
        journal.flush();
        if let Some(state) = &mut state {
            state.save(now().instant, !goes_on, event_loop.driver().protocol());
        }
        if !goes_on {
            journal.finish();
            printer.finish();
            return Ok(());
        }
    }
}
