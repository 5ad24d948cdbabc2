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
//! Players hear their table without asking for `hear=turns`. A player that misses its turn misses a move. A
//! player whose connection is lost resumes with `resume=` and finds its board. With `--journal` the boards
//! outlive the server: each is stored together with the move that changed it.

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::keeping::{self, Keeping};
use common::options::{self, Extras};
use common::output;
use common::server::Service;
use common::tls;
use log::{LevelFilter, warn};
use taketurns::net::{Driver, Event, EventLoop, now};
use taketurns::protocol::Links;
use taketurns::protocol::turns::{
    Admission, Admit, Framing, Name, Proposal, TurnEvent, TurnServer, TurnServerConfig, Verdict,
};
#[cfg(all(feature = "status", feature = "web-socket"))]
use taketurns::status::StatusConfig;
use taketurns::time::Now;
use taketurns::turn::{Demand, Demands, Judging, RingId, SeatId};
#[cfg(all(feature = "status", feature = "web-socket"))]
use taketurns::web_socket::WebSocketConfig;

/// Serve tic-tac-toe: each ring is a table for two players, and spectators may watch.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "To play: nc 127.0.0.1 5001, JOIN ann ring=oak, and ANSWER :5 for the cell in the middle.")]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times. Default: 127.0.0.1:5001
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// a player that stays silent for this long misses its move. Default: 60s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(60)", from_str_fn(options::time))]
    turn_deadline: Duration,

    /// address of a page for playing in a browser, as HOST:PORT; may be given several times. Needs the
    /// features status and web-socket. Default: none
    #[argh(option, arg_name = "addr")]
    web: Vec<String>,

    /// name of the server in browsers' addresses, without a port; may be given several times. Default:
    /// localhost and IP addresses
    #[argh(option, arg_name = "name")]
    web_host: Vec<String>,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

fn main() -> ExitCode {
    let (options, extras) =
        options::with_extras(&[keeping::OF_SERVERS, keeping::OF_CLUSTERS, tls::OF_SERVERS]);
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
    let Some(mut service) = Service::listen_turns(config, &options.listen, extras, &Keeping::read(extras))?
    else {
        return Ok(());
    };
    let page = page(&mut service.event_loop, options)?;
    service.announce();
    for addr in page {
        output::line(format_args!("Play on http://{addr}/"));
    }
    let games = Game::restored(service.event_loop.driver().protocol());
    let mut tables = Tables { games, lines: Vec::new() };
    service.run(|news, driver, event| {
        if let Event::Protocol(event) = event {
            tables.hear(now(), driver, event);
            tables.lines.drain(..).for_each(|line| news.line(format_args!("{line}")));
        }
    })
}

/// Serves the page, if requested. Returns its addresses.
#[cfg(all(feature = "status", feature = "web-socket"))]
fn page(event_loop: &mut EventLoop<TurnServer>, options: &Options) -> Result<Vec<SocketAddr>, String> {
    /// The page with its client and the game, in one file.
    const PAGE: &str = concat!(
        include_str!("pages/tic_tac_toe.html"),
        include_str!("../clients/taketurns.js"),
        include_str!("pages/tic_tac_toe.end.html")
    );
    if options.web.is_empty() {
        return Ok(Vec::new());
    }
    let addrs = common::addresses::all(&options.web, "serve the page on", "--web 127.0.0.1:8082")?;
    let web = WebSocketConfig { hosts: options.web_host.clone(), ..WebSocketConfig::default() };
    event_loop.driver_mut().offer_web_socket(web).map_err(|error| error.to_string())?;
    let config = StatusConfig { hosts: options.web_host.clone(), page: PAGE, ..StatusConfig::default() };
    event_loop.serve_status(&addrs, config).map_err(|error| common::advise_on(&error, "--web"))
}

#[cfg(not(all(feature = "status", feature = "web-socket")))]
fn page(_: &mut EventLoop<TurnServer>, options: &Options) -> Result<Vec<SocketAddr>, String> {
    match (options.web.as_slice(), options.web_host.as_slice()) {
        ([], []) => Ok(Vec::new()),
        _ => Err("this build lacks the features status and web-socket: cargo run --release --features \
                  status,web-socket --example tic_tac_toe -- --web 127.0.0.1:8082"
            .to_owned()),
    }
}

// The host: admits players, and judges their moves.

struct Tables {
    games: HashMap<RingId, Game>,
    /// Lines to print.
    lines: Vec<String>,
}

