//! Memory of a connection that waits.
//!
//! Counted: how much anonymous memory of the server (`RssAnon`) all connections add, from before the first
//! one until all are seated. What the system keeps for their sockets is not in it.

use std::io;

use taketurns::protocol::turns::Framing;

use super::figure::Figure;
use super::process::Server;
use super::rings::Rings;
use super::serve::{Setting, raise_descriptors};

/// Bytes of a connection, raw.
const BYTES_MAX: f64 = 185.0;
/// Bytes of a connection, line: it has a name, and a secret.
const LINE_BYTES_MAX: f64 = 540.0;

/// How many clients, where the system has the descriptors for them.
pub const CLIENTS: usize = 10_000;
/// Memory that a process needs without any connection.
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
        // The system says it in KiB.
        measured: (after - before) as f64 * 1024.0 / clients as f64,
        // Tables grow by doubling, so that what fewer connections take for each says nothing.
        allowed: if clients == CLIENTS { allowed } else { f64::INFINITY },
        advice: "see what Connection, Link, Seat and their maps keep for each".to_owned(),
    })
}

/// As many clients as there are to be, or as the limit of file descriptors allows.
pub fn many_clients() -> usize {
    raise_descriptors().saturating_sub(DESCRIPTORS_BESIDE).min(CLIENTS)
}
