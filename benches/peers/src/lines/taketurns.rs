//! The crate itself with default settings: names, secrets, deadlines, limits and all events.

use anyhow::Result;
use taketurns::net::{EventLoop, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};

use super::Shape;
use crate::server::{ANY_PORT, announce};

pub fn serve(shape: Shape) -> Result<()> {
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.rules.min_seats = shape.size;
    config.max_clients = shape.rings * shape.size;
    config.max_rings = shape.rings;
    let mut event_loop = EventLoop::new(TurnServer::new(config, os_entropy())?)?;
    announce(event_loop.driver_mut().listen(ANY_PORT.parse()?)?)?;
    event_loop.run(|_, _| {})?;
    Ok(())
}
