//! The line framing, seen from the server: names, fences, resumption, observers, and a reply to everything.

use super::codes::{Bye, Code};
use super::name::Name;
use super::reply::{Reply, Secret};
use super::request::{Answer, Fence, Request};
use super::rooms::RoomId;
use super::seat::{SeatData, Secrets};
use super::server::{Client, TurnServer};
use super::{TurnEvent, TurnServerConfig};
use crate::protocol::{ConnectionId, Links};
use crate::time::{Alarm, Instant, Now, earlier};
use crate::turn::{Ended, JoinError, Outcome, Refusal, SeatId, Taken, TurnNumber, Weight};
use crate::wire::{LineError, split_line};

#[derive(Debug)]
pub(super) struct LineClient {
    alarm: Alarm,
    /// How much of what it said was refused.
    pub(super) refusals: u32,
    role: Role,
    /// When the line that has begun must have ended.
    line_until: Option<Instant>,
}

/// What a connection is here for.
#[derive(Debug, Clone, Copy)]
enum Role {
    /// It has not said yet, and must by then.
    Newcomer {
        until: Instant,
    },
    Seated(SeatId),
    Observer(RoomId),
}

impl LineClient {
    pub(super) fn new(now: Now, config: &TurnServerConfig) -> LineClient {
        LineClient {
            alarm: Alarm::default(),
            refusals: 0,
            role: Role::Newcomer { until: now.instant + config.hello_timeout },
            line_until: None,
        }
    }

    pub(super) fn observes(&self) -> bool {
        matches!(self.role, Role::Observer(_))
    }

    pub(super) fn seat(&self) -> Option<SeatId> {
        match self.role {
            Role::Seated(seat) => Some(seat),
            Role::Newcomer { .. } | Role::Observer(_) => None,
        }
    }
}

impl TurnServer {
    /// Acts upon the lines that have ended, as far as there is room; how many bytes these were.
    #[inline(never)]
    pub(super) fn line_bytes(
        &mut self,
        now: Now,
        id: ConnectionId,
        bytes: &[u8],
        links: &mut Links,
    ) -> usize {
        let length_max = self.config.message_bytes_max;
        let mut used = 0;
        let mut has_room = true;
        while has_room && let Some(line) = split_line(&bytes[used..], length_max) {
            used += line.used;
            match line.text {
                Ok(text) => self.line_request(now, id, text, links),
                Err(LineError::TooLong) => self.dismiss(now, id, Some(Bye::TooLong), links),
                Err(LineError::NotUtf8) => self.dismiss(now, id, Some(Bye::NotUtf8), links),
            }
            has_room = links.may_go_on(id);
        }
        let until = now.instant + self.config.line_timeout;
        // If it was dismissed, nothing more of it counts.
        let Some(line) = self.line(id) else { return used };
        let before = line.line_until;
        // A line that has begun keeps its time, however many bytes go on with it. Lines that wait for room have ended.
        let going_on = before.filter(|_| used == 0);
        line.line_until = (has_room && used < bytes.len()).then(|| going_on.unwrap_or(until));
        if line.line_until != before {
            self.line_rearm(id);
        }
        used
    }

    /// The client has finished sending. A line that it has begun may be the beginning of another one (`ann:4` of
    /// `ann:42`), so it is refused.
    pub(super) fn line_ended_input(&mut self, id: ConnectionId, rest: &[u8], links: &mut Links) {
        if !rest.is_empty() {
            self.refuse(id, Code::Malformed, b"(a line without an end)", links);
            say(id, Reply::No { turn: 0, code: Code::Malformed }, links);
        }
    }

