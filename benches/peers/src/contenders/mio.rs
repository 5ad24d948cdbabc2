//! Bare `mio`: readiness, one read, one write. No deadlines, no queue for slow readers, no second ring.

use std::io::{ErrorKind, Read as _, Write as _};

use anyhow::{Result, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::server::{ANY_PORT, announce};

const LISTENER: Token = Token(usize::MAX);

pub fn serve(clients: usize) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(ANY_PORT.parse()?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    announce(listener.local_addr()?)?;
    let mut ring = Vec::with_capacity(clients);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &poll, &mut ring)?,
                Token(nth) => hand_over(&mut ring, nth)?,
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, ring: &mut Vec<TcpStream>) -> Result<()> {
    loop {
        let mut client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        client.set_nodelay(true)?;
        client.write_all(b"WAIT")?;
        poll.registry().register(&mut client, Token(ring.len()), Interest::READABLE)?;
        ring.push(client);
        if ring.len() == ring.capacity() {
            ring[0].write_all(b"GO")?;
        }
    }
}

/// A read that does not fill the buffer has emptied the socket and will be followed by another edge, so one
/// read is enough.
fn hand_over(ring: &mut [TcpStream], nth: usize) -> Result<()> {
    let mut answer = [0; 64];
    match ring[nth].read(&mut answer) {
        Ok(count) => ensure!(count > 0, "a client left"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    ring[(nth + 1) % ring.len()].write_all(b"GO")?;
    Ok(())
}
