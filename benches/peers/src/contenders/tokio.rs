//! One task per client, which waits until it is passed the turn: on one thread, or on two that share the
//! work.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::server::{ANY_PORT, announce};

pub fn serve(clients: usize) -> Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(run(clients))
}

pub fn serve_multi(clients: usize) -> Result<()> {
    Builder::new_multi_thread().worker_threads(2).enable_io().build()?.block_on(run(clients))
}

async fn run(clients: usize) -> Result<()> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr()?)?;
    let batons: Arc<[Notify]> = (0..clients).map(|_| Notify::new()).collect();
    let mut tasks = JoinSet::new();
    for nth in 0..clients {
        let (mut client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        client.write_all(b"WAIT").await?;
        tasks.spawn(play(client, batons.clone(), nth));
    }
    batons[0].notify_one();
    tasks.join_next().await.expect("there are clients")?
}

async fn play(mut client: TcpStream, batons: Arc<[Notify]>, nth: usize) -> Result<()> {
    let mut answer = [0; 64];
    loop {
        batons[nth].notified().await;
        client.write_all(b"GO").await?;
        ensure!(client.read(&mut answer).await? > 0, "a client left");
        batons[(nth + 1) % batons.len()].notify_one();
    }
}
