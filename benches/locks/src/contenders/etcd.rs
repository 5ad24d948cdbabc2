//! The lock of etcd's own client (`concurrency.Mutex`), over gRPC as there.
//!
//! Each client has a key under a lease. The one whose key was created first has the lock, and every other one
//! watches the key before its own.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
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

// The messages of its `rpc.proto`, as far as they are used.

#[derive(Clone, Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    limit: i64,
    /// 1 is ascending, 2 descending.
    #[prost(int32, tag = "5")]
    sort_order: i32,
    #[prost(int32, tag = "6")]
    sort_target: i32,
    #[prost(int64, tag = "13")]
    max_create_revision: i64,
}

#[derive(Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(int64, tag = "3")]
    lease: i64,
}

#[derive(Message)]
struct GrantRequest {
    #[prost(int64, tag = "1")]
    ttl: i64,
}

#[derive(Message)]
struct DeleteRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Message)]
struct Op {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeRequest>,
    #[prost(message, optional, tag = "2")]
    put: Option<PutRequest>,
}

/// Compares the revision at which a key was created.
#[derive(Message)]
struct Compare {
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(int64, optional, tag = "5")]
    create_revision: Option<i64>,
}

#[derive(Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<Op>,
    #[prost(message, repeated, tag = "3")]
    failure: Vec<Op>,
}

#[derive(Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreate>,
    #[prost(message, optional, tag = "2")]
    cancel: Option<WatchCancel>,
}

#[derive(Message)]
struct WatchCreate {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(int64, tag = "3")]
    start_revision: i64,
}

#[derive(Message)]
struct WatchCancel {
    #[prost(int64, tag = "1")]
    watch_id: i64,
}

#[derive(Message)]
struct Header {
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(int64, tag = "2")]
    create_revision: i64,
}

#[derive(Message)]
struct Found {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Message)]
struct OpFound {
    #[prost(message, optional, tag = "1")]
    range: Option<Found>,
}

#[derive(Message)]
struct Decided {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(bool, tag = "2")]
    succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    responses: Vec<OpFound>,
}

#[derive(Message)]
struct Granted {
    #[prost(int64, tag = "2")]
    id: i64,
}

#[derive(Message)]
struct Deleted {}

#[derive(Message)]
struct Watched {
    #[prost(int64, tag = "2")]
    watch_id: i64,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Message)]
struct Event {
    /// 1 is a deletion.
    #[prost(int32, tag = "1")]
    kind: i32,
}

const CREATE: i32 = 1;
const BY_CREATION: i32 = 2;

/// A session with a lease, as in etcd's own client.
struct Session {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    /// Begins the keys of all that want the lock.
    prefix: String,
    key: Vec<u8>,
    lease: i64,
    asked: Option<ResponseFuture>,
    /// One for all watches.
    watch: Option<(SendStream<Bytes>, Body)>,
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
    let (prefix, key) = (format!("{lock}/"), Vec::new());
    let mut session = Session { runtime, sender, prefix, key, lease: 0, asked: None, watch: None };
    // The lease of the first client is not renewed where that client will fail: it ends its lock. A client
    // that is alive renews its own, or has one that is long enough.
    let time = if lock.starts_with("dead") && nth == 0 { DEADLINE.as_secs() } else { 600 };
    session.call("/etcdserverpb.Lease/LeaseGrant", &GrantRequest { ttl: i64::try_from(time)? })?;
    session.lease = session.reply::<Granted>()?.id;
    session.key = format!("{}{:x}", session.prefix, session.lease).into_bytes();
    Ok(Box::new(session))
}

fn within<T>(runtime: &Runtime, future: impl Future<Output = Result<T>>) -> Result<T> {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.context("etcd is silent")? })
}

fn framed(message: &impl Message) -> Result<Bytes> {
    let mut body = vec![0; 5];
    message.encode(&mut body)?;
    let length = u32::try_from(body.len() - 5)?;
    body[1..5].copy_from_slice(&length.to_be_bytes());
    Ok(body.into())
}

/// The messages of a body.
struct Body {
    stream: RecvStream,
    read: Vec<u8>,
}

impl Body {
    fn of(response: Response<RecvStream>) -> Result<Body> {
        let refusal = response.headers().get("grpc-message").cloned();
        ensure!(refusal.is_none(), "etcd says {refusal:?}");
        Ok(Body { stream: response.into_body(), read: Vec::new() })
    }

    async fn next<M: Message + Default>(&mut self) -> Result<M> {
        loop {
            if let Some((&[_, length @ ..], rest)) = self.read.split_first_chunk::<5>() {
                let length = u32::from_be_bytes(length) as usize;
                if rest.len() >= length {
                    let message = M::decode(&rest[..length])?;
                    self.read.drain(..5 + length);
                    return Ok(message);
                }
            }
            let data = self.stream.data().await.context("etcd ends a call")??;
            self.stream.flow_control().release_capacity(data.len())?;
            self.read.extend_from_slice(&data);
        }
    }
}

