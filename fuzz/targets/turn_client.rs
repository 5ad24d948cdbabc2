//! Turn clients, and a server that sends anything. The first byte chooses the framing. Their host answers on
//! `x`, gives up a turn on `xp`, renews on `xr`, asks on `xa`, rests on `xs`, pings on `xg`, and has one of
//! them leave on `xl`. Each turn must end once, and each answer must have one fate.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::DialId;
use taketurns::protocol::turns::{
    ClientConfig, ClientEvent, ClientId, ClientTurn, News, SeatRequest, TurnClient,
};
use taketurns::wire::Framing;
use taketurns_fuzz::session::Session;

/// One client, as the host knows it.
#[derive(Default)]
struct Known {
    /// A turn that it may answer or give up.
    open: Option<ClientTurn>,
    /// Its answer, while its fate is not known.
    answered: Option<Vec<u8>>,
    is_in_turn: bool,
    has_ended: bool,
}

#[derive(Default)]
struct Host {
    clients: BTreeMap<ClientId, Known>,
    answers: u32,
}

impl Host {
    fn act(&mut self, session: &mut Session<TurnClient>, what: &[u8]) {
        let Session { protocol, links, now, .. } = session;
        for (&id, known) in &mut self.clients {
            let _ = match what {
                [b'a', ..] => protocol.ask(*now, id, links),
                [b's', ..] => {
                    let result = protocol.rest(*now, id, links);
                    known.open = known.open.filter(|_| result.is_err());
                    result
                }
                [b'g', ..] => protocol.ping(*now, id, links),
                _ => Ok(()),
            };
            let Some(turn) = known.open else { continue };
            match what {
                [b'r', ..] => drop(protocol.renew(*now, &turn, links)),
                [b'p', ..] if protocol.pass(*now, &turn, links).is_ok() => known.open = None,
                [] => {
                    self.answers += 1;
                    let answer = self.answers.to_string().into_bytes();
                    if protocol.answer(*now, &turn, &answer, links).is_ok() {
                        known.open = None;
                        known.answered = Some(answer);
                        assert!(
                            protocol.answer(*now, &turn, b"0", links).is_err(),
                            "{turn:?} is answered twice"
                        );
                    }
                }
                _ => {}
            }
        }
        if let [b'l', ..] = what
            && let Some(&id) = self.clients.keys().next()
        {
            let _ = protocol.leave(*now, id, links);
        }
    }

    fn hear(&mut self, events: &mut Vec<ClientEvent>) {
        for ClientEvent { client, news, .. } in events.drain(..) {
            let known = self.clients.get_mut(&client).expect("one of ours");
            assert!(!known.has_ended, "{client} has ended: {news:?}");
            match news {
                News::Granted(turn) => {
                    assert!(!std::mem::replace(&mut known.is_in_turn, true), "the last turn has not ended");
                    assert_eq!(turn.client, client);
                    known.open = Some(turn);
                }
                News::Refused { turn: Some(turn), .. } => {
                    (known.open, known.answered) = (Some(turn), None);
                }
                News::Over { .. } => known.end(None),
                News::Accepted { .. } => {
                    let answer = known.answered.take().expect("it has answered");
                    known.end(Some(answer));
                }
                News::Lost { answer, .. } => {
                    assert_eq!(known.answered.take().as_deref(), Some(&*answer));
                    known.end(Some(answer.into()));
                }
                News::Ended { .. } => {
                    assert!(!known.is_in_turn, "its turn has not ended");
                    known.has_ended = true;
                }
                _ => {}
            }
        }
    }
}

impl Known {
    /// Notes that its turn is over, with `answer` or without.
    fn end(&mut self, answer: Option<Vec<u8>>) {
        assert!(std::mem::take(&mut self.is_in_turn), "it has no turn");
        assert_eq!(self.answered, None, "what became of it, {answer:?}?");
        self.open = None;
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((mode, script)) = input.split_first() else { return };
    let framing = if mode & 1 == 0 { Framing::Raw } else { Framing::Line };
    let (mut client, mut host) = (TurnClient::new(), Host::default());
    for (dial, name) in ["ann", "bob", "eve"].into_iter().enumerate() {
        let seat = SeatRequest::new(name.parse().expect("a name"));
        let mut config = ClientConfig { framing, ..ClientConfig::from(seat) };
        if framing == Framing::Line && dial > 0 {
            config.ping_interval = Some(Duration::from_secs(15));
        }
        if framing == Framing::Line && dial > 1 {
            config.seat = None;
        }
        let id = client.add(config).expect("the framing can say it");
        assert!(client.dial(id, DialId(dial)));
        host.clients.insert(id, Known::default());
    }
    let host = RefCell::new(host);
    Session::client(client).play(
        script,
        |session, what| host.borrow_mut().act(session, what),
        |session| host.borrow_mut().hear(&mut session.events),
    );
});
