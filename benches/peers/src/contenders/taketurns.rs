//! The crate itself with default settings: deadlines, gaps, limits and all events.

use std::time::Duration;

use anyhow::Result;
use taketurns::net::{DriverConfig, EventLoop, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};

use crate::server::{ANY_PORT, announce};

pub fn serve(clients: usize) -> Result<()> {
    run(clients, DriverConfig::default())
}

/// Busy-polls for longer than a client takes to answer, before it sleeps.
pub fn serve_busy(clients: usize) -> Result<()> {
    run(clients, DriverConfig { busy_poll: Duration::from_micros(200), ..DriverConfig::default() })
}

fn run(clients: usize, driver: DriverConfig) -> Result<()> {
    let mut config = TurnServerConfig::default();
    (config.framing, config.rules.min_seats, config.max_clients) = (Some(Framing::Raw), clients, clients);
    let mut event_loop = EventLoop::with_config(TurnServer::new(config, os_entropy())?, driver)?;
    announce(event_loop.driver_mut().listen(ANY_PORT.parse()?)?)?;
    event_loop.run(|_, _| {})?;
    Ok(())
}
