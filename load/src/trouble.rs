//! Who disturbs a server in the line framing: one that does not read, one that is never silent, and many that begin a line and do
//! not end it.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use socket2::{Domain, Socket, Type};

use crate::crowd::Crowd;

/// Lines of the chatty client in each tick, and so thousands a second.
pub const CHATS: usize = 5;
/// Lines of the slow reader in each tick. Their answers fill what the system has for them in some seconds.
const ASKS: usize = 20;
pub const SLOWLORIS: usize = 100;

const TICK: Duration = Duration::from_millis(1);
/// Ticks between two bytes of a slowloris.
const DRIP: usize = 100;
/// Numbers in the crowd; the slowloris come before them.
const CHATTY: usize = SLOWLORIS;

/// How much of it was made.
#[derive(Default)]
pub struct Trouble {
    /// Lines of the chatty client that were answered.
    pub chats: usize,
    /// Slow readers that the server gave up.
    pub slow_readers: usize,
    /// Slowloris that it closed.
    pub slowloris: usize,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// To stay connected, and silent.
    Calm,
    /// To make trouble.
    Wild,
    /// To come to an end.
    Over,
}

impl Trouble {
    /// Is in the `mood` that it is told, until that is over; what it made.
    pub fn make(server: SocketAddr, mood: &Mutex<Mood>) -> Result<Trouble> {
        let mut trouble = Trouble::default();
        let mut crowd = Crowd::new(SLOWLORIS + 1)?;
        let mut slow = slow_reader(server)?;
        for tick in 0.. {
            thread::sleep(TICK);
            match *mood.lock().expect("nobody panics with it") {
                Mood::Calm => continue,
                Mood::Over => break,
                Mood::Wild => trouble.tick(tick, &mut crowd, server)?,
            }
            if is_given_up(&mut slow) {
                trouble.slow_readers += 1;
                slow = slow_reader(server)?;
            }
        }
        Ok(trouble)
    }

    fn tick(&mut self, tick: usize, crowd: &mut Crowd, server: SocketAddr) -> Result<()> {
        for nth in 0..=CHATTY {
            // Whoever was closed is back at once.
            if !crowd.is_connected(nth) {
                crowd.connect(nth, server)?;
            }
        }
        crowd.say(CHATTY, &"PING\n".repeat(CHATS));
        // One after the other: they are not in league.
        for nth in (tick % DRIP..SLOWLORIS).step_by(DRIP) {
            crowd.say(nth, "J");
        }
        for heard in crowd.pass(Duration::ZERO)? {
            self.chats += heard.bytes.windows(5).filter(|line| line == b"PONG\n").count();
            self.slowloris += usize::from(heard.ended);
        }
        Ok(())
    }
}

/// It asks and asks, and reads no answer.
fn slow_reader(server: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.connect(&server.into())?;
    let mut stream = TcpStream::from(socket);
    // It also hears of each turn of the quiet clients, or would.
    stream.write_all(b"WATCH ring=quiet\n")?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Lets it ask; whether the server has closed it.
fn is_given_up(slow: &mut TcpStream) -> bool {
    match slow.write_all(&b"?\n".repeat(ASKS)) {
        Ok(()) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