impl Tables {
    fn hear(&mut self, now: Now, driver: &mut Driver<TurnServer>, event: TurnEvent) {
        driver.act(now, |server, links| match event {
            TurnEvent::Joining(joining) => {
                // Written right after WELCOME or WATCHING, before any GO.
                let game = server.ring_named(&joining.ring).and_then(|ring| self.games.get(&ring));
                let board = game.copied().unwrap_or_default().board(server);
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
        let seat = proposal.seat();
        let Some(&table) = server.ring_name(seat.ring()) else { return };
        let mut game = self.games.get(&seat.ring()).copied().unwrap_or_default();
        let cell = proposal.answer().number();
        let mark = match game.play(seat, cell) {
            Ok(mark) => mark,
            Err(words) => return rule(now, server, proposal, Verdict::Refuse { words }, links),
        };
        // Words queued before the verdict reach the next player before its GO.
        let name = server.name_of(seat).to_string();
        let cell = cell.unwrap_or_default();
        self.lines.push(format!("{table}: {name} puts {mark} at {cell}"));
        server.say_to_ring(&table, game.board(server).as_bytes(), links).expect("a board is short");
        if game.has_won(seat) {
            self.say(server, &table, &format!("{name} wins with {mark}; the loser begins"), links);
            game = Game::default();
            let state = game.to_bytes();
            self.games.insert(seat.ring(), game);
            let verdict =
                Verdict::Accept { next: other(server, seat), words: Some("you win"), state: Some(&state) };
            return rule(now, server, proposal, verdict, links);
        } else if game.is_full() {
            self.say(server, &table, "a draw; another game", links);
            game = Game::default();
        }
        self.games.insert(seat.ring(), game);
        let state = game.to_bytes();
        rule(now, server, proposal, Verdict::Accept { next: None, words: None, state: Some(&state) }, links);
    }

    /// Clears the board of a player that has left for good.
    fn leave(&mut self, server: &mut TurnServer, seat: SeatId, name: &str, links: &mut Links) {
        self.games.remove(&seat.ring());
        // A table without players is forgotten.
        if let Some(table) = server.ring_name(seat.ring()).copied() {
            self.say(
                server,
                &table,
                &format!("{} has left; the board is cleared", common::printable(name)),
                links,
            );
        }
    }

    fn say(&mut self, server: &mut TurnServer, table: &Name, words: &str, links: &mut Links) {
        server.say_to_ring(table, words.as_bytes(), links).expect("a line is short");
        self.lines.push(format!("{table}: {words}"));
    }
}

fn rule(now: Now, server: &mut TurnServer, proposal: Proposal, verdict: Verdict<'_>, links: &mut Links) {
    let Err(unruled) = server.rule(now, proposal, verdict, links) else { return };
    match unruled.proposal {
        // The loser is away and cannot be named, so the queue decides.
        Some(proposal) => match verdict {
            Verdict::Accept { next: Some(_), words, state } => {
                rule(now, server, proposal, Verdict::Accept { next: None, words, state }, links);
            }
            _ => warn!("a verdict changed nothing: {}", unruled.error),
        },
        None => warn!("a verdict changed nothing: {}", unruled.error),
    }
}

/// Returns the other player at the table of `seat`.
fn other(server: &TurnServer, seat: SeatId) -> Option<SeatId> {
    server.scheduler().seats_of(seat.ring()).map(|view| view.seat).find(|&other| other != seat)
}

// The game.

/// The board, row by row. The first player to move is X.
#[derive(Clone, Copy, Default)]
struct Game {
    cells: [Option<SeatId>; 9],
    x: Option<SeatId>,
}

const LINES: [[usize; 3]; 8] =
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

impl Game {
    /// Puts the mark of `seat` into a cell from 1 to 9.
    fn play(&mut self, seat: SeatId, cell: Option<i64>) -> Result<char, &'static str> {
        let at = cell.and_then(|cell| usize::try_from(cell).ok()?.checked_sub(1));
        match at.and_then(|at| self.cells.get_mut(at)) {
            None => Err("a move is the number of a cell, 1 to 9"),
            Some(Some(_)) => Err("this cell is taken"),
            Some(free) => {
                *free = Some(seat);
                self.x.get_or_insert(seat);
                Ok(self.mark(seat))
            }
        }
    }

    fn mark(&self, seat: SeatId) -> char {
        if self.x == Some(seat) { 'X' } else { 'O' }
    }

    fn has_won(&self, seat: SeatId) -> bool {
        LINES.iter().any(|line| line.iter().all(|&at| self.cells[at] == Some(seat)))
    }

    fn is_full(&self) -> bool {
        self.cells.iter().all(Option::is_some)
    }

    /// Returns the board as it is stored with a move: for each cell, and for X, the number of a seat, or 0.
    fn to_bytes(self) -> Vec<u8> {
        let place = |seat: Option<SeatId>| seat.map_or(0, |seat| seat.place());
        self.cells.into_iter().chain([self.x]).flat_map(|seat| place(seat).to_le_bytes()).collect()
    }

    /// Returns the boards of the tables that a server has restored from its journal.
    fn restored(server: &TurnServer) -> HashMap<RingId, Game> {
        let tables = server.scheduler().rings().filter_map(|ring| {
            let (places, []) = server.host_state(server.ring_name(ring)?)?.as_chunks::<8>() else {
                return None;
            };
            let seat = |place: &[u8; 8]| {
                let place = u64::from_le_bytes(*place);
                server.scheduler().seats_of(ring).map(|view| view.seat).find(|seat| seat.place() == place)
            };
            // A board with marks of a player that has left is cleared.
            let marks: Vec<_> = places.iter().map(|place| (*place != [0; 8]).then(|| seat(place))).collect();
            let (x, cells) = marks.split_last().filter(|_| !marks.contains(&Some(None)))?;
            let mut game = Game { cells: [None; 9], x: x.flatten() };
            game.cells.iter_mut().zip(cells).for_each(|(cell, seat)| *cell = seat.flatten());
            Some((ring, game))
        });
        tables.collect()
    }

    /// Returns the board as text: marks, numbers of free cells, and each player's mark.
    fn board(&self, server: &TurnServer) -> String {
        let cell = |at: usize| match self.cells[at] {
            Some(seat) => self.mark(seat),
            None => char::from(b'1' + u8::try_from(at).unwrap_or(0)),
        };
        let row = |at: usize| format!(" {} | {} | {}", cell(at), cell(at + 1), cell(at + 2));
        let mut board = [row(0), row(3), row(6)].join("\n---+---+---\n");
        let mut named: Vec<SeatId> = Vec::new();
        for &seat in self.cells.iter().flatten() {
            if !named.contains(&seat) {
                board += if named.is_empty() { "\n" } else { ", " };
                board += &format!("{} is {}", self.mark(seat), server.name_of(seat));
                named.push(seat);
            }
        }
        board
    }
}
