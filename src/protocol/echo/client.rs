//! The echo client: one connection a message.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use log::info;

use crate::protocol::{CloseReason, ConnectionId, Links, Origin, Protocol};
use crate::time::Now;

/// The client side of the echo protocol, without sockets: a [`Protocol`].
///
/// The host [sets](Self::say) a message and dials, once for every message; the answer comes as an event.
#[derive(Debug)]
pub struct EchoClient {
    message: String,
    /// What has come of the answer; `answer_bytes_max` at most.
    answer: Vec<u8>,
    answer_bytes_max: usize,
    events: VecDeque<EchoClientEvent>,
}

/// What a host hears of an [`EchoClient`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EchoClientEvent {
    /// The server has answered and closed the connection.
    Answered(String),
    /// The connection ended without an answer.
    Unanswered(CloseReason),
}

impl EchoClient {
    /// A client that takes answers of at most `answer_bytes_max` bytes; what is longer is cut.
    #[must_use]
    pub fn new(answer_bytes_max: usize) -> EchoClient {
        EchoClient { message: String::new(), answer: Vec::new(), answer_bytes_max, events: VecDeque::new() }
    }

    /// The message to send on the next connection.
    pub fn say(&mut self, message: &str) {
        message.clone_into(&mut self.message);
    }
}

impl Protocol for EchoClient {
    type Event = EchoClientEvent;

    fn handle_open(&mut self, _: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        info!("connected to {peer}");
        self.answer.clear();
        links.send(id, self.message.as_bytes());
        // The end of the stream is the end of the message, for old servers and new.
        links.finish(id);
        info!("sent message to {peer}");
    }

    fn handle_bytes(&mut self, _: Now, _: ConnectionId, bytes: &[u8], _: &mut Links) {
        let room = self.answer_bytes_max - self.answer.len();
        self.answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, _: Now, _: ConnectionId, reason: CloseReason, _: &mut Links) {
        let answer = std::mem::take(&mut self.answer);
        self.events.push_back(if answer.is_empty() {
            EchoClientEvent::Unanswered(reason)
        } else {
            info!("received response of {} bytes", answer.len());
            EchoClientEvent::Answered(String::from_utf8_lossy(&answer).into_owned())
        });
        info!("connection closed");
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Links) {}

    fn drain(&mut self, _: Now, _: &mut Links) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn poll_event(&mut self) -> Option<EchoClientEvent> {
        self.events.pop_front()
    }
}
