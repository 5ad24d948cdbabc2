//! `moderator`: a host for people who talk in turn. [P5]

use std::fs;

use support::bare::PATIENCE;

use crate::process::folder::Folder;
use crate::process::input::{Typist, typed};
use crate::process::programs::example;
use crate::process::{Line, Process, Stream};
use crate::programs::{LinePeer, field, turn_client};

struct Floor {
    process: Process,
    typist: Typist,
    address: String,
}

impl Floor {
    fn open(options: &[&str]) -> Floor {
        let mut command = example("moderator");
        let (mut process, typist) = typed(command.args(["--listen", "127.0.0.1:0"]).args(options));
        let address = process.wait_until("address", PATIENCE, |seen| {
            seen.iter().find_map(|line| Some(line.text.rsplit_once("Server listening on ")?.1.to_owned()))
        });
        Floor { process, typist, address }
    }

    fn types(&mut self, command: &str) {
        self.typist.types(&format!("{command}\n"));
    }

    /// Waits for a line on its screen, with or without the prompt before it.
    fn shows(&mut self, text: &str) {
        let is_shown = |line: &Line| line.stream == Stream::Out && line.text.trim_start_matches("> ") == text;
        self.process.wait_for_line(text, is_shown, PATIENCE);
    }

    fn complains(&mut self, text: &str) {
        let is_said = |line: &Line| line.stream == Stream::Err && line.text.contains(text);
        self.process.wait_for_line(text, is_said, PATIENCE);
    }
}

/// Connects three clients that talk in this order. The first one holds the turn.
fn three(floor: &Floor) -> [LinePeer; 3] {
    let peers = ["ann", "bob", "cid"].map(|name| {
        let mut peer = LinePeer::connect(&floor.address, &format!("JOIN {name}"));
        peer.hears("SEATS main ");
        peer.hears("WAIT ");
        peer
    });
    let [mut ann, bob, cid] = peers;
    ann.hears("GO turn=1 ");
    [ann, bob, cid]
}

#[test]
fn all_clients_hear_every_answer_even_of_several_lines() {
    let mut floor = Floor::open(&["--clients", "3"]);
    let mut watcher = LinePeer::connect(&floor.address, "WATCH");
    watcher.hears("WATCHING main ");
    let [mut ann, mut bob, mut cid] = three(&floor);
    ann.says("ANSWER :I would like to begin.");
    for peer in [&mut ann, &mut bob, &mut cid, &mut watcher] {
        peer.hears("TURN ann turn=1 :I would like to begin.");
    }
    bob.says("ANSWER turn=2 bytes=21\nFirst this.\nThen that");
    for peer in [&mut ann, &mut bob, &mut cid, &mut watcher] {
        peer.hears("TURN bob turn=2 bytes=21");
        assert_eq!((peer.hears_next(), peer.hears_next()), ("First this.".into(), "Then that".into()));
    }
    for line in ["* ann has turn 1", "ann: I would like to begin.", "bob: First this.", "bob: Then that"] {
        floor.shows(line);
    }
    cid.says("ANSWER turn=3 :bye");
    cid.says("LEAVE");
    cid.hears("BYE left");
    floor.shows("cid: bye");
    floor.shows("* cid has left");
}

#[test]
fn the_moderator_skips_names_the_next_speaker_and_speaks() {
    let mut floor = Floor::open(&["--clients", "3"]);
    let [mut ann, mut bob, mut cid] = three(&floor);
    floor.types("next cid");
    floor.types("skip");
    ann.hears("LAPSED turn=1 how=skipped");
    cid.hears("GO turn=2 ");
    bob.hears("SKIP ann turn=1 how=skipped");
    floor.types("say be brief, please");
    for peer in [&mut ann, &mut bob, &mut cid] {
        peer.hears("SAY :be brief, please");
    }
    cid.says("ANSWER :no");
    bob.hears("GO turn=3 ");
    floor.shows("* turn 1 is over: the host skipped it");
}

#[test]
fn the_moderator_gives_time_and_takes_it_away() {
    let mut floor = Floor::open(&["--clients", "3", "--turn-deadline", "100s"]);
    let [mut ann, mut bob, _cid] = three(&floor);
    floor.types("more 200s");
    let within: u64 = field(&ann.hears("GO turn=1 "), "within").parse().expect("milliseconds");
    assert!((200_000..=300_000).contains(&within), "{within}");
    floor.types("pause");
    ann.hears("PAUSED main");
    ann.says("ANSWER turn=1 :I may still answer");
    ann.hears("OK turn=1");
    floor.types("resume");
    bob.hears("RESUMED main");
    bob.hears("GO turn=2 ");
}

