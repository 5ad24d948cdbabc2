//! What a host asks of its clients.

use std::fmt;

use super::{ClientConfig, ClientId, ClientTurn, ConfigError, End, TurnClient, Wire};
use crate::protocol::{DialId, Links};
use crate::time::Now;

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
    /// The answer is longer than [`answer_bytes_max`](ClientConfig::answer_bytes_max).
    TooLarge,
    /// The raw framing has no other answers than decimal 64-bit numbers.
    NotANumber,
    /// A client of the raw framing cannot do that.
    NotInRaw,
    /// A watcher has no seat to do that with.
    NoSeat,
    /// The server does not know the client on this connection, or there is none.
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

/// Who there is.
impl TurnClient {
    /// Adds a client. It does nothing before it is given a connection: [`dial`](Self::dial).
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for what its framing cannot say.
    pub fn add(&mut self, config: ClientConfig) -> Result<ClientId, ConfigError> {
        config.check()?;
        Ok(self.insert(config))
    }

    /// Has `client` use the connections of `dial`, which the host got from [`Driver::connect`](crate::net::Driver::connect), in place of
    /// those that it used before. Returns whether there is such a client that has not given up.
    ///
    /// A connection is the client's if this was called before it is established, which it is never within `connect`. A connection of a
    /// dial that belongs to no client is closed.
    pub fn dial(&mut self, client: ClientId, dial: DialId) -> bool {
        let Some(found) = self.find(client).filter(|found| found.player.end.is_none()) else { return false };
        let before = found.player.dial.replace(dial);
        if let Some(before) = before {
            self.by_dial.remove(&before);
        }
        if let Some(other) = self.by_dial.insert(dial, client)
            && let Some(other) = self.find(other).filter(|_| other != client)
        {
            other.player.dial = None;
        }
        true
    }

    /// Forgets `client` at once, without a word to the server, and without a further event. Its connection is closed.
    pub fn remove(&mut self, client: ClientId, links: &mut Links) -> bool {
        let Some(mut removed) = self.take_out(client) else { return false };
        self.timers.remove(&mut removed.alarm, client);
        if let Some(id) = removed.player.connection {
            self.by_connection.remove(id);
            links.close(id);
        }
        if let Some(dial) = removed.player.dial {
            self.by_dial.remove(&dial);
        }
        true
    }

    /// The settings of `client`.
    #[must_use]
    pub fn config(&self, client: ClientId) -> Option<&ClientConfig> {
        let found = self.clients.get(client.slot as usize).filter(|found| found.player.id == client);
        found.map(|found| &found.player.config)
    }

    /// All clients that were not removed.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.clients.iter().map(|(_, client)| client.player.id)
    }
}

/// What clients do. To be called through [`Driver::act`](crate::net::Driver::act).
impl TurnClient {
    /// Answers a turn that the client was [granted](super::News::Granted). What becomes of the answer is [`News::Accepted`],
    /// [`News::Refused`] or [`News::Lost`].
    ///
    /// In the line protocol the answer names its turn and the life of the server, so it counts in that turn or not at all, and at most once.
    /// While the connection is lost it is kept: it is sent, perhaps again, if the same turn is still this client's when it is back.
    ///
    /// [`News::Accepted`]: super::News::Accepted
    /// [`News::Refused`]: super::News::Refused
    /// [`News::Lost`]: super::News::Lost
    ///
    /// # Errors
    ///
    /// [`CommandError::StaleTurn`] if the turn is over or has been answered, [`CommandError::TooLarge`], [`CommandError::NotANumber`].
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

    /// Gives a turn up without an answer. The raw framing has no word for that, so there the client closes its connection, and the
    /// driver dials again.
    ///
    /// # Errors
    ///
    /// [`CommandError::StaleTurn`] if the turn is over or has been answered.
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

    /// Tells the server that the client still works in its turn, so that its time starts anew: [`News::TimeChanged`] follows, or
    /// [`News::Refused`] where the turn has lasted as long as it may.
    ///
    /// [`News::TimeChanged`]: super::News::TimeChanged
    /// [`News::Refused`]: super::News::Refused
    ///
    /// # Errors
    ///
    /// [`CommandError::StaleTurn`] if the turn is over or has been answered, [`CommandError::NotConnected`] while it is not known whether
    /// the turn has outlived its connection.
    pub fn renew(&mut self, now: Now, turn: &ClientTurn, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, turn.client, links, |client, cx| {
            let Wire::Line(line) = &client.wire else { return Err(CommandError::NotInRaw) };
            if !client.player.hold.is_open(turn) {
                return Err(CommandError::StaleTurn);
            }
            line.renew(&client.player, cx)
        })
    }

    /// Has a seat that rests wait for one turn, or its holder for one more. Kept until that is granted: the client asks again
    /// whenever it is welcomed meanwhile, also as a new seat.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoSeat`], [`CommandError::NotInRaw`].
    pub fn ask(&mut self, now: Now, client: ClientId, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, client, links, |client, cx| {
            let (player, line) = client.seated_line()?;
            line.ask(player, cx);
            Ok(())
        })
    }

    /// Has the seat rest: it waits for no turn any more, and gives up the one that it has. Kept until that is
    /// [confirmed](super::News::Confirmed). A seat that demands turns always, and is lost and taken anew later, waits again.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoSeat`], [`CommandError::NotInRaw`].
    pub fn rest(&mut self, now: Now, client: ClientId, links: &mut Links) -> Result<(), CommandError> {
        self.act(now, client, links, |client, cx| {
            let (player, line) = client.seated_line()?;
            line.rest(player, cx);
            Ok(())
        })
    }

    /// Gives the seat up, or stops watching: [`News::Ended`](super::News::Ended) follows when the server has heard it. A raw client just
    /// closes its connection, with its answer written.
    ///
    /// # Errors
    ///
    /// [`CommandError::Ended`] if it leaves already.
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

    /// Asks the server for a sign of life: [`News::Pong`](super::News::Pong) follows. With
    /// [`ping_interval`](ClientConfig::ping_interval) the client does so by itself.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotConnected`], [`CommandError::NotInRaw`].
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
