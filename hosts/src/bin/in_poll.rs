//! In a loop around `poll(2)`, next to the program's own descriptors.

use std::error::Error;
use std::io;
use std::ops::ControlFlow::Continue;

use hosts::{Options, say};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use taketurns::net::now;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    let mut event_loop = options.serve()?;
    let stdin = io::stdin();
    let mut typed = [0; 1024];
    let mut is_typing = true;

    while let Continue(timeout) =
        event_loop.run_ready(|driver, event| options.print_event(driver.protocol(), &event))?
    {
        let timeout = timeout.map(TryInto::try_into).transpose()?;
        let mut descriptors = [PollFd::new(&event_loop, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        let waited_for = if is_typing { &mut descriptors[..] } else { &mut descriptors[..1] };
        match poll(waited_for, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            polled => _ = polled?,
        }
        if is_typing && !descriptors[1].revents().is_empty() {
            // A terminal returns one line at a time.
            let count = rustix::io::read(&stdin, &mut typed)?;
            is_typing = count > 0;
            if is_typing {
                say(event_loop.driver_mut(), now(), typed[..count].trim_ascii());
            } else {
                event_loop.driver_mut().drain(now());
            }
        }
    }
    Ok(())
}
