//! SIGINT and SIGTERM: the first lets the program finish, the second ends it at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

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
