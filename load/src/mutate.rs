//! Sessions of every protocol with mistakes in them, over sockets: any number, on several connections at a
//! time. The servers must stay alive, keep their memory, and serve clients that make no mistakes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use socket2::SockRef;

use crate::program::Program;
use crate::row::Row;

/// Clients per server that make mistakes at the same time.
const MAKERS: u64 = 4;
/// How long such a client waits for an answer, which it may not get at all.
const PATIENCE: Duration = Duration::from_millis(1);
/// The most that a server's memory may grow beyond its first sessions.
const GROWTH_MAX: f64 = 4.0 * 1024.0 * 1024.0;

/// A server, a correct session, and how a correct client checks that it still serves.
struct Stage {
    program: &'static str,
    args: &'static [&'static str],
    session: &'static [u8],
    polite: (&'static [u8], &'static [u8]),
}

const STAGES: [Stage; 8] = [
    Stage {
        program: "turn_server",
        args: &["--framing", "line", "--clients", "1", "--quiet", "--turn-deadline", "50ms", "--weight-max", "9"],
        session: b"PING\nJOIN ann ring=main weight=3 hear=turns\nANSWER turn=1 epoch=0123456789abcdef :42\nPASS turn=2\n\
            RENEW\nANSWER bytes=12\ntwo\nlines: \x1b\nASK\nREST\nANSWER :-7\nLEAVE\n\
            JOIN ann resume=0123456789abcdef0123456789abcdef\nWATCH ring=main\n",
        polite: (b"JOIN polite ring=other\n", b"GO turn="),
    },
    Stage {
        program: "turn_server",
        args: &["--clients", "1", "--quiet", "--turn-deadline", "20ms"],
        session: b"JOIN ann demand=ask\nASK\nANSWER :a\nASK\nANSWER turn=2 bytes=3\na\nb\nLEAVE\nbob:1",
        polite: (b"JOIN polite ring=other\n", b"GO turn="),
    },
    Stage {
        program: "turn_server",
        args: &["--framing", "raw", "--clients", "1", "--quiet", "--turn-deadline", "20ms"],
        session: b"Client1:42",
        polite: (b"", b""),
    },
    Stage { program: "echo_server", args: &[], session: b"hello w\xc3\xb6rld\n", polite: (b"hello\n", b"hello") },
    Stage {
        program: "echo_server",
        args: &["--keep-open"],
        session: b"one\ntwo \xe2\x82\xac\n\nthree\n",
        polite: (b"hello\n", b"hello"),
    },
    Stage {
        program: "rank_server",
        args: &["--framing", "line"],
        session: b"C 0 dance\nD 1\nC 7 sing and dance\nD 2\n",
        polite: (b"", b""),
    },
    Stage { program: "rank_server", args: &[], session: b"C 0 dance", polite: (b"", b"") },
    Stage {
        program: "counter_server",
        args: &["--log-file", "/dev/null"],
        session: b"17 42 odd even -3 9223372036854775807 ",
        polite: (b"9999", b""),
    },
];

pub fn run(sessions: u64, seed: u64) -> Result<Vec<Row>> {
    let share = sessions.div_ceil(STAGES.len() as u64 * MAKERS);
    let mut rows = Vec::new();
    for stage in STAGES {
        let server = Program::start(stage.program, stage.args)?;
        make_mistakes(&stage, server.addr, share.min(1_000), seed)?;
        let before = server.memory()?;
        let begun = Instant::now();
        make_mistakes(&stage, server.addr, share, seed + 1)?;
        let took = begun.elapsed().as_secs_f64();
        still_serves(&stage, server.addr)?;
        let what = format!(
            "{} {}: {} sessions with mistakes (seed {seed}, {took:.0} s), then one without; memory grew by",
            stage.program,
            stage.args.join(" "),
            share * MAKERS
        );
        rows.push(Row::at_most(what, (server.memory()? - before) / 1024.0, GROWTH_MAX / 1024.0, "KiB"));
    }
    Ok(rows)
}

fn make_mistakes(stage: &Stage, addr: SocketAddr, sessions: u64, seed: u64) -> Result<()> {
    let connected = AtomicU64::new(0);
    thread::scope(|scope| {
        for maker in 0..MAKERS {
            let connected = &connected;
            scope.spawn(move || {
                let mut random = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(maker));
                for _ in 0..sessions {
                    connected.fetch_add(u64::from(play(stage, addr, &mut random).is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    // A mistake may cost its own connection, but never the server's readiness to accept another.
    ensure!(connected.into_inner() == sessions * MAKERS, "{} does not take every connection", stage.program);
    Ok(())
}

/// Plays one session. Fails only if there is no connection; everything later is up to the server.
fn play(stage: &Stage, addr: SocketAddr, random: &mut Rng) -> Result<()> {
    let mut stream = TcpStream::connect(addr).context("cannot connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let said = mistaken(stage.session, random);
    let mut heard = [0; 1024];
    for piece in said.chunks(random.usize(1..=said.len().max(1))) {
        if stream.write_all(piece).is_err() {
            break;
        }
        if random.u8(..) < 32 {
            let _ = stream.read(&mut heard);
        }
    }
    match random.u8(..8) {
        0 => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        1 | 2 => drop(stream.shutdown(Shutdown::Write).and_then(|()| stream.read(&mut heard))),
        _ => {}
    }
    Ok(())
}

/// Returns `session` with some bytes changed, removed, inserted, repeated or exchanged.
fn mistaken(session: &[u8], random: &mut Rng) -> Vec<u8> {
    const SPICE: &[u8] = b"\0\n\r :=\xff\x1b9-GOWAIT";
    let mut said = session.to_vec();
    for _ in 0..random.usize(0..5) {
        let (from, to) = (random.usize(..=said.len()), random.usize(..=said.len()));
        let (from, to) = (from.min(to), from.max(to));
        match random.u8(..6) {
            0 => said.truncate(to),
            1 => drop(said.drain(from..to.min(from + 8))),
            2 => said.insert(from, SPICE[random.usize(..SPICE.len())]),
            3 => said.extend_from_within(from..to),
            4 => said.rotate_left(from),
            _ => said.get_mut(from).into_iter().for_each(|byte| *byte ^= 1 << random.u8(..8)),
        }
    }
    said
}

fn still_serves(stage: &Stage, addr: SocketAddr) -> Result<()> {
    let (said, expected) = stage.polite;
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(said)?;
    let (mut heard, mut piece) = (Vec::new(), [0; 1024]);
    while heard.is_empty() || !heard.windows(expected.len().max(1)).any(|part| part.starts_with(expected)) {
        let count = stream.read(&mut piece).with_context(|| format!("{} is silent", stage.program))?;
        ensure!(count > 0, "{} turned a polite client away", stage.program);
        heard.extend_from_slice(&piece[..count]);
    }
    Ok(())
}
