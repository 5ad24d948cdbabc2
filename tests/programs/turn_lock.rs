//! `turn_lock`: a command that runs while holding the turn, and what can happen to it. [P3]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use support::bare::{PATIENCE, free_address};
use support::proxy::Proxy;

use crate::process::folder::Folder;
use crate::process::programs::example;
#[cfg(feature = "journal")]
use crate::process::programs::example_as_here;
use crate::process::{Line, Process, Reading, Stream};
use crate::programs::{LinePeer, Server, expect_one_complaint, field};

const GAVE_UP: i32 = 75;
const LOST: i32 = 76;

/// Starts `turn_lock --serve`, with some options of its own.
fn server(options: &[&str]) -> Server {
    server_at("127.0.0.1:0", options)
}

fn server_at(address: &str, options: &[&str]) -> Server {
    let lock = ["--demand", "ask", "--clients", "1", "--hold-max", "none", "--turn-grace", "10s"];
    Server::start_at(address, &[&lock[..], options].concat())
}

fn lock(address: &str, options: &[&str], command: &[&str]) -> Process {
    let mut program = example("turn_lock");
    program.args(["--connect", address]).args(options).arg("--").args(command);
    Process::spawn(&mut program)
}

/// A pipe at which a command waits until it is opened.
struct Gate {
    folder: Folder,
}

impl Gate {
    fn new() -> Gate {
        let folder = Folder::new();
        folder.pipe("gate");
        Gate { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path("gate")
    }

    /// Returns a script that reports that it runs, and then waits at the gate.
    fn script(&self) -> String {
        format!("echo turn $TAKETURNS_TURN; read _ < '{}'; echo passed", self.path().display())
    }

    /// Lets the waiting command pass.
    fn open(&self) {
        drop(OpenOptions::new().write(true).open(self.path()).expect("a command waits at it"));
    }
}

fn prints(process: &mut Process, text: &str) {
    process.wait_for_line(text, |line| line.stream == Stream::Out && line.text == text, PATIENCE);
}

fn complains(process: &mut Process, text: &str) {
    let is_said = |line: &Line| line.stream == Stream::Err && line.text.contains(text);
    process.wait_for_line(text, is_said, PATIENCE);
}

/// Waits until this many seats of the ring are waiting. A lock that has joined asks at its own pace.
fn wait_for_waiting(address: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut watcher = LinePeer::connect(address, "WATCH");
        let mut waiting = 0;
        loop {
            let line = watcher.hears_next();
            waiting += usize::from(line.starts_with("SEAT ") && field(&line, "state") == "waiting");
            if line.starts_with("SEATS ") {
                break;
            }
        }
        if waiting == count {
            return;
        }
        assert!(Instant::now() < deadline, "{waiting} wait, not {count}");
    }
}

#[test]
fn a_command_runs_with_its_fence_in_its_environment_and_its_code_is_ours() {
    let server = server(&[]);
    for (turn, code) in [(1, 0), (2, 7)] {
        let script = format!("echo $TAKETURNS_EPOCH $TAKETURNS_TURN; exit {code}");
        let mut process = lock(&server.address, &[], &["sh", "-c", &script]);
        process.expect_exit(code, PATIENCE);
        let said = process.lines(Stream::Out).join("\n");
        let (epoch, number) = said.split_once(' ').expect("both");
        assert!(u64::from_str_radix(epoch, 16).is_ok_and(|epoch| epoch != 0), "{said}");
        assert_eq!(number, turn.to_string());
    }
    // Arguments after the command belong to the command, even without --.
    let mut process = Process::spawn(example("turn_lock").args([
        "--connect",
        &server.address,
        "echo",
        "-h",
        "--ring=x",
        "-V",
        "--",
        "-",
    ]));
    process.expect_exit(0, PATIENCE);
    assert_eq!(process.lines(Stream::Out), ["-h --ring=x -V -- -"]);
    let mut process = lock(&server.address, &[], &["env", "--", "echo", "ran"]);
    process.expect_exit(0, PATIENCE);
    assert_eq!(process.lines(Stream::Out), ["ran"]);
    lock(&server.address, &[], &["no-such-command"]).expect_exit(127, PATIENCE);
    lock(&server.address, &[], &["sh", "-c", "kill -9 $$"]).expect_exit(128 + 9, PATIENCE);
}

