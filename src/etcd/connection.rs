//! A connection to one member: gRPC, over HTTP/2.
//!
//! A call is a request with a body of messages, each behind a byte that says whether it is compressed, and
//! four that say its length. The trailers say how the call went; a call that fails at once has them in place
//! of a body.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use mio::net::TcpStream;

use super::config::Address;
use super::executor::{Executor, Socket};
use super::message::{Code, Trouble};
use crate::net::now;
use crate::time::Instant;

/// The longest answer, in bytes: a page of entries.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of answers that a member may send before it is told that they were read.
const WINDOW: u32 = 1024 * 1024;

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Makes a connection speak TLS.
pub(super) type Secure = dyn Fn(TcpStream) -> io::Result<Socket> + Send;

/// A connection, which is good for one call at a time.
pub(super) struct Connection {
    executor: Executor,
    sender: SendRequest<Bytes>,
    http2: h2::client::Connection<Socket, Bytes>,
    address: Address,
}

/// A call of a method, such as `/etcdserverpb.KV/Txn`.
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    pub(super) token: Option<&'a str>,
    pub(super) message: Vec<u8>,
    /// Whether nothing else is sent, so that the member ends the call once it has answered.
    pub(super) is_whole: bool,
}

impl Connection {
    /// Connects to a member at one of the addresses that its name stands for.
    pub(super) fn open(
        addr: SocketAddr,
        address: Address,
        secure: Option<&Secure>,
        until: Instant,
    ) -> Result<Connection, Trouble> {
        // A timeout of 0 is refused.
        let left = until.saturating_duration_since(now().instant).max(Duration::from_millis(1));
        let connect = || {
            let stream = std::net::TcpStream::connect_timeout(&addr, left)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let executor = Executor::of(&mut stream)?;
            let socket = match secure {
                Some(secure) => secure(stream)?,
                None => Socket::new(stream),
            };
            Ok((executor, socket))
        };
        let (mut executor, socket) = connect().map_err(silent)?;
        let mut settings = Builder::new();
        settings.enable_push(false).initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let opened = executor.run(until, settings.handshake(socket)).map_err(silent)?;
        let (sender, http2) = opened.map_err(broken)?;
        Ok(Connection { executor, sender, http2, address })
    }

    /// Answers what has come since the last call, such as a ping, and returns whether the member has not
    /// closed the connection.
    pub(super) fn is_open(&mut self) -> bool {
        let look = poll_fn(|context| Poll::Ready(Pin::new(&mut self.http2).poll(context)));
        self.executor.run(now().instant, look).is_ok_and(|ended| ended.is_pending())
    }

    /// Makes a call, and has `read` take its answers. The call ends when that returns.
    pub(super) fn call<T>(
        &mut self,
        call: Call<'_>,
        until: Instant,
        read: impl AsyncFnOnce(Answers) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let sender = self.sender.clone();
        let request = call.request(&self.address).map_err(|error| malformed(&error.to_string()))?;
        let mut answer = pin!(async {
            let (mut sender, body) = (sender.ready().await.map_err(broken)?, framed(&call.message));
            let (response, mut body_to) = sender.send_request(request, false).map_err(broken)?;
            body_to.send_data(body, call.is_whole).map_err(broken)?;
            read(Answers::of(response.await.map_err(broken)?, body_to)?).await
        });
        let http2 = &mut self.http2;
        let run = poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            let Poll::Ready(ended) = Pin::new(&mut *http2).poll(context) else { return Poll::Pending };
            // The answer may have come with the end.
            match answer.as_mut().poll(context) {
                Poll::Pending => Poll::Ready(Err(
                    ended.map_or_else(broken, |()| silent(io::ErrorKind::ConnectionReset.into()))
                )),
                answer => answer,
            }
        });
        self.executor.run(until, run).map_err(silent)?
    }
}

impl Call<'_> {
    fn request(&self, address: &Address) -> Result<Request<()>, http::Error> {
        // A member accepts a client's certificate only if it is told that this is TLS.
        let scheme = if address.is_secure { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(address.authority.clone());
        let uri = uri.path_and_query(self.method);
        let request =
            Request::post(uri.build()?).header("content-type", "application/grpc").header("te", "trailers");
        match self.token {
            Some(token) => request.header("token", token),
            None => request,
        }
        .body(())
    }
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a commit is cut into parts");
    let mut framed = Vec::with_capacity(PREFIX + message.len());
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}

