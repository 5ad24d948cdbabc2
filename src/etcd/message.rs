//! Requests to etcd's JSON gateway and its answers, as text. No I/O.
//!
//! The gateway translates to gRPC by rule: bytes are base64, numbers of 64 bits are strings, and fields that
//! are 0, false or empty are left out. Its paths are the same in every etcd from 3.4 on.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A request. All but [`Grant`](Self::Grant) may be sent again if no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Makes a lease of this many seconds.
    Grant { ttl: u64 },
    /// Lets a lease last for its whole time from now on.
    KeepAlive { lease: i64 },
    /// Ends a lease, and deletes its keys.
    Revoke { lease: i64 },
    /// Reads one key.
    Get { key: String },
    /// Reads the keys from `from` up to `end`, which is left out, as they were at a revision; 0 is now.
    Range { from: Vec<u8>, end: Vec<u8>, revision: i64, limit: usize },
    /// Does what it says or nothing.
    Txn(Txn),
    /// Asks for a token.
    Authenticate { user: String, password: String },
}

/// A transaction: if all of `compare` is true, all of `then`, and else it reads one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Txn {
    pub(super) compare: Vec<Compare>,
    pub(super) then: Vec<Op>,
    pub(super) otherwise: String,
}

/// A condition of a transaction. A value of a key that is missing equals none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compare {
    /// The key was created at this revision; 0 if there is no such key.
    Created {
        key: String,
        revision: i64,
    },
    Value {
        key: String,
        value: String,
    },
}

/// A step of a transaction. No key may occur twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// The key is deleted with the lease; 0 is none.
    Put {
        key: String,
        value: Vec<u8>,
        lease: i64,
    },
    Delete {
        key: String,
    },
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
    /// The store was at `revision`, and there are more entries.
    Found {
        revision: i64,
        entries: Vec<Entry>,
        more: bool,
    },
    Decided {
        revision: i64,
        succeeded: bool,
        found: Option<Entry>,
    },
    Authenticated {
        token: String,
    },
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// The revision at which the key was created.
    pub(super) created: i64,
    pub(super) lease: i64,
}

/// The reason why a request has no answer. Whether it was carried out is unknown, unless it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// None came, and why.
    Silent(String),
    /// etcd says no.
    Refused { status: u16, why: String },
    /// It does not say what an etcd says.
    Malformed(String),
}

impl Trouble {
    /// The token has expired, or means nothing to this member, or is older than a change of users or roles.
    pub(super) fn is_unauthenticated(&self) -> bool {
        match self {
            Trouble::Refused { status: 401, .. } => true,
            Trouble::Refused { why, .. } => why.contains("revision of auth store is old"),
            _ => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Silent(why) => f.write_str(why),
            Trouble::Refused { status, why } => {
                write!(f, "refused with status {status}: {why}")?;
                if why.contains("database space exceeded") {
                    f.write_str(": compact it, defragment its members and disarm its alarm")?;
                }
                Ok(())
            }
            Trouble::Malformed(what) => write!(f, "this is not an etcd from 3.4 on: {what}"),
        }
    }
}

