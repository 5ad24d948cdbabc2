//! Remembers the last number of every client, and gives out random odd and even numbers.
//!
//! ```text
//! cargo run --release --example counter_server
//! cargo run --release --example counter_server -- --state counters.txt
//! ```

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use common::files;
use common::log_file::LogFile;
use common::news::News;
use common::options::{Extras, wrong_usage};
use common::output;
use common::server::{self, Service, Site};
use common::state::State;
use log::LevelFilter;
use taketurns::net::{Event, now, os_entropy};
use taketurns::protocol::counter::{CounterEvent, CounterServer, CounterServerConfig};

/// Remember the last number of every client, and give out random odd and even numbers.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    note = "Fixed limits: 32 bytes for a message; an id from 0 to 10000, which must arrive within 10 s. A client that does not
read is closed once 128 KiB wait for it.
Status: 64 connections, of which 32 may read /events; the head of a request has 8192 bytes and arrives within 5 s."
)]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times. Default: the environment variable
    /// TAKETURNS_LISTEN, else 127.0.0.1:2004
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// file to which every message is appended. Default: server.log
    #[argh(option, arg_name = "file", default = "PathBuf::from(\"server.log\")")]
    log_file: PathBuf,

    /// file in which the numbers outlive the server; written at most once per second. Default: none
    #[argh(option, arg_name = "file")]
    state: Option<PathBuf>,

    /// the most clients; further ones are closed without a message. At most the limit of file descriptors
    /// less 32, and less 1 for every further address. Default: 10000
    #[argh(option, arg_name = "n", default = "10_000")]
    max_clients: usize,

    /// connections per address; further ones are closed without a message. Loopback has no limit. Default:
    /// none
    #[argh(option, arg_name = "n")]
    max_per_address: Option<usize>,

    /// address for the status page, metrics and probes over HTTP, as HOST:PORT, if built with the feature
    /// status. Default: the environment variable TAKETURNS_STATUS, else none
    #[argh(option, arg_name = "addr")]
    status: Option<String>,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let (options, extras) = common::options::with_extras(server::EXTRAS);
    common::exit_code(serve(&options, &extras))
}

fn serve(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    if options.max_clients == 0 {
        common::options::wrong_usage(format_args!("--max-clients 0 is invalid: it must be at least 1"));
    }
    let (status, max_per_address) = (options.status.as_deref(), options.max_per_address);
    let site = Site::new(&options.listen, "127.0.0.1:2004", status, max_per_address, extras)?;
    let max_clients = options.max_clients.min(site.clients_max);
    let counter = CounterServer::new(
        CounterServerConfig { max_clients, ..CounterServerConfig::default() },
        os_entropy(),
    );
    let Service { mut event_loop, bound, status, strays } = Service::listen(counter, site, None)?;
    // Not before: the files may belong to a server that already has the address.
    let counter = event_loop.driver_mut().protocol_mut();
    let refuse_one_file = || {
        let log = &options.log_file;
        let is_one = |state: &PathBuf| files::lead_to_one(state, log) || files::is_beside(state, log);
        if options.state.as_ref().is_some_and(is_one) {
            wrong_usage(format_args!(
                "--state and --log-file lead to the same file: choose another for one of them"
            ));
        }
    };
    // The first save must remove no log, and a new log may become what the next save removes.
    refuse_one_file();
    let mut state = options.state.as_ref().map(|file| State::open(file, counter)).transpose()?;
    let mut news = News::start(Some(LogFile::open(&options.log_file)?));
    refuse_one_file();
    news.print(format_args!("SERVER ONLINE"));
    for addr in bound {
        news.print(format_args!("Waiting for new connections on {addr}"));
    }
    for addr in status {
        output::line(format_args!("Status on http://{addr}/"));
    }
    let mut goes_on = true;
    while goes_on {
        let save_at = state.as_ref().and_then(State::next_deadline);
        let until_save = save_at.map(|at| at.saturating_duration_since(now().instant));
        let pause = until_save.into_iter().chain(news.catch_up()).min();
        goes_on = event_loop.run_once(pause).map_err(|error| error.to_string())?;
        while let Some(event) = event_loop.poll_event() {
            handle(event, &mut news, state.as_mut());
        }
        if let Some(state) = &mut state {
            state.save(now().instant, event_loop.driver().protocol());
        }
    }
    let saved = state.map_or(Ok(()), |state| state.finish(event_loop.driver().protocol()));
    strays.refuse();
    news.finish();
    saved
}

fn handle(event: Event<CounterEvent>, news: &mut News, state: Option<&mut State>) {
    match event {
        Event::Protocol(event) => {
            news.line(format_args!("{event}"));
            if let (Some(state), CounterEvent::Counted { .. } | CounterEvent::Gave { .. }) = (state, &event) {
                state.touch(now().instant);
            }
        }
        Event::AcceptPaused { addr, error, pause } => server::warn_of_pause(addr, &error, pause),
        _ => {}
    }
}
