//! A server and two clients take turns in one process and one thread, on one `mio::Poll`: the quickest way to
//! see it work.
//!
//! ```text
//! cargo run --release --example turn_demo
//! ```

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::answers::Answers;
use common::counting::Counting;
use common::options;
use common::output;
use common::remote::Remote;
use log::LevelFilter;
use taketurns::mio::{Events, Poll};
use taketurns::net::{Driver, DriverConfig, Event, TokenSpace, now, os_entropy, poll_timeout};
use taketurns::protocol::turns::{ClientConfig, TurnClient, TurnServer, TurnServerConfig};

/// Show two clients taking turns: a server and both clients in one process, one thread and one poll.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "Times have a unit: 1500ms, 30s, 2m.")]
struct Options {
    /// end after this many numbers. Default: 10
    #[argh(option, arg_name = "n", default = "10")]
    count: u64,

    /// pause of a client between two of its numbers. Default: 300ms
    #[argh(option, arg_name = "time", default = "Duration::from_millis(300)", from_str_fn(options::time))]
    pace: Duration,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let options: Options = options::from_environment();
    common::logger::start(options.log_level);
    common::exit_code(demonstrate(&options).map_err(|error| error.to_string()))
}

fn demonstrate(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(64);

    let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
    let mut server = Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default())?;
    let addr = server.listen(([127, 0, 0, 1], 0).into())?;
    output::line(format_args!("Server listening on {addr}"));

    let clients = TurnClient::new();
    let mut clients = Driver::new(poll.registry(), TokenSpace(2), clients, DriverConfig::default())?;
    let mut counting = Counting::new(options.pace, None);
    let remote = Remote::plain(addr);
    for (name, start) in [("Client1", 1), ("Client2", 2)] {
        counting.add(&mut clients, &remote, ClientConfig::seat(name.parse()?), start, 2)?;
    }

    let mut answers = Answers::default();
    let mut left = options.count;
    while !(server.is_drained() && clients.is_drained()) {
        let deadlines = [server.next_deadline(), clients.next_deadline(), counting.next_deadline()];
        match poll.poll(&mut events, poll_timeout(now(), deadlines.into_iter().flatten().min())) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        let now = now();
        for event in &events {
            // Each driver handles its own events.
            server.handle_event(now, event);
            clients.handle_event(now, event);
        }
        server.finish_batch(now)?;
        clients.finish_batch(now)?;
        while let Some(event) = server.poll_event() {
            if let Event::Protocol(event) = event
                && let Some(answer) = answers.handle(server.protocol(), &event).filter(|_| left > 0)
            {
                output::line(format_args!("{answer}"));
                left -= 1;
            }
        }
        while let Some(event) = clients.poll_event() {
            if let Event::Protocol(event) = event {
                counting.handle(now, &mut clients, event);
            }
        }
        counting.catch_up(now, &mut clients);
        if left == 0 {
            clients.drain(now);
        }
        if clients.is_drained() {
            server.drain(now);
        }
    }
    Ok(())
}
