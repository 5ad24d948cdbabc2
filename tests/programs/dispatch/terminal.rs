//! `rank_client` at a terminal, which is a pseudo-terminal.

use support::bare::PATIENCE;

use super::{Server, client_of, out};
use crate::process::input::typed;
use crate::process::programs::legacy;
use crate::process::{Process, Stream};

#[test]
fn r11_the_prompt_is_not_mangled_by_messages() {
    let server = Server::start(&[]);
    let (mut boss, mut boss_typist) = typed(&client_of(&server.address, &[]));
    out(&mut boss, "Assigned rank: 0");
    let Some(mut command) = legacy("rank_terminal.py") else { return };
    let client = client_of(&server.address, &[]);
    let (mut terminal, mut typist) = typed(command.arg(client.get_program()).args(client.get_args()));
    let raw = |terminal: &mut Process, text: &str| {
        terminal.wait_until(text, PATIENCE, |seen| {
            let raw = seen
                .iter()
                .filter_map(|line| line.text.strip_prefix("raw "))
                .map(|raw| raw.trim_matches('\''));
            raw.collect::<String>().contains(text).then_some(())
        });
    };
    raw(&mut terminal, "Enter command: ");
    boss_typist.types("dance\n");
    raw(&mut terminal, "watch me dance\\r\\nEnter command: ");
    // Typed text stays on the screen when a message arrives, and is sent as displayed.
    typist.types("half typ\\\n");
    raw(&mut terminal, "half typ");
    boss_typist.types("jump\n");
    raw(&mut terminal, "watch me jump\\r\\nEnter command: half typ");
    typist.types("ed\n");
    raw(&mut terminal, "ed\\r\\nEnter command: ");
    drop(boss_typist);
    raw(&mut terminal, "New rank: 0\\r\\nEnter command: ");
    drop(typist);
    terminal.expect_exit(0, PATIENCE);
    let lines = terminal.lines(Stream::Out);
    let screen: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("screen ")).collect();
    assert_eq!(
        screen,
        [
            "Assigned rank: 1",
            "[Processing]......",
            "[Received] received command dance from server:",
            "[Executing] i am danceing watch me dance",
            "[Processing]......",
            "[Received] received command jump from server:",
            "[Executing] i am jumping watch me jump",
            "Enter command: half typed",
            "New rank: 0",
            "Enter command: ",
            "",
        ]
    );
    assert_eq!(*lines.last().expect("lines"), "exit 0");
}

/// [A6] "gives it back whenever a signal ends or stops the program, and takes it again when it goes on"
#[test]
fn a06_a_terminal_is_given_back_and_taken_again() {
    let server = Server::start(&[]);
    let Some(mut command) = legacy("suspended.py") else { return };
    let client = client_of(&server.address, &[]);
    let mut terminal = Process::spawn(command.arg(client.get_program()).args(client.get_args()));
    terminal.expect_exit(0, 3 * PATIENCE);
    let (ours, theirs) = ("echo=True canonical=True", "echo=False canonical=False");
    let mut wanted = vec![format!("before {ours}"), format!("running {theirs}")];
    for _ in 0..2 {
        wanted.push(format!("stopped {ours} True"));
        wanted.push(format!("background {ours}"));
        wanted.push(format!("again {theirs}"));
    }
    wanted.push(format!("after SIGTERM {ours} 0"));
    for (name, code) in [("HUP", 0), ("QUIT", -3), ("ABRT", -6), ("USR1", -10), ("ALRM", -14)] {
        wanted.push(format!("running {theirs}"));
        wanted.push(format!("after SIG{name} {ours} {code}"));
    }
    assert_eq!(terminal.lines(Stream::Out), wanted);
}
