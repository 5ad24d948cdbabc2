//! Parses the head of an HTTP request, or gives the reason for refusing it. The answer to a valid request is
//! decided elsewhere.

use std::fmt;

use super::StatusConfig;
use crate::host;

/// A valid request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: Path,
    /// `HEAD`: the answer is sent without its body.
    pub(super) is_head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Page,
    Events,
    Metrics,
    Health,
    Ready,
    /// A request for a WebSocket, whatever its path.
    Socket,
}

impl Path {
    fn parse(path: &str) -> Option<Path> {
        match path {
            "/" => Some(Path::Page),
            "/events" => Some(Path::Events),
            "/metrics" => Some(Path::Metrics),
            "/healthz" => Some(Path::Health),
            "/readyz" => Some(Path::Ready),
            _ => None,
        }
    }
}

/// The reason for refusing a request. Its `Display` form is sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed(httparse::Error),
    /// HTTP/1.1 requires exactly one `Host`.
    Host,
    /// The `Host` is not a name of this listener.
    Misdirected,
    Body,
    Method,
    NotFound,
    NoSocket,
    TooLong(usize),
    TooSlow,
    Full,
    FeedsFull,
}

impl Refusal {
    /// Returns the code and words of the status line.
    pub(super) fn status(self) -> &'static str {
        match self {
            Refusal::Malformed(_) | Refusal::Host | Refusal::Body => "400 Bad Request",
            Refusal::Misdirected => "403 Forbidden",
            Refusal::NotFound | Refusal::NoSocket => "404 Not Found",
            Refusal::Method => "405 Method Not Allowed",
            Refusal::TooSlow => "408 Request Timeout",
            Refusal::TooLong(_) => "431 Request Header Fields Too Large",
            Refusal::Full | Refusal::FeedsFull => "503 Service Unavailable",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(error) => write!(f, "this is not an HTTP/1 request: {error}"),
            Refusal::Host => f.write_str("an HTTP/1.1 request has exactly one Host header"),
            Refusal::Misdirected => f.write_str("this Host is not among those allowed by --status-host"),
            Refusal::Body => {
                f.write_str("a request here has no body: leave out Content-Length and Transfer-Encoding")
            }
            Refusal::Method => f.write_str("only GET and HEAD are answered here"),
            Refusal::NotFound => f.write_str("the paths are /, /events, /metrics, /healthz and /readyz"),
            Refusal::NoSocket => f.write_str("there are no WebSockets here"),
            Refusal::TooLong(max) => {
                write!(f, "the head of a request has at most {max} bytes, and 64 headers")
            }
            Refusal::TooSlow => f.write_str("the request did not arrive in time"),
            Refusal::Full => f.write_str("there are too many connections: try again later"),
            Refusal::FeedsFull => f.write_str("there are too many readers of /events: try again later"),
        }
    }
}

const HEADERS_MAX: usize = 64;

/// Parses a request that begins with `bytes`; `None` while it is incomplete.
pub(super) fn parse(bytes: &[u8], config: &StatusConfig) -> Option<Result<Request, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => None,
        Ok(httparse::Status::Complete(_)) => Some(judge(&request, &config.hosts)),
        Err(httparse::Error::TooManyHeaders) => Some(Err(Refusal::TooLong(config.head_bytes_max))),
        Err(error) => Some(Err(Refusal::Malformed(error))),
    }
}

fn judge(request: &httparse::Request<'_, '_>, hosts: &[String]) -> Result<Request, Refusal> {
    let named = |name: &'static str| {
        request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    };
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refusal::Method),
    };
    if request.version == Some(1) && named("host").count() != 1 {
        return Err(Refusal::Host);
    }
    if named("transfer-encoding").next().is_some()
        || named("content-length").any(|length| length.value != b"0")
    {
        return Err(Refusal::Body);
    }
    if !is_head && named("upgrade").any(|upgrade| upgrade.value.eq_ignore_ascii_case(b"websocket")) {
        return Ok(Request { path: Path::Socket, is_head });
    }
    let path = Path::parse(path_of(request.path.unwrap_or_default())).ok_or(Refusal::NotFound)?;
    let is_known = |name: &httparse::Header<'_>| {
        std::str::from_utf8(name.value).is_ok_and(|name| host::is_known(name.trim(), hosts))
    };
    // An old client may send none, and is not a browser.
    if !matches!(path, Path::Health | Path::Ready) && !named("host").all(is_known) {
        return Err(Refusal::Misdirected);
    }
    Ok(Request { path, is_head })
}

