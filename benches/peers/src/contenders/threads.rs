//! One thread per client, which sleeps on its own condition variable until it is passed the turn.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Result, ensure};

use crate::server::{ANY_PORT, announce};

/// The turn, as seen by one waiting client.
#[derive(Default)]
struct Baton {
    here: Mutex<bool>,
    passed: Condvar,
}

impl Baton {
    fn pass(&self) {
        *self.here.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.passed.notify_one();
    }

    fn take(&self) {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.passed.wait_while(here, |here| !*here);
        *waited.unwrap_or_else(PoisonError::into_inner) = false;
    }
}

pub fn serve(clients: usize) -> Result<()> {
    let listener = TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?)?;
    let batons: Arc<[Baton]> = (0..clients).map(|_| Baton::default()).collect();
    let mut threads = Vec::with_capacity(clients);
    for nth in 0..clients {
        let (mut client, _) = listener.accept()?;
        client.set_nodelay(true)?;
        client.write_all(b"WAIT")?;
        let batons = batons.clone();
        threads.push(std::thread::Builder::new().spawn(move || play(client, &batons, nth))?);
    }
    batons[0].pass();
    threads.into_iter().try_for_each(|thread| thread.join().expect("a client's thread does not panic"))
}

fn play(mut client: TcpStream, batons: &[Baton], nth: usize) -> Result<()> {
    let mut answer = [0; 64];
    loop {
        batons[nth].take();
        client.write_all(b"GO")?;
        ensure!(client.read(&mut answer)? > 0, "a client left");
        batons[(nth + 1) % batons.len()].pass();
    }
}
