//! A line client: its state, its requests and its deadlines. The messages of the server are in `replies.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use log::{Level, info};

use super::player::{Context, Player};
use super::{Bearer, CommandError, End};
use crate::session::{Epoch, Fence, Join, Request, Secret};
use crate::time::{Instant, earlier};
use crate::turn::{Demand, TurnNumber};

/// How long a server may take to answer `JOIN` before this is logged.
const WELCOME_PATIENCE: Duration = Duration::from_secs(5);

/// How long a draining client waits for the reply to its `LEAVE`.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The part of a client that only the line protocol has.
#[derive(Debug, Default)]
pub(super) struct LineWire {
    /// The server's life and the seat's secret in it, from the last `WELCOME`. Outlives the connection.
    pub(super) seat: Option<(Epoch, Secret)>,
    /// The host's standing intent for its seat. Outlives the connection.
    pub(super) intent: Option<Intent>,
    /// The time until which the client certainly holds its turn. Outlives the connection.
    pub(super) sure_until: Option<Instant>,
    pub(super) link: Link,
}

/// The state of one connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Whether `WELCOME` or `WATCHING` has arrived.
    pub(super) is_joined: bool,
    /// Whether the `JOIN` carried the secret of the seat.
    pub(super) asked_back: bool,
    /// The times at which the unanswered pings were sent.
    pub(super) pings: VecDeque<Instant>,
    /// The time at which the last answered ping was sent. Everything that arrives now was sent after it.
    pub(super) ponged: Option<Instant>,
    /// Whether `GO` or `WAIT` may still follow the `WELCOME`. See `welcomed` in `replies.rs`.
    pub(super) is_unsettled: bool,
    /// When to log that `WELCOME` has not arrived.
    pub(super) complain_at: Option<Instant>,
    /// When to give up on the connection because `WELCOME` has not arrived.
    pub(super) welcome_by: Option<Instant>,
    /// When to ping, or to give up on the connection because the last `PONG` has not arrived.
    pub(super) ping_at: Option<Instant>,
    /// When to close the connection if the server does not.
    pub(super) leave_by: Option<Instant>,
}

/// The host's intent for its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// Take one turn. Kept until the turn is granted.
    Ask,
    /// Rest. Kept until this is confirmed.
    Rest,
}

