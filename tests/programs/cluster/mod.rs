//! `--etcd`: servers that share one order, killed, stopped and cut off, over an etcd of three members.

#[cfg(feature = "tls")]
mod certificates;
mod etcd;
mod laptop;

use std::process::Command;
use std::time::{Duration, Instant};

use etcd::Etcd;
use fastrand::Rng;
use support::bare::{PATIENCE, free_address};

use crate::histories::{judged, pause};
use crate::process::programs::example_as_here;
use crate::process::{Line, Process, Reading, Stream};
use crate::programs::{LinePeer, expect_one_complaint, field, listening_on, numbers_of, turn_client};

/// The longest silence that is promised, with room for a machine that is busy.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(20);

/// Servers of one order, each with an address of its own.
struct Servers {
    etcd: String,
    cluster: &'static str,
    addresses: Vec<String>,
}

impl Servers {
    fn new(etcd: &Etcd) -> Servers {
        Servers { etcd: etcd.urls(), cluster: "games", addresses: (0..2).map(|_| free_address()).collect() }
    }

    fn command(&self, nth: usize) -> Command {
        let mut command = self.command_of("turn_server", nth);
        command.args(["--framing", "line"]);
        command
    }

    fn command_of(&self, program: &str, nth: usize) -> Command {
        let mut command = example_as_here(program);
        command.args(["--listen", &self.addresses[nth], "--etcd", &self.etcd, "--cluster", self.cluster]);
        command
    }

    fn start(&self, nth: usize) -> Process {
        Process::spawn(&mut self.command(nth))
    }
}

fn leads(server: &mut Process) {
    server.wait_until("address", TAKES_OVER_WITHIN, |seen| seen.iter().find_map(listening_on));
}

fn stands_by(server: &mut Process, leader: &str) {
    let words = format!("standing by behind {leader}");
    server.wait_for_line(&words, |line| line.text.ends_with(&words), PATIENCE);
}

fn says(words: &'static str) -> impl Fn(&Line) -> bool {
    move |line| line.stream == Stream::Err && line.text.contains(words)
}

/// Ann answers turn 1, and Bob holds turn 2. Returns their welcomes, and their connections: a turn ends with
/// the one of its holder.
fn begun(address: &str) -> ([String; 2], [LinePeer; 2]) {
    let mut ann = LinePeer::connect(address, "JOIN ann");
    let anns = ann.hears("WELCOME ann ");
    let mut bob = LinePeer::connect(address, "JOIN bob");
    let bobs = bob.hears("WELCOME bob ");
    ann.hears("GO turn=1 ");
    ann.says(&format!("ANSWER turn=1 epoch={} :17", field(&anns, "epoch")));
    ann.hears("OK turn=1");
    bob.hears("GO turn=2 ");
    ([anns, bobs], [ann, bob])
}

/// Both resume, with their last answers, and Bob still holds turn 2.
fn go_on(address: &str, [anns, bobs]: &[String; 2]) {
    let resume = |name: &str, welcome: &str| {
        let mut peer =
            LinePeer::connect(address, &format!("JOIN {name} resume={}", field(welcome, "resume")));
        let again = peer.hears_next();
        assert_eq!(field(&again, "epoch"), field(welcome, "epoch"), "{again}");
        (peer, again)
    };
    let (mut ann, again) = resume("ann", anns);
    assert_eq!(field(&again, "last"), "1", "{again}");
    let (mut bob, _) = resume("bob", bobs);
    bob.hears("GO turn=2 ");
    bob.says(&format!("ANSWER turn=2 epoch={} :18", field(bobs, "epoch")));
    bob.hears("OK turn=2");
    ann.hears("GO turn=3 ");
}

/// Two servers, of which the first leads.
fn pair(servers: &Servers) -> [Process; 2] {
    let mut first = servers.start(0);
    leads(&mut first);
    let mut second = servers.start(1);
    stands_by(&mut second, &servers.addresses[0]);
    [first, second]
}

