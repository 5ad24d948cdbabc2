//! Bare sockets, for tests that say what no client of ours says. They block, each with a deadline.

#![allow(dead_code, reason = "every test uses a part of it")]

use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// For what takes milliseconds on an idle machine: no test is faster for a shorter one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn connect(address: impl ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes a time");
    stream
}

/// An address that nobody listens on; the system hands its port out again only after many others.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}
