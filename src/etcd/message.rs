//! Requests to etcd and its answers, as the messages of its gRPC. No I/O.

use std::fmt;
use std::io::ErrorKind;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::proto::{
    AuthenticateRequest, AuthenticateResponse, KeyValue, LeaseGrantRequest, LeaseRequest, LeaseResponse,
    RangeRequest, RangeResponse, ResponseHeader, StatusResponse, TxnRequest, TxnResponse, WatchCreateRequest,
    WatchRequest, WatchResponse,
};

/// A request. All but [`Grant`](Self::Grant) may be sent again if no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Makes a lease of this many seconds.
    Grant { ttl: u64 },
    /// Lets a lease last for its whole time from now on.
    KeepAlive { lease: i64 },
    /// Ends a lease, and deletes its keys.
    Revoke { lease: i64 },
    /// Reads a key, or all keys from one up to but excluding another, as they were at a revision; 0 is now.
    Range(RangeRequest),
    /// If all of `compare` is true, does all of `success`, in which no key may occur twice; else reads one
    /// key.
    Txn(TxnRequest),
    /// Asks for a token.
    Authenticate { user: String, password: String },
    /// Asks a member for its status.
    Status,
}

/// An answer to a request of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Granted {
        lease: i64,
        ttl: u64,
    },
    /// The time left of the lease, in seconds; 0 once it has ended.
    KeptAlive {
        ttl: u64,
    },
    Revoked,
    /// The entries at `revision`, and whether there are more.
    Found {
        revision: i64,
        entries: Vec<KeyValue>,
        more: bool,
    },
    Decided {
        revision: i64,
        succeeded: bool,
        found: Option<KeyValue>,
    },
    Authenticated {
        token: String,
    },
    /// Whether the member leads the others.
    Status {
        leads: bool,
    },
}

/// The reason why a request has no answer. Whether it was carried out is unknown, unless it was refused with
/// a [final](Code::is_final) code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No answer came, with the reason.
    Silent { kind: ErrorKind, why: String },
    /// etcd refused it.
    Refused { code: Code, why: String },
    /// The answer is not one that etcd gives.
    Malformed(String),
}

/// A status of gRPC that is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) u16);

impl Code {
    pub(super) const NOT_FOUND: Code = Code(5);
    const UNAUTHENTICATED: Code = Code(16);

    /// Returns whether the code proves that nothing was carried out. A member that is shutting down may
    /// return one of the others (cancelled, unknown, deadline exceeded, internal, unavailable) for a request
    /// that took effect.
    pub(super) fn is_final(self) -> bool {
        !matches!(self.0, 1 | 2 | 4 | 13 | 14)
    }
}

impl Trouble {
    /// Returns whether etcd has refused, and has carried out nothing.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Trouble::Refused { code, .. } if code.is_final())
    }

    /// Returns whether the token has expired, means nothing to this member, or is older than a change of
    /// users or roles.
    pub(super) fn is_unauthenticated(&self) -> bool {
        match self {
            Trouble::Refused { code: Code::UNAUTHENTICATED, .. } => true,
            Trouble::Refused { why, .. } => why.contains("revision of auth store is old"),
            _ => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Silent { why, .. } => f.write_str(why),
            Trouble::Refused { code, why } => {
                write!(f, "refused with code {}: {}", code.0, excerpt(why))?;
                if why.contains("database space exceeded") {
                    f.write_str(": compact it, defragment its members and disarm its alarm")?;
                }
                Ok(())
            }
            Trouble::Malformed(what) => write!(f, "this is not an etcd from 3.4 on: {what}"),
        }
    }
}

/// The beginning of a text, for a line of a log.
fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short.escape_debug().to_string()
}

impl Request {
    /// Reads one key.
    pub(super) fn get(key: Vec<u8>) -> Request {
        Request::Range(RangeRequest { key, ..RangeRequest::default() })
    }

