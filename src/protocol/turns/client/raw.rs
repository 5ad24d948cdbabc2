//! A raw client: `GO` and `WAIT` without delimiters in, `{name}:{number}` out.
//!
//! The server confirms nothing. So an answer counts once it is written, it is never sent twice, and a turn
//! ends with its connection.

use super::player::{Context, Player};
use super::{AnswerStatus, ClientTurn, End, News};
use crate::session::Redacted;

const GO: &[u8] = b"GO";
const WAIT: &[u8] = b"WAIT";

/// The part of a client that only the raw framing has. Everything but `granted` belongs to one connection.
#[derive(Debug, Default)]
pub(super) struct RawWire {
    /// The number of turns ever granted, which tells them apart, because raw turns have no numbers.
    granted: u64,
    /// Whether it was logged that the server sends something else.
    is_puzzled: bool,
    /// The output mark that the link reaches when the queued answer is written; `None` without one.
    queued: Option<u64>,
    /// Whether another `GO` has arrived while the last answer is still being written.
    has_next_go: bool,
}

/// The beginning of some input.
enum Signal {
    Go,
    Wait,
    /// Possibly one of them, but its end has not arrived.
    Partial,
    Noise,
}

fn signal(bytes: &[u8]) -> Signal {
    if bytes.starts_with(GO) {
        Signal::Go
    } else if bytes.starts_with(WAIT) {
        Signal::Wait
    } else if GO.starts_with(bytes) || WAIT.starts_with(bytes) {
        Signal::Partial
    } else {
        Signal::Noise
    }
}

impl RawWire {
    /// Handles all complete signals. Returns how many bytes they took.
    pub(super) fn handle_bytes(&mut self, me: &mut Player, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        // The server sends the next `GO` only after it has read the answer, so the answer has been written
        // even if we have not noticed yet.
        self.note_written(me, cx);
        let mut used = 0;
        loop {
            used += match signal(&bytes[used..]) {
                Signal::Go => {
                    self.go(me, cx);
                    GO.len()
                }
                Signal::Wait => {
                    self.confirm(me, cx);
                    me.tell(cx, News::Waiting { ahead: None, needs: None });
                    WAIT.len()
                }
                Signal::Partial => return used,
                Signal::Noise => {
                    self.wonder(cx, &bytes[used..]);
                    1
                }
            };
        }
    }

    fn confirm(&self, me: &Player, cx: &mut Context<'_>) {
        if let Some(id) = me.connection {
            cx.links.confirm(id);
        }
    }

    fn wonder(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        if !std::mem::replace(&mut self.is_puzzled, true) {
            let said = Redacted::beginning(bytes);
            log_line!(
                cx.links,
                Warn,
                "the server says \"{said}\", which is neither GO nor WAIT: does it speak the line framing?"
            );
        }
    }

    /// Handles a `GO`. At most one is unanswered, so another one changes nothing.
    fn go(&mut self, me: &mut Player, cx: &mut Context<'_>) {
        self.confirm(me, cx);
        match me.hold.turn() {
            None => self.grant(me, cx),
            Some(_) => self.has_next_go = self.queued.is_some(),
        }
    }

    fn grant(&mut self, me: &mut Player, cx: &mut Context<'_>) {
        self.granted += 1;
        let turn = ClientTurn { client: me.id, fence: None, deadline: None, nth: self.granted };
        me.hold.go(turn);
        me.tell(cx, News::Granted(turn));
    }

    /// Answers the turn. Returns whether the answer is queued, in which case the caller has to call
    /// [`note_written`](Self::note_written).
    pub(super) fn answer(&mut self, me: &mut Player, cx: &mut Context<'_>, answer: &[u8]) -> bool {
        let can_send = me.can_send(cx.links);
        if let Some(id) = me.connection
            && let Some(seat) = me.config.seat
            && me.hold.set_answer(answer, can_send)
        {
            cx.links.send_pieces(id, &[seat.name.as_bytes(), b":", answer]);
            self.queued = Some(cx.links.mark(id));
        }
        self.queued.is_some()
    }

    /// Gives up the turn by closing the connection, because the raw framing has no message for that.
    pub(super) fn pass(&self, me: &mut Player, cx: &mut Context<'_>) {
        me.hold.pass(false);
        me.abort(cx);
    }

    /// Accepts the answer once it is written. Returns whether nothing is being written any more.
    pub(super) fn note_written(&mut self, me: &mut Player, cx: &mut Context<'_>) -> bool {
        let (Some(id), Some(mark)) = (me.connection, self.queued) else { return true };
        if !cx.links.is_written(id, mark) {
            return false;
        }
        self.queued = None;
        if let Some(turn) = me.hold.accept(None) {
            me.tell(cx, News::Accepted { turn, words: None });
        }
        if std::mem::take(&mut self.has_next_go) && me.can_send(cx.links) {
            self.grant(me, cx);
        }
        true
    }

    /// Handles the end of the connection. Part of the answer may have been written.
    pub(super) fn disconnect(&mut self, me: &mut Player, cx: &mut Context<'_>) {
        self.has_next_go = false;
        self.note_written(me, cx);
        *self = RawWire { granted: self.granted, ..RawWire::default() };
        me.end_turn(cx, AnswerStatus::Unknown);
        if me.is_leaving {
            me.give_up(cx, End::Left);
        }
    }
}
