//! A command in a process group of its own, so that its descendants end with it.

use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use taketurns::time::{Instant, Now};

pub struct Job {
    child: Child,
    kill_at: Option<Instant>,
}

impl Job {
    /// Starts a command with `variables` in its environment. The error consists of the exit code that a shell
    /// would return, and a message.
    pub fn start(words: &[String], variables: &[(&str, String)]) -> Result<Job, (u8, String)> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(variables.iter().map(|(key, value)| (key, value))).process_group(0);
        if io::stdin().is_terminal() {
            // A terminal would stop a background process group that reads from it.
            command.stdin(Stdio::null());
        }
        command.spawn().map(|child| Job { child, kill_at: None }).map_err(|error| {
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            (code, format!("cannot run {:?}: {error}", words[0]))
        })
    }

    /// Sends a signal to the process group of the command.
    pub fn signal(&self, signal: Signal) {
        // The command has not been reaped yet, so no other group can have its id.
        let _ = kill_process_group(self.group(), signal);
    }

    /// Forwards a signal that this process received.
    pub fn pass_on(&self, signal: i32) {
        Signal::from_named_raw(signal).into_iter().for_each(|signal| self.signal(signal));
    }

    /// Continues the group after it was stopped, unless it is due to be killed by `now`.
    pub fn go_on(&self, now: Instant) {
        if self.kill_at.is_none_or(|at| now < at) {
            self.signal(Signal::CONT);
        }
    }

    /// Sends SIGTERM to the group. SIGKILL follows after `grace` or shortly before `until`, or when the
    /// command has ended.
    pub fn end(&mut self, now: Now, until: Instant, grace: Duration) {
        self.signal(Signal::TERM);
        self.kill_at = Some((until - grace / 10).min(now.instant + grace));
    }

    /// Returns when to call [`poll`](Self::poll), in addition to after every SIGCHLD.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.kill_at
    }

    /// Returns the exit code of the command, as a shell would, once it has ended.
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
