//! The beginning and end of a server: addresses, signals, the loop.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::warn;
use taketurns::net::{Driver, DriverConfig, Event, EventLoop, connections_max, now};
use taketurns::protocol::Protocol;
use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
use taketurns::time::Instant;

use super::addresses;
use super::news::News;
use super::options::{Extra, Extras};
use super::status::{self, Show};
use super::storage::StorageOptions;
use super::tls::{self, Listening, Reload};
use super::{output, signals};

/// The options of servers that show their status.
pub const EXTRAS: &[&[Extra]] = &[tls::OF_SERVERS, status::OF_SERVERS];

/// The addresses of a server, and the limits that follow from them and from its descriptors.
pub struct Site {
    listen: Vec<SocketAddr>,
    tls: Option<Listening>,
    /// Whether access rules limit which clients may take part.
    pub has_access_rules: bool,
    pub status: Vec<SocketAddr>,
    pub status_hosts: Vec<String>,
    /// Another server takes over when this one ends, and has stood by until now.
    pub hands_over: bool,
    /// Has other loops of this server finish their work.
    pub drain_others: Box<dyn Fn() + Send>,
    pub limits: DriverConfig,
    /// The most clients for which there are descriptors.
    pub clients_max: usize,
}

impl Site {
    /// Parses `--listen`, `--status`, `--max-per-address` and the TLS options. The listeners and the status
    /// take descriptors away from clients.
    pub fn new(
        listen: &[String],
        default: &str,
        status: Option<&str>,
        max_per_address: Option<usize>,
        extras: &Extras,
    ) -> Result<Site, String> {
        if max_per_address == Some(0) {
            super::options::wrong_usage(format_args!(
                "--max-per-address 0 is invalid: it must be at least 1"
            ));
        }
        let listen = addresses::to_listen_on(listen, default)?;
        let status = status::addresses(status)?;
        let tls = Listening::read(extras)?;
        // One listener is already accounted for.
        let others = listen.len().saturating_sub(1) + status::descriptors(&status);
        let max_connections = connections_max(others);
        let limits = DriverConfig {
            max_connections: Some(max_connections),
            max_connections_per_address: max_per_address,
            ..DriverConfig::default()
        };
        // Some spare connections, so that clients can be told that they are turned away.
        let clients_max = max_connections.saturating_sub(16).max(1);
        let status_hosts = extras.all("--status-host");
        let (has_access_rules, hands_over) = (false, false);
        Ok(Site {
            listen,
            tls,
            has_access_rules,
            status,
            status_hosts,
            hands_over,
            drain_others: Box::new(|| {}),
            limits,
            clients_max,
        })
    }

    /// Like [`new`](Self::new), for a turn server whose clients may have `max_per_address` seats per address.
    pub fn of_turns(
        listen: &[String],
        status: Option<&str>,
        max_per_address: Option<usize>,
        extras: &Extras,
    ) -> Result<Site, String> {
        // A client may reconnect before its old connection is gone, and new connections have no seat yet.
        let connections = max_per_address.map(|seats| seats.saturating_mul(2).saturating_add(16));
        Site::new(listen, "127.0.0.1:5001", status, connections, extras)
    }
}

impl Site {
    /// Returns the addresses to listen on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Returns whether no third party can read the traffic.
    pub fn is_private(&self) -> bool {
        self.tls.is_some() || self.listen.iter().all(|addr| addr.ip().to_canonical().is_loopback())
    }

    /// Listens, and returns the addresses that it got.
    pub fn listen<P: Protocol>(&self, driver: &mut Driver<P>) -> Result<Vec<SocketAddr>, String> {
        let bound = addresses::listen(driver, &self.listen, self.tls.as_ref())?;
        if !self.has_access_rules {
            warn_of_strangers(&bound, self.tls.as_ref());
        }
        Ok(bound)
    }

    /// Returns the function that reads the files of TLS again, if there are any, for listeners on `bound`.
    pub fn into_reload<P: Protocol>(self, bound: &[SocketAddr]) -> Option<Reload<P>> {
        self.tls.map(|tls| tls.into_reload(bound.to_vec()))
    }

    /// Returns whether clients are asked for certificates.
    pub fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(Listening::asks_for_certificates)
    }
}

/// Warns once, about the first address that other machines can reach.
fn warn_of_strangers(bound: &[SocketAddr], tls: Option<&Listening>) {
    let Some(addr) = bound.iter().find(|addr| !addr.ip().to_canonical().is_loopback()) else { return };
    match tls {
        None => warn!(
            "{addr}: anyone who can reach this address may take part, because nothing is authenticated or encrypted; \
             put it behind a proxy or in a network that you trust, and see --max-per-address"
        ),
        Some(tls) if !tls.identifies_clients() => warn!(
            "{addr}: anyone who can reach this address may take part, because clients need no certificate; \
             see --tls-client-ca and --max-per-address"
        ),
        Some(_) => {}
    }
}

/// Warns that the system has no room for another connection.
pub fn warn_of_pause(addr: SocketAddr, error: &io::Error, pause: Duration) {
    warn!("{addr}: cannot accept ({error}), trying again in {pause:?}; see ulimit -n");
}

