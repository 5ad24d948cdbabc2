//! Signals. SIGINT, SIGTERM and SIGHUP mean the same: the first lets a program finish, a later one ends it at
//! once. But a server that has files to read again does that at SIGHUP.

use std::fs;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1,
    SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use taketurns::net::{Handle, now};
use taketurns::protocol::Protocol;
use taketurns::time::Instant;

use super::terminal;

/// Signals within this time are one: npm and docker compose pass on what a terminal has sent to all of its
/// processes anyway.
const ONE_WITHIN: Duration = Duration::from_millis(500);

/// Signals that end a program that does not listen for them.
const DEADLY: [i32; 8] = [SIGQUIT, SIGABRT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGXCPU];

/// Signals that stop a program.
const STOPPING: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

/// When the first signal came that asked for the end.
static ASKED: OnceLock<Instant> = OnceLock::new();

/// Calls `drain` at the first signal, from a thread that does nothing else; exits with 128 + its number at a
/// later one.
pub fn on_first(drain: impl Fn() + Send + 'static) -> Result<(), String> {
    on_first_or_reload(drain, None)
}

/// Reads files again, on the thread that waits for signals.
pub type Reload = Box<dyn FnMut() + Send>;

/// The same for a server that may have files to read again.
pub fn on_first_or_reload(
    drain: impl Fn() + Send + 'static,
    mut reload: Option<Reload>,
) -> Result<(), String> {
    let mut end = End(drain);
    listen(&asking(), move |signal| match &mut reload {
        Some(reload) if signal == SIGHUP => reload(),
        _ => end.signalled(signal),
    })
}

/// The same for a program that has taken a terminal over: gives it back at every signal that ends or stops
/// the program, and takes it again when the program goes on, which is when `go_on` is called.
pub fn at_terminal(
    drain: impl Fn() + Send + 'static,
    go_on: impl Fn() + Send + 'static,
) -> Result<(), String> {
    let mut end = End(drain);
    let signals = [&asking()[..], &DEADLY, &STOPPING, &[SIGCONT]].concat();
    listen(&signals, move |signal| {
        if signal == SIGCONT {
            terminal::take();
            go_on();
        } else if STOPPING.contains(&signal) {
            stop(signal, terminal::restore);
        } else if DEADLY.contains(&signal) {
            terminal::restore();
            let _ = emulate_default_handler(signal);
        } else {
            end.signalled(signal);
        }
    })
}

/// Stops the process as `signal` does by default, after `prepare`: unless nobody could have it go on.
pub fn stop(signal: i32, prepare: impl FnOnce()) {
    if !terminal::is_alone() {
        prepare();
        let _ = emulate_default_handler(signal);
    }
}

/// Returns a channel of signals. A thread that does nothing else fills it, and wakes the loop of `handle`.
pub fn of_loop<P: Protocol + 'static>(signals: &[i32], handle: Handle<P>) -> Result<Receiver<i32>, String> {
    let signals: Vec<_> = signals.iter().copied().filter(|&signal| !is_nohup(signal)).collect();
    let (sender, receiver) = sync_channel(16);
    listen(&signals, move |signal| {
        let _ = sender.send(signal);
        let _ = handle.run(|_, _| {});
    })?;
    Ok(receiver)
}

/// Whether a signal has asked for the end.
pub fn has_asked() -> bool {
    ASKED.get().is_some()
}

/// Returns what is left of `total`, which began with the first signal that asked for the end, if there was
/// one.
pub fn left_of(total: Duration) -> Duration {
    let past = ASKED.get().map(|asked| now().instant.saturating_duration_since(*asked));
    total.saturating_sub(past.unwrap_or_default())
}

/// A file that reaches the limit of `ulimit -f` is a write that fails, like that on a full disk, and not the
/// end of the program.
pub fn ignore_file_limit() {
    // A user who cares sees it at the file.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// Those that ask for the end.
fn asking() -> Vec<i32> {
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_nohup(signal)).collect()
}

/// Whether the program is to outlive its terminal: nohup has it ignore SIGHUP.
fn is_nohup(signal: i32) -> bool {
    let ignored = || {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    // Where there is no /proc nobody knows.
    signal == SIGHUP && ignored().is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

#[allow(clippy::disallowed_methods, reason = "a thread is the simplest thing that can wait for a signal")]
fn listen(signals: &[i32], mut hear: impl FnMut(i32) + Send + 'static) -> Result<(), String> {
    let mut signals = Signals::new(signals)
        .map_err(|error| format!("cannot listen for signals: {error}; is the system out of descriptors?"))?;
    std::thread::spawn(move || signals.forever().for_each(&mut hear));
    Ok(())
}

/// The action at the first signal.
struct End<F>(F);

impl<F: Fn()> End<F> {
    fn signalled(&mut self, signal: i32) {
        let now = now().instant;
        match ASKED.get() {
            None => {
                let _ = ASKED.set(now);
                log::info!("finishing; a second signal ends the program at once");
                (self.0)();
            }
            Some(asked) if now < *asked + ONE_WITHIN => {}
            Some(_) => {
                terminal::restore();
                std::process::exit(128 + signal);
            }
        }
    }
}
