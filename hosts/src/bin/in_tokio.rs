//! In a task of tokio's.

use std::error::Error;
use std::future;
use std::io;
use std::os::fd::AsRawFd;

use hosts::{Options, passes, say};
use taketurns::net::{NextPass, now, poll_timeout};
use taketurns::time::Instant;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt as _, BufReader, Interest, stdin};
use tokio::{select, task, time};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    // Deprecated, because a type may lie about its descriptor. An event loop keeps its own one, open, to its
    // end; a program that allows `unsafe` code can state that, by `register_with_interest`.
    #[allow(deprecated)]
    let mut event_loop = AsyncFd::with_interest(options.serve()?, Interest::READABLE)?;
    let mut lines = BufReader::new(stdin()).lines();
    let mut is_typing = true;

    while let Some(next) =
        passes(event_loop.get_mut(), |driver, event| options.print_event(driver.protocol(), &event))?
    {
        let NextPass::Later(deadline) = next else {
            task::yield_now().await;
            continue;
        };
        select! {
            ready = become_readable(&mut event_loop) => ready?,
            () = sleep_until(deadline) => {}
            line = lines.next_line(), if is_typing => match line? {
                Some(line) => say(event_loop.get_mut().driver_mut(), now(), line.as_bytes()),
                None => {
                    is_typing = false;
                    event_loop.get_mut().driver_mut().drain(now());
                }
            },
        }
    }
    Ok(())
}

/// Clears the readiness before the passes: what comes during them sets it again.
async fn become_readable<T: AsRawFd>(descriptor: &mut AsyncFd<T>) -> io::Result<()> {
    descriptor.readable_mut().await?.clear_ready();
    Ok(())
}

/// Never comes on Linux, where the loop's descriptor tells of deadlines.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(_) => time::sleep(poll_timeout(now(), deadline).unwrap_or_default()).await,
        None => future::pending().await,
    }
}
