//! Serves tic-tac-toe: each ring is a table for two players and any number of spectators.
//!
//! ```text
//! cargo run --release --example tic_tac_toe
//! nc 127.0.0.1 5001      JOIN ann ring=oak      ANSWER :5
//! nc 127.0.0.1 5001      WATCH ring=oak
//! ```
//!
//! With `--web` it is played in browsers, in two tabs or on two phones, as well as on the command line:
//!
//! ```text
//! cargo run --release --features status,web-socket --example tic_tac_toe -- --web 127.0.0.1:8082
//! ```
//!
//! A player that misses its turn misses a move. With `--journal` the boards outlive the server: each is
//! stored together with the move that changed it.

mod common;

use std::collections::HashMap;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::options::{self, Extras};
use common::server::Service;
use common::storage;
use common::{output, tls, web};
use log::{LevelFilter, warn};
use taketurns::net::{Driver, Event, now};
use taketurns::protocol::Links;
use taketurns::protocol::turns::{
    Admission, Admit, Framing, Name, Proposal, TurnEvent, TurnServer, TurnServerConfig, Verdict,
};
use taketurns::time::Now;
use taketurns::turn::{Demand, Demands, Judging, RingId, SeatId, SeatState};

/// Serve tic-tac-toe: each ring is a table for two players, and spectators may watch.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "To play: nc 127.0.0.1 5001, JOIN ann ring=oak, and ANSWER :5 for the cell in the middle.")]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times. Default: 127.0.0.1:5001
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// a player that stays silent for this long misses its move. Default: 60s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(60)", from_str_fn(options::turn_time))]
    turn_deadline: Duration,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

/// The page with its client and the game, in one file.
const PAGE: &str = concat!(
    include_str!("pages/tic_tac_toe.html"),
    include_str!("../clients/taketurns.js"),
    include_str!("pages/tic_tac_toe.end.html")
);

fn main() -> ExitCode {
    let (options, extras) =
        options::with_extras(&[storage::OF_SERVERS, storage::OF_CLUSTERS, tls::OF_SERVERS, web::OF_PAGES]);
    common::exit_code(serve(&options, &extras))
}

fn serve(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.admission = Admission::Host;
    config.rules.seats_max = Some(2);
    config.rules.demands = Demands::Only(Demand::Always);
    config.rules.turn_deadline = options.turn_deadline;
    config.rules.judging = Judging::Host;
    // A player that reloads the page keeps the turn.
    config.rules.turn_grace = Duration::from_secs(10).min(options.turn_deadline);
    let service = Service::listen_turns(config, &options.listen, extras)?;
    let Some(mut service) = service else { return Ok(()) };
    let page = web::serve_page(&mut service.event_loop, extras, PAGE)?;
    service.announce();
    page.iter().for_each(|addr| output::line(format_args!("Play on http://{addr}/")));
    let mut tables = Tables { boards: restored(service.event_loop.driver().protocol()), lines: vec![] };
    service.run(|news, driver, event| {
        if let Event::Protocol(event) = event {
            tables.handle(now(), driver, event);
            tables.lines.drain(..).for_each(|line| news.line(format_args!("{line}")));
        }
    })
}

// The host: admits players, and judges their moves.

struct Tables {
    boards: HashMap<RingId, Board>,
    /// Lines to print.
    lines: Vec<String>,
}

impl Tables {
    fn handle(&mut self, now: Now, driver: &mut Driver<TurnServer>, event: TurnEvent) {
        driver.act(now, |server, links| match event {
            TurnEvent::Joining(joining) => {
                // Written right after WELCOME or WATCHING, before any GO.
                let ring = server.ring_named(&joining.ring);
                let board = ring.map_or_else(|| EMPTY.to_string(), |ring| self.shown(server, ring));
                server.say_to(joining.connection, board.as_bytes(), links).expect("a board is short");
                let mut admit = Admit::default();
                admit.hears = Some(true);
                server.admit(now, joining.connection, &admit, links);
            }
            TurnEvent::Proposed(proposal) => self.judge(now, server, proposal, links),
            TurnEvent::Retired { seat, name } => self.leave(server, seat, &name, links),
            _ => {}
        });
    }

