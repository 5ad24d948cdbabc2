//! Signals. SIGINT and SIGTERM: the first lets a program finish, the second ends it at once.

use std::sync::mpsc::{Receiver, sync_channel};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use taketurns::net::Handle;
use taketurns::protocol::Protocol;

/// Calls `drain` at the first signal, from a thread that does nothing else; exits with 128 + its number at the second.
#[allow(clippy::disallowed_methods, reason = "a thread is the simplest thing that can wait for a signal")]
pub fn on_first(drain: impl Fn() + Send + 'static) -> Result<(), String> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| format!("cannot listen for signals: {error}; is the system out of descriptors?"))?;
    std::thread::spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            log::info!("finishing what is begun; a second signal ends the program at once");
            drain();
        }
        if let Some(signal) = signals.next() {
            #[cfg(unix)]
            super::terminal::restore();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Returns a channel of signals. A thread that does nothing else fills it, and wakes the loop of `handle`.
#[allow(clippy::disallowed_methods, reason = "a thread is the simplest thing that can wait for a signal")]
pub fn of_loop<P: Protocol + 'static>(signals: &[i32], handle: Handle<P>) -> Result<Receiver<i32>, String> {
    let mut signals = Signals::new(signals)
        .map_err(|error| format!("cannot listen for signals: {error}; is the system out of descriptors?"))?;
    let (sender, receiver) = sync_channel(16);
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let _ = sender.send(signal);
            let _ = handle.run(|_, _| {});
        }
    });
    Ok(receiver)
}