/// The answers of a call.
pub(super) struct Answers {
    body: RecvStream,
    read: BytesMut,
    /// Kept alive because dropping it cancels the call.
    _body_to: SendStream<Bytes>,
}

impl Answers {
    fn of(response: Response<RecvStream>, body_to: SendStream<Bytes>) -> Result<Answers, Trouble> {
        if response.status() != StatusCode::OK {
            return Err(malformed(&format!("HTTP status {}", response.status())));
        }
        if response.headers().contains_key(STATUS) {
            outcome(response.headers())?;
        }
        Ok(Answers { body: response.into_body(), read: BytesMut::new(), _body_to: body_to })
    }

    /// Returns the only answer of a call that succeeds.
    pub(super) async fn only(mut self) -> Result<Bytes, Trouble> {
        let answer = self.next().await?.ok_or_else(|| malformed("an answer without a message"))?;
        match self.next().await? {
            None => Ok(answer),
            Some(_) => Err(malformed("several messages for one")),
        }
    }

    /// Returns the next answer; `None` if the call has succeeded.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let Some(data) = self.body.data().await else { break };
            let data = data.map_err(broken)?;
            self.read.extend_from_slice(&data);
            self.body.flow_control().release_capacity(data.len()).map_err(broken)?;
        }
        let trailers = self.body.trailers().await.map_err(broken)?;
        outcome(&trailers.unwrap_or_default())?;
        if self.read.is_empty() { Ok(None) } else { Err(malformed("half a message")) }
    }

    /// Takes a message that has arrived whole.
    fn take(&mut self) -> Result<Option<Bytes>, Trouble> {
        let Some((prefix, rest)) = self.read.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [is_compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if is_compressed != 0 || length > ANSWER_BYTES_MAX {
            return Err(malformed("a message that is compressed, or too long"));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.read.advance(PREFIX);
        Ok(Some(self.read.split_to(length).freeze()))
    }
}

/// The trailer that says how a call went.
const STATUS: &str = "grpc-status";

fn outcome(said: &HeaderMap) -> Result<(), Trouble> {
    let text = |name| said.get(name).and_then(|value| value.to_str().ok());
    match text(STATUS).and_then(|code| code.parse().ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(Trouble::Refused {
            code: Code(code),
            why: text("grpc-message").unwrap_or_default().to_owned(),
        }),
        None => Err(malformed("a call without its outcome")),
    }
}

fn malformed(what: &str) -> Trouble {
    Trouble::Malformed(what.to_owned())
}

/// Returns the trouble for an error of the connection, or of the attempt to make it.
pub(super) fn silent(error: io::Error) -> Trouble {
    Trouble::Silent { kind: error.kind(), why: error.to_string() }
}

fn broken(error: h2::Error) -> Trouble {
    // The library itself has noticed that this is not HTTP/2.
    if error.is_library() {
        return malformed(&error.to_string());
    }
    let why = error.to_string();
    silent(error.into_io().unwrap_or_else(|| io::Error::other(why)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::config::EtcdConfig;
    use super::super::tests::member::{Asked, Then, serve};
    use super::*;

    /// A deadline that no test reaches.
    fn later() -> Instant {
        now().instant + Duration::from_secs(20)
    }

    fn connect(addr: SocketAddr) -> Connection {
        let config = EtcdConfig::new(vec![format!("http://{addr}")], "x", "a:1");
        let address = config.addresses().expect("an address").remove(0);
        Connection::open(addr, address, None, later()).expect("a member")
    }

    fn call() -> Call<'static> {
        Call { method: "/etcdserverpb.KV/Range", token: None, message: b"key".to_vec(), is_whole: true }
    }

    /// Calls a member that answers as `answer` does.
    fn outcome_of(answer: impl FnMut(Asked) -> Then + Send + 'static) -> Result<Bytes, Trouble> {
        connect(serve(answer)).call(call(), later(), Answers::only)
    }

    const WELL: &[(&str, &str)] = &[("grpc-status", "0")];

    #[test]
    fn a_call_goes_to_its_method_with_the_token_and_an_answer_may_come_in_pieces() {
        let addr = serve(|asked| {
            let (head, _) = asked.request.clone().into_parts();
            assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/etcdserverpb.KV/Range"));
            assert_eq!(head.uri.scheme_str(), Some("http"));
            assert_eq!(head.headers["content-type"], "application/grpc");
            assert!(asked.message[..] == *b"\0\0\0\0\x03key" && asked.is_whole);
            assert_eq!(head.headers.get("token").map(HeaderValue::as_bytes), Some(&b"t.1"[..]));
            asked.says(&[b"\0\0", b"\0\0\x04go", b"od"], WELL)
        });
        let mut connection = connect(addr);
        for _ in 0..3 {
            let call = Call { token: Some("t.1"), ..call() };
            assert_eq!(connection.call(call, later(), Answers::only), Ok(Bytes::from_static(b"good")));
        }
        assert!(connection.is_open());
        connection.address.is_secure = true;
        let request = call().request(&connection.address).expect("a request");
        assert_eq!(request.uri().scheme_str(), Some("https"));
    }

    /// Longer than what may be under way at once.
    #[test]
    fn an_answer_may_be_long() {
        let long = [b"\0\0\x50\0\0", &vec![7; 0x50_0000][..]].concat();
        let answer = outcome_of(move |asked| asked.says(&[&long], WELL)).expect("an answer");
        assert!(answer.len() == 0x50_0000 && answer.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_refusal_counts_with_and_without_a_message_before_it() {
        let refused = |code, why: &str| Err(Trouble::Refused { code: Code(code), why: why.to_owned() });
        let at_once =
            outcome_of(|asked| asked.ends_with(200, &[("grpc-status", "7"), ("grpc-message", "no")]));
        assert_eq!(at_once, refused(7, "no"));
        let late = outcome_of(|asked| asked.says(&[b"\0\0\0\0\x01a"], &[("grpc-status", "14")]));
        assert_eq!(late, refused(14, ""));
    }

    #[test]
    fn what_is_no_grpc_is_an_error_that_says_what_came() {
        let says = |outcome: Result<Bytes, Trouble>, what: &str| {
            let said = outcome.expect_err(what).to_string();
            assert!(said.starts_with("this is not an etcd") && said.contains(what), "{what}: {said}");
        };
        says(outcome_of(|asked| asked.ends_with(502, &[])), "HTTP status 502");
        says(outcome_of(|asked| asked.ends_with(200, &[])), "a call without its outcome");
        says(outcome_of(|asked| asked.says(&[b"\0\0\0\0\x01a"], &[])), "a call without its outcome");
        says(outcome_of(|asked| asked.says(&[], WELL)), "an answer without a message");
        says(outcome_of(|asked| asked.says(&[b"\0\0\0\0\x02a"], WELL)), "half a message");
        says(outcome_of(|asked| asked.says(&[b"\0\0\0\0\0\0\0\0\0\0"], WELL)), "several messages for one");
        says(outcome_of(|asked| asked.says(&[b"\x01\0\0\0\x01a"], WELL)), "compressed, or too long");
        says(outcome_of(|asked| asked.says(&[b"\0\xff\0\0\0"], WELL)), "compressed, or too long");
    }

    #[test]
    fn a_member_that_says_nothing_or_closes_is_told_apart_from_one_that_refuses() {
        let kind = |outcome: Result<Bytes, Trouble>| match outcome {
            Err(Trouble::Silent { kind, .. }) => kind,
            outcome => panic!("{outcome:?}"),
        };
        let mut silent = connect(serve(|mut asked| {
            std::mem::forget(asked.begins());
            Then::GoesOn
        }));
        let soon = now().instant + Duration::from_millis(50);
        assert_eq!(kind(silent.call(call(), soon, Answers::only)), io::ErrorKind::TimedOut);
        // Which one depends on what it has not read yet.
        let closed = kind(outcome_of(|_| Then::Closes));
        assert!(matches!(closed, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{closed}");
    }

    /// Such as an older etcd, or a proxy.
    #[test]
    fn a_server_that_does_not_speak_http2_is_no_etcd() {
        use std::io::{Read as _, Write as _};

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let answer = move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").expect("it reads");
            // Until the other side closes.
            let _ = stream.read_to_end(&mut Vec::new());
        };
        #[expect(clippy::disallowed_methods, reason = "a server is not part of the program")]
        std::thread::spawn(answer);
        let said = connect(addr).call(call(), later(), Answers::only).expect_err("no etcd").to_string();
        assert!(said.starts_with("this is not an etcd"), "{said}");
    }
}
