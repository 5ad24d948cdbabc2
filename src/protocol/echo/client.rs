//! The echo client, which uses one connection per message.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::{BuffersMin, CloseReason, ConnectionId, Links, Origin, Protocol};
use crate::record::Record;
use crate::time::{Instant, Now};

/// The client side of the echo protocol, without sockets: a [`Protocol`].
///
/// The host [sets](Self::say) a message and dials, once per message. The answer arrives as an event. There is
/// one message at a time: the next one replaces an unanswered one, about which nothing more is reported.
#[derive(Debug)]
pub struct EchoClient {
    config: EchoClientConfig,
    message: String,
    /// The part of the answer that has arrived, at most `answer_bytes_max`.
    answer: Vec<u8>,
    awaited: Option<Awaited>,
    events: VecDeque<EchoClientEvent>,
}

/// The connection of a message that was sent, and is not answered yet.
#[derive(Debug)]
struct Awaited {
    id: ConnectionId,
    /// When to give up; `None` once that has happened.
    until: Option<Instant>,
    /// Whether the host has set another message since.
    is_given_up: bool,
}

/// Limits of an [`EchoClient`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EchoClientConfig {
    /// The longest answer; a longer one is truncated. Default 128 KiB.
    pub answer_bytes_max: usize,
    /// How long the server may take to answer and close. Default 30 s.
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
    /// The server answered and closed the connection.
    Answered(String),
    /// The connection ended without an answer. This side closed it if the server took too long.
    Unanswered(CloseReason),
}

impl EchoClient {
    /// Creates a client without a message.
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

    /// Sets the message for the next connection. Gives up the previous one if it is unanswered.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::echo::{EchoClient, EchoClientConfig};
    ///
    /// let mut client = EchoClient::new(EchoClientConfig::default());
    /// client.say("hello"); // then dial: `driver.connect(now(), addr)`
    /// ```
    pub fn say(&mut self, message: &str) {
        message.clone_into(&mut self.message);
        if let Some(awaited) = &mut self.awaited {
            awaited.is_given_up = true;
        }
    }
}

impl Protocol for EchoClient {
    type Event = EchoClientEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        log_line!(links, Info, "connected to {peer}");
        self.answer.clear();
        let until = Some(now.instant + self.config.answer_timeout);
        if let Some(before) = self.awaited.replace(Awaited { id, until, is_given_up: false }) {
            links.abort(before.id);
        }
        links.send(id, self.message.as_bytes());
        // Old and new servers alike take the end of the stream for the end of the message.
        links.finish(id);
        log_line!(links, Info, "sent message to {peer}");
    }

    fn handle_bytes(&mut self, _: Now, id: ConnectionId, bytes: &[u8], _: &mut Links) -> usize {
        if self.awaited.as_ref().is_some_and(|awaited| awaited.id == id) {
            let room = self.config.answer_bytes_max - self.answer.len();
            self.answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        bytes.len()
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, reason: CloseReason, links: &mut Links) {
        let Some(awaited) = self.awaited.take_if(|awaited| awaited.id == id) else { return };
        let answer = std::mem::take(&mut self.answer);
        if awaited.is_given_up {
            return;
        }
        self.events.push_back(if answer.is_empty() {
            EchoClientEvent::Unanswered(reason)
        } else {
            log_line!(links, Info, "received response of {} bytes", answer.len());
            if reason != CloseReason::Finished {
                log_line!(links, Warn, "the response may be incomplete: the connection was {reason}");
            }
            EchoClientEvent::Answered(String::from_utf8_lossy(&answer).into_owned())
        });
        log_line!(links, Info, "connection closed");
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        if let Some(awaited) = &mut self.awaited
            && awaited.until.take_if(|until| *until <= now.instant).is_some()
        {
            links.abort(awaited.id);
        }
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}

    fn drain(&mut self, _: Now, links: &mut Links) {
        if let Some(awaited) = &mut self.awaited {
            awaited.until = None;
            links.abort(awaited.id);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.awaited.as_ref()?.until
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.id == id)
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<EchoClientEvent> {
        self.events.pop_front()
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}
