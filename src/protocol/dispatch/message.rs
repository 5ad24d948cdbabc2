//! The messages of the protocol.

use std::fmt;

use super::Rank;

/// The longest command, in bytes.
pub const COMMAND_BYTES_MAX: usize = 960;

/// The longest message of a client: `C`, the claimed rank and a command.
pub(super) const MESSAGE_BYTES_MAX: usize = COMMAND_BYTES_MAX + 24;

/// A command for another client to execute: 1 to 960 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(String);

/// A text that is not a [`Command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCommand;

impl fmt::Display for InvalidCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a command has 1 to {COMMAND_BYTES_MAX} bytes and no control characters")
    }
}

impl std::error::Error for InvalidCommand {}

impl Command {
    /// Returns the command as it arrived.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::dispatch::Command;
    ///
    /// let command: Command = "dance".parse()?;
    /// assert_eq!(command.as_str(), "dance");
    /// assert!("two\nlines".parse::<Command>().is_err());
    /// # Ok::<(), taketurns::protocol::dispatch::InvalidCommand>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Command {
    type Err = InvalidCommand;

    fn from_str(text: &str) -> Result<Command, InvalidCommand> {
        let valid = (1..=COMMAND_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        valid.then(|| Command(text.to_owned())).ok_or(InvalidCommand)
    }
}

/// `Display` escapes characters that could rearrange the text around them on a terminal.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::protocol::write_printable(&self.0, f)
    }
}

/// A client's message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// `C {claimed rank} {command}`. The claim may exceed all ranks.
    Command { claimed: Rank, command: Command },
    /// `D {id}`: done (line framing).
    Done(u64),
}

impl Request {
    pub(super) fn parse(text: &str) -> Option<Request> {
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "C" => {
                let (claimed, command) = rest.split_once(' ')?;
                let is_rank = !claimed.is_empty() && claimed.bytes().all(|byte| byte.is_ascii_digit());
                let claimed = is_rank.then(|| Rank(claimed.parse().unwrap_or(usize::MAX)))?;
                Some(Request::Command { claimed, command: command.parse().ok()? })
            }
            "D" => Some(Request::Done(rest.parse().ok()?)),
            _ => None,
        }
    }
}

/// A server's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// `Your rank is {r}`
    Rank(Rank),
    /// `RYour rank is now {r}`
    NewRank(Rank),
    /// ` {r} {command} {r}`: the sender's rank on both sides (raw framing).
    Execute(Rank, Command),
    /// `C {id} {command}` (line framing, like all that follow)
    Job(u64, Command),
    /// `A {id}`: accepted.
    Accepted(u64),
    /// `O {id}`: done.
    Done(u64),
    /// `X {reason}`
    Rejected(String),
}

const RANK: &str = "Your rank is ";
const NEW_RANK: &str = "RYour rank is now ";

impl Reply {
    pub(super) fn parse(text: &str) -> Option<Reply> {
        if let Some(rank) = text.strip_prefix(RANK) {
            return rank.parse().ok().map(|rank| Reply::Rank(Rank(rank)));
        }
        if let Some(rank) = text.strip_prefix(NEW_RANK) {
            return rank.parse().ok().map(|rank| Reply::NewRank(Rank(rank)));
        }
        let (kind, rest) = text.split_once(' ')?;
        Some(match kind {
            "" => {
                let (first, rest) = rest.split_once(' ')?;
                let (command, last) = rest.rsplit_once(' ')?;
                let rank = first.parse().ok().filter(|_| first == last)?;
                Reply::Execute(Rank(rank), command.parse().ok()?)
            }
            "C" => {
                let (id, command) = rest.split_once(' ')?;
                Reply::Job(id.parse().ok()?, command.parse().ok()?)
            }
            "A" => Reply::Accepted(rest.parse().ok()?),
            "O" => Reply::Done(rest.parse().ok()?),
            "X" => Reply::Rejected(rest.to_owned()),
            _ => return None,
        })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Rank(rank) => write!(f, "{RANK}{rank}"),
            Reply::NewRank(rank) => write!(f, "{NEW_RANK}{rank}"),
            Reply::Execute(rank, command) => write!(f, " {rank} {} {rank}", command.as_str()),
            Reply::Job(id, command) => write!(f, "C {id} {}", command.as_str()),
            Reply::Accepted(id) => write!(f, "A {id}"),
            Reply::Done(id) => write!(f, "O {id}"),
            Reply::Rejected(reason) => write!(f, "X {reason}"),
        }
    }
}

/// Splits two messages of a raw server that arrived as one, if one of them is a rank.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let rank = text.strip_prefix(RANK).or_else(|| text.strip_prefix(NEW_RANK));
    let at = match rank {
        Some(rank) => text.len() - rank.trim_start_matches(|c: char| c.is_ascii_digit()).len(),
        None => text.find(NEW_RANK)?,
    };
    text.split_at_checked(at).filter(|(first, rest)| !first.is_empty() && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_survive_being_written_and_read() {
        for text in [
            "Your rank is 0",
            "RYour rank is now 12",
            " 0 dance now 0",
            " 3 x 3",
            "C 7 dance now",
            "A 7",
            "O 7",
            "X lowest-rank",
            "X worker-gone 7",
        ] {
            assert_eq!(Reply::parse(text).expect(text).to_string(), text);
        }
        for bad in ["", " ", " 1 x 2", "R", "Your rank is x", "C x y", " 1  1"] {
            assert_eq!(Reply::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_rank_is_told_apart_from_its_neighbours() {
        for (first, rest) in [
            ("Your rank is 1", "RYour rank is now 0"),
            ("Your rank is 12", " 0 dance 0"),
            ("RYour rank is now 1", " 0 dance 0 0 sing 0"),
            (" 0 dance 0", "RYour rank is now 1"),
        ] {
            assert_eq!(split(&format!("{first}{rest}")), Some((first, rest)));
        }
        for whole in ["", "RYour rank is now 1", "Your rank is ", "hello", " 0 a 1"] {
            assert_eq!(split(whole), None, "{whole:?}");
        }
    }

    #[test]
    fn requests_are_read_strictly() {
        let command = |claimed, text: &str| Request::Command {
            claimed: Rank(claimed),
            command: text.parse().expect("valid"),
        };
        assert_eq!(Request::parse("C 0 dance"), Some(command(0, "dance")));
        assert_eq!(Request::parse("C 12 dance now"), Some(command(12, "dance now")));
        assert_eq!(Request::parse("C 99999999999999999999 x"), Some(command(usize::MAX, "x")));
        assert_eq!(Request::parse("D 7"), Some(Request::Done(7)));
        let long = format!("C 0 {}", "x".repeat(COMMAND_BYTES_MAX + 1));
        for bad in [
            "",
            "C",
            "C 0",
            "C 0 ",
            "C x dance",
            "C -1 dance",
            "C +1 dance",
            "C  dance",
            "c 0 dance",
            "C 0 a\x1b[2J",
            "D x",
            &long,
        ] {
            assert_eq!(Request::parse(bad), None, "{bad:?}");
        }
    }
}
