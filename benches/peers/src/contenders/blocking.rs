//! One write, one read, nothing else: the limit of the machine. It knows which client answers next, so it
//! needs no poll.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};

use crate::server::{ANY_PORT, announce};

pub fn serve(clients: usize) -> Result<()> {
    let listener = TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?)?;
    let mut ring = (0..clients).map(|_| seat(&listener)).collect::<Result<Vec<_>>>()?;
    let mut answer = [0; 64];
    loop {
        for client in &mut ring {
            client.write_all(b"GO")?;
            ensure!(client.read(&mut answer)? > 0, "a client left");
        }
    }
}

fn seat(listener: &TcpListener) -> Result<TcpStream> {
    let (mut client, _) = listener.accept()?;
    client.set_nodelay(true)?;
    client.write_all(b"WAIT")?;
    Ok(client)
}
