//! The decoders of `wire`: a stream gives the same lines however it is cut, and a message is never longer than allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::turns::Answer;
use taketurns::wire::{LineDecoder, LineError, RawDecoder, RawMessage};

const BYTES_MAX: usize = 32;

/// The lines of `chunks`, up to the first error.
fn lines<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Result<String, LineError>> {
    let (mut decoder, mut lines) = (LineDecoder::new(BYTES_MAX), Vec::new());
    for mut chunk in chunks {
        while let Some(line) = decoder.next_line(&mut chunk) {
            lines.push(line.map(str::to_owned));
            if lines.last().is_some_and(Result::is_err) {
                return lines;
            }
        }
        assert!(chunk.is_empty(), "all is taken");
    }
    lines
}

fn raw<'a>(chunks: impl Iterator<Item = &'a [u8]>) {
    let mut decoder = RawDecoder::new(BYTES_MAX);
    for chunk in chunks {
        if let Some(message) = decoder.push(chunk, Answer::is_complete) {
            assert!(Answer::is_complete(message.bytes()) && message.bytes().len() <= BYTES_MAX);
            assert!(!decoder.is_partial());
        }
    }
    let is_partial = decoder.is_partial();
    let rest = decoder.take();
    assert_eq!(rest.is_some(), is_partial);
    assert!(rest.is_none_or(|rest| rest.bytes().len() <= BYTES_MAX && !matches!(rest, RawMessage::Whole(_))));
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let size = usize::from(size % 40) + 1;
    let whole = lines(std::iter::once(bytes));
    assert!(whole.iter().flatten().all(|line| line.len() <= BYTES_MAX && !line.contains('\n')));
    assert_eq!(lines(bytes.chunks(size)), whole, "in pieces of {size}");
    raw(bytes.chunks(size));
});
