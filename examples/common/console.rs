//! A loop for programs with a person at the keyboard: standard input, a driver and the first signal share one
//! poll. The only threads wait for signals or for a slow output.
//!
//! Standard input may be a terminal, a pipe, a file, `/dev/null` or closed. The system's poll rejects files
//! and `/dev/null`. They never block, so they are read whenever there is nothing else to do.

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use taketurns::net::{Driver, DriverConfig, Event, TokenSpace, now, poll_timeout};
use taketurns::protocol::Protocol;
use taketurns::time::LineBudget;

use super::lookup;
use super::terminal::{self, Editor, Typed};
use super::{news, output};

const INPUT: Token = Token(0);
const WAKER: Token = Token(1);
/// Descriptor 0.
const STANDARD_INPUT: i32 = 0;
/// The longest typed line.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The most calls of other threads that may wait for the loop.
const CALLS_MAX: usize = 16;

/// Clears the line of the cursor.
const WIPE: &str = "\r\x1b[K";

/// An event of the console.
pub enum Happening<E> {
    /// A line was typed.
    Line(String),
    /// The input has ended.
    EndOfInput,
    /// An event of the network.
    Network(Event<E>),
}

pub struct Console<P: Protocol> {
    poll: Poll,
    events: Events,
    pub driver: Driver<P>,
    input: Input,
    /// Whether standard input is left unread for now.
    held: bool,
    signals: Arc<Signals>,
    caller: Caller<P>,
    calls: Receiver<Call<P>>,
    /// Limits output about peers.
    budget: LineBudget,
    prompt: &'static str,
    /// Whether the prompt is the last text on the screen.
    prompted: bool,
}

type Call<P> = Box<dyn FnOnce(&mut Screen<'_, P>) + Send>;

/// Has the loop call functions for other threads.
pub struct Caller<P: Protocol> {
    calls: SyncSender<Call<P>>,
    waker: Arc<Waker>,
}

impl<P: Protocol> Clone for Caller<P> {
    fn clone(&self) -> Caller<P> {
        Caller { calls: self.calls.clone(), waker: Arc::clone(&self.waker) }
    }
}

impl<P: Protocol> Caller<P> {
    pub fn call(&self, call: impl FnOnce(&mut Screen<'_, P>) + Send + 'static) {
        // A loop that is gone has nothing to call.
        let _ = self.calls.send(Box::new(call));
        let _ = self.waker.wake();
    }
}

/// Requests made by signals.
#[derive(Default)]
struct Signals {
    end: AtomicBool,
    /// The program was stopped and continues. The shell has written to the screen meanwhile.
    redraw: AtomicBool,
}

struct Input {
    /// An incomplete line, unless the editor has it.
    partial: Vec<u8>,
    /// The line editor, at a terminal.
    editor: Option<Editor>,
    readiness: Readiness,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// The poll reports when there is input.
    Polled,
    /// There is always input.
    Always,
    /// There is no more input.
    Ended,
}

impl<P: Protocol + 'static> Console<P> {
    pub fn new(protocol: P, prompt: &'static str) -> Result<Console<P>, String> {
        let describe = |error: io::Error| format!("cannot set up a poll: {error}; see ulimit -n");
        let poll = Poll::new().map_err(describe)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(describe)?);
        let driver = Driver::new(poll.registry(), TokenSpace(1), protocol, DriverConfig::default());
        let driver = driver.map_err(|error| super::advise(&error))?;
        let source = &mut SourceFd(&STANDARD_INPUT);
        let readiness = match poll.registry().register(source, INPUT, Interest::READABLE) {
            Ok(()) => Readiness::Polled,
            // A file or /dev/null. If it is closed, the first read fails.
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
        let (sender, calls) = sync_channel(CALLS_MAX);
        Ok(Console {
            poll,
            events,
            driver,
            input,
            held: false,
            signals,
            caller: Caller { calls: sender, waker },
            calls,
            budget: LineBudget::new(news::LINES_MAX),
            prompt,
            prompted: false,
        })
    }

    /// Waits until something happens, and passes all of it to `on`. Returns `false` when a signal has asked
    /// for the end.
    pub fn pass(
        &mut self,
        mut on: impl FnMut(&mut Screen<'_, P>, Happening<P::Event>),
    ) -> Result<bool, String> {
        self.wait()?;
        if self.signals.redraw.swap(false, Ordering::Relaxed) && self.prompted {
            output::print(format!("{WIPE}{}{}", self.prompt, self.input.typed()));
        }
        let now = now();
        let mut readable = !self.held && self.input.readiness == Readiness::Always;
        for event in &self.events {
            readable |= !self.held && event.token() == INPUT && self.input.readiness == Readiness::Polled;
            self.driver.handle_event(now, event);
        }
        let omitted = self.budget.take_omitted(now.instant);
        let mut screen =
            Screen { driver: &mut self.driver, budget: &mut self.budget, prompted: &mut self.prompted };
        self.calls.try_iter().for_each(|call| call(&mut screen));
        screen.driver.finish_batch(now).map_err(|error| error.to_string())?;
        if omitted > 0 {
            screen.line(format_args!("{}", news::left_out(omitted)));
        }
        while let Some(event) = screen.driver.poll_event() {
            match event {
                Event::Resolve { target } => {
                    let caller = self.caller.clone();
                    lookup::start(target, move |target, found| {
                        caller.call(move |screen| screen.driver.resolved(now, &target, found));
                    });
                }
                event => on(&mut screen, Happening::Network(event)),
            }
        }
        if readable {
            let lines = self.input.read_and_echo(self.prompt, screen.prompted);
            lines.into_iter().for_each(|line| on(&mut screen, Happening::Line(line)));
            match self.input.readiness {
                Readiness::Ended => on(&mut screen, Happening::EndOfInput),
                // Registering again makes the poll report remaining input.
                Readiness::Polled => {
                    let source = &mut SourceFd(&STANDARD_INPUT);
                    let _ = self.poll.registry().reregister(source, INPUT, Interest::READABLE);
                }
                Readiness::Always => {}
            }
        }
        Ok(!self.signals.end.load(Ordering::Relaxed))
    }

    /// Waits for the network, a signal, a call, input or the next deadline.
    fn wait(&mut self) -> Result<(), String> {
        let end_of_second = self.budget.next_deadline(now().instant);
        let deadline = self.driver.next_deadline().into_iter().chain(end_of_second).min();
        let timeout = match self.input.readiness {
            Readiness::Always if !self.held => Some(Duration::ZERO),
            _ => poll_timeout(now(), deadline),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(format!("polling failed: {error}"))
            }
            _ => Ok(()),
        }
    }

    /// Leaves standard input alone, for a program that does not prompt.
    pub fn ignore_input(&mut self) {
        let _ = self.poll.registry().deregister(&mut SourceFd(&STANDARD_INPUT));
        terminal::restore();
        self.input.readiness = Readiness::Ended;
    }

    /// Leaves standard input unread while there is enough to do, so that a pipe cannot fill the memory.
    pub fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.held, held) && !held && self.input.readiness == Readiness::Polled {
            // The poll repeats reports that were missed meanwhile.
            let source = &mut SourceFd(&STANDARD_INPUT);
            let _ = self.poll.registry().reregister(source, INPUT, Interest::READABLE);
        }
    }

    /// Returns what lets other threads reach this loop.
    pub fn caller(&self) -> Caller<P> {
        self.caller.clone()
    }

    /// Prints a line.
    pub fn line(&mut self, text: std::fmt::Arguments<'_>) {
        Screen { driver: &mut self.driver, budget: &mut self.budget, prompted: &mut self.prompted }
            .line(text);
    }

    /// Prints the prompt, unless it is there already.
    pub fn prompt(&mut self) {
        if !std::mem::replace(&mut self.prompted, true) {
            output::print(format!("{}{}", self.prompt, self.input.typed()));
        }
    }

    /// Finishes pending work, for at most a second.
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

