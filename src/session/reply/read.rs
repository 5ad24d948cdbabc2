//! Replies, read.

use super::{Reply, ReportedState};
use crate::session::credential::Epoch;
use crate::session::fields::{Key, Message, decimal};
use crate::turn::TurnNumber;

impl<'a> Reply<'a> {
    /// Reads a message; `None` if it is not one of the protocol's, or belongs to a later version.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::Reply;
    ///
    /// let reply = Reply::parse("GO turn=7 within=30000", None);
    /// assert!(matches!(reply, Some(Reply::Go { within: 30_000, .. })));
    /// ```
    #[must_use]
    pub fn parse(line: &'a str, payload: Option<&'a [u8]>) -> Option<Reply<'a>> {
        let mut read = Read { message: Message::default(), payload };
        read.message.read(line).ok()?;
        let reply = read.reply()?;
        read.is_shaped_like(&reply).then_some(reply)
    }
}

/// A message that is being read.
struct Read<'a> {
    message: Message<'a>,
    payload: Option<&'a [u8]>,
}

impl<'a> Read<'a> {
    fn reply(&self) -> Option<Reply<'a>> {
        let Message { verb, word, text: words, .. } = self.message;
        Some(match verb {
            "WELCOME" => Reply::Welcome {
                name: word?,
                seat: self.number(Key::Seat)?,
                ring: self.message.value(Key::Ring)?,
                epoch: self.epoch()?,
                resume: self.message.value(Key::Resume)?.parse().ok()?,
                last: self.perhaps_turn(Key::Last)?,
                judging: self.perhaps_turn(Key::Judging)?,
            },
            "WATCHING" => {
                Reply::Watching { ring: word?, epoch: self.epoch()?, turn: self.perhaps_turn(Key::Turn)? }
            }
            "SEAT" => Reply::Seat {
                name: word?,
                seat: self.number(Key::Seat)?,
                state: ReportedState::parse(self.message.value(Key::State)?)?,
                weight: self.perhaps(Key::Weight)?.map(u8::try_from).transpose().ok()?,
            },
            "SEATS" => Reply::Seats { ring: word?, seats: self.count(Key::Seats)? },
            "WAIT" => Reply::Wait {
                ahead: self.count(Key::Ahead)?,
                needs: self.perhaps(Key::Needs)?.map(usize::try_from).transpose().ok()?,
            },
            "GO" => Reply::Go {
                turn: self.turn()?,
                within: self.number(Key::Within)?,
                last: self.perhaps_turn(Key::Last)?,
            },
            "OK" => Reply::Ok { turn: self.perhaps_turn(Key::Turn)?, words },
            "NO" => Reply::No {
                code: word?.parse().ok()?,
                turn: self.perhaps(Key::Turn)?,
                within: self.perhaps(Key::Within)?,
                words,
            },
            "LAPSED" => Reply::Lapsed {
                turn: self.turn()?,
                how: self.message.value(Key::How).map(str::parse).transpose().ok()?,
            },
            "SAY" => Reply::Say { content: self.content()? },
            "BEGIN" => Reply::Begin { name: word?, turn: self.turn()?, within: self.number(Key::Within)? },
            "TURN" => Reply::Turn {
                name: word?,
                turn: self.turn()?,
                raw_name: self.message.value(Key::As),
                content: self.content()?,
            },
            "SKIP" => Reply::Skip {
                name: word?,
                turn: self.turn()?,
                how: self.message.value(Key::How)?.parse().ok()?,
            },
            "JOINED" => Reply::Joined { name: word?, seat: self.number(Key::Seat)? },
            "AWAY" => Reply::Away { name: word? },
            "BACK" => Reply::Back { name: word? },
            "LEFT" => Reply::Left { name: word? },
            "PAUSED" => Reply::Paused { ring: word? },
            "RESUMED" => Reply::Resumed { ring: word? },
            "PONG" => Reply::Pong,
            "BYE" => Reply::Bye { code: word?.parse().ok()?, at: self.message.value(Key::At), words },
            _ => return None,
        })
    }

    /// Whether the message has a word, a text and a payload only if its reply allows them.
    fn is_shaped_like(&self, reply: &Reply<'_>) -> bool {
        let has_content = matches!(reply, Reply::Say { .. } | Reply::Turn { .. });
        let has_words = matches!(reply, Reply::Ok { .. } | Reply::No { .. } | Reply::Bye { .. });
        let has_no_word = matches!(
            reply,
            Reply::Wait { .. }
                | Reply::Go { .. }
                | Reply::Ok { .. }
                | Reply::Lapsed { .. }
                | Reply::Say { .. }
                | Reply::Pong
        );
        (has_content || self.payload.is_none() && self.message.value(Key::Bytes).is_none())
            && (has_content || has_words || self.message.text.is_none())
            && self.message.word.is_some() != has_no_word
    }

    fn content(&self) -> Option<&'a [u8]> {
        match (self.message.text, self.payload) {
            (Some(text), None) => Some(text.as_bytes()),
            (None, payload) => payload,
            (Some(_), Some(_)) => None,
        }
    }

    fn number(&self, key: Key) -> Option<u64> {
        decimal(self.message.value(key)?)?.ok()
    }

    fn count(&self, key: Key) -> Option<usize> {
        usize::try_from(self.number(key)?).ok()
    }

    fn turn(&self) -> Option<TurnNumber> {
        TurnNumber::new(self.number(Key::Turn)?)
    }

    fn epoch(&self) -> Option<Epoch> {
        self.message.value(Key::Epoch)?.parse().ok()
    }

    /// The number in a field that may be left out; `None` if it is there but cannot be read.
    fn perhaps(&self, key: Key) -> Option<Option<u64>> {
        match self.message.value(key) {
            None => Some(None),
            Some(_) => self.number(key).map(Some),
        }
    }

    fn perhaps_turn(&self, key: Key) -> Option<Option<TurnNumber>> {
        match self.perhaps(key)? {
            None => Some(None),
            Some(number) => TurnNumber::new(number).map(Some),
        }
    }
}
