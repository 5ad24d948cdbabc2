//! The opening handshake: which requests are accepted, and the answers to the others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};

use super::WebSocketConfig;
use crate::host;

/// The subprotocol: each text message is one line of line protocol 1.
pub(super) const SUBPROTOCOL: &str = "taketurns.line.1";

/// The most bytes of the request line and all headers. Browsers also send their cookies.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;

const HEADERS_MAX: usize = 64;

/// A refused request: its status, and words for the client and the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: &'static str,
    pub(super) words: &'static str,
}

const fn bad(words: &'static str) -> Refusal {
    Refusal { status: "400 Bad Request", words }
}

/// The outcome of reading the head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The head is incomplete.
    Incomplete,
    /// The request is accepted: the response, and the length of the request.
    Taken(String, usize),
    Refused(Refusal),
}

/// Parses and checks the head of a request that begins with `bytes`.
pub(super) fn judge(bytes: &[u8], config: &WebSocketConfig) -> Outcome {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let too_long = Refusal {
        status: "431 Request Header Fields Too Large",
        words: "the head of a request has at most 8192 bytes, and 64 headers",
    };
    match request.parse(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]) {
        Ok(httparse::Status::Complete(used)) => match accept(&request, config) {
            Ok(response) => Outcome::Taken(response, used),
            Err(refusal) => Outcome::Refused(refusal),
        },
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => Outcome::Incomplete,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Outcome::Refused(too_long),
        Err(_) => Outcome::Refused(bad("this is not an HTTP/1 request")),
    }
}

/// Returns the response to an acceptable request.
fn accept(request: &httparse::Request<'_, '_>, config: &WebSocketConfig) -> Result<String, Refusal> {
    let all = |name: &'static str| {
        let of_name = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        of_name.map(|header| std::str::from_utf8(header.value).unwrap_or("\u{fffd}").trim())
    };
    // Returns whether a list header contains `token`.
    let lists = |name: &'static str, token: &str| {
        all(name).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    if request.method != Some("GET") || request.version != Some(1) {
        return Err(bad("a WebSocket begins with GET and HTTP/1.1"));
    }
    let mut hosts = all("host");
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(bad("an HTTP/1.1 request has exactly one Host header"));
    };
    if !host::is_known(host, &config.hosts) {
        return Err(Refusal {
            status: "403 Forbidden",
            words: "this Host is not among those allowed by --web-host",
        });
    }
    if !lists("upgrade", "websocket") || !lists("connection", "upgrade") {
        return Err(Refusal { status: "426 Upgrade Required", words: "only WebSockets are served here" });
    }
    let mut origins = all("origin");
    if let Some(origin) = origins.next()
        && (origins.next().is_some() || !config.allows_origin(origin, host))
    {
        return Err(Refusal {
            status: "403 Forbidden",
            words: "this Origin is not among those allowed by --web-origin",
        });
    }
    if all("sec-websocket-version").ne(["13"]) {
        return Err(Refusal { status: "426 Upgrade Required", words: "Sec-WebSocket-Version must be 13" });
    }
    let mut keys = all("sec-websocket-key");
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if BASE64.decode(key).is_ok_and(|key| key.len() == 16) => key,
        _ => return Err(bad("Sec-WebSocket-Key must have 16 bytes in base64")),
    };
    let offers = all("sec-websocket-protocol").next().is_some();
    if offers && !lists("sec-websocket-protocol", SUBPROTOCOL) {
        return Err(bad("Sec-WebSocket-Protocol must be taketurns.line.1"));
    }
    let chosen = if offers { format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n") } else { String::new() };
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{chosen}\r\n",
        proof(key)
    ))
}

/// Returns the proof that the key was read.
fn proof(key: &str) -> String {
    BASE64
        .encode(Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize())
}

impl Refusal {
    /// Returns the full response.
    pub(super) fn response(&self) -> String {
        let Refusal { status, words } = self;
        let length = words.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{words}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:5001\r\nUpgrade: websocket\r\n\
                        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn outcome(head: &str) -> Outcome {
        judge(format!("{head}\r\n").as_bytes(), &WebSocketConfig::default())
    }

    #[test]
    fn a_request_is_taken_once_its_head_is_complete() {
        let head = format!("{HEAD}Sec-WebSocket-Protocol: other, taketurns.line.1\r\n\r\n");
        for end in 0..head.len() {
            assert_eq!(judge(&head.as_bytes()[..end], &WebSocketConfig::default()), Outcome::Incomplete);
        }
        let Outcome::Taken(response, used) = judge(head.as_bytes(), &WebSocketConfig::default()) else {
            panic!("{head}");
        };
        assert_eq!(used, head.len());
        // The key and its proof are those of RFC 6455.
        assert!(
            response.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{response}"
        );
        assert!(response.ends_with("\r\nSec-WebSocket-Protocol: taketurns.line.1\r\n\r\n"), "{response}");
        assert!(matches!(outcome(HEAD), Outcome::Taken(response, _) if !response.contains("Protocol:")));
    }

    #[test]
    fn a_refusal_names_the_fault_of_the_request() {
        let without = |line: &str| {
            let head: Vec<&str> =
                HEAD.split_inclusive("\r\n").filter(|kept| !kept.starts_with(line)).collect();
            head.concat()
        };
        let with = |line: &str| format!("{HEAD}{line}\r\n");
        for (head, status) in [
            (HEAD.replacen("GET", "POST", 1), "400 Bad Request"),
            (HEAD.replacen("HTTP/1.1", "HTTP/1.0", 1), "400 Bad Request"),
            ("GET /\r\n".to_owned(), "400 Bad Request"),
            (without("Host"), "400 Bad Request"),
            (with("Host: 127.0.0.1:5001"), "400 Bad Request"),
            (without("Upgrade"), "426 Upgrade Required"),
            (without("Connection"), "426 Upgrade Required"),
            (HEAD.replace("Version: 13", "Version: 8"), "426 Upgrade Required"),
            (with("Sec-WebSocket-Version: 8"), "426 Upgrade Required"),
            (without("Sec-WebSocket-Key"), "400 Bad Request"),
            (HEAD.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), "400 Bad Request"),
            (with("Sec-WebSocket-Protocol: chat"), "400 Bad Request"),
            (with(&"a: b\r\n".repeat(65)), "431 Request Header Fields Too Large"),
            (with(&format!("Cookie: {}", "a".repeat(HEAD_BYTES_MAX))), "431 Request Header Fields Too Large"),
            (HEAD.replace("127.0.0.1:5001", "evil.example"), "403 Forbidden"),
            (with("Origin: http://evil.example"), "403 Forbidden"),
            (with("Origin: http://127.0.0.1:5001\r\nOrigin: http://127.0.0.1:5001"), "403 Forbidden"),
        ] {
            let Outcome::Refused(refusal) = outcome(&head) else { panic!("{head}") };
            assert_eq!(refusal.status, status, "{head}");
            assert!(refusal.response().ends_with(&format!("\r\n\r\n{}\n", refusal.words)));
        }
        assert!(matches!(outcome(&with("Origin: http://127.0.0.1:5001")), Outcome::Taken(..)));
    }
}
