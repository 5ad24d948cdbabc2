//! How a line client handles each reply and each piece of news of its server.

use std::time::Duration;

use super::hold::Go;
use super::line::{Intent, LineWire};
use super::player::{Context, Player};
use super::{AnswerStatus, ClientTurn, End, Farewell, Heard, News, Welcome};
use crate::session::{Bye, Code, Epoch, How, Redacted, Reply, Secret};
use crate::time::Instant;
use crate::turn::TurnNumber;
use crate::wire::message::{split_line, split_payload};

/// A line, its payload, and their total length in bytes.
type Message<'a> = (&'a str, Option<&'a [u8]>, usize);

/// Takes the first message of `bytes`; `None` if it is incomplete. After an error the rest is of no use.
fn take<'a>(bytes: &'a [u8], me: &Player) -> Result<Option<Message<'a>>, String> {
    let limits = me.config.limits();
    let Some(line) = split_line(bytes, &limits).map_err(|error| error.to_string())? else { return Ok(None) };
    let Some(size) = line.payload else { return Ok(Some((line.text, None, line.used))) };
    let payload = split_payload(&bytes[line.used..], size).map_err(|error| error.to_string())?;
    Ok(payload.map(|(payload, used)| (line.text, Some(payload), line.used + used)))
}

/// The content of a `WELCOME`.
struct Seated {
    seat: u64,
    epoch: Epoch,
    secret: Secret,
    last: Option<TurnNumber>,
    judging: Option<TurnNumber>,
}

/// The content of a `NO`.
struct Refusal<'a> {
    code: Code,
    turn: Option<u64>,
    deadline: Option<Instant>,
    words: Option<&'a str>,
}

impl LineWire {
    /// Handles all complete messages in `bytes`. Returns how many bytes they took.
    pub(super) fn handle_bytes(&mut self, me: &mut Player, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(id) = me.connection.filter(|&id| cx.links.may_go_on(id)) {
            match take(&bytes[used..], me) {
                Ok(Some((line, payload, size))) => {
                    used += size;
                    self.handle_message(me, cx, line, payload);
                }
                Ok(None) => break,
                Err(why) => {
                    log_line!(cx.links, Warn, "{id}: {why}; is this a turn server with the line protocol?");
                    cx.links.abort(id);
                }
            }
        }
        used
    }

    fn handle_message(&mut self, me: &mut Player, cx: &mut Context<'_>, line: &str, payload: Option<&[u8]>) {
        match Reply::parse(line, payload) {
            Some(Reply::Welcome { seat, epoch, resume, last, judging, .. }) if me.config.seat.is_some() => {
                self.welcomed(me, cx, &Seated { seat, epoch, secret: resume, last, judging });
            }
            Some(Reply::Watching { epoch, turn, .. }) if me.config.seat.is_none() => {
                self.joined(me, cx);
                me.tell(cx, News::Watching { epoch, turn });
            }
            Some(Reply::Bye { code, at, words }) => {
                let (at, words) = (at.map(Into::into), words.map(Into::into));
                me.tell(cx, News::Bye(Box::new(Farewell { code, at, dial: me.dial, words })));
                self.dismissed(me, cx, code);
            }
            Some(Reply::No { code, turn, within, words }) => {
                let deadline = within.map(|within| cx.in_ms(within));
                self.refused(me, cx, &Refusal { code, turn, deadline, words });
            }
            Some(Reply::Pong) => self.pong(me, cx),
            _ if !self.link.is_joined => {
                log_line!(cx.links, Debug, "{}: a line before WELCOME is ignored", me.config.shown());
            }
            Some(Reply::Go { turn, within, last }) if me.config.seat.is_some() => {
                if let Some(last) = last {
                    Self::accepted(me, cx, last, None);
                }
                self.go(me, cx, turn, cx.in_ms(within));
            }
            Some(Reply::Wait { ahead, needs }) => {
                me.settle(cx);
                me.tell(cx, News::Waiting { ahead: Some(ahead), needs });
            }
            Some(Reply::Ok { turn, words }) => self.confirmed(me, cx, turn, words),
            Some(Reply::Lapsed { turn, how }) => Self::lapsed(me, cx, turn, how),
            Some(Reply::Say { content }) => me.tell(cx, News::Said(content.into())),
            reply => {
                let heard = reply.and_then(|reply| Heard::of(&reply));
                me.tell(
                    cx,
                    heard.map_or_else(|| unknown(line, payload), |heard| News::Heard(Box::new(heard))),
                );
            }
        }
    }

