//! Lets people or agents talk in turn. A moderator can skip turns, name the next speaker, give time, and
//! remove clients.
//!
//! ```text
//! cargo run --release --example moderator
//! nc 127.0.0.1 5001      JOIN ann      ANSWER :I would like to begin.
//! ```
//!
//! An answer of several lines is a payload: `ANSWER bytes=<n>`, then n bytes. Every client that has joined
//! hears every answer, and so does a client that sends `WATCH`.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::access::Access;
use common::answers::Answers;
use common::console::{Caller, Console, Happening, Screen};
use common::options::{self, Extra, Extras};
use common::server::Site;
use common::tls::Reload;
use common::{access, signals, tls};
use log::LevelFilter;
use taketurns::net::{Event, now, os_entropy};
use taketurns::protocol::turns::{
    Admission, Admit, DEFAULT_RING, Framing, Joining, Name, TurnEvent, TurnServer, TurnServerConfig,
};
use taketurns::turn::{HostError, SeatId};

/// Let people or agents talk in turn, and moderate them: skip, next, more, pause, resume, kick, say, reload
/// and quit on standard input.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "To talk: nc 127.0.0.1 5001, JOIN ann, and ANSWER :words when GO has come.")]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times. Default: the environment variable
    /// TAKETURNS_LISTEN, else 127.0.0.1:5001
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// turns start when this many clients have joined, and pause while fewer are connected. Default: 2
    #[argh(option, arg_name = "n", default = "2", from_str_fn(options::clients))]
    clients: usize,

    /// a client that stays silent for this long loses its turn. Default: 2m
    #[argh(option, arg_name = "time", default = "Duration::from_secs(120)", from_str_fn(options::turn_time))]
    turn_deadline: Duration,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: warn
    #[argh(option, arg_name = "level", default = "LevelFilter::Warn", from_str_fn(common::level))]
    log_level: LevelFilter,
}

const EXTRAS: &[&[Extra]] = &[tls::OF_SERVERS, access::OF_SERVERS];

const HELP: [&str; 9] = [
    "skip       - end the turn",
    "next NAME  - give this client the next turn",
    "more TIME  - give the turn more time, as in more 30s",
    "pause      - stop the clock, and grant no turn",
    "resume     - end the pause",
    "kick NAME  - remove this client, and refuse its name for a minute",
    "say WORDS  - speak to all clients",
    "reload     - read the rules of --access and the files of TLS again",
    "quit       - end, as Ctrl-C does",
];

fn main() -> ExitCode {
    let (options, extras) = options::with_extras(EXTRAS);
    common::exit_code(moderate(&options, &extras))
}

fn moderate(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.admission = Admission::Host;
    config.rules.min_seats = options.clients;
    config.rules.turn_deadline = options.turn_deadline;
    if options.clients > config.max_clients {
        options::wrong_usage(format_args!(
            "--clients {} is invalid: at most {} can connect",
            options.clients, config.max_clients
        ));
    }
    // The console waits for 1 s at its end, and the holder must be told before that.
    config.drain_timeout = Duration::from_millis(500);
    let turns = TurnServer::new(config, os_entropy()).unwrap_or_else(|error| {
        options::wrong_usage(format_args!("these options contradict each other: {error}"))
    });
    let mut site = Site::of_turns(&options.listen, None, None, extras)?;
    let access = Access::read(extras, &site)?;
    site.has_access_rules = access.is_some();
    let mut console = Console::new(turns, "> ")?;
    if let Some(access) = &access {
        let rules = access.rules.clone();
        let set = |server: &mut TurnServer, links: &mut _| server.set_access(now(), rules, links);
        console.driver.act(now(), set).map_err(|error| error.to_string())?;
    }
    let bound = site.listen(&mut console.driver)?;
    for addr in &bound {
        console.line(format_args!("Server listening on {addr}"));
    }
    let mut floor = Floor {
        ring: DEFAULT_RING.parse().expect("a name"),
        answers: Answers::default(),
        reload: reload(
            site.into_reload(&bound).into_iter().chain(access.map(Access::into_reload)).collect(),
            console.caller(),
        ),
    };
    let mut goes_on = true;
    let mut is_over = false;
    let mut has_quit = false;
    while goes_on && !has_quit {
        if !is_over {
            console.prompt();
        }
        goes_on = console.pass(|screen, happening| match happening {
            Happening::Line(line) if line.trim() == "quit" => has_quit = true,
            Happening::Line(line) => match floor.obey(screen, line.trim()) {
                // A reload tells when it is done.
                Ok(()) if matches!(line.trim(), "" | "reload") => {}
                Ok(()) => screen.line(format_args!("Done.")),
                Err(message) => screen.complain(format_args!("{message}")),
            },
            // Without a moderator, turns continue until a signal ends the program.
            Happening::EndOfInput => is_over = true,
            Happening::Network(Event::Protocol(event)) => floor.handle(screen, event),
            Happening::Network(_) => {}
        })?;
    }
    console.finish();
    Ok(())
}

