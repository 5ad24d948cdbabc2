//! Everything at once: late bytes, split bytes, and thousands of connections.

use support::ms;
use support::proxy::Proxy;
use taketurns::net::{DriverConfig, Event};
use taketurns::protocol::ConnectionId;
use taketurns::protocol::dispatch::{DispatchServer, DispatchServerConfig, Framing};

use crate::loopback::{Peer, Rig, Script};
use crate::servers::line_server;

#[test]
fn clients_alternate_through_a_proxy_that_splits_and_delays_every_message() {
    for seed in 1..=3 {
        let (mut rig, addr) = line_server();
        let mut proxy = Proxy::start(addr, seed);
        let names = ["ann", "bob", "cid"];
        let mut clients: Vec<_> = names.map(|name| (name, Peer::connect(proxy.addr()), 0)).into();
        for (at, (name, peer, _)) in clients.iter_mut().enumerate() {
            peer.send(format!("JOIN {name}\n"));
            rig.pass_until("seated in this order", |rig| {
                proxy.step();
                rig.driver.protocol().scheduler().seats() == at + 1
            });
        }
        rig.pass_until("60 answers", |rig| {
            (0..5).for_each(|_| proxy.step());
            for (_, peer, number) in &mut clients {
                peer.pull();
                if let Some((_, rest)) = peer.text().split_once("GO turn=")
                    && let Some((line, _)) = rest.split_once('\n')
                {
                    let turn = line.split(' ').next().expect("a field");
                    *number += 1;
                    peer.take();
                    peer.send(format!("ANSWER turn={turn} :{number}\n"));
                }
            }
            rig.notes.len() >= 60
        });
        for (at, note) in rig.notes.iter().enumerate() {
            assert_eq!(*note, format!("{} {}", names[at % 3], at / 3 + 1));
        }
        assert_eq!(rig.driver.protocol().counts().refused, 0, "seed {seed}");
    }
}

/// Connects, disconnects and resets at random. The remaining peers are served, and no state is left over.
#[test]
fn thousands_of_connections_come_and_go_and_nothing_is_left_over() {
    let (mut rig, addr) = Rig::listening(Script::closing_at_end(), DriverConfig::default());
    let mut rng = fastrand::Rng::with_seed(42);
    let mut peers: Vec<Peer> = Vec::new();
    for _ in 0..3000 {
        let mut peer = Peer::connect(addr);
        peer.send("hello");
        peers.push(peer);
        if peers.len() > 50 {
            let peer = peers.swap_remove(rng.usize(..peers.len()));
            match rng.u8(..3) {
                0 => peer.reset(),
                1 => peer.finish_sending(),
                _ => drop(peer),
            }
        }
        if rng.u8(..8) == 0 {
            rig.pass(ms(0));
        }
    }
    rig.pass_until("those that left are gone", |rig| {
        peers.retain_mut(|peer| peer.pull().is_none());
        rig.driver.connections() == peers.len()
            && peers.iter().all(|peer| rig.opened(peer.local_addr()).is_some())
    });
    let opened = rig.log.iter().filter(|event| matches!(event, Event::Opened { .. })).count();
    assert_eq!(opened, rig.closed().len() + peers.len());
    for peer in &mut peers {
        let id: ConnectionId = rig.opened(peer.local_addr()).expect("it is served");
        rig.pass_until("heard", |rig| rig.driver.protocol().heard(id) == b"hello");
    }
}

/// The ranks of all others change with each that leaves, but they hear of it a few times only, and none of
/// them is closed as a slow reader.
#[test]
fn workers_that_leave_at_once_move_the_others_up_in_a_few_steps() {
    const LEAVING: usize = 250;
    const STAYING: usize = 100;
    let mut config = DispatchServerConfig::default();
    (config.max_clients, config.framing) = (LEAVING + STAYING, Framing::Line);
    let (mut rig, addr) = Rig::listening(DispatchServer::new(config), DriverConfig::default());
    let mut leaving: Vec<Peer> = (0..LEAVING + STAYING).map(|_| rig.meet(addr).0).collect();
    let mut staying = leaving.split_off(LEAVING);
    for (nth, peer) in staying.iter_mut().enumerate() {
        rig.hears(peer, &format!("Your rank is {}\n", LEAVING + nth));
        peer.take();
    }
    drop(leaving);
    for (nth, peer) in staying.iter_mut().enumerate() {
        rig.hears(peer, &format!("RYour rank is now {nth}\n"));
        let told = peer.text().lines().count();
        assert!(told <= LEAVING / 10, "{told} messages for {LEAVING} that left");
    }
    assert_eq!(rig.driver.connections(), STAYING);
    assert_eq!(rig.driver.counts().slow_readers, 0);
}