/// The screen of a program whose user may be typing.
pub struct Screen<'a, P: Protocol> {
    pub driver: &'a mut Driver<P>,
    budget: &'a mut LineBudget,
    prompted: &'a mut bool,
}

impl<P: Protocol> Screen<'_, P> {
    /// Prints a line. It replaces the prompt, which reappears below.
    pub fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.make_way();
        output::line(text);
    }

    /// Like [`line`](Self::line), for a line that a peer has caused. It is left out after too many in the
    /// same second.
    pub fn news(&mut self, text: std::fmt::Arguments<'_>) {
        if self.budget.admit() {
            self.line(text);
        }
    }

    /// Like [`line`](Self::line), on standard error.
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
    /// Returns the incomplete line typed at a terminal.
    fn typed(&self) -> String {
        self.editor.as_ref().map_or_else(String::new, Editor::line)
    }

    /// Reads once, which does not block: the poll has reported input, or it is a file. Shows what was typed
    /// behind the prompt, if that is the last text on the screen. Returns the complete lines.
    fn read_and_echo(&mut self, prompt: &str, prompted: &mut bool) -> Vec<String> {
        let before = self.typed();
        let lines = self.read();
        if *prompted && self.editor.is_some() {
            // The terminal does not echo, so show the typed text, or all of it again if some was deleted.
            let (line, end) = match lines.first() {
                Some(line) => (line.clone(), "\n"),
                None => (self.typed(), ""),
            };
            output::print(match line.strip_prefix(&before) {
                Some(more) => format!("{more}{end}"),
                None => format!("{WIPE}{prompt}{line}{end}"),
            });
            *prompted = lines.is_empty();
        } else {
            *prompted &= lines.is_empty() || !io::stdin().is_terminal();
        }
        lines
    }

    /// Reads once. Returns the complete lines.
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
            // Text before the end of input counts as a line.
            Readiness::Ended => self.partial.len(),
            _ => self.partial.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1),
        };
        let complete: Vec<u8> = self.partial.drain(..end).collect();
        if self.partial.len() > LINE_BYTES_MAX {
            self.partial.clear();
            output::complain(format_args!("a line of more than {LINE_BYTES_MAX} bytes was dropped"));
        }
        String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect()
    }
}
