//! Lines of the server: values to text, and back.

use super::codes::{Bye, Code, How};
use super::credential::{Epoch, Secret};
use super::fields::{Message, decimal, is_value};
use super::name::Name;
use super::sink::{Counted, Sink, put_content, put_hex, put_number, put_words};
use crate::turn::TurnNumber;

/// A message from the server.
///
/// A name in a message that was read is a word, but perhaps no [`Name`]: escape it before it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// Seated.
    Welcome {
        /// The name of the seat.
        name: &'a str,
        /// The number of the seat in its ring.
        seat: u64,
        /// The ring.
        ring: &'a str,
        /// The life of the server.
        epoch: Epoch,
        /// The secret to have the seat back with.
        resume: Secret,
        /// The last turn of this seat whose answer was accepted; `None` if none was.
        last: Option<TurnNumber>,
        /// The turn whose answer is being judged.
        judging: Option<TurnNumber>,
    },
    /// The connection hears what happens in a ring.
    Watching {
        /// The ring.
        ring: &'a str,
        /// The life of the server.
        epoch: Epoch,
        /// The last turn that was granted; `None` if none was.
        turn: Option<TurnNumber>,
    },
    /// To a new hearer: one seat of the ring.
    Seat {
        /// Its name.
        name: &'a str,
        /// Its number.
        seat: u64,
        /// What it does.
        state: SeatState,
        /// Its weight; `None` for 1.
        weight: Option<u8>,
    },
    /// To a new hearer, behind the seats.
    Seats {
        /// The ring.
        ring: &'a str,
        /// How many seats it has, those that were not told included.
        seats: usize,
    },
    /// The seat begins to wait.
    Wait {
        /// How many seats come before it, the holder included.
        ahead: usize,
        /// How many more seats have to come before the ring goes on; `None` if it does.
        needs: Option<usize>,
    },
    /// The turn is the client's, or goes on.
    Go {
        /// Its number.
        turn: TurnNumber,
        /// The time that is left, in milliseconds.
        within: u64,
        /// The turn whose answer this confirms as well.
        last: Option<TurnNumber>,
    },
    /// It counts.
    Ok {
        /// The turn, if it was about one.
        turn: Option<TurnNumber>,
        /// The words of the host.
        words: Option<&'a str>,
    },
    /// Refused; nothing has changed.
    No {
        /// The reason.
        code: Code,
        /// The turn that the line named, else the one that is held.
        turn: Option<u64>,
        /// The time that is left of a turn that is still held, in milliseconds.
        within: Option<u64>,
        /// The reason for a person; written without them, those of the code.
        words: Option<&'a str>,
    },
    /// The turn is over without an answer.
    Lapsed {
        /// Its number.
        turn: TurnNumber,
        /// How it ended, if not by its deadline.
        how: Option<How>,
    },
    /// The words of the host.
    Say {
        /// Any bytes.
        content: &'a [u8],
    },
    /// To hearers: a turn began.
    Begin {
        /// The name of its holder.
        name: &'a str,
        /// Its number.
        turn: TurnNumber,
        /// Its time, in milliseconds.
        within: u64,
    },
    /// To hearers: a turn was answered.
    Turn {
        /// The name of its holder.
        name: &'a str,
        /// Its number.
        turn: TurnNumber,
        /// The name that a raw client wrote; it is left out where it is no [`Name`].
        raw_name: Option<&'a str>,
        /// The answer.
        content: &'a [u8],
    },
    /// To hearers: a turn ended without an answer.
    Skip {
        /// The name of its holder.
        name: &'a str,
        /// Its number.
        turn: TurnNumber,
        /// How it ended.
        how: How,
    },
    /// To hearers: a seat was taken.
    Joined {
        /// Its name.
        name: &'a str,
        /// Its number.
        seat: u64,
    },
    /// To hearers: the connection of a seat is lost, its place is kept.
    Away {
        /// Its name.
        name: &'a str,
    },
    /// To hearers: a seat that was away is back.
    Back {
        /// Its name.
        name: &'a str,
    },
    /// To hearers: a seat was given up.
    Left {
        /// Its name.
        name: &'a str,
    },
    /// To hearers and the holder: the host stopped the ring and its clock.
    Paused {
        /// The ring.
        ring: &'a str,
    },
    /// To hearers and the holder: the ring goes on.
    Resumed {
        /// The ring.
        ring: &'a str,
    },
    /// To `PING`.
    Pong,
    /// The last message of a connection.
    Bye {
        /// The reason.
        code: Bye,
        /// Where to go instead, as `host:port`.
        at: Option<&'a str>,
        /// The reason for a person; written without them, those of the code.
        words: Option<&'a str>,
    },
}

/// What a seat does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SeatState {
    /// It will get the turn.
    Waiting,
    /// It does not want the turn now.
    Resting,
    /// It has the turn.
    Holding,
    /// It has the turn, and its answer is being judged.
    Judged,
    /// Its connection is lost.
    Away,
}

