//! One client, its connection, and messages of a server.

use std::net::SocketAddr;
use std::time::Duration;

use taketurns::protocol::turns::{ClientConfig, ClientId, ClientTurn, CommandError, News, TurnClient};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Intent, Links, Origin, Protocol, Transport};
use taketurns::time::Now;
use taketurns::wire::Framing;

pub(crate) const SECRET: &str = "000102030405060708090a0b0c0d0e0f";
pub(crate) const DIAL: DialId = DialId(7);

pub(crate) struct Talk {
    pub(crate) client: TurnClient,
    pub(crate) links: Links,
    pub(crate) now: Now,
    pub(crate) ann: ClientId,
    pub(crate) id: ConnectionId,
    /// The transport of its next connection.
    pub(crate) transport: Transport,
    /// The unconsumed bytes.
    rest: Vec<u8>,
}

pub(crate) fn server() -> SocketAddr {
    ([127, 0, 0, 1], 5001).into()
}

pub(crate) fn ann() -> ClientConfig {
    ClientConfig::seat("ann".parse().expect("a name"))
}

pub(crate) fn raw() -> ClientConfig {
    ClientConfig { framing: Framing::Raw, ..ann() }
}

/// Returns a `WELCOME` with additional fields.
pub(crate) fn welcome(epoch: u64, more: &str) -> String {
    format!("WELCOME ann seat=1 ring=main epoch={epoch:016x} resume={SECRET}{more}\n")
}

/// Returns an answer as it is sent in turn 3 of life 1.
pub(crate) fn answered(text: &str) -> String {
    format!("ANSWER turn=3 epoch=0000000000000001 :{text}\n")
}

impl Talk {
    /// Returns a client that has connected and sent its hello.
    pub(crate) fn with(config: ClientConfig) -> Talk {
        let mut client = TurnClient::new();
        let ann = client.add(config).expect("the framing can say it");
        assert!(client.dial(ann, DIAL));
        let mut links = Links::new(64 * 1024);
        let id = links.open(server());
        let transport = Transport::default();
        let mut talk = Talk { client, links, now: Now::ORIGIN, ann, id, transport, rest: Vec::new() };
        talk.opened(server());
        talk
    }

    /// Returns a client that has its seat.
    pub(crate) fn welcomed() -> Talk {
        let mut talk = Talk::with(ann());
        talk.hear(&welcome(1, ""));
        talk.news();
        talk
    }

    /// Returns a client that has turn 3 and no unanswered ping.
    pub(crate) fn with_turn_3() -> (Talk, ClientTurn) {
        let mut talk = Talk::welcomed();
        talk.hear("GO turn=3 within=500\nPONG\n");
        let turn = talk.granted();
        (talk, turn)
    }

    fn opened(&mut self, peer: SocketAddr) {
        self.client.handle_open(self.now, self.id, peer, Origin::Dialed(DIAL), &mut self.links);
    }

    /// Lets the server send `bytes`. Returns the client's output.
    pub(crate) fn hear(&mut self, bytes: &str) -> String {
        self.rest.extend_from_slice(bytes.as_bytes());
        if self.is_open() {
            let used = self.client.handle_bytes(self.now, self.id, &self.rest, &mut self.links);
            self.rest.drain(..used);
        }
        self.said()
    }

    /// Takes all output of the client, like a network that writes it.
    pub(crate) fn said(&mut self) -> String {
        let said = self.links.unsent(self.id).to_vec();
        self.links.consume(self.id, said.len());
        self.client.handle_flushed(self.now, &mut self.links);
        String::from_utf8(said).expect("UTF-8")
    }

    /// Returns the number of unconsumed bytes.
    pub(crate) fn unconsumed(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn lose(&mut self) {
        let reason = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
        self.client.handle_closed(self.now, self.id, reason, &mut self.links);
        self.links.remove(self.id);
        self.rest.clear();
    }

    /// Dials again, like the driver. Returns the client's output.
    pub(crate) fn open(&mut self) -> String {
        self.open_to(server())
    }

    pub(crate) fn open_to(&mut self, peer: SocketAddr) -> String {
        self.id = self.links.open(peer);
        self.links.set_transport(self.id, self.transport.clone());
        self.opened(peer);
        self.said()
    }

    /// Loses the connection, and brings the client back to its seat.
    pub(crate) fn resume(&mut self, epoch: u64, more: &str) -> String {
        self.lose();
        self.open();
        self.hear(&welcome(epoch, more))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.links.is_open(self.id)
    }

    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.links.intent_of(self.id), Intent::Abort(_))
    }

    pub(crate) fn answer(&mut self, turn: &ClientTurn, answer: &str) -> Result<String, CommandError> {
        self.client.answer(self.now, turn, answer.as_bytes(), &mut self.links)?;
        Ok(self.said())
    }

    pub(crate) fn pass(&mut self, turn: &ClientTurn) -> Result<String, CommandError> {
        self.client.pass(self.now, turn, &mut self.links)?;
        Ok(self.said())
    }

    pub(crate) fn renew(&mut self, turn: &ClientTurn) -> Result<String, CommandError> {
        self.client.renew(self.now, turn, &mut self.links)?;
        Ok(self.said())
    }

    /// Runs any command for the client.
    pub(crate) fn command(
        &mut self,
        command: fn(&mut TurnClient, Now, ClientId, &mut Links) -> Result<(), CommandError>,
    ) -> Result<String, CommandError> {
        command(&mut self.client, self.now, self.ann, &mut self.links)?;
        Ok(self.said())
    }

    pub(crate) fn drain(&mut self) -> String {
        self.client.drain(self.now, &mut self.links);
        self.said()
    }

    /// Lets time pass, and meets every deadline on the way.
    pub(crate) fn pass_time(&mut self, time: Duration) -> String {
        let until = self.now.instant + time;
        let mut calls = 0;
        while let Some(due) = self.client.next_deadline().filter(|&due| due <= until) {
            calls += 1;
            assert!(calls < 1000, "it is called again and again");
            self.now.instant = due.max(self.now.instant);
            self.client.handle_timeout(self.now, &mut self.links);
        }
        self.now.instant = until;
        self.said()
    }

    /// Returns the news since the last call, without pongs.
    pub(crate) fn news(&mut self) -> Vec<News> {
        let events: Vec<_> = std::iter::from_fn(|| self.client.poll_event()).collect();
        assert!(events.iter().all(|event| event.client == self.ann));
        events.into_iter().map(|event| event.news).filter(|news| *news != News::Pong).collect()
    }

    /// Returns the granted turn, which must be the only news.
    pub(crate) fn granted(&mut self) -> ClientTurn {
        match self.news()[..] {
            [News::Granted(turn)] => turn,
            ref other => panic!("instead of a grant: {other:?}"),
        }
    }
}