    /// Notes that the server has answered the hello.
    fn joined(&mut self, me: &Player, cx: &mut Context<'_>) {
        self.link.is_joined = true;
        (self.link.complain_at, self.link.welcome_by) = (None, None);
        self.link.ping_at = me.next_ping(cx);
        if let Some(id) = me.connection {
            cx.links.confirm(id);
        }
        if me.is_leaving {
            self.leave(me, cx);
        }
    }

    /// Handles a `WELCOME`. The server knows the client's earlier turns only if both the seat and the life of
    /// the server are the same as before.
    ///
    /// After a resumption, `GO` or `WAIT` follows at once, or neither if the seat rests. The ping resolves
    /// this: once its `PONG` is here, neither will come. It also shows the server that the new secret has
    /// arrived.
    fn welcomed(&mut self, me: &mut Player, cx: &mut Context<'_>, seated: &Seated) {
        let &Seated { seat, epoch, last, judging, .. } = seated;
        let had = self.seat.replace((epoch, seated.secret));
        let is_resumed = std::mem::take(&mut self.link.asked_back) && had.is_some_and(|had| had.0 == epoch);
        let ring = me.config.ring;
        me.tell(cx, News::Welcomed(Box::new(Welcome { seat, ring, epoch, is_resumed, last })));
        if is_resumed {
            if let Some(last) = last {
                Self::accepted(me, cx, last, None);
            }
            if let Some(judging) = judging {
                me.hold.judge(judging);
            }
        } else {
            me.end_turn(cx, AnswerStatus::Unknown);
        }
        self.joined(me, cx);
        if !me.is_leaving {
            self.ping(me, cx);
            self.link.is_unsettled = true;
            self.say_wish(me, cx);
        }
    }

    fn pong(&mut self, me: &mut Player, cx: &mut Context<'_>) {
        self.link.ponged = self.link.pings.pop_front().or(self.link.ponged);
        self.link.ping_at = me.next_ping(cx);
        if std::mem::take(&mut self.link.is_unsettled) {
            me.settle(cx);
        }
        me.tell(cx, News::Pong);
    }

    fn dismissed(&mut self, me: &mut Player, cx: &mut Context<'_>, code: Bye) {
        match code {
            Bye::Superseded => me.give_up(cx, End::Superseded),
            Bye::Forbidden => me.give_up(cx, End::Forbidden),
            Bye::Removed => me.give_up(cx, End::Removed),
            Bye::Left => me.give_up(cx, End::Left),
            Bye::TlsRequired => me.give_up(cx, End::TlsRequired),
            Bye::BadSecret => {
                self.seat = None;
                if me.is_leaving {
                    return me.give_up(cx, End::Left);
                }
                me.end_turn(cx, AnswerStatus::Unknown);
                // This is the right server, in another life. Without a secret it has nothing to refuse this
                // way again.
                if let Some(id) = me.connection.filter(|_| self.link.asked_back) {
                    cx.links.reconnect_at_once(id);
                }
                me.close(cx);
            }
            _ => me.close(cx),
        }
    }

    /// Notes a deadline that the server sent after the last ping that it answered.
    fn note_deadline(&mut self, cx: &Context<'_>, deadline: Option<Instant>) {
        let ends = self.link.ponged.zip(deadline);
        self.sure_until = ends.map(|(ponged, deadline)| ponged + (deadline - cx.now.instant));
    }

    fn go(&mut self, me: &mut Player, cx: &mut Context<'_>, turn: TurnNumber, deadline: Instant) {
        self.note_deadline(cx, Some(deadline));
        let fence = self.seat.map(|(epoch, _)| (epoch, turn));
        let turn = ClientTurn { client: me.id, fence, deadline: Some(deadline), nth: 0 };
        match me.hold.go(turn) {
            Go::Known if me.hold.is_passed() => {}
            Go::Known => me.tell(cx, News::TimeChanged(turn)),
            Go::Answer => self.send_answer(me, cx),
            Go::Pass => self.send_pass(me, cx),
            Go::New(over) => {
                me.tell(cx, over);
                self.intent = self.intent.filter(|&intent| intent != Intent::Ask);
                me.tell(cx, News::Granted(turn));
            }
        }
    }

    /// Returns whether that answer was on its way.
    fn accepted(me: &mut Player, cx: &mut Context<'_>, turn: TurnNumber, words: Option<&str>) -> bool {
        let turn = me.hold.accept(Some(turn));
        me.tell(cx, turn.map(|turn| News::Accepted { turn, words: words.map(Into::into) }));
        turn.is_some()
    }

