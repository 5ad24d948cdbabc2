//! A client whose numbers are the host's: where it stands between a `GO`, the host's answer, and what became of that.

use std::time::Duration;

use super::name::Name;
use super::reply::Epoch;
use crate::turn::{Refusal, TurnNumber};

/// A turn that a client has, for its host to answer: see [`ClientEvent::Granted`](super::ClientEvent::Granted).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientTurn {
    /// Which client: so many were added before it.
    pub client: usize,
    /// Its name.
    pub name: Name,
    /// What a resource is fenced by, so that it refuses whoever comes too late: the server's life, and the turn's number in it. None in the raw
    /// framing, which does not say.
    pub fence: Option<(Epoch, TurnNumber)>,
    /// For how long the server waits for the answer, from its `GO`. None in the raw framing, which does not say.
    pub within: Option<Duration>,
    /// Tells turns of the raw framing apart.
    pub(super) nth: u64,
}

/// What became of a number that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does not count, and never will.
    Refused,
    /// The server does not know any more, or the connection broke while it was being sent: it may have counted.
    Unknown,
}

/// What a client has come to that asks its host.
#[derive(Debug, Default)]
pub(super) struct Asked {
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Waiting,
    /// The host has been told of a turn.
    Granted(ClientTurn),
    /// And has answered. What has become of the number is not known; perhaps it has not even been sent.
    Answered(ClientTurn, i64),
    /// Or has given it up. The server may not have heard of that.
    Passed(ClientTurn),
}

/// What follows from a `GO`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// The host has been told of this turn already.
    Known,
    /// The host has answered already, with this number.
    Answered(i64),
    /// The host has given it up already.
    Passed,
    /// The host has to be told; and what had been open before is over, since a later turn has begun.
    New(Option<Over>),
}

/// A turn is over without an accepted number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Unanswered(ClientTurn),
    Lost(ClientTurn, i64, Fate),
}

impl Asked {
    /// The turn is this client's. The same one may be granted again on another connection.
    pub(super) fn grant(&mut self, turn: ClientTurn) -> Grant {
        let is_same = |known: &ClientTurn| (known.fence, known.nth) == (turn.fence, turn.nth);
        match &self.stage {
            Stage::Granted(known) if is_same(known) => return Grant::Known,
            Stage::Answered(known, number) if is_same(known) => return Grant::Answered(*number),
            Stage::Passed(known) if is_same(known) => return Grant::Passed,
            _ => {}
        }
        // In the raw framing a number that is being sent may yet count, in whichever turn that is.
        let over = self.end(turn.fence.map_or(Fate::Unknown, |_| Fate::Refused));
        self.stage = Stage::Granted(turn);
        Grant::New(over)
    }

    /// The host answers `turn` with `number`.
    pub(super) fn answer(&mut self, turn: &ClientTurn, number: i64) -> Result<(), Refusal> {
        self.check(turn)?;
        self.stage = Stage::Answered(*turn, number);
        Ok(())
    }

    /// The host gives `turn` up.
    pub(super) fn pass(&mut self, turn: &ClientTurn) -> Result<(), Refusal> {
        self.check(turn)?;
        self.stage = Stage::Passed(*turn);
        Ok(())
    }

    fn check(&self, turn: &ClientTurn) -> Result<(), Refusal> {
        match &self.stage {
            Stage::Granted(known) if known == turn => Ok(()),
            _ => Err(Refusal::StaleTurn),
        }
    }

