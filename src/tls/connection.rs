//! One TLS connection. All use of the unbuffered interface of `rustls` is in this file.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{AlertDescription, ClientConfig, Error, InvalidMessage, ServerConfig};
use webpki::EndEntityCert;

use crate::engine::{Input, Wrapping};
use crate::protocol::Transport;
use crate::session::Bye;

/// The longest plain text of a record.
const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// Room for what a record adds to its plain text, and for a key update sent with it.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// The most bytes kept of an incomplete record. The longest record has 16,645.
const RECORD_BYTES_MAX: usize = 17 * 1024;

/// The most bytes kept of an incomplete handshake message. A certificate chain takes a few thousand.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 0x16;

/// The most bytes of a peer's error that a log line shows.
const SHOWN_BYTES_MAX: usize = 200;

/// One connection.
pub(super) struct Connection {
    side: Side,
    /// Bytes that are not yet a complete record or handshake message. Whenever rustls might read, it must be
    /// given all of them: it remembers the positions of the parts of a message, and panics if they are
    /// missing.
    kept: Vec<u8>,
    /// Whether any bytes have arrived.
    has_begun: bool,
    /// Whether the peer has sent `close_notify`.
    has_ended: bool,
    /// Whether nothing more can be sent: `close_notify` was sent, or the connection has failed.
    is_over: bool,
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// The connection could not be created.
    None,
}

/// Something to do with a connection, as far as its state allows.
#[derive(Clone, Copy)]
enum Task<'a> {
    Read,
    /// At most one record.
    Encrypt(&'a [u8]),
    CloseNotify,
}

/// The outcome of one call of rustls.
enum Step {
    /// There may be more to process.
    Continue,
    /// Plain text was read, and there may be more to process.
    HasRead,
    /// The peer has sent `close_notify`.
    PeerClosed,
    /// The task is done or impossible.
    Done,
}

/// The outcome of writing to a buffer.
enum Encoded {
    Written(usize),
    /// Nothing was written, because this many bytes are needed.
    NeedsRoom(usize),
    Nothing,
}

impl Connection {
    pub(super) fn accept(config: &Arc<ServerConfig>) -> Connection {
        let connection = UnbufferedServerConnection::new(Arc::clone(config));
        Connection::new(connection.map_or(Side::None, |connection| Side::Server(Box::new(connection))))
    }

    pub(super) fn connect(config: &Arc<ClientConfig>, name: ServerName<'static>) -> Connection {
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name);
        Connection::new(connection.map_or(Side::None, |connection| Side::Client(Box::new(connection))))
    }

    fn new(side: Side) -> Connection {
        Connection { side, kept: Vec::new(), has_begun: false, has_ended: false, is_over: false }
    }

    fn is_handshaking(&self) -> bool {
        match &self.side {
            Side::Server(connection) => connection.is_handshaking(),
            Side::Client(connection) => connection.is_handshaking(),
            Side::None => true,
        }
    }

    fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        let chain = match &self.side {
            Side::Server(connection) => connection.peer_certificates(),
            Side::Client(connection) => connection.peer_certificates(),
            Side::None => None,
        };
        chain?.first()
    }

    fn wants_write(&self) -> bool {
        match &self.side {
            Side::Server(connection) => connection.wants_write(),
            Side::Client(connection) => connection.wants_write(),
            Side::None => false,
        }
    }

    fn process_once(
        &mut self,
        bytes: &mut [u8],
        task: Task<'_>,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match &mut self.side {
            Side::Server(connection) => {
                handle_state(connection.process_tls_records(bytes), task, plain, wire)
            }
            Side::Client(connection) => {
                handle_state(connection.process_tls_records(bytes), task, plain, wire)
            }
            Side::None => (0, Err(Error::HandshakeNotComplete)),
        }
    }

    /// Carries out a task, and takes all complete records from `bytes`. Returns how many bytes they took.
    fn process_all(
        &mut self,
        bytes: &mut [u8],
        task: Task<'_>,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<Input, Error>) {
        let is_reading = matches!(task, Task::Read);
        let mut used = 0;
        let mut input = Input::Open;
        loop {
            let (count, step) = self.process_once(&mut bytes[used..], task, plain, wire);
            used += count;
            match step {
                // Nothing is left to read or to write, as after most turns: so the call that would say so is
                // skipped.
                Ok(Step::HasRead) if is_reading && used == bytes.len() && !self.wants_write() => {
                    return (used, Ok(input));
                }
                Ok(Step::HasRead | Step::Continue) => {}
                Ok(Step::PeerClosed) => input = Input::Ended,
                Ok(Step::Done) => return (used, Ok(input)),
                Err(error) => return (used, Err(error)),
            }
        }
    }

    /// Carries out a task without new input, if that is possible now.
    fn send(&mut self, task: Task<'_>, wire: &mut Vec<u8>) {
        let mut kept = std::mem::take(&mut self.kept);
        let (used, outcome) = self.process_all(&mut kept, task, &mut Vec::new(), wire);
        kept.drain(..used);
        self.kept = kept;
        self.is_over |= outcome.is_err();
    }

    fn begins_as_plain_text(&mut self, bytes: &[u8]) -> bool {
        let Some(first) = bytes.first().filter(|_| !self.has_begun) else { return false };
        self.has_begun = true;
        matches!(self.side, Side::Server(_)) && *first != HANDSHAKE
    }

    /// Ends a connection whose peer has broken the rules, and tells the peer.
    fn fail(&mut self, error: &Error, wire: &mut Vec<u8>) -> io::Error {
        self.is_over = true;
        // An alert waits to be written. After an error, nothing else may be called, because rustls would read
        // the same bytes again.
        while self.wants_write() {
            if self.process_once(&mut [], Task::Read, &mut Vec::new(), wire).1.is_err() {
                break;
            }
        }
        self.kept = Vec::new();
        let mut why = explain(error);
        if why.len() > SHOWN_BYTES_MAX {
            let end = (0..=SHOWN_BYTES_MAX).rev().find(|&end| why.is_char_boundary(end));
            why.truncate(end.unwrap_or(0));
            why.push_str("...");
        }
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

/// Advances from the state that rustls has returned. Returns how many bytes of the wire that used.
fn handle_state<D>(
    status: UnbufferedStatus<'_, '_, D>,
    task: Task<'_>,
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> (usize, Result<Step, Error>) {
    let mut used = status.discard;
    let state = match status.state {
        Ok(state) => state,
        Err(error) => return (used, Err(error)),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        used += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    Err(error) => return (used, Err(error)),
                }
            }
            Step::HasRead
        }
        ConnectionState::EncodeTlsData(mut message) => {
            append(wire, |room| match message.encode(room) {
                Ok(count) => Encoded::Written(count),
                Err(EncodeError::InsufficientSize(needs)) => Encoded::NeedsRoom(needs.required_size),
                Err(EncodeError::AlreadyEncoded) => Encoded::Nothing,
            });
            Step::Continue
        }
        ConnectionState::TransmitTlsData(sent) => {
            // The engine sends everything in `wire`, in order.
            sent.done();
            Step::Continue
        }
        ConnectionState::PeerClosed => Step::PeerClosed,
        ConnectionState::WriteTraffic(mut traffic) => {
            let encrypted = |outcome| match outcome {
                Ok(count) => Encoded::Written(count),
                Err(EncryptError::InsufficientSize(needs)) => Encoded::NeedsRoom(needs.required_size),
                Err(EncryptError::EncryptExhausted) => Encoded::Nothing,
            };
            match task {
                Task::Read => {}
                Task::Encrypt(text) => append(wire, |room| encrypted(traffic.encrypt(text, room))),
                Task::CloseNotify => append(wire, |room| encrypted(traffic.queue_close_notify(room))),
            }
            Step::Done
        }
        ConnectionState::BlockedHandshake | ConnectionState::Closed => Step::Done,
        // Early data, which is not accepted, and states of later versions.
        _ => return (used, Err(Error::General("an unexpected state".to_owned()))),
    };
    (used, Ok(step))
}

