//! Gives clients ranks by arrival, and passes the commands of each to one of lower rank.
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
use common::server::{Service, Site};
use common::{output, tls};
use log::LevelFilter;
use taketurns::net::Event;
use taketurns::protocol::dispatch::{DispatchEvent, DispatchServer, DispatchServerConfig, Policy};
use taketurns::wire::Framing;

/// Give clients ranks by arrival, and pass the commands of each to a client of lower rank.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    note = "Fixed limits: clients are at most the limit of file descriptors less 32, and less 1 for every further
address; a command has 960 bytes. Line framing: a line
ends within 5 s, and a client may have 1024 commands that are not done. Raw framing: 64 messages wait for a client.
A client that does not read is closed once 128 KiB wait for it.
Status: 64 connections, of which 32 may read /events; the head of a request has 8192 bytes and comes within 5 s."
)]
struct Options {
    /// clients; one more is told that the server is full. Default: 5
    #[argh(positional, default = "5")]
    max_clients: usize,

    /// address to listen on, as HOST:PORT; may be given several times. Default: the environment variable
    /// TAKETURNS_LISTEN, else 127.0.0.1:5555
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// who gets a command: next (the closest lower rank) or least-loaded. Default: next
    #[argh(option, default = "Policy::Next")]
    policy: Policy,

    /// how messages are told apart: raw (no delimiters, for the oldest clients) or line. Default: raw
    #[argh(option, default = "Framing::Raw")]
    framing: Framing,

    /// connections that one address may have; more are closed without a word. Loopback has no limit. Default:
    /// none
    #[argh(option, arg_name = "n")]
    max_per_address: Option<usize>,

    /// address of a page, metrics and probes over HTTP, as HOST:PORT, if built with the feature status.
    /// Default: the environment variable TAKETURNS_STATUS, else none
    #[argh(option, arg_name = "addr")]
    status: Option<String>,

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let (options, extras) = common::options::with_extras(tls::OF_SERVERS);
    common::exit_code(serve(&options, &extras))
}

fn serve(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    if options.max_clients == 0 {
        common::options::wrong_usage(format_args!("0 clients make no sense: the number must be at least 1"));
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
    // By rank, as it was at each event: the server itself may be ahead of them.
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
            // Once, however many have left.
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