impl SeatState {
    /// All of them.
    pub const ALL: &[SeatState] =
        &[SeatState::Waiting, SeatState::Resting, SeatState::Holding, SeatState::Judged, SeatState::Away];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SeatState::Waiting => "waiting",
            SeatState::Resting => "resting",
            SeatState::Holding => "holding",
            SeatState::Judged => "judged",
            SeatState::Away => "away",
        }
    }

    fn parse(word: &str) -> Option<SeatState> {
        SeatState::ALL.iter().copied().find(|state| state.as_str() == word)
    }
}

impl<'a> Reply<'a> {
    /// Writes the whole message. Words are cut to what fits the line; what a client sent goes as payload where it does not fit.
    pub fn encode(&self, out: &mut impl Sink) {
        // What every turn writes, first.
        match *self {
            Reply::Go { turn, within, last } => {
                out.put(b"GO turn=");
                put_number(out, turn.get());
                put_field(out, b" within=", Some(within));
                put_field(out, b" last=", last.map(TurnNumber::get));
                out.put(b"\n");
            }
            Reply::Ok { turn, words: None } => {
                out.put(b"OK");
                put_field(out, b" turn=", turn.map(TurnNumber::get));
                out.put(b"\n");
            }
            _ => self.encode_seldom(&mut Counted::new(out)),
        }
    }

    fn encode_seldom(&self, out: &mut Counted<'_, impl Sink>) {
        match *self {
            Reply::Welcome { name, seat, ring, epoch, resume, last, judging } => {
                put_word(out, b"WELCOME ", name);
                put_field(out, b" seat=", Some(seat));
                put_word(out, b" ring=", ring);
                put_epoch(out, epoch);
                out.put(b" resume=");
                put_hex(out, resume.expose());
                put_field(out, b" last=", last.map(TurnNumber::get));
                put_field(out, b" judging=", judging.map(TurnNumber::get));
            }
            Reply::Watching { ring, epoch, turn } => {
                put_word(out, b"WATCHING ", ring);
                put_epoch(out, epoch);
                put_field(out, b" turn=", turn.map(TurnNumber::get));
            }
            Reply::Seat { name, seat, state, weight } => {
                put_word(out, b"SEAT ", name);
                put_field(out, b" seat=", Some(seat));
                put_word(out, b" state=", state.as_str());
                put_field(out, b" weight=", weight.map(u64::from));
            }
            Reply::Seats { ring, seats } => {
                put_word(out, b"SEATS ", ring);
                put_field(out, b" seats=", Some(seats as u64));
            }
            Reply::Wait { ahead, needs } => {
                put_field(out, b"WAIT ahead=", Some(ahead as u64));
                put_field(out, b" needs=", needs.map(|needs| needs as u64));
            }
            Reply::Ok { turn, words } => {
                out.put(b"OK");
                put_field(out, b" turn=", turn.map(TurnNumber::get));
                if let Some(words) = words {
                    return put_words(out, words);
                }
            }
            Reply::No { code, turn, within, words } => {
                put_word(out, b"NO ", code.as_str());
                put_field(out, b" turn=", turn);
                put_field(out, b" within=", within);
                return put_words(out, words.unwrap_or(code.words()));
            }
            Reply::Lapsed { turn, how } => {
                put_field(out, b"LAPSED turn=", Some(turn.get()));
                if let Some(how) = how {
                    put_word(out, b" how=", how.as_str());
                }
            }
            Reply::Say { content } => {
                out.put(b"SAY");
                return put_content(out, content);
            }
            Reply::Begin { name, turn, within } => {
                put_word(out, b"BEGIN ", name);
                put_field(out, b" turn=", Some(turn.get()));
                put_field(out, b" within=", Some(within));
            }
            Reply::Turn { name, turn, raw_name, content } => {
                put_word(out, b"TURN ", name);
                put_field(out, b" turn=", Some(turn.get()));
                if let Some(raw_name) = raw_name.filter(|raw_name| raw_name.parse::<Name>().is_ok()) {
                    put_word(out, b" as=", raw_name);
                }
                return put_content(out, content);
            }
            Reply::Skip { name, turn, how } => {
                put_word(out, b"SKIP ", name);
                put_field(out, b" turn=", Some(turn.get()));
                put_word(out, b" how=", how.as_str());
            }
            Reply::Joined { name, seat } => {
                put_word(out, b"JOINED ", name);
                put_field(out, b" seat=", Some(seat));
            }
            Reply::Away { name } => put_word(out, b"AWAY ", name),
            Reply::Back { name } => put_word(out, b"BACK ", name),
            Reply::Left { name } => put_word(out, b"LEFT ", name),
            Reply::Paused { ring } => put_word(out, b"PAUSED ", ring),
            Reply::Resumed { ring } => put_word(out, b"RESUMED ", ring),
            Reply::Pong => out.put(b"PONG"),
            Reply::Bye { code, at, words } => {
                put_word(out, b"BYE ", code.as_str());
                if let Some(at) = at {
                    put_word(out, b" at=", at);
                }
                return put_words(out, words.unwrap_or(code.words()));
            }
            Reply::Go { .. } => return self.encode(out),
        }
        out.put(b"\n");
    }

