//! HTTP as far as the status listener needs it, without sockets: a [`Protocol`] that collects requests and
//! sends answers.
//!
//! There is one request per connection. The [`StatusServer`](super::StatusServer) decides on answers and
//! feeds.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::StatusConfig;
#[cfg(feature = "web-socket")]
use super::request::Path;
use super::request::{self, Refusal, Request};
use crate::protocol::{BuffersMin, CloseReason, ConnectionId, ConnectionMap, Links, Origin, Protocol};
use crate::record::Record;
use crate::time::{Alarm, Instant, Now, Timers};

pub(super) struct Http {
    config: StatusConfig,
    clients: ConnectionMap<Client>,
    timers: Timers<ConnectionId>,
    /// Requests that wait for their answer, at most one per connection.
    requests: VecDeque<(ConnectionId, Request)>,
    /// The number of feeds in `clients`.
    feeds: usize,
    /// Connections that have been sent their answer and have not read all of it.
    closing: Vec<ConnectionId>,
}

struct Client {
    stage: Stage,
    opened: Instant,
    /// The deadline for receiving the head, or for reading the answer.
    alarm: Alarm,
}

enum Stage {
    /// The head is arriving; `left` is its length so far.
    Head {
        left: usize,
        is_head: bool,
    },
    /// The request is complete and waits for its answer. Its bytes are kept only if it asks for a WebSocket.
    Asked {
        #[cfg(feature = "web-socket")]
        head: Box<[u8]>,
    },
    Feed,
    /// Everything has been sent, and input is ignored.
    Closing,
}

/// The response to a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    /// The status code and its words.
    pub(super) status: &'a str,
    pub(super) content_type: &'a str,
    /// Headers in addition to those of every answer, each with its line end.
    pub(super) headers: &'a str,
    pub(super) body: &'a [u8],
}

const TEXT: &str = "text/plain; charset=utf-8";

impl<'a> Answer<'a> {
    pub(super) fn text(status: &'a str, body: &'a str) -> Answer<'a> {
        Answer { status, content_type: TEXT, headers: "", body: body.as_bytes() }
    }
}

/// Headers of every answer: no cache may keep it, and no client may guess its type.
const HEADERS: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";

/// Without it, a reverse proxy such as nginx would hold a feed back until some kilobytes have arrived.
const NO_BUFFERING: &str = "X-Accel-Buffering: no\r\n";

impl Http {
    pub(super) fn new(config: StatusConfig) -> Http {
        Http {
            config,
            clients: ConnectionMap::default(),
            timers: Timers::default(),
            requests: VecDeque::new(),
            feeds: 0,
            closing: Vec::new(),
        }
    }

