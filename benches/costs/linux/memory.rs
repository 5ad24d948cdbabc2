//! The memory of a waiting connection.
//!
//! Counted: the anonymous memory of the server (`RssAnon`) that all connections add, from before the first
//! one until all are seated. The system's memory for their sockets is not included.

use std::io;

use taketurns::protocol::turns::Framing;

use super::figure::Figure;
use super::process::Server;
use super::rings::Rings;
use super::serve::{Setting, raise_descriptors};

/// Bytes per raw connection.
const BYTES_MAX: f64 = 185.0;
/// Bytes per line connection, which has a name and a secret.
const LINE_BYTES_MAX: f64 = 500.0;

const ONE_RAW: Setting = Setting::one_ring(Framing::Raw, 1);
pub const ONE_LINE: Setting = Setting::one_ring(Framing::Line, 1);

/// The number of clients, if the system has enough descriptors.
pub const CLIENTS: usize = 10_000;
/// Descriptors that a process needs without any connection.
const DESCRIPTORS_BESIDE: usize = 100;

pub fn count() -> io::Result<Vec<Figure>> {
    Ok(vec![
        hold(ONE_RAW)?.figure("bytes a waiting connection, raw", BYTES_MAX),
        hold(ONE_LINE)?.figure("bytes a waiting connection, line", LINE_BYTES_MAX),
    ])
}

/// Bytes of a server's memory, without clients and with all that there are to be.
pub struct Held {
    clients: usize,
    pub before: u64,
    pub after: u64,
}

/// Has a server hold as many clients as there are to be, each as in `one`.
pub fn hold(one: Setting) -> io::Result<Held> {
    let clients = many_clients();
    let setting = Setting { seats: clients, ..one };
    let mut server = Server::start(setting)?;
    // The system reports KiB.
    let before = server.status("RssAnon")? * 1024;
    let mut rings = Rings::seat(server.addr, setting)?;
    let after = server.status("RssAnon")? * 1024;
    server.end(&mut rings)?;
    Ok(Held { clients, before, after })
}

impl Held {
    pub fn figure(&self, what: &str, allowed: f64) -> Figure {
        let Held { clients, before, after } = *self;
        Figure {
            what: format!("{what} ({clients} of them)"),
            measured: (after - before) as f64 / clients as f64,
            // Tables grow by doubling, so the memory per connection means nothing for smaller numbers.
            allowed: if clients == CLIENTS { allowed } else { f64::INFINITY },
            advice: "see what Connection, Link, Seat and their maps keep for each".to_owned(),
        }
    }
}

/// Returns the number of clients, limited by the file descriptors.
pub fn many_clients() -> usize {
    raise_descriptors().saturating_sub(DESCRIPTORS_BESIDE).min(CLIENTS)
}
