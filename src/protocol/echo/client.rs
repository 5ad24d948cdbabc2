//! The echo client: one connection a message.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use log::{Level, info};

use crate::protocol::{CloseReason, ConnectionId, Links, Origin, Protocol};
use crate::time::{Instant, Now};

/// The client side of the echo protocol, without sockets: a [`Protocol`].
///
/// The host [sets](Self::say) a message and dials, once for every message; the answer comes as an event.
#[derive(Debug)]
pub struct EchoClient {
    config: EchoClientConfig,
    message: String,
    /// The answer as far as it has come; `answer_bytes_max` at most.
    answer: Vec<u8>,
    /// The connection that the answer is awaited on, and until when.
    awaited: Option<(ConnectionId, Instant)>,
    events: VecDeque<EchoClientEvent>,
}

/// Limits of an [`EchoClient`].
#[derive(Debug, Clone)]
pub struct EchoClientConfig {
    /// The longest answer; what is longer is cut. Default 128 KiB.
    pub answer_bytes_max: usize,
    /// How long the server may take to answer and to close. Default 30 s.
    pub answer_timeout: Duration,
}

impl Default for EchoClientConfig {
    fn default() -> Self {
        EchoClientConfig { answer_bytes_max: 128 * 1024, answer_timeout: Duration::from_secs(30) }
    }
}

/// An event of an [`EchoClient`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EchoClientEvent {
    /// The server has answered and closed the connection.
    Answered(String),
    /// The connection ended without an answer; this side closed it if the time for that was over.
    Unanswered(CloseReason),
}

impl EchoClient {
    /// A client with nothing to say yet.
    #[must_use]
    pub fn new(config: EchoClientConfig) -> EchoClient {
        EchoClient {
            config,
            message: String::new(),
            answer: Vec::new(),
            awaited: None,
            events: VecDeque::new(),
        }
    }

    /// The message to send on the next connection.
    pub fn say(&mut self, message: &str) {
        message.clone_into(&mut self.message);
    }
}

impl Protocol for EchoClient {
    type Event = EchoClientEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if links.may_log(Level::Info) {
            info!("connected to {peer}");
        }
        self.answer.clear();
        self.awaited = Some((id, now.instant + self.config.answer_timeout));
        links.send(id, self.message.as_bytes());
        // The end of the stream is the end of the message, for old servers and new.
        links.finish(id);
        if links.may_log(Level::Info) {
            info!("sent message to {peer}");
        }
    }

    fn handle_bytes(&mut self, _: Now, _: ConnectionId, bytes: &[u8], _: &mut Links) -> usize {
        let room = self.config.answer_bytes_max - self.answer.len();
        self.answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        bytes.len()
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, _: Now, _: ConnectionId, reason: CloseReason, links: &mut Links) {
        self.awaited = None;
        let answer = std::mem::take(&mut self.answer);
        self.events.push_back(if answer.is_empty() {
            EchoClientEvent::Unanswered(reason)
        } else {
            if links.may_log(Level::Info) {
                info!("received response of {} bytes", answer.len());
            }
            EchoClientEvent::Answered(String::from_utf8_lossy(&answer).into_owned())
        });
        if links.may_log(Level::Info) {
            info!("connection closed");
        }
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        if let Some((id, _)) = self.awaited.take_if(|(_, until)| *until <= now.instant) {
            links.abort(id);
        }
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}

    fn drain(&mut self, _: Now, links: &mut Links) {
        if let Some((id, _)) = self.awaited.take() {
            links.abort(id);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.awaited.map(|(_, until)| until)
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        self.awaited.is_some_and(|(awaited, _)| awaited == id)
    }

    fn poll_event(&mut self) -> Option<EchoClientEvent> {
        self.events.pop_front()
    }
}
