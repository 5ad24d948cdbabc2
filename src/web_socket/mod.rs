//! WebSocket for line protocol 1: a [`Wrapping`](crate::engine::Wrapping), without I/O.
//!
//! Each text message is one line without its LF; one that contains LF is `malformed`. The payload that a line
//! announces with `bytes=` is a binary message of exactly that length right after it. The subprotocol is
//! `taketurns.line.1`, which is also used for a client that names none. There are no extensions.
//!
//! # Access
//!
//! Any page in a browser can open a WebSocket to any address that its machine reaches, including loopback. So
//! the page's origin must be the host that it connects to, or one of [`origins`](WebSocketConfig::origins). A
//! program other than a browser sends no origin, and is not checked.
//!
//! A page can also make its own name resolve to an address of the victim's machine, which gives it the same
//! origin. So that name must be one of [`hosts`](WebSocketConfig::hosts). Loopback names and addresses are
//! always allowed, which is enough for a server without a name.
//!
//! # Close codes
//!
//! The close reason is the code of `BYE`, which is also sent as a message before the close frame.
//!
//! | code | when |
//! |---|---|
//! | 1000 | `left`, and where there was no `BYE` |
//! | 1001 | `shutting-down`, `standby` |
//! | 1002 | the frames break RFC 6455, or a payload is not the binary message that its line announced |
//! | 1007 | `not-utf8` |
//! | 1008 | all others, such as `name-taken`, `superseded`, `malformed` |
//! | 1009 | `too-long` |
//! | 1013 | `full`, `ring-full` |

#[cfg(all(test, feature = "net"))]
mod autobahn;
mod config;
mod frames;
mod handshake;
mod socket;

pub use config::{InvalidOrigin, WebSocketConfig};
pub use socket::WebSocket;

use crate::session::Bye;

/// The code of a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Code(u16);

impl Code {
    const DONE: Code = Code(1000);
    const AWAY: Code = Code(1001);
    const BAD_FRAME: Code = Code(1002);
    const NOT_UTF8: Code = Code(1007);
    const POLICY: Code = Code(1008);
    const TOO_LONG: Code = Code(1009);
    const TRY_LATER: Code = Code(1013);

    /// Returns the code for a `BYE`.
    fn of_bye(bye: Bye) -> Code {
        match bye {
            Bye::Left => Code::DONE,
            Bye::ShuttingDown | Bye::Standby => Code::AWAY,
            Bye::NotUtf8 => Code::NOT_UTF8,
            Bye::TooLong => Code::TOO_LONG,
            Bye::Full | Bye::RingFull => Code::TRY_LATER,
            _ => Code::POLICY,
        }
    }
}
