//! WebSocket: any bytes give the same lines in any pieces, and the output of a server is read back unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use taketurns::engine::{Input, Wrapping};
use taketurns::web_socket::WebSocket;

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The outcome of `chunks`: the bytes for the protocol, those for the peer, and whether more may come.
type Told = (Vec<u8>, Vec<u8>, Result<Input, String>);

fn unwrapped<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Told {
    let mut socket = WebSocket::new(Arc::default());
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let mut piece = Vec::new();
        let outcome = socket.unwrap(&mut chunk.to_vec(), &mut piece, &mut wire);
        plain.append(&mut piece);
        match outcome {
            Ok(Input::Open) => {}
            outcome => return (plain, wire, outcome.map_err(|error| error.to_string())),
        }
    }
    assert!(plain.is_empty() || socket.transport().is_some(), "nothing counts before the handshake");
    (plain, wire, Ok(Input::Open))
}

/// Turns the frames of a server into those of a client, with a mask that changes nothing.
fn masked(mut frames: &[u8]) -> Vec<u8> {
    let mut masked = Vec::new();
    while let [first, second, rest @ ..] = frames {
        let (extended, length) = match second {
            126 => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 => panic!("a line is shorter"),
            length => (0, usize::from(*length)),
        };
        masked.extend([first, &(second | 0x80)]);
        masked.extend(&rest[..extended]);
        masked.extend([0; 4]);
        masked.extend(&rest[extended..extended + length]);
        frames = &rest[extended + length..];
    }
    masked
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let stream = if size & 1 == 0 { bytes.to_vec() } else { [HEAD, bytes].concat() };
    let whole = unwrapped(std::iter::once(&stream[..]));
    let in_pieces = unwrapped(stream.chunks(usize::from(size / 2) % 40 + 1));
    if whole.2.is_ok() {
        assert_eq!(in_pieces, whole);
    } else {
        // If one message has two mistakes, either may be reported, and its beginning may have come before it.
        assert!(in_pieces.2.is_err() && in_pieces.0.starts_with(&whole.0), "{in_pieces:?}, not {whole:?}");
    }

    let mut server = WebSocket::new(Arc::default());
    let mut hello = Vec::new();
    server.unwrap(&mut HEAD.to_vec(), &mut Vec::new(), &mut hello).expect("a good request");
    let mut wire = Vec::new();
    let used = server.wrap(bytes, &mut wire);
    assert!(used <= bytes.len());
    let again = unwrapped([HEAD, &masked(&wire)].into_iter());
    if again.2.is_ok() {
        // A server writes LF after each payload, so a byte at that place is not part of it.
        let is_same = |(read, written): (&u8, &u8)| read == written || *read == b'\n';
        assert!(again.0.len() == used && again.0.iter().zip(bytes).all(is_same), "{again:?}");
    } else {
        assert!(std::str::from_utf8(&bytes[..used]).is_err(), "only bad UTF-8 is not read back: {again:?}");
    }
});
