//! A server and two clients take turns in one process, one thread, on one `mio::Poll`. The quickest way to see it work.
//!
//! ```text
//! cargo run --release --example turn_demo
//! ```

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::FromArgs;
use common::printer::Printer;
use log::LevelFilter;
use taketurns::mio::{Events, Poll};
use taketurns::net::{Driver, DriverConfig, Error, Event, TokenSpace, now, os_entropy, poll_timeout};
use taketurns::protocol::turns::{TurnClient, TurnClientConfig, TurnEvent, TurnServer, TurnServerConfig};

/// Show two clients taking turns: a server and both clients in one process, one thread, one poll.
#[derive(FromArgs)]
struct Options {
    /// end after so many numbers. Default: 10
    #[argh(option, arg_name = "n", default = "10")]
    count: u64,

    /// pause of a client between two of its numbers, in milliseconds. Default: 300
    #[argh(option, arg_name = "n", default = "300")]
    pace_ms: u64,

    /// what to log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let options: Options = common::options::from_environment();
    common::logger::start(options.log_level);
    let mut printer = Printer::start();
    let end = demonstrate(&options, &mut printer).map_err(|error| common::advise(&error));
    printer.finish();
    common::exit_code(end)
}

fn demonstrate(options: &Options, printer: &mut Printer) -> Result<(), Error> {
    let mut poll = Poll::new().map_err(Error::Poll)?;
    let mut events = Events::with_capacity(64);

    let server = TurnServer::new(TurnServerConfig::default(), os_entropy());
    let mut server = Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default())?;
    let addr = server.listen(([127, 0, 0, 1], 0).into())?;
    printer.line(format_args!("Server listening on {addr}"));

    let pace = Duration::from_millis(options.pace_ms);
    let mut clients = TurnClient::new(TurnClientConfig { pace, ..TurnClientConfig::default() });
    clients.add("Client1".parse().expect("a valid name"), 1, 2);
    clients.add("Client2".parse().expect("a valid name"), 2, 2);
    let mut clients = Driver::new(poll.registry(), TokenSpace(2), clients, DriverConfig::default())?;
    clients.connect(now(), addr);
    clients.connect(now(), addr);

    let mut left = options.count;
    while !(server.is_drained() && clients.is_drained()) {
        let deadline = [server.next_deadline(), clients.next_deadline()].into_iter().flatten().min();
        match poll.poll(&mut events, poll_timeout(now(), deadline)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            polled => polled.map_err(Error::Poll)?,
        }
        let now = now();
        for event in &events {
            // Each takes what is its own.
            server.handle_event(now, event);
            clients.handle_event(now, event);
        }
        server.finish_batch(now)?;
        clients.finish_batch(now)?;
        while let Some(event) = server.poll_event() {
            if let Event::Protocol(TurnEvent::Accepted { name, number, .. }) = event
                && left > 0
            {
                printer.line(format_args!("{name} sent: {number}"));
                left -= 1;
            }
        }
        while clients.poll_event().is_some() {}
        if left == 0 {
            clients.drain(now);
            server.drain(now);
        }
    }
    Ok(())
}
