//! A server with a status listener on a thread of its own. Its clients are in `peers.rs`.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Instant;

use support::bare::PATIENCE;
use taketurns::net::{Error, EventLoop, Handle, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::status::{Show, StatusConfig};

use super::peers::{Answer, ask};

pub(crate) fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A server with a status listener on a thread of its own, stopped on drop.
pub(crate) struct Server<P: Show + 'static> {
    pub(crate) addr: SocketAddr,
    pub(crate) status: SocketAddr,
    pub(crate) handle: Handle<P>,
    pub(crate) thread: Option<JoinHandle<Result<(), Error>>>,
}

impl<P: Show + Send + 'static> Server<P>
where
    P::Event: Send,
{
    pub(crate) fn start(protocol: P, config: StatusConfig) -> Server<P> {
        Server::start_with(protocol, config, |_| {})
    }

    pub(crate) fn start_with(
        protocol: P,
        config: StatusConfig,
        prepare: impl FnOnce(&mut EventLoop<P>),
    ) -> Server<P> {
        let mut event_loop = EventLoop::new(protocol).expect("a poll");
        prepare(&mut event_loop);
        let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
        let status = event_loop.serve_status(&[any_port()], config).expect("port 0 is free")[0];
        let handle = event_loop.handle();
        let thread = Some(std::thread::spawn(move || event_loop.run(|_, _| {})));
        Server { addr, status, handle, thread }
    }
}

impl<P: Show + 'static> Server<P> {
    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(self.status, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// Returns the value of a metric, whose name includes its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }

    pub(crate) fn wait_for_metric(&self, name: &str, wanted: f64) {
        wait_until(name, || (self.metric(name) - wanted).abs() < 1e-9);
    }
}

impl<P: Show + 'static> Drop for Server<P> {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || matches!(ended, Ok(Ok(()))), "{ended:?}");
        }
    }
}

pub(crate) fn turns(mut config: TurnServerConfig) -> TurnServer {
    config.framing = Some(Framing::Line);
    TurnServer::new(config, os_entropy()).expect("valid")
}

pub(crate) fn turn_server() -> Server<TurnServer> {
    Server::start(turns(TurnServerConfig::default()), StatusConfig::default())
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}
