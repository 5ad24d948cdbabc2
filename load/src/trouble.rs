//! Clients that disturb a server in the line framing: one that does not read, one that is never silent, and
//! many that begin a line and never end it.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::{Domain, Socket, Type};

use crate::crowd::Crowd;
use crate::orders::Orders;

/// Lines of the chatty client per round, which is thousands per second.
pub const CHATS: usize = 5;
/// Lines of the slow reader per round, which is thousands per second. Their answers fill the system's buffers
/// within seconds.
pub const ASKS: usize = 20;
pub const SLOWLORIS: usize = 100;

/// In each round one slowloris sends a byte, so each does so ten times a second.
const ROUND: Duration = Duration::from_millis(1);
/// A step that is later than this follows a rest.
const LATE_MAX: Duration = Duration::from_millis(30);
/// Client numbers; the slowloris clients come first.
const CHATTY: usize = SLOWLORIS;

/// The amount of trouble made.
#[derive(Default)]
pub struct Made {
    /// Lines of the chatty client that were answered.
    pub chats: usize,
    /// Lines of the slow readers that the system accepted.
    pub asks: usize,
    /// Slow readers that the server closed.
    pub slow_readers: usize,
    /// Slowloris clients that the server closed.
    pub slowloris: usize,
}

/// All clients that disturb one server.
pub struct Trouble {
    server: SocketAddr,
    crowd: Crowd,
    slow: TcpStream,
    round: usize,
    made: Made,
}

impl Trouble {
    /// Disturbs and rests as ordered, until told to end. Returns what it made.
    pub fn make(server: SocketAddr, orders: &Orders) -> Result<Made> {
        let (crowd, slow) = (Crowd::new(SLOWLORIS + 1)?, slow_reader(server)?);
        let mut trouble = Trouble { server, crowd, slow, round: 0, made: Made::default() };
        let mut due = Instant::now();
        while orders.await_work() {
            // One by one, because they are independent.
            for act in [Trouble::chat, Trouble::ask, Trouble::drip] {
                act(&mut trouble)?;
                sleep_until_next(&mut due, ROUND / 3);
            }
            trouble.round += 1;
        }
        Ok(trouble.made)
    }

    fn chat(&mut self) -> Result<()> {
        self.stay_connected(CHATTY)?;
        self.crowd.say(CHATTY, &"PING\n".repeat(CHATS));
        Ok(())
    }

    /// Lets the slow reader send more, or replaces it.
    fn ask(&mut self) -> Result<()> {
        match self.slow.write(&b"?\n".repeat(ASKS)) {
            Ok(count) => self.made.asks += count / 2,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => {
                self.made.slow_readers += 1;
                self.slow = slow_reader(self.server)?;
            }
        }
        Ok(())
    }

    /// Lets one slowloris send a byte. All but the slow reader read.
    fn drip(&mut self) -> Result<()> {
        for heard in self.crowd.pass(Duration::ZERO)? {
            self.made.chats += heard.bytes.windows(5).filter(|line| line == b"PONG\n").count();
            self.made.slowloris += usize::from(heard.ended);
        }
        for nth in 0..SLOWLORIS {
            self.stay_connected(nth)?;
        }
        self.crowd.say(self.round % SLOWLORIS, "J");
        Ok(())
    }

    /// Reconnects a client that was closed.
    fn stay_connected(&mut self, nth: usize) -> Result<()> {
        if !self.crowd.is_connected(nth) {
            self.crowd.connect(nth, self.server)?;
        }
        Ok(())
    }
}

/// Sleeps until `step` after the last one was `due`. A late step is made up for, so that a busy machine gets
/// as many lines; a rest is not.
fn sleep_until_next(due: &mut Instant, step: Duration) {
    *due += step;
    let now = Instant::now();
    if now.saturating_duration_since(*due) > LATE_MAX {
        *due = now;
    }
    thread::sleep(due.saturating_duration_since(now));
}

/// Returns a client that sends requests without reading the answers.
fn slow_reader(server: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.connect(&server.into())?;
    let mut stream = TcpStream::from(socket);
    // It is also told about each turn of the quiet clients.
    stream.write_all(b"WATCH ring=quiet\n")?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
