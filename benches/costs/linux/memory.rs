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
const LINE_BYTES_MAX: f64 = 540.0;

/// The number of clients, if the system has enough descriptors.
pub const CLIENTS: usize = 10_000;
/// Descriptors that a process needs without any connection.
const DESCRIPTORS_BESIDE: usize = 100;

pub fn count() -> io::Result<Vec<Figure>> {
    Ok(vec![
        figure("bytes a waiting connection, raw", Framing::Raw, BYTES_MAX)?,
        figure("bytes a waiting connection, line", Framing::Line, LINE_BYTES_MAX)?,
    ])
}

fn figure(what: &str, framing: Framing, allowed: f64) -> io::Result<Figure> {
    let clients = many_clients();
    let setting = Setting::one_ring(framing, clients);
    let mut server = Server::start(setting)?;
    let before = server.status("RssAnon")?;
    let mut rings = Rings::seat(server.addr, setting)?;
    let after = server.status("RssAnon")?;
    server.end(&mut rings)?;
    Ok(Figure {
        what: format!("{what} ({clients} of them)"),
        // The system reports KiB.
        measured: (after - before) as f64 * 1024.0 / clients as f64,
        // Tables grow by doubling, so the memory per connection means nothing for smaller numbers.
        allowed: if clients == CLIENTS { allowed } else { f64::INFINITY },
        advice: "see what Connection, Link, Seat and their maps keep for each".to_owned(),
    })
}

/// Returns the number of clients, limited by the file descriptors.
pub fn many_clients() -> usize {
    raise_descriptors().saturating_sub(DESCRIPTORS_BESIDE).min(CLIENTS)
}
