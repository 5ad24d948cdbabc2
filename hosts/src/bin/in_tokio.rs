//! In a tokio task.

use std::error::Error;
use std::io;
use std::ops::ControlFlow::Continue;
use std::time::Duration;

use hosts::{Options, say};
use taketurns::net::{EventLoop, Handle};
use taketurns::protocol::turns::TurnServer;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt as _, BufReader, Interest, stdin};
use tokio::{task, time};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    let event_loop = options.serve()?;
    // The loop belongs to this task; others reach it through its handle.
    task::spawn(say_lines(event_loop.handle()));
    // Deprecated, because a type may lie about its descriptor. An event loop keeps its own descriptor open
    // until its end. A program that allows `unsafe` code can state that with `register_with_interest`.
    #[allow(deprecated)]
    let mut event_loop = AsyncFd::with_interest(event_loop, Interest::READABLE)?;

    while let Continue(timeout) =
        event_loop.get_mut().run_ready(|driver, event| options.print_event(driver.protocol(), &event))?
    {
        match timeout {
            Some(Duration::ZERO) => task::yield_now().await,
            None => become_readable(&mut event_loop).await?,
            // Not on Linux, where the loop's descriptor tells of deadlines.
            Some(pause) => {
                time::timeout(pause, become_readable(&mut event_loop)).await.unwrap_or(Ok(()))?;
            }
        }
    }
    Ok(())
}

/// Clears the readiness before the passes, so that anything that happens during them sets it again.
async fn become_readable(event_loop: &mut AsyncFd<EventLoop<TurnServer>>) -> io::Result<()> {
    event_loop.readable_mut().await?.clear_ready();
    Ok(())
}

/// Sends each line of standard input to the hearers; the end of the input drains the server.
async fn say_lines(server: Handle<TurnServer>) {
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // It fails if a thousand lines are already waiting.
        let _ = server.run(move |driver, now| say(driver, now, line.as_bytes()));
    }
    server.drain();
}
