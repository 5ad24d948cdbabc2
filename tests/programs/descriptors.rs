//! Few descriptors: clients cannot take those that the server itself needs, however many addresses it has or
//! descriptors it inherited.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use support::bare::PATIENCE;

use crate::process::folder::Folder;
use crate::process::programs::example;
use crate::process::{Process, Stream};

/// A program with a limit of `count` descriptors, of which it inherits 6 in addition to the standard ones.
fn confined(program: &str, count: usize) -> Command {
    let program = example(program);
    let mut command = Command::new("sh");
    let script = format!(
        "ulimit -n {count}; exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null; exec \"$0\" \"$@\""
    );
    command.args(["-c", &script]).arg(program.get_program());
    for (variable, _) in program.get_envs() {
        command.env_remove(variable);
    }
    command
}

/// Starts a server on 20 addresses. Returns the first one.
fn start(command: &mut Command) -> (Process, String) {
    for _ in 0..20 {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let mut server = Process::spawn(command);
    let addresses = server.wait_until("all addresses", PATIENCE, |lines| {
        let out = lines.iter().filter(|line| line.stream == Stream::Out);
        let addresses: Vec<_> = out
            .filter_map(|line| line.text.split_once(" on 127.0.0.1:"))
            .map(|(_, port)| format!("127.0.0.1:{port}"))
            .collect();
        (addresses.len() == 20).then_some(addresses)
    });
    (server, addresses[0].clone())
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the backlog has room");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// [T13] Each client is either served or told that there is no room, and never left in the backlog.
#[test]
fn a_server_serves_clients_up_to_its_limit_and_tells_the_others() {
    let (_server, address) = start(confined("turn_server", 120).args(["--framing", "line"]));
    let mut served = Vec::new();
    loop {
        let mut stream = connect(&address);
        stream.write_all(b"PING\n").expect("connected");
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).expect("a reply");
        if &reply == b"BYE " {
            break;
        }
        assert_eq!(&reply, b"PONG");
        served.push(stream);
    }
    // 32, the further addresses, and the inherited ones, some of which may come from the test itself.
    assert!((50..=120 - 32 - 19 - 6).contains(&served.len()), "{} were served", served.len());
}

/// [C5] "A change is in the file within a second", no matter who else is connected.
#[test]
fn a_counter_is_saved_while_clients_take_all_connections() {
    let folder = Folder::new();
    let state = folder.path("state");
    let mut command = confined("counter_server", 120);
    command.arg("--state").arg(&state).arg("--log-file").arg(folder.path("log"));
    let (mut server, address) = start(&mut command);
    let mut ann = connect(&address);
    ann.write_all(b"17").expect("connected");
    ann.read_exact(&mut [0; 1]).expect("a reply");
    let _crowd: Vec<_> = (0..120).map(|_| connect(&address)).collect();
    ann.write_all(b"42 odd ").expect("connected");
    ann.read_exact(&mut [0; 1]).expect("a reply");
    let deadline = std::time::Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&state).is_ok_and(|text| text.contains("17 42 ")) {
        assert!(std::time::Instant::now() < deadline, "nothing was saved");
        std::thread::yield_now();
    }
    server.signal("TERM");
    server.expect_exit(0, PATIENCE);
    let said = server.lines(Stream::Err).join("\n");
    assert!(!said.contains("cannot be written"), "{said}");
}
