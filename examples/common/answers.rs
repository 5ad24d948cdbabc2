//! The accepted answers of a turn server, with the names of the clients that sent them.

use std::fmt;

use taketurns::protocol::turns::{TurnEvent, TurnServer};
use taketurns::turn::SeatId;

/// An accepted answer. Its `Display` form is `{name} sent: {answer}`, escaped for a terminal.
pub struct Sent {
    /// Escaped for a terminal.
    pub name: String,
    pub answer: Vec<u8>,
}

/// Collects the accepted answers from the events of a turn server.
#[derive(Default)]
pub struct Answers {
    /// Answers whose seat is already gone. The name follows in `TurnEvent::Retired`, later in the same pass.
    nameless: Vec<(SeatId, Vec<u8>)>,
}

impl Answers {
    /// Returns the answer that an event completes, if any.
    pub fn handle(&mut self, server: &TurnServer, event: &TurnEvent) -> Option<Sent> {
        match event {
            &TurnEvent::Accepted { seat, answer, .. } => {
                let answer = server.answer(answer)?;
                let name = match answer.raw_name {
                    Some(name) => super::printable(name),
                    None if server.scheduler().data(seat).is_some() => server.name_of(seat).to_string(),
                    None => {
                        self.nameless.push((seat, answer.bytes.to_vec()));
                        return None;
                    }
                };
                Some(Sent { name, answer: answer.bytes.to_vec() })
            }
            TurnEvent::Retired { seat, name } => {
                let at = self.nameless.iter().position(|(nameless, _)| nameless == seat)?;
                let (_, answer) = self.nameless.swap_remove(at);
                Some(Sent { name: super::printable(name), answer })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent: {}", self.name, super::printable_bytes(&self.answer))
    }
}