/// Appends what `encode` writes to `wire`, with as much room as it needs.
fn append(wire: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Encoded) {
    let from = wire.len();
    let mut room = RECORD_OVERHEAD_BYTES;
    loop {
        wire.resize(from + room, 0);
        match encode(&mut wire[from..]) {
            Encoded::Written(count) => return wire.truncate(from + count),
            Encoded::NeedsRoom(needed) if needed > room => room = needed,
            Encoded::NeedsRoom(_) | Encoded::Nothing => return wire.truncate(from),
        }
    }
}

impl Wrapping for Connection {
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        if self.has_ended {
            return Ok(Input::Ended);
        }
        if self.begins_as_plain_text(bytes) {
            self.is_over = true;
            let bye = Bye::TlsRequired;
            wire.extend_from_slice(format!("BYE {bye} :{}\n", bye.words()).as_bytes());
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not speak TLS"));
        }
        let outcome = if self.kept.is_empty() {
            let (used, outcome) = self.process_all(bytes, Task::Read, plain, wire);
            self.kept = bytes[used..].to_vec();
            outcome
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(bytes);
            let (used, outcome) = self.process_all(&mut kept, Task::Read, plain, wire);
            if used < kept.len() {
                kept.drain(..used);
                self.kept = kept;
            }
            outcome
        };
        let input = outcome.map_err(|error| self.fail(&error, wire))?;
        if input == Input::Ended {
            self.has_ended = true;
            self.kept = Vec::new();
        }
        let kept_max = if self.is_handshaking() { HANDSHAKE_BYTES_MAX } else { RECORD_BYTES_MAX };
        if self.kept.len() > kept_max {
            return Err(self.fail(&Error::PeerSentOversizedRecord, wire));
        }
        Ok(input)
    }

    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        if self.is_over || self.is_handshaking() {
            return plain.len();
        }
        let text = &plain[..plain.len().min(PLAIN_BYTES_MAX)];
        wire.reserve(text.len() + RECORD_OVERHEAD_BYTES);
        self.send(Task::Encrypt(text), wire);
        text.len()
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        if self.is_over {
            return;
        }
        self.send(Task::CloseNotify, wire);
        self.is_over = true;
    }

    fn transport(&self) -> Option<Transport> {
        if self.is_over || self.is_handshaking() {
            return None;
        }
        let names = self.peer_certificate().map(names).unwrap_or_default();
        Some(Transport { is_secure: true, names, ..Transport::default() })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// Returns the names of a verified certificate.
fn names(certificate: &CertificateDer<'_>) -> Box<[Box<str>]> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Box::default() };
    let dns = certificate.valid_dns_names().map(|name| name.to_ascii_lowercase().into());
    dns.chain(certificate.valid_uri_names().map(Into::into)).collect()
}

/// Returns words for the log, for the most common errors.
fn explain(error: &Error) -> String {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "the peer does not speak TLS".to_owned(),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "TLS: the peer requires a certificate of this side".to_owned()
        }
        Error::AlertReceived(alert) => format!("TLS: the peer sent the alert {alert:?}"),
        Error::NoCertificatesPresented => "TLS: the peer presented no certificate".to_owned(),
        error => format!("TLS: {error}"),
    }
}