/// Begins a call, which ends with this message if `is_whole`.
async fn begin(
    sender: SendRequest<Bytes>,
    method: &str,
    message: Bytes,
    is_whole: bool,
) -> Result<(ResponseFuture, SendStream<Bytes>)> {
    let request = Request::post(format!("http://etcd{method}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(())?;
    let (response, mut stream) = sender.ready().await?.send_request(request, false)?;
    stream.send_data(message, is_whole)?;
    // The connection sends it.
    tokio::task::yield_now().await;
    Ok((response, stream))
}

impl Session {
    fn call(&mut self, method: &str, message: &impl Message) -> Result<()> {
        let begun = begin(self.sender.clone(), method, framed(message)?, true);
        self.asked = Some(within(&self.runtime, begun)?.0);
        Ok(())
    }

    fn reply<M: Message + Default>(&mut self) -> Result<M> {
        let response = self.asked.take().context("nothing was asked")?;
        within(&self.runtime, async {
            let mut body = Body::of(response.await?)?;
            let message = body.next().await?;
            let trailers = body.stream.trailers().await?.context("a call without its outcome")?;
            ensure!(
                trailers.get("grpc-status").is_some_and(|status| status == "0"),
                "etcd says {trailers:?}"
            );
            Ok(message)
        })
    }

    /// The first key, or the last one before ours.
    fn range(&self, sort_order: i32, max_create_revision: i64) -> RangeRequest {
        let mut range_end = self.prefix.clone().into_bytes();
        *range_end.last_mut().expect("a prefix") += 1;
        let key = self.prefix.clone().into_bytes();
        RangeRequest { key, range_end, limit: 1, sort_order, sort_target: BY_CREATION, max_create_revision }
    }

    /// Waits until a key is deleted after a revision.
    fn wait_for_deletion(&mut self, key: Vec<u8>, revision: i64) -> Result<()> {
        let create = Some(WatchCreate { key, start_revision: revision });
        let message = framed(&WatchRequest { create, cancel: None })?;
        let (watch, sender) = (&mut self.watch, self.sender.clone());
        within(&self.runtime, async {
            let (stream, body) = match watch {
                Some((stream, body)) => {
                    stream.send_data(message, false)?;
                    (stream, body)
                }
                None => {
                    let (response, stream) =
                        begin(sender, "/etcdserverpb.Watch/Watch", message, false).await?;
                    let (stream, body) = watch.insert((stream, Body::of(response.await?)?));
                    (stream, body)
                }
            };
            loop {
                let Watched { watch_id, events } = body.next().await?;
                if events.iter().any(|event| event.kind == 1) {
                    let cancel = Some(WatchCancel { watch_id });
                    stream.send_data(framed(&WatchRequest { create: None, cancel })?, false)?;
                    return Ok(());
                }
            }
        })
    }
}

impl Lock for Session {
    fn ask(&mut self) -> Result<()> {
        let key = || self.key.clone();
        let op = |range| Op { range: Some(range), put: None };
        let ours = RangeRequest { key: key(), ..RangeRequest::default() };
        let put = Op { put: Some(PutRequest { key: key(), lease: self.lease }), range: None };
        let request = TxnRequest {
            compare: vec![Compare { target: CREATE, key: key(), create_revision: Some(0) }],
            success: vec![put, op(self.range(1, 0))],
            failure: vec![op(ours), op(self.range(1, 0))],
        };
        self.call("/etcdserverpb.KV/Txn", &request)
    }

    fn wait(&mut self) -> Result<()> {
        let decided = self.reply::<Decided>()?;
        let revision = |header: Option<Header>| header.map(|header| header.revision).context("no header");
        let created = |nth: usize| -> Option<i64> {
            Some(decided.responses.get(nth)?.range.as_ref()?.kvs.first()?.create_revision)
        };
        let ours =
            if decided.succeeded { revision(decided.header)? } else { created(0).context("no key")? };
        if created(1) == Some(ours) {
            return Ok(());
        }
        loop {
            self.call("/etcdserverpb.KV/Range", &self.range(2, ours - 1))?;
            let before = self.reply::<Found>()?;
            let Some(last) = before.kvs.into_iter().next() else { break };
            self.wait_for_deletion(last.key, revision(before.header)?)?;
        }
        // Its session may have ended meanwhile.
        self.call(
            "/etcdserverpb.KV/Range",
            &RangeRequest { key: self.key.clone(), ..RangeRequest::default() },
        )?;
        ensure!(!self.reply::<Found>()?.kvs.is_empty(), "the lease has ended");
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        self.call("/etcdserverpb.KV/DeleteRange", &DeleteRequest { key: self.key.clone() })?;
        self.reply::<Deleted>()?;
        // It does not look whether the key was still there.
        Ok(true)
    }
}
