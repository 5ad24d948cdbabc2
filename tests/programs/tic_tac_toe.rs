//! `tic_tac_toe`: a host that judges. [P4]

use support::bare::PATIENCE;

use crate::process::Reading;
use crate::process::programs::example;
use crate::programs::{LinePeer, Server, field};

fn tables() -> Server {
    Server::spawn(example("tic_tac_toe").args(["--listen", "127.0.0.1:0"]), Reading::All)
}

/// Seats two players at one table. The first one holds the turn.
fn players(server: &Server, table: &str) -> [LinePeer; 2] {
    let mut ann = LinePeer::connect(&server.address, &format!("JOIN ann ring={table}"));
    ann.hears("WAIT ");
    let bob = LinePeer::connect(&server.address, &format!("JOIN bob ring={table}"));
    ann.hears("GO turn=1 ");
    [ann, bob]
}

/// Reads the next board that the server sends.
fn board(peer: &mut LinePeer) -> String {
    peer.hears("SAY bytes=");
    let lines: Vec<String> = (0..5).map(|_| peer.hears_next()).collect();
    lines.concat().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Plays moves in turn. Both players get the board, before the next player's `GO`.
fn play(players: &mut [LinePeer; 2], cells: &[u8], first: usize) {
    for (nth, cell) in cells.iter().enumerate() {
        let (mover, other) = ((first + nth) % 2, (first + nth + 1) % 2);
        players[mover].says(&format!("ANSWER :{cell}"));
        players[mover].hears("OK turn=");
        players[other].hears("GO turn=");
    }
}

#[test]
fn an_illegal_move_is_refused_with_words_and_the_turn_stays() {
    let server = tables();
    let [mut ann, mut bob] = players(&server, "oak");
    ann.says("ANSWER :5");
    ann.hears("OK turn=1");
    bob.hears("GO turn=2 ");
    for (wrong, words) in [
        ("5", "this cell is taken"),
        ("0", "a move is the number of a cell, 1 to 9"),
        ("10", "a move is the number of a cell, 1 to 9"),
        ("-9223372036854775808", "a move is the number of a cell, 1 to 9"),
        ("middle", "a move is the number of a cell, 1 to 9"),
    ] {
        bob.says(&format!("ANSWER turn=2 :{wrong}"));
        let refused = bob.hears("NO ");
        assert!(refused.starts_with("NO refused turn=2 within="), "{refused}");
        assert!(refused.ends_with(&format!(" :{words}")), "{refused}");
    }
    ann.says("ANSWER :1");
    ann.hears("NO not-your-turn");
    bob.says("ANSWER turn=2 :1");
    bob.hears("OK turn=2");
    assert!(ann.hears("GO ").starts_with("GO turn=3 "));
}

/// "What the host says to the next holder before it rules stands before its GO." [M7]
#[test]
fn players_and_spectators_see_each_move_on_the_board() {
    let server = tables();
    let mut watcher = LinePeer::connect(&server.address, "WATCH ring=oak");
    watcher.hears("WATCHING oak ");
    assert_eq!(board(&mut watcher), "123456789");
    let [mut ann, mut bob] = players(&server, "oak");
    assert_eq!(board(&mut bob), "123456789");
    for (mover, cell, expected) in [(0, 5, "1234X6789"), (1, 1, "O234X6789"), (0, 9, "O234X678X")] {
        let (mover, other) = if mover == 0 { (&mut ann, &mut bob) } else { (&mut bob, &mut ann) };
        mover.says(&format!("ANSWER :{cell}"));
        assert_eq!(board(mover), expected);
        mover.hears("OK turn=");
        assert_eq!(board(other), expected);
        other.hears("GO turn=");
        assert_eq!(board(&mut watcher), expected);
        watcher.hears("TURN ");
    }
    assert!(!watcher.has_heard("GO ") && !watcher.has_heard("OK "));
    watcher.says("ANSWER :2");
    watcher.hears("NO not-joined");
}

#[test]
fn the_loser_begins_the_next_game() {
    let mut server = tables();
    let mut players = players(&server, "oak");
    // Ann has 1, 2 and 3.
    play(&mut players, &[1, 4, 2, 5, 3], 0);
    server.wait_for_output("oak: ann wins with X; the loser begins");
    // Bob begins on an empty board, and wins in turn.
    play(&mut players, &[1, 4, 2, 5, 3], 1);
    server.wait_for_output("oak: bob wins with O; the loser begins");
    // A draw.
    play(&mut players, &[1, 2, 3, 5, 4, 6, 8, 7, 9], 0);
    server.wait_for_output("oak: a draw; another game");
}

#[test]
fn each_ring_is_a_table_of_its_own_for_two() {
    let mut server = tables();
    let mut oak = players(&server, "oak");
    let mut elm = players(&server, "elm");
    play(&mut oak, &[5], 0);
    play(&mut elm, &[5, 1], 0);
    server.wait_for_output("elm: bob puts O at 1");
    LinePeer::connect(&server.address, "JOIN cid ring=oak").hears("BYE ring-full");
}

/// A lost connection does not cost the seat or the board.
#[test]
fn a_player_that_drops_comes_back_to_its_board() {
    let server = tables();
    let mut ann = LinePeer::connect(&server.address, "JOIN ann ring=oak");
    let secret = field(&ann.hears("WELCOME "), "resume").to_owned();
    let mut bob = LinePeer::connect(&server.address, "JOIN bob ring=oak");
    ann.hears("GO turn=1 ");
    ann.says("ANSWER :5");
    bob.hears("GO turn=2 ");
    drop(ann);
    bob.hears("AWAY ann");
    bob.says("ANSWER :1");
    bob.hears("OK turn=2");
    LinePeer::connect(&server.address, "JOIN ann ring=oak").hears("BYE name-taken");
    let mut ann = LinePeer::connect(&server.address, &format!("JOIN ann ring=oak resume={secret}"));
    let welcome = ann.hears("WELCOME ann seat=1 ");
    assert_eq!(field(&welcome, "last"), "1");
    assert_eq!(board(&mut ann), "O234X6789");
    ann.hears("GO turn=3 ");
    ann.says("ANSWER :1");
    ann.hears("NO refused turn=3 ");
    ann.says("ANSWER :9");
    ann.hears("OK turn=3");
}

#[test]
fn when_a_player_leaves_the_board_is_cleared() {
    let mut server = tables();
    let mut both = players(&server, "oak");
    play(&mut both, &[5], 0);
    let [mut ann, mut bob] = both;
    ann.says("LEAVE");
    ann.hears("BYE left");
    server.wait_for_output("oak: ann has left; the board is cleared");
    let mut cid = LinePeer::connect(&server.address, "JOIN cid ring=oak");
    assert_eq!(board(&mut cid), "123456789");
    // Bob still has his turn.
    bob.says("ANSWER turn=2 :5");
    bob.hears("OK turn=2");
    server.wait_for_output("oak: bob puts X at 5");
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// A table may be forgotten and taken by other players before the program learns that the previous ones have
/// left.
#[test]
fn a_table_that_is_taken_as_it_is_left_has_an_empty_board() {
    let server = tables();
    let mut cid = LinePeer::connect(&server.address, "PING");
    cid.hears("PONG");
    let mut both = players(&server, "oak");
    play(&mut both, &[5], 0);
    server.process.signal("STOP");
    cid.says("JOIN cid ring=oak");
    both.iter_mut().for_each(|player| player.says("LEAVE"));
    server.process.signal("CONT");
    assert_eq!(board(&mut cid), "123456789");
    let mut dan = LinePeer::connect(&server.address, "JOIN dan ring=oak");
    assert_eq!(board(&mut dan), "123456789");
}
