//! A client in a tokio task. Another task makes its answers, and takes its time.
//!
//! ```text
//! cargo run -p hosts --bin client_in_tokio -- ann
//! ```
//!
//! It needs a server, and most rings need a second client: `cargo run --example turn_server`.

use std::error::Error;
use std::ops::ControlFlow::Continue;
use std::time::Duration;

use argh::FromArgs;
use taketurns::net::{Event, EventLoop, Handle, Target, now, resolve};
use taketurns::protocol::turns::{ClientConfig, ClientTurn, Name, News, TurnClient};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::{task, time};

/// Take turns, and answer each a tenth of a second later.
#[derive(FromArgs)]
struct Options {
    /// the name of the client
    #[argh(positional)]
    name: Name,
    /// the server, as HOST:PORT. Default: 127.0.0.1:5001
    #[argh(option, arg_name = "addr", default = "Target::Addr(([127, 0, 0, 1], 5001).into())")]
    connect: Target,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options: Options = argh::from_env();
    let mut event_loop = EventLoop::new(TurnClient::new())?;
    let driver = event_loop.driver_mut();
    let dial = driver.connect(now(), options.connect);
    let client = driver.protocol_mut().add(ClientConfig::seat(options.name))?;
    driver.protocol_mut().dial(client, dial);

    let clients = event_loop.handle();
    // Deprecated, because a type may lie about its descriptor. An event loop keeps its own.
    #[allow(deprecated)]
    let mut event_loop = AsyncFd::with_interest(event_loop, Interest::READABLE)?;
    while let Continue(timeout) = event_loop.get_mut().run_ready(|driver, event| match event {
        Event::Protocol(event) => match event.news {
            News::Granted(turn) => drop(task::spawn(answer(turn, clients.clone()))),
            News::Accepted { turn, .. } => println!("the answer counts: {turn:?}"),
            News::Ended { why, dial } => {
                eprintln!("the client has ended: {why:?}");
                dial.into_iter().for_each(|dial| driver.hang_up(dial));
                driver.drain(now());
            }
            // After most of them the driver dials again.
            News::Bye(bye) => {
                let words = bye.words.as_deref().unwrap_or(bye.code.words());
                eprintln!("the server closes the connection: {} ({})", bye.code, words.escape_debug());
            }
            _ => {}
        },
        Event::Resolve { target } => look_up(target, clients.clone()),
        Event::Unreachable { target, error, .. } => eprintln!("{target}: {error}; trying again"),
        _ => {}
    })? {
        let readable = async { event_loop.readable_mut().await.map(|mut ready| ready.clear_ready()) };
        match timeout {
            Some(Duration::ZERO) => task::yield_now().await,
            None => readable.await?,
            // Not on Linux, where the loop's descriptor tells of deadlines.
            Some(pause) => {
                time::timeout(pause, readable).await.unwrap_or(Ok(()))?;
            }
        }
    }
    Ok(())
}

/// Looks up the name of a server where that may block.
fn look_up(target: Target, clients: Handle<TurnClient>) {
    task::spawn_blocking(move || {
        let found = resolve(&target);
        let _ = clients.run(move |driver, now| driver.resolved(now, &target, found));
    });
}

/// Works, and answers through the handle. A turn that is over by then is no error: the next one comes.
async fn answer(turn: ClientTurn, clients: Handle<TurnClient>) {
    time::sleep(Duration::from_millis(100)).await;
    let answer = format!("turn {}", turn.fence.map_or(0, |(_, number)| number.get()));
    let _ = clients.run(move |driver, now| {
        let _ = driver.act(now, |clients, links| clients.answer(now, &turn, answer.as_bytes(), links));
    });
}
