//! Faults of the whole process, each in a process of its own: no descriptors, signals.

use std::process::{Command, Stdio};
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use support::ms;
use taketurns::net::{DriverConfig, Event};

use crate::loopback::{Act, Rig, Script};
use crate::servers::script;

/// The variable that marks the child process.
const CHILD: &str = "TAKETURNS_TEST_CHILD";

/// Returns a command that runs only the test `name` of this module, in this binary.
fn child(name: &str) -> Command {
    let (_, module) = module_path!().split_once("::").expect("a module of this program");
    let name = format!("{module}::{name}");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(CHILD, "1").stdin(Stdio::null());
    command
}

/// G5.
#[test]
fn without_descriptors_the_loop_serves_and_recovers_without_another_knock() {
    if std::env::var_os(CHILD).is_none() {
        let name = "without_descriptors_the_loop_serves_and_recovers_without_another_knock";
        let output = child(name).output().expect("this program runs");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        // Without a test of that name, nothing could fail.
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (mut rig, addr) = script(DriverConfig::default());
    let (mut client, id) = rig.meet(addr);
    rig.driver.protocol_mut().when_told("ping", [Act::Send(id, b"pong".to_vec())]);
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    let knocking: Vec<_> = (0..40).map(|_| socket()).collect();
    let null = || std::fs::File::open("/dev/null");
    let hoard: Vec<_> = (0..60).map(|_| null().expect("a descriptor")).collect();
    let (_, hard) = rlimit::Resource::NOFILE.get().expect("a limit");
    // The standard streams, the poll and so on use the descriptors below; from here on there are none.
    let used = 3 + 60 + 40 + 2;
    rlimit::Resource::NOFILE.set(used, hard).expect("lower");
    let mut rest: Vec<_> = std::iter::from_fn(|| null().ok()).collect();
    rest.extend(hoard);

    let paused = |rig: &Rig<Script>| {
        rig.log.iter().filter(|event| matches!(event, Event::AcceptPaused { .. })).count()
    };
    let (early, late) = knocking.split_at(5);
    early.iter().for_each(|socket| socket.connect(&addr.into()).expect("queued"));
    rig.pass_until("no descriptor is left", |rig| paused(rig) > 0);
    let passes = rig.idle(ms(600));
    // Pauses of 10, 20, 40 ... 500 ms, each ended by one pass that notices it and one that retries.
    assert!(passes <= 20, "{passes} passes: it spins");
    assert_eq!(rig.driver.connections(), 1);
    // The queued newcomer is no reason to hurry.
    let (passes, pauses, start) = (rig.passes, paused(&rig), Instant::now());
    for socket in late {
        socket.connect(&addr.into()).expect("queued");
        client.send("ping");
        rig.hears(&mut client, "pong");
        client.take();
    }
    let (attempts, took) = (paused(&rig) - pauses, start.elapsed());
    println!("{} passes, {attempts} attempts for 35 knocks", rig.passes - passes);
    // At most six pauses are shorter than 500 ms.
    assert!(
        attempts as u128 <= 6 + took.as_millis() / 500,
        "each knock made it try again: {attempts} in {took:?}"
    );

    drop(rest);
    rig.pass_until("all clients are accepted", |rig| rig.driver.connections() == 41);
    assert!(rig.idle(ms(600)) <= 3, "and then it sleeps");
}

/// Sends the signal `name`.
#[cfg(target_os = "linux")]
fn signal(name: &str, process: u32) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(status.expect("a shell").success(), "SIG{name} was not sent");
}

/// `EINTR`: Linux ends `epoll_wait` early when a process is continued.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_during_the_poll_does_not_end_the_loop() {
    use std::io::{BufRead as _, BufReader};
    use std::sync::mpsc::channel;

    use crate::loopback::PATIENCE;
    use crate::servers::event_loop;

    if std::env::var_os(CHILD).is_some() {
        let (mut event_loop, _) = event_loop();
        event_loop.run_once(Some(ms(0))).expect("a pass");
        while event_loop.driver_mut().poll_event().is_some() {}
        println!("\npolling");
        let start = Instant::now();
        let goes_on = event_loop.run_once(Some(PATIENCE)).expect("an interrupted poll is no failure");
        println!("interrupted={}", goes_on && start.elapsed() < PATIENCE);
        return;
    }
    let mut process = child("a_signal_during_the_poll_does_not_end_the_loop")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let (sender, lines) = channel();
    let mut output = BufReader::new(process.stdout.take().expect("piped"));
    std::thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).is_ok_and(|count| count > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !seen.contains("interrupted=") && Instant::now() < deadline {
        // A signal before the poll is lost, so several are sent. A process that has not stopped yet when it
        // is told to continue never stops, and its poll continues.
        if let Ok(line) = lines.recv_timeout(ms(50)) {
            seen += &line;
        } else if seen.contains("polling") {
            signal("STOP", process.id());
            let stat = format!("/proc/{}/stat", process.id());
            let is_stopped = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
            while !is_stopped() && Instant::now() < deadline {
                std::thread::yield_now();
            }
            signal("CONT", process.id());
        }
    }
    let status = process.wait().expect("it ran");
    assert!(status.success() && seen.contains("interrupted=true"), "{seen}");
}
