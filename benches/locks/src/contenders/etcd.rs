//! The lock service of etcd, over gRPC, as etcd's own clients speak with it.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use prost::Message;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::{Client, Lock};
use crate::daemon::{self, Daemon};
use crate::{DEADLINE, PATIENCE};

/// Starts an etcd of so many members. Of three, two have to write before anything counts.
pub fn start(dir: &Path, members: usize) -> Result<Option<Daemon>> {
    let Some(program) = daemon::find("etcd", &[]) else { return Ok(None) };
    fs::create_dir(dir)?;
    let addresses = (0..members)
        .map(|_| Ok((daemon::free_address()?, daemon::free_address()?)))
        .collect::<Result<Vec<(SocketAddr, SocketAddr)>>>()?;
    let cluster: Vec<_> =
        addresses.iter().enumerate().map(|(nth, (_, peer))| format!("m{nth}=http://{peer}")).collect();
    let command = |(nth, (addr, peer)): (usize, &(SocketAddr, SocketAddr))| {
        let (clients, peers) = (format!("http://{addr}"), format!("http://{peer}"));
        let mut command = Command::new(&program);
        command.arg("--data-dir").arg(dir.join(format!("data{nth}")));
        command.args(["--name", &format!("m{nth}"), "--log-level", "error"]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &cluster.join(",")]);
        (command, *addr)
    };
    Daemon::start_all(addresses.iter().enumerate().map(command).collect()).map(Some)
}

// The messages of its `rpc.proto` and `v3lock.proto`, as far as they are used.

#[derive(Message)]
struct GrantRequest {
    #[prost(int64, tag = "1")]
    ttl: i64,
}

#[derive(Message)]
struct LockRequest {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(int64, tag = "2")]
    lease: i64,
}

#[derive(Message)]
struct UnlockRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Message)]
struct Granted {
    #[prost(int64, tag = "2")]
    id: i64,
}

#[derive(Message)]
struct Locked {
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

#[derive(Message)]
struct Unlocked {}

/// A session with a lease, as in etcd's own client.
struct Session {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    lock: Vec<u8>,
    lease: i64,
    asked: Option<ResponseFuture>,
    key: Option<Vec<u8>>,
}

pub fn connect(addr: SocketAddr, &Client { lock, nth, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let sender = within(&runtime, async {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(sender)
    })?;
    let lock = lock.as_bytes().to_vec();
    let mut session = Session { runtime, sender, lock, lease: 0, asked: None, key: None };
    // The lease of the first client is not renewed where that client will fail: it ends its lock. A client
    // that is alive renews its own, or has one that is long enough.
    let time = if session.lock.starts_with(b"dead") && nth == 0 { DEADLINE.as_secs() } else { 600 };
    session.call("/etcdserverpb.Lease/LeaseGrant", &GrantRequest { ttl: i64::try_from(time)? })?;
    session.lease = session.reply::<Granted>()?.id;
    Ok(Box::new(session))
}

fn within<T>(runtime: &Runtime, future: impl Future<Output = Result<T>>) -> Result<T> {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.context("etcd is silent")? })
}

impl Session {
    fn call(&mut self, method: &str, message: &impl Message) -> Result<()> {
        let mut body = vec![0; 5];
        message.encode(&mut body)?;
        let length = u32::try_from(body.len() - 5)?;
        body[1..5].copy_from_slice(&length.to_be_bytes());
        let request = Request::post(format!("http://etcd{method}"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers").body(())?;
        let sender = self.sender.clone();
        self.asked = Some(within(&self.runtime, async {
            let (response, mut stream) = sender.ready().await?.send_request(request, false)?;
            stream.send_data(body.into(), true)?;
            // The connection sends it.
            tokio::task::yield_now().await;
            Ok(response)
        })?);
        Ok(())
    }

    fn reply<M: Message + Default>(&mut self) -> Result<M> {
        let response = self.asked.take().context("nothing was asked")?;
        within(&self.runtime, async {
            let response = response.await?;
            let refusal = response.headers().get("grpc-message").cloned();
            ensure!(refusal.is_none(), "etcd says {refusal:?}");
            let (mut stream, mut body) = (response.into_body(), Vec::new());
            while let Some(data) = stream.data().await {
                body.extend_from_slice(&data?);
            }
            let trailers = stream.trailers().await?.context("a call without its outcome")?;
            ensure!(
                trailers.get("grpc-status").is_some_and(|status| status == "0"),
                "etcd says {trailers:?}"
            );
            Ok(M::decode(body.get(5..).context("etcd says nothing")?)?)
        })
    }
}

impl Lock for Session {
    fn ask(&mut self) -> Result<()> {
        let request = LockRequest { name: self.lock.clone(), lease: self.lease };
        self.call("/v3lockpb.Lock/Lock", &request)
    }

    fn wait(&mut self) -> Result<()> {
        self.key = Some(self.reply::<Locked>()?.key);
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        let key = self.key.take().context("it has no lock")?;
        self.call("/v3lockpb.Lock/Unlock", &UnlockRequest { key })?;
        self.reply::<Unlocked>()?;
        // It does not say whether the key was still there.
        Ok(true)
    }
}
