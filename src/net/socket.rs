//! The system calls of a hand-over beside the poll's. On Linux they are made where they are needed, and not by the C library's
//! functions: those lie where the caches no longer have them when a turn gets there.

use std::io;

use mio::net::TcpStream;

/// Reads what has arrived: how many bytes, 0 at the end of the stream.
#[cfg(target_os = "linux")]
#[inline(always)]
pub(super) fn recv(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(socket, buffer, rustix::net::RecvFlags::empty())?;
    Ok(count)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn recv(mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut socket, buffer)
}

/// Writes what the system takes: how many bytes. A broken connection is an error, never a signal.
#[cfg(target_os = "linux")]
#[inline(always)]
pub(super) fn send(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, rustix::net::SendFlags::NOSIGNAL)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn send(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut socket, bytes)
}
