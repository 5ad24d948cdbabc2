//! An event loop with a store: it never waits for the store, and sends nothing that is not durable.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use taketurns::net::{Error, EventLoop, Handle, now, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::record::{Change, MetaValue, State};
use taketurns::session::Epoch;
use taketurns::store::{Expiry, Lost, Store};

use super::loopback::{PATIENCE, any_port};

/// A store in memory whose commits wait for permission.
struct Gated {
    leave: Receiver<Result<(), ()>>,
    begun: Sender<usize>,
    expiry: Expiry,
}

impl Store for Gated {
    fn load(&mut self) -> Result<State, Lost> {
        Ok(State::new(MetaValue { epoch: Epoch(7), forgotten_turn: 0 }))
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Lost> {
        let _ = self.begun.send(changes.len());
        // A test that is over gives no more permission.
        self.leave.recv().unwrap_or(Ok(())).map_err(|()| Lost::Failed(std::io::Error::other("no space left")))
    }

    fn expiry(&self) -> Option<Expiry> {
        Some(self.expiry.clone())
    }

    fn close(self) -> Result<(), Lost> {
        Ok(())
    }
}

/// A server on a thread of its own.
struct Served {
    addr: SocketAddr,
    handle: Handle<TurnServer>,
    leave: Sender<Result<(), ()>>,
    begun: Receiver<usize>,
    expiry: Expiry,
    thread: JoinHandle<Result<(), Error>>,
}

impl Served {
    fn start(turn_deadline: Duration) -> Served {
        let ((leave, from_test), (to_test, begun)) = (channel(), channel());
        let expiry = Expiry::new(now().instant + Duration::from_secs(3600));
        let mut store = Gated { leave: from_test, begun: to_test, expiry: expiry.clone() };
        let mut config = TurnServerConfig::default();
        config.framing = Some(Framing::Line);
        config.rules.turn_deadline = turn_deadline;
        config.hello_timeout = turn_deadline * 3 / 2;
        let state = store.load().expect("in memory");
        let server = TurnServer::restore(now(), config, os_entropy(), &state).expect("an empty state");
        let mut event_loop = EventLoop::new(server).expect("a loop");
        event_loop.store_in(store, PATIENCE).expect("a thread");
        let addr = event_loop.driver_mut().listen(any_port()).expect("a free port");
        let handle = event_loop.handle();
        let thread = std::thread::spawn(move || event_loop.run(|_, _| {}));
        Served { addr, handle, leave, begun, expiry, thread }
    }

    /// Lets the next commit succeed once it has begun.
    fn commit(&self) {
        self.begun.recv_timeout(PATIENCE).expect("a commit begins");
        self.leave.send(Ok(())).expect("the store waits");
    }

    fn join(&self, name: &str) -> Client {
        let mut client = Client::connect(self.addr);
        client.say(&format!("JOIN {name}"));
        self.commit();
        assert!(client.hear().starts_with("WELCOME "));
        client
    }
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Client { reader: BufReader::new(stream.try_clone().expect("a socket")), stream }
    }

    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("a connection");
    }

    /// Returns the next line; empty at the end of the stream.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        // A reset is an end as well.
        let _ = self.reader.read_line(&mut line);
        line.trim_end().to_owned()
    }

    fn hear_until(&mut self, head: &str) -> String {
        loop {
            let line = self.hear();
            assert!(!line.is_empty(), "the stream ended before {head}");
            if line.starts_with(head) {
                return line;
            }
        }
    }
}

fn ring(turn_deadline: Duration) -> (Served, Client, Client) {
    let served = Served::start(turn_deadline);
    let mut ann = served.join("ann");
    let bob = served.join("bob");
    assert_eq!(ann.hear_until("GO"), format!("GO turn=1 within={}", turn_deadline.as_millis()));
    (served, ann, bob)
}

#[test]
fn a_loop_does_not_wait_for_its_store() {
    let short = Duration::from_secs(1);
    let (served, mut ann, mut bob) = ring(short);
    ann.say("ANSWER turn=1 epoch=7 :x");
    served.begun.recv_timeout(PATIENCE).expect("a commit begins");
    // The commit does not end. Meanwhile the connection with the answer is served, and so is a newcomer.
    ann.say("PING");
    assert_eq!(ann.hear(), "PONG", "its OK waits");
    let mut cid = Client::connect(served.addr);
    cid.say("JOIN cid");
    cid.say("PING");
    assert_eq!(cid.hear(), "PONG", "its WELCOME waits");
    // One that says nothing is closed later than bob's turn would lapse.
    assert!(Client::connect(served.addr).hear().starts_with("BYE hello-timeout"));
    served.leave.send(Ok(())).expect("the store waits");
    assert_eq!(ann.hear(), "OK turn=1");
    assert_eq!(bob.hear_until("GO"), "GO turn=2 within=1000", "his clock has not run");
    served.commit();
    assert!(cid.hear().starts_with("WELCOME cid "));
}

#[test]
fn a_store_that_fails_closes_all_and_confirms_nothing() {
    let (served, mut ann, mut bob) = ring(Duration::from_secs(30));
    ann.say("ANSWER turn=1 epoch=7 :x");
    served.begun.recv_timeout(PATIENCE).expect("a commit begins");
    served.leave.send(Err(())).expect("the store waits");
    assert_eq!(ann.hear(), "", "no OK");
    while !bob.hear().is_empty() {}
    let ended = served.thread.join().expect("no panic");
    let Err(error) = ended else { panic!("it ended well") };
    assert!(matches!(error, Error::Store(Lost::Failed(_))), "{error:?}");
    assert_eq!(error.to_string(), "no space left");
}

#[test]
fn a_drain_gives_the_store_time() {
    let (served, mut ann, _bob) = ring(Duration::from_secs(30));
    ann.say("ANSWER turn=1 epoch=7 :x");
    served.begun.recv_timeout(PATIENCE).expect("a commit begins");
    served.handle.drain();
    ann.say("PING");
    // It may be closing by now, and no longer answer.
    drop(served.leave);
    assert_eq!(ann.hear_until("OK"), "OK turn=1");
    assert!(ann.hear_until("BYE").starts_with("BYE shutting-down"));
    served.thread.join().expect("no panic").expect("a good end");
}

/// Another server leads by now, and knows secrets that this one does not.
#[test]
fn a_store_that_is_over_closes_all_before_anything_is_said() {
    let (served, mut ann, _bob) = ring(Duration::from_secs(30));
    let mut cid = Client::connect(served.addr);
    cid.say("PING");
    cid.hear_until("PONG");
    // As if the process had been stopped for a while.
    served.expiry.renew(now().instant);
    cid.say("JOIN cid resume=0123456789abcdef0123456789abcdef");
    assert_eq!((cid.hear(), ann.hear()), (String::new(), String::new()), "no BYE bad-secret");
    let ended = served.thread.join().expect("no panic");
    assert!(matches!(ended, Err(Error::Store(Lost::Expired))), "{ended:?}");
}

#[test]
fn a_store_is_over_when_nobody_renews_it_and_nothing_happens() {
    let served = Served::start(Duration::from_secs(30));
    served.expiry.renew(now().instant + Duration::from_secs(2));
    // A pass, after which the loop knows when to look again.
    let _ann = served.join("ann");
    let begin = now().instant;
    served.expiry.renew(begin + Duration::from_millis(2500));
    let ended = served.thread.join().expect("no panic");
    assert!(matches!(ended, Err(Error::Store(Lost::Expired))), "{ended:?}");
    assert!(now().instant >= begin + Duration::from_millis(2500), "it was renewed");
}