    /// Returns the next request to answer. No more of its connection is read into memory.
    pub(super) fn take_request(&mut self) -> Option<(ConnectionId, Request)> {
        self.requests.pop_front()
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Returns the number of feeds.
    pub(super) fn feeds(&self) -> usize {
        self.feeds
    }

    /// Sends `answer`, without its body to a HEAD request, and then closes the connection.
    pub(super) fn answer(
        &mut self,
        now: Now,
        id: ConnectionId,
        is_head: bool,
        answer: Answer<'_>,
        links: &mut Links,
    ) {
        let Answer { status, content_type, headers, body } = answer;
        let length = body.len();
        links.send_fmt(
            id,
            format_args!(
                "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n{HEADERS}{headers}\r\n"
            ),
        );
        if !is_head {
            links.send(id, body);
        }
        self.end(now, id, links);
    }

    /// Turns a connection into the feed that it has requested. Returns `false` if it was refused, or if it
    /// was a HEAD request, which only asks whether it would be.
    pub(super) fn begin_feed(
        &mut self,
        now: Now,
        id: ConnectionId,
        request: Request,
        links: &mut Links,
    ) -> bool {
        if self.feeds >= self.config.feeds_max {
            self.refuse(now, id, request.is_head, Refusal::FeedsFull, links);
            return false;
        }
        links.send_fmt(
            id,
            format_args!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{NO_BUFFERING}{HEADERS}\r\n"),
        );
        if request.is_head {
            self.end(now, id, links);
            return false;
        }
        let Some(client) = self.clients.get_mut(id) else { return false };
        client.stage = Stage::Feed;
        self.feeds += 1;
        true
    }

    /// Sends `text` to every feed that has read everything before. The others skip it.
    pub(super) fn feed(&self, text: &[u8], links: &mut Links) {
        let feeds = self.clients.iter().filter(|(_, client)| matches!(client.stage, Stage::Feed));
        for (id, _) in feeds {
            if links.unsent(id).is_empty() {
                links.send(id, text);
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        now: Now,
        id: ConnectionId,
        is_head: bool,
        refusal: Refusal,
        links: &mut Links,
    ) {
        let headers = if refusal == Refusal::Method { "Allow: GET, HEAD\r\n" } else { "" };
        let line = format!("{refusal}\n");
        self.answer(now, id, is_head, Answer { headers, ..Answer::text(refusal.status(), &line) }, links);
    }

    /// Refuses an incomplete head.
    fn refuse_head(&mut self, now: Now, id: ConnectionId, refusal: Refusal, links: &mut Links) {
        let is_head = self.clients.get(id).is_some_and(|client| match &client.stage {
            Stage::Head { is_head, .. } => *is_head,
            Stage::Asked { .. } | Stage::Feed | Stage::Closing => false,
        });
        self.refuse(now, id, is_head, refusal, links);
    }

    /// Ends a connection to which nothing more will be sent. It is closed when its queue is written. Its
    /// deadline holds however slowly the reader drips.
    fn end(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(client) = self.clients.get_mut(id) else { return links.close(id) };
        if matches!(client.stage, Stage::Feed) {
            self.feeds -= 1;
        }
        client.stage = Stage::Closing;
        let until = now.instant + self.config.write_timeout;
        self.timers.set(&mut client.alarm, id, Some(until));
        self.closing.push(id);
    }

    /// Closes the most dispensable connection, if there is one. A connection that lingers, is silent or does
    /// not read must not keep out a probe, because the supervisor restarts a process whose probes fail.
    fn make_room(&mut self, now: Now, links: &mut Links) -> bool {
        let spared = self.clients.iter().filter_map(|(id, client)| {
            let need = match client.stage {
                // It has been sent its answer and does not close.
                Stage::Closing if links.unsent(id).is_empty() => 0,
                // A connection that was accepted just now has not been read yet, so it stays.
                Stage::Head { .. } if client.opened < now.instant => 1,
                Stage::Closing => 2,
                Stage::Head { .. } | Stage::Asked { .. } | Stage::Feed => return None,
            };
            Some((need, client.opened, id))
        });
        let Some((_, _, id)) = spared.min_by_key(|&(need, opened, _)| (need, opened)) else { return false };
        links.abort(id);
        self.forget(id);
        true
    }

    /// Returns whether the head of `id` is still arriving.
    fn is_heading(&self, id: ConnectionId) -> bool {
        self.clients.get(id).is_some_and(|client| matches!(client.stage, Stage::Head { .. }))
    }

    /// Forgets a connection that is handed over elsewhere. Returns the bytes that it sent.
    #[cfg(feature = "web-socket")]
    pub(super) fn let_go(&mut self, id: ConnectionId) -> Box<[u8]> {
        let mut sent = Box::default();
        if let Some(Client { stage: Stage::Asked { head }, .. }) = self.clients.get_mut(id) {
            sent = std::mem::take(head);
        }
        self.forget(id);
        sent
    }

    fn forget(&mut self, id: ConnectionId) {
        let Some(mut client) = self.clients.remove(id) else { return };
        self.timers.remove(&mut client.alarm, id);
        if matches!(client.stage, Stage::Feed) {
            self.feeds -= 1;
        }
    }

    /// Continues with a head that is `bytes` so far. Returns its outcome, once that is known.
    fn gather(&mut self, id: ConnectionId, bytes: &[u8]) -> Option<Result<Request, Refusal>> {
        let max = self.config.head_bytes_max;
        let Stage::Head { left, is_head } = &mut self.clients.get_mut(id)?.stage else { return None };
        let before = std::mem::replace(left, bytes.len());
        *is_head = bytes.starts_with(b"HEAD ");
        // A head can only end with the end of a line.
        let has_end = memchr::memchr(b'\n', &bytes[before.min(bytes.len())..]).is_some();
        let parsed = has_end.then(|| request::parse(&bytes[..bytes.len().min(max)], &self.config)).flatten();
        parsed.or_else(|| (bytes.len() > max).then_some(Err(Refusal::TooLong(max))))
    }
}

impl Protocol for Http {
    type Event = ();

    fn handle_open(&mut self, now: Now, id: ConnectionId, _: SocketAddr, _: Origin, links: &mut Links) {
        if self.clients.len() >= self.config.connections_max && !self.make_room(now, links) {
            return self.refuse(now, id, false, Refusal::Full, links);
        }
        let mut alarm = Alarm::default();
        self.timers.set(&mut alarm, id, Some(now.instant + self.config.head_timeout));
        self.clients.insert(
            id,
            Client { stage: Stage::Head { left: 0, is_head: false }, opened: now.instant, alarm },
        );
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        if self.clients.get(id).is_some_and(|client| matches!(client.stage, Stage::Feed)) {
            // A reader has nothing to send, and must not keep the loop reading.
            self.end(now, id, links);
        }
        match self.gather(id, bytes) {
            None if self.is_heading(id) => return 0,
            None => {}
            Some(Err(refusal)) => self.refuse_head(now, id, refusal, links),
            Some(Ok(request)) => {
                let Some(client) = self.clients.get_mut(id) else { return bytes.len() };
                client.stage = Stage::Asked {
                    #[cfg(feature = "web-socket")]
                    head: if request.path == Path::Socket { bytes.into() } else { Box::default() },
                };
                self.timers.remove(&mut client.alarm, id);
                self.requests.push_back((id, request));
            }
        }
        bytes.len()
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        // A client that has sent its request may stop sending, and is still answered.
        if self.clients.get(id).is_some_and(|client| matches!(client.stage, Stage::Head { .. } | Stage::Feed))
        {
            self.end(now, id, links);
        }
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, _: CloseReason, _: &mut Links) {
        self.forget(id);
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(id) =
            self.clients.next_due(now.instant, &mut self.timers, |client| Some(&mut client.alarm))
        {
            match self.clients.get(id).map(|client| &client.stage) {
                Some(Stage::Closing) => links.abort(id),
                Some(_) => self.refuse_head(now, id, Refusal::TooSlow, links),
                None => {}
            }
        }
    }

    fn handle_flushed(&mut self, _: Now, links: &mut Links) {
        self.closing.retain(|&id| {
            let is_read = links.unsent(id).is_empty();
            if is_read {
                links.close(id);
            }
            !is_read
        });
    }

    fn drain(&mut self, now: Now, links: &mut Links) {
        let all: Vec<_> = self.clients.iter().map(|(id, _)| id).collect();
        all.into_iter().for_each(|id| self.end(now, id, links));
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_awaited(&self, _: ConnectionId) -> bool {
        false
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
