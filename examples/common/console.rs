//! A loop for programs that a person types at: standard input, a driver and the first signal, one poll, and
//! no thread but those that wait for signals or a slow output.
//!
//! Standard input may be a terminal, a pipe, a file, `/dev/null` or closed. The system's poll refuses files
//! and `/dev/null`; they never block, so they are read whenever there is nothing else to do.

use std::io::{self, BufRead, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use taketurns::net::{Driver, DriverConfig, Event, Target, TokenSpace, now, poll_timeout};
use taketurns::protocol::Protocol;
use taketurns::time::LineBudget;

use super::lookup;
use super::terminal::{self, Editor, Typed};
use super::{news, output};

const INPUT: Token = Token(0);
const WAKER: Token = Token(1);
/// Descriptor 0.
const STANDARD_INPUT: i32 = 0;
/// A typed line may be so long.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Results of lookups that may wait for the loop.
const LOOKUPS_MAX: usize = 16;

/// Empties the line that the cursor is on.
const WIPE: &str = "\r\x1b[K";

/// The event.
pub enum Happening<E> {
    /// A line was typed.
    Line(String),
    /// Nobody will type any more.
    EndOfInput,
    /// The network has something to say.
    Network(Event<E>),
}

pub struct Console<P: Protocol> {
    poll: Poll,
    events: Events,
    pub driver: Driver<P>,
    input: Input,
    /// Nothing is read from standard input; what is typed or piped waits there.
    held: bool,
    signals: Arc<Signals>,
    /// Ends the poll for other threads.
    waker: Arc<Waker>,
    /// Addresses of names that the network has asked for.
    lookups: (SyncSender<Found>, Receiver<Found>),
    /// For what is said about peers.
    budget: LineBudget,
    prompt: &'static str,
    /// The prompt stands at the end of the screen.
    prompted: bool,
}

type Found = (Target, io::Result<Vec<SocketAddr>>);

/// Requests by signals.
#[derive(Default)]
struct Signals {
    end: AtomicBool,
    /// The program goes on after it was stopped: the shell has written on the screen meanwhile.
    redraw: AtomicBool,
}

struct Input {
    /// A line that is not complete, unless it is in the editor's hands.
    partial: Vec<u8>,
    /// At a terminal.
    editor: Option<Editor>,
    readiness: Readiness,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// The poll says when there is something.
    Polled,
    /// There always is.
    Always,
    /// There never will be again.
    Ended,
}

impl<P: Protocol> Console<P> {
    pub fn new(protocol: P, prompt: &'static str) -> Result<Console<P>, String> {
        let describe = |error: io::Error| format!("cannot set up a poll: {error}; see ulimit -n");
        let poll = Poll::new().map_err(describe)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(describe)?);
        let driver = Driver::new(poll.registry(), TokenSpace(1), protocol, DriverConfig::default());
        let driver = driver.map_err(|error| super::advise(&error))?;
        let source = &mut SourceFd(&STANDARD_INPUT);
        let readiness = match poll.registry().register(source, INPUT, Interest::READABLE) {
            Ok(()) => Readiness::Polled,
            // A file or /dev/null; if it is closed, the first read says so.
            Err(_) => Readiness::Always,
        };
        let signals = Arc::new(Signals::default());
        let wake = |flag: fn(&Signals) -> &AtomicBool| {
            let (seen, waker) = (signals.clone(), waker.clone());
            move || {
                flag(&seen).store(true, Ordering::Relaxed);
                let _ = waker.wake();
            }
        };
        super::signals::at_terminal(wake(|seen| &seen.end), wake(|seen| &seen.redraw))?;
        let input = Input { partial: Vec::new(), editor: terminal::take_over(), readiness };
        let events = Events::with_capacity(64);
        Ok(Console {
            poll,
            events,
            driver,
            input,
            held: false,
            signals,
            waker,
            lookups: sync_channel(LOOKUPS_MAX),
            budget: LineBudget::new(news::LINES_MAX),
            prompt,
            prompted: false,
        })
    }

    /// Waits until something happens, and hands all of it to `on`; `false` when a signal asked for the end.
    pub fn pass(
        &mut self,
        mut on: impl FnMut(&mut Screen<'_, P>, Happening<P::Event>),
    ) -> Result<bool, String> {
        let end_of_second = self.budget.next_deadline(now().instant);
        let deadline = self.driver.next_deadline().into_iter().chain(end_of_second).min();
        let timeout = match self.input.readiness {
            Readiness::Always if !self.held => Some(Duration::ZERO),
            _ => poll_timeout(now(), deadline),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(format!("polling failed: {error}"));
            }
            _ => {}
        }
        if self.signals.redraw.swap(false, Ordering::Relaxed) && self.prompted {
            output::print(format!("{WIPE}{}{}", self.prompt, self.input.typed()));
        }
        let now = now();
        let mut readable = !self.held && self.input.readiness == Readiness::Always;
        for event in &self.events {
            readable |= !self.held && event.token() == INPUT && self.input.readiness == Readiness::Polled;
            self.driver.handle_event(now, event);
        }
        for (target, found) in self.lookups.1.try_iter() {
            self.driver.resolved(now, &target, found);
        }
        self.driver.finish_batch(now).map_err(|error| error.to_string())?;
        let omitted = self.budget.take_omitted(now.instant);
        let mut screen =
            Screen { driver: &mut self.driver, budget: &mut self.budget, prompted: &mut self.prompted };
        if omitted > 0 {
            screen.line(format_args!("{}", news::left_out(omitted)));
        }
        while let Some(event) = screen.driver.poll_event() {
            match event {
                Event::Resolve { target } => {
                    let (answers, waker) = (self.lookups.0.clone(), self.waker.clone());
                    lookup::start(target, move |target, found| {
                        let _ = answers.send((target, found));
                        let _ = waker.wake();
                    });
                }
                event => on(&mut screen, Happening::Network(event)),
            }
        }
        if readable {
            // One read, which does not block: there is something, or it is a file.
            let before = self.input.typed();
            let lines = self.input.read();
            if *screen.prompted && self.input.editor.is_some() {
                // The terminal has echoed nothing: shows what was typed, or all of it again if some was taken
                // back.
                let (line, end) = match lines.first() {
                    Some(line) => (line.clone(), "\n"),
                    None => (self.input.typed(), ""),
                };
                output::print(match line.strip_prefix(&before) {
                    Some(more) => format!("{more}{end}"),
                    None => format!("{WIPE}{}{line}{end}", self.prompt),
                });
                *screen.prompted = lines.is_empty();
            } else {
                *screen.prompted &= lines.is_empty() || !io::stdin().is_terminal();
            }
            lines.into_iter().for_each(|line| on(&mut screen, Happening::Line(line)));
            match self.input.readiness {
                Readiness::Ended => on(&mut screen, Happening::EndOfInput),
                // Asking again makes the poll say whether there is more.
                Readiness::Polled => {
                    let source = &mut SourceFd(&STANDARD_INPUT);
                    let _ = self.poll.registry().reregister(source, INPUT, Interest::READABLE);
                }
                Readiness::Always => {}
            }
        }
        Ok(!self.signals.end.load(Ordering::Relaxed))
    }

    /// Nobody is asked: standard input is left alone.
    pub fn ignore_input(&mut self) {
        let _ = self.poll.registry().deregister(&mut SourceFd(&STANDARD_INPUT));
        terminal::restore();
        self.input.readiness = Readiness::Ended;
    }

    /// Leaves standard input unread for as long as there is enough to do, so that a pipe fills no memory.
    pub fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.held, held) && !held && self.input.readiness == Readiness::Polled {
            // The poll says again what it may have said meanwhile.
            let source = &mut SourceFd(&STANDARD_INPUT);
            let _ = self.poll.registry().reregister(source, INPUT, Interest::READABLE);
        }
    }

    /// Prints a line.
    pub fn line(&mut self, text: std::fmt::Arguments<'_>) {
        Screen { driver: &mut self.driver, budget: &mut self.budget, prompted: &mut self.prompted }
            .line(text);
    }

    /// Asks for a line, unless it was asked for and not answered.
    pub fn prompt(&mut self) {
        if !std::mem::replace(&mut self.prompted, true) {
            output::print(format!("{}{}", self.prompt, self.input.typed()));
        }
    }

    /// Finishes what is begun, for at most a second.
    pub fn finish(mut self) {
        self.driver.drain(now());
        let end = now().instant + Duration::from_secs(1);
        while !self.driver.is_drained() && now().instant < end {
            let deadline = self.driver.next_deadline().map_or(end, |deadline| deadline.min(end));
            let _ = self.poll.poll(&mut self.events, poll_timeout(now(), Some(deadline)));
            let now = now();
            self.events.iter().for_each(|event| self.driver.handle_event(now, event));
            let _ = self.driver.finish_batch(now);
            while self.driver.poll_event().is_some() {}
        }
        if self.prompted {
            output::print("\n".to_owned());
        }
    }
}

