//! A command in a process group of its own, so that all that it has started can be ended with it.

use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use taketurns::time::Instant;

pub struct Job {
    child: Child,
    kill_at: Option<Instant>,
}

impl Job {
    /// Starts the command, with `variables` in its environment. The error is a shell's exit code for it, and what to say.
    pub fn start(words: &[String], variables: &[(&str, String)]) -> Result<Job, (u8, String)> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(variables.iter().map(|(key, value)| (key, value))).process_group(0);
        if io::stdin().is_terminal() {
            // The terminal stops a process of another group that reads.
            command.stdin(Stdio::null());
        }
        command.spawn().map(|child| Job { child, kill_at: None }).map_err(|error| {
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            (code, format!("cannot run {:?}: {error}", words[0]))
        })
    }

    /// Sends a signal to the command, and to all that it has started and is in its group.
    pub fn signal(&self, signal: Signal) {
        // The command has not been waited for, so its group is there, and nobody else's.
        let _ = kill_process_group(self.group(), signal);
    }

    /// Has the group end: it is told to now, and is killed at `kill_at`, or as soon as the command itself has ended.
    pub fn end(&mut self, kill_at: Instant) {
        self.signal(Signal::TERM);
        self.kill_at = Some(kill_at);
    }

    /// When [`poll`](Self::poll) is to be called, other than at SIGCHLD.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.kill_at
    }

    /// The exit code of the command, as a shell gives it, once it has ended.
    pub fn poll(&mut self, now: Instant) -> Option<u8> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let has_ended = !matches!(waitid(WaitId::Pid(self.group()), options), Ok(None));
        if self.kill_at.take_if(|at| *at <= now || has_ended).is_some() {
            self.signal(Signal::KILL);
        }
        if !has_ended {
            return None;
        }
        let status = self.child.wait().ok();
        let code = status.and_then(|status| status.code().or_else(|| Some(128 + status.signal()?)));
        Some(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}
