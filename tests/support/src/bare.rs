//! Bare sockets, for tests that send what our clients never would. They block, each with a deadline.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// For things that take milliseconds on an idle machine. A shorter time would make no test faster.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn connect(address: impl ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes a time");
    stream
}

/// Reads once, as `read` does, but tries again when a signal interrupts it. A socket with a read timeout is
/// interrupted even without a handler, for example when the machine was suspended.
pub fn recv(mut stream: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Returns an address that refuses connections until a program listens there.
pub fn free_address() -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("port 0 is free");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address of IPv4");
    // It stays bound until this process ends, so that the system gives the port to no other socket. Only on
    // Linux can a program still listen on it.
    if cfg!(target_os = "linux") {
        std::mem::forget(socket);
    }
    address.to_string()
}
