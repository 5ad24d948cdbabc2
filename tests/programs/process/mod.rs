//! Runs programs from tests: spawns them, watches their lines, sends them signals, checks how they end.
//!
//! Every wait has a deadline and is woken by a line or an end of file; nothing sleeps to synchronise. A
//! failed wait panics with everything that the program has printed, so that the log of a failed run tells the
//! story. A program's output is kept whole: a wait examines everything seen so far, not "the next line".
//!
//! Not here: the meaning of the lines (except for `{name} sent: {number}`), and the options of programs.

// programs.rs   where the programs are
// input.rs      standard input, and a simulated user
// folder.rs     a folder for their files

pub(crate) mod folder;
pub(crate) mod input;
pub(crate) mod programs;

use std::any::Any;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// The output to which a program wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// One line that a program printed, without its `\n`.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) stream: Stream,
    pub(crate) text: String,
}

/// One `{name} sent: {number}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) number: i64,
}

impl Sent {
    fn parse(line: &Line) -> Option<Self> {
        let (name, number) = line.text.split_once(" sent: ")?;
        let number = number.parse().ok()?;
        (line.stream == Stream::Out).then(|| Self { name: name.to_owned(), number })
    }
}

/// How a test treats one output of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Every line is read and kept.
    All,
    /// The first line is read, then the pipe is closed: the program's next write fails.
    FirstLineThenClosed,
    /// The first line is read, then nothing more: the pipe fills up, and a blocking write hangs.
    FirstLineThenStuck,
    /// Nothing is ever read.
    Stuck,
}

/// A running program, killed on drop.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Disconnected once nothing more is read from the program, which signals its end.
    incoming: Receiver<Line>,
    /// Everything read so far, in order of arrival; within one stream also in order of printing.
    seen: Vec<Line>,
    /// The reading ends of stuck pipes, which stay open but unread while the program runs.
    _unread: Vec<Box<dyn Any + Send>>,
}

impl Process {
    /// Starts `command` and reads everything that it prints.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_reading(command, Reading::All, Reading::All)
    }

    /// Starts `command` with a treatment for each output. One of them must be read to its end (or closed) for
    /// [`Process::wait_for_exit`] to notice the end.
    pub(crate) fn spawn_reading(command: &mut Command, out: Reading, err: Reading) -> Self {
        let name =
            Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let (lines, incoming) = mpsc::channel();
        let mut unread: Vec<Box<dyn Any + Send>> = Vec::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        unread.extend(read_lines(stdout, Stream::Out, out, lines.clone()));
        unread.extend(read_lines(stderr, Stream::Err, err, lines));
        Self { name, child, incoming, seen: Vec::new(), _unread: unread }
    }

    /// Returns all lines of one stream so far.
    pub(crate) fn lines(&self, stream: Stream) -> Vec<&str> {
        self.seen.iter().filter(|line| line.stream == stream).map(|line| line.text.as_str()).collect()
    }

    /// Returns all `{name} sent: {number}` on standard output so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.seen.iter().filter_map(Sent::parse).collect()
    }

    /// Waits for a line that satisfies `predicate`. It may be an earlier one.
    pub(crate) fn wait_for_line(
        &mut self,
        what: &str,
        predicate: impl Fn(&Line) -> bool,
        within: Duration,
    ) -> Line {
        self.wait_until(what, within, |seen| seen.iter().find(|line| predicate(line)).cloned())
    }

    /// Waits until `count` numbers have been printed. Returns all of them, in order.
    pub(crate) fn wait_for_sent(&mut self, count: usize, within: Duration) -> Vec<Sent> {
        let what = format!("{count} numbers");
        self.wait_until(&what, within, |seen| {
            let sent: Vec<Sent> = seen.iter().filter_map(Sent::parse).collect();
            (sent.len() >= count).then_some(sent)
        })
    }

    /// Waits until `check` finds something in everything seen so far.
    ///
    /// # Panics
    ///
    /// Panics with everything that the program printed, if it ends or the time is over before that.
    pub(crate) fn wait_until<T>(
        &mut self,
        what: &str,
        within: Duration,
        check: impl Fn(&[Line]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = check(&self.seen) {
                return found;
            }
            match self.next_line(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("no {what} within {within:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("no {what} before it ended")),
            }
        }
    }

    /// Checks that no line satisfies `predicate`, neither before nor during `window`.
    pub(crate) fn expect_no_line(&mut self, what: &str, predicate: impl Fn(&Line) -> bool, window: Duration) {
        let deadline = Instant::now() + window;
        while self.next_line(deadline).is_ok() {}
        if self.seen.iter().any(predicate) {
            self.fail(&format!("unwanted: {what}"));
        }
    }

    /// Sends a signal by its name without `SIG`, for example `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        // The child has not been waited for yet, so no other process can have its id. `kill` is a builtin of
        // every `sh`, but slim container images lack the program.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", signal, &self.child.id().to_string()])
            .status()
            .expect("sh runs");
        assert!(status.success(), "{}: cannot send SIG{signal}", self.name);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the program (SIGKILL). Returns everything that it had printed.
    pub(crate) fn kill(mut self, within: Duration) -> Vec<Sent> {
        self.child.kill().expect("a child that was not waited for can be killed");
        self.wait_for_exit(within);
        self.sent()
    }

    /// Waits for the program to end on its own, reading the rest of its output.
    ///
    /// # Panics
    ///
    /// Panics with everything that the program printed, if it is still running then.
    pub(crate) fn wait_for_exit(&mut self, within: Duration) -> ExitStatus {
        self.try_wait_for_exit(within)
            .unwrap_or_else(|| self.fail(&format!("still running after {within:?}")))
    }

    /// Like [`Process::wait_for_exit`], but returns `None` if the program is still running.
    pub(crate) fn try_wait_for_exit(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            match self.next_line(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return None,
                // Its outputs are closed, which our programs do only by ending.
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(self.child.wait().expect("a child can be waited for"));
                }
            }
        }
    }

    /// Waits for the end, and checks the exit code.
    pub(crate) fn expect_exit(&mut self, code: i32, within: Duration) {
        let status = self.wait_for_exit(within);
        if status.code() != Some(code) {
            self.fail(&format!("ended with {status}, not with exit code {code}"));
        }
    }

    /// Panics with `why` and everything that the program has printed.
    pub(crate) fn fail(&self, why: &str) -> ! {
        let said = |line: &Line| format!("  {:?} | {}\n", line.stream, line.text.escape_debug());
        let story: String = self.seen.iter().map(said).collect();
        panic!("{}: {why}; it has printed {} lines:\n{story}", self.name, self.seen.len())
    }

    fn next_line(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let line = self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
        self.seen.push(line);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the thread that reads one output. Returns a pipe that must stay open without being read.
fn read_lines(
    pipe: impl Read + Send + 'static,
    stream: Stream,
    reading: Reading,
    lines: Sender<Line>,
) -> Option<Box<dyn Any + Send>> {
    if reading == Reading::Stuck {
        return Some(Box::new(pipe));
    }
    let (give_back, given_back) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        // An error ends the output like an end of file. A test that still waits for a line will report it.
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            if lines.send(Line { stream, text }).is_err() {
                return;
            }
            match reading {
                Reading::All => {}
                Reading::FirstLineThenClosed => return,
                Reading::FirstLineThenStuck | Reading::Stuck => {
                    // Kept in the channel until the `Process` drops its other end.
                    let _ = give_back.send(pipe);
                    return;
                }
            }
        }
    });
    (reading == Reading::FirstLineThenStuck).then(|| Box::new(given_back) as Box<dyn Any + Send>)
}
