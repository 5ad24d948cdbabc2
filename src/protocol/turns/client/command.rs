//! The commands of a host to its clients.

use std::fmt;

use super::{ClientId, ClientTurn, End, TurnClient, Wire};
use crate::protocol::Links;
use crate::time::{Instant, Now};

/// A command that the client cannot carry out; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such client: it was removed.
    NoSuchClient,
    /// The client has given up, is leaving, or is draining.
    Ended,
    /// The turn is over, or has been answered or passed.
    StaleTurn,
    /// The answer is longer than [`answer_bytes_max`](super::ClientConfig::answer_bytes_max).
    TooLarge,
    /// The raw framing allows only decimal 64-bit numbers as answers.
    NotANumber,
    /// The raw framing has no such command.
    NotInRaw,
    /// A watcher has no seat for this.
    NoSeat,
    /// There is no connection, or the server does not know yet which client it belongs to.
    NotConnected,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::NoSuchClient => "no such client",
            CommandError::Ended => "the client has given up or leaves",
            CommandError::StaleTurn => "that turn is over or has been answered",
            CommandError::TooLarge => "the answer is larger than allowed",
            CommandError::NotANumber => "an answer in the raw framing must be a decimal 64-bit number",
            CommandError::NotInRaw => "a client of the raw framing cannot do that",
            CommandError::NoSeat => "a watcher has no seat",
            CommandError::NotConnected => "the client is not connected",
        })
    }
}

impl std::error::Error for CommandError {}

/// Commands to clients, to be called through [`Driver::act`](crate::net::Driver::act).
impl TurnClient {
    /// Answers a turn that the client was [granted](super::News::Granted). [`News::Accepted`],
    /// [`News::Refused`] or [`News::Lost`] reports its status.
    ///
    /// In the line protocol the answer names its turn and the life of the server, so it counts in that turn
    /// or not at all, and at most once. If the connection is lost, the answer is kept. If the client still
    /// has the same turn when it is back, the answer is sent, possibly for the second time.
    ///
    /// [`News::Accepted`]: super::News::Accepted
    /// [`News::Refused`]: super::News::Refused
    /// [`News::Lost`]: super::News::Lost
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::StaleTurn`] if the turn is over or has been answered,
    /// [`CommandError::TooLarge`], [`CommandError::NotANumber`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientTurn, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// fn answer_in_capitals(
    ///     client: &mut TurnClient,
    ///     now: Now,
    ///     turn: &ClientTurn,
    ///     word: &str,
    ///     links: &mut Links,
    /// ) -> Result<(), CommandError> {
    ///     client.answer(now, turn, word.to_uppercase().as_bytes(), links)
    /// }
    /// ```
    pub fn answer(
        &mut self,
        now: Now,
        turn: &ClientTurn,
        answer: &[u8],
        links: &mut Links,
    ) -> Result<(), CommandError> {
        let has_queued = self.act(now, turn.client, links, |client, cx| {
            if !client.player.hold.is_open(turn) {
                return Err(CommandError::StaleTurn);
            }
            if answer.len() > client.player.config.answer_bytes_max {
                return Err(CommandError::TooLarge);
            }
            match &mut client.wire {
                Wire::Raw(_) if !is_number(answer) => Err(CommandError::NotANumber),
                Wire::Raw(raw) => Ok(raw.answer(&mut client.player, cx, answer)),
                Wire::Line(line) => {
                    line.answer(&mut client.player, cx, answer);
                    Ok(false)
                }
            }
        })?;
        if has_queued {
            self.unwritten.push(turn.client);
        }
        Ok(())
    }

