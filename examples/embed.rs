//! A host program with a loop of its own: its own `Poll`, its own timer, and another event source. Meant to
//! be copied from.
//!
//! The host is an instrument that one client may use at a time. It measures (a UDP socket stands for the
//! hardware), it reports (a timer), and in between it drives a turn server that decides whose number is sent
//! to the instrument. Two clients run along so that there is something to see.
//!
//! ```text
//! cargo run --release --example embed
//! ```

mod common;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::counting::Counting;
use common::output;
use common::remote::Remote;
use taketurns::mio::net::UdpSocket;
use taketurns::mio::{Events, Interest, Poll, Token};
use taketurns::net::{Driver, DriverConfig, Event, TokenSpace, now, os_entropy, poll_timeout};
use taketurns::protocol::turns::{
    ClientConfig, Framing, TurnClient, TurnEvent, TurnServer, TurnServerConfig,
};

/// Show how a host program embeds a turn server into its own loop.
#[derive(FromArgs, ArgsInfo)]
struct Options {
    /// end after this many numbers. Default: 6
    #[argh(option, arg_name = "n", default = "6")]
    count: u64,
}

/// The host's own token; the drivers' have 1 and 2 in their highest byte.
const INSTRUMENT: Token = Token(0);
/// The host's own timer.
const REPORT_EVERY: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let options = common::options::from_environment();
    common::exit_code(run(&options).map_err(|error| error.to_string()))
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);

    // The host's own event source.
    let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut instrument = UdpSocket::bind(loopback)?;
    let itself = instrument.local_addr()?;
    poll.registry().register(&mut instrument, INSTRUMENT, Interest::READABLE)?;

    // The turn server: a driver on the host's poll, with a token space of its own.
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    let server = TurnServer::new(config, os_entropy())?;
    let mut server = Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default())?;
    let addr = server.listen(loopback)?;
    output::line(format_args!("instrument at {itself}, turns at {addr}"));
    let (mut clients, mut counting) = two_clients(&poll, addr)?;

    let (mut turns, mut measured) = (0, 0);
    let mut report_at = now().instant + REPORT_EVERY;
    while !(server.is_drained() && clients.is_drained()) {
        // 1. Sleep until something happens, or until the first deadline of the host or the drivers.
        let theirs = [server.next_deadline(), clients.next_deadline(), counting.next_deadline()];
        let deadlines = theirs.into_iter().chain([Some(report_at)]);
        let timeout = poll_timeout(now(), deadlines.flatten().min());
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        // 2. Use one time for everything in this pass.
        let now = now();
        // 3. Hand each event to its owner.
        for event in &events {
            if server.owns(event.token()) {
                server.handle_event(now, event);
            } else if clients.owns(event.token()) {
                clients.handle_event(now, event);
            } else {
                let mut sample = [0; 8];
                while instrument.recv_from(&mut sample).is_ok() {
                    measured += 1;
                }
            }
        }
        // 4. End the pass, even without events: this handles deadlines and writes.
        server.finish_batch(now)?;
        clients.finish_batch(now)?;
        // 5. Take the events for the host. All of them must be taken before the next pass.
        while let Some(event) = server.poll_event() {
            match event {
                Event::Opened { peer, .. } => output::line(format_args!("{peer} connected")),
                Event::Protocol(TurnEvent::Accepted { seat, turn, answer }) => {
                    // An answer may be any bytes. This host accepts numbers and ignores anything else.
                    let answer = server.protocol().answer(answer).and_then(|answer| answer.number());
                    let Some(number) = answer else { continue };
                    let name = server.protocol().name_of(seat);
                    output::line(format_args!("turn {turn}: {name} sets the instrument to {number}"));
                    instrument.send_to(&number.to_be_bytes(), itself)?;
                    turns += 1;
                }
                _ => {}
            }
        }
        while let Some(event) = clients.poll_event() {
            if let Event::Protocol(event) = event {
                counting.handle(now, &mut clients, event);
            }
        }
        counting.catch_up(now, &mut clients);
        if now.instant >= report_at {
            output::line(format_args!("{turns} turns, {measured} measurements"));
            report_at = now.instant + REPORT_EVERY;
        }
        if turns >= options.count {
            clients.drain(now);
        }
        if clients.is_drained() {
            server.drain(now);
        }
    }
    Ok(())
}

fn two_clients(
    poll: &Poll,
    addr: SocketAddr,
) -> Result<(Driver<TurnClient>, Counting), Box<dyn std::error::Error>> {
    let clients = TurnClient::new();
    let mut clients = Driver::new(poll.registry(), TokenSpace(2), clients, DriverConfig::default())?;
    let mut counting = Counting::new(Duration::from_millis(100), None);
    let server = Remote::plain(addr);
    for (name, start) in [("ann", 1), ("bob", 2)] {
        counting.add(&mut clients, &server, ClientConfig::seat(name.parse()?), start, 2)?;
    }
    Ok((clients, counting))
}
