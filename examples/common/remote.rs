//! The turn server to which clients connect: where it is, and what to show it.

use std::io::ErrorKind;
use std::time::Duration;

use taketurns::net::{Driver, Event, Target, now};
use taketurns::protocol::turns::{
    Bearer, Bye, ClientConfig, ClientEvent, ClientId, ConfigError, Farewell, News, TurnClient,
};
use taketurns::turn::Demand;
use taketurns::wire::Framing;

use super::options::{Extra, Extras};
use super::tls::Way;
use super::{access, addresses};

/// The options of clients of turn servers.
pub const OF_CLIENTS: &[Extra] = &[
    Extra {
        option: "--connect",
        value: "addr",
        variable: "TAKETURNS_CONNECT",
        about: "the server, as HOST:PORT, or several with commas between, which stand by for each other and are \
                tried in turn; host names are looked up again at every reconnection. Default: 127.0.0.1:5001",
    },
    Extra {
        option: "--allow-plaintext-secrets",
        value: "",
        variable: "",
        about: "send the token, and the secret that resumes a seat, in plain text even to other machines. \
                Otherwise, a client that loses its connection to another machine waits until its old seat is \
                given up there",
    },
    Extra {
        option: "--token-file",
        value: "file",
        variable: "",
        about: "file with the token for the server. Default: the token in the environment variable \
                TAKETURNS_TOKEN, else none",
    },
];

/// Half the time that a server may stay silent before the client tries the next one. A leader that was
/// stopped is replaced after 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// How long it may take to answer `JOIN`: a commit takes up to 3 s while etcd replaces its own leader.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);

/// A turn server, or several that stand by for each other.
pub struct Remote {
    target: Target,
    way: Way,
    token: Option<Bearer>,
    allow_plaintext_secrets: bool,
}

impl Remote {
    /// Returns a server that takes plain text and needs no token.
    pub fn plain(target: impl Into<Target>) -> Remote {
        Remote { target: target.into(), way: Way::default(), token: None, allow_plaintext_secrets: false }
    }

    /// Reads the options.
    pub fn named(extras: &Extras) -> Result<Remote, String> {
        let connect = extras.get("--connect").unwrap_or_else(|| "127.0.0.1:5001".to_owned());
        let target = addresses::target(&connect, "--connect 127.0.0.1:5001")?;
        let way = Way::to(&target, extras)?;
        let token = access::token(extras)?;
        let allow_plaintext_secrets = extras.get("--allow-plaintext-secrets").is_some();
        Ok(Remote { target, way, token, allow_plaintext_secrets })
    }

    /// Adds a client and connects it. A client with demand `ask` asks for its first turn.
    pub fn join(
        &self,
        driver: &mut Driver<TurnClient>,
        mut config: ClientConfig,
    ) -> Result<ClientId, ConfigError> {
        config.token.clone_from(&self.token);
        config.allow_plaintext_secrets = self.allow_plaintext_secrets;
        if matches!(self.target, Target::Several(_)) && config.framing == Framing::Line {
            config.ping_interval.get_or_insert(PING_INTERVAL);
            config.welcome_timeout = WELCOME_TIMEOUT;
        }
        let asks = config.seat.is_some_and(|seat| seat.demand == Demand::Ask);
        let client = driver.protocol_mut().add(config)?;
        let dial = self.way.connect(driver, self.target.clone());
        driver.protocol_mut().dial(client, dial);
        if asks {
            // The library keeps the request until the turn is granted, so no connection is needed yet.
            let asked = driver.act(now(), |clients, links| clients.ask(now(), client, links));
            asked.expect("the client was just added");
        }
        Ok(client)
    }
}

/// The error of a process that has no descriptor left.
const EMFILE: i32 = 24;

/// Reports once that no server takes a client, and why, until one does.
#[derive(Default)]
pub struct Troubles {
    is_told: bool,
    /// The server has said why it closes the connection.
    is_explained: bool,
}

impl Troubles {
    /// Returns the reason why no server takes the client, if the event is one. A client that holds the turn
    /// resumes it after a lost connection.
    pub fn of(&mut self, event: &Event<ClientEvent>, is_holding: bool) -> Option<String> {
        match event {
            Event::Unreachable { target, error, .. } => {
                let hint = match error.raw_os_error() {
                    Some(EMFILE) if cfg!(unix) => "; see ulimit -n",
                    None if error.kind() == ErrorKind::InvalidData => "; see --tls, --tls-ca and --tls-name",
                    _ => "",
                };
                Some(format!("cannot connect to {target}: {error}{hint}"))
            }
            Event::Closed { .. } if std::mem::take(&mut self.is_explained) || is_holding => None,
            Event::Closed { peer, reason, .. } => Some(format!("{peer}: {reason}")),
            Event::Protocol(ClientEvent { news: News::Bye(bye), .. }) => {
                self.is_explained = true;
                // After these the client ends, which is told elsewhere, or comes back without a word.
                let is_told = matches!(
                    bye.code,
                    Bye::Moved
                        | Bye::BadSecret
                        | Bye::ShuttingDown
                        | Bye::Left
                        | Bye::Superseded
                        | Bye::Forbidden
                        | Bye::Removed
                        | Bye::TlsRequired
                );
                (!is_told && !is_holding)
                    .then(|| format!("the server closes the connection: {}", words_of(bye)))
            }
            Event::Protocol(ClientEvent { news: News::Ended { .. }, .. }) => None,
            Event::Protocol(_) => {
                *self = Troubles::default();
                None
            }
            _ => None,
        }
    }

    pub fn mention(&mut self, trouble: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            super::complain(format_args!(
                "{trouble}; trying again until a server takes this client (see --connect)"
            ));
        }
    }
}

/// Returns the code and the words with which a server closes a connection.
pub fn words_of(bye: &Farewell) -> String {
    let words = bye.words.as_deref().map_or_else(|| bye.code.words().to_owned(), super::loggable);
    format!("{} ({words})", bye.code)
}

/// Goes where the server sends the client, if it does. Returns whether it is followed.
pub fn follow(driver: &mut Driver<TurnClient>, bye: &Farewell) -> bool {
    let at = bye.at.as_deref().filter(|_| bye.code == Bye::Moved).and_then(|at| at.parse::<Target>().ok());
    match (bye.dial, at) {
        (Some(dial), Some(at)) => driver.redirect(now(), dial, at),
        _ => false,
    }
}