    /// What one line means: the whole policy of the line framing.
    fn line_request(&mut self, now: Now, id: ConnectionId, line: &str, links: &mut Links) {
        let Some(&LineClient { role, .. }) = self.line(id).map(|line| &*line) else { return };
        let request = Request::parse(line);
        if let (Role::Seated(seat), Ok(_)) = (role, &request) {
            self.line_confirmed(seat);
        }
        let refusal = match (request, role) {
            (Err(code), _) => Err(code),
            (Ok(Request::Ping), _) => {
                say(id, Reply::Pong, links);
                Ok(())
            }
            (Ok(Request::Join { name, ring, resume, weight }), Role::Newcomer { .. }) => {
                match resume {
                    Some(secret) => self.line_resume(now, id, name, ring, secret, links),
                    None => self.line_join(now, id, name, ring, weight, links),
                }
                Ok(())
            }
            (Ok(Request::Watch { ring }), Role::Newcomer { .. }) => {
                self.line_watch(id, ring, links);
                Ok(())
            }
            (Ok(Request::Join { .. } | Request::Watch { .. }), _) => Err(Code::AlreadyJoined),
            (Ok(Request::Answer { answer, fence }), Role::Seated(seat)) => {
                self.line_answer(now, id, seat, &answer, fence, links)
            }
            (Ok(Request::Pass { fence }), Role::Seated(seat)) => self.line_pass(now, seat, fence, links),
            (Ok(Request::Leave), Role::Seated(seat)) => {
                // In two steps: while its turn ends, the seat is still there to be named to the observers.
                self.scheduler.vacate(now.instant, seat);
                self.pump(now, links);
                self.scheduler.leave(now.instant, seat);
                self.dismiss(now, id, Some(Bye::Left), links);
                Ok(())
            }
            (Ok(Request::Leave), Role::Observer(_)) => {
                self.dismiss(now, id, Some(Bye::Left), links);
                Ok(())
            }
            (Ok(Request::Answer { .. } | Request::Pass { .. } | Request::Leave), _) => Err(Code::NotJoined),
        };
        if let Err(code) = refusal {
            self.refuse(id, code, line.as_bytes(), links);
            say(id, Reply::No { turn: self.turn_meant(role, line), code }, links);
        }
    }

    /// The turn that a refused line was about: the one that it names, else the one that its seat holds, else none.
    fn turn_meant(&self, role: Role, line: &str) -> u64 {
        let held = match role {
            Role::Seated(seat) => self.scheduler.held_by(seat).map(|held| held.turn.get()),
            Role::Newcomer { .. } | Role::Observer(_) => None,
        };
        Request::turn_meant(line).or(held).unwrap_or(0)
    }

    fn line_answer(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        answer: &Answer,
        fence: Option<Fence>,
        links: &mut Links,
    ) -> Result<(), Code> {
        if self.scheduler.data(seat).is_none_or(|data| data.name_ref() != Some(&answer.name)) {
            return Err(Code::WrongName);
        }
        let fence = turn_of(fence)?;
        let taken = self.scheduler.answer(now.instant, seat, fence, answer.number).map_err(code_of)?;
        match taken {
            // Confirmed in the hand-over, where the order of writes is kept.
            Taken::Accepted(_) => self.pump(now, links),
            Taken::Repeated(turn) => {
                self.ledger.counts.repeated += 1;
                say(id, Reply::Ok { turn }, links);
            }
        }
        Ok(())
    }

    fn line_pass(
        &mut self,
        now: Now,
        seat: SeatId,
        fence: Option<Fence>,
        links: &mut Links,
    ) -> Result<(), Code> {
        let fence = turn_of(fence)?;
        self.scheduler.pass(now.instant, seat, fence).map_err(code_of)?;
        self.pump(now, links);
        Ok(())
    }