impl LineWire {
    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let Link { complain_at, welcome_by, ping_at, leave_by, .. } = self.link;
        earlier(earlier(complain_at, welcome_by), earlier(ping_at, leave_by))
    }

    pub(super) fn handle_timeout(&mut self, me: &Player, cx: &mut Context<'_>) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now.instant);
        if is_due(self.link.leave_by) {
            self.link.leave_by = None;
            return me.abort(cx);
        }
        if is_due(self.link.welcome_by) {
            self.link.welcome_by = None;
            return me.abort(cx);
        }
        if is_due(self.link.complain_at) {
            self.link.complain_at = None;
            log_line!(
                cx.links,
                Warn,
                "{}: the server does not answer: does it speak the line protocol?",
                me.config.shown()
            );
        }
        if is_due(self.link.ping_at) {
            if self.link.pings.is_empty() {
                return self.ping(me, cx);
            }
            self.link.ping_at = None;
            log_line!(
                cx.links,
                Warn,
                "{}: the server does not answer a ping: the connection is closed",
                me.config.shown()
            );
            me.abort(cx);
        }
    }

    /// Starts on a new connection to the server; `is_private` if no third party can read it.
    pub(super) fn open(&mut self, me: &mut Player, cx: &mut Context<'_>, is_private: bool) {
        let may_show_secrets = is_private || me.config.allow_plaintext_secrets;
        if me.config.token.is_some() && !may_show_secrets {
            return me.give_up(cx, End::PlaintextToken);
        }
        if self.seat.is_some() && !may_show_secrets && cx.links.may_log(Level::Info) {
            info!(
                "{}: joins as a new client, because its secret is not sent in plain text",
                me.config.shown()
            );
        }
        let resume = self.seat.filter(|_| may_show_secrets).map(|(_, secret)| secret.to_string());
        self.link = Link {
            asked_back: resume.is_some(),
            complain_at: Some(cx.now.instant + WELCOME_PATIENCE),
            welcome_by: Some(cx.now.instant + me.config.welcome_timeout),
            ..Link::default()
        };
        let token = me.config.token.as_ref().and_then(Bearer::token);
        let ring = me.config.ring;
        me.say(
            cx,
            &match me.config.seat {
                None => Request::Watch { ring, token },
                Some(seat) => Request::Join(Join {
                    name: seat.name,
                    ring,
                    resume: resume.as_deref(),
                    weight: Some(u64::from(seat.weight.value())).filter(|&weight| weight > 1),
                    demand: Some(seat.demand).filter(|demand| *demand != Demand::default()),
                    hears: seat.hears,
                    confirms_by_go: seat.confirms_by_go,
                    token,
                }),
            },
        );
    }

    /// Sends a `PING`.
    pub(super) fn ping(&mut self, me: &Player, cx: &mut Context<'_>) {
        me.say(cx, &Request::Ping);
        if self.link.pings.is_empty() {
            self.link.ping_at = me.next_ping(cx);
        }
        self.link.pings.push_back(cx.now.instant);
    }

    /// Returns whether the server has answered the hello.
    pub(super) fn is_joined(&self) -> bool {
        self.link.is_joined
    }

    pub(super) fn has_seat(&self) -> bool {
        self.seat.is_some()
    }

    /// Answers the turn, now or as soon as it is known to be still held.
    pub(super) fn answer(&self, me: &mut Player, cx: &mut Context<'_>, answer: &[u8]) {
        if me.hold.set_answer(answer, me.can_send(cx.links)) {
            self.send_answer(me, cx);
        }
    }

    pub(super) fn send_answer(&self, me: &Player, cx: &mut Context<'_>) {
        let Some(((epoch, turn), id)) = me.hold.turn().and_then(|turn| turn.fence).zip(me.connection) else {
            return;
        };
        let fence = Fence { turn: Some(turn.get()), epoch: Some(epoch) };
        Request::encode_answer(cx.links.draft(), fence, me.hold.answer());
        cx.links.send_draft(id);
    }

    /// Gives up the turn, now or as soon as it is known to be still held.
    pub(super) fn pass(&self, me: &mut Player, cx: &mut Context<'_>) {
        if me.hold.pass(me.can_send(cx.links)) {
            self.send_pass(me, cx);
        }
    }

    pub(super) fn send_pass(&self, me: &Player, cx: &mut Context<'_>) {
        let turn = me.hold.turn().and_then(|turn| turn.number()).map(TurnNumber::get);
        me.say(cx, &Request::Pass { turn });
    }

    /// Restarts the time of the turn. The ping in front of it shows which `GO` is the reply: see
    /// [`TurnClient::sure_until`](super::TurnClient::sure_until).
    pub(super) fn renew(&mut self, me: &Player, cx: &mut Context<'_>) -> Result<(), CommandError> {
        if !me.hold.is_known_here() || !me.can_send(cx.links) {
            return Err(CommandError::NotConnected);
        }
        let turn = me.hold.turn().and_then(|turn| turn.number()).map(TurnNumber::get);
        self.ping(me, cx);
        me.say(cx, &Request::Renew { turn });
        Ok(())
    }

    pub(super) fn ask(&mut self, me: &mut Player, cx: &mut Context<'_>) {
        self.intent = Some(Intent::Ask);
        self.say_wish(me, cx);
    }

    /// Lets the seat rest, which also gives up its turn.
    pub(super) fn rest(&mut self, me: &mut Player, cx: &mut Context<'_>) {
        self.intent = Some(Intent::Rest);
        me.hold.pass(false);
        self.say_wish(me, cx);
    }

    pub(super) fn say_wish(&self, me: &mut Player, cx: &mut Context<'_>) {
        match self.intent.filter(|_| self.link.is_joined) {
            Some(Intent::Ask) => me.say(cx, &Request::Ask),
            Some(Intent::Rest) => {
                me.say(cx, &Request::Rest);
                me.hold.note_passed_here();
            }
            None => {}
        }
    }

    /// Gives the seat up, or stops watching, as soon as there is a connection.
    pub(super) fn leave(&self, me: &Player, cx: &mut Context<'_>) {
        if self.link.is_joined {
            me.say(cx, &Request::Leave);
        }
    }

    /// Drains: a client that has joined leaves, and waits a while for the reply.
    pub(super) fn drain(&mut self, me: &Player, cx: &mut Context<'_>) {
        if !self.link.is_joined {
            return me.close(cx);
        }
        self.link.leave_by = Some(cx.now.instant + LEAVE_TIMEOUT);
        if !me.is_leaving {
            me.say(cx, &Request::Leave);
        }
    }

    pub(super) fn disconnect(&mut self, me: &mut Player) {
        me.hold.disconnect();
        self.link = Link::default();
    }
}
