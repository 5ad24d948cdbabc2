//! Gives clients ranks by arrival, and passes the commands of each to one of lower rank.
//!
//! ```text
//! cargo run --release --example rank_server
//! cargo run --release --example rank_server -- 10 --policy least-loaded --framing line
//! ```

mod common;

use std::process::ExitCode;

use argh::FromArgs;
use common::printer::Printer;
use common::server::Service;
use log::LevelFilter;
use taketurns::net::Event;
use taketurns::protocol::dispatch::{DispatchEvent, DispatchServer, DispatchServerConfig, Policy};
use taketurns::protocol::turns::Framing;

/// Give clients ranks by arrival, and pass the commands of each to a client of lower rank.
#[derive(FromArgs)]
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

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info")]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    common::exit_code(serve(&argh::from_env()))
}

fn serve(options: &Options) -> Result<(), String> {
    common::logger::start(options.log_level);
    if options.max_clients == 0 {
        return Err("0 clients make no sense: the number must be at least 1".to_owned());
    }
    let server = DispatchServer::new(DispatchServerConfig {
        framing: options.framing,
        policy: options.policy,
        max_clients: options.max_clients,
        ..DispatchServerConfig::default()
    });
    let service = Service::listen(server, &options.listen, "127.0.0.1:5555")?;
    let mut printer = Printer::start();
    for addr in &service.bound {
        log::info!("listening on {addr}");
        printer.line(format_args!("[STARTING] Listening for {} clients on {addr}...", options.max_clients));
    }
    let end = service.run(|driver, event| {
        let Event::Protocol(event) = event else { return };
        match event {
            DispatchEvent::Ranked { peer, .. } => {
                printer.line(format_args!("Accepted client {peer}"));
                print_ranks(driver.protocol(), &mut printer);
            }
            DispatchEvent::Left { peer, rank } => {
                printer.line(format_args!("[Disconnect] client {peer} of rank {rank}"));
                printer.line(format_args!("[New ranking]"));
                print_ranks(driver.protocol(), &mut printer);
            }
            DispatchEvent::Dispatched { from, .. } => {
                printer.line(format_args!("Command executed by client with rank {from}"));
            }
            _ => {}
        }
    });
    printer.finish();
    end
}

fn print_ranks(server: &DispatchServer, printer: &mut Printer) {
    if server.ranks().next().is_none() {
        printer.line(format_args!("0 connections"));
    }
    for (rank, peer) in server.ranks() {
        printer.line(format_args!("  {rank}: {peer}"));
    }
}