impl<P: Protocol> Drop for Console<P> {
    fn drop(&mut self) {
        terminal::restore();
    }
}

/// The place where a program prints while a person types.
pub struct Screen<'a, P: Protocol> {
    pub driver: &'a mut Driver<P>,
    budget: &'a mut LineBudget,
    prompted: &'a mut bool,
}

impl<P: Protocol> Screen<'_, P> {
    /// Prints a line. If the prompt stands there, the line takes its place, and the prompt comes back below.
    pub fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.make_way();
        output::line(text);
    }

    /// The same for a line that a peer has caused, unless too many were printed in this second.
    pub fn news(&mut self, text: std::fmt::Arguments<'_>) {
        if self.budget.admit() {
            self.line(text);
        }
    }

    /// The same on standard error.
    pub fn complain(&mut self, text: std::fmt::Arguments<'_>) {
        self.make_way();
        output::complain(text);
    }

    fn make_way(&mut self) {
        if std::mem::replace(self.prompted, false) {
            output::print(if io::stdout().is_terminal() { WIPE } else { "\n" }.to_owned());
        }
    }
}

impl Input {
    /// Text typed at a terminal whose line has not ended yet.
    fn typed(&self) -> String {
        self.editor.as_ref().map_or_else(String::new, Editor::line)
    }