    /// Returns the method that it calls.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Request::Grant { .. } => "/etcdserverpb.Lease/LeaseGrant",
            Request::KeepAlive { .. } => "/etcdserverpb.Lease/LeaseKeepAlive",
            Request::Revoke { .. } => "/etcdserverpb.Lease/LeaseRevoke",
            Request::Range(_) => "/etcdserverpb.KV/Range",
            Request::Txn(_) => "/etcdserverpb.KV/Txn",
            Request::Authenticate { .. } => "/etcdserverpb.Auth/Authenticate",
            Request::Status => "/etcdserverpb.Maintenance/Status",
        }
    }

    /// Returns its message.
    pub(super) fn message(&self) -> Vec<u8> {
        match self {
            Request::Grant { ttl } => {
                let ttl = i64::try_from(*ttl).unwrap_or(i64::MAX);
                LeaseGrantRequest { ttl }.encode_to_vec()
            }
            Request::KeepAlive { lease } | Request::Revoke { lease } => {
                LeaseRequest { id: *lease }.encode_to_vec()
            }
            Request::Range(range) => range.encode_to_vec(),
            Request::Txn(txn) => txn.encode_to_vec(),
            Request::Authenticate { user, password } => {
                AuthenticateRequest { name: user.clone(), password: password.clone() }.encode_to_vec()
            }
            Request::Status => Vec::new(),
        }
    }

    /// Reads the message that answers it.
    pub(super) fn answer(&self, message: &[u8]) -> Result<Answer, Trouble> {
        match self {
            Request::Grant { .. } => {
                read::<LeaseResponse>(message).and_then(|LeaseResponse { id, ttl }| match id {
                    0 => Err(lacks("a lease")),
                    lease => Ok(Answer::Granted { lease, ttl: ttl.max(0).unsigned_abs() }),
                })
            }
            Request::KeepAlive { .. } => read(message)
                .map(|LeaseResponse { ttl, .. }| Answer::KeptAlive { ttl: ttl.max(0).unsigned_abs() }),
            Request::Revoke { .. } => Ok(Answer::Revoked),
            Request::Range(_) => {
                let RangeResponse { header, kvs: entries, more } = read(message)?;
                Ok(Answer::Found { revision: revision(header)?, entries, more })
            }
            Request::Txn(_) => {
                let TxnResponse { header, succeeded, responses } = read(message)?;
                let read = responses.into_iter().find_map(|response| response.response_range);
                if !succeeded && read.is_none() {
                    return Err(lacks("what a failed transaction has read"));
                }
                let found = read.and_then(|read| read.kvs.into_iter().next());
                Ok(Answer::Decided { revision: revision(header)?, succeeded, found })
            }
            Request::Authenticate { .. } => {
                read(message).map(|AuthenticateResponse { token }| Answer::Authenticated { token })
            }
            Request::Status => {
                let StatusResponse { header, leader } = read(message)?;
                Ok(Answer::Status { leads: header.is_some_and(|header| header.member_id == leader) })
            }
        }
    }
}

fn read<M: Message + Default>(message: &[u8]) -> Result<M, Trouble> {
    M::decode(message).map_err(|error| Trouble::Malformed(error.to_string()))
}

fn revision(header: Option<ResponseHeader>) -> Result<i64, Trouble> {
    header.map(|header| header.revision).ok_or_else(|| lacks("a header"))
}

fn lacks(what: &str) -> Trouble {
    Trouble::Malformed(format!("an answer without {what}"))
}

/// The method that [watches](watch).
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The message that begins a watch of a key, for what has happened to it from a revision on.
pub(super) fn watch(key: Vec<u8>, start_revision: i64) -> Vec<u8> {
    WatchRequest { create_request: Some(WatchCreateRequest { key, start_revision }) }.encode_to_vec()
}

/// Returns whether a message of a watch tells of a change, or of the watch's end.
pub(super) fn is_change(message: &[u8]) -> bool {
    read::<WatchResponse>(message).map_or(true, |watched| !watched.events.is_empty() || watched.canceled)
}

/// The value of [`lead`](super::keys::Keys::lead): who leads, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) id: String,
    pub(super) at: String,
}

#[cfg(test)]
mod tests {
    use super::super::proto::{Compare, RequestOp};
    use super::*;

    fn txn() -> Request {
        Request::Txn(TxnRequest {
            compare: vec![Compare::created(b"/lead", 12), Compare::value(b"/seq", b"12:4")],
            success: vec![RequestOp::put(b"/seq", b"12:5", 0), RequestOp::delete(b"/x")],
            failure: vec![RequestOp::range(b"/seq")],
        })
    }

    #[test]
    fn requests_are_written_as_etcd_reads_them() {
        let range =
            RangeRequest { key: b"/a/".to_vec(), range_end: b"/a0".to_vec(), limit: 500, revision: 3 };
        let authenticate = Request::Authenticate { user: "root".to_owned(), password: "pw".to_owned() };
        let compared = b"\x0a\x0b\x10\x01\x1a\x05/lead\x28\x0c\x0a\x0e\x10\x03\x1a\x04/seq\x3a\x0412:4";
        let then = b"\x12\x0e\x12\x0c\x0a\x04/seq\x12\x0412:5\x12\x06\x1a\x04\x0a\x02/x";
        let otherwise = b"\x1a\x08\x0a\x06\x0a\x04/seq";
        for (request, method, message) in [
            (Request::Grant { ttl: 5 }, "Lease/LeaseGrant", &b"\x08\x05"[..]),
            (Request::KeepAlive { lease: 77 }, "Lease/LeaseKeepAlive", b"\x08\x4d"),
            (
                Request::Revoke { lease: -1 },
                "Lease/LeaseRevoke",
                b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            ),
            (Request::get(b"/lead".to_vec()), "KV/Range", b"\x0a\x05/lead"),
            (Request::Range(range), "KV/Range", b"\x0a\x03/a/\x12\x03/a0\x18\xf4\x03\x20\x03"),
            (txn(), "KV/Txn", &[&compared[..], then, otherwise].concat()),
            (authenticate, "Auth/Authenticate", b"\x0a\x04root\x12\x02pw"),
            (Request::Status, "Maintenance/Status", b""),
        ] {
            assert_eq!(request.method(), format!("/etcdserverpb.{method}"));
            assert_eq!(request.message(), message, "{method}");
        }
        assert_eq!(watch(b"/lead".to_vec(), 9), b"\x0a\x09\x0a\x05/lead\x18\x09");
    }

