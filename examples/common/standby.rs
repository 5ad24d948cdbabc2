//! A server that stands by: it listens for no client, and shows on the address of the status whom it waits
//! behind.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};

use log::info;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use taketurns::etcd::{Candidate, EtcdStore, Step};
use taketurns::net::{EventLoop, Handle};
use taketurns::protocol::{BuffersMin, CloseReason, ConnectionId, Links, Origin, Protocol};
use taketurns::record::Record;
use taketurns::time::{Instant, Now};

use super::server::Site;
use super::{signals, status};

/// A server that was elected.
pub struct Elected {
    pub store: EtcdStore,
    /// Signals that came since: one that ends the server may come before it listens.
    pub signals: Receiver<i32>,
}

/// Stands by until this server leads; `None` if a signal has ended it.
pub fn stand_by(candidate: Candidate, site: &mut Site) -> Result<Option<Elected>, String> {
    let mut event_loop = EventLoop::new(Standby::default()).map_err(|error| super::advise(&error))?;
    // A port that the system has chosen is kept.
    site.status = status::serve(&mut event_loop, &site.status, site.status_hosts.clone())?;
    let signals = signals::of_loop(&[SIGINT, SIGTERM, SIGHUP], event_loop.handle())?;
    status::announce(&site.status);
    let (news, outcome) = channel();
    let handle = event_loop.handle();
    #[expect(clippy::disallowed_methods, reason = "asking etcd blocks, the loop must not")]
    std::thread::spawn(move || campaign(candidate, &news, &handle));
    loop {
        event_loop.run_once(None).map_err(|error| error.to_string())?;
        while event_loop.poll_event().is_some() {}
        if signals.try_iter().any(is_end) {
            return Ok(None);
        }
        if let Ok(elected) = outcome.try_recv() {
            return elected.map(|store| Some(Elected { store, signals }));
        }
    }
}

/// Whether a signal ends a server that stands by. One that would have files read again does not, because they
/// are read when it takes over.
pub fn is_end(signal: i32) -> bool {
    signal != SIGHUP
}

/// Runs until this server leads, or nobody waits for that.
fn campaign(mut candidate: Candidate, news: &Sender<Result<EtcdStore, String>>, handle: &Handle<Standby>) {
    let mut last = None;
    loop {
        let wait = match candidate.step() {
            Ok(Step::Leads(store)) => {
                let _ = news.send(Ok(store));
                return handle.stop();
            }
            Err(error) => {
                let _ = news.send(Err(format!("no thread for the lease: {error}")));
                return handle.stop();
            }
            Ok(Step::Behind(leader)) => {
                Wait::Behind(leader.unwrap_or_else(|| "an unknown server".to_owned()))
            }
            Ok(Step::NoAnswer(why)) => Wait::NoAnswer(why),
        };
        if last.as_ref() == Some(&wait) {
            continue;
        }
        last = Some(wait.clone());
        // The page comes first: a reader of the log may ask for it at once.
        let shown = handle.run(move |driver, _| {
            driver.protocol_mut().wait = wait;
            // The library has already logged why etcd does not answer.
            if !matches!(driver.protocol().wait, Wait::NoAnswer(_)) {
                info!("{}", driver.protocol().wait.words());
            }
        });
        if shown.is_err() {
            return;
        }
    }
}

/// The reason to wait.
#[derive(Clone, PartialEq, Eq, Default)]
enum Wait {
    #[default]
    Begins,
    Behind(String),
    /// Etcd does not answer, or refuses, and why.
    NoAnswer(String),
}

impl Wait {
    fn words(&self) -> String {
        match self {
            Wait::Begins => "standing by".to_owned(),
            Wait::Behind(leader) => format!("standing by behind {}", super::printable(leader)),
            Wait::NoAnswer(why) => format!("standing by without etcd: {}", super::printable(why)),
        }
    }
}

/// The protocol of a server that has no client.
#[derive(Default)]
struct Standby {
    wait: Wait,
}

impl Protocol for Standby {
    type Event = ();

    fn handle_open(&mut self, _: Now, id: ConnectionId, _: SocketAddr, _: Origin, links: &mut Links) {
        links.close(id);
    }
    fn handle_bytes(&mut self, _: Now, _: ConnectionId, bytes: &[u8], _: &mut Links) -> usize {
        bytes.len()
    }
    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        links.close(id);
    }
    fn handle_closed(&mut self, _: Now, _: ConnectionId, _: CloseReason, _: &mut Links) {}
    fn handle_timeout(&mut self, _: Now, _: &mut Links) {}
    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}
    fn drain(&mut self, _: Now, _: &mut Links) {}
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
    fn is_awaited(&self, _: ConnectionId) -> bool {
        false
    }
    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }
    fn poll_event(&mut self) -> Option<()> {
        None
    }
    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }
    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}

#[cfg(feature = "status")]
impl taketurns::status::Show for Standby {
    fn name(&self) -> &'static str {
        "standby"
    }

    fn not_ready(&self) -> Option<String> {
        Some(self.wait.words())
    }

    fn metrics(&self, _: &taketurns::status::Tally, metrics: &mut taketurns::status::Metrics) {
        let leader = match &self.wait {
            Wait::Behind(leader) => leader.as_str(),
            Wait::Begins | Wait::NoAnswer(_) => "",
        };
        let help = "1 while standing by, with the address of the server that leads.";
        metrics.gauges("standing_by", help, ["leader"], [([leader], 1.0)]);
    }
}
