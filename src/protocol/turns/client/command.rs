//! The commands of a host to its clients.

use std::fmt;

use super::{ClientId, ClientTurn, End, TurnClient, Wire};
use crate::protocol::Links;
use crate::time::{Instant, Now};

/// The client cannot do that; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such client; it was removed.
    NoSuchClient,
    /// The client has given up, leaves, or drains.
    Ended,
    /// The turn is over, or was answered or passed.
    StaleTurn,
    /// The answer is longer than [`answer_bytes_max`](super::ClientConfig::answer_bytes_max).
    TooLarge,
    /// The raw framing has no other answers than decimal 64-bit numbers.
    NotANumber,
    /// A client of the raw framing cannot do that.
    NotInRaw,
    /// A watcher has no seat to do that with.
    NoSeat,
    /// The server does not know the client on this connection, or there is no connection.
    NotConnected,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::NoSuchClient => "no such client",
            CommandError::Ended => "the client has given up or leaves",
            CommandError::StaleTurn => "that turn is over or has been answered",
            CommandError::TooLarge => "the answer is larger than allowed",
            CommandError::NotANumber => "an answer of the raw framing is a decimal 64-bit number",
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
    /// [`News::Refused`] or [`News::Lost`] reports its fate.
    ///
    /// In the line protocol the answer names its turn and the life of the server, so it counts in that turn
    /// or not at all, and at most once. If the connection is lost, the answer is kept. It is sent, perhaps
    /// again, if the client still has the same turn when it is back.
    ///
    /// [`News::Accepted`]: super::News::Accepted
    /// [`News::Refused`]: super::News::Refused
    /// [`News::Lost`]: super::News::Lost
    ///
    /// # Errors
    ///
    /// [`CommandError::StaleTurn`] if the turn is over or has been answered, [`CommandError::TooLarge`],
    /// [`CommandError::NotANumber`].
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

    /// Gives up a turn without an answer. The raw framing has no word for that, so a raw client closes its
    /// connection, and the driver dials again.
    ///
    /// # Errors
    ///
    /// [`CommandError::StaleTurn`] if the turn is over or has been answered.
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

    /// Tells the server that the client still works in its turn, so that its time starts again.
    /// [`News::TimeChanged`] follows, or [`News::Refused`] if the turn has lasted as long as it may. A
    /// [ping](Self::ping) goes first, so that both tell until when the turn is certainly held: see
    /// [`sure_until`](Self::sure_until).
    ///
    /// [`News::TimeChanged`]: super::News::TimeChanged
    /// [`News::Refused`]: super::News::Refused
    ///
    /// # Errors
    ///
    /// [`CommandError::StaleTurn`] if the turn is over or has been answered, [`CommandError::NotConnected`]
    /// while it is not known whether the turn has outlived its connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientTurn, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// /// Called while the work goes on, such as once a second. Returns whether it may go on.
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
    /// this process, unless its host takes the turn away. It counts from when the last answered ping was
    /// sent, because everything that the server said after the answer is later than that. If the connection
    /// is lost, the server's [`turn_grace`](crate::turn::Rules::turn_grace) from the same moment limits it
    /// too.
    ///
    /// Returns `None` for a turn that is over, in the raw framing, and until the server has answered a ping
    /// and then stated the time of the turn.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::{ClientTurn, TurnClient};
    /// # use taketurns::time::Now;
    /// /// Called after each `News::TimeChanged`. Returns whether work without a fence may go on.
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
    /// it is granted: the client asks again whenever it is welcomed meanwhile, even with a new seat.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoSeat`], [`CommandError::NotInRaw`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{ClientId, CommandError, TurnClient};
    /// # use taketurns::time::Now;
    /// /// Wants the lock once: it comes with `News::Granted`, and is given back by `rest`.
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
    /// until it is [confirmed](super::News::Confirmed). A seat that always wants turns waits again if it is
    /// lost and taken anew later.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoSeat`], [`CommandError::NotInRaw`].
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
    /// [`CommandError::Ended`] if it leaves already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::Links;
    /// # use taketurns::protocol::turns::{TurnClient};
    /// # use taketurns::time::Now;
    /// /// Has every client leave. The last `News::Ended` is the end of the program.
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
                // The server knows nothing of it.
                _ => player.give_up(cx, End::Left),
            }
            Ok(())
        })
    }

    /// Asks the server for a sign of life. [`News::Pong`](super::News::Pong) follows. With
    /// [`ping_interval`](super::ClientConfig::ping_interval) the client does this by itself.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotConnected`], [`CommandError::NotInRaw`].
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