    const HEADER: &[u8] =
        b"\x0a\x1a\x08\x95\xa2\xb4\x9b\x8b\xcf\xf6\xe4\x8c\x01\x10\xb0\xa7\x86\xf6\xf0\xfd\xa5\xbe\xac\x01\
        \x18\x02\x20\x02";

    #[test]
    fn answers_are_read_as_etcd_writes_them() {
        let get = || Request::get(b"/lead".to_vec());
        let lead =
            || KeyValue { key: b"/lead".to_vec(), value: b"me".to_vec(), create_revision: 2, lease: 0 };
        let found = |entries, more| Answer::Found { revision: 2, entries, more };
        let decided = |succeeded, found| Answer::Decided { revision: 2, succeeded, found };
        let kvs = b"\x12\x11\x0a\x05/lead\x10\x02\x18\x02\x20\x01\x2a\x02me";
        let failed = [b"\x1a\x1b\x0a\x19\x0a\x02\x18\x02", &kvs[..], b"\x20\x01"].concat();
        for (request, rest, answer) in [
            (
                Request::Grant { ttl: 5 },
                &b"\x10\x85\xca\xb0\x85\xaf\xc4\xa8\xd8\x13\x18\x05"[..],
                Answer::Granted { lease: 1418812153572107525, ttl: 5 },
            ),
            (Request::KeepAlive { lease: 77 }, b"\x10\x4d\x18\x05", Answer::KeptAlive { ttl: 5 }),
            // A lease that has ended.
            (Request::KeepAlive { lease: 123 }, b"\x10\x7b", Answer::KeptAlive { ttl: 0 }),
            (Request::Revoke { lease: 77 }, b"", Answer::Revoked),
            (get(), &[&kvs[..], b"\x20\x01"].concat(), found(vec![lead()], false)),
            (get(), &[&kvs[..], b"\x18\x01\x20\x03"].concat(), found(vec![lead()], true)),
            (get(), b"", found(Vec::new(), false)),
            (txn(), b"\x10\x01\x1a\x06\x12\x04\x0a\x02\x18\x02", decided(true, None)),
            (txn(), &failed, decided(false, Some(lead()))),
            (txn(), b"\x1a\x06\x0a\x04\x0a\x02\x18\x02", decided(false, None)),
        ] {
            assert_eq!(request.answer(&[HEADER, rest].concat()), Ok(answer));
        }
        let token = Request::Authenticate { user: String::new(), password: String::new() };
        let answer = Answer::Authenticated { token: "t".to_owned() };
        assert_eq!(token.answer(&[HEADER, b"\x12\x01t"].concat()), Ok(answer));
        for (leader, leads) in [
            (&b"\x95\xa2\xb4\x9b\x8b\xcf\xf6\xe4\x8c\x01"[..], false),
            (b"\xb0\xa7\x86\xf6\xf0\xfd\xa5\xbe\xac\x01", true),
        ] {
            let answer = [HEADER, b"\x12\x063.4.23\x20", leader].concat();
            assert_eq!(Request::Status.answer(&answer), Ok(Answer::Status { leads }));
        }
        let watched = |rest: &[u8]| is_change(&[HEADER, rest].concat());
        assert!(!watched(b"\x18\x01"), "it has begun");
        assert!(watched(b"\x5a\x0d\x08\x01\x12\x09\x0a\x05/lead\x18\x04"), "deleted");
        assert!(watched(b"\x20\x01") && is_change(b"nonsense"));
    }

    #[test]
    fn other_answers_are_errors_that_say_what_came() {
        for (request, message, says) in [
            (txn(), &b"nonsense"[..], "this is not an etcd from 3.4 on: failed to decode Protobuf message"),
            (txn(), b"", "an answer without what a failed transaction has read"),
            (txn(), b"\x10\x01", "an answer without a header"),
            (Request::get(Vec::new()), b"", "an answer without a header"),
            (Request::Grant { ttl: 5 }, HEADER, "an answer without a lease"),
        ] {
            let said = request.answer(message).expect_err(says).to_string();
            assert!(said.contains(says), "{said}");
        }
        let refused = |code, why: &str| Trouble::Refused { code: Code(code), why: why.to_owned() };
        assert_eq!(
            refused(8, "etcdserver: mvcc: database space exceeded").to_string(),
            "refused with code 8: etcdserver: mvcc: database space exceeded: compact it, defragment its members and \
             disarm its alarm"
        );
        let long = refused(2, &"<p>\n".repeat(100)).to_string();
        assert!(long.starts_with("refused with code 2: <p>\\n<p>\\n") && long.len() < 200, "{long}");
        for (code, why, is_unauthenticated) in [
            (16, "etcdserver: invalid auth token", true),
            (3, "etcdserver: revision of auth store is old", true),
            (3, "etcdserver: authentication failed, invalid user ID or password", false),
            (7, "etcdserver: permission denied", false),
        ] {
            assert_eq!(refused(code, why).is_unauthenticated(), is_unauthenticated, "{why}");
        }
    }
}
