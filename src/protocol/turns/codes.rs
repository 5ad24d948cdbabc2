//! The codes on the wire: why a line was refused, why a connection is closed, how a turn ended without a number.

use std::fmt;

use crate::turn::Outcome;

/// An enum whose every variant has a word on the wire and words for people, said once.
macro_rules! coded {
    (
        $(#[$about:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $words:literal;)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one there is.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The code on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $code,)* }
            }

            /// What it tells a person.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $($name::$variant => $words,)* }
            }

            /// The one with this code.
            #[must_use]
            pub fn parse(code: &str) -> Option<$name> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

coded! {
    /// Why something was refused: `NO turn=<n> <code> <words>`.
    Code {
        /// The line is none of the protocol's.
        Malformed = "malformed", "expected NAME:NUMBER, JOIN, PASS, LEAVE, WATCH or PING";
        /// A number is out of range.
        BadNumber = "bad-number", "a number is out of range";
        /// The answer is for another turn than the current one, or another number for an accepted turn.
        StaleTurn = "stale-turn", "that turn is over or has not begun";
        /// The seat does not hold the turn.
        NotYourTurn = "not-your-turn", "wait for GO";
        /// The answer is under another name than the seat's.
        WrongName = "wrong-name", "answer under the name that you joined with";
        /// It needs a seat, and the connection has none.
        NotJoined = "not-joined", "take a seat first: JOIN NAME";
        /// The connection has a seat already, or observes.
        AlreadyJoined = "already-joined", "this connection has a seat or observes";
    }
}

coded! {
    /// Why the server closes a connection: `BYE <code> <words>`.
    Bye {
        /// The client gave its seat up.
        Left = "left", "your seat is given up";
        /// Another client sits under that name.
        NameTaken = "name-taken", "another client has a seat under that name";
        /// The secret is not that of a seat of this name, ring and epoch.
        BadSecret = "bad-secret", "no seat with that name and secret; join without resume=";
        /// The seat was resumed on another connection.
        Superseded = "superseded", "your seat was resumed on another connection";
        /// A line is longer than allowed.
        TooLong = "too-long", "a line is longer than allowed";
        /// A line is not UTF-8.
        NotUtf8 = "not-utf8", "a line is not UTF-8";
        /// No valid JOIN or WATCH within the hello timeout.
        HelloTimeout = "hello-timeout", "no JOIN or WATCH came in time";
        /// A line that was begun did not end in time.
        LineTimeout = "line-timeout", "a line did not end in time";
        /// As many clients, seats or rings as allowed.
        Full = "full", "there is no room; try again later";
        /// The host program does not want the client.
        Removed = "removed", "the server has removed this client";
        /// The server stops.
        ShuttingDown = "shutting-down", "the server stops";
    }
}

coded! {
    /// How a turn ended without a number: `SKIP turn=<n> <name> <code>`.
    Skipped {
        /// Given up.
        Passed = "passed", "its holder gave it up";
        /// Past its deadline.
        Lapsed = "lapsed", "its deadline passed";
        /// The connection was lost or the seat given up.
        Gone = "gone", "its holder was lost or left";
    }
}

impl Skipped {
    /// The number of a turn that was answered, or how it ended without one.
    pub(super) fn of(outcome: Outcome) -> Result<i64, Skipped> {
        match outcome {
            Outcome::Answered(number) => Ok(number),
            Outcome::Passed => Err(Skipped::Passed),
            Outcome::Lapsed => Err(Skipped::Lapsed),
            Outcome::Gone => Err(Skipped::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_as_it_is_written() {
        assert!(Code::ALL.iter().all(|&code| Code::parse(code.as_str()) == Some(code)));
        assert!(Bye::ALL.iter().all(|&bye| Bye::parse(bye.as_str()) == Some(bye)));
        assert!(Skipped::ALL.iter().all(|&how| Skipped::parse(how.as_str()) == Some(how)));
        assert_eq!(Code::parse("unheard-of"), None);
    }
}
