//! What a turn server prints: one line for each accepted answer.

use taketurns::protocol::turns::{TurnEvent, TurnServer};
use taketurns::turn::SeatId;

/// Makes `{name} sent: {answer}` of what a turn server reports.
#[derive(Default)]
pub struct Answers {
    /// Answers whose seat is gone: its name is in the event that says so, which comes later in the same pass.
    nameless: Vec<(SeatId, String)>,
}

impl Answers {
    /// The line for an event, if it calls for one.
    pub fn hear(&mut self, server: &TurnServer, event: &TurnEvent) -> Option<String> {
        match event {
            &TurnEvent::Accepted { seat, answer, .. } => {
                let answer = server.answer(answer)?;
                let text = super::printable_bytes(answer.bytes);
                match answer.raw_name {
                    Some(name) => Some(format!("{} sent: {text}", super::printable(name))),
                    None if server.scheduler().data(seat).is_some() => {
                        Some(format!("{} sent: {text}", server.name_of(seat)))
                    }
                    None => {
                        self.nameless.push((seat, text));
                        None
                    }
                }
            }
            TurnEvent::Retired { seat, name } => {
                let at = self.nameless.iter().position(|(nameless, _)| nameless == seat)?;
                let (_, text) = self.nameless.swap_remove(at);
                Some(format!("{} sent: {text}", super::printable(name)))
            }
            _ => None,
        }
    }
}
