//! The splitting of `wire`: a stream gives the same lines however it is cut, and a message is never longer
//! than allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::wire::{LineError, RawMessage, split_line, split_raw};

const BYTES_MAX: usize = 32;

/// Returns the lines of `chunks`, up to the first error.
fn lines<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Result<String, LineError>> {
    let (mut kept, mut lines) = (Vec::new(), Vec::new());
    for chunk in chunks {
        kept.extend_from_slice(chunk);
        while let Some(line) = split_line(&kept, BYTES_MAX) {
            assert!((1..=kept.len()).contains(&line.used));
            lines.push(line.text.map(str::to_owned));
            if line.text.is_err() {
                return lines;
            }
            kept.drain(..line.used);
        }
        assert!(kept.len() <= BYTES_MAX + 1, "no more than the beginning of a line is kept");
    }
    lines
}

/// Whether it has a `:` with something after it, like an answer of the raw framing.
fn is_complete(message: &[u8]) -> bool {
    message.iter().position(|&byte| byte == b':').is_some_and(|colon| colon + 1 < message.len())
}

fn raw(bytes: &[u8]) {
    for end in 0..=bytes.len() {
        let come = &bytes[..end];
        match split_raw(come, BYTES_MAX, false, is_complete) {
            RawMessage::Whole(message) => assert!(is_complete(message) && message.len() <= BYTES_MAX),
            RawMessage::Nothing => assert!(come.trim_ascii().is_empty()),
            RawMessage::Partial => {}
            RawMessage::TooLong(_) => panic!("more may join it"),
        }
        let over = split_raw(come, BYTES_MAX, true, is_complete);
        assert!(over != RawMessage::Partial && over.bytes().len() <= BYTES_MAX);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let size = usize::from(size % 40) + 1;
    let whole = lines(std::iter::once(bytes));
    assert!(whole.iter().flatten().all(|line| line.len() <= BYTES_MAX && !line.contains('\n')));
    assert_eq!(lines(bytes.chunks(size)), whole, "in pieces of {size}");
    raw(&bytes[..bytes.len().min(256)]);
});