    /// Gives up a turn without an answer. The raw framing has no message for that, so a raw client closes its
    /// connection, and the driver dials again.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::StaleTurn`] if the turn is over or has been answered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientTurn, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// /// Has no move to make.
    /// fn stalemate(client: &mut TurnClient, now: Now, turn: &ClientTurn, links: &mut Links) -> Result<(), CommandError> {
    ///     client.pass(now, turn, links)
    /// }
    /// ```
    pub fn pass(&mut self, now: Now, turn: &ClientTurn, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, turn.client, links, |client, cx| {
            if !client.player.hold.is_open(turn) {
                return Err(CommandError::StaleTurn);
            }
            match &mut client.wire {
                Wire::Raw(raw) => raw.pass(&mut client.player, cx),
                Wire::Line(line) => line.pass(&mut client.player, cx),
            }
            Ok(())
        })
    }

    /// Tells the server that the client is still at work, so that the time of its turn starts again.
    /// [`News::TimeChanged`] follows, or [`News::Refused`] if the turn has lasted as long as it may. A
    /// [ping](Self::ping) goes first, so that the replies extend [`sure_until`](Self::sure_until).
    ///
    /// [`News::TimeChanged`]: super::News::TimeChanged
    /// [`News::Refused`]: super::News::Refused
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::StaleTurn`] if the turn is over or has been answered;
    /// [`CommandError::NotConnected`] until the server has said whether the turn outlived the last
    /// connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientTurn, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// /// Called during the work, for example once per second. Returns whether it may continue.
    /// fn still_working(client: &mut TurnClient, now: Now, turn: &ClientTurn, links: &mut Links) -> bool {
    ///     match client.renew(now, turn, links) {
    ///         // The connection is lost, and the turn perhaps not: there is time until its deadline.
    ///         Ok(()) | Err(CommandError::NotConnected) => turn.deadline.is_none_or(|deadline| now.instant < deadline),
    ///         Err(_) => false,
    ///     }
    /// }
    /// ```
    pub fn renew(&mut self, now: Now, turn: &ClientTurn, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, turn.client, links, |client, cx| {
            let Wire::Line(line) = &mut client.wire else { return Err(CommandError::NotInRaw) };
            if !client.player.hold.is_open(turn) {
                return Err(CommandError::StaleTurn);
            }
            line.renew(&client.player, cx)
        })
    }

    /// Returns the time until which the server certainly grants the turn to no other client, by the clock of
    /// this process, unless its host takes the turn away. It counts from the moment when the last answered
    /// ping was sent, because anything that the server sent after its `PONG` was sent later than that. If the
    /// connection is lost, the server's [`turn_grace`](crate::turn::Rules::turn_grace) from the same moment
    /// is a second limit.
    ///
    /// Returns `None` for a turn that is over, in the raw framing, and until the server has answered a ping
    /// and then sent the time of the turn.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::{ClientTurn, TurnClient};
    /// # use taketurns::time::Now;
    /// /// Called after each `News::TimeChanged`. Returns whether work without a fence may continue.
    /// fn is_mine(client: &TurnClient, now: Now, turn: &ClientTurn) -> bool {
    ///     client.sure_until(turn).is_some_and(|until| now.instant < until)
    /// }
    /// ```
    #[must_use]
    pub fn sure_until(&self, turn: &ClientTurn) -> Option<Instant> {
        let client =
            self.clients.get(turn.client.slot as usize).filter(|client| client.player.hold.is_open(turn))?;
        match &client.wire {
            Wire::Line(line) => line.sure_until,
            Wire::Raw(_) => None,
        }
    }

    /// Asks for one turn for a seat that rests, or for one more turn for the holder. The request stands until
    /// it is granted: if the client has to join again meanwhile, even with a new seat, it repeats the
    /// request.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::NoSeat`] without a seat, and [`CommandError::NotInRaw`] in the raw framing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientId, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// /// Requests the lock once. It comes with `News::Granted`, and `rest` gives it back.
    /// fn lock(client: &mut TurnClient, now: Now, locker: ClientId, links: &mut Links) -> Result<(), CommandError> {
    ///     client.ask(now, locker, links)
    /// }
    /// ```
    pub fn ask(&mut self, now: Now, client: ClientId, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, client, links, |client, cx| {
            let (player, line) = client.seated_line()?;
            line.ask(player, cx);
            Ok(())
        })
    }

    /// Lets the seat rest: it no longer waits for turns, and gives up the one that it has. The request stands
    /// until it is [confirmed](super::News::Confirmed). A seat whose demand is "always" waits again if it is
    /// lost and joined again later.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::NoSeat`] without a seat, and [`CommandError::NotInRaw`] in the raw framing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientId, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// fn unlock(client: &mut TurnClient, now: Now, locker: ClientId, links: &mut Links) -> Result<(), CommandError> {
    ///     client.rest(now, locker, links)
    /// }
    /// ```
    pub fn rest(&mut self, now: Now, client: ClientId, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, client, links, |client, cx| {
            let (player, line) = client.seated_line()?;
            line.rest(player, cx);
            Ok(())
        })
    }

    /// Gives up the seat, or stops watching. [`News::Ended`](super::News::Ended) follows when the server has
    /// confirmed it. A raw client closes its connection once its answer is written.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::Ended`] if it is already leaving.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{TurnClient};
    /// # use taketurns::time::Now;
    /// /// Makes every client leave. The program ends with the last `News::Ended`.
    /// fn leave_all(client: &mut TurnClient, now: Now, links: &mut Links) {
    ///     let all: Vec<_> = client.clients().collect();
    ///     for id in all {
    ///         // A client that has ended already has nothing to leave.
    ///         let _ = client.leave(now, id, links);
    ///     }
    /// }
    /// ```
    pub fn leave(&mut self, now: Now, client: ClientId, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, client, links, |client, cx| {
            let player = &mut client.player;
            player.is_leaving = true;
            match &client.wire {
                Wire::Line(line) if line.has_seat() || player.connection.is_some() => line.leave(player, cx),
                Wire::Raw(_) if player.connection.is_some() => player.close(cx),
                // The server does not know this client.
                _ => player.give_up(cx, End::Left),
            }
            Ok(())
        })
    }

    /// Asks the server for a sign of life. [`News::Pong`](super::News::Pong) follows. With
    /// [`ping_interval`](super::ClientConfig::ping_interval) the client pings on its own.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::NotConnected`] without a connection, and [`CommandError::NotInRaw`] in the raw
    /// framing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientId, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// fn is_connected(client: &mut TurnClient, now: Now, id: ClientId, links: &mut Links) -> bool {
    ///     client.ping(now, id, links) != Err(CommandError::NotConnected)
    /// }
    /// ```
    pub fn ping(&mut self, now: Now, client: ClientId, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, client, links, |client, cx| match &mut client.wire {
            Wire::Raw(_) => Err(CommandError::NotInRaw),
            Wire::Line(line) if line.is_joined() && client.player.can_send(cx.links) => {
                line.ping(&client.player, cx);
                Ok(())
            }
            Wire::Line(_) => Err(CommandError::NotConnected),
        })
    }
}

fn is_number(answer: &[u8]) -> bool {
    std::str::from_utf8(answer).is_ok_and(|text| text.parse::<i64>().is_ok() && !text.starts_with('+'))
}
