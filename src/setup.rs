//! The hidden beginnings of examples, so that each example shows only its own point.
//!
//! They are macros because a doc attribute accepts no other constant, and doc tests cannot use items that
//! exist only for them.

/// A scheduler with the seats of Ann and Bob in `ring`, with the default rules changed by `$rules`.
macro_rules! two_seats {
    ($($rules:literal)?) => {
        concat!(
            "# use std::time::Duration;\n",
            "# use taketurns::time::Instant;\n",
            "# use taketurns::turn::*;\n",
            "# fn main() -> Result<(), Box<dyn std::error::Error>> {\n",
            "# let now = Instant::ORIGIN;\n",
            "# let mut scheduler = Scheduler::new(SchedulerConfig::default())?;\n",
            "# let mut rules = Rules::default();\n",
            $("# ", $rules, "\n",)?
            "# let ring = scheduler.make_ring(now, rules)?;\n",
            "# let (ann, _) = scheduler.join(now, ring, Weight::ONE, Demand::Always, \"Ann\")?;\n",
            "# let (bob, moved) = scheduler.join(now, ring, Weight::ONE, Demand::Always, \"Bob\")?;\n",
            "# let grant = moved.granted.expect(\"two seats are enough\");\n",
            "# scheduler.start(now, grant.seat, grant.turn);\n",
            "// Ann holds turn 1, and Bob waits.",
        )
    };
}

/// A turn server with the clients of Ann and Bob, on links without sockets.
macro_rules! two_clients {
    ($($config:literal)?) => {
        concat!(
            "# use std::{net::SocketAddr, time::Duration};\n",
            "# use taketurns::protocol::{Links, Origin, Protocol, turns::*};\n",
            "# use taketurns::{time::Now, turn::*};\n",
            "# fn main() -> Result<(), Box<dyn std::error::Error>> {\n",
            "# let now = Now::ORIGIN;\n",
            "# let mut config = TurnServerConfig::default();\n",
            "# config.framing = Some(Framing::Line);\n",
            $("# ", $config, "\n",)?
            "# let mut server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)))?;\n",
            "# let mut links = Links::new(128 * 1024);\n",
            "# let [ann, bob] = [\"JOIN ann\\n\", \"JOIN bob hear=turns\\n\"].map(|line| {\n",
            "#     let peer = SocketAddr::from(([127, 0, 0, 1], 9));\n",
            "#     let id = links.open(peer);\n",
            "#     server.handle_open(now, id, peer, Origin::Accepted, &mut links);\n",
            "#     server.handle_bytes(now, id, line.as_bytes(), &mut links);\n",
            "#     id\n",
            "# });\n",
            "# for id in [ann, bob] {\n",
            "#     links.consume(id, links.unsent(id).len()); // an answer counts only after its `GO` was written\n",
            "# }\n",
            "# let main: Name = \"main\".parse()?;\n",
            "# let hears = |links: &Links, id| String::from_utf8_lossy(links.unsent(id)).into_owned();\n",
            "// Ann holds turn 1 of the ring `main`. Bob waits, and hears what happens.",
        )
    };
}

/// Links without sockets, with one connection `id`.
macro_rules! one_link {
    () => {
        concat!(
            "# use taketurns::protocol::*;\n",
            "# let mut links = Links::new(128 * 1024);\n",
            "# let id = links.open(([127, 0, 0, 1], 9).into());",
        )
    };
}

/// A turn server on a `poll` of the host.
#[cfg(feature = "net")]
macro_rules! on_a_poll {
    () => {
        concat!(
            "# use std::{net, time::Duration};\n",
            "# use taketurns::mio::{Events, Poll, Token};\n",
            "# use taketurns::{net::*, protocol::turns::*};\n",
            "# fn main() -> Result<(), Box<dyn std::error::Error>> {\n",
            "# let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;\n",
            "let mut poll = Poll::new()?;\n",
            "let mut server = Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default())?;",
        )
    };
}

/// A turn server in a loop of its own.
#[cfg(feature = "net")]
macro_rules! in_a_loop {
    () => {
        concat!(
            "# use taketurns::{net::*, protocol::turns::*};\n",
            "# fn main() -> Result<(), Box<dyn std::error::Error>> {\n",
            "# let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;\n",
            "let mut event_loop = EventLoop::new(server)?;",
        )
    };
}