#[test]
fn a_standby_takes_over_from_a_server_that_is_killed() {
    let Some(etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    let [first, mut second] = pair(&servers);
    let listens = std::net::TcpStream::connect(&servers.addresses[1]).is_ok();
    assert!(!listens, "a standby listens, and has said {:?}", second.lines(Stream::Err));
    let (welcomes, _peers) = begun(&servers.addresses[0]);
    let begin = Instant::now();
    first.kill(PATIENCE);
    leads(&mut second);
    println!("killed: {:.1} s", begin.elapsed().as_secs_f64());
    go_on(&servers.addresses[1], &welcomes);
    // It has no one to stand behind it; the first one does when it is back.
    let mut first = servers.start(0);
    stands_by(&mut first, &servers.addresses[1]);
    first.signal("TERM");
    first.expect_exit(0, PATIENCE);
}

#[test]
fn a_server_that_is_asked_to_end_hands_over_at_once_and_nobody_loses_the_turn() {
    let Some(etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    // Other machines can reach it, so it refuses connections for a second before it ends.
    let everywhere = servers.addresses[0].replace("127.0.0.1", "0.0.0.0");
    let mut command = example_as_here("turn_server");
    command.args(["--framing", "line", "--listen", &everywhere, "--advertise", &servers.addresses[0]]);
    command.args(["--etcd", &servers.etcd, "--cluster", servers.cluster]);
    let mut first = Process::spawn(&mut command);
    leads(&mut first);
    let mut second = servers.start(1);
    stands_by(&mut second, &servers.addresses[0]);
    let (welcomes, [mut ann, _bob]) = begun(&servers.addresses[0]);
    let begin = Instant::now();
    first.signal("TERM");
    ann.hears_the_end();
    let is_over = first.try_wait_for_exit(Duration::from_millis(50)).is_some();
    assert!(!is_over, "its clients have to wait until it ends");
    leads(&mut second);
    let took = begin.elapsed();
    println!("asked to end: {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(3), "{took:?}, so the lease was not given up");
    first.expect_exit(0, PATIENCE);
    go_on(&servers.addresses[1], &welcomes);
}

#[test]
fn a_server_that_was_stopped_for_longer_than_its_lease_ends_when_it_goes_on() {
    let Some(etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    let [mut first, mut second] = pair(&servers);
    let (welcomes, _peers) = begun(&servers.addresses[0]);
    let begin = Instant::now();
    first.signal("STOP");
    leads(&mut second);
    println!("stopped: {:.1} s", begin.elapsed().as_secs_f64());
    go_on(&servers.addresses[1], &welcomes);
    first.signal("CONT");
    first.expect_exit(1, PATIENCE);
    assert!(
        first.lines(Stream::Err).iter().any(|line| line.contains("another server")),
        "{:?}",
        first.lines(Stream::Err)
    );
}

#[test]
fn a_server_that_is_cut_from_etcd_closes_its_clients_when_its_lease_is_over() {
    let Some(etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    let [mut first, mut second] = pair(&servers);
    let (welcomes, _peers) = begun(&servers.addresses[0]);
    let begin = Instant::now();
    etcd.signal_all("STOP");
    first.expect_exit(1, PATIENCE);
    let took = begin.elapsed();
    println!("no quorum: closed after {:.1} s", took.as_secs_f64());
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
    let line = first.lines(Stream::Err).last().copied().unwrap_or_default().to_owned();
    assert!(line.contains("the lead was not renewed in time"), "{line}");
    second.wait_for_line("standby without etcd", says("; asking again"), PATIENCE);
    etcd.signal_all("CONT");
    leads(&mut second);
    go_on(&servers.addresses[1], &welcomes);
}

#[test]
fn a_member_that_is_killed_changes_no_server() {
    let Some(mut etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    let [mut first, mut second] = pair(&servers);
    for what in ["leader", "follower"] {
        let leader = etcd.leader();
        let nth = if what == "leader" { leader } else { (leader + 1) % 3 };
        let mut ann = LinePeer::connect(&servers.addresses[0], &format!("JOIN ann ring={what}"));
        ann.hears("WELCOME ann ");
        etcd.kill(nth);
        let begin = Instant::now();
        let mut bob = LinePeer::connect(&servers.addresses[0], &format!("JOIN bob ring={what}"));
        bob.hears("WELCOME bob ");
        println!("etcd's {what} killed: a commit took {:.2} s", begin.elapsed().as_secs_f64());
        etcd.restart(nth);
    }
    second.expect_no_line(
        "a server that takes over",
        |line| listening_on(line).is_some(),
        Duration::from_millis(10),
    );
    first.signal("TERM");
    first.expect_exit(0, PATIENCE);
    leads(&mut second);
}

/// With the Rust client, which knows both addresses: it goes on wherever the order lives, and leaves no
/// number out.
#[test]
fn turn_client_finds_the_server_that_leads() {
    let Some(etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    let [mut first, mut second] = pair(&servers);
    let both = servers.addresses.join(",");
    let mut client = turn_client(&both, &["--framing", "line", "--pace", "20ms", "--count", "100"]);
    first.wait_for_sent(20, PATIENCE);
    let mut printed = first.kill(PATIENCE);
    second.wait_for_sent(20, PATIENCE);
    let mut first = servers.start(0);
    stands_by(&mut first, &servers.addresses[1]);
    second.signal("TERM");
    second.expect_exit(0, PATIENCE);
    printed.extend(second.sent());
    client.expect_exit(0, PATIENCE);
    printed.extend(first.kill(PATIENCE));
    for name in ["Client1", "Client2"] {
        let numbers = numbers_of(&printed, name);
        assert!(numbers.is_sorted_by(|a, b| a < b), "{name}: one counted twice, in {numbers:?}");
        let numbers = numbers_of(&client.sent(), name);
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 2), "{name} left one out: {numbers:?}");
        assert_eq!(numbers.len(), 100, "{name}");
    }
}

/// A host that judges, with a state of its own: the board goes over with the turn.
#[test]
fn a_game_goes_on_at_the_standby() {
    let Some(etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    let start = |nth| Process::spawn(&mut servers.command_of("tic_tac_toe", nth));
    let mut first = start(0);
    leads(&mut first);
    let mut second = start(1);
    let [a, b] = &servers.addresses[..] else { unreachable!("there are two") };
    let mut ann = LinePeer::connect(a, "JOIN ann");
    let anns = ann.hears("WELCOME ann ");
    let mut bob = LinePeer::connect(a, "JOIN bob");
    let bobs = bob.hears("WELCOME bob ");
    ann.hears("GO turn=1 ");
    ann.says("ANSWER :5");
    ann.hears("OK turn=1");
    bob.hears("GO turn=2 ");
    first.kill(PATIENCE);
    leads(&mut second);
    let _ann = LinePeer::connect(b, &format!("JOIN ann resume={}", field(&anns, "resume")));
    let mut bob = LinePeer::connect(b, &format!("JOIN bob resume={}", field(&bobs, "resume")));
    bob.hears("GO turn=2 ");
    bob.says("ANSWER :5");
    bob.hears("NO refused turn=2 ");
    bob.says("ANSWER :1");
    bob.hears("OK turn=2");
}

/// The only client of a ring. It holds the turn between two steps.
struct Player {
    welcome: String,
    peer: LinePeer,
}

impl Player {
    fn join(address: &str, resume: Option<&str>) -> Player {
        let resume = resume.map(|secret| format!(" resume={secret}")).unwrap_or_default();
        let mut peer = LinePeer::connect(address, &format!("JOIN ann{resume}"));
        let welcome = peer.hears("WELCOME ann ");
        Player { welcome, peer }
    }

    /// Resumes at a server as soon as that listens, and answers. Returns once the answer is confirmed.
    fn goes_on(&mut self, address: &str) {
        let give_up = Instant::now() + TAKES_OVER_WITHIN;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < give_up, "{address} does not listen");
            pause(Duration::from_millis(2));
        }
        *self = Player::join(address, Some(field(&self.welcome, "resume")));
        self.answers();
    }

    fn answers(&mut self) {
        let go = self.peer.hears("GO ");
        let (turn, epoch) = (field(&go, "turn"), field(&self.welcome, "epoch"));
        self.peer.says(&format!("ANSWER turn={turn} epoch={epoch} :17"));
        self.peer.hears("OK ");
        self.peer.hears("GO ");
    }
}

/// From the fault to the next `OK` at the other server. `TAKETURNS_TAKE_OVERS=50` tries each that often.
#[test]
fn the_silence_of_a_take_over() {
    let Some(etcd) = Etcd::start() else { return };
    let tries = std::env::var("TAKETURNS_TAKE_OVERS").map_or(1, |tries| tries.parse().expect("a number"));
    let servers = Servers::new(&etcd);
    let start = |nth: usize| Process::spawn(servers.command(nth).args(["--clients", "1"]));
    let mut first = start(0);
    leads(&mut first);
    let mut second = start(1);
    let mut player = Player::join(&servers.addresses[0], None);
    player.answers();
    let mut rng = Rng::with_seed(19);
    let mut leader = 0;
    for signal in ["KILL", "TERM"] {
        let mut silences: Vec<Duration> = Vec::new();
        for _ in 0..tries {
            stands_by(&mut second, &servers.addresses[leader]);
            // Any time since the lease was renewed.
            pause(Duration::from_millis(rng.u64(0..1700)));
            let begin = Instant::now();
            first.signal(signal);
            player.goes_on(&servers.addresses[1 - leader]);
            silences.push(begin.elapsed());
            first.wait_for_exit(PATIENCE);
            first = std::mem::replace(&mut second, start(leader));
            leader = 1 - leader;
        }
        silences.sort();
        let (middle, longest) = (silences[silences.len() / 2], silences[silences.len() - 1]);
        let [middle, longest] = [middle, longest].map(|silence| silence.as_secs_f64());
        println!("SIG{signal}: p50 {middle:.2} s, at most {longest:.2} s in {tries} tries");
    }
}

/// Faults that `cargo test` injects. The variable has it inject more: `TAKETURNS_FAULTS=300`.
const FAULTS: u32 = 8;

const RINGS: usize = 16;

#[test]
fn no_answer_is_lost_or_doubled_whatever_is_killed_or_stopped() {
    let Some(mut etcd) = Etcd::start() else { return };
    let faults = std::env::var("TAKETURNS_FAULTS").map_or(FAULTS, |faults| faults.parse().expect("a number"));
    let servers = Servers::new(&etcd);
    let start = |nth: usize| {
        let mut command = servers.command(nth);
        command.arg("--quiet");
        Process::spawn_reading(&mut command, Reading::All, Reading::All)
    };
    let mut rng = Rng::with_seed(19);
    let mut running = [start(0), start(1)];
    let history = judged(RINGS, &servers.addresses, |history| {
        for _ in 0..faults {
            let (nth, member) = (rng.usize(..2), rng.usize(..3));
            // Longer than a lease, or not.
            let long = Duration::from_millis(rng.u64(100..9000));
            match rng.u8(..6) {
                0 => {
                    let killed = std::mem::replace(&mut running[nth], start(nth));
                    drop(killed.kill(PATIENCE));
                }
                1 => running[nth].signal("TERM"),
                2 | 3 => {
                    running[nth].signal("STOP");
                    pause(long);
                    running[nth].signal("CONT");
                }
                4 => {
                    etcd.kill(member);
                    pause(long / 4);
                    etcd.restart(member);
                }
                _ => {
                    etcd.signal(member, "STOP");
                    pause(long / 2);
                    etcd.signal(member, "CONT");
                }
            }
            // As a supervisor does.
            for (nth, server) in running.iter_mut().enumerate() {
                if server.try_wait_for_exit(Duration::from_millis(200)).is_some() {
                    *server = start(nth);
                }
            }
            history.assert_goes_on();
            // Between two faults turns go on.
            let (before, give_up) = (history.confirmed(), Instant::now() + PATIENCE);
            while history.confirmed() < before + RINGS as u64 {
                for (nth, server) in running.iter_mut().enumerate() {
                    if server.try_wait_for_exit(Duration::from_millis(20)).is_some() {
                        *server = start(nth);
                    }
                }
                assert!(Instant::now() < give_up, "no turn goes on");
            }
        }
    });
    println!("{faults} faults; {history}; 0 lost, 0 doubled");
}

#[test]
fn options_that_make_no_sense_are_refused_and_a_standby_ends_at_a_signal() {
    for (options, code, words) in [
        (&["--etcd", "http://127.0.0.1:1"][..], 2, "--etcd needs --cluster NAME"),
        (&["--cluster", "x"], 2, "--cluster needs --etcd URLS"),
        (&["--etcd", "http://127.0.0.1:1", "--cluster", "x", "--journal", "x"], 2, "exclude each other"),
        (
            &["--etcd", "http://127.0.0.1:1", "--cluster", "x", "--discard-journal"],
            2,
            "--discard-journal needs --journal DIR",
        ),
        (&["--etcd", "127.0.0.1:1", "--cluster", "x"], 1, "is not the address of an etcd"),
        (&["--etcd", "http://127.0.0.1:1", "--cluster", "a/b"], 1, "cannot name a cluster"),
        (
            &["--etcd", "http://127.0.0.1:1", "--cluster", "x", "--etcd-user", "u"],
            1,
            "TAKETURNS_ETCD_PASSWORD",
        ),
    ] {
        let mut process =
            Process::spawn(example_as_here("turn_server").args(["--listen", "127.0.0.1:0"]).args(options));
        process.expect_exit(code, PATIENCE);
        let line = expect_one_complaint(&process);
        assert!(line.contains(words), "{line}");
    }
    let mut command = example_as_here("turn_server");
    command.args(["--listen", "127.0.0.1:0", "--etcd", "http://127.0.0.1:1", "--cluster", "x"]);
    let mut server = Process::spawn(&mut command);
    server.wait_for_line("standby without etcd", says("; asking again"), PATIENCE);
    server.signal("TERM");
    server.expect_exit(0, PATIENCE);
}

/// Warnings and errors in a log.
fn complaints(server: &Process) -> Vec<&str> {
    server.lines(Stream::Err).into_iter().filter(|line| !line.contains(" INFO ")).collect()
}

/// A server that cannot use etcd says why, in one line, and goes on to ask.
fn complains_once(server: &mut Process, words: &'static str) {
    server.wait_for_line(words, says(words), PATIENCE);
    pause(Duration::from_millis(1500));
    server.signal("TERM");
    server.expect_exit(0, PATIENCE);
    let lines = complaints(server);
    assert!(lines.len() == 1 && lines[0].ends_with("; asking again"), "{lines:?}");
}

/// An etcd that asks for certificates is shown one, and another one than ours is not spoken to.
#[cfg(feature = "tls")]
#[test]
fn over_tls_both_sides_show_a_certificate() {
    let Some(certificates) = certificates::Certificates::new() else { return };
    let text = |path: std::path::PathBuf| path.to_str().expect("UTF-8").to_owned();
    let [ca, pem, key] =
        [certificates.pem("ca"), certificates.pem("member"), certificates.key("member")].map(text);
    let options = ["--client-cert-auth", "--trusted-ca-file", &ca, "--cert-file", &pem, "--key-file", &key];
    let Some(etcd) = Etcd::single("https", &options) else { return };
    let servers = Servers::new(&etcd);
    let start = |nth: usize, authority: &str, client: Option<&str>| {
        let mut command = servers.command(nth);
        command.arg("--etcd-ca").arg(certificates.pem(authority));
        if let Some(client) = client {
            command.arg("--etcd-cert").arg(certificates.pem(client));
            command.arg("--etcd-key").arg(certificates.key(client));
        }
        Process::spawn(&mut command)
    };
    complains_once(&mut start(0, "other", Some("client")), "invalid peer certificate: UnknownIssuer");
    complains_once(&mut start(0, "ca", None), "ertificate");
    let mut first = start(0, "ca", Some("client"));
    leads(&mut first);
    let mut second = start(1, "ca", Some("client"));
    stands_by(&mut second, &servers.addresses[0]);
    let (welcomes, _peers) = begun(&servers.addresses[0]);
    first.signal("TERM");
    leads(&mut second);
    go_on(&servers.addresses[1], &welcomes);
}

/// Each start ends with one line that says what to do, and changes nothing.
#[test]
fn entries_that_a_server_cannot_read_end_it_with_a_way_out() {
    let Some(etcd) = Etcd::single("http", &[]) else { return };
    let servers = Servers::new(&etcd);
    let put = |key: &str, value: &[u8]| {
        let (key, value) = (base64(format!("/taketurns/games/0/{key}")), base64(value));
        etcd.ask("/v3/kv/put", "", &format!(r#"{{"key":"{key}","value":"{value}"}}"#));
    };
    let refuses = |words: &'static str| {
        for _ in 0..2 {
            let mut server = servers.start(0);
            server.expect_exit(1, PATIENCE);
            let lines = complaints(&server);
            let begin = "etcd: what is stored below /taketurns/games/0/ ";
            assert!(lines.len() == 1 && lines[0].contains(&format!("{begin}{words}")), "{lines:?}");
            assert!(lines[0].ends_with("delete all keys below it to start over"), "{lines:?}");
        }
    };
    put("m", &[1, 0, 0]);
    refuses(
        "is damaged: the key seq is missing, and there are entries; put a snapshot back and start with --new-epoch, or ",
    );
    put("seq", b"5-1");
    refuses(
        "was written by another version of this program: entry m: its version is 1, but this program reads ",
    );
    put("m", &[0, 0]);
    refuses("is damaged: entry m: byte 0 is not a version; put a snapshot back");
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// A user who may use the keys of one cluster, and nothing else.
fn with_user(etcd: &Etcd) -> String {
    let (from, end) = (base64("/taketurns/games/"), base64("/taketurns/games0"));
    let may = format!(r#"{{"permType":"READWRITE","key":"{from}","range_end":"{end}"}}"#);
    for (path, body) in [
        ("user/add", r#"{"name":"root","password":"r"}"#),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("user/add", r#"{"name":"turns","password":"good"}"#),
        ("role/add", r#"{"name":"games"}"#),
        ("role/grant", &format!(r#"{{"name":"games","perm":{may}}}"#)),
        ("user/grant", r#"{"user":"turns","role":"games"}"#),
        ("enable", "{}"),
    ] {
        etcd.ask(&format!("/v3/auth/{path}"), "", body);
    }
    let answer = etcd.ask("/v3/auth/authenticate", "", r#"{"name":"root","password":"r"}"#);
    etcd::value(&answer, "token").expect("a token").to_owned()
}

#[test]
fn a_server_shows_user_and_password_and_a_new_token_is_no_matter() {
    let Some(etcd) = Etcd::single("http", &[]) else { return };
    let root = with_user(&etcd);
    let servers = Servers::new(&etcd);
    let start = |nth: usize, password: &str| {
        let mut command = servers.command(nth);
        command.args(["--etcd-user", "turns"]).env("TAKETURNS_ETCD_PASSWORD", password);
        Process::spawn(&mut command)
    };
    complains_once(&mut start(0, "bad"), "authentication failed, invalid user ID or password");
    complains_once(&mut servers.start(0), "user name is empty");
    let mut other = Servers { cluster: "other", ..Servers::new(&etcd) }.command(0);
    other.args(["--etcd-user", "turns"]).env("TAKETURNS_ETCD_PASSWORD", "good");
    complains_once(&mut Process::spawn(&mut other), "permission denied");
    let mut first = start(0, "good");
    leads(&mut first);
    let mut second = start(1, "good");
    stands_by(&mut second, &servers.addresses[0]);
    let (welcomes, _peers) = begun(&servers.addresses[0]);
    // All tokens of the user are void now.
    etcd.ask("/v3/auth/user/changepw", &root, r#"{"name":"turns","password":"good"}"#);
    let mut cid = LinePeer::connect(&servers.addresses[0], "JOIN cid");
    cid.hears("WELCOME cid ");
    first.signal("TERM");
    first.expect_exit(0, PATIENCE);
    leads(&mut second);
    go_on(&servers.addresses[1], &welcomes);
    for server in [&first, &second] {
        let mut complaints = complaints(server);
        // A busy machine keeps etcd from answering in time, which is not about the token.
        complaints.retain(|complaint| !complaint.contains("timeout") && !complaint.contains("timed out"));
        assert_eq!(complaints, [""; 0]);
    }
}

/// With the words by which etcd refuses when it is full, and the way out of it that the docs give.
#[test]
fn nothing_is_said_while_etcd_is_full_and_all_goes_on_when_it_has_space() {
    let Some(etcd) = Etcd::single("http", &["--quota-backend-bytes", "16777216"]) else { return };
    let servers = Servers::new(&etcd);
    let [mut first, mut second] = pair(&servers);
    let (_, [mut ann, mut bob]) = begun(&servers.addresses[0]);
    // Older values of one key fill it, as those of hand-overs do without compaction.
    let put = format!(r#"{{"key":"eA==","value":"{}"}}"#, "A".repeat(1_300_000));
    let mut revision = String::new();
    let refusal = loop {
        match etcd.try_ask("/v3/kv/put", "", &put) {
            Ok(answer) => revision = etcd::value(&answer, "revision").expect("a revision").to_owned(),
            Err(refusal) => break refusal,
        }
    };
    assert!(refusal.contains("database space exceeded"), "{refusal}");
    bob.says("ANSWER :18");
    let mut cid = LinePeer::connect(&servers.addresses[0], "JOIN cid");
    first.wait_for_line("complaint", says("database space exceeded"), PATIENCE);
    // Nor can a server of another cluster lead, or does it say so without end.
    let other = Servers { cluster: "other", ..Servers::new(&etcd) };
    complains_once(&mut other.start(0), "database space exceeded");
    // With that, longer than the lease.
    for _ in 0..5 {
        ann.says("PING");
        ann.hears("PONG");
        bob.says("PING");
        bob.hears("PONG");
        pause(Duration::from_secs(1));
    }
    etcd.ask("/v3/kv/compaction", "", &format!(r#"{{"revision":"{revision}","physical":true}}"#));
    etcd.ask("/v3/maintenance/defragment", "", "{}");
    let alarms = etcd.ask("/v3/maintenance/alarm", "", "{}");
    let member = etcd::value(&alarms, "memberID").expect("a member that has raised an alarm");
    let disarm = format!(r#"{{"action":"DEACTIVATE","memberID":"{member}","alarm":"NOSPACE"}}"#);
    etcd.ask("/v3/maintenance/alarm", "", &disarm);
    bob.hears("OK turn=2");
    ann.hears("GO turn=3 ");
    cid.hears("WELCOME cid ");
    second.expect_no_line("another leader", |line| listening_on(line).is_some(), Duration::from_millis(10));
    first.signal("TERM");
    leads(&mut second);
    let lines = complaints(&first);
    assert!(lines.len() == 1 && lines[0].contains("compact it, defragment"), "{lines:?}");
}

/// In one transaction, with others nested in it, because etcd takes 128 operations.
#[test]
fn hundreds_of_seats_are_stored_at_once() {
    let Some(etcd) = Etcd::single("http", &[]) else { return };
    let servers = Servers::new(&etcd);
    let [mut first, mut second] = pair(&servers);
    // All that they ask for waits for the same commit.
    etcd.signal_all("STOP");
    let join = |nth: usize| LinePeer::connect(&servers.addresses[0], &format!("JOIN n{nth}"));
    let mut peers: Vec<LinePeer> = (0..250).map(join).collect();
    for peer in &mut peers {
        peer.says("PING");
        peer.hears("PONG");
    }
    etcd.signal_all("CONT");
    let welcome = |peer: &mut LinePeer| field(&peer.hears("WELCOME n"), "resume").to_owned();
    let secrets: Vec<String> = peers.iter_mut().map(welcome).collect();
    first.signal("TERM");
    first.expect_exit(0, PATIENCE);
    leads(&mut second);
    for (nth, secret) in secrets.iter().enumerate() {
        let mut peer = LinePeer::connect(&servers.addresses[1], &format!("JOIN n{nth} resume={secret}"));
        let again = peer.hears("WELCOME n");
        assert_ne!(field(&again, "resume"), secret, "{again}");
    }
}

/// On the status listener: 503 while it stands by, and behind whom.
#[cfg(feature = "status")]
#[test]
fn a_standby_shows_whom_it_stands_behind_and_is_ready_when_it_leads() {
    use crate::status::{get, status_of};

    let Some(etcd) = Etcd::start() else { return };
    let servers = Servers::new(&etcd);
    let mut first = servers.start(0);
    leads(&mut first);
    let mut second = Process::spawn(servers.command(1).args(["--status", "127.0.0.1:0"]));
    let status = status_of(&mut second);
    stands_by(&mut second, &servers.addresses[0]);
    let all = |path: &str| get(status, path).collect::<Vec<_>>().join("\n");
    let ready = all("/readyz");
    let behind = format!("standing by behind {}", servers.addresses[0]);
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.ends_with(&behind), "{ready}");
    let metrics = all("/metrics");
    let metric = format!("taketurns_standing_by{{leader=\"{}\"}} 1", servers.addresses[0]);
    assert!(metrics.contains(&metric), "{metrics}");
    let told = get(status, "/events").find(|line| line.contains("not_ready")).expect("a message");
    assert!(told.contains(&behind), "{told}");
    assert!(all("/healthz").starts_with("HTTP/1.1 200 "));
    first.signal("TERM");
    leads(&mut second);
    let ready = all("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    etcd.signal_all("STOP");
    let give_up = Instant::now() + PATIENCE;
    let mut third = Process::spawn(servers.command(0).args(["--status", "127.0.0.1:0"]));
    let status = status_of(&mut third);
    while !get(status, "/readyz").any(|line| line.starts_with("standing by without etcd: ")) {
        assert!(Instant::now() < give_up, "it does not say that it stands by without etcd");
    }
    etcd.signal_all("CONT");
}
