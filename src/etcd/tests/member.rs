//! A member that answers as a test says, on its own thread.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, Request, Response};
use mio::net::TcpStream;

use super::super::executor::{Executor, Socket};
use crate::net::now;

/// Longer than any test lasts.
const PATIENCE: Duration = Duration::from_secs(20);

/// A call that is to be answered.
pub(in super::super) struct Asked {
    /// The number of its connection, from 0 on.
    pub(in super::super) connection: usize,
    pub(in super::super) request: Request<()>,
    /// With its prefix.
    pub(in super::super) message: Bytes,
    /// Whether the message ends the call's body.
    pub(in super::super) is_whole: bool,
    respond: SendResponse<Bytes>,
}

/// The fate of a connection after a call.
pub(in super::super) enum Then {
    GoesOn,
    /// The member announces the end of the connection, and closes it when all calls are answered.
    Leaves,
    /// The member closes it at once.
    Closes,
}

impl Asked {
    /// Answers with these headers alone.
    pub(in super::super) fn ends_with(
        mut self,
        status: u16,
        headers: &[(&'static str, &'static str)],
    ) -> Then {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(()).expect("a response");
        self.respond.send_response(response, true).expect("the call waits");
        Then::GoesOn
    }

    /// Begins a body.
    pub(in super::super) fn begins(&mut self) -> SendStream<Bytes> {
        self.respond.send_response(Response::new(()), false).expect("the call waits")
    }

    /// Answers with a body in pieces, and trailers.
    pub(in super::super) fn says(
        mut self,
        pieces: &[&[u8]],
        trailers: &[(&'static str, &'static str)],
    ) -> Then {
        let mut body = self.begins();
        for piece in pieces {
            body.send_data(Bytes::copy_from_slice(piece), false).expect("the call waits");
        }
        let trailers = trailers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")));
        body.send_trailers(trailers.collect::<HeaderMap>()).expect("the call waits");
        Then::GoesOn
    }
}

/// Serves one connection after another.
pub(in super::super) fn serve(mut answer: impl FnMut(Asked) -> Then + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let run = move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let stream = stream.expect("a connection");
            stream.set_nonblocking(true).expect("a socket");
            let mut stream = TcpStream::from_std(stream);
            let mut executor = Executor::of(&mut stream).expect("a poll");
            let shake_hands = h2::server::handshake(Socket::new(stream));
            let Ok(Ok(mut http2)) = executor.run(now().instant + PATIENCE, shake_hands) else { continue };
            loop {
                let accepted = executor.run(now().instant + PATIENCE, http2.accept());
                let Ok(Some(Ok((request, respond)))) = accepted else { break };
                let (head, mut body) = request.into_parts();
                let read = poll_fn(|context| {
                    let _ = http2.poll_closed(context);
                    body.poll_data(context)
                });
                let Ok(Some(Ok(message))) = executor.run(now().instant + PATIENCE, read) else { break };
                let (request, is_whole) = (Request::from_parts(head, ()), body.is_end_stream());
                let asked = Asked { connection: nth, request, message, is_whole, respond };
                match answer(asked) {
                    Then::GoesOn => {}
                    Then::Leaves => http2.graceful_shutdown(),
                    Then::Closes => break,
                }
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a member is not part of the program")]
    std::thread::spawn(run);
    addr
}
