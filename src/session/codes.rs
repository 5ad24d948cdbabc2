//! The codes on the wire: why a line was refused, why a connection is closed, how a turn ended without an
//! answer.

use std::fmt;
use std::str::FromStr;

/// The text is not a code of this kind; a later version of the protocol may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCode;

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown code")
    }
}

impl std::error::Error for UnknownCode {}

/// An enum that gives each variant its code on the wire and its words for people.
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
            /// All of them, in the order of their declaration.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The code on the wire.
            ///
            /// # Examples
            ///
            /// ```
            /// use taketurns::protocol::turns::{Bye, Code, How};
            ///
            /// assert_eq!(Code::NotYourTurn.as_str(), "not-your-turn");
            /// assert_eq!((Bye::Left.as_str(), How::Lapsed.as_str()), ("left", "lapsed"));
            /// ```
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $code,)* }
            }

            /// Words for people, which follow the code if nothing more precise is known.
            ///
            /// # Examples
            ///
            /// ```
            /// use taketurns::protocol::turns::{Bye, Code, How};
            ///
            /// assert_eq!(Code::NotYourTurn.words(), "it is not your turn; wait for GO");
            /// assert_eq!((Bye::Left.words(), How::Lapsed.words()), ("goodbye", "its deadline passed"));
            /// ```
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $($name::$variant => $words,)* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownCode;

            fn from_str(code: &str) -> Result<$name, UnknownCode> {
                match code { $($code => Ok($name::$variant),)* _ => Err(UnknownCode) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

coded! {
    /// The reason of a refusal: `NO <code> [turn=<n>] [within=<ms>] :<words>`.
    Code {
        /// The line is not one of the protocol's.
        Malformed = "malformed", "this line is not part of the protocol";
        /// A number is larger or smaller than allowed.
        OutOfRange = "out-of-range", "a number is out of range";
        /// The line is for a turn or a server life that is over, or changes an answer that was accepted.
        StaleTurn = "stale-turn", "that turn is over or has not begun";
        /// The seat does not hold the turn.
        NotYourTurn = "not-your-turn", "it is not your turn; wait for GO";
        /// The line needs a seat, and the connection has none.
        NotJoined = "not-joined", "take a seat first: JOIN <name>";
        /// The connection has a seat already, or watches a ring.
        AlreadyJoined = "already-joined", "this connection already has a seat or watches a ring";
        /// The payload is larger than an answer may be. It was skipped.
        TooLarge = "too-large", "the answer is larger than allowed";
        /// The host judged the answer and refused it.
        Refused = "refused", "the host refused this answer";
        /// The host did not judge the answer in time.
        NotJudged = "not-judged", "the host did not judge this answer in time";
        /// The holder's answer is being judged, so its turn cannot be given up now.
        Judging = "judging", "your answer is being judged";
        /// The turn has lasted as long as a turn may.
        HoldMax = "hold-max", "this turn cannot be extended any further";
    }
}

coded! {
    /// The reason why the server closes a connection: `BYE <code> [at=<host:port>] :<words>`.
    Bye {
        /// As many clients, seats or rings as allowed.
        Full = "full", "the server is full; try again later";
        /// As many seats in this ring as allowed.
        RingFull = "ring-full", "this ring is full; try again later";
        /// Another client has a seat under that name.
        NameTaken = "name-taken", "another client has a seat under that name";
        /// No seat of that name, ring and epoch has this secret.
        BadSecret = "bad-secret", "no seat has that name and secret; join without resume=, or under another name";
        /// The seat was resumed on another connection.
        Superseded = "superseded", "your seat was resumed on another connection";
        /// Neither `JOIN` nor `WATCH` came within the hello timeout.
        HelloTimeout = "hello-timeout", "no JOIN or WATCH arrived in time";
        /// A line or payload did not end in time.
        LineTimeout = "line-timeout", "a line or payload did not end in time";
        /// A line is longer than allowed.
        TooLong = "too-long", "a line is longer than allowed";
        /// A line is not UTF-8.
        NotUtf8 = "not-utf8", "a line is not UTF-8";
        /// A payload cannot be told from the lines around it, or a client that has not joined sent a second
        /// malformed line.
        Malformed = "malformed", "the end of a message cannot be found";
        /// The client speaks another protocol.
        NotHere = "not-here", "another protocol is spoken here";
        /// The client uses plain text at an address that needs TLS. Sent before any session begins.
        TlsRequired = "tls-required", "this address needs TLS";
        /// The client gave its seat up, or stopped watching.
        Left = "left", "goodbye";
        /// The host removed the seat.
        Removed = "removed", "the host removed your seat";
        /// The host or an access rule does not admit the client.
        Forbidden = "forbidden", "you may not join this ring";
        /// The server stops.
        ShuttingDown = "shutting-down", "the server is shutting down";
        /// Another server serves the ring; `at=` gives its address.
        Moved = "moved", "another server serves this ring";
        /// This server is on standby, because another one serves in its place.
        Standby = "standby", "this server is on standby";
    }
}

coded! {
    /// How a turn ended without an answer: `SKIP <name> turn=<n> how=<how>`.
    How {
        /// The holder gave it up.
        Passed = "passed", "its holder gave it up";
        /// Its deadline passed.
        Lapsed = "lapsed", "its deadline passed";
        /// Its holder was lost or left.
        Gone = "gone", "its holder was lost or left";
        /// The host ended it.
        Skipped = "skipped", "the host skipped it";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_read_as_written<C: FromStr + PartialEq + Copy>(
        all: &[C],
        code: impl Fn(C) -> &'static str,
    ) -> bool {
        all.iter().all(|&one| code(one).parse().is_ok_and(|read: C| read == one))
    }

    #[test]
    fn every_code_is_read_as_it_is_written() {
        assert!(is_read_as_written(Code::ALL, Code::as_str));
        assert!(is_read_as_written(Bye::ALL, Bye::as_str));
        assert!(is_read_as_written(How::ALL, How::as_str));
        assert_eq!("unheard-of".parse::<Code>(), Err(UnknownCode));
        assert_eq!((Code::ALL.len(), Bye::ALL.len(), How::ALL.len()), (11, 18, 4));
        assert_eq!(
            (Bye::RingFull.to_string(), UnknownCode.to_string()),
            ("ring-full".into(), "unknown code".into())
        );
    }

    #[test]
    fn words_fit_a_line_and_break_none() {
        let codes = Code::ALL.iter().map(|code| code.words());
        let all =
            codes.chain(Bye::ALL.iter().map(|bye| bye.words())).chain(How::ALL.iter().map(|how| how.words()));
        for words in all {
            assert!(words.len() < 100 && !words.chars().any(char::is_control), "{words}");
        }
    }
}