/// Returns what is wrong with a command, and the commands.
fn misunderstood(line: &str) -> String {
    let command = line.split(' ').next();
    let is_known = HELP.iter().any(|help| help.split(' ').next() == command);
    let what = if is_known { "wrong usage" } else { "unknown command" };
    format!("{what}: {}\n{}", common::printable(line), HELP.join("\n"))
}

struct Floor {
    ring: Name,
    answers: Answers,
    /// Reads files again, if there are any. A bad one is told of in the log.
    reload: Option<Box<dyn Fn()>>,
}

fn reload(mut reloads: Vec<Reload<TurnServer>>, caller: Caller<TurnServer>) -> Option<Box<dyn Fn()>> {
    let is_empty = reloads.is_empty();
    let reload = move || {
        for change in reloads.iter_mut().filter_map(|reload| reload()) {
            caller.call(move |screen| {
                change(screen.driver, now());
                screen.line(format_args!("A file is read again."));
            });
        }
    };
    (!is_empty).then(|| Box::new(signals::on_a_thread(Box::new(reload))) as Box<dyn Fn()>)
}

impl Floor {
    /// Carries out a command that the moderator typed.
    fn obey(&mut self, screen: &mut Screen<'_, TurnServer>, line: &str) -> Result<(), String> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (rest, now) = (rest.trim(), now());
        if line == "reload" {
            let none = "there are no files to read: see --access and --tls-cert";
            return self.reload.as_ref().map(|reload| reload()).ok_or_else(|| none.to_owned());
        }
        screen.driver.act(now, |server, links| {
            let ring = server.ring_named(&self.ring).ok_or(HostError::UnknownRing);
            let seat = rest.parse().ok().and_then(|name| server.seat_named(&self.ring, &name));
            let seat = seat.ok_or(HostError::UnknownSeat);
            let done = match (command, rest) {
                ("skip", "") => ring.and_then(|ring| server.skip(now, ring, links)),
                ("pause", "") => ring.and_then(|ring| server.pause(now, ring, links)),
                ("resume", "") => ring.and_then(|ring| server.resume(now, ring, links)),
                ("more", time) => {
                    let time = options::time(time)?;
                    ring.and_then(|ring| server.extend(now, ring, time, links))
                }
                ("next", _) => seat.and_then(|seat| server.name_next(seat)),
                ("kick", _) => seat.and_then(|seat| server.remove(now, seat, links)),
                ("say", words) if !words.is_empty() => {
                    server.say_to_ring(&self.ring, words.as_bytes(), links)
                }
                ("", _) => Ok(()),
                ("help", "") => return Err(HELP.join("\n")),
                _ => return Err(misunderstood(line)),
            };
            done.map_err(|error| format!("{line}: {error}"))
        })
    }

    /// Shows an event to the moderator, and admits clients.
    fn handle(&mut self, screen: &mut Screen<'_, TurnServer>, event: TurnEvent) {
        if let Some(sent) = self.answers.handle(screen.driver.protocol(), &event) {
            let text = String::from_utf8_lossy(&sent.answer).into_owned();
            for line in text.lines() {
                screen.news(format_args!("{}: {}", sent.name, common::printable(line)));
            }
        }
        let name = |seat: SeatId| screen.driver.protocol().name_of(seat).to_string();
        let news = match event {
            TurnEvent::Joining(joining) => return self.admit(screen, &joining),
            TurnEvent::Seated { seat, .. } => format!("{} is here", name(seat)),
            TurnEvent::Away { seat } => format!("{} is away", name(seat)),
            TurnEvent::Retired { name, .. } => format!("{} has left", common::printable(&name)),
            TurnEvent::Granted { seat, turn } => format!("{} has turn {turn}", name(seat)),
            TurnEvent::Ended { turn, how, .. } => format!("turn {turn} is over: {}", how.words()),
            _ => return,
        };
        screen.news(format_args!("* {news}"));
    }

    /// Admits a client to the only ring, and makes it hear the others.
    fn admit(&self, screen: &mut Screen<'_, TurnServer>, joining: &Joining) {
        let now = now();
        screen.driver.act(now, |server, links| {
            if joining.ring == self.ring {
                let mut admit = Admit::default();
                admit.hears = Some(true);
                server.admit(now, joining.connection, &admit, links);
            } else {
                let words = format!("the only ring here is {}", self.ring);
                server.forbid(now, joining.connection, &words, links);
            }
        });
    }
}