impl Request {
    /// Where it is sent.
    pub(super) fn path(&self) -> &'static str {
        match self {
            Request::Grant { .. } => "/v3/lease/grant",
            Request::KeepAlive { .. } => "/v3/lease/keepalive",
            Request::Revoke { .. } => "/v3/lease/revoke",
            Request::Get { .. } | Request::Range { .. } => "/v3/kv/range",
            Request::Txn(_) => "/v3/kv/txn",
            Request::Authenticate { .. } => "/v3/auth/authenticate",
        }
    }

    /// Its text.
    pub(super) fn body(&self) -> String {
        let lease_id = |lease: &i64| json!({ "ID": lease.to_string() });
        match self {
            Request::Grant { ttl } => json!({ "TTL": ttl.to_string() }),
            Request::KeepAlive { lease } | Request::Revoke { lease } => lease_id(lease),
            Request::Get { key } => json!({ "key": encoded(key) }),
            Request::Range { from, end, revision, limit } => json!({
                "key": encoded(from), "range_end": encoded(end), "revision": revision.to_string(),
                "limit": limit.to_string(),
            }),
            Request::Txn(txn) => txn.to_json(),
            Request::Authenticate { user, password } => json!({ "name": user, "password": password }),
        }
        .to_string()
    }

    /// Reads what came for it.
    pub(super) fn answer(&self, status: u16, body: &str) -> Result<Answer, Trouble> {
        if status != 200 {
            let message = serde_json::from_str::<Refusal>(body).map(|refusal| refusal.message);
            let why = excerpt(message.as_deref().unwrap_or(body));
            return Err(Trouble::Refused { status, why });
        }
        let answer = match self {
            Request::Grant { .. } => read::<Lease>(body)
                .map(|Lease { id, ttl }| Answer::Granted { lease: id, ttl: ttl.unsigned_abs() }),
            Request::KeepAlive { .. } => read::<Streamed<Lease>>(body)
                .map(|kept| Answer::KeptAlive { ttl: kept.result.ttl.max(0).unsigned_abs() }),
            Request::Revoke { .. } => read::<Headed>(body).map(|_| Answer::Revoked),
            Request::Get { .. } | Request::Range { .. } => read::<Found>(body).and_then(|found| {
                let entries = found.kvs.into_iter().map(Kv::entry).collect::<Result<_, _>>()?;
                Ok(Answer::Found { revision: found.header.revision, entries, more: found.more })
            }),
            Request::Txn(_) => read::<Decided>(body).and_then(|decided| {
                let (succeeded, revision) = (decided.succeeded, decided.header.revision);
                let found = decided.responses.into_iter().find_map(|response| response.response_range);
                if !succeeded && found.is_none() {
                    return Err(serde_json::Error::custom("a failed transaction without what it has read"));
                }
                let first = found.and_then(|found| found.kvs.into_iter().next()).map(Kv::entry);
                Ok(Answer::Decided { revision, succeeded, found: first.transpose()? })
            }),
            Request::Authenticate { .. } => {
                read::<Token>(body).map(|Token { token }| Answer::Authenticated { token })
            }
        };
        answer.map_err(|error| Trouble::Malformed(format!("{error} in {:?}", excerpt(body))))
    }
}

impl Txn {
    fn to_json(&self) -> Value {
        let compare = self.compare.iter().map(|compare| match compare {
            Compare::Created { key, revision } => json!({
                "key": encoded(key), "target": "CREATE", "result": "EQUAL",
                "create_revision": revision.to_string(),
            }),
            Compare::Value { key, value } => json!({
                "key": encoded(key), "target": "VALUE", "result": "EQUAL", "value": encoded(value),
            }),
        });
        let then = self.then.iter().map(|op| match op {
            // Each field costs the gateway time, and 0 is what it reads if this one is missing.
            Op::Put { key, value, lease: 0 } => {
                json!({ "request_put": { "key": encoded(key), "value": encoded(value) } })
            }
            Op::Put { key, value, lease } => json!({ "request_put": {
                "key": encoded(key), "value": encoded(value), "lease": lease.to_string(),
            } }),
            Op::Delete { key } => json!({ "request_delete_range": { "key": encoded(key) } }),
        });
        json!({
            "compare": compare.collect::<Vec<_>>(),
            "success": then.collect::<Vec<_>>(),
            "failure": [{ "request_range": { "key": encoded(&self.otherwise) } }],
        })
    }
}

/// The text that begins a watch of a key for what has happened to it from `revision` on.
pub(super) fn watch(key: &str, revision: i64) -> String {
    json!({ "create_request": { "key": encoded(key), "start_revision": revision.to_string() } }).to_string()
}

/// Whether a line of a watch tells of a change, or of the watch's end.
pub(super) fn is_change(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Watched {
        #[serde(default)]
        events: Vec<serde::de::IgnoredAny>,
        #[serde(default)]
        canceled: bool,
    }
    read::<Streamed<Watched>>(line)
        .map_or(true, |line| !line.result.events.is_empty() || line.result.canceled)
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

fn read<'b, T: Deserialize<'b>>(body: &'b str) -> Result<T, serde_json::Error> {
    serde_json::from_str(body)
}

/// The beginning of a text, for a line of a log.
fn excerpt(body: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut short: String = body.trim().chars().take(CHARS_MAX).collect();
    if short.len() < body.trim().len() {
        short.push_str("...");
    }
    short.escape_debug().to_string()
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

#[derive(Deserialize)]
struct Streamed<T> {
    result: T,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "number")]
    revision: i64,
}

#[derive(Deserialize)]
struct Headed {
    #[serde(rename = "header")]
    _header: Header,
}

