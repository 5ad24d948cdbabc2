//! Code shared by the example programs: options, logging, printing, signals, and how they end. None of it
//! belongs to the library.
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
pub mod lease;
pub mod log_file;
pub mod logger;
pub mod lookup;
pub mod loops;
pub mod news;
pub mod options;
pub mod output;
pub mod remote;
pub mod server;
pub mod signals;
pub mod spread;
#[cfg(feature = "etcd")]
pub mod standby;
pub mod state;
pub mod status;
pub mod storage;
#[cfg(unix)]
mod terminal;
pub mod tls;
pub mod web;

use std::fmt;
use std::io;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use taketurns::protocol::turns::{End, Name};
use taketurns::session::Redacted;

/// Ends a program. An error becomes one line on standard error and exit code 1.
pub fn exit_code(result: Result<(), String>) -> ExitCode {
    end(result.map(|()| ExitCode::SUCCESS))
}

/// Like [`exit_code`], for a program with exit codes of its own.
pub fn end(result: Result<ExitCode, String>) -> ExitCode {
    let code = result.unwrap_or_else(|message| {
        complain(format_args!("{message}"));
        ExitCode::FAILURE
    });
    output::finish();
    code
}

/// Prints one line on standard error.
pub fn complain(message: fmt::Arguments<'_>) {
    output::complain(message);
}

/// Returns the time zone of this machine. Warns if it is unknown, because times in UTC may look right.
pub fn zone() -> TimeZone {
    match TimeZone::try_system() {
        Ok(zone) => zone,
        Err(_) => {
            let source = match environment("TZ") {
                Some(zone) => format!("TZ={}", printable(&zone)),
                None => "/etc/localtime".to_owned(),
            };
            // UTC is the correct zone of a machine that does not configure any.
            if !source.starts_with('/') || std::fs::symlink_metadata(&source).is_ok() {
                log::warn!("{source}: unknown time zone, so times are in UTC; is tzdata installed?");
            }
            TimeZone::UTC
        }
    }
}

/// Returns a server's text with characters escaped that could rearrange a terminal.
pub fn printable(text: &str) -> String {
    let show = |c: char| match c {
        '\'' | '"' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(show).collect()
}

/// Returns a server's words for a log, without secrets, because they may quote a client's line.
pub fn loggable(words: &str) -> String {
    let shown = Redacted(words.as_bytes());
    if shown.hides() { shown.to_string() } else { printable(words) }
}

/// Escapes bytes of a peer for a terminal.
pub fn printable_bytes(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), printable)
}

/// Returns an option's default from the environment. An empty variable counts as absent.
pub fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}

/// Returns a unique name made of this machine, this process and a random number.
#[cfg(unix)]
pub fn unique_name() -> Name {
    let mut random = [0; 4];
    taketurns::net::os_entropy()(&mut random);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = host.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(40);
    let (host, process) = (host.collect::<String>(), std::process::id());
    let name = format!("{host}-{process}-{:08x}", u32::from_le_bytes(random));
    name.parse().expect("at most 62 valid characters")
}

/// Returns a field of this process in Linux's `/proc`.
#[cfg(unix)]
pub fn status_of_process(field: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let text = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(text.trim().to_owned())
}

/// Returns the reason why a client of a turn server gave up.
pub fn reason(why: End) -> &'static str {
    match why {
        End::Superseded => "superseded: the seat was resumed by another client",
        End::Forbidden => "forbidden: the server does not admit this client",
        End::Removed => "removed: the server's host took the seat away",
        End::PlaintextToken => "a token is not sent in plain text to another machine; see --tls",
        End::TlsRequired => "tls-required: the server speaks TLS; see --tls",
        End::Refused => "out-of-range: the ring does not allow this demand or weight",
        _ => "the client left",
    }
}

/// Parses a log level.
pub fn level(text: &str) -> Result<log::LevelFilter, String> {
    text.parse().map_err(|_| "expected off, error, warn, info, debug or trace".to_owned())
}

/// Returns advice about a failure to listen on an address of `--listen`.
pub fn advise(error: &taketurns::net::Error) -> String {
    advise_on(error, "--listen")
}

/// Returns advice about a failure to listen on the address of `option`.
pub fn advise_on(error: &taketurns::net::Error, option: &str) -> String {
    use taketurns::net::Error;
    let advice = match error {
        Error::Listen { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another program uses it: stop that one, or choose another with {option}")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine does not have it; choose another with {option}")
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