    /// T21: a new seat. A vacant one under the same name is retired; whoever wants that one back has its secret.
    fn line_join(
        &mut self,
        now: Now,
        id: ConnectionId,
        name: Name,
        ring: Name,
        weight: Weight,
        links: &mut Links,
    ) {
        let room = self.rooms.find_or_make(ring);
        if let Some(&seat) = self.rooms.room(room).seats.get(&name) {
            if self.scheduler.is_occupied(seat) {
                return self.dismiss(now, id, Some(Bye::NameTaken), links);
            }
            self.scheduler.leave(now.instant, seat);
            self.pump(now, links);
        }
        // Retiring the last seat of a ring ends the room as well.
        let room = self.rooms.find_or_make(ring);
        let secret = self.new_secret();
        let seat = match self.new_seat(now, weight, SeatData::named(id, room, name, secret)) {
            Ok(seat) => seat,
            Err(error) => {
                self.rooms.tidy(room);
                self.ledger.counts.turned_away += 1;
                let bye = if error == JoinError::Draining { Bye::ShuttingDown } else { Bye::Full };
                return self.dismiss(now, id, Some(bye), links);
            }
        };
        self.rooms.room_mut(room).seats.insert(name, seat);
        self.line_seated(now, id, seat, ring, secret, links);
    }

    /// T22: the seat moves to this connection, in its old place, whether or not the old connection still seems alive.
    fn line_resume(
        &mut self,
        now: Now,
        id: ConnectionId,
        name: Name,
        ring: Name,
        secret: Option<Secret>,
        links: &mut Links,
    ) {
        let room = self.rooms.find(&ring);
        let seat = room.and_then(|room| self.rooms.room(room).seats.get(&name).copied());
        let fresh = self.new_secret();
        let matched = seat.zip(secret).and_then(|(seat, secret)| {
            let data = self.scheduler.data_mut(seat)?;
            let secrets = data.secrets_mut()?;
            let Secrets { current, previous } = *secrets;
            let valid = (current == secret) | previous.is_some_and(|previous| previous == secret);
            if !valid {
                return None;
            }
            // The client may never hear of the fresh one: the one that it used stays good until it speaks.
            *secrets = Secrets { current: fresh, previous: Some(secret) };
            Some((seat, data.client.replace(id)))
        });
        let Some((seat, old)) = matched else {
            return self.dismiss(now, id, Some(Bye::BadSecret), links);
        };
        if let Some(old) = old {
            self.dismiss(now, old, Some(Bye::Superseded), links);
        }
        let held = self.scheduler.held_by(seat);
        self.scheduler.occupy(now.instant, seat);
        self.line_seated(now, id, seat, ring, fresh, links);
        if let Some(held) = held {
            self.line_granted(now, id, held.turn, held.deadline, links);
        }
    }

    /// The connection has its seat: it hears which, and that it waits, unless it holds the turn.
    fn line_seated(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        ring: Name,
        resume: Secret,
        links: &mut Links,
    ) {
        self.line_become(id, Role::Seated(seat));
        let (last, number) =
            self.scheduler.last_accepted(seat).map_or((0, 0), |last| (last.turn.get(), last.number));
        let epoch = self.epoch;
        say(id, Reply::Welcome { seat: seat.place(), ring, epoch, resume, last, number }, links);
        let name = self.scheduler.data(seat).and_then(SeatData::name);
        self.ledger.report(TurnEvent::Seated { seat, connection: id, name });
        self.pump(now, links);
        if self.scheduler.held_by(seat).is_none() {
            say(id, Reply::Wait { ahead: self.scheduler.ahead_of(seat) }, links);
        }
    }

    fn line_watch(&mut self, id: ConnectionId, ring: Name, links: &mut Links) {
        let room = self.rooms.find_or_make(ring);
        let entry = self.rooms.room_mut(room);
        entry.observers.push(id);
        let turn = self.scheduler.last_turn(entry.ring);
        self.line_become(id, Role::Observer(room));
        say(id, Reply::Watching { ring, epoch: self.epoch, turn }, links);
    }

    pub(super) fn line_granted(
        &mut self,
        now: Now,
        id: ConnectionId,
        turn: TurnNumber,
        deadline: Instant,
        links: &mut Links,
    ) {
        let within = deadline.saturating_duration_since(now.instant).as_millis();
        say(id, Reply::Go { turn, within: u64::try_from(within).unwrap_or(u64::MAX) }, links);
    }

