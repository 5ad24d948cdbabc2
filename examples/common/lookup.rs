//! Looks up names on a thread, so that the loop and its connections need not wait for the system's resolver.

use std::io;
use std::net::SocketAddr;

use taketurns::net::{Handle, Target, resolve};
use taketurns::protocol::Protocol;

/// Looks up `target` on a new thread, and passes the result to `answer` there. The library asks for a name
/// once for all connections that wait for it, and again only after a failed attempt, so there are few of
/// these threads.
#[allow(clippy::disallowed_methods, reason = "the system's resolver blocks, the loop must not")]
pub fn start(target: Target, answer: impl FnOnce(Target, io::Result<Vec<SocketAddr>>) + Send + 'static) {
    let looks_up = move || {
        let found = resolve(&target);
        answer(target, found);
    };
    // Without a thread, the attempt fails in time and is repeated.
    if let Err(error) = std::thread::Builder::new().name("lookup".to_owned()).spawn(looks_up) {
        log::warn!("names cannot be looked up: {error}");
    }
}

/// Looks up `target` for the loop of `handle`.
pub fn of_loop<P: Protocol + 'static>(target: Target, handle: Handle<P>) {
    start(target, move |target, found| {
        // A loop that is gone needs no address, and one with too much to do asks again.
        let _ = handle.run(move |driver, now| driver.resolved(now, &target, found));
    });
}