    /// Reads once; the lines that are complete.
    fn read(&mut self) -> Vec<String> {
        let mut stdin = io::stdin().lock();
        match stdin.fill_buf() {
            Ok([]) => self.readiness = Readiness::Ended,
            Ok(bytes) => {
                let count = bytes.len();
                match &mut self.editor {
                    Some(editor) => {
                        for &byte in bytes {
                            match editor.feed(byte, LINE_BYTES_MAX) {
                                Typed::Line(line) => {
                                    self.partial.extend_from_slice(format!("{line}\n").as_bytes());
                                }
                                Typed::End => self.readiness = Readiness::Ended,
                                Typed::Changed | Typed::Nothing => {}
                            }
                        }
                    }
                    None => self.partial.extend_from_slice(bytes),
                }
                stdin.consume(count);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => self.readiness = Readiness::Ended,
        }
        let end = match self.readiness {
            // Text typed before the end is a line as well.
            Readiness::Ended => self.partial.len(),
            _ => self.partial.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1),
        };
        let complete: Vec<u8> = self.partial.drain(..end).collect();
        if self.partial.len() > LINE_BYTES_MAX {
            self.partial.clear();
            output::complain(format_args!("a typed line of more than {LINE_BYTES_MAX} bytes is dropped"));
        }
        String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect()
    }
}
