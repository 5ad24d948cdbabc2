//! `--status`: where a server shows what it does, if it was built with the feature for that.

use std::net::SocketAddr;

use taketurns::net::EventLoop;
#[cfg(not(feature = "status"))]
use taketurns::protocol::Protocol;
#[cfg(feature = "status")]
pub use taketurns::status::Show;

/// Whatever the program serves: nothing of it is shown in this build.
#[cfg(not(feature = "status"))]
pub trait Show: Protocol {}

#[cfg(not(feature = "status"))]
impl<P: Protocol> Show for P {}

/// The address of `--status`, else that of the environment variable, else none.
pub fn address(option: Option<&str>) -> Result<Option<SocketAddr>, String> {
    let text = option.map(str::to_owned).or_else(|| super::environment("TAKETURNS_STATUS"));
    let Some(text) = text else { return Ok(None) };
    if cfg!(not(feature = "status")) {
        return Err(format!(
            "cannot show the status on {text:?}: this build lacks the feature status; build with it, as in \
             cargo run --release --features status --example turn_server, or leave --status and TAKETURNS_STATUS out"
        ));
    }
    let found = super::addresses::all(&text, "show the status on", "--status 127.0.0.1:8081")?;
    Ok(found.first().copied())
}

/// How many file descriptors it takes to show it on `addr`.
pub fn descriptors(addr: Option<SocketAddr>) -> usize {
    #[cfg(feature = "status")]
    let needed = taketurns::status::StatusConfig::default().descriptors();
    #[cfg(not(feature = "status"))]
    let needed = 0;
    addr.map_or(0, |_| needed)
}

/// Shows on `addr` what `event_loop` does; the address that it got.
#[cfg(feature = "status")]
pub fn serve<P: Show + 'static>(
    event_loop: &mut EventLoop<P>,
    addr: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, String> {
    let Some(addr) = addr else { return Ok(None) };
    let bound = event_loop
        .serve_status(addr, taketurns::status::StatusConfig::default())
        .map_err(|error| super::advise_on(&error, "--status"))?;
    log::info!("status on http://{bound}/");
    if !bound.ip().to_canonical().is_loopback() {
        log::warn!("{bound}: whoever can reach this address learns the clients' names and what they do");
    }
    Ok(Some(bound))
}

#[cfg(not(feature = "status"))]
pub fn serve<P: Show + 'static>(
    _: &mut EventLoop<P>,
    _: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, String> {
    Ok(None)
}
