//! Each program as a process: turns go round, a silent holder loses its turn, and the program does its own
//! work.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// For things that take milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);
const TURN_DEADLINE: Duration = Duration::from_millis(400);

#[test]
fn a_server_on_a_thread_of_its_own() {
    play(env!("CARGO_BIN_EXE_on_thread"));
}

#[test]
fn a_server_in_a_loop_around_poll() {
    play(env!("CARGO_BIN_EXE_in_poll"));
}

#[test]
fn a_server_in_tokio() {
    play(env!("CARGO_BIN_EXE_in_tokio"));
}

#[test]
fn a_server_in_calloop() {
    play(env!("CARGO_BIN_EXE_in_calloop"));
}

#[test]
fn a_client_in_tokio() {
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    let mut host = Host::start(env!("CARGO_BIN_EXE_in_tokio"));
    let mut bob = Client::join(&host.addr, "bob");
    let mut command = Command::new(env!("CARGO_BIN_EXE_client_in_tokio"));
    command.args(["ann", "--connect", &host.addr]).stdout(Stdio::null());
    let _ann = Running(command.spawn().expect("it runs"));
    for turn in [1, 3, 5] {
        bob.hears("GO ");
        bob.says("ANSWER :mine");
        bob.hears("OK ");
        host.prints(&format!("turn {turn}: bob answered mine"));
        host.prints(&format!("turn {0}: ann answered turn {0}", turn + 1));
    }
}

/// By the name of its server, which is looked up outside the loop.
#[test]
fn a_client_in_tokio_prints_why_its_server_closes_the_connection() {
    let host = Host::start(env!("CARGO_BIN_EXE_in_tokio"));
    let mut ann = Client::join(&host.addr, "ann");
    let port = host.addr.rsplit_once(':').expect("a port").1;
    let mut command = Command::new(env!("CARGO_BIN_EXE_client_in_tokio"));
    command.args(["ann", "--connect", &format!("localhost:{port}")]).stderr(Stdio::piped());
    let mut second = command.spawn().expect("it runs");
    let mut lines = BufReader::new(second.stderr.take().expect("piped")).lines().map_while(Result::ok);
    // A dual-stack machine may try an address first on which the server does not listen.
    let said = lines.find(|line| !line.contains("trying again"));
    let _ = second.kill();
    let _ = second.wait();
    let said = said.expect("it prints something");
    assert!(said.starts_with("the server closes the connection: name-taken ("), "{said}");
    ann.says("LEAVE");
    ann.hears("BYE left");
}

fn play(program: &str) {
    let mut host = Host::start(program);
    let (mut ann, mut bob) = (Client::join(&host.addr, "ann"), Client::join(&host.addr, "bob"));
    for turn in 1..=200 {
        let (client, name) = if turn % 2 == 1 { (&mut ann, "ann") } else { (&mut bob, "bob") };
        client.hears("GO ");
        client.says(&format!("ANSWER :{turn}"));
        client.hears("OK ");
        host.prints(&format!("turn {turn}: {name} answered {turn}"));
    }

    // Nothing happens except that time passes, so a deadline has to wake the host.
    let began = Instant::now();
    ann.hears("GO ");
    ann.hears("LAPSED ");
    assert!(began.elapsed() > TURN_DEADLINE / 2, "it lapsed after {:?}", began.elapsed());
    bob.hears("GO turn=202 ");

    // The host's own work is typed input. It reaches clients although none of them has sent anything.
    let mut zoe = Client::connect(&host.addr);
    zoe.says("WATCH");
    zoe.hears("WATCHING ");
    host.keyboard.as_mut().expect("open").write_all(b"mind the time\n").expect("it reads");
    zoe.hears("SAY :mind the time");

    // More than eight passes handle without other work of the host, so both must be served.
    let mut flood = Client::connect(&host.addr);
    flood.stream.get_mut().set_nonblocking(true).expect("a socket");
    let flooding = Instant::now();
    let mut sent = 0;
    let ping = "PING\n".repeat(200);
    while sent < 4 << 20 && flooding.elapsed() < Duration::from_secs(1) {
        sent += flood.stream.get_mut().write(ping.as_bytes()).unwrap_or(0);
        let mut heard = [0; 4096];
        let _ = flood.stream.get_mut().read(&mut heard);
    }
    host.keyboard.as_mut().expect("open").write_all(b"still here\n").expect("it reads");
    zoe.hears("SAY :still here");

    // The end of the input drains: clients are told, and the program ends with 0.
    host.keyboard = None;
    zoe.hears("BYE shutting-down");
    drop((ann, bob, zoe, flood));
    host.ends_well();
}

struct Host {
    process: Child,
    addr: String,
    keyboard: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Host {
    fn start(program: &str) -> Host {
        let deadline = format!("{}ms", TURN_DEADLINE.as_millis());
        let mut process = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--turn-deadline", &deadline])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is built");
        let keyboard = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut host = Host { process, addr: String::new(), keyboard, output };
        host.addr = host.line().strip_prefix("Server listening on ").expect("its first line").to_owned();
        host
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn prints(&mut self, wanted: &str) {
        assert_eq!(self.line(), wanted);
    }

    fn ends_well(mut self) {
        let deadline = Instant::now() + PATIENCE;
        // Its output ends with the process.
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        let status = self.process.wait().expect("it was started");
        assert!(status.success() && Instant::now() < deadline, "{status}, after {rest}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail if it has ended, as it should have.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(addr: &str) -> Client {
        let stream = TcpStream::connect(addr).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Client { stream: BufReader::new(stream) }
    }

    fn join(addr: &str, name: &str) -> Client {
        let mut client = Client::connect(addr);
        client.says(&format!("JOIN {name}"));
        client.hears("WELCOME ");
        client
    }

    fn says(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    /// Reads up to a line that begins with `wanted`.
    fn hears(&mut self, wanted: &str) {
        let mut line = String::new();
        while !line.starts_with(wanted) {
            line.clear();
            let count = self.stream.read_line(&mut line).expect("a line in time");
            assert!(count > 0, "the stream ends before {wanted:?}");
        }
    }
}