#[test]
fn a_kicked_client_is_told_and_cannot_come_back() {
    let mut floor = Floor::open(&["--clients", "3"]);
    let [_ann, mut bob, _cid] = three(&floor);
    floor.types("kick bob");
    bob.hears("BYE removed");
    floor.shows("* bob has left");
    LinePeer::connect(&floor.address, "JOIN bob").hears("BYE removed");
}

/// The tokens are `ann-token` and `bob-token`. A file that has changed is read again when the moderator says
/// so: at a terminal SIGHUP is its end.
#[test]
fn only_those_take_part_whom_a_file_of_rules_allows() {
    let [ann_rule, bob_rule] = [
        "sha256:dfa603dfa2ef13eb23a30434d7feef5de20829cb6c5181623c8028a74eaf4971 name=ann ring=main\n",
        "sha256:97dd3707015dcf069cf73022ed7173b1165db6eff24b441cb57fd069a8c4e525 name=bob ring=main\n",
    ];
    let folder = Folder::new();
    let rules = folder.path("rules");
    fs::write(&rules, format!("{ann_rule}{bob_rule}")).expect("a folder of this test's");
    let mut floor = Floor::open(&["--access", rules.to_str().expect("UTF-8")]);
    LinePeer::connect(&floor.address, "JOIN ann").hears("BYE forbidden ");
    let mut ann = LinePeer::connect(&floor.address, "JOIN ann token=ann-token");
    ann.hears("WELCOME ann ");
    let mut bob = LinePeer::connect(&floor.address, "JOIN bob token=bob-token");
    ann.hears("GO turn=1 ");
    fs::write(&rules, "ann-token name=ann ring=main\n").expect("a folder of this test's");
    floor.types("reload");
    floor.complains("line 1: a rule begins with sha256: or cert:; the previous rules stay in force");
    ann.says("ANSWER :I am still here");
    bob.hears("GO turn=2 ");
    fs::write(&rules, bob_rule).expect("a folder of this test's");
    floor.types("reload");
    floor.shows("A file is read again.");
    ann.hears("BYE forbidden ");
    // A file that keeps its reader waiting.
    folder.pipe("rules");
    for _ in 0..3 {
        floor.types("reload");
    }
    floor.complains("the files are still being read");
    floor.types("say I am still here, too");
    bob.hears("SAY :I am still here, too");
    let mut floor = Floor::open(&[]);
    floor.types("reload");
    floor.complains("there are no files to read: see --access and --tls-cert");
}

/// [P2] "`BYE superseded`, `forbidden` and `removed` end a client: exit code 1 and why."
#[test]
fn a_client_of_ours_ends_when_it_is_removed_or_forbidden() {
    let mut floor = Floor::open(&["--clients", "1"]);
    let mut client = turn_client(&floor.address, &["--clients", "1", "--name", "ann", "--pace", "10ms"]);
    client.wait_for_sent(2, PATIENCE);
    floor.types("kick ann");
    client.expect_exit(1, PATIENCE);
    let said = client.lines(Stream::Err).join("\n");
    assert!(said.ends_with("ann: removed: the server's host took the seat away"), "{said}");

    let mut client = turn_client(&floor.address, &["--clients", "1", "--name", "bob", "--ring", "oak"]);
    client.expect_exit(1, PATIENCE);
    let said = client.lines(Stream::Err).join("\n");
    assert!(said.contains("the only ring here is main") && said.contains("bob: forbidden: "), "{said}");
}

#[test]
fn a_senseless_command_is_reported_and_changes_nothing() {
    let mut floor = Floor::open(&["--clients", "3"]);
    for (typed, said) in [
        ("skip", "skip: there is no such ring"),
        ("kick ann", "kick ann: there is no such seat"),
        ("more 30", "a time needs a unit, ms, s or m, as in 30ms"),
        ("sing", "unknown command: sing"),
        ("say", "wrong usage: say"),
        ("help", "next NAME  - give this client the next turn"),
    ] {
        floor.types(typed);
        floor.complains(said);
    }
    let [mut ann, ..] = three(&floor);
    ann.says("ANSWER :still here");
    ann.hears("OK turn=1");
    floor.process.signal("TERM");
    ann.hears("BYE shutting-down");
    floor.process.expect_exit(0, PATIENCE);
}

#[test]
fn a_moderator_who_quits_tells_the_clients() {
    let mut floor = Floor::open(&["--clients", "3"]);
    let peers = three(&floor);
    floor.types("quit");
    for mut peer in peers {
        peer.hears("BYE shutting-down");
    }
    floor.process.expect_exit(0, PATIENCE);
}
