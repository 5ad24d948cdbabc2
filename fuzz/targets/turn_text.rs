//! The text of line protocol 1: messages do not depend on how they are split, and survive being read and
//! written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::session::{Content, Name, RawName, Redacted, Reply, Request, looks_foreign};
use taketurns::wire::message::{Limits, split_line, split_payload};

const LIMITS: Limits = Limits { line_bytes_max: 64, hello_bytes_max: 128, payload_bytes_max: 100 };

/// A line, its payload, and how many bytes both took.
type Message<'i> = (&'i str, Option<&'i [u8]>, usize);

/// The first message of `input`; `None` if it is not complete.
fn first(input: &[u8]) -> Option<Result<Message<'_>, String>> {
    let line = match split_line(input, &LIMITS) {
        Ok(line) => line?,
        Err(error) => return Some(Err(error.to_string())),
    };
    let Some(bytes) = line.payload else { return Some(Ok((line.text, None, line.used))) };
    assert!(bytes <= LIMITS.payload_bytes_max);
    match split_payload(&input[line.used..], bytes) {
        Ok(payload) => payload.map(|(payload, used)| Ok((line.text, Some(payload), line.used + used))),
        Err(error) => Some(Err(error.to_string())),
    }
}

/// The ends of all messages of a stream that arrives `step` bytes at a time, and the first error.
fn ends(stream: &[u8], step: usize) -> (Vec<usize>, Option<String>) {
    let (mut begin, mut ends) = (0, Vec::new());
    for come in (step..stream.len()).step_by(step).chain([stream.len()]) {
        while let Some(message) = first(&stream[begin..come]) {
            match message {
                Ok((.., used)) => begin += used,
                Err(error) => return (ends, Some(error)),
            }
            ends.push(begin);
        }
        let held = come - begin;
        assert!(held <= LIMITS.hello_bytes_max + LIMITS.payload_bytes_max + 3, "{held} bytes are kept");
    }
    (ends, None)
}

fn request(line: &str, payload: Option<&[u8]>) {
    let Ok(request) = Request::parse(line) else { return };
    assert_eq!(
        payload.is_some(),
        matches!(request, Request::Answer { content: Content::Payload(_), .. }),
        "{line}"
    );
    let mut written = Vec::new();
    request.encode(&mut written);
    let written = std::str::from_utf8(&written).expect("UTF-8").strip_suffix('\n').expect("a line");
    assert_eq!(Request::parse(written), Ok(request));
}

fn reply(line: &str, payload: Option<&[u8]>) {
    let Some(reply) = Reply::parse(line, payload) else { return };
    let mut written = Vec::new();
    reply.encode(&mut written);
    let limits = Limits::for_answers(100);
    let line = split_line(&written, &limits).expect("valid").expect("whole");
    let payload =
        line.payload.map(|size| split_payload(&written[line.used..], size).expect("valid").expect("whole").0);
    let mut again = Vec::new();
    Reply::parse(line.text, payload).expect("what is written can be read").encode(&mut again);
    assert_eq!(again, written);
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, bytes)) = input.split_first() else { return };
    let whole = ends(bytes, bytes.len().max(1));
    assert_eq!(ends(bytes, usize::from(step % 40) + 1), whole);
    let mut rest = bytes;
    while let Some(Ok((line, payload, used))) = first(rest) {
        request(line, payload);
        reply(line, payload);
        rest = &rest[used..];
    }
    if let Ok(name) = Name::from_bytes(bytes) {
        assert!(RawName::from_bytes(bytes).is_ok() && name.as_bytes() == bytes && !looks_foreign(bytes));
    }
    assert!(Redacted(bytes).to_string().is_ascii());
});
