//! Framing `auto`: connections that have not shown yet whether they speak lines.

use super::server::{Session, TurnServer};
use crate::protocol::{ConnectionId, Links};
use crate::session::Bye;
use crate::session::raw::{RawSession, Trial};
use crate::session::undecided::{Guess, Undecided};
use crate::time::Now;

impl TurnServer {
    pub(super) fn undecided_opened(&mut self, now: Now, id: ConnectionId) {
        let undecided = Undecided::new(now.instant + self.config.raw_after);
        self.sessions.insert(id, Session::Undecided(Box::new(undecided)));
        self.open += 1;
        self.undecided_rearm(id);
    }

    pub(super) fn undecided_bytes(
        &mut self,
        now: Now,
        id: ConnectionId,
        bytes: &[u8],
        links: &mut Links,
    ) -> usize {
        match Guess::of(bytes, links.can_upgrade(id)) {
            Guess::Unknown => {
                let until = now.instant + self.config.line_timeout;
                if let Some(Session::Undecided(undecided)) = self.sessions.get_mut(id) {
                    undecided.begun_until.get_or_insert(until);
                }
                self.undecided_rearm(id);
                0
            }
            Guess::Web => {
                self.undecided_is_line(now, id);
                links.upgrade(id);
                0
            }
            Guess::Line => {
                self.undecided_is_line(now, id);
                self.line_bytes(now, id, bytes, links)
            }
            Guess::Raw => {
                self.undecided_is_raw(now, id, Trial::Proven, links);
                self.raw_bytes(now, id, bytes, links)
            }
        }
    }

    /// Handles the end of a connection whose framing is still unknown.
    pub(super) fn undecided_ended(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        if Guess::of(rest, false) == Guess::Raw {
            self.undecided_is_raw(now, id, Trial::Proven, links);
        } else {
            self.undecided_is_line(now, id);
        }
    }

    fn undecided_is_line(&mut self, now: Now, id: ConnectionId) {
        self.undecided_ends(id);
        self.line_opened(now, id);
    }

    fn undecided_is_raw(&mut self, now: Now, id: ConnectionId, trial: Trial, links: &mut Links) {
        let Some(peer) = links.peer(id) else { return };
        match self.raw_seat(now, id, peer, links) {
            Ok(seated) => {
                self.undecided_ends(id);
                self.open += 1;
                self.sessions.insert(id, Session::Raw(RawSession::new(seated.seat, trial)));
                self.raw_seated(now, id, seated, links);
            }
            // Raw clients cannot get a seat here, so this must be a slow line client.
            Err(Bye::Forbidden) if trial == Trial::Silent => self.undecided_is_line(now, id),
            Err(bye) => self.dismiss(now, id, bye, links),
        }
    }

    /// Ends the undecided state.
    fn undecided_ends(&mut self, id: ConnectionId) {
        if let Some(Session::Undecided(undecided)) = self.sessions.get_mut(id) {
            self.timers.remove(&mut undecided.alarm, id);
        }
        self.sessions.remove(id);
        self.open -= 1;
    }

    /// L10: a silent connection is taken for a raw client, on trial.
    pub(super) fn undecided_timeout(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(Session::Undecided(undecided)) = self.sessions.get_mut(id) else { return };
        match undecided.begun_until {
            Some(until) if until <= now.instant => self.dismiss(now, id, Bye::LineTimeout, links),
            None if undecided.raw_at <= now.instant => self.undecided_is_raw(now, id, Trial::Silent, links),
            Some(_) | None => self.undecided_rearm(id),
        }
    }

    fn undecided_rearm(&mut self, id: ConnectionId) {
        let Some(Session::Undecided(undecided)) = self.sessions.get_mut(id) else { return };
        let due = undecided.deadline();
        self.timers.set(&mut undecided.alarm, id, due);
    }
}