    /// Rules on a move.
    fn judge(&mut self, now: Now, server: &mut TurnServer, proposal: Proposal, links: &mut Links) {
        let (seat, ring) = (proposal.seat(), proposal.seat().ring());
        let Some(&table) = server.ring_name(ring) else { return };
        let players = players(server, ring);
        // Marks of a player that has left are gone, even if that event is still to come.
        self.boards.retain(|&at, _| at != ring || players.len() > 1);
        let mark = if players.first() == Some(&seat) { 'X' } else { 'O' };
        let board = self.boards.entry(ring).or_insert(EMPTY);
        let state;
        let verdict = match board.put(mark, proposal.answer().number()) {
            Err(words) => Verdict::Refuse { words },
            Ok(cell) => {
                let (has_won, is_full) = (board.has_won(mark), board.is_full());
                let name = server.name_of(seat).to_string();
                self.lines.push(format!("{table}: {name} puts {mark} at {cell}"));
                // Words queued before the verdict reach the next player before its GO.
                let shown = self.shown(server, ring);
                server.say_to_ring(&table, shown.as_bytes(), links).expect("a board is short");
                let mut next = None;
                if has_won {
                    self.say(server, &table, &format!("{name} wins with {mark}; the loser begins"), links);
                    // A loser that is away cannot be named, so the queue decides.
                    let mut seats = server.scheduler().seats_of(ring);
                    next = seats.find(|view| view.state == SeatState::Waiting).map(|view| view.seat);
                } else if is_full {
                    self.say(server, &table, "a draw; another game", links);
                }
                if has_won || is_full {
                    self.boards.insert(ring, EMPTY);
                }
                state = self.boards[&ring].stored_for(&players);
                let words = has_won.then_some("you win");
                Verdict::Accept { next, words, state: Some(state.as_bytes()) }
            }
        };
        if let Err(unruled) = server.rule(now, proposal, verdict, links) {
            warn!("a verdict changed nothing: {}", unruled.error);
        }
    }

    /// Clears the board of a player that has left for good.
    fn leave(&mut self, server: &mut TurnServer, seat: SeatId, name: &str, links: &mut Links) {
        self.boards.remove(&seat.ring());
        // A table without players is forgotten.
        if let Some(table) = server.ring_name(seat.ring()).copied() {
            let words = format!("{} has left; the board is cleared", common::printable(name));
            self.say(server, &table, &words, links);
        }
    }

    fn say(&mut self, server: &mut TurnServer, table: &Name, words: &str, links: &mut Links) {
        server.say_to_ring(table, words.as_bytes(), links).expect("a line is short");
        self.lines.push(format!("{table}: {words}"));
    }

    /// Returns the board of `ring` as text, with each player's mark.
    fn shown(&self, server: &TurnServer, ring: RingId) -> String {
        let players = players(server, ring);
        let name = |(mark, &seat): (&str, &SeatId)| format!("{mark} is {}", server.name_of(seat));
        let marks: Vec<_> = ["X", "O"].into_iter().zip(&players).map(name).collect();
        format!("{}\n{}", self.boards.get(&ring).unwrap_or(&EMPTY), marks.join(", "))
    }
}

/// Returns the players at a table. The one that sat down first is X.
fn players(server: &TurnServer, ring: RingId) -> Vec<SeatId> {
    let mut players: Vec<_> = server.scheduler().seats_of(ring).map(|view| view.seat).collect();
    players.sort_by_key(SeatId::place);
    players
}

/// Returns the boards of the tables that a server has restored from its journal.
fn restored(server: &TurnServer) -> HashMap<RingId, Board> {
    let tables = server.scheduler().rings().filter_map(|ring| {
        let stored = server.host_state(server.ring_name(ring)?)?;
        let board = Board(*stored.first_chunk()?);
        // A board with marks of a player that has left is cleared. One who came later has no marks yet.
        let players = players(server, ring);
        let are_they = |count| board.stored_for(&players[..count]).as_bytes() == stored;
        (1..=players.len()).any(are_they).then_some((ring, board))
    });
    tables.collect()
}

// The game.

/// The board, row by row: marks, and the numbers of free cells.
#[derive(Clone, Copy)]
struct Board([u8; 9]);

const EMPTY: Board = Board(*b"123456789");

const LINES: [[usize; 3]; 8] =
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

impl Board {
    /// Puts a mark into a cell from 1 to 9, and returns the cell.
    fn put(&mut self, mark: char, cell: Option<i64>) -> Result<usize, &'static str> {
        let at = (1..=9).position(|number| cell == Some(number));
        let at = at.ok_or("a move is the number of a cell, 1 to 9")?;
        if !self.0[at].is_ascii_digit() {
            return Err("this cell is taken");
        }
        self.0[at] = mark as u8;
        Ok(at + 1)
    }

    fn has_won(&self, mark: char) -> bool {
        LINES.iter().any(|line| line.iter().all(|&at| self.0[at] == mark as u8))
    }

    fn is_full(&self) -> bool {
        !self.0.iter().any(u8::is_ascii_digit)
    }

    /// Returns what is stored with a move: the board, and the players to whom its marks belong.
    fn stored_for(&self, players: &[SeatId]) -> String {
        let places: Vec<_> = players.iter().map(SeatId::place).collect();
        format!("{} {places:?}", self.0.escape_ascii())
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &[u8]| format!(" {} | {} | {}", row[0] as char, row[1] as char, row[2] as char);
        let rows: Vec<_> = self.0.chunks(3).map(row).collect();
        f.write_str(&rows.join("\n---+---+---\n"))
    }
}
