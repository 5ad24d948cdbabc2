//! Programs that end on their own: `turn_demo` and `embed`.

use support::bare::PATIENCE;

use crate::process::programs::example;
use crate::process::{Process, Stream};
use crate::programs::assert_alternates;

#[test]
fn turn_demo_alternates_and_ends_by_itself() {
    let mut demo = Process::spawn(&mut example("turn_demo"));
    demo.expect_exit(0, PATIENCE);
    assert_alternates(&demo.sent());
}

#[test]
fn turn_demo_ends_after_its_count() {
    let mut demo = Process::spawn(example("turn_demo").args(["--count", "4"]));
    demo.expect_exit(0, PATIENCE);
    let sent = demo.sent();
    assert_alternates(&sent);
    assert_eq!(sent.len(), 4, "{sent:?}");
}

#[test]
fn embed_runs_and_ends_by_itself() {
    let mut embed = Process::spawn(&mut example("embed"));
    embed.expect_exit(0, PATIENCE);
    assert!(!embed.lines(Stream::Out).is_empty(), "it shows nothing");
}
