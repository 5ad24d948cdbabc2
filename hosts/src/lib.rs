//! The common parts of the hosts: options and output.
//!
//! `client_in_tokio` is a client. Each other program of `src/bin/` is a turn server in a program that also
//! waits for its standard input. A line there is sent to all clients that hear, and the end of the input
//! drains the server.

use std::error::Error;
use std::fmt::Arguments;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use argh::FromArgs;
use taketurns::net::{Driver, Event, EventLoop, os_entropy};
use taketurns::protocol::turns::{TurnEvent, TurnServer, TurnServerConfig};
use taketurns::time::Now;

/// Serve turns to two or more clients. A line on standard input is sent to the clients that hear their ring;
/// the end of the input ends the program.
#[derive(FromArgs, Debug)]
#[argh(note = "To take turns: nc 127.0.0.1 5001, JOIN ann hear=turns, and ANSWER :words when GO has come.")]
pub struct Options {
    /// address to listen on, as IP:PORT. Default: 127.0.0.1:5001
    #[argh(option, arg_name = "addr", default = "([127, 0, 0, 1], 5001).into()")]
    pub listen: SocketAddr,
    /// a client that stays silent for this long loses its turn, as in 30s or 500ms. Default: 30s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(30)", from_str_fn(time))]
    pub turn_deadline: Duration,
    /// print nothing but the address
    #[argh(switch)]
    pub quiet: bool,
}

impl Options {
    /// Parses the command line.
    #[must_use]
    pub fn from_env() -> Options {
        argh::from_env()
    }

    /// Creates a listening server and prints its address.
    pub fn serve(&self) -> Result<EventLoop<TurnServer>, Box<dyn Error>> {
        let mut config = TurnServerConfig::default();
        config.rules.turn_deadline = self.turn_deadline;
        // The number of signals held back at first depends on the machine's speed, which must not affect
        // measurements.
        config.signal_gap = Duration::ZERO;
        let mut event_loop = EventLoop::new(TurnServer::new(config, os_entropy())?)?;
        let addr = event_loop.driver_mut().listen(self.listen)?;
        writeln!(std::io::stdout(), "Server listening on {addr}")?;
        Ok(event_loop)
    }

    /// Prints a line. A closed output is not a reason to end.
    pub fn print(&self, line: Arguments<'_>) {
        if !self.quiet {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// Prints the outcome of a turn.
    pub fn print_event(&self, server: &TurnServer, event: &Event<TurnEvent>) {
        match event {
            Event::Protocol(TurnEvent::Accepted { seat, turn, answer }) => {
                let text = server.answer(*answer).and_then(|answer| answer.text()).unwrap_or("(no text)");
                self.print(format_args!("turn {turn}: {} answered {text}", server.name_of(*seat)));
            }
            Event::Protocol(TurnEvent::Ended { seat, turn, how }) => {
                self.print(format_args!(
                    "turn {turn}: {} did not answer: {}",
                    server.name_of(*seat),
                    how.words()
                ));
            }
            _ => {}
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let read = |unit| text.strip_suffix(unit)?.parse::<u64>().ok();
    let time = read("ms").map(Duration::from_millis).or_else(|| read("s").map(Duration::from_secs));
    time.ok_or_else(|| "expected a time such as 500ms or 30s".to_owned())
}

/// Sends `words` to all hearers of the ring `main`.
pub fn say(driver: &mut Driver<TurnServer>, now: Now, words: &[u8]) {
    let main = "main".parse().expect("a name");
    driver.act(now, |server, links| server.say_to_ring(&main, words, links).unwrap_or_default());
}
