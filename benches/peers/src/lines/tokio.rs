//! One task per client on one thread, which waits until it is passed its ring's turn.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Notify;

use super::{Shape, ring_of};
use crate::server::{ANY_PORT, announce};

struct Ring {
    /// Clients by place.
    batons: Vec<Notify>,
    joined: AtomicUsize,
    turn: AtomicU64,
}

type Rings = Arc<Mutex<HashMap<String, Arc<Ring>>>>;

pub fn serve(shape: Shape) -> Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(run(shape))
}

async fn run(shape: Shape) -> Result<()> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr()?)?;
    let rings = Rings::default();
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let rings = rings.clone();
        tokio::spawn(async move {
            if let Err(error) = play(client, rings, shape.size).await {
                eprintln!("tokio: {error:#}");
            }
        });
    }
}

async fn play(client: TcpStream, rings: Rings, size: usize) -> Result<()> {
    let mut client = BufReader::with_capacity(256, client);
    let mut line = String::new();
    client.read_line(&mut line).await?;
    let ring = find(&rings, ring_of(line.trim_end())?, size);
    let place = ring.joined.fetch_add(1, Ordering::Relaxed);
    client.write_all(b"WELCOME\n").await?;
    if place + 1 == size {
        ring.batons[0].notify_one();
    }
    loop {
        ring.batons[place].notified().await;
        let turn = ring.turn.fetch_add(1, Ordering::Relaxed) + 1;
        client.write_all(format!("GO turn={turn}\n").as_bytes()).await?;
        line.clear();
        ensure!(client.read_line(&mut line).await? > 0, "a client left");
        ring.batons[(place + 1) % size].notify_one();
        client.write_all(format!("OK turn={turn}\n").as_bytes()).await?;
    }
}

fn find(rings: &Rings, name: &str, size: usize) -> Arc<Ring> {
    let make = || {
        let batons = (0..size).map(|_| Notify::new()).collect();
        Arc::new(Ring { batons, joined: AtomicUsize::new(0), turn: AtomicU64::new(0) })
    };
    let mut rings = rings.lock().unwrap_or_else(PoisonError::into_inner);
    rings.entry(name.to_owned()).or_insert_with(make).clone()
}
