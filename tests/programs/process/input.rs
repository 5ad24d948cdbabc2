//! The other end of a program's standard input: a file, nothing, or a simulated user.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::Process;
use super::folder::Folder;

/// Starts `command` with its standard input redirected, as in a shell.
pub(crate) fn redirected(command: &Command, redirection: &str) -> Process {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {redirection}"));
    Process::spawn(shell.arg(command.get_program()).args(command.get_args()))
}

/// Starts `command` with a simulated user at its input.
pub(crate) fn typed(command: &Command) -> (Process, Typist) {
    let mut typist = Typist::new();
    let process = redirected(command, &format!("< '{}'", typist.path.display()));
    typist.types("");
    (process, typist)
}

/// A pipe to a program's standard input. Dropping it ends the input.
pub(crate) struct Typist {
    pipe: Option<File>,
    path: PathBuf,
    _folder: Folder,
}

impl Typist {
    fn new() -> Typist {
        let folder = Folder::new();
        let path = folder.pipe("keyboard");
        Typist { pipe: None, path, _folder: folder }
    }

    pub(crate) fn types(&mut self, text: &str) {
        let pipe = self.pipe.get_or_insert_with(|| {
            // Blocks until the program has opened its end.
            OpenOptions::new().write(true).open(&self.path).expect("the program reads")
        });
        pipe.write_all(text.as_bytes()).expect("the program reads");
    }
}
