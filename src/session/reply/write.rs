//! Replies, written.

use super::Reply;
use crate::session::credential::Epoch;
use crate::session::fields::is_value;
use crate::session::name::Name;
use crate::session::put::{put_content, put_hex, put_number, put_words};
use crate::turn::TurnNumber;

/// The longest `at=`: a host name has 253 bytes at most. A longer one is left out.
const AT_BYTES_MAX: usize = 300;

impl Reply<'_> {
    /// Appends the whole message to `out`. Words are cut to fit the line. Content that does not fit becomes a
    /// payload.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::Reply;
    /// let mut out = Vec::new();
    /// Reply::Paused { ring: "main" }.encode(&mut out);
    /// assert_eq!(out, b"PAUSED main\n");
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match *self {
            Reply::Go { turn, within, last } => {
                put_field(out, b"GO turn=", Some(turn.get()));
                put_field(out, b" within=", Some(within));
                put_field(out, b" last=", last.map(TurnNumber::get));
            }
            Reply::Welcome { name, seat, ring, epoch, resume, last, judging } => {
                put_word(out, b"WELCOME ", name);
                put_field(out, b" seat=", Some(seat));
                put_word(out, b" ring=", ring);
                put_epoch(out, epoch);
                out.extend_from_slice(b" resume=");
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
                match turn {
                    Some(turn) => put_field(out, b"OK turn=", Some(turn.get())),
                    None => out.extend_from_slice(b"OK"),
                }
                if let Some(words) = words {
                    return put_words(out, start, words);
                }
            }
            Reply::No { code, turn, within, words } => {
                put_word(out, b"NO ", code.as_str());
                put_field(out, b" turn=", turn);
                put_field(out, b" within=", within);
                return put_words(out, start, words.unwrap_or(code.words()));
            }
            Reply::Lapsed { turn, how } => {
                put_field(out, b"LAPSED turn=", Some(turn.get()));
                if let Some(how) = how {
                    put_word(out, b" how=", how.as_str());
                }
            }
            Reply::Say { content } => {
                out.extend_from_slice(b"SAY");
                return put_content(out, start, content);
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
                return put_content(out, start, content);
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
            Reply::Pong => out.extend_from_slice(b"PONG"),
            Reply::Bye { code, at, words } => {
                put_word(out, b"BYE ", code.as_str());
                if let Some(at) = at.filter(|at| is_value(at) && at.len() <= AT_BYTES_MAX) {
                    put_word(out, b" at=", at);
                }
                return put_words(out, start, words.unwrap_or(code.words()));
            }
        }
        out.extend_from_slice(b"\n");
    }
}

fn put_field(out: &mut Vec<u8>, key: &[u8], value: Option<u64>) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        put_number(out, value);
    }
}

/// Writes a word. Anything else would break the line.
fn put_word(out: &mut Vec<u8>, key: &[u8], word: &str) {
    debug_assert!(is_value(word), "{word:?} is no word");
    out.extend_from_slice(key);
    out.extend_from_slice(word.as_bytes());
}

fn put_epoch(out: &mut Vec<u8>, epoch: Epoch) {
    out.extend_from_slice(b" epoch=");
    put_hex(out, &epoch.0.to_be_bytes());
}
