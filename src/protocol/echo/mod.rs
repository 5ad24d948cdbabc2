//! Timestamped echo: a client sends a message and gets it back, preceded by the server's local time.
//!
//! docs/LEGACY.md in the repository numbers each of its sentences, and the code refers to these numbers
//! (E2, E4).

mod client;
mod server;

use std::time::{Duration, SystemTime};

pub use client::{EchoClient, EchoClientConfig, EchoClientEvent};
pub use server::EchoServer;

/// Formats a time for people: `YYYY-MM-DD HH:MM:SS`, local. The host provides this, because time zones are
/// files of the system; the example uses the `jiff` crate.
pub type Stamp = Box<dyn Fn(SystemTime) -> String + Send>;

/// Limits and times of an [`EchoServer`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EchoServerConfig {
    /// Whether the connection stays open, and every line gets one line in answer. Default `false`: one
    /// message per connection.
    pub keep_open: bool,
    /// The longest message, without its end. Default 64 KiB; more than
    /// [`in_bytes_max`](crate::engine::DriverConfig::in_bytes_max) cannot be received. With `keep_open`,
    /// lines wait while more than half of [`out_bytes_max`](crate::engine::DriverConfig::out_bytes_max) is
    /// queued in answers that the client has not read.
    pub message_bytes_max: usize,
    /// A message without an end that is shorter than this is taken as complete: old clients send no end, and
    /// their servers make do with one `recv(1024)`. Default 1,024. Not used with `keep_open`.
    pub whole_bytes_max: usize,
    /// The silence after which a longer message is taken as complete. Default 50 ms. Not used with
    /// `keep_open`.
    pub gather_time: Duration,
    /// How long a connection may go without a message, and how long a message may go without its end. Default
    /// 10 s. With `keep_open` a connection may stay silent between two lines.
    pub idle_timeout: Duration,
    /// The most connections. Any further one is turned away. Default 10,000.
    pub max_clients: usize,
}

impl Default for EchoServerConfig {
    fn default() -> Self {
        EchoServerConfig {
            keep_open: false,
            message_bytes_max: 64 * 1024,
            whole_bytes_max: 1024,
            gather_time: Duration::from_millis(50),
            idle_timeout: Duration::from_secs(10),
            max_clients: 10_000,
        }
    }
}

/// An event of an [`EchoServer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EchoEvent {
    /// A message was answered.
    Answered {
        /// The client's connection.
        connection: crate::protocol::ConnectionId,
        /// The message's length.
        bytes: usize,
    },
    /// A message was refused: too long, too slow, or not UTF-8.
    Refused {
        /// The client's connection.
        connection: crate::protocol::ConnectionId,
    },
}
