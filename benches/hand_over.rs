//! One hand-over between clients over loopback, through the whole server.
//!
//! Measured: from writing the holder's answer until the next client has read its `GO`. The server's event
//! loop runs on a thread of its own, so that includes two system calls of the clients, three or four of the
//! server, and waking two threads. If both run on one processor, the calls dominate. If each has its own, and
//! that has gone to sleep, waking dominates, above all on a virtual machine. To compare like with like:
//! `taskset -c 0 cargo bench --bench hand_over`.
//!
//! Not measured: connecting; the 100 ms for which a `GO` is held back after a `WAIT` (these fall into the
//! first lap); a client that thinks; a real network.

#![allow(clippy::disallowed_methods, reason = "the clients block, so the server needs a thread of its own")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use taketurns::net::{Error, EventLoop, Handle, os_entropy};
use taketurns::protocol::turns::{Framing, GO, Reply, TurnServer, TurnServerConfig, WAIT};

/// A server on a thread of its own, until dropped.
struct Server {
    addr: SocketAddr,
    handle: Handle<TurnServer>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Server {
    fn start(framing: Framing, clients: usize) -> Server {
        let mut config = TurnServerConfig::default();
        (config.framing, config.rules.min_seats) = (Some(framing), clients);
        let server = TurnServer::new(config, os_entropy()).expect("limits that fit");
        let mut event_loop = EventLoop::new(server).expect("a poll");
        let addr = event_loop.driver_mut().listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let handle = event_loop.handle();
        let thread = std::thread::spawn(move || event_loop.run(|_, _| {}));
        Server { addr, handle, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic").expect("the poll works");
        }
    }
}

/// The clients of one ring, in its order. Each read has a deadline, so that a lost turn ends the bench.
struct Ring {
    clients: Vec<BufReader<TcpStream>>,
    holder: usize,
    framing: Framing,
    /// The holder's answer.
    answer: Vec<u8>,
    line: String,
    _server: Server,
}

impl Ring {
    fn start(framing: Framing, clients: usize) -> io::Result<Ring> {
        let server = Server::start(framing, clients);
        let mut ring = Ring {
            clients: Vec::new(),
            holder: 0,
            framing,
            answer: b"Client:1".to_vec(),
            line: String::new(),
            _server: server,
        };
        for nth in 0..clients {
            let stream = TcpStream::connect(ring._server.addr)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            ring.clients.push(BufReader::new(stream));
            ring.take_seat(nth)?;
        }
        ring.await_go()?;
        for _ in 0..clients {
            ring.hand_over()?;
        }
        Ok(ring)
    }

    /// One by one, so that their order here is the ring's.
    fn take_seat(&mut self, nth: usize) -> io::Result<()> {
        let client = &mut self.clients[nth];
        match self.framing {
            Framing::Raw => {
                let mut signal = [0; WAIT.len()];
                client.read_exact(&mut signal)?;
                assert_eq!(signal, WAIT);
            }
            Framing::Line => {
                client.get_mut().write_all(format!("JOIN Client{nth}\n").as_bytes())?;
                self.line.clear();
                client.read_line(&mut self.line)?;
                assert!(self.line.starts_with("WELCOME "), "{}", self.line);
            }
        }
        Ok(())
    }

    fn hand_over(&mut self) -> io::Result<()> {
        self.clients[self.holder].get_mut().write_all(&self.answer)?;
        self.holder = (self.holder + 1) % self.clients.len();
        self.await_go()
    }

    /// Waits until the holder has read its `GO`, and prepares its answer.
    fn await_go(&mut self) -> io::Result<()> {
        let client = &mut self.clients[self.holder];
        match self.framing {
            Framing::Raw => {
                let mut signal = [0; GO.len()];
                client.read_exact(&mut signal)?;
                assert_eq!(signal, GO);
            }
            Framing::Line => loop {
                self.line.clear();
                client.read_line(&mut self.line)?;
                // Skips lines before it: WAIT at first, later the OK of its last turn.
                if let Some(Reply::Go { turn, .. }) = Reply::parse(self.line.trim_end(), None) {
                    self.answer.clear();
                    writeln!(self.answer, "ANSWER turn={turn} :1")?;
                    break;
                }
            },
        }
        Ok(())
    }
}

fn hand_over(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hand-over");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (what, framing, counts) in
        [("raw", Framing::Raw, &[2, 16, 256][..]), ("line", Framing::Line, &[2, 16][..])]
    {
        for &clients in counts {
            let mut ring = Ring::start(framing, clients).expect("clients connect to loopback");
            group.bench_function(BenchmarkId::new(what, clients), |bencher| {
                bencher.iter(|| ring.hand_over().expect("the next client has its GO in time"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, hand_over);
criterion_main!(benches);