#[derive(Deserialize)]
struct Lease {
    #[serde(rename = "ID", deserialize_with = "number")]
    id: i64,
    #[serde(rename = "TTL", default, deserialize_with = "number")]
    ttl: i64,
}

#[derive(Deserialize)]
struct Found {
    header: Header,
    #[serde(default)]
    kvs: Vec<Kv>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Kv {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(deserialize_with = "number")]
    create_revision: i64,
    #[serde(default, deserialize_with = "number")]
    lease: i64,
}

impl Kv {
    fn entry(self) -> Result<Entry, serde_json::Error> {
        let decoded = |text: &str| BASE64.decode(text).map_err(serde_json::Error::custom);
        Ok(Entry {
            key: decoded(&self.key)?,
            value: decoded(&self.value)?,
            created: self.create_revision,
            lease: self.lease,
        })
    }
}

#[derive(Deserialize)]
struct Decided {
    header: Header,
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    response_range: Option<Within>,
}

/// The range that a transaction has read, under the header of the transaction.
#[derive(Deserialize)]
struct Within {
    #[serde(default)]
    kvs: Vec<Kv>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// The value of [`lead`](super::keys::Keys::lead): who leads, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) id: String,
    pub(super) at: String,
}

/// A number of 64 bits, which the gateway writes as a string.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Plain(i64),
    }
    match Number::deserialize(from)? {
        Number::Text(text) => text.parse().map_err(D::Error::custom),
        Number::Plain(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn() -> Request {
        Request::Txn(Txn {
            compare: vec![
                Compare::Created { key: "/lead".to_owned(), revision: 12 },
                Compare::Value { key: "/seq".to_owned(), value: "12:4".to_owned() },
            ],
            then: vec![
                Op::Put { key: "/seq".to_owned(), value: b"12:5".to_vec(), lease: 0 },
                Op::Delete { key: "/x".to_owned() },
            ],
            otherwise: "/seq".to_owned(),
        })
    }

    #[test]
    fn requests_are_written_as_the_gateway_reads_them() {
        for (request, path, body) in [
            (Request::Grant { ttl: 5 }, "/v3/lease/grant", r#"{"TTL":"5"}"#),
            (Request::KeepAlive { lease: 77 }, "/v3/lease/keepalive", r#"{"ID":"77"}"#),
            (Request::Revoke { lease: -1 }, "/v3/lease/revoke", r#"{"ID":"-1"}"#),
            (Request::Get { key: "/lead".to_owned() }, "/v3/kv/range", r#"{"key":"L2xlYWQ="}"#),
            (
                Request::Range { from: b"/a/".to_vec(), end: b"/a0".to_vec(), revision: 3, limit: 500 },
                "/v3/kv/range",
                r#"{"key":"L2Ev","limit":"500","range_end":"L2Ew","revision":"3"}"#,
            ),
            (
                txn(),
                "/v3/kv/txn",
                r#"{"compare":[{"create_revision":"12","key":"L2xlYWQ=","result":"EQUAL","target":"CREATE"},{"key":"L3NlcQ==","result":"EQUAL","target":"VALUE","value":"MTI6NA=="}],"failure":[{"request_range":{"key":"L3NlcQ=="}}],"success":[{"request_put":{"key":"L3NlcQ==","value":"MTI6NQ=="}},{"request_delete_range":{"key":"L3g="}}]}"#,
            ),
            (
                Request::Authenticate { user: "root".to_owned(), password: "p\"w".to_owned() },
                "/v3/auth/authenticate",
                r#"{"name":"root","password":"p\"w"}"#,
            ),
        ] {
            assert_eq!((request.path(), request.body().as_str()), (path, body));
        }
        assert_eq!(watch("/lead", 9), r#"{"create_request":{"key":"L2xlYWQ=","start_revision":"9"}}"#);
    }

    /// Recorded from etcd 3.4.23.
    #[test]
    fn answers_are_read_as_the_gateway_writes_them() {
        const HEADER: &str = r#""header":{"cluster_id":"10144879847569953045","member_id":"12428976124636271536","revision":"2","raft_term":"2"}"#;
        let get = || Request::Get { key: "/taketurns/x/0/lead".to_owned() };
        let lead =
            || Entry { key: b"/taketurns/x/0/lead".to_vec(), value: b"me".to_vec(), created: 2, lease: 0 };
        let kvs = r#""kvs":[{"key":"L3Rha2V0dXJucy94LzAvbGVhZA==","create_revision":"2","mod_revision":"2","version":"1","value":"bWU="}],"count":"1""#;
        for (request, body, answer) in [
            (
                Request::Grant { ttl: 5 },
                format!(r#"{{{HEADER},"ID":"1418812153572107525","TTL":"5"}}"#),
                Answer::Granted { lease: 1418812153572107525, ttl: 5 },
            ),
            (
                Request::KeepAlive { lease: 77 },
                format!(r#"{{"result":{{{HEADER},"ID":"77","TTL":"5"}}}}"#),
                Answer::KeptAlive { ttl: 5 },
            ),
            // A lease that is gone.
            (
                Request::KeepAlive { lease: 123 },
                format!(r#"{{"result":{{{HEADER},"ID":"123"}}}}"#),
                Answer::KeptAlive { ttl: 0 },
            ),
            (Request::Revoke { lease: 77 }, format!("{{{HEADER}}}"), Answer::Revoked),
            (
                get(),
                format!("{{{HEADER},{kvs}}}"),
                Answer::Found { revision: 2, entries: vec![lead()], more: false },
            ),
            (
                get(),
                format!(r#"{{{HEADER},"more":true,{kvs}}}"#),
                Answer::Found { revision: 2, entries: vec![lead()], more: true },
            ),
            (get(), format!("{{{HEADER}}}"), Answer::Found { revision: 2, entries: Vec::new(), more: false }),
            (
                txn(),
                format!(
                    r#"{{{HEADER},"succeeded":true,"responses":[{{"response_put":{{"header":{{"revision":"2"}}}}}}]}}"#
                ),
                Answer::Decided { revision: 2, succeeded: true, found: None },
            ),
            (
                txn(),
                format!(
                    r#"{{{HEADER},"responses":[{{"response_range":{{"header":{{"revision":"2"}},{kvs}}}}}]}}"#
                ),
                Answer::Decided { revision: 2, succeeded: false, found: Some(lead()) },
            ),
            (
                txn(),
                format!(r#"{{{HEADER},"responses":[{{"response_range":{{"header":{{"revision":"2"}}}}}}]}}"#),
                Answer::Decided { revision: 2, succeeded: false, found: None },
            ),
        ] {
            assert_eq!(request.answer(200, &body), Ok(answer), "{body}");
        }
        let watched = |rest: &str| is_change(&format!(r#"{{"result":{{{HEADER}{rest}}}}}"#));
        assert!(!watched(r#","created":true"#));
        assert!(watched(r#","events":[{"type":"DELETE","kv":{"key":"L2xlYWQ=","mod_revision":"4"}}]"#));
        assert!(watched(r#","canceled":true"#) && is_change("nonsense"));
    }

    #[test]
    fn other_answers_are_errors_that_say_what_came() {
        let says = |status, body: &str| txn().answer(status, body).expect_err(body).to_string();
        assert_eq!(
            says(
                429,
                r#"{"error":"etcdserver: mvcc: database space exceeded","message":"etcdserver: mvcc: database space exceeded","code":8}"#
            ),
            "refused with status 429: etcdserver: mvcc: database space exceeded: compact it, defragment its members and disarm its alarm"
        );
        assert_eq!(says(404, "Not Found"), "refused with status 404: Not Found");
        let long = says(502, &"<p>\n".repeat(100));
        assert!(long.starts_with("refused with status 502: <p>\\n<p>\\n") && long.len() < 200, "{long}");
        for (body, says_) in [
            ("", "EOF while parsing"),
            ("{}", "missing field `header`"),
            ("[1]", "this is not an etcd from 3.4 on: "),
            (r#"{"header":{"revision":"x"}}"#, "invalid digit"),
            (r#"{"header":{"revision":"1"}}"#, "a failed transaction without what it has read"),
            (
                r#"{"header":{},"responses":[{"response_range":{"kvs":[{"key":"!","create_revision":"1"}]}}]}"#,
                "Invalid symbol 33",
            ),
        ] {
            let said = says(200, body);
            assert!(said.contains(says_), "{said}");
        }
        for (status, why, is_unauthenticated) in [
            (401, "invalid auth token", true),
            (400, "revision of auth store is old", true),
            (400, "authentication failed, invalid user ID or password", false),
            (403, "permission denied", false),
        ] {
            let refused = txn().answer(status, &format!(r#"{{"message":"etcdserver: {why}"}}"#));
            assert_eq!(refused.expect_err(why).is_unauthenticated(), is_unauthenticated, "{why}");
        }
    }
}
