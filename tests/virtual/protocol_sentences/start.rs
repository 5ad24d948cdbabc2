//! Initial worlds, members that have joined, and the order of their turns.

use std::time::Duration;

use support::ms;
use support::network::{Peer, World, field};
use taketurns::protocol::turns::{Admission, Framing, TurnServerConfig};
use taketurns::turn::{HeldClock, Judging, Rules};

pub(crate) fn config(framing: Option<Framing>) -> TurnServerConfig {
    let mut config = TurnServerConfig::default();
    config.framing = framing;
    config
}

pub(crate) fn raw_config() -> TurnServerConfig {
    config(Some(Framing::Raw))
}

pub(crate) fn line_config() -> TurnServerConfig {
    config(Some(Framing::Line))
}

pub(crate) fn auto_config() -> TurnServerConfig {
    config(None)
}

/// Returns the configuration of a line server with these rules.
pub(crate) fn ruled(set: impl FnOnce(&mut Rules)) -> TurnServerConfig {
    let mut config = line_config();
    set(&mut config.rules);
    config
}

/// Returns a configuration with a host that judges answers.
pub(crate) fn judged_config() -> TurnServerConfig {
    ruled(|rules| rules.judging = Judging::Host)
}

/// Returns a configuration with a host that admits clients.
pub(crate) fn admitting_config() -> TurnServerConfig {
    let mut config = line_config();
    config.admission = Admission::Host;
    config
}

pub(crate) fn raw_world() -> World {
    World::new(raw_config(), 1)
}

pub(crate) fn line_world() -> World {
    World::new(line_config(), 1)
}

/// Creates a raw ring of `N` connections in this order, after their `WAIT`s. The first one has its `GO`.
pub(crate) fn raw_ring<const N: usize>(config: TurnServerConfig) -> (World, [Peer; N]) {
    let mut world = World::new(config, 1);
    let peers = [(); N].map(|()| world.connect());
    world.drive_for(ms(100));
    for peer in peers {
        world.heard(peer);
    }
    (world, peers)
}

/// A line client that has joined.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) peer: Peer,
    pub(crate) name: String,
    pub(crate) welcome: String,
    /// The lines after the `WELCOME`.
    pub(crate) then: Vec<String>,
}

impl Member {
    pub(crate) fn secret(&self) -> &str {
        field(&self.welcome, "resume")
    }

    pub(crate) fn epoch(&self) -> &str {
        field(&self.welcome, "epoch")
    }
}

/// Connects and sends `JOIN {fields}`, which must be welcomed.
pub(crate) fn join(world: &mut World, fields: &str) -> Member {
    let peer = world.connect();
    world.say_line(peer, &format!("JOIN {fields}"));
    let heard = world.heard_lines(peer);
    welcomed(peer, fields, heard)
}

/// Parses what `peer` has heard after `JOIN {fields}`.
pub(crate) fn welcomed(peer: Peer, fields: &str, mut heard: Vec<String>) -> Member {
    assert!(heard.first().is_some_and(|line| line.starts_with("WELCOME ")), "{fields}: {heard:?}");
    let welcome = heard.remove(0);
    let name = fields.split(' ').next().unwrap_or_default().to_owned();
    Member { peer, name, welcome, then: heard }
}

/// Brings the member back on a new connection, with its secret.
pub(crate) fn resume(world: &mut World, member: &Member) -> Member {
    join(world, &format!("{} resume={}", member.name, member.secret()))
}

/// Connects and watches `ring`. Drops the `WATCHING` and the roster.
pub(crate) fn watch(world: &mut World, ring: &str) -> Peer {
    let peer = world.connect();
    world.say_line(peer, &format!("WATCH ring={ring}"));
    let heard = world.heard_lines(peer);
    assert!(heard.first().is_some_and(|line| line.starts_with(&format!("WATCHING {ring} "))), "{heard:?}");
    peer
}

/// Creates a ring of line clients with these members, in this order. Drops the lines that they have heard so
/// far.
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

