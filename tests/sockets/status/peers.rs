//! The other ends: clients that ask once, read the feed, or play.

use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;
use support::bare::{PATIENCE, connect};
use taketurns::protocol::turns::TurnServer;

use super::server::Server;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends `text`, and reads until the other end closes.
pub(crate) fn ask(addr: SocketAddr, text: &str) -> Answer {
    let mut stream = connect(addr);
    stream.write_all(text.as_bytes()).expect("it reads");
    whole_answer(stream)
}

pub(crate) fn whole_answer(mut stream: TcpStream) -> Answer {
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("it answers and closes");
    let (head, body) = all.split_once("\r\n\r\n").expect("a head ends in an empty line");
    Answer { head: head.to_owned(), body: body.to_owned() }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(&self, status: &str) {
        assert!(self.head.starts_with(&format!("HTTP/1.1 {status} ")), "wanted {status}, not {self:?}");
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }
}

/// A reader of the feed.
pub(crate) struct Reader(pub(crate) BufReader<TcpStream>);

impl Reader {
    /// Asks for the feed. Returns the reader and the first message.
    pub(crate) fn begin(addr: SocketAddr) -> (Reader, Value) {
        let mut stream = connect(addr);
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        let mut reader = Reader(BufReader::new(stream));
        let head = reader.paragraph();
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Type: text/event-stream"),
            "{head}"
        );
        assert!(head.contains("X-Accel-Buffering: no"), "a reverse proxy would hold it back: {head}");
        assert_eq!(reader.paragraph(), "retry: 1000\n");
        let hello = reader.message("hello");
        (reader, hello)
    }

    fn paragraph(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let count = self.0.read_line(&mut line).expect("the feed goes on");
            if count == 0 || line.trim_end().is_empty() {
                return text;
            }
            text += &line;
        }
    }

    pub(crate) fn message(&mut self, event: &str) -> Value {
        let text = self.paragraph();
        let data = text
            .strip_prefix(&format!("event: {event}\ndata: "))
            .unwrap_or_else(|| panic!("no {event}: {text:?}"));
        serde_json::from_str(data).expect("JSON")
    }

    /// Reads states until `done`.
    pub(crate) fn state_with(&mut self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.message("state");
            if done(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "no {what} in {state}");
        }
    }
}

/// A client of the turn protocol.
pub(crate) struct Player {
    name: &'static str,
    stream: BufReader<TcpStream>,
}

impl Player {
    pub(crate) fn join(addr: SocketAddr, name: &'static str) -> Player {
        let mut stream = connect(addr);
        stream.write_all(format!("JOIN {name}\n").as_bytes()).expect("it reads");
        let mut player = Player { name, stream: BufReader::new(stream) };
        player.wait_for("WELCOME");
        player
    }

    /// Reads up to a line that begins with `word`. Returns that line.
    pub(crate) fn wait_for(&mut self, word: &str) -> String {
        let mut line = String::new();
        while !line.starts_with(word) {
            line.clear();
            let count = self.stream.read_line(&mut line).expect("the server speaks");
            assert!(count > 0, "{}: closed before {word}", self.name);
        }
        line
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    /// Waits for the turn and answers it with `answer`.
    pub(crate) fn play(&mut self, answer: impl Display) {
        let go = self.wait_for("GO");
        let turn = go.split(' ').find(|field| field.starts_with("turn=")).expect("GO names its turn");
        self.say(&format!("ANSWER {turn} :{answer}"));
    }
}

/// Lets Ann and Bob take `count` turns in total.
pub(crate) fn play(server: &Server<TurnServer>, count: i64) -> [Player; 2] {
    let mut players = ["ann", "bob"].map(|name| Player::join(server.addr, name));
    for number in 1..=count {
        players[usize::try_from((number + 1) % 2).expect("0 or 1")].play(number);
    }
    players
}
