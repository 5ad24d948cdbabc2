//! Worlds to start from, members that have joined, and who has had the turn. The network itself is `support/world/`.

use std::time::Duration;

use taketurns::protocol::turns::{Framing, TurnServerConfig};

use crate::world::{self, Peer, World, field, ms};

pub(crate) fn raw_config() -> TurnServerConfig {
    TurnServerConfig { framing: Framing::Raw, ..TurnServerConfig::default() }
}

pub(crate) fn line_config() -> TurnServerConfig {
    TurnServerConfig { framing: Framing::Line, ..TurnServerConfig::default() }
}

pub(crate) fn raw_world() -> World {
    World::new(raw_config(), 1)
}

pub(crate) fn line_world() -> World {
    World::new(line_config(), 1)
}

/// A raw ring of `N` connections in this order that have heard their `WAIT`; the first has its `GO`.
pub(crate) fn raw_ring<const N: usize>(config: TurnServerConfig) -> (World, [Peer; N]) {
    let mut world = World::new(config, 1);
    let peers = [(); N].map(|()| world.connect());
    world.drive_for(ms(100));
    for peer in peers {
        world.heard(peer);
    }
    (world, peers)
}

/// A client of the line framing that has joined.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) peer: Peer,
    pub(crate) name: String,
    pub(crate) welcome: String,
    /// What came behind the `WELCOME`.
    pub(crate) then: Vec<String>,
}

impl Member {
    pub(crate) fn secret(&self) -> &str {
        field(&self.welcome, "resume")
    }
}

/// A new connection says `JOIN {fields}`, and must be welcomed.
pub(crate) fn join(world: &mut World, fields: &str) -> Member {
    let peer = world.connect();
    world.say(peer, &format!("JOIN {fields}"));
    let mut heard = world.heard(peer);
    assert!(heard.first().is_some_and(|line| line.starts_with("WELCOME ")), "{fields}: {heard:?}");
    let welcome = heard.remove(0);
    let name = fields.split(' ').next().unwrap_or_default().to_owned();
    Member { peer, name, welcome, then: heard }
}

/// A ring of the line framing with these members, in this order. What they heard at first is dropped.
pub(crate) fn line_ring<const N: usize>(
    config: TurnServerConfig,
    members: [&str; N],
) -> (World, [Member; N]) {
    let mut world = World::new(config, 1);
    let members = members.map(|fields| join(&mut world, fields));
    for member in &members {
        world.heard(member.peer);
    }
    (world, members)
}

/// The code of the one `NO` or `BYE` that `peer` heard last.
pub(crate) fn refusal(world: &mut World, peer: Peer) -> String {
    let heard = world.heard(peer);
    let [line] = heard.as_slice() else { panic!("expected one refusal, heard {heard:?}") };
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["NO", turn, code, _words, ..] if turn.starts_with("turn=") => (*code).to_owned(),
        ["BYE", code, _words, ..] => (*code).to_owned(),
        _ => panic!("not a refusal with a code and words: {line:?}"),
    }
}

/// The turn held in the only ring, with the time at which it lapses.
pub(crate) fn held(world: &World) -> Option<(u64, Duration)> {
    let scheduler = world.server().scheduler();
    let ring = scheduler.rings().next()?;
    scheduler.held(ring).map(|held| (held.turn.get(), world.time_of(held.deadline)))
}

pub(crate) fn accepted(world: &World) -> Vec<String> {
    world.accepted().iter().map(|(name, number)| format!("{name}:{number}")).collect()
}

/// Who has the turn in the next `turns` turns, each answered at once: as indices into `peers`. Begins with the present holder.
pub(crate) fn raw_order(world: &mut World, peers: &[Peer], turns: usize) -> Vec<usize> {
    let mut order = Vec::new();
    for turn in 0..turns {
        let go =
            world.deliveries.iter().rposition(|write| write.bytes == b"GO").expect("somebody has heard GO");
        let holder = world.deliveries[go].peer;
        let at = peers.iter().position(|&peer| peer == holder).expect("one of these");
        order.push(at);
        world.say(holder, &format!("p{at}:{turn}"));
        let written: Vec<_> = world.deliveries[go + 1..].iter().map(world::Delivery::text).collect();
        assert_eq!(written, ["GO"], "each turn is one GO, after {order:?}");
    }
    order
}

/// Who hears `GO` in the next `turns` turns, each answered at once: by name. Begins with the present holder.
pub(crate) fn line_order(world: &mut World, members: &[Member], turns: usize) -> Vec<String> {
    let mut order = Vec::new();
    for turn in 0..turns {
        let (number, _) = held(world).unwrap_or_else(|| panic!("a turn is held after {order:?}"));
        let go = format!("GO turn={number} ");
        let mut holders = members.iter().filter(|member| {
            let said: Vec<u8> = world.recvs(member.peer).iter().flat_map(|recv| recv.bytes.clone()).collect();
            world.is_open(member.peer) && String::from_utf8_lossy(&said).contains(&go)
        });
        let holder = holders.next().unwrap_or_else(|| panic!("somebody has heard {go:?}"));
        assert!(holders.next().is_none(), "only one has heard {go:?}");
        let (peer, name) = (holder.peer, holder.name.clone());
        order.push(name.clone());
        world.say(peer, &format!("{name}:{turn} turn={number}"));
        assert!(world.heard(peer).contains(&format!("OK turn={number}")));
    }
    order
}