/// A protocol with its listeners.
pub struct Service<P: Show + 'static> {
    /// The event loop, for programs that do more in each pass than [`run`](Self::run).
    pub event_loop: EventLoop<P>,
    /// The addresses on which it listens.
    pub bound: Vec<SocketAddr>,
    /// The addresses of the status listener, for programs that do not log at info.
    pub status: Vec<SocketAddr>,
    pub strays: Strays,
}

/// The end of a server that other machines can reach.
pub struct Strays {
    /// The time of the first signal.
    drained_at: Arc<OnceLock<Instant>>,
    is_reached: bool,
}

/// How long such a server refuses connections before the program ends. A container's address disappears with
/// it: a client that dials then would wait for its timeout, whereas a refusal makes it try the next
/// server.
const REFUSES_FOR: Duration = Duration::from_secs(1);

impl Service<TurnServer> {
    /// Starts a turn server on the addresses of `--listen`, or the default ones; `None` if a signal came
    /// while another server led.
    pub fn listen_turns(
        config: TurnServerConfig,
        listen: &[String],
        extras: &Extras,
    ) -> Result<Option<Service<TurnServer>>, String> {
        let mut site = Site::of_turns(listen, None, None, extras)?;
        let Some((turns, storage)) = StorageOptions::read(extras).serve(config, &mut site)? else {
            return Ok(None);
        };
        let mut service = Service::listen(turns, site, None)?;
        storage.serve(&mut service.event_loop)?;
        Ok(Some(service))
    }
}

impl<P: Show + 'static> Service<P> {
    /// Listens, and serves the status on its address. The first signal drains, or hands over. SIGHUP reads
    /// files again if there are any: those of TLS, and others through `reload`.
    pub fn listen(protocol: P, mut site: Site, reload: Option<Reload<P>>) -> Result<Service<P>, String> {
        let drain_others = std::mem::replace(&mut site.drain_others, Box::new(|| {}));
        let (limits, hands_over) = (site.limits.clone(), site.hands_over);
        let mut event_loop =
            EventLoop::with_config(protocol, limits).map_err(|error| super::advise(&error))?;
        let bound = site.listen(event_loop.driver_mut())?;
        let status = status::serve(&mut event_loop, &site.status, site.status_hosts.clone())?;
        let handle = event_loop.handle();
        let drained_at = Arc::new(OnceLock::new());
        let noted = Arc::clone(&drained_at);
        let mut reloads: Vec<Reload<P>> = reload.into_iter().collect();
        reloads.extend(site.into_reload(&bound));
        let reload = (!reloads.is_empty()).then(|| {
            let handle = event_loop.handle();
            let mut reload = move || {
                for change in reloads.iter_mut().filter_map(|reload| reload()) {
                    let _ = handle.run(change);
                }
            };
            if hands_over {
                // They were read when it began to stand by, which may be long ago.
                reload();
            }
            Box::new(reload) as signals::Reload
        });
        let drain = move || {
            let _ = noted.set(now().instant);
            // The holder's turn goes on at the next server, and need not end here.
            if hands_over {
                handle.stop();
            } else {
                handle.drain();
            }
            drain_others();
        };
        signals::on_first_or_reload(drain, reload)?;
        // From here on a signal drains.
        status::announce(&status);
        let is_reached = bound.iter().any(|addr| !addr.ip().to_canonical().is_loopback());
        Ok(Service { event_loop, bound, status, strays: Strays { drained_at, is_reached } })
    }

    /// Prints the addresses on which it listens.
    pub fn announce(&self) {
        for addr in &self.bound {
            output::line(format_args!("Server listening on {addr}"));
        }
    }

    /// Serves until it is drained, and then refuses connections for a while. `on_event` prints lines about
    /// peers through [`News`].
    pub fn run(
        mut self,
        mut on_event: impl FnMut(&mut News, &mut Driver<P>, Event<P::Event>),
    ) -> Result<(), String> {
        let mut news = News::start(None);
        let mut goes_on = true;
        while goes_on {
            let pause = news.catch_up();
            goes_on = self.event_loop.run_once(pause).map_err(|error| error.to_string())?;
            while let Some(event) = self.event_loop.poll_event() {
                match event {
                    Event::AcceptPaused { addr, error, pause } => warn_of_pause(addr, &error, pause),
                    event => on_event(&mut news, self.event_loop.driver_mut(), event),
                }
            }
        }
        super::storage::close(&mut self.event_loop)?;
        // A server that hands over has clients, which go to the next one when they are closed.
        drop(self.event_loop);
        self.strays.refuse();
        news.finish();
        Ok(())
    }
}

impl Strays {
    /// After a drain, waits until connections have been refused for a second. The listeners are already
    /// closed, so this needs no loop; another signal ends it.
    #[expect(clippy::disallowed_methods, reason = "the loop has ended, so nothing can be blocked")]
    pub fn refuse(&self) {
        if let Some(&drained_at) = self.drained_at.get().filter(|_| self.is_reached) {
            let refused_for = now().instant.saturating_duration_since(drained_at);
            std::thread::sleep(REFUSES_FOR.saturating_sub(refused_for));
        }
    }
}
