//! Events of clients, for their host.

use std::time::Duration;

use super::{ClientId, ClientTurn};
use crate::protocol::DialId;
use crate::session::{Bye, Code, Epoch, How, Name, ReportedState};
use crate::turn::TurnNumber;

/// An event of one client of a [`TurnClient`](super::TurnClient).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientEvent {
    /// The client.
    pub client: ClientId,
    /// The event itself.
    pub news: News,
}

/// Something that happened to a client.
///
/// Each turn that is [`Granted`](Self::Granted) ends in exactly one of [`Accepted`](Self::Accepted),
/// [`Over`](Self::Over) and [`Lost`](Self::Lost), unless the host [removes](super::TurnClient::remove) the
/// client before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// The client got its seat, for the first time or again.
    Welcomed(Box<Welcome>),
    /// The watcher hears its ring from now on.
    Watching {
        /// The life of the server.
        epoch: Epoch,
        /// The last turn that was granted; `None` if none was.
        turn: Option<TurnNumber>,
    },
    /// The seat begins to wait. Both numbers are `None` in the raw framing, which does not give them.
    Waiting {
        /// The number of seats that come first, including the holder.
        ahead: Option<usize>,
        /// The number of seats still missing before the ring starts; `None` if it is running.
        needs: Option<usize>,
    },
    /// The client has the turn. The host does its work, and then [answers](super::TurnClient::answer) or
    /// [passes](super::TurnClient::pass).
    Granted(ClientTurn),
    /// The client's turn has a new end: see [`ClientTurn::deadline`].
    TimeChanged(ClientTurn),
    /// The answer counts. The raw framing does not confirm answers, so there an answer counts once it is
    /// written.
    Accepted {
        /// The turn that was answered.
        turn: ClientTurn,
        /// The words of the server's host.
        words: Option<Box<str>>,
    },
    /// The server refused a line.
    Refused {
        /// The reason.
        code: Code,
        /// The turn, if it is still held and may be answered again.
        turn: Option<ClientTurn>,
        /// The reason, for a person to read.
        words: Option<Box<str>>,
    },
    /// The turn is over without an answer. Work that the host still does in it comes too late.
    Over {
        /// The turn.
        turn: ClientTurn,
        /// How it ended, as far as the client knows.
        how: Option<How>,
    },
    /// The turn is over, and its answer is not known to have counted.
    Lost {
        /// The turn.
        turn: ClientTurn,
        /// The answer.
        answer: Box<[u8]>,
        /// Whether it may have counted.
        status: AnswerStatus,
    },
    /// A request of the host was carried out, for example to [rest](super::TurnClient::rest).
    Confirmed {
        /// The words of the server's host.
        words: Option<Box<str>>,
    },
    /// A message from the server's host. It may contain any bytes, so escape them before printing.
    Said(Box<[u8]>),
    /// Something happened in the ring. Watchers hear this, and seats that asked to.
    Heard(Box<Heard>),
    /// The server answered a ping.
    Pong,
    /// The server gave its reason for closing the connection. The driver dials again, and the client resumes
    /// its seat or joins again, unless [`Ended`](Self::Ended) follows.
    Bye(Box<Farewell>),
    /// The server sent something that this version does not know. Both fields may contain anything, so escape
    /// them before printing.
    Unknown {
        /// The line. If it carries a secret or a token, it is escaped, and their values are left out.
        line: Box<str>,
        /// The payload that followed it.
        payload: Option<Box<[u8]>>,
    },
    /// The client has given up for good. Its connection is about to be closed, and would be closed again
    /// after every dial. The host should [hang up](crate::net::Driver::hang_up) and
    /// [remove](super::TurnClient::remove) the client.
    Ended {
        /// The reason.
        why: End,
        /// The dial to hang up.
        dial: Option<DialId>,
    },
}

/// The seat of a client, as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Welcome {
    /// The seat's number in its ring.
    pub seat: u64,
    /// The ring.
    pub ring: Name,
    /// The life of the server. Together with a turn's number it fences resources that clients act on.
    pub epoch: Epoch,
    /// Whether this is the same seat as before, in the same life of the server. If not, the server knows
    /// nothing about earlier turns.
    pub is_resumed: bool,
    /// The last turn of this seat whose answer was accepted; `None` if there is none.
    pub last: Option<TurnNumber>,
}

/// A server's last message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Farewell {
    /// The reason.
    pub code: Bye,
    /// The server to go to instead, as `host:port`, or several with commas between them. The host decides
    /// whether to trust it. If so, it [redirects](crate::net::Driver::redirect) the client's dial.
    pub at: Option<Box<str>>,
    /// The dial of the client.
    pub dial: Option<DialId>,
    /// The reason, for a person to read.
    pub words: Option<Box<str>>,
}

/// The status of an answer that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerStatus {
    /// It does not count and never will.
    NotCounted,
    /// It may have counted: the server no longer knows, or the connection broke while the answer was being
    /// sent.
    Unknown,
}

/// The reason why a client gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// Its seat was resumed on another client's connection.
    Superseded,
    /// The server does not admit it.
    Forbidden,
    /// The server's host removed its seat.
    Removed,
    /// It [left](super::TurnClient::leave).
    Left,
    /// Its token may not be sent in plain text to the dialed address:
    /// [`allow_plaintext_secrets`](super::ClientConfig::allow_plaintext_secrets).
    PlaintextToken,
    /// The server expects TLS, and the connection is plain:
    /// [`Driver::connect_wrapped`](crate::net::Driver::connect_wrapped).
    TlsRequired,
    /// The server refuses its `JOIN`, because the ring does not allow its demand or weight. The
    /// [`News::Refused`] before this says so.
    Refused,
}

/// Something that happened in a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// One seat of the ring, sent at the beginning.
    Seat {
        /// Its name.
        name: Name,
        /// Its number.
        seat: u64,
        /// Whether it waits, rests, holds the turn, or is away.
        state: ReportedState,
        /// Its weight.
        weight: u8,
    },
    /// All seats have been reported.
    Seats {
        /// The number of seats in the ring, including any that were not reported.
        seats: usize,
    },
    /// A turn began.
    Began {
        /// The name of its holder.
        name: Name,
        /// Its number.
        turn: TurnNumber,
        /// Its time.
        within: Duration,
    },
    /// A turn was answered.
    Answered {
        /// The name of its holder.
        name: Name,
        /// Its number.
        turn: TurnNumber,
        /// The name that a raw client wrote in its answer.
        raw_name: Option<Name>,
        /// The answer. Escape it before printing.
        answer: Box<[u8]>,
    },
    /// A turn ended without an answer.
    Skipped {
        /// The name of its holder.
        name: Name,
        /// Its number.
        turn: TurnNumber,
        /// How it ended.
        how: How,
    },
    /// A seat was taken.
    Joined {
        /// Its name.
        name: Name,
        /// Its number.
        seat: u64,
    },
    /// The connection of a seat was lost. The seat is kept for its grace.
    Away(Name),
    /// A seat that was away is back.
    Back(Name),
    /// A seat was given up.
    Left(Name),
    /// The server's host stopped the ring and its clock. The holder hears this as well.
    Paused,
    /// The ring continues. The holder is told as well.
    Resumed,
}
