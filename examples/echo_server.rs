//! Echoes each message, preceded by this server's local time.
//!
//! ```text
//! cargo run --release --example echo_server
//! cargo run --release --example echo_server -- --keep-open --listen 127.0.0.1:9000
//! ```

mod common;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use common::options::Extras;
use common::server::{self, Service, Site};
use jiff::Timestamp;
use log::LevelFilter;
use taketurns::protocol::echo::{EchoServer, EchoServerConfig};

/// Echo each message, preceded by the local time: one message per connection, or one per line.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    note = "Fixed limits: 10000 clients, or as many as the limit of file descriptors allows; 65536 bytes for a message. A
message must begin within 10 s and end within another 10 s. A client that does not read is closed once 128 KiB wait
for it.
Status: 64 connections, of which 32 may read /events; the head of a request has 8192 bytes and arrives within 5 s."
)]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times. Default: the environment variable
    /// TAKETURNS_LISTEN, else 127.0.0.1:8080
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// keep connections open: each line gets one line in answer
    #[argh(switch)]
    keep_open: bool,

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
    let zone = common::zone();
    let stamp = Box::new(move |wall| match Timestamp::try_from(wall) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "0000-00-00 00:00:00".to_owned(),
    });
    let config = EchoServerConfig { keep_open: options.keep_open, ..EchoServerConfig::default() };
    let (status, max_per_address) = (options.status.as_deref(), options.max_per_address);
    let site = Site::new(&options.listen, "127.0.0.1:8080", status, max_per_address, extras)?;
    let echo = EchoServer::new(config, stamp);
    let service = Service::listen(echo, site, None)?;
    for addr in &service.bound {
        log::info!("bound to {addr}");
        log::info!("listening on {addr}");
    }
    service.run(|_, _, _| {})
}