/// Returns the code of the `NO` or `BYE` that `peer` has heard, and nothing else.
pub(crate) fn refusal(world: &mut World, peer: Peer) -> String {
    let heard = world.heard_lines(peer);
    let [line] = heard.as_slice() else { panic!("expected one refusal, heard {heard:?}") };
    code(line)
}

/// Returns the code of a `NO` or `BYE`, which must have words.
pub(crate) fn code(line: &str) -> String {
    let (head, words) = line.split_once(" :").unwrap_or_else(|| panic!("a refusal without words: {line:?}"));
    assert!(!words.is_empty(), "{line:?}");
    match head.split(' ').collect::<Vec<_>>().as_slice() {
        ["NO" | "BYE", code, ..] => (*code).to_owned(),
        _ => panic!("not a refusal with a code: {line:?}"),
    }
}

/// Returns the turn held in the only ring, with the time at which it lapses.
pub(crate) fn held(world: &World) -> Option<(u64, Duration)> {
    let scheduler = world.server().scheduler();
    let held = scheduler.held(scheduler.rings().next()?)?;
    match held.clock {
        HeldClock::Running { deadline } => Some((held.turn.get(), world.time_of(deadline))),
        clock => panic!("the clock of turn {} does not run: {clock:?}", held.turn),
    }
}

/// Returns the number of the turn held in the only ring.
pub(crate) fn turn(world: &World) -> Option<u64> {
    let scheduler = world.server().scheduler();
    Some(scheduler.held(scheduler.rings().next()?)?.turn.get())
}

/// Returns the name of the holder in the only ring.
pub(crate) fn holder(world: &World) -> Option<String> {
    let scheduler = world.server().scheduler();
    let held = scheduler.held(scheduler.rings().next()?)?;
    Some(world.server().name_of(held.seat).to_string())
}

/// Plays the next `turns` turns, beginning with the current holder, and answers each at once. Returns the
/// holders as indices into `peers`.
pub(crate) fn raw_order(world: &mut World, peers: &[Peer], turns: usize) -> Vec<usize> {
    let mut order = Vec::new();
    for turn in 0..turns {
        let go =
            world.deliveries().iter().rposition(|write| write.bytes == b"GO").expect("a client has heard GO");
        let holder = world.deliveries()[go].peer;
        let at = peers.iter().position(|&peer| peer == holder).expect("one of these");
        order.push(at);
        world.say(holder, &format!("p{at}:{turn}"));
        let written: Vec<_> =
            world.deliveries()[go + 1..].iter().map(support::network::Delivery::text).collect();
        assert_eq!(written, ["GO"], "each turn is one GO, after {order:?}");
    }
    order
}

/// Plays the next `turns` turns, beginning with the current holder, and answers each at once. Returns the
/// names of the clients that got `GO`.
pub(crate) fn line_order(world: &mut World, members: &[Member], turns: usize) -> Vec<String> {
    let mut order = Vec::new();
    for nth in 0..turns {
        let number = turn(world).unwrap_or_else(|| panic!("a turn is held after {order:?}"));
        let go = format!("GO turn={number} ");
        let mut holders = members.iter().filter(|member| {
            let said: Vec<u8> = world.recvs(member.peer).iter().flat_map(|recv| recv.bytes.clone()).collect();
            world.is_open(member.peer) && String::from_utf8_lossy(&said).contains(&go)
        });
        let holder = holders.next().unwrap_or_else(|| panic!("a member has heard {go:?}"));
        assert!(holders.next().is_none(), "only one has heard {go:?}");
        let (peer, name) = (holder.peer, holder.name.clone());
        order.push(name.clone());
        world.say_line(peer, &format!("ANSWER turn={number} :{nth}"));
        assert!(world.heard_lines(peer).contains(&format!("OK turn={number}")), "{name} answered {number}");
    }
    order
}

/// Returns the lines of `heard` without their words and random fields.
pub(crate) fn heads(heard: &[String]) -> Vec<String> {
    heard
        .iter()
        .map(|line| line.split_once(" :").map_or(line.as_str(), |(head, _)| head).to_owned())
        .collect()
}