    /// Reads a message; `None` if it is none of the protocol's, or of a later version.
    #[must_use]
    pub fn parse(line: &'a str, payload: Option<&'a [u8]>) -> Option<Reply<'a>> {
        let read = Read { message: Message::parse(line).ok()?, payload };
        let reply = read.reply()?;
        read.is_shaped_like(&reply).then_some(reply)
    }
}

fn put_field(out: &mut impl Sink, key: &[u8], value: Option<u64>) {
    if let Some(value) = value {
        out.put(key);
        put_number(out, value);
    }
}

/// The word has to be one: what is not, would break the line.
fn put_word(out: &mut impl Sink, key: &[u8], word: &str) {
    debug_assert!(is_value(word), "{word:?} is no word");
    out.put(key);
    out.put(word.as_bytes());
}

fn put_epoch(out: &mut impl Sink, epoch: Epoch) {
    out.put(b" epoch=");
    put_hex(out, &epoch.0.to_be_bytes());
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
                seat: self.number("seat")?,
                ring: self.message.field("ring")?,
                epoch: self.epoch()?,
                resume: self.message.field("resume")?.parse().ok()?,
                last: self.perhaps_turn("last")?,
                judging: self.perhaps_turn("judging")?,
            },
            "WATCHING" => {
                Reply::Watching { ring: word?, epoch: self.epoch()?, turn: self.perhaps_turn("turn")? }
            }
            "SEAT" => Reply::Seat {
                name: word?,
                seat: self.number("seat")?,
                state: SeatState::parse(self.message.field("state")?)?,
                weight: self.perhaps("weight")?.map(u8::try_from).transpose().ok()?,
            },
            "SEATS" => Reply::Seats { ring: word?, seats: self.count("seats")? },
            "WAIT" => Reply::Wait {
                ahead: self.count("ahead")?,
                needs: self.perhaps("needs")?.map(usize::try_from).transpose().ok()?,
            },
            "GO" => Reply::Go {
                turn: self.turn()?,
                within: self.number("within")?,
                last: self.perhaps_turn("last")?,
            },
            "OK" => Reply::Ok { turn: self.perhaps_turn("turn")?, words },
            "NO" => Reply::No {
                code: word?.parse().ok()?,
                turn: self.perhaps("turn")?,
                within: self.perhaps("within")?,
                words,
            },
            "LAPSED" => Reply::Lapsed {
                turn: self.turn()?,
                how: self.message.field("how").map(str::parse).transpose().ok()?,
            },
            "SAY" => Reply::Say { content: self.content()? },
            "BEGIN" => Reply::Begin { name: word?, turn: self.turn()?, within: self.number("within")? },
            "TURN" => Reply::Turn {
                name: word?,
                turn: self.turn()?,
                raw_name: self.message.field("as"),
                content: self.content()?,
            },
            "SKIP" => {
                Reply::Skip { name: word?, turn: self.turn()?, how: self.message.field("how")?.parse().ok()? }
            }
            "JOINED" => Reply::Joined { name: word?, seat: self.number("seat")? },
            "AWAY" => Reply::Away { name: word? },
            "BACK" => Reply::Back { name: word? },
            "LEFT" => Reply::Left { name: word? },
            "PAUSED" => Reply::Paused { ring: word? },
            "RESUMED" => Reply::Resumed { ring: word? },
            "PONG" => Reply::Pong,
            "BYE" => Reply::Bye { code: word?.parse().ok()?, at: self.message.field("at"), words },
            _ => return None,
        })
    }

    /// Whether the message has a word, a text and a payload only where its reply foresees them.
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
        (has_content || self.payload.is_none() && self.message.field("bytes").is_none())
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

    fn number(&self, key: &str) -> Option<u64> {
        decimal(self.message.field(key)?)?.ok()
    }

    fn count(&self, key: &str) -> Option<usize> {
        usize::try_from(self.number(key)?).ok()
    }

    fn turn(&self) -> Option<TurnNumber> {
        TurnNumber::new(self.number("turn")?)
    }

    fn epoch(&self) -> Option<Epoch> {
        self.message.field("epoch")?.parse().ok()
    }

    /// The number in a field that may be left out; `None` if it is there but cannot be read.
    fn perhaps(&self, key: &str) -> Option<Option<u64>> {
        match self.message.field(key) {
            None => Some(None),
            Some(_) => self.number(key).map(Some),
        }
    }

    fn perhaps_turn(&self, key: &str) -> Option<Option<TurnNumber>> {
        match self.perhaps(key)? {
            None => Some(None),
            Some(number) => TurnNumber::new(number).map(Some),
        }
    }
}
