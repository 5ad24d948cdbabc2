//! The part of a client that both framings share: its settings, its connection and its turn.

use std::collections::VecDeque;
use std::time::Duration;

use super::hold::Hold;
use super::{AnswerStatus, ClientConfig, ClientEvent, ClientId, End, News};
use crate::protocol::{ConnectionId, DialId, Links};
use crate::session::Request;
use crate::time::{Instant, Now};

/// The surroundings of a client: the time, the connections and the host.
pub(super) struct Context<'a> {
    pub(super) now: Now,
    pub(super) links: &'a mut Links,
    pub(super) events: &'a mut VecDeque<ClientEvent>,
}

impl Context<'_> {
    /// Returns the time `ms` milliseconds from now.
    pub(super) fn in_ms(&self, ms: u64) -> Instant {
        self.now.instant + Duration::from_millis(ms)
    }
}

/// A client of either framing.
pub(super) struct Player {
    pub(super) id: ClientId,
    pub(super) config: ClientConfig,
    /// The dial whose connections belong to it.
    pub(super) dial: Option<DialId>,
    pub(super) connection: Option<ConnectionId>,
    pub(super) hold: Hold,
    /// Whether the host wants it to give up its seat.
    pub(super) is_leaving: bool,
    /// Why it has given up; `None` while it has not.
    pub(super) end: Option<End>,
}

impl Player {
    pub(super) fn new(id: ClientId, config: ClientConfig) -> Player {
        Player {
            id,
            config,
            dial: None,
            connection: None,
            hold: Hold::default(),
            is_leaving: false,
            end: None,
        }
    }

    pub(super) fn tell(&self, cx: &mut Context<'_>, news: impl Into<Option<News>>) {
        cx.events.extend(news.into().map(|news| ClientEvent { client: self.id, news }));
    }

    /// Returns whether it can send.
    pub(super) fn can_send(&self, links: &Links) -> bool {
        self.connection.is_some_and(|id| links.is_open(id))
    }

    pub(super) fn say(&self, cx: &mut Context<'_>, request: &Request<'_>) {
        if let Some(id) = self.connection {
            request.encode(cx.links.draft());
            cx.links.send_draft(id);
        }
    }

    /// Returns when the next ping is due, after one now.
    pub(super) fn next_ping(&self, cx: &Context<'_>) -> Option<Instant> {
        // Never at once, or the loop would ping again and again without end.
        self.config.ping_interval.map(|interval| cx.now.instant + interval.max(Duration::from_millis(1)))
    }

    /// Closes the connection after writing its queue. The driver dials again.
    pub(super) fn close(&self, cx: &mut Context<'_>) {
        if let Some(id) = self.connection {
            cx.links.close(id);
        }
    }

    /// Closes the connection at once. The driver dials again.
    pub(super) fn abort(&self, cx: &mut Context<'_>) {
        if let Some(id) = self.connection {
            cx.links.abort(id);
        }
    }

    /// Ends the turn for good.
    pub(super) fn end_turn(&mut self, cx: &mut Context<'_>, status: AnswerStatus) {
        let news = self.hold.end(status, None);
        self.tell(cx, news);
    }

    /// Gives up, for good.
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>, why: End) {
        self.end_turn(cx, AnswerStatus::Unknown);
        self.end = Some(why);
        self.tell(cx, News::Ended { why, dial: self.dial });
        self.close(cx);
    }
}
