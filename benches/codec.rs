//! Bytes to messages and back.
//!
//! Measured: reading one message of each kind that a turn costs, and a `JOIN` for comparison; writing one reply into a send
//! buffer; finding one raw message, and cutting a stream of 64 lines (the time is for all of them).
//!
//! Not measured: what the server does with a message, and the socket that it comes from.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use taketurns::protocol::turns::{Answer, Code, Reply, Request};
use taketurns::turn::TurnNumber;
use taketurns::wire::{SendBuffer, split_line, split_raw};

const MESSAGE_BYTES_MAX: usize = 1024;
const ANSWER: &[u8] = b"Client1:123456";
const LINE: &str = "Client1:123456 turn=123456";
/// Lines in one iteration of the bench of lines: about what one read brings from a client in a hurry.
const LINES: usize = 64;

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    group.bench_function("raw answer", |bencher| bencher.iter(|| Answer::from_bytes(black_box(ANSWER))));
    for (what, line) in [
        ("line answer", LINE),
        ("line join", "JOIN Client1 ring=main resume=000102030405060708090a0b0c0d0e0f weight=3"),
        ("line ping", "PING"),
    ] {
        group.bench_function(what, |bencher| bencher.iter(|| Request::parse(black_box(line))));
    }
    group.finish();
}

fn format(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("format");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    let turn = TurnNumber::new(123_456).expect("not 0");
    for (what, reply) in [
        ("go", Reply::Go { turn, within: 30_000 }),
        ("ok", Reply::Ok { turn }),
        ("no", Reply::No { turn: turn.get(), code: Code::StaleTurn }),
    ] {
        let mut buffer = SendBuffer::default();
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                writeln!(buffer, "{}", black_box(reply)).expect("a send buffer takes it");
                buffer.consume(buffer.unsent().len());
            });
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));

    for (what, message) in [("raw whole", ANSWER), ("raw beginning", b"Clie")] {
        group.bench_function(what, |bencher| {
            bencher.iter(|| split_raw(black_box(message), MESSAGE_BYTES_MAX, false, Answer::is_complete));
        });
    }

    let stream = format!("{LINE}\n").repeat(LINES).into_bytes();
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("lines", |bencher| {
        bencher.iter(|| {
            let mut input = black_box(&stream[..]);
            while let Some(line) = split_line(input, MESSAGE_BYTES_MAX) {
                black_box(line.text.expect("a valid line"));
                input = &input[line.used..];
            }
        });
    });
    group.finish();
}

criterion_group!(benches, parse, format, decode);
criterion_main!(benches);
