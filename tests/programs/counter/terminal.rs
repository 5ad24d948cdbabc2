//! `counter_client` at a terminal, which is a pseudo-terminal.

use std::process::Command;

use support::bare::PATIENCE;

use super::Server;
use crate::process::Process;
use crate::process::folder::Folder;
use crate::process::programs::{example, legacy};

/// At a terminal the prompt stays below the output, and `exit` ends the program.
#[test]
fn c10_at_a_terminal_the_prompt_comes_back() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = example("counter_client");
    let script = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
def wait_for(text):
    global seen
    while text not in seen:
        seen += os.read(terminal, 1024)
prompt = b"What do you want to do? "
wait_for(prompt)
os.write(terminal, b"c\n")
wait_for(b"\r\x1b[KSent 1\r\n" + prompt)
wait_for(b"\r\x1b[KSent 2\r\n" + prompt)
os.write(terminal, b"exit\n")
try:
    while data := os.read(terminal, 1024):
        seen += data
except OSError:
    pass
print(repr(seen))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    if legacy("counter_client.py").is_none() {
        return;
    }
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(client.get_program());
    let mut terminal = Process::spawn(python.args(["--connect", &server.address, "--id", "17"]));
    terminal.expect_exit(0, PATIENCE);
}