/// Returns the path of a request's target, which may be a full URL, without the query.
fn path_of(target: &str) -> &str {
    // The query is removed first, because it may contain slashes.
    let target = target.split('?').next().unwrap_or_default();
    match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Result<Request, Refusal>> {
        let config = StatusConfig { hosts: vec!["turns.example".to_owned()], ..StatusConfig::default() };
        parse(text.as_bytes(), &config)
    }

    fn get(path: Path) -> Option<Result<Request, Refusal>> {
        Some(Ok(Request { path, is_head: false }))
    }

    #[test]
    fn a_request_is_read_once_its_head_is_complete() {
        let text = "GET /healthz?probe=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]), None, "{end} bytes");
        }
        assert_eq!(read(text), get(Path::Health));
        assert_eq!(read(&format!("{text}GET / HTTP/1.1\r\n")), get(Path::Health), "what follows is ignored");
    }

    #[test]
    fn every_form_of_a_target_is_understood() {
        for (target, path) in [
            ("/", Path::Page),
            ("/events", Path::Events),
            ("/metrics?x=/", Path::Metrics),
            ("http://status.example:9000/readyz", Path::Ready),
            ("http://status.example", Path::Page),
            ("http://status.example?from=/metrics", Path::Page),
        ] {
            assert_eq!(read(&format!("GET {target} HTTP/1.0\r\n\r\n")), get(path), "{target}");
        }
        let head = read("HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(head, Some(Ok(Request { path: Path::Page, is_head: true })));
    }

    /// Otherwise any web page could have its name resolve to this machine, and read who takes turns here.
    #[test]
    fn what_is_worth_reading_is_read_under_known_names_only() {
        let asked = |path: &str, host: &str| read(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        for path in ["/", "/events", "/metrics"] {
            for host in
                ["127.0.0.1:8081", "[::1]:8081", "localhost:8081", "turns.example", "TURNS.example:80"]
            {
                assert!(asked(path, host).is_some_and(|answer| answer.is_ok()), "{path} at {host}");
            }
            for host in ["evil.example", "evil.example:8081", "turns.example.evil.example", "", "\u{fffd}"] {
                assert_eq!(asked(path, host), Some(Err(Refusal::Misdirected)), "{path} at {host}");
            }
        }
        // Probes come under any name.
        assert_eq!(asked("/healthz", "evil.example"), get(Path::Health));
        assert_eq!(asked("/readyz", "evil.example"), get(Path::Ready));
        let two = "GET /metrics HTTP/1.0\r\nHost: localhost\r\nHost: evil.example\r\n\r\n";
        assert_eq!(read(two), Some(Err(Refusal::Misdirected)));
    }

    #[test]
    fn a_request_for_a_web_socket_is_one_whatever_its_path() {
        let text = "GET /any HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n";
        assert_eq!(read(text), get(Path::Socket));
        assert_eq!(read(&text.replace("GET", "HEAD")), Some(Err(Refusal::NotFound)));
    }

    #[test]
    fn a_refusal_names_the_fault_of_the_request() {
        let many = format!("GET / HTTP/1.0\r\n{}\r\n", "a: b\r\n".repeat(65));
        for (text, status) in [
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"),
            ("GET /other HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
            ("GET /healthz/ HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
            ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/2.0\r\n\r\n", "400 Bad Request"),
            ("GET /\r\n\r\n", "400 Bad Request"),
            ("\u{16}\u{3}\u{1}\r\n", "400 Bad Request"),
            (&many, "431 Request Header Fields Too Large"),
        ] {
            let refusal = read(text).expect("complete").expect_err(text);
            assert_eq!(refusal.status(), status, "{text}");
            assert!(!refusal.to_string().contains('\n'), "one line");
        }
        assert_eq!(read("GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), get(Path::Page));
    }
}