/// A signal that would end `turn_lock` alone would leave the command running without a turn.
#[test]
fn signals_that_end_programs_are_passed_on_to_the_command() {
    let server = server(&[]);
    for (signal, number) in [("USR1", 10), ("USR2", 12), ("ALRM", 14), ("IO", 29)] {
        let mut holder = lock(&server.address, &[], &["sh", "-c", "echo it runs; sleep 600 & wait"]);
        prints(&mut holder, "it runs");
        holder.signal(signal);
        holder.expect_exit(128 + number, PATIENCE);
    }
    let command = "trap 'echo heard; exit 0' USR1; echo it runs; while :; do sleep 0.05; done";
    let mut holder = lock(&server.address, &[], &["sh", "-c", command]);
    prints(&mut holder, "it runs");
    holder.signal("USR1");
    prints(&mut holder, "heard");
    holder.expect_exit(0, PATIENCE);
}

/// A server that is full, or that is none for locks.
#[test]
fn a_lock_says_why_a_server_does_not_take_it() {
    let full = server(&["--max-clients", "1"]);
    let mut holder = LinePeer::connect(&full.address, "JOIN holder");
    holder.hears("WELCOME ");
    let mut at_once = lock(&full.address, &["--try"], &["true"]);
    at_once.expect_exit(1, PATIENCE);
    assert!(expect_one_complaint(&at_once).contains("the server closes the connection: full"));
    let mut patient = lock(&full.address, &[], &["echo", "it runs"]);
    complains(&mut patient, "the server closes the connection: full");
    complains(&mut patient, "trying again until a server takes this client (see --connect)");
    holder.says("LEAVE");
    prints(&mut patient, "it runs");
    patient.expect_exit(0, PATIENCE);
    assert_eq!(patient.lines(Stream::Err).len(), 1, "it is said once");
    // One that says at once that it is for nobody else is told once, and nothing is tried again.
    let folder = Folder::new();
    fs::write(folder.path("rules"), format!("sha256:{} ring=main\n", "0".repeat(64)))
        .expect("a folder of ours");
    let guarded = server(&["--access", folder.path("rules").to_str().expect("UTF-8")]);
    for options in [&["--try"][..], &[]] {
        let mut unknown = lock(&guarded.address, options, &["true"]);
        unknown.expect_exit(1, PATIENCE);
        let said = expect_one_complaint(&unknown);
        assert!(said.contains("forbidden") && !said.contains("trying again"), "{said}");
    }
    for options in [&["--framing", "raw"][..], &["--framing", "raw", "--clients", "1"]] {
        let server = Server::start(options);
        let mut at_once = lock(&server.address, &["--try"], &["true"]);
        at_once.expect_exit(1, PATIENCE);
        assert!(expect_one_complaint(&at_once).contains(&format!("{}: closed", server.address)));
    }
}

