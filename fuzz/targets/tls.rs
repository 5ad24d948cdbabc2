//! TLS: two ends of a wire, and a network or a peer that does anything to the bytes between them. Nothing
//! panics, and no protocol receives bytes that were not sent.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use secure::{Authority, Subject};
use taketurns::engine::{Input, Wrapping};
use taketurns::tls::{Acceptor, Connector, Identity};

static MADE: LazyLock<(Acceptor, Connector)> = LazyLock::new(|| {
    let authority = Authority::new("ours");
    let made = authority.certify(Subject {
        names: &["here.example"],
        is_server: true,
        has_expired: false,
        serial: 2,
    });
    let identity = Identity { certificates: made.certificate.as_bytes(), key: made.key.as_bytes() };
    let acceptor = Acceptor::new(identity, None).expect("the files are good");
    (acceptor, Connector::new(Some(authority.pem().as_bytes()), None).expect("the file is good"))
});

struct End {
    wrapping: Box<dyn Wrapping>,
    wire: Vec<u8>,
    heard: usize,
    said: usize,
    is_over: bool,
}

impl End {
    fn new(wrapping: Box<dyn Wrapping>) -> End {
        let mut end = End { wrapping, wire: Vec::new(), heard: 0, said: 0, is_over: false };
        end.hear(&mut []);
        end
    }

    fn hear(&mut self, bytes: &mut [u8]) {
        if !self.is_over {
            let mut plain = Vec::new();
            let outcome = self.wrapping.unwrap(bytes, &mut plain, &mut self.wire);
            assert!(plain.iter().all(|&byte| byte == b'x'));
            self.heard += plain.len();
            self.is_over = !matches!(outcome, Ok(Input::Open));
        }
    }

    fn say(&mut self, count: usize) {
        let is_open = self.wrapping.transport().is_some();
        assert_eq!(self.wrapping.wrap(&vec![b'x'; count], &mut self.wire), count);
        self.said += if is_open { count } else { 0 };
    }
}

fuzz_target!(|input: &[u8]| {
    let (acceptor, connector) = &*MADE;
    let mut server = End::new(acceptor.wrap()());
    let mut client = End::new(connector.wrap("here.example").expect("a name")());
    for step in input.chunks(3) {
        let [what, size, value] = [0, 1, 2].map(|at| usize::from(step.get(at).copied().unwrap_or(0)));
        let (from, to) = if what & 1 == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let mut bytes = Vec::new();
        match what >> 1 & 7 {
            // Most often all of it arrives.
            0 | 1 => bytes = std::mem::take(&mut from.wire),
            2 => bytes = from.wire.drain(..from.wire.len().min(size)).collect(),
            3 if !from.wire.is_empty() => {
                let at = (size << 8 | value) % from.wire.len();
                from.wire[at] ^= 1 << (value & 7);
            }
            4 => from.wire.extend(std::iter::repeat_n(value.to_le_bytes()[0], size)),
            5 => from.say(size + 1),
            6 if value == 0 => {
                from.wrapping.finish(&mut from.wire);
                from.is_over = true;
            }
            _ => from.wire.truncate(size),
        }
        for part in bytes.chunks_mut(value + 1) {
            to.hear(part);
        }
    }
    assert!(server.heard <= client.said && client.heard <= server.said);
});
