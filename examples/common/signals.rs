//! Signals. SIGINT, SIGTERM and SIGHUP all mean the same: the first lets a program finish, and a later one
//! ends it at once. But a server with files to read again does that on SIGHUP.

use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGSYS, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use taketurns::net::{Handle, now};
use taketurns::protocol::Protocol;
use taketurns::time::Instant;

use super::terminal;

/// Signals within this time count as one: npm and docker compose forward what a terminal has already sent to
/// all of its processes.
const ONE_WITHIN: Duration = Duration::from_millis(500);

/// Signals that end a program by default.
const DEADLY: [i32; 10] =
    [SIGQUIT, SIGABRT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGXCPU, SIGIO, SIGSYS];

/// Signals that stop a program by default.
pub const STOPPING: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

/// The time of the first signal that asked for the end.
static ASKED: OnceLock<Instant> = OnceLock::new();

/// Calls `drain` at the first signal, on a thread that does nothing else. Exits with 128 + the number of a
/// later signal.
pub fn on_first(drain: impl Fn() + Send + 'static) -> Result<(), String> {
    on_first_or_reload(drain, None)
}

/// Reads files again.
pub type Reload = Box<dyn FnMut() + Send>;

/// Like [`on_first`], for a server that may have files to read again.
pub fn on_first_or_reload(drain: impl Fn() + Send + 'static, reload: Option<Reload>) -> Result<(), String> {
    let mut end = End(drain);
    let reload = reload.map(on_a_thread);
    listen(&asking(), move |signal| match &reload {
        Some(reload) if signal == SIGHUP => reload(),
        _ => end.signalled(signal),
    })
}

/// Returns a function that has a thread read files again. A file can keep its reader waiting for any time: a
/// FIFO without a writer, or one on a server that is away.
#[allow(clippy::disallowed_methods, reason = "neither the loop nor a signal waits for files")]
pub fn on_a_thread(mut reload: Reload) -> impl Fn() + Send {
    let (ask, asked) = sync_channel(1);
    std::thread::spawn(move || asked.iter().for_each(|()| reload()));
    move || match ask.try_send(()) {
        Ok(()) => {}
        Err(TrySendError::Full(())) => log::warn!("the files are still being read"),
        Err(TrySendError::Disconnected(())) => log::error!("the files cannot be read again"),
    }
}

/// Like [`on_first`], for a program that has changed the mode of a terminal. It restores the mode at every
/// signal that ends or stops the program, and sets it again before `go_on` is called when the program
/// continues.
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

/// Runs `prepare` and then stops the process like `signal` does by default, unless no shell could continue
/// it.
pub fn stop(signal: i32, prepare: impl FnOnce()) {
    if !terminal::is_alone() {
        prepare();
        let _ = emulate_default_handler(signal);
    }
}

/// Returns a channel of signals. A thread that does nothing else fills it and wakes the loop of `handle`.
pub fn of_loop<P: Protocol + 'static>(signals: &[i32], handle: Handle<P>) -> Result<Receiver<i32>, String> {
    let signals: Vec<_> = signals.iter().copied().filter(|&signal| !is_nohup(signal)).collect();
    let (sender, receiver) = sync_channel(16);
    listen(&signals, move |signal| {
        let _ = sender.send(signal);
        let _ = handle.run(|_, _| {});
    })?;
    Ok(receiver)
}

/// Returns whether a signal has asked for the end.
pub fn has_asked() -> bool {
    ASKED.get().is_some()
}

/// Returns the rest of `total`, counted from the first signal that asked for the end, if there was one.
pub fn left_of(total: Duration) -> Duration {
    let past = ASKED.get().map(|asked| now().instant.saturating_duration_since(*asked));
    total.saturating_sub(past.unwrap_or_default())
}

/// Makes a file at the limit of `ulimit -f` a failed write, like one on a full disk, and not the end of the
/// program.
pub fn ignore_file_limit() {
    // The failed write itself is reported.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// Returns the signals that ask for the end, end or stop a program, and those about its children.
pub fn all() -> Vec<i32> {
    [&asking()[..], &DEADLY, &STOPPING, &[SIGCONT, SIGCHLD]].concat()
}

/// Returns the signals that ask for the end.
fn asking() -> Vec<i32> {
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_nohup(signal)).collect()
}

/// Returns whether nohup made the program ignore SIGHUP, so that it outlives its terminal.
fn is_nohup(signal: i32) -> bool {
    let ignored = || u64::from_str_radix(&super::status_of_process("SigIgn")?, 16).ok();
    // Without /proc this cannot be known.
    signal == SIGHUP && ignored().is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

#[allow(clippy::disallowed_methods, reason = "a thread is the simplest thing that can wait for a signal")]
fn listen(signals: &[i32], mut on_signal: impl FnMut(i32) + Send + 'static) -> Result<(), String> {
    let mut signals = Signals::new(signals)
        .map_err(|error| format!("cannot listen for signals: {error}; is the system out of descriptors?"))?;
    std::thread::spawn(move || signals.forever().for_each(&mut on_signal));
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
