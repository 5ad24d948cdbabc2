//! A line editor for programs that print while a user is typing. The terminal passes on each byte without
//! echoing it, so that the program can clear the line, print, and write it again.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use rustix::process::{Pid, getpgrp, getsid};
use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};

use super::status_of_process;

/// The mode of the terminal before, and that of the editor.
static MODES: OnceLock<(Termios, Termios)> = OnceLock::new();

/// Sets the editor's mode; `None` unless both standard input and output are terminals. [`restore`] undoes it.
pub fn take_over() -> Option<Editor> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return None;
    }
    let before = tcgetattr(stdin()).ok()?;
    let mut mode = before.clone();
    // The terminal still handles signals: Ctrl-C remains SIGINT.
    mode.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    let _ = MODES.set((before, mode));
    take();
    Some(Editor::default())
}

/// Sets the editor's mode again. Does nothing unless it was set before.
pub fn take() {
    set_mode(|(_, mode)| mode);
}

/// Restores the terminal's mode. Does nothing unless it was changed.
pub fn restore() {
    set_mode(|(before, _)| before);
}

/// In the background the terminal belongs to another program, and setting its mode would stop this one.
fn set_mode(which: impl Fn(&(Termios, Termios)) -> &Termios) {
    let is_ours = || tcgetpgrp(stdin()).map_or(0, Pid::as_raw_pid) == own("NSpgid", getpgrp);
    if let Some(modes) = MODES.get().filter(|_| is_ours()) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, which(modes));
    }
}

/// Returns whether no shell on this terminal waits for the program, for example in a window opened for it.
pub fn is_alone() -> bool {
    own("NSsid", || getsid(None).expect("a process has a session")).cast_unsigned() == std::process::id()
}

/// Returns the id of this process's session or group. It is 0 if its leader is outside the PID namespace, as
/// in a container. `otherwise` is only for systems without namespaces: it could never return 0.
fn own(field: &str, otherwise: impl FnOnce() -> Pid) -> i32 {
    let ids = status_of_process(field);
    // The last one is that of the innermost namespace.
    let id = ids.as_deref().and_then(|ids| ids.split_whitespace().last()?.parse().ok());
    id.unwrap_or_else(|| otherwise().as_raw_pid())
}

/// The line that is being typed.
#[derive(Default)]
pub struct Editor {
    line: Vec<u8>,
    escape: Escape,
}

/// Keys such as arrows send an escape sequence, which is skipped.
#[derive(Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Sequence,
}

/// The effect of a byte.
pub enum Typed {
    /// The line has not changed.
    Nothing,
    /// The line has changed.
    Changed,
    /// The line is complete.
    Line(String),
    /// Ctrl-D on an empty line.
    End,
}

impl Editor {
    /// Returns the text of the line.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// Handles one byte. A line has at most `bytes_max`.
    pub fn feed(&mut self, byte: u8, bytes_max: usize) -> Typed {
        match (std::mem::take(&mut self.escape), byte) {
            (Escape::Begun, b'[' | b'O') => self.escape = Escape::Sequence,
            (Escape::Begun, _) => {}
            (Escape::Sequence, 0x20..=0x3f) => self.escape = Escape::Sequence,
            (Escape::Sequence, _) => {}
            (Escape::None, 0x1b) => self.escape = Escape::Begun,
            (Escape::None, b'\n' | b'\r') => {
                let line = self.line();
                self.line.clear();
                return Typed::Line(line);
            }
            // Backspace, Ctrl-U, Ctrl-W, Ctrl-D.
            (Escape::None, 0x7f | 0x08) => {
                return self.keep(|text| text.char_indices().next_back().map_or(0, |last| last.0));
            }
            (Escape::None, 0x15) => return self.keep(|_| 0),
            (Escape::None, 0x17) => {
                return self.keep(|text| text.trim_end().rfind(' ').map_or(0, |space| space + 1));
            }
            (Escape::None, 0x04) if self.line.is_empty() => return Typed::End,
            (Escape::None, 0x20..) if self.line.len() < bytes_max => {
                self.line.push(byte);
                return Typed::Changed;
            }
            (Escape::None, _) => {}
        }
        Typed::Nothing
    }

    /// Cuts the line to the length that `length` returns.
    fn keep(&mut self, length: impl Fn(&str) -> usize) -> Typed {
        let text = self.line();
        self.line.truncate(length(&text));
        Typed::Changed
    }
}
