//! The methods that the driver calls: connections, bytes, deadlines and the end of the program.

use std::net::SocketAddr;

use super::{AnswerStatus, Client, ClientEvent, ClientId, TurnClient, Wire};
use crate::protocol::{BuffersMin, CloseReason, ConnectionId, Links, Origin, Protocol};
use crate::record::Record;
use crate::time::{Instant, Now};

impl Protocol for TurnClient {
    type Event = ClientEvent;

    fn handle_open(
        &mut self,
        now: Now,
        id: ConnectionId,
        peer: SocketAddr,
        origin: Origin,
        links: &mut Links,
    ) {
        let Some(client) = self.is_for(origin) else { return links.abort(id) };
        // A host that hung up and dialed again can get here before the last connection has ended.
        if let Some(before) = self.find(client).and_then(|found| found.player.connection) {
            self.disconnect(now, before, links);
            links.close(before);
        }
        if self.find(client).is_none_or(|found| found.player.end.is_some()) {
            return links.abort(id);
        }
        self.by_connection.insert(id, client);
        self.with(now, client, links, |client, cx| {
            client.player.connection = Some(id);
            if let Wire::Line(line) = &mut client.wire {
                let is_secure = cx.links.transport(id).is_some_and(|transport| transport.is_secure);
                line.open(&mut client.player, cx, is_secure || peer.ip().to_canonical().is_loopback());
            }
        });
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let Some(&client) = self.by_connection.get(id) else { return bytes.len() };
        let used = self.with(now, client, links, |client, cx| match &mut client.wire {
            Wire::Raw(raw) => raw.handle_bytes(&mut client.player, cx, bytes),
            Wire::Line(line) => line.handle_bytes(&mut client.player, cx, bytes),
        });
        used.unwrap_or(bytes.len())
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, now: Now, id: ConnectionId, _: CloseReason, links: &mut Links) {
        self.disconnect(now, id, links);
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(id) = self.timers.pop(now.instant) {
            let TurnClient { clients, timers, .. } = &mut *self;
            let found = clients.get_mut(id.slot as usize).filter(|found| found.player.id == id);
            if found.is_some_and(|client| timers.ring(&mut client.alarm, id, now.instant)) {
                self.with(now, id, links, |client, cx| {
                    if let Wire::Line(line) = &mut client.wire {
                        line.handle_timeout(&client.player, cx);
                    }
                });
            }
        }
    }

    fn handle_flushed(&mut self, now: Now, links: &mut Links) {
        let mut unwritten = std::mem::take(&mut self.unwritten);
        unwritten.retain(|&id| {
            let is_written = self.with(now, id, links, |client, cx| match &mut client.wire {
                Wire::Raw(raw) => raw.note_written(&mut client.player, cx),
                Wire::Line(_) => true,
            });
            is_written == Some(false)
        });
        self.unwritten = unwritten;
    }

    fn drain(&mut self, now: Now, links: &mut Links) {
        self.is_draining = true;
        let all: Vec<_> = self.clients().collect();
        for id in all {
            self.with(now, id, links, |client, cx| {
                let Client { player, wire, .. } = client;
                match (player.connection, wire) {
                    // Closing the connection settles the status of its turn.
                    (Some(_), Wire::Line(line)) => line.drain(player, cx),
                    (Some(id), Wire::Raw(_)) => cx.links.close(id),
                    (None, _) => player.end_turn(cx, AnswerStatus::Unknown),
                }
            });
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        self.by_connection.get(id).is_some()
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}

impl TurnClient {
    /// Detaches a client from a connection that is gone or has been replaced.
    fn disconnect(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(client) = self.by_connection.remove(id) else { return };
        let is_draining = self.is_draining;
        self.with(now, client, links, |client, cx| {
            let Client { player, wire, .. } = client;
            match wire {
                Wire::Raw(raw) => raw.disconnect(player, cx),
                Wire::Line(line) => line.disconnect(player),
            }
            player.connection = None;
            if is_draining {
                player.end_turn(cx, AnswerStatus::Unknown);
            }
        });
    }

    /// Returns the client whose connection `origin` may open.
    fn is_for(&self, origin: Origin) -> Option<ClientId> {
        match origin {
            Origin::Dialed(dial) if !self.is_draining => self.by_dial.get(&dial).copied(),
            _ => None,
        }
    }
}
