//! On a thread of its own: turns arrive through a channel, and the program's requests go through the handle.
//!
//! This suits most programs, because the server is never delayed, however long the rest of the program
//! computes or blocks.

use std::error::Error;
use std::io;
use std::sync::mpsc::channel;
use std::thread;

use hosts::{Options, say};
use taketurns::net::Event;
use taketurns::protocol::turns::TurnEvent;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    let mut event_loop = options.serve()?;
    let handle = event_loop.handle();

    let (sender, turns) = channel();
    let server = thread::spawn(move || {
        event_loop.run(|driver, event| {
            let server = driver.protocol();
            let Event::Protocol(TurnEvent::Accepted { seat, turn, answer }) = event else { return };
            let text = server.answer(answer).and_then(|answer| answer.text()).unwrap_or("(no text)");
            // This fails when the program is about to end.
            let _ = sender.send((turn, server.name_of(seat).to_string(), text.to_owned()));
        })
    });

    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            // This fails if a thousand lines are waiting already.
            let _ = handle.run(move |driver, now| say(driver, now, line.as_bytes()));
        }
        handle.drain();
    });

    // Ends together with the loop, which has the only sender.
    for (turn, name, text) in turns {
        options.print(format_args!("turn {turn}: {name} answered {text}"));
    }
    server.join().expect("the loop does not panic")?;
    Ok(())
}