    /// The number that was sent is accepted: which one that was.
    pub(super) fn accepted(&mut self) -> Option<i64> {
        match std::mem::take(&mut self.stage) {
            Stage::Answered(_, number) => Some(number),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// The server said that `turn` has lapsed. If its answer is under way, that is refused by itself.
    pub(super) fn lapsed(&mut self, turn: TurnNumber) -> Option<Over> {
        match &self.stage {
            Stage::Granted(known) if known.fence.is_some_and(|(_, known)| known == turn) => {
                self.end(Fate::Refused)
            }
            _ => None,
        }
    }

    /// The turn is over for good; `fate` is that of its answer, if it had one.
    pub(super) fn end(&mut self, fate: Fate) -> Option<Over> {
        match std::mem::take(&mut self.stage) {
            Stage::Waiting | Stage::Passed(_) => None,
            Stage::Granted(turn) => Some(Over::Unanswered(turn)),
            Stage::Answered(turn, number) => Some(Over::Lost(turn, number, fate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::{ClientEvent, Code, Framing, TurnClient, TurnClientConfig};
    use super::*;
    use crate::protocol::{CloseReason, ConnectionId, DialId, Links, Origin, Protocol as _, Wish};
    use crate::time::Now;

    const NOW: Now = Now::ORIGIN;

    /// A client that asks, its connection, and a server's words for it.
    struct Talk {
        client: TurnClient,
        links: Links,
        id: ConnectionId,
    }

    impl Talk {
        fn begin(framing: Framing) -> Talk {
            let mut client = TurnClient::new(TurnClientConfig { framing, ..TurnClientConfig::default() });
            client.add_asked("ann".parse().expect("a name"));
            let mut links = Links::new(1024);
            let id = links.open(server());
            let mut talk = Talk { client, links, id };
            talk.client.handle_open(NOW, id, server(), Origin::Dialed(DialId(0)), &mut talk.links);
            talk.said();
            talk
        }

        /// It has been welcomed, and has turn 3.
        fn with_turn_3() -> (Talk, ClientTurn) {
            let mut talk = Talk::begin(Framing::Line);
            talk.hear(&welcome(1, 0));
            talk.hear("GO turn=3 within=500\n");
            let turn = talk.granted();
            (talk, turn)
        }

        fn hear(&mut self, said: &str) {
            self.client.handle_bytes(NOW, self.id, said.as_bytes(), &mut self.links);
        }

        fn said(&mut self) -> String {
            let said = self.links.unsent(self.id).to_vec();
            self.links.consume(self.id, said.len());
            self.client.handle_flushed(NOW, &mut self.links);
            String::from_utf8(said).expect("text")
        }

        fn answer(&mut self, turn: &ClientTurn, number: i64) -> Result<String, Refusal> {
            self.client.answer(turn, number, &mut self.links)?;
            Ok(self.said())
        }

        fn lose(&mut self) {
            self.client.handle_closed(NOW, self.id, CloseReason::Finished, &mut self.links);
        }

        fn reconnect(&mut self) {
            self.id = self.links.open(server());
            self.client.handle_open(NOW, self.id, server(), Origin::Dialed(DialId(0)), &mut self.links);
            self.said();
        }

        fn events(&mut self) -> Vec<ClientEvent> {
            std::iter::from_fn(|| self.client.poll_event()).collect()
        }

        fn granted(&mut self) -> ClientTurn {
            match self.events()[..] {
                [ClientEvent::Granted(turn)] => turn,
                ref other => panic!("instead of a grant: {other:?}"),
            }
        }
    }

    fn server() -> SocketAddr {
        ([127, 0, 0, 1], 9).into()
    }

    fn welcome(epoch: u64, last: u64) -> String {
        format!("WELCOME seat=1 ring=main epoch={epoch:016x} resume={:032x} last={last} number=5\n", 7)
    }

    fn sent(number: i64) -> ClientEvent {
        ClientEvent::Sent { name: "ann".parse().expect("a name"), number }
    }

    #[test]
    fn the_host_is_asked_once_and_its_number_is_sent_once() {
        let (mut talk, turn) = Talk::with_turn_3();
        let number = TurnNumber::new(3).expect("not 0");
        assert_eq!((turn.fence, turn.within), (Some((Epoch(1), number)), Some(Duration::from_millis(500))));
        assert_eq!(talk.said(), "", "it waits for its host");
        assert_eq!(talk.answer(&turn, 17).as_deref(), Ok("ann:17 turn=3\n"));
        assert_eq!(talk.answer(&turn, 18), Err(Refusal::StaleTurn));
        assert_eq!(talk.events(), []);
        talk.hear("OK turn=3\n");
        assert_eq!(talk.events(), [sent(17)]);
        talk.hear("GO turn=5 within=500\n");
        let next = talk.granted();
        assert_eq!(talk.answer(&turn, 18), Err(Refusal::StaleTurn), "that was the one before");
        assert_eq!(talk.answer(&next, -1).as_deref(), Ok("ann:-1 turn=5\n"));
        assert!(!talk.client.is_finished());
    }

    #[test]
    fn a_turn_that_lapses_is_over_and_takes_no_answer() {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.hear("LAPSED turn=2\n");
        assert_eq!(talk.events(), [], "another one");
        talk.hear("LAPSED turn=3\n");
        assert_eq!(talk.events(), [ClientEvent::Over(turn)]);
        assert_eq!(talk.answer(&turn, 17), Err(Refusal::StaleTurn));
        assert_eq!(talk.client.pass(&turn, &mut talk.links), Err(Refusal::StaleTurn));
        assert_eq!(talk.said(), "");
    }

    #[test]
    fn an_answer_that_comes_too_late_is_lost_and_said_to_be() {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.answer(&turn, 17).expect("it is open");
        talk.hear("LAPSED turn=3\nNO turn=3 stale-turn that turn is over\n");
        let name = turn.name;
        assert_eq!(
            talk.events(),
            [
                ClientEvent::Refused { name, code: Code::StaleTurn },
                ClientEvent::Lost { turn, number: 17, fate: Fate::Refused }
            ]
        );
        talk.hear("GO turn=5 within=500\n");
        talk.granted();
    }

    #[test]
    fn a_turn_outlives_its_connection() {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.lose();
        talk.reconnect();
        talk.hear(&welcome(1, 0));
        talk.hear("GO turn=3 within=300\n");
        assert_eq!(talk.events(), [], "the host knows");
        assert_eq!(talk.answer(&turn, 17).as_deref(), Ok("ann:17 turn=3\n"));

        // And so does its number: while it is not known to count, it goes into the same turn, and no other.
        talk.lose();
        talk.reconnect();
        talk.hear(&welcome(1, 0));
        talk.hear("GO turn=3 within=100\n");
        assert_eq!((talk.said().as_str(), talk.events()), ("ann:17 turn=3\n", vec![]));
        talk.lose();
        talk.reconnect();
        talk.hear(&welcome(1, 3));
        assert_eq!(talk.events(), [sent(17)]);
    }

    #[test]
    fn an_answer_while_the_connection_is_lost_is_sent_in_its_turn_or_not_at_all() {
        for (go, said) in [("GO turn=3 within=300\n", "ann:17 turn=3\n"), ("GO turn=5 within=500\n", "")] {
            let (mut talk, turn) = Talk::with_turn_3();
            talk.lose();
            assert_eq!(talk.answer(&turn, 17).as_deref(), Ok(""));
            talk.reconnect();
            talk.hear(&welcome(1, 0));
            assert_eq!(talk.said(), "");
            talk.hear(go);
            assert_eq!(talk.said(), said);
            match talk.events()[..] {
                [] => assert!(!said.is_empty()),
                [
                    ClientEvent::Lost { turn: lost, number: 17, fate: Fate::Refused },
                    ClientEvent::Granted(_),
                ] => {
                    assert_eq!(lost, turn);
                }
                ref other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_server_that_has_forgotten_the_seat_does_not_know_either() {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.lose();
        talk.reconnect();
        talk.hear(&welcome(2, 0));
        assert_eq!(talk.events(), [ClientEvent::Over(turn)]);
        assert_eq!(talk.answer(&turn, 17), Err(Refusal::StaleTurn));

        for (is_sent, fate) in [(true, Fate::Unknown), (false, Fate::Refused)] {
            let (mut talk, turn) = Talk::with_turn_3();
            if is_sent {
                talk.answer(&turn, 17).expect("it is open");
            }
            talk.lose();
            if !is_sent {
                talk.answer(&turn, 17).expect("it is open");
            }
            talk.reconnect();
            talk.hear(&welcome(2, 3));
            assert_eq!(talk.events(), [ClientEvent::Lost { turn, number: 17, fate }]);
        }
    }

    #[test]
    fn a_turn_can_be_given_up() {
        let (mut talk, turn) = Talk::with_turn_3();
        assert_eq!(talk.client.pass(&turn, &mut talk.links), Ok(()));
        assert_eq!((talk.said().as_str(), talk.events()), ("PASS turn=3\n", vec![]));
        assert_eq!(talk.answer(&turn, 17), Err(Refusal::StaleTurn));
        let nobody = ClientTurn { client: 9, ..turn };
        assert_eq!(talk.client.pass(&nobody, &mut talk.links), Err(Refusal::StaleTurn));

        let mut raw = Talk::begin(Framing::Raw);
        raw.hear("GO");
        let turn = raw.granted();
        assert_eq!(raw.client.pass(&turn, &mut raw.links), Ok(()));
        assert!(matches!(raw.links.wish_of(raw.id), Wish::Abort(_)), "it has no other word for it");
    }

    #[test]
    fn a_turn_of_the_raw_framing_ends_with_its_connection() {
        let mut talk = Talk::begin(Framing::Raw);
        talk.hear("WAITGO");
        let first = talk.granted();
        assert_eq!((first.fence, first.within), (None, None));
        talk.hear("WAIT");
        assert_eq!(talk.events(), [], "it is the same turn");
        talk.lose();
        assert_eq!(talk.events(), [ClientEvent::Over(first)]);
        talk.reconnect();
        talk.hear("GO");
        let second = talk.granted();
        assert_eq!(talk.answer(&first, 17), Err(Refusal::StaleTurn));
        assert_eq!(talk.answer(&second, 17).as_deref(), Ok("ann:17"));
        assert_eq!(talk.events(), [sent(17)], "it is written, and nobody says more");
        talk.hear("GO");
        let third = talk.granted();
        talk.client.answer(&third, 18, &mut talk.links).expect("it is open");
        talk.lose();
        assert_eq!(talk.events(), [ClientEvent::Lost { turn: third, number: 18, fate: Fate::Unknown }]);
    }

    #[test]
    fn who_was_not_welcomed_has_no_turn_and_a_client_that_drains_takes_no_answer() {
        let mut talk = Talk::begin(Framing::Line);
        talk.hear("GO turn=3 within=500\n");
        assert_eq!(talk.events(), []);
        let (mut talk, turn) = Talk::with_turn_3();
        talk.client.drain(NOW, &mut talk.links);
        assert_eq!(talk.answer(&turn, 17), Err(Refusal::StaleTurn));
    }

    #[test]
    fn a_turn_that_was_given_up_while_the_connection_is_lost_is_given_up_when_it_is_back() {
        let (mut talk, turn) = Talk::with_turn_3();
        talk.lose();
        assert_eq!(talk.client.pass(&turn, &mut talk.links), Ok(()));
        talk.reconnect();
        talk.hear(&welcome(1, 0));
        talk.hear("GO turn=3 within=300\n");
        assert_eq!((talk.said().as_str(), talk.events()), ("PASS turn=3\n", vec![]));
        talk.hear("GO turn=5 within=500\n");
        talk.granted();
    }

    #[test]
    fn a_number_for_a_connection_that_is_being_closed_is_not_said_to_be_sent() {
        let mut talk = Talk::begin(Framing::Raw);
        talk.hear("GO");
        let turn = talk.granted();
        talk.links.close(talk.id);
        assert_eq!(talk.answer(&turn, 17).as_deref(), Ok(""));
        talk.lose();
        assert_eq!(talk.events(), [ClientEvent::Lost { turn, number: 17, fate: Fate::Refused }]);

        let (mut talk, turn) = Talk::with_turn_3();
        talk.links.close(talk.id);
        assert_eq!(talk.answer(&turn, 17).as_deref(), Ok(""));
        talk.lose();
        talk.reconnect();
        talk.hear(&welcome(2, 0));
        assert_eq!(talk.events(), [ClientEvent::Lost { turn, number: 17, fate: Fate::Refused }]);
    }

    #[test]
    fn the_host_hears_what_becomes_of_every_turn_when_the_client_drains() {
        for is_connected in [true, false] {
            let finish = |mut talk: Talk| {
                talk.lose();
                if is_connected {
                    talk.reconnect();
                }
                talk.client.drain(NOW, &mut talk.links);
                if is_connected {
                    talk.lose();
                }
                talk.events()
            };
            let (talk, turn) = Talk::with_turn_3();
            assert_eq!(finish(talk), [ClientEvent::Over(turn)]);
            let (mut talk, turn) = Talk::with_turn_3();
            talk.answer(&turn, 17).expect("it is open");
            assert_eq!(finish(talk), [ClientEvent::Lost { turn, number: 17, fate: Fate::Unknown }]);
            let (mut talk, turn) = Talk::with_turn_3();
            talk.lose();
            talk.answer(&turn, 17).expect("it is open");
            assert_eq!(finish(talk), [ClientEvent::Lost { turn, number: 17, fate: Fate::Refused }]);
        }
    }

    #[test]
    fn the_end_of_an_earlier_connection_is_not_that_of_the_next_one() {
        for framing in [Framing::Raw, Framing::Line] {
            let mut talk = Talk::begin(framing);
            let earlier = talk.id;
            talk.links.close(earlier);
            talk.reconnect();
            talk.client.handle_closed(NOW, earlier, CloseReason::Finished, &mut talk.links);
            match framing {
                Framing::Raw => talk.hear("GO"),
                Framing::Line => talk.hear(&format!("{}GO turn=3 within=500\n", welcome(1, 0))),
            }
            talk.granted();
        }
    }

    #[test]
    fn a_turn_of_the_raw_framing_is_over_when_another_connection_begins() {
        let mut talk = Talk::begin(Framing::Raw);
        let earlier = talk.id;
        talk.hear("GO");
        let first = talk.granted();
        talk.links.close(earlier);
        talk.reconnect();
        assert_eq!(talk.events(), [ClientEvent::Over(first)]);
        talk.hear("GO");
        let second = talk.granted();
        talk.client.handle_closed(NOW, earlier, CloseReason::Finished, &mut talk.links);
        assert_eq!((talk.events(), talk.answer(&second, 17).as_deref()), (vec![], Ok("ann:17")));
    }

    #[test]
    fn a_raw_number_that_is_queued_may_count_whatever_the_server_says() {
        let mut talk = Talk::begin(Framing::Raw);
        talk.hear("GO");
        let turn = talk.granted();
        talk.client.answer(&turn, 17, &mut talk.links).expect("it is open");
        talk.hear("GO");
        let lost = ClientEvent::Lost { turn, number: 17, fate: Fate::Unknown };
        assert_eq!(talk.events().first(), Some(&lost));
    }
}
