//! `message-io`, whose callback gets complete reads. It has no option for TCP_NODELAY, but does not need it
//! here, because the answer to a `GO` acknowledges it before the next one to the same client.

use anyhow::Result;
use message_io::network::{NetEvent, Transport};
use message_io::node;

use crate::server::{ANY_PORT, announce};

pub fn serve(clients: usize) -> Result<()> {
    let (handler, listener) = node::split::<()>();
    let (_, addr) = handler.network().listen(Transport::Tcp, ANY_PORT)?;
    announce(addr)?;
    let mut ring = Vec::with_capacity(clients);
    let mut holder = 0;
    listener.for_each(move |event| match event.network() {
        NetEvent::Connected(..) => unreachable!("it connects to nobody"),
        NetEvent::Accepted(client, _) => {
            handler.network().send(client, b"WAIT");
            ring.push(client);
            if ring.len() == clients {
                handler.network().send(ring[0], b"GO");
            }
        }
        NetEvent::Message(..) => {
            holder = (holder + 1) % clients;
            handler.network().send(ring[holder], b"GO");
        }
        NetEvent::Disconnected(_) => handler.stop(),
    });
    Ok(())
}
