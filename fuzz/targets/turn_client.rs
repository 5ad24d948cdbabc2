//! Turn clients, and a server that says whatever it likes. The first byte says in which framing. Two count by themselves, and one asks its
//! host, which answers on `x`, and gives its turn up on `xp`: nothing that it answers may have two fates.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::turns::{ClientEvent, ClientTurn, Framing, TurnClient, TurnClientConfig};
use taketurns_fuzz::session::Session;

/// Below all that the others say.
const FIRST: i64 = -1_000_000;

#[derive(Default)]
struct Host {
    turns: Vec<ClientTurn>,
    answered: i64,
    decided: BTreeSet<i64>,
}

impl Host {
    fn act(&mut self, session: &mut Session<TurnClient>, what: &[u8]) {
        let Some(turn) = self.turns.pop() else { return };
        let Session { protocol, links, .. } = session;
        let is_taken = match what {
            [b'p', ..] => protocol.pass(&turn, links),
            _ => protocol.answer(&turn, FIRST + self.answered, links),
        };
        self.answered += i64::from(is_taken.is_ok());
        assert!(protocol.answer(&turn, 0, links).is_err(), "{turn:?} is answered twice");
    }

    fn hear(&mut self, events: &mut Vec<ClientEvent>) {
        for event in events.drain(..) {
            match event {
                ClientEvent::Granted(turn) => {
                    assert_eq!(turn.client, 2);
                    self.turns.push(turn);
                }
                ClientEvent::Sent { number, .. } if number >= 0 => {}
                ClientEvent::Sent { number, .. } | ClientEvent::Lost { number, .. } => {
                    assert!((FIRST..FIRST + self.answered).contains(&number), "{number} was never answered");
                    assert!(self.decided.insert(number), "{number} has two fates");
                }
                _ => {}
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((mode, script)) = input.split_first() else { return };
    let framing = if mode & 1 == 0 { Framing::Raw } else { Framing::Line };
    let mut client = TurnClient::new(TurnClientConfig { framing, ..TurnClientConfig::default() });
    for (name, start) in [("ann", 1), ("bob", i64::MAX - 3)] {
        client.add(name.parse().expect("a name"), start, 2);
    }
    client.add_asked("eve".parse().expect("a name"));
    let host = std::cell::RefCell::new(Host::default());
    Session::client(client).play(
        script,
        |session, what| host.borrow_mut().act(session, what),
        |session| host.borrow_mut().hear(&mut session.events),
    );
});
