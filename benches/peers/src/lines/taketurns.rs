//! The crate itself with default settings: names, secrets, deadlines, limits and all events.

use anyhow::Result;
use taketurns::net::{Event, EventLoop, now, os_entropy};
use taketurns::protocol::turns::{Admission, Admit, Framing, TurnEvent, TurnServer, TurnServerConfig};

use super::Shape;
use crate::server::{ANY_PORT, announce};

fn config(shape: Shape, framing: Framing) -> TurnServerConfig {
    let mut config = TurnServerConfig::default();
    config.framing = Some(framing);
    config.rules.min_seats = shape.size;
    config.max_clients = shape.clients();
    config.max_rings = shape.rings;
    config
}

pub fn serve(shape: Shape, framing: Framing) -> Result<()> {
    let mut event_loop = EventLoop::new(TurnServer::new(config(shape, framing), os_entropy())?)?;
    announce(event_loop.driver_mut().listen(ANY_PORT.parse()?)?)?;
    event_loop.run(|_, _| {})?;
    Ok(())
}

/// The first loop accepts all clients, and has every other ring.
pub fn serve_in_two_loops(shape: Shape) -> Result<()> {
    let mut config = config(shape, Framing::Line);
    let mut second = EventLoop::new(TurnServer::new(config.clone(), os_entropy())?)?;
    let other = second.handle();
    std::thread::spawn(move || second.run(|_, _| {}));
    config.admission = Admission::Host;
    let mut event_loop = EventLoop::new(TurnServer::new(config, os_entropy())?)?;
    announce(event_loop.driver_mut().listen(ANY_PORT.parse()?)?)?;
    event_loop.run(|driver, event| {
        let Event::Protocol(TurnEvent::Joining(joining)) = event else { return };
        let is_own = joining.ring.as_str().ends_with(['0', '2', '4', '6', '8']);
        if is_own {
            driver.act(now(), |server, links| {
                server.admit(now(), joining.connection, &Admit::default(), links);
            });
        } else if let Some(released) = driver.release(now(), joining.connection) {
            let released = released.after(joining.hello());
            let adopts = other.run(move |driver, now| {
                driver.adopt_released(now, released).expect("there is room for all");
            });
            adopts.expect("it runs until the process is killed");
        }
    })?;
    Ok(())
}
