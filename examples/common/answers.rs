//! What a turn server reports of answers, with the names of those that gave them.

use std::fmt;

use taketurns::protocol::turns::{TurnEvent, TurnServer};
use taketurns::turn::SeatId;

/// An accepted answer. Shown as `{name} sent: {answer}`, with what could rearrange a terminal escaped.
pub struct Sent {
    /// Ready to be printed.
    pub name: String,
    pub answer: Vec<u8>,
}

/// Makes accepted answers out of what a turn server reports.
#[derive(Default)]
pub struct Answers {
    /// Answers whose seat is gone: its name is in the event that says so, which comes later in the same pass.
    nameless: Vec<(SeatId, Vec<u8>)>,
}

impl Answers {
    /// The answer that an event brings, if it does.
    pub fn hear(&mut self, server: &TurnServer, event: &TurnEvent) -> Option<Sent> {
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
