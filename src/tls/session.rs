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

/// The overhead of a record on the wire, and room for a key update.
const OVERHEAD: usize = 64;

/// The most bytes kept of an incomplete record. The longest record has 16,645.
const RECORD_BYTES_MAX: usize = 17 * 1024;

/// The most bytes kept of an incomplete handshake message. A certificate chain takes a few thousand.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 0x16;

/// The most bytes of a peer's error that a log line shows.
const SHOWN_BYTES_MAX: usize = 200;

/// One connection.
pub(super) struct Session {
    side: Side,
    /// Bytes that are not yet a complete record or handshake message. Whenever rustls might read, it must be
    /// given all of them: it remembers the positions of the parts of a message, and panics if they are
    /// missing.
    kept: Vec<u8>,
    /// Whether any bytes have arrived.
    has_begun: bool,
    /// Whether the peer has announced its end.
    has_ended: bool,
    /// Whether nothing more can be sent.
    is_over: bool,
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// The session could not be created.
    None,
}

/// Something to do with a connection, as far as its state allows.
#[derive(Clone, Copy)]
enum Job<'a> {
    Read,
    /// At most one record.
    Encrypt(&'a [u8]),
    Finish,
}

/// The outcome of one step of a job.
enum Step {
    /// There may be another step.
    Again,
    /// The peer has announced its end.
    Ended,
    /// The job is done or impossible.
    Done,
}

impl Session {
    pub(super) fn accept(config: &Arc<ServerConfig>) -> Session {
        let connection = UnbufferedServerConnection::new(Arc::clone(config));
        Session::new(connection.map_or(Side::None, |connection| Side::Server(Box::new(connection))))
    }

    pub(super) fn connect(config: &Arc<ClientConfig>, name: ServerName<'static>) -> Session {
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name);
        Session::new(connection.map_or(Side::None, |connection| Side::Client(Box::new(connection))))
    }

    fn new(side: Side) -> Session {
        Session { side, kept: Vec::new(), has_begun: false, has_ended: false, is_over: false }
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

    fn step(
        &mut self,
        bytes: &mut [u8],
        job: Job<'_>,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match &mut self.side {
            Side::Server(connection) => act(connection.process_tls_records(bytes), job, plain, wire),
            Side::Client(connection) => act(connection.process_tls_records(bytes), job, plain, wire),
            Side::None => (0, Err(Error::HandshakeNotComplete)),
        }
    }

    /// Does a job, and takes all complete records from `bytes`. Returns how many bytes they took.
    fn work(
        &mut self,
        bytes: &mut [u8],
        job: Job<'_>,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<Input, Error>) {
        let mut used = 0;
        let mut input = Input::Open;
        loop {
            let (count, step) = self.step(&mut bytes[used..], job, plain, wire);
            used += count;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Ended) => input = Input::Ended,
                Ok(Step::Done) => return (used, Ok(input)),
                Err(error) => return (used, Err(error)),
            }
        }
    }

    /// Does a job without new input. Leaves undone what is not possible now.
    fn write(&mut self, job: Job<'_>, wire: &mut Vec<u8>) {
        let mut kept = std::mem::take(&mut self.kept);
        let (used, outcome) = self.work(&mut kept, job, &mut Vec::new(), wire);
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
        while match &self.side {
            Side::Server(connection) => connection.wants_write(),
            Side::Client(connection) => connection.wants_write(),
            Side::None => false,
        } {
            if self.step(&mut [], Job::Read, &mut Vec::new(), wire).1.is_err() {
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

/// Makes rustls's `status` do `job`. Returns how many bytes of the wire it used.
fn act<D>(
    status: UnbufferedStatus<'_, '_, D>,
    job: Job<'_>,
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
            Step::Again
        }
        ConnectionState::EncodeTlsData(mut message) => {
            append(wire, |room| match message.encode(room) {
                Ok(count) => Some(Ok(count)),
                Err(EncodeError::InsufficientSize(needs)) => Some(Err(needs.required_size)),
                Err(EncodeError::AlreadyEncoded) => None,
            });
            Step::Again
        }
        ConnectionState::TransmitTlsData(sent) => {
            // The engine sends everything in `wire`, in order.
            sent.done();
            Step::Again
        }
        ConnectionState::PeerClosed => Step::Ended,
        ConnectionState::WriteTraffic(mut traffic) => {
            let encrypted = |outcome| match outcome {
                Ok(count) => Some(Ok(count)),
                Err(EncryptError::InsufficientSize(needs)) => Some(Err(needs.required_size)),
                Err(EncryptError::EncryptExhausted) => None,
            };
            match job {
                Job::Read => {}
                Job::Encrypt(text) => append(wire, |room| encrypted(traffic.encrypt(text, room))),
                Job::Finish => append(wire, |room| encrypted(traffic.queue_close_notify(room))),
            }
            Step::Done
        }
        ConnectionState::BlockedHandshake | ConnectionState::Closed => Step::Done,
        // Early data, which is not accepted, and states of later versions.
        _ => return (used, Err(Error::General("an unexpected state".to_owned()))),
    };
    (used, Ok(step))
}

/// Lets `put` write into room at the end of `wire`. It returns how many bytes it wrote, or how many it needs.
fn append(wire: &mut Vec<u8>, mut put: impl FnMut(&mut [u8]) -> Option<Result<usize, usize>>) {
    let from = wire.len();
    let mut room = OVERHEAD;
    loop {
        wire.resize(from + room, 0);
        match put(&mut wire[from..]) {
            Some(Ok(count)) => return wire.truncate(from + count),
            Some(Err(needed)) if needed > room => room = needed,
            _ => return wire.truncate(from),
        }
    }
}

impl Wrapping for Session {
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        if self.has_ended {
            return Ok(Input::Ended);
        }
        if self.begins_as_plain_text(bytes) {
            self.is_over = true;
            let bye = Bye::TlsRequired;
            wire.extend_from_slice(format!("BYE {bye} :{}\n", bye.words()).as_bytes());
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS"));
        }
        let outcome = if self.kept.is_empty() {
            let (used, outcome) = self.work(bytes, Job::Read, plain, wire);
            self.kept = bytes[used..].to_vec();
            outcome
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(bytes);
            let (used, outcome) = self.work(&mut kept, Job::Read, plain, wire);
            if used < kept.len() {
                kept.drain(..used);
                self.kept = kept;
            }
            outcome
        };
        let input = outcome.map_err(|error| self.fail(&error, wire))?;
        if input == Input::Ended {
            (self.has_ended, self.kept) = (true, Vec::new());
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
        wire.reserve(text.len() + OVERHEAD);
        self.write(Job::Encrypt(text), wire);
        text.len()
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.write(Job::Finish, wire);
        }
    }

    fn transport(&self) -> Option<Transport> {
        if self.is_over || self.is_handshaking() {
            return None;
        }
        let names = self.peer_certificate().map(names).unwrap_or_default();
        Some(Transport { is_secure: true, names, ..Transport::default() })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_over", &self.is_over).finish_non_exhaustive()
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
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS".to_owned(),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "TLS: it wants a certificate of this side".to_owned()
        }
        Error::AlertReceived(alert) => format!("TLS: it refuses, with the alert {alert:?}"),
        Error::NoCertificatesPresented => "TLS: it has shown no certificate".to_owned(),
        error => format!("TLS: {error}"),
    }
}
