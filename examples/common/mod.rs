//! Code that the example programs share: options, logging, printing, signals, and how they end. None of it is
//! the library's.
#![allow(dead_code, reason = "each example uses a part of it")]

pub mod access;
pub mod addresses;
pub mod answers;
mod background;
#[cfg(unix)]
pub mod command;
#[cfg(unix)]
pub mod console;
pub mod counting;
pub mod files;
pub mod journal;
pub mod keeping;
pub mod lease;
pub mod logger;
pub mod lookup;
pub mod news;
pub mod options;
pub mod output;
pub mod server;
pub mod signals;
pub mod state;
pub mod status;
#[cfg(unix)]
mod terminal;
pub mod tls;
pub mod web;

use std::fmt;
use std::io;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use taketurns::net::Target;
use taketurns::protocol::turns::{End, Name};
use taketurns::session::Redacted;

/// Ends a program: its error is one line on standard error, and exit code 1.
pub fn exit_code(result: Result<(), String>) -> ExitCode {
    end(result.map(|()| ExitCode::SUCCESS))
}

/// The same for a program with exit codes of its own.
pub fn end(result: Result<ExitCode, String>) -> ExitCode {
    let code = result.unwrap_or_else(|message| {
        complain(format_args!("{message}"));
        ExitCode::FAILURE
    });
    output::finish();
    code
}

/// One line on standard error.
pub fn complain(message: fmt::Arguments<'_>) {
    output::complain(message);
}

/// The time zone of this machine. That it is not known is said, because times in UTC may look right.
pub fn zone() -> TimeZone {
    match TimeZone::try_system() {
        Ok(zone) => zone,
        Err(_) => {
            let source = match environment("TZ") {
                Some(zone) => format!("TZ={}", printable(&zone)),
                None => "/etc/localtime".to_owned(),
            };
            // A machine that says nothing of its zone has UTC.
            if !source.starts_with('/') || std::fs::symlink_metadata(&source).is_ok() {
                log::warn!(
                    "{source}: this time zone is not known here, so times are in UTC; is tzdata installed?"
                );
            }
            TimeZone::UTC
        }
    }
}

/// A server's text, with what could rearrange a terminal escaped.
pub fn printable(text: &str) -> String {
    let show = |c: char| match c {
        '\'' | '"' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(show).collect()
}

/// A server's words for a log: they may repeat a line that has a secret.
pub fn loggable(words: &str) -> String {
    let shown = Redacted(words.as_bytes());
    if shown.hides() { shown.to_string() } else { printable(words) }
}

/// Escapes bytes of a peer for a terminal.
pub fn printable_bytes(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), printable)
}

/// An option's default from the environment; a variable that is empty counts as absent.
pub fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}

/// Returns the default turn server to connect to.
pub fn default_server() -> String {
    environment("TAKETURNS_CONNECT").unwrap_or_else(|| "127.0.0.1:5001".to_owned())
}

/// Mentions the absence of a server once, until it is back.
#[derive(Default)]
pub struct Absence(bool);

impl Absence {
    pub fn is_over(&mut self) {
        self.0 = false;
    }

    /// Says that the server cannot be reached, and what to do about it, unless that was said.
    pub fn mention(&mut self, target: &Target, error: &io::Error) {
        if !std::mem::replace(&mut self.0, true) {
            complain(format_args!("cannot connect to {target}: {error}; {}", advise_dialing(error)));
        }
    }
}

/// Makes a unique name of this machine, this process and a random number.
#[cfg(unix)]
pub fn unique_name() -> Name {
    let mut random = [0; 4];
    taketurns::net::os_entropy()(&mut random);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = host.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(40);
    let (host, process) = (host.collect::<String>(), std::process::id());
    let name = format!("{host}-{process}-{:08x}", u32::from_le_bytes(random));
    name.parse().expect("62 characters that a name may have, at most")
}

/// Advice about a server that cannot be reached, while the client goes on trying.
pub fn advise_dialing(error: &io::Error) -> &'static str {
    const EMFILE: i32 = 24;
    match error.raw_os_error() {
        Some(EMFILE) if cfg!(unix) => "fewer --clients, or see ulimit -n",
        None if error.kind() == io::ErrorKind::InvalidData => {
            "see --tls, --tls-ca and --tls-name; trying again, at least every 2 s"
        }
        _ => "trying again, at least every 2 s, until a server is there (see --connect)",
    }
}

/// Returns the reason for which a client of a turn server gave up.
pub fn reason(why: End) -> &'static str {
    match why {
        End::Superseded => "superseded: the seat was resumed by another client",
        End::Forbidden => "forbidden: the server does not admit this client",
        End::Removed => "removed: the server's host took the seat away",
        End::PlaintextToken => "a token is not sent in plain text to another machine; see --tls",
        End::TlsRequired => "tls-required: the server speaks TLS; see --tls",
        _ => "the client left",
    }
}

/// Reads a log level.
pub fn level(text: &str) -> Result<log::LevelFilter, String> {
    text.parse().map_err(|_| "expected off, error, warn, info, debug or trace".to_owned())
}

/// Advice about a failure to listen on an address of `--listen`.
pub fn advise(error: &taketurns::net::Error) -> String {
    advise_on(error, "--listen")
}

/// Advice about a failure to listen on the address of `option`.
pub fn advise_on(error: &taketurns::net::Error, option: &str) -> String {
    use taketurns::net::Error;
    let advice = match error {
        Error::Listen { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another program has it: stop that one, or choose another with {option}")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("it is not this machine's; choose another with {option}")
            }
            io::ErrorKind::PermissionDenied => {
                format!("ports below 1024 need privileges; choose another with {option}")
            }
            _ => format!("choose another with {option}"),
        },
        Error::Buffer(_) => "set a larger one".to_owned(),
        _ => "this is a limit of the system; see ulimit -n".to_owned(),
    };
    format!("{error}; {advice}")
}