    pub(super) fn line_ended(id: ConnectionId, ended: &Ended, links: &mut Links) {
        let turn = ended.turn;
        match ended.outcome {
            Outcome::Answered(_) | Outcome::Passed => say(id, Reply::Ok { turn }, links),
            Outcome::Lapsed => say(id, Reply::Lapsed { turn }, links),
            Outcome::Gone => {}
        }
    }

    /// The connection is gone or dismissed.
    pub(super) fn line_left(&mut self, now: Now, id: ConnectionId, mut line: LineClient) {
        self.timers.remove(&mut line.alarm, id);
        match line.role {
            Role::Newcomer { .. } => {}
            Role::Seated(seat) => self.unseat(now, id, seat),
            Role::Observer(room) => {
                self.rooms.room_mut(room).observers.retain(|&observer| observer != id);
                self.rooms.tidy(room);
            }
        }
    }

    pub(super) fn line_timeout(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(Client::Line(line)) = self.clients.get_mut(id) else { return };
        if !self.timers.ring(&mut line.alarm, id, now.instant) {
            return;
        }
        match (line.role, line.line_until) {
            (Role::Newcomer { until }, _) if until <= now.instant => {
                self.dismiss(now, id, Some(Bye::HelloTimeout), links);
            }
            (_, Some(until)) if until <= now.instant => {
                self.dismiss(now, id, Some(Bye::LineTimeout), links);
            }
            _ => self.line_rearm(id),
        }
    }

    pub(super) fn line_rearm(&mut self, id: ConnectionId) {
        let Some(Client::Line(line)) = self.clients.get_mut(id) else { return };
        let hello = match line.role {
            Role::Newcomer { until } => Some(until),
            Role::Seated(_) | Role::Observer(_) => None,
        };
        let due = earlier(hello, line.line_until);
        self.timers.set(&mut line.alarm, id, due);
    }

    fn line_become(&mut self, id: ConnectionId, role: Role) {
        if let Some(line) = self.line(id) {
            line.role = role;
        }
        self.line_rearm(id);
    }

    /// The client has shown that it knows its secret: the one before is of no use any more.
    fn line_confirmed(&mut self, seat: SeatId) {
        if let Some(secrets) = self.scheduler.data_mut(seat).and_then(SeatData::secrets_mut) {
            secrets.previous = None;
        }
    }

    fn line(&mut self, id: ConnectionId) -> Option<&mut LineClient> {
        match self.client(id)? {
            Client::Line(line) => Some(line),
            Client::Raw(_) | Client::Closing => None,
        }
    }
}

fn say(id: ConnectionId, reply: Reply, links: &mut Links) {
    let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
    match reply {
        // The two of every turn, without the formatting machinery.
        Reply::Ok { turn } => {
            links.send_pieces(id, &[b"OK turn=", first.format(turn.get()).as_bytes(), b"\n"]);
        }
        Reply::Go { turn, within } => {
            let (turn, within) = (first.format(turn.get()), second.format(within));
            links.send_pieces(id, &[b"GO turn=", turn.as_bytes(), b" within=", within.as_bytes(), b"\n"]);
        }
        reply => links.send_fmt(id, format_args!("{reply}\n")),
    }
}

/// The fence as the scheduler takes it; 0 is no turn's number, so it is stale.
fn turn_of(fence: Option<Fence>) -> Result<Option<TurnNumber>, Code> {
    fence.map(|fence| fence.ok_or(Code::StaleTurn)).transpose()
}

fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::StaleTurn => Code::StaleTurn,
        Refusal::NotYourTurn => Code::NotYourTurn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_in_every_turn_is_what_a_reply_says() {
        let mut links = Links::new(1000);
        let id = links.open(([127, 0, 0, 1], 9).into());
        let turn = TurnNumber::new(u64::MAX).expect("not 0");
        let replies = [Reply::Ok { turn }, Reply::Go { turn, within: 30_000 }, Reply::Pong];
        let expected: String = replies.iter().map(|reply| format!("{reply}\n")).collect();
        replies.into_iter().for_each(|reply| say(id, reply, &mut links));
        assert_eq!(String::from_utf8_lossy(links.unsent(id)), expected);
    }
}