    fn confirmed(
        &mut self,
        me: &mut Player,
        cx: &mut Context<'_>,
        turn: Option<TurnNumber>,
        words: Option<&str>,
    ) {
        if turn.is_some_and(|turn| Self::accepted(me, cx, turn, words)) {
            return;
        }
        let is_meant = turn.is_none_or(|turn| me.hold.is(turn.get()));
        if is_meant {
            self.intent = self.intent.filter(|&intent| intent != Intent::Rest);
        }
        let news = if is_meant && me.hold.is_passed() {
            me.hold.end(AnswerStatus::NotCounted, Some(How::Passed))
        } else {
            Some(News::Confirmed { words: words.map(Into::into) })
        };
        me.tell(cx, news);
    }

    /// Handles a `NO`. It ends a turn unless the server says how much longer the turn is held.
    fn refused(&mut self, me: &mut Player, cx: &mut Context<'_>, no: &Refusal<'_>) {
        // These codes refuse other lines. The answer will still get its own reply.
        let is_of_others = matches!(no.code, Code::Judging | Code::HoldMax);
        let is_stale = matches!(no.code, Code::StaleTurn | Code::NotYourTurn);
        if no.code == Code::Judging {
            self.intent = self.intent.filter(|&intent| intent != Intent::Rest);
        }
        let is_meant = self.link.is_joined && no.turn.is_some_and(|turn| me.hold.is(turn));
        let is_held = is_meant && no.deadline.is_some() && !is_stale;
        if is_held {
            self.note_deadline(cx, no.deadline);
        }
        let turn = match is_held {
            true if is_of_others => {
                me.hold.move_deadline(no.deadline);
                me.hold.open_turn()
            }
            true => me.hold.reopen(no.deadline),
            false => None,
        };
        me.tell(cx, News::Refused { code: no.code, turn, words: no.words.map(Into::into) });
        if !self.link.is_joined && no.code == Code::OutOfRange {
            return me.give_up(cx, End::Refused);
        }
        if is_meant && !is_held && !is_of_others {
            me.end_turn(cx, AnswerStatus::NotCounted);
        }
    }

    /// Handles a `LAPSED`. If the answer is on its way, its own reply will tell its status.
    fn lapsed(me: &mut Player, cx: &mut Context<'_>, turn: TurnNumber, how: Option<How>) {
        if me.hold.is(turn.get()) && !me.hold.is_answered_here() {
            let over = me.hold.end(AnswerStatus::NotCounted, how.or(Some(How::Lapsed)));
            me.tell(cx, over);
        }
    }
}

impl Player {
    /// Settles the turn of an earlier connection, now that the server has had its chance to mention it.
    fn settle(&mut self, cx: &mut Context<'_>) {
        let over = self.hold.settle();
        self.tell(cx, over);
    }
}

fn unknown(line: &str, payload: Option<&[u8]>) -> News {
    let shown = Redacted(line.as_bytes());
    let line = if shown.hides() { shown.to_string().into() } else { line.into() };
    News::Unknown { line, payload: payload.map(Into::into) }
}

impl Heard {
    /// Returns `None` if the reply reports no event of a ring, or contains an invalid name.
    fn of(reply: &Reply<'_>) -> Option<Heard> {
        let named = |name: &str| name.parse().ok();
        Some(match *reply {
            Reply::Seat { name, seat, state, weight } => {
                Heard::Seat { name: named(name)?, seat, state, weight: weight.unwrap_or(1) }
            }
            Reply::Seats { seats, .. } => Heard::Seats { seats },
            Reply::Begin { name, turn, within } => {
                Heard::Began { name: named(name)?, turn, within: Duration::from_millis(within) }
            }
            Reply::Turn { name, turn, raw_name, content } => Heard::Answered {
                name: named(name)?,
                turn,
                raw_name: raw_name.and_then(named),
                answer: content.into(),
            },
            Reply::Skip { name, turn, how } => Heard::Skipped { name: named(name)?, turn, how },
            Reply::Joined { name, seat } => Heard::Joined { name: named(name)?, seat },
            Reply::Away { name } => Heard::Away(named(name)?),
            Reply::Back { name } => Heard::Back(named(name)?),
            Reply::Left { name } => Heard::Left(named(name)?),
            Reply::Paused { .. } => Heard::Paused,
            Reply::Resumed { .. } => Heard::Resumed,
            _ => return None,
        })
    }
}
