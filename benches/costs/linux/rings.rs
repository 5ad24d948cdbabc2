//! The clients: plain blocking sockets, seated one by one, so that their order here is the ring's.
//!
//! Each read has a deadline, so that a lost turn ends the count with an error.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
#[cfg(feature = "wires")]
use std::time::Duration;

use taketurns::protocol::turns::{Framing, GO, Reply, WAIT};

use super::serve::Setting;
use super::wire::Stream;
#[cfg(feature = "wires")]
use super::wires::clock;

/// A seated client.
struct Client {
    stream: BufReader<Stream>,
    framing: Framing,
    name: String,
    /// The server's epoch, for the fence of its answers.
    epoch: String,
    /// Its answer in each turn.
    answer: String,
    payload: Option<usize>,
    line: String,
}

impl Client {
    /// Takes a seat, and waits for `WAIT`.
    fn seat(addr: SocketAddr, setting: Setting, ring: usize, nth: usize) -> io::Result<Client> {
        let Setting { framing, wire, confirm_go, payload, .. } = setting;
        let stream = Stream::connect(addr, wire)?;
        let name = format!("ann{nth:05}");
        let answer = format!("{name}:1");
        let stream = BufReader::with_capacity(256, stream);
        let (epoch, line) = (String::new(), String::new());
        let mut client = Client { stream, framing, name, epoch, answer, payload, line };
        match framing {
            Framing::Raw => client.await_raw_wait()?,
            Framing::Line => {
                let confirm = if confirm_go { " confirm=go" } else { "" };
                let join = format!("JOIN {} ring=r{ring}{confirm}\n", client.name);
                client.stream.get_mut().write_all(join.as_bytes())?;
                client.read_verb()?;
                client.note_epoch();
                while client.read_verb()? != "WAIT" {}
            }
        }
        Ok(client)
    }

    fn await_raw_wait(&mut self) -> io::Result<()> {
        let mut signal = [0; WAIT.len()];
        self.stream.read_exact(&mut signal)?;
        if signal == WAIT { Ok(()) } else { Err(io::Error::other("a newcomer is not told to wait")) }
    }

    fn answer(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(self.answer.as_bytes())
    }

    /// Waits for `GO`. Returns the number of other bytes read.
    fn await_go(&mut self) -> io::Result<usize> {
        match self.framing {
            Framing::Raw => self.await_raw_go(),
            Framing::Line => self.await_line_go(),
        }
    }

    fn await_raw_go(&mut self) -> io::Result<usize> {
        let mut others = 0;
        loop {
            let heard = self.stream.fill_buf()?;
            let (count, has_go) = (heard.len(), heard.ends_with(GO));
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.stream.consume(count);
            others += count;
            if has_go {
                return Ok(others - GO.len());
            }
        }
    }

    fn await_line_go(&mut self) -> io::Result<usize> {
        let mut others = 0;
        loop {
            self.read_verb()?;
            if let Some(Reply::Go { turn, .. }) = Reply::parse(self.line.trim_end(), None) {
                let content = match self.payload {
                    None => ":1".to_owned(),
                    Some(size) => format!("bytes={size}\n{}", "x".repeat(size)),
                };
                self.answer = format!("ANSWER turn={turn} epoch={} {content}\n", self.epoch);
                return Ok(others);
            }
            others += self.line.len();
        }
    }

    /// Notes the epoch of the `WELCOME` that was read last.
    fn note_epoch(&mut self) {
        let epoch = self.line.split(' ').find_map(|field| field.strip_prefix("epoch="));
        self.epoch = epoch.unwrap_or_default().to_owned();
    }

    /// Reads one line. Returns its first word.
    fn read_verb(&mut self) -> io::Result<&str> {
        self.line.clear();
        match self.stream.read_line(&mut self.line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(self.line.split_whitespace().next().unwrap_or_default()),
        }
    }

    /// Returns the number of unread bytes.
    fn unread(&self) -> io::Result<usize> {
        Ok(self.stream.buffer().len() + self.stream.get_ref().peek(&mut [0; 256])?)
    }

    /// Reads until the server has closed the connection in some way.
    fn await_end(&mut self) -> io::Result<()> {
        match io::copy(&mut self.stream, &mut io::sink()) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            _ => Ok(()),
        }
    }
}

/// Connects a hearer, which reads all that comes.
fn hear(addr: SocketAddr) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(addr)?);
    stream.get_mut().write_all(b"WATCH ring=r0\n")?;
    let mut line = String::new();
    while !line.starts_with("SEATS ") {
        line.clear();
        stream.read_line(&mut line)?;
    }
    // It ends with the server.
    #[expect(clippy::disallowed_methods, reason = "the clients are not the library")]
    thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
    Ok(())
}

struct Ring {
    clients: Vec<Client>,
    holder: usize,
}

/// All clients of a server.
pub struct Rings(Vec<Ring>);

impl Rings {
    /// Takes all seats, and waits until every ring has started.
    pub fn seat(addr: SocketAddr, setting: Setting) -> io::Result<Rings> {
        let Setting { rings, seats, .. } = setting;
        let mut all = Rings(Vec::new());
        for ring in 0..rings {
            let clients = (0..seats).map(|nth| Client::seat(addr, setting, ring, nth));
            all.0.push(Ring { clients: clients.collect::<io::Result<_>>()?, holder: 0 });
        }
        (0..setting.hearers).try_for_each(|_| hear(addr))?;
        for ring in &mut all.0 {
            ring.clients[0].await_go()?;
        }
        Ok(all)
    }

    /// Plays `turns` turns, one in each ring at a time. Returns the number of bytes read other than `GO`.
    pub fn play(&mut self, turns: usize) -> io::Result<usize> {
        let mut others = 0;
        for _ in 0..turns / self.0.len() {
            for ring in &mut self.0 {
                ring.clients[ring.holder].answer()?;
                ring.holder = (ring.holder + 1) % ring.clients.len();
            }
            for ring in &mut self.0 {
                others += ring.clients[ring.holder].await_go()?;
            }
        }
        Ok(others)
    }

    /// Plays a turn of the first ring, of the line framing: the time from before its holder's answer is
    /// written until something has come for the next one. What the wire makes of the answer, and of what has
    /// come, is not in it: that is the clients' work.
    #[cfg(feature = "wires")]
    pub fn hand_over(&mut self) -> io::Result<Duration> {
        let Ring { clients, holder } = &mut self.0[0];
        let (last, next) = (*holder, (*holder + 1) % clients.len());
        let answer = clients[last].answer.clone();
        let bytes = clients[last].stream.get_mut().prepare(answer.as_bytes());
        let begun = clock();
        clients[last].stream.get_mut().socket().write_all(&bytes)?;
        clients[next].stream.get_mut().socket().peek(&mut [0])?;
        let took = begun.elapsed();
        clients[next].await_go()?;
        while clients[last].read_verb()? != "OK" {}
        *holder = next;
        Ok(took)
    }

    /// Returns the number of unread bytes of all clients.
    pub fn unread(&self) -> io::Result<usize> {
        self.0.iter().flat_map(|ring| &ring.clients).map(Client::unread).sum()
    }

    /// Ends the server by letting one client leave. The others wait for the end.
    pub fn end(&mut self) -> io::Result<()> {
        let last = &mut self.0.last_mut().expect("a server has a ring").clients;
        drop(last.pop());
        last[0].await_end()
    }
}