#[test]
fn turn_lock_can_be_the_server() {
    let mut command = example("turn_lock");
    let mut server = Server::spawn(command.args(["--serve", "--listen", "127.0.0.1:0"]), Reading::All);
    lock(&server.address, &[], &["true"]).expect_exit(0, PATIENCE);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// The Python client names the ring before `--`. Locking `main` instead would protect nothing.
#[test]
fn a_ring_in_the_place_of_the_command_is_refused_and_nothing_is_locked() {
    let server = server(&[]);
    let mut process = Process::spawn(example("turn_lock").args([
        "--connect",
        &server.address,
        "gpu0",
        "--",
        "echo",
        "ran",
    ]));
    process.expect_exit(2, PATIENCE);
    let said = expect_one_complaint(&process);
    assert!(said.contains("perhaps you mean `--ring gpu0 -- echo ran`"), "{said}");
    let mut holder = lock(&server.address, &[], &["sh", "-c", "echo turn $TAKETURNS_TURN"]);
    holder.expect_exit(0, PATIENCE);
    assert_eq!(holder.lines(Stream::Out), ["turn 1"]);
}

#[test]
fn a_server_of_another_kind_is_named() {
    let server = Server::start(&["--demand", "always", "--clients", "1"]);
    let mut refused = lock(&server.address, &[], &["true"]);
    refused.expect_exit(1, PATIENCE);
    let complaint = expect_one_complaint(&refused);
    assert!(complaint.ends_with("turn_lock needs a turn_lock --serve"), "{complaint}");
    let server = Server::start(&["--demand", "ask", "--clients", "2"]);
    let mut waits = lock(&server.address, &["--timeout", "1s"], &["true"]);
    waits.expect_exit(GAVE_UP, PATIENCE);
    let complaint = expect_one_complaint(&waits);
    assert!(complaint.contains("no turns until 1 more"), "{complaint}");
}

#[test]
fn the_turn_goes_round_in_the_order_of_asking() {
    let server = server(&[]);
    let gate = Gate::new();
    let mut first = lock(&server.address, &[], &["sh", "-c", &gate.script()]);
    prints(&mut first, "turn 1");
    let mut waiters = Vec::new();
    for count in 1..=2 {
        waiters.push(lock(&server.address, &[], &["sh", "-c", &gate.script()]));
        wait_for_waiting(&server.address, count);
    }
    gate.open();
    first.expect_exit(0, PATIENCE);
    for (mut waiter, turn) in waiters.into_iter().zip(["turn 2", "turn 3"]) {
        prints(&mut waiter, turn);
        gate.open();
        waiter.expect_exit(0, PATIENCE);
    }
}

#[test]
fn a_lock_that_does_not_want_to_wait_gives_up_with_75() {
    let server = server(&[]);
    let gate = Gate::new();
    let mut holder = lock(&server.address, &[], &["sh", "-c", &gate.script()]);
    prints(&mut holder, "turn 1");
    for option in [&["--try"][..], &["--timeout", "100ms"]] {
        let mut process = lock(&server.address, option, &["echo", "ran"]);
        process.expect_exit(GAVE_UP, PATIENCE);
        assert_eq!(process.lines(Stream::Out), Vec::<&str>::new(), "{option:?}");
    }
    // Neither has left a trace: another ring is free, and so is this one once its holder has finished.
    lock(&server.address, &["--try", "--ring", "gpu1"], &["true"]).expect_exit(0, PATIENCE);
    gate.open();
    holder.expect_exit(0, PATIENCE);
    lock(&server.address, &["--try"], &["true"]).expect_exit(0, PATIENCE);

    let nobody = free_address();
    lock(&nobody, &["--timeout", "100ms"], &["true"]).expect_exit(GAVE_UP, PATIENCE);
    let mut process = lock(&nobody, &["--try"], &["true"]);
    process.expect_exit(1, PATIENCE);
    assert!(process.lines(Stream::Err).join("\n").to_lowercase().contains("connection refused"));
}

/// Longer than a holder may stay silent.
#[test]
fn a_holder_renews_for_as_long_as_its_command_runs() {
    let server = server(&["--turn-deadline", "1s"]);
    let gate = Gate::new();
    let options = ["--kill-after", "300ms"];
    let mut holder = lock(&server.address, &options, &["sh", "-c", &gate.script()]);
    prints(&mut holder, "turn 1");
    let mut waiter = lock(&server.address, &options, &["echo", "mine"]);
    waiter.expect_no_line("a second holder", |line| line.text == "mine", Duration::from_secs(3));
    gate.open();
    prints(&mut holder, "passed");
    holder.expect_exit(0, PATIENCE);
    waiter.expect_exit(0, PATIENCE);
}

#[test]
fn a_signal_reaches_the_command_and_ends_a_waiting_lock() {
    let server = server(&[]);
    let gate = Gate::new();
    let script = format!("trap 'echo told; exit 3' TERM; {}", gate.script());
    let mut holder = lock(&server.address, &[], &["sh", "-c", &script]);
    prints(&mut holder, "turn 1");
    let mut waiter = lock(&server.address, &[], &["true"]);
    wait_for_waiting(&server.address, 1);
    waiter.signal("TERM");
    waiter.expect_exit(128 + 15, PATIENCE);
    holder.signal("TERM");
    prints(&mut holder, "told");
    holder.expect_exit(3, PATIENCE);
}

/// The turns of this server have a limit, and the command must end before that.
#[test]
fn a_command_ends_before_the_longest_turn_does() {
    let mut server = Server::start(&["--demand", "ask", "--clients", "1", "--turn-deadline", "2s"]);
    let options = ["--kill-after", "700ms"];
    let mut holder = lock(&server.address, &options, &["sleep", "600"]);
    holder.expect_exit(LOST, PATIENCE);
    complains(
        &mut holder,
        "the turn is lost (this ring allows 2s per turn; a turn_lock --serve has no limit)",
    );
    complains(&mut holder, "; the command is ended");
    let lapsed = |line: &Line| line.text.contains("lapsed");
    server.process.expect_no_line("a turn that lapsed", lapsed, Duration::ZERO);

    let mut process = lock(&server.address, &["--kill-after", "2s"], &["echo", "ran"]);
    process.expect_exit(1, PATIENCE);
    complains(&mut process, "--kill-after leaves nothing of a turn of ");
    assert_eq!(process.lines(Stream::Out), Vec::<&str>::new());
}

/// The server takes the turn away at the deadline. When the holder wakes up, its own clock tells it so.
#[test]
fn a_stopped_holder_loses_its_turn_to_the_next_and_ends_its_command() {
    let server = server(&["--turn-deadline", "2s"]);
    let options = ["--kill-after", "500ms"];
    let mut holder =
        lock(&server.address, &options, &["sh", "-c", "echo turn $TAKETURNS_TURN; exec sleep 600"]);
    prints(&mut holder, "turn 1");
    holder.signal("STOP");
    let mut next = lock(&server.address, &options, &["sh", "-c", "echo turn $TAKETURNS_TURN"]);
    prints(&mut next, "turn 2");
    next.expect_exit(0, PATIENCE);
    holder.signal("CONT");
    // The command shares its output, so this waits for the end of both.
    holder.expect_exit(LOST, PATIENCE);
    complains(&mut holder, "the turn is lost");
}

/// Waits until the lock and the shell that has printed its id are both stopped, or both running.
#[cfg(target_os = "linux")]
fn wait_for_state(lock: &mut Process, is_stopped: bool) {
    let shell = lock.wait_until("id of the shell", PATIENCE, |seen| {
        seen.iter().find_map(|line| line.text.strip_prefix("shell ")?.parse::<u32>().ok())
    });
    let deadline = Instant::now() + PATIENCE;
    for id in [shell, lock.id()] {
        loop {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("it has not ended");
            if stat.contains(") T ") == is_stopped {
                break;
            }
            assert!(Instant::now() < deadline, "{stat}");
            std::thread::yield_now();
        }
    }
}

/// As with Ctrl-Z and `fg` in a shell, which does not know the command's process group.
#[cfg(target_os = "linux")]
#[test]
fn a_suspended_holder_suspends_its_command() {
    let server = server(&[]);
    let gate = Gate::new();
    let script = format!("echo shell $$; {}", gate.script());
    let mut holder = lock(&server.address, &[], &["sh", "-c", &script]);
    prints(&mut holder, "turn 1");
    // TTOU comes when it writes to a terminal on which only the foreground may write.
    for signal in ["TSTP", "TTOU", "TSTP"] {
        holder.signal(signal);
        wait_for_state(&mut holder, true);
        holder.signal("CONT");
        wait_for_state(&mut holder, false);
    }
    gate.open();
    prints(&mut holder, "passed");
    holder.expect_exit(0, PATIENCE);
}

/// As after `docker exec`: the leader of its session is outside the container.
#[cfg(target_os = "linux")]
#[test]
fn a_holder_in_a_container_can_be_suspended() {
    let container = ["-r", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !Command::new("unshare").args(container).arg("true").status().is_ok_and(|status| status.success()) {
        return;
    }
    let server = server(&[]);
    let gate = Gate::new();
    let script = r#"
        "$1" --connect "$2" -- sh -c "kill -TSTP \$PPID; $3" &
        until grep -q '^State:.T' /proc/$!/status; do sleep 0.01; done
        kill -CONT $!
        echo continued
        wait $!
    "#;
    let lock = example("turn_lock");
    let mut sandbox = Command::new("unshare");
    sandbox.args(container).args(["sh", "-c", script, "sh"]).arg(lock.get_program());
    let mut holder = Process::spawn(sandbox.args([&server.address, &gate.script()]));
    prints(&mut holder, "continued");
    gate.open();
    prints(&mut holder, "passed");
    holder.expect_exit(0, PATIENCE);
}

/// By then another client has the turn, so the command must do nothing more, not even on SIGTERM.
#[cfg(target_os = "linux")]
#[test]
fn a_holder_suspended_for_longer_than_its_turn_kills_its_stopped_command() {
    let server = server(&["--turn-deadline", "2s"]);
    let options = ["--kill-after", "500ms"];
    // In the background: a shell cannot be stopped while what it runs in the foreground is not executed yet.
    let script = "echo shell $$; trap 'echo told' TERM; sleep 600 & echo turn 1; wait";
    let mut holder = lock(&server.address, &options, &["sh", "-c", script]);
    prints(&mut holder, "turn 1");
    holder.signal("TSTP");
    wait_for_state(&mut holder, true);
    lock(&server.address, &options, &["true"]).expect_exit(0, PATIENCE);
    holder.signal("CONT");
    holder.expect_exit(LOST, PATIENCE);
    complains(&mut holder, "the turn is lost");
    assert_eq!(holder.lines(Stream::Out).last(), Some(&"turn 1"));
}

/// Its `GO` was written while it was stopped. When it reads that, another client has the turn.
#[test]
fn a_lock_that_was_stopped_when_its_turn_came_does_not_run() {
    let server = server(&["--turn-deadline", "1s"]);
    let mut holder = LinePeer::connect(&server.address, "JOIN holder");
    holder.says("ASK");
    holder.hears("GO turn=1 ");
    let script = "echo turn $TAKETURNS_TURN";
    let mut stopped = lock(&server.address, &["--kill-after", "300ms"], &["sh", "-c", script]);
    wait_for_waiting(&server.address, 1);
    stopped.signal("STOP");
    let mut next = LinePeer::connect(&server.address, "JOIN next");
    next.says("ASK");
    next.hears("WAIT ");
    holder.says("REST");
    next.hears("GO turn=3 ");
    stopped.signal("CONT");
    wait_for_waiting(&server.address, 1);
    next.says("REST");
    stopped.expect_exit(0, PATIENCE);
    assert_eq!(stopped.lines(Stream::Out), ["turn 4"]);
}

#[test]
fn a_command_may_continue_without_the_turn_if_requested() {
    let server = server(&["--turn-deadline", "2s"]);
    let gate = Gate::new();
    let options = ["--kill-after", "500ms", "--keep-going"];
    let mut holder = lock(&server.address, &options, &["sh", "-c", &gate.script()]);
    prints(&mut holder, "turn 1");
    holder.signal("STOP");
    lock(&server.address, &options[..2], &["true"]).expect_exit(0, PATIENCE);
    holder.signal("CONT");
    complains(&mut holder, "the command keeps running");
    gate.open();
    prints(&mut holder, "passed");
    holder.expect_exit(LOST, PATIENCE);
}

/// Another life of the server knows nothing about the turn. All descendants of the command end with it, even
/// stubborn ones.
#[test]
fn a_restarted_server_ends_the_command_and_its_grandchildren() {
    let server = server(&[]);
    let address = server.address.clone();
    let stubborn = "(trap '' TERM; echo $$ started; while :; do sleep 0.05; done) & wait";
    let mut holder = lock(&address, &["--kill-after", "1s"], &["sh", "-c", stubborn]);
    holder.wait_for_line("grandchild", |line| line.text.ends_with(" started"), PATIENCE);
    server.process.kill(PATIENCE);
    let server = server_at(&address, &[]);
    holder.expect_exit(LOST, PATIENCE);
    complains(&mut holder, "the turn is lost (it has ended); the command is ended");
    lock(&server.address, &["--try"], &["true"]).expect_exit(0, PATIENCE);
}

/// With a journal the next life of the server goes on with the turn, and so does the command.
#[cfg(feature = "journal")]
#[test]
fn a_command_goes_on_while_a_server_with_a_journal_is_replaced() {
    let (folder, gate, address) = (Folder::new(), Gate::new(), free_address());
    let serve = || {
        let mut program = example_as_here("turn_lock");
        program.args(["--serve", "--listen", &address, "--journal"]).arg(folder.path("journal"));
        Server::spawn(&mut program, Reading::All)
    };
    let server = serve();
    let mut holder = lock(&address, &[], &["sh", "-c", &gate.script()]);
    prints(&mut holder, "turn 1");
    server.process.kill(PATIENCE);
    let server = serve();
    lock(&server.address, &["--try"], &["true"]).expect_exit(GAVE_UP, PATIENCE);
    gate.open();
    prints(&mut holder, "passed");
    holder.expect_exit(0, PATIENCE);
}

/// The next life of the server grants turns to other clients.
#[test]
fn a_server_that_stops_ends_the_command_but_not_the_waiting_locks() {
    let mut server = server(&[]);
    let address = server.address.clone();
    let mut holder = lock(&address, &["--kill-after", "1s"], &["sh", "-c", "echo turn 1; exec sleep 600"]);
    prints(&mut holder, "turn 1");
    let mut waiter = lock(&address, &[], &["echo", "mine"]);
    wait_for_waiting(&address, 1);
    server.process.signal("TERM");
    holder.expect_exit(LOST, PATIENCE);
    server.process.expect_exit(0, PATIENCE);
    let _server = server_at(&address, &[]);
    prints(&mut waiter, "mine");
    waiter.expect_exit(0, PATIENCE);
}

/// While a lock waits, the server may be replaced by another one.
#[test]
fn a_waiting_lock_asks_a_restarted_server_again() {
    let server = server(&[]);
    let address = server.address.clone();
    let mut holder = LinePeer::connect(&address, "JOIN holder");
    holder.says("ASK");
    holder.hears("GO turn=1 ");
    let mut waiter = lock(&address, &[], &["sh", "-c", "echo turn $TAKETURNS_TURN"]);
    wait_for_waiting(&address, 1);
    server.process.kill(PATIENCE);
    let _server = server_at(&address, &[]);
    prints(&mut waiter, "turn 1");
    waiter.expect_exit(0, PATIENCE);
}

/// A proxy that runs on its own thread.
struct Network {
    address: String,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    /// Cuts all connections without a FIN.
    Cut,
    /// Cuts them as well, and forwards no new ones.
    Vanish,
    /// Closes the connections to the server without telling the clients, and forwards no new ones.
    VanishForClients,
}

impl Network {
    fn start(server: &Server) -> Network {
        let mut proxy = Proxy::start(server.address.parse().expect("an address"), 7);
        let address = proxy.addr().to_string();
        let (orders, taken) = channel();
        let thread = std::thread::spawn(move || {
            let mut is_there = true;
            loop {
                match taken.try_recv() {
                    Ok(Order::Cut) => proxy.cut(),
                    Ok(Order::Vanish) => is_there = false,
                    Ok(Order::VanishForClients) => {
                        proxy.close_to_server();
                        is_there = false;
                    }
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return,
                }
                if is_there {
                    proxy.step();
                }
                // Not to wait for anything, but to leave some of the processor to others.
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        Network { address, orders, thread: Some(thread) }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("it runs");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.orders = channel().0;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// "A lost connection is not a lost turn."
#[test]
fn a_holder_whose_connection_is_cut_silently_resumes_and_keeps_the_turn() {
    let server = server(&[]);
    let network = Network::start(&server);
    let gate = Gate::new();
    // A renewal lasts for the 2 s that this leaves of the server's grace of 10 s.
    let options = ["--kill-after", "8s"];
    let mut holder = lock(&network.address, &options, &["sh", "-c", &gate.script()]);
    prints(&mut holder, "turn 1");
    let mut next = lock(&server.address, &options, &["sh", "-c", "echo turn $TAKETURNS_TURN"]);
    wait_for_waiting(&server.address, 1);
    network.order(Order::Cut);
    let is_over = |line: &Line| line.text.contains("lost") || line.text == "passed";
    holder.expect_no_line("an end", is_over, Duration::from_secs(4));
    gate.open();
    prints(&mut holder, "passed");
    holder.expect_exit(0, PATIENCE);
    prints(&mut next, "turn 2");
    next.expect_exit(0, PATIENCE);
}

/// It "ends the command before the server can grant the turn again", even if the server does not notice a
/// loss ...
#[test]
fn a_holder_that_cannot_reach_the_server_has_ended_its_command_before_the_turn_lapses() {
    ends_before_the_next_begins(&["--turn-deadline", "3s", "--turn-grace", "10s"], "10s", Order::Vanish);
}

/// ... and even if the server notices it first, and passes the turn on after its grace.
#[test]
fn a_holder_that_cannot_reach_the_server_has_ended_its_command_before_the_grace_is_over() {
    let options = ["--turn-deadline", "60s", "--turn-grace", "3s"];
    ends_before_the_next_begins(&options, "3s", Order::VanishForClients);
}

fn ends_before_the_next_begins(server: &[&str], grace: &str, order: Order) {
    let always = ["--demand", "ask", "--clients", "1", "--hold-max", "none"];
    let server = Server::start(&[&always[..], server].concat());
    let network = Network::start(&server);
    let folder = Folder::new();
    let (ended, began) = (folder.path("ended"), folder.path("began"));
    let script = format!(
        "trap 'date +%s%N > {}; exit' TERM; echo turn 1; while :; do sleep 0.02; done",
        ended.display()
    );
    let options = ["--kill-after", "1s", "--grace", grace];
    let mut holder = lock(&network.address, &options, &["sh", "-c", &script]);
    prints(&mut holder, "turn 1");
    let script = format!("date +%s%N > {}", began.display());
    let mut next = lock(&server.address, &options, &["sh", "-c", &script]);
    wait_for_waiting(&server.address, 1);
    network.order(order);
    holder.expect_exit(LOST, PATIENCE);
    complains(&mut holder, "it could not be renewed in time");
    next.expect_exit(0, PATIENCE);
    let (ended, began) = (read_number(&ended), read_number(&began));
    assert!(ended < began, "{ended} {began}");
}

fn read_number(path: &Path) -> u64 {
    fs::read_to_string(path).expect("written").trim().parse().expect("nanoseconds")
}
