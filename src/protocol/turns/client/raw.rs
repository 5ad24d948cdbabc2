//! A client of the raw framing: `GO` and `WAIT` without delimiters in, `{name}:{number}` out.
//!
//! The server confirms nothing. So an answer counts once it is written, and is never sent twice; and a turn
//! ends with its connection.

use super::player::{Cx, Player};
use super::{ClientTurn, End, Fate, News};
use crate::session::Redacted;

const GO: &[u8] = b"GO";
const WAIT: &[u8] = b"WAIT";

/// The raw framing's part of a client. All of it but `granted` belongs to one connection.
#[derive(Debug, Default)]
pub(super) struct RawWire {
    /// Turns that were ever granted: they have no other numbers.
    granted: u64,
    /// That the server says other things was mentioned.
    is_puzzled: bool,
    /// An answer is queued. It is written once the link has written up to this mark.
    queued: Option<u64>,
    /// Another `GO` has come while the answer to the last one is being sent.
    has_next_go: bool,
}

/// The beginning of some input.
enum Signal {
    Go,
    Wait,
    /// Perhaps one of them: its end has not come.
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
    /// Acts upon the signals that are whole. Returns how many bytes these were.
    pub(super) fn hear(&mut self, me: &mut Player, cx: &mut Cx<'_>, bytes: &[u8]) -> usize {
        // A server says `GO` again when it has read the answer, so that is written, whether or not it was
        // noticed.
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

    fn confirm(&self, me: &Player, cx: &mut Cx<'_>) {
        if let Some(id) = me.connection {
            cx.links.confirm(id);
        }
    }

    fn wonder(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        if !std::mem::replace(&mut self.is_puzzled, true) {
            let said = Redacted::beginning(bytes);
            log_line!(
                cx.links,
                Warn,
                "the server says \"{said}\", which is neither GO nor WAIT: does it speak the line framing?"
            );
        }
    }

    /// At most one `GO` is unanswered: another one changes nothing.
    fn go(&mut self, me: &mut Player, cx: &mut Cx<'_>) {
        self.confirm(me, cx);
        match me.hold.turn() {
            None => self.grant(me, cx),
            Some(_) => self.has_next_go = self.queued.is_some(),
        }
    }

    fn grant(&mut self, me: &mut Player, cx: &mut Cx<'_>) {
        self.granted += 1;
        let turn = ClientTurn { client: me.id, fence: None, deadline: None, nth: self.granted };
        me.hold.go(turn);
        me.tell(cx, News::Granted(turn));
    }

    /// Sends the answer of the turn that is held. Returns whether it is queued: then
    /// [`note_written`](Self::note_written) is to be called.
    pub(super) fn answer(&mut self, me: &mut Player, cx: &mut Cx<'_>, answer: &[u8]) -> bool {
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

    /// Gives the turn up. The raw framing has no word for that.
    pub(super) fn pass(&self, me: &mut Player, cx: &mut Cx<'_>) {
        me.hold.pass(false);
        me.abort(cx);
    }

    /// An answer counts once it is written. Returns whether none waits for that any more.
    pub(super) fn note_written(&mut self, me: &mut Player, cx: &mut Cx<'_>) -> bool {
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

    /// The connection is gone: a part of the answer may have been written.
    pub(super) fn disconnect(&mut self, me: &mut Player, cx: &mut Cx<'_>) {
        self.has_next_go = false;
        self.note_written(me, cx);
        *self = RawWire { granted: self.granted, ..RawWire::default() };
        me.end_turn(cx, Fate::Unknown);
        if me.is_leaving {
            me.give_up(cx, End::Left);
        }
    }
}
