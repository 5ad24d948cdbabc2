//! `--status`: the address of the status listener, if the server was built with the feature.

use std::net::SocketAddr;

use taketurns::net::EventLoop;
#[cfg(not(feature = "status"))]
use taketurns::protocol::Protocol;
#[cfg(feature = "status")]
pub use taketurns::status::Show;

use super::options::Extra;

/// The options that belong to `--status`.
pub const OF_SERVERS: &[Extra] = &[Extra {
    option: "--status-host",
    value: "name",
    variable: "TAKETURNS_STATUS_HOST",
    about: "name under which the status is reached, without port; may be given several times (in the environment: \
            with commas between them). Default: localhost and addresses",
}];

/// Any protocol, because this build shows no status.
#[cfg(not(feature = "status"))]
pub trait Show: Protocol {}

#[cfg(not(feature = "status"))]
impl<P: Protocol> Show for P {}

/// Returns the addresses of `--status`, else of the environment variable, else none.
pub fn addresses(option: Option<&str>) -> Result<Vec<SocketAddr>, String> {
    let text = option.map(str::to_owned).or_else(|| super::environment("TAKETURNS_STATUS"));
    let Some(text) = text else { return Ok(Vec::new()) };
    if cfg!(not(feature = "status")) {
        let lacks = super::options::lacks("status");
        return Err(format!(
            "cannot show the status on {text:?}: {lacks}, or leave --status and TAKETURNS_STATUS out"
        ));
    }
    super::addresses::all(&[text], "show the status on", "--status 127.0.0.1:8081")
}

/// Returns the number of file descriptors that the status listener on `addrs` needs.
pub fn descriptors(addrs: &[SocketAddr]) -> usize {
    #[cfg(feature = "status")]
    let needed = taketurns::status::StatusConfig::default().descriptors();
    #[cfg(not(feature = "status"))]
    let needed = 0;
    // One listener is already accounted for.
    addrs.len().checked_sub(1).map_or(0, |others| needed + others)
}

/// Serves the status of `event_loop` on `addrs`, under the names `hosts`. Returns the addresses.
#[cfg(feature = "status")]
pub fn serve<P: Show + 'static>(
    event_loop: &mut EventLoop<P>,
    addrs: &[SocketAddr],
    hosts: Vec<String>,
) -> Result<Vec<SocketAddr>, String> {
    if addrs.is_empty() {
        return Ok(Vec::new());
    }
    let config = taketurns::status::StatusConfig { hosts, ..Default::default() };
    event_loop.serve_status(addrs, config).map_err(|error| super::advise_on(&error, "--status"))
}

#[cfg(not(feature = "status"))]
pub fn serve<P: Show + 'static>(
    _: &mut EventLoop<P>,
    _: &[SocketAddr],
    _: Vec<String>,
) -> Result<Vec<SocketAddr>, String> {
    Ok(Vec::new())
}

/// Logs where the status is served.
pub fn announce(bound: &[SocketAddr]) {
    for addr in bound {
        log::info!("status on http://{addr}/");
        if !addr.ip().to_canonical().is_loopback() {
            log::warn!(
                "{addr}: anyone who can reach this address learns the clients' names and what they do"
            );
        }
    }
}
