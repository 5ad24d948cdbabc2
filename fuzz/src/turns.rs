//! What a turn server reports, against its promises: one holder a ring, numbers that grow, one answer a turn.

use std::collections::HashMap;

use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig};
use taketurns::turn::{RingId, SeatId};

use crate::session::{Session, entropy};

/// The turns of a session's rings.
#[derive(Default)]
struct Book {
    held: HashMap<RingId, (SeatId, u64)>,
    last: HashMap<RingId, u64>,
}

impl Book {
    fn note(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Granted { seat, turn, .. } => {
                let before = self.held.insert(seat.ring(), (*seat, turn.get()));
                assert_eq!(before, None, "two hold the turn");
                let last = self.last.insert(seat.ring(), turn.get()).unwrap_or(0);
                assert!(turn.get() > last, "a turn is granted twice");
            }
            TurnEvent::Accepted { seat, turn, .. } | TurnEvent::Skipped { seat, turn, .. } => {
                let held = self.held.remove(&seat.ring());
                assert_eq!(held, Some((*seat, turn.get())), "a turn ends that was not held");
            }
            _ => {}
        }
    }
}

/// Plays `script` against a server with short limits, and judges it.
pub fn play(framing: Framing, script: &[u8]) {
    let config = TurnServerConfig {
        framing,
        max_clients: 6,
        max_rings: 2,
        message_bytes_max: 128,
        ..TurnServerConfig::default()
    };
    let mut book = Book::default();
    let mut session = Session::server(TurnServer::new(config, entropy()));
    let check = |session: &mut Session<TurnServer>| {
        session.events.drain(..).for_each(|event| book.note(&event));
        let scheduler = session.protocol.scheduler();
        scheduler.check_invariants().expect("invariants hold after every step");
        let held = scheduler.rings().filter(|&ring| scheduler.held(ring).is_some()).count();
        assert_eq!(held, book.held.len(), "what is held was granted");
        assert!(session.protocol.clients() <= 6, "more clients than allowed");
    };
    session.play(script, |_, _| {}, check);
}
