//! A command that runs while a turn is held, in a process group of its own, so that its descendants end with
//! it.

use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGCHLD, SIGCONT};
use taketurns::net::now;
use taketurns::time::{Instant, Now};

use super::lease::Lease;
use super::signals;

/// The exit code if the turn was lost while the command ran.
const LOST: u8 = 76;

/// A command that runs only while a lease lasts.
pub struct Guarded {
    pub lease: Option<Lease>,
    job: Option<Job>,
    is_lost: bool,
    /// Whether the command is left running when the lease is over.
    keeps_going: bool,
    /// The time that the command has to end before it is killed.
    kill_after: Duration,
}

impl Guarded {
    pub fn new(keeps_going: bool, kill_after: Duration) -> Guarded {
        Guarded { lease: None, job: None, is_lost: false, keeps_going, kill_after }
    }

    pub fn is_running(&self) -> bool {
        self.job.is_some()
    }

    /// Returns when to call [`poll`](Self::poll) or to renew the lease.
    pub fn next_deadline(&self) -> Option<Instant> {
        let kill_at = self.job.as_ref().and_then(|job| job.kill_at);
        kill_at.into_iter().chain(self.lease.as_ref().and_then(Lease::next_deadline)).min()
    }

    /// Starts the command, if the lease leaves enough time. The error consists of the exit code that a shell
    /// would return, and a message.
    pub fn start(&mut self, now: Now, words: &[String]) -> Result<(), (u8, String)> {
        let lease = self.lease.as_ref().filter(|lease| lease.is_safe(now) && self.job.is_none());
        let Some((epoch, turn)) = lease.and_then(|lease| lease.turn.fence) else { return Ok(()) };
        let fence = [("TAKETURNS_EPOCH", epoch.to_string()), ("TAKETURNS_TURN", turn.to_string())];
        self.job = Some(Job::start(words, &fence)?);
        Ok(())
    }

    /// Ends the command, if it runs, before its lease ends, when another client may get the turn.
    pub fn lose(&mut self, now: Now, why: &str) {
        let until = self.lease.as_ref().map_or(now.instant, |lease| lease.until(now));
        self.lose_before(now, until, why);
    }

    fn lose_before(&mut self, now: Now, until: Instant, why: &str) {
        let Some(job) = self.job.as_mut().filter(|_| self.lease.take().is_some()) else { return };
        self.is_lost = true;
        if !self.keeps_going {
            job.end(now, until, self.kill_after);
        }
        let then = if self.keeps_going { "the command keeps running" } else { "the command is ended" };
        super::complain(format_args!("the turn is lost ({why}); {then}"));
    }

    /// Handles a signal that this process received. Returns whether it was for the command.
    pub fn signalled(&mut self, signal: i32) -> bool {
        match (signal, &self.job) {
            (SIGCHLD, _) => {}
            // A command that kept running alone would not learn that its turn is over.
            (signal, job) if signals::STOPPING.contains(&signal) => {
                signals::stop(signal, || job.iter().for_each(|job| job.signal(Signal::STOP)));
            }
            // The stop may have lasted longer than the turn.
            (SIGCONT, _) => {
                self.lose_at_end(now());
                self.job.iter().for_each(|job| job.go_on(now().instant));
            }
            (_, Some(job)) => job.pass_on(signal),
            (_, None) => return false,
        }
        true
    }

    fn lose_at_end(&mut self, now: Now) {
        let Some(lease) = &mut self.lease else { return };
        let Some(until) = lease.take_end(now) else { return };
        match lease.limit() {
            Some(limit) => {
                let why = format!("this ring allows {limit:?} per turn; a turn_lock --serve has no limit");
                self.lose_before(now, until, &why);
            }
            None => self.lose_before(now, until, "it could not be renewed in time"),
        }
    }

    /// Ends the command if its lease is ending. Returns the exit code once the command has ended.
    pub fn poll(&mut self, now: Now) -> Option<u8> {
        if let Some(code) = self.job.as_mut().and_then(|job| job.poll(now.instant)) {
            self.job = None;
            return Some(if self.is_lost { LOST } else { code });
        }
        self.lose_at_end(now);
        None
    }
}

struct Job {
    child: Child,
    kill_at: Option<Instant>,
}

impl Job {
    /// Starts a command with `variables` in its environment. The error consists of the exit code that a shell
    /// would return, and a message.
    fn start(words: &[String], variables: &[(&str, String)]) -> Result<Job, (u8, String)> {
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
    fn signal(&self, signal: Signal) {
        // The command has not been reaped yet, so no other group can have its id.
        let _ = kill_process_group(self.group(), signal);
    }

    /// Forwards a signal that this process received.
    fn pass_on(&self, signal: i32) {
        Signal::from_named_raw(signal).into_iter().for_each(|signal| self.signal(signal));
    }

    /// Continues the group after it was stopped, unless it is due to be killed by `now`.
    fn go_on(&self, now: Instant) {
        if self.kill_at.is_none_or(|at| now < at) {
            self.signal(Signal::CONT);
        }
    }

    /// Sends SIGTERM to the group. SIGKILL follows after `grace` or shortly before `until`, or when the
    /// command has ended.
    fn end(&mut self, now: Now, until: Instant, grace: Duration) {
        self.signal(Signal::TERM);
        self.kill_at = Some((until - grace / 10).min(now.instant + grace));
    }

    /// Returns the exit code of the command, as a shell would, once it has ended.
    fn poll(&mut self, now: Instant) -> Option<u8> {
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
