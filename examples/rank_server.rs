//! Gives clients ranks by order of arrival, and passes the commands of each to a client of lower rank.
//!
//! ```text
//! cargo run --release --example rank_server
//! cargo run --release --example rank_server -- 10 --policy least-loaded --framing line
//! ```

mod common;

use std::net::SocketAddr;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use common::news::News;
use common::options::Extras;
use common::output;
use common::server::{self, Service, Site};
use log::LevelFilter;
use taketurns::net::Event;
use taketurns::protocol::dispatch::{DispatchEvent, DispatchServer, DispatchServerConfig, Policy};
use taketurns::wire::Framing;

/// Give clients ranks by order of arrival, and pass the commands of each to a client of lower rank.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    note = "Fixed limits: as many clients as the limit of file descriptors less 32, and less 1 for every further address; 960
bytes for a command. Line framing: a line must end within 5 s, and a client may have 1024 commands left to do. Raw
framing: 64 messages may wait for a client. A client that does not read is closed once 128 KiB wait for it.
Status: 64 connections, of which 32 may read /events; the head of a request has 8192 bytes and arrives within 5 s."
)]
struct Options {
    /// the most clients; a further one is told that the server is full. Default: 5
    #[argh(positional, default = "5")]
    max_clients: usize,

    /// address to listen on, as HOST:PORT; may be given several times. Default: the environment variable
    /// TAKETURNS_LISTEN, else 127.0.0.1:5555
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// which client gets a command: next (the next lower rank) or least-loaded. Default: next
    #[argh(option, default = "Policy::Next")]
    policy: Policy,

    /// how messages are delimited: raw (not at all, for the oldest clients) or line. Default: raw
    #[argh(option, default = "Framing::Raw")]
    framing: Framing,

    /// connections per address; further ones are closed without a message. Loopback has no limit. Default:
    /// none
    #[argh(option, arg_name = "n")]
    max_per_address: Option<usize>,

    /// address for the status page, metrics and probes over HTTP, as HOST:PORT, if built with the feature
    /// status. Default: the environment variable TAKETURNS_STATUS, else none
    #[argh(option, arg_name = "addr")]
    status: Option<String>,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let (options, extras) = common::options::with_extras(server::EXTRAS);
    common::exit_code(serve(&options, &extras))
}

fn serve(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    if options.max_clients == 0 {
        common::options::wrong_usage(format_args!("0 clients is invalid: it must be at least 1"));
    }
    let (status, max_per_address) = (options.status.as_deref(), options.max_per_address);
    let site = Site::new(&options.listen, "127.0.0.1:5555", status, max_per_address, extras)?;
    let dispatch = DispatchServer::new(DispatchServerConfig {
        framing: options.framing,
        policy: options.policy,
        max_clients: options.max_clients.min(site.clients_max),
        ..DispatchServerConfig::default()
    });
    let service = Service::listen(dispatch, site, None)?;
    output::line(format_args!("[STARTING] Listening for {} clients...", options.max_clients));
    service.announce();
    // The ranks at the time of each event, because the server itself may be ahead of its events.
    let mut ranks = Vec::new();
    service.run(|news, _, event| {
        let Event::Protocol(event) = event else { return };
        match event {
            DispatchEvent::Ranked { peer, .. } => {
                ranks.push(peer);
                news.line(format_args!("Accepted client {peer}"));
                print_ranks(&ranks, news);
            }
            DispatchEvent::Left { peer, rank } => {
                ranks.retain(|of| *of != peer);
                news.line(format_args!("[Disconnect] client {peer} of rank {rank}"));
            }
            // Reported once, however many have left.
            DispatchEvent::MovedUp => {
                news.line(format_args!("[New ranking]"));
                print_ranks(&ranks, news);
            }
            DispatchEvent::Dispatched { to, .. } => {
                news.line(format_args!("Command executed by client with rank {to}"));
            }
            _ => {}
        }
    })
}

fn print_ranks(ranks: &[SocketAddr], news: &mut News) {
    if ranks.is_empty() {
        news.line(format_args!("0 connections"));
    }
    for (rank, peer) in ranks.iter().enumerate() {
        news.line(format_args!("  {rank}: {peer}"));
    }
}
