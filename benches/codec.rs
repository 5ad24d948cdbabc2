//! From bytes to messages and back.
//!
//! Measured: parsing one message of each kind that a turn needs, and a `JOIN` for comparison; writing one
//! reply into a buffer; splitting a stream of 64 lines (the time is for all of them).
//!
//! Not measured: the server's handling of a message, and the socket that it comes from.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use taketurns::protocol::turns::{Code, Reply, Request};
use taketurns::turn::TurnNumber;
use taketurns::wire::message::{Limits, split_line};

const LINE: &str = "ANSWER turn=123456 epoch=0123456789abcdef :e2e4";
/// Lines per iteration of the splitter's benches: about as many as one read returns from a client in a hurry.
const LINES: usize = 64;

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    for (what, line) in [
        ("answer", LINE),
        ("join", "JOIN Client1 ring=main resume=000102030405060708090a0b0c0d0e0f weight=3"),
        ("ping", "PING"),
    ] {
        group.bench_function(what, |bencher| bencher.iter(|| Request::parse(black_box(line)).is_ok()));
    }
    group.finish();
}

fn format(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("format");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    let turn = TurnNumber::new(123_456).expect("not 0");
    for (what, reply) in [
        ("go", Reply::Go { turn, within: 30_000, last: None }),
        ("ok", Reply::Ok { turn: Some(turn), words: None }),
        ("no", Reply::No { code: Code::StaleTurn, turn: Some(turn.get()), within: None, words: None }),
    ] {
        let mut buffer = Vec::new();
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                black_box(&reply).encode(&mut buffer);
                buffer.clear();
            });
        });
    }
    group.finish();
}

fn split(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("split");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    let stream = format!("{LINE}\n").repeat(LINES).into_bytes();
    let limits = Limits::for_answers(16 * 1024);
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("lines", |bencher| {
        bencher.iter(|| {
            let mut input = black_box(&stream[..]);
            while let Ok(Some(line)) = split_line(input, &limits) {
                input = &input[line.used..];
            }
        });
    });
    group.finish();
}

criterion_group!(benches, parse, format, split);
criterion_main!(benches);
