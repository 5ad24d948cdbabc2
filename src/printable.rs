//! Peers' text, made safe to print.

use std::fmt::{self, Write};

/// Writes a peer's text so that it cannot rearrange or hide anything around it on a terminal.
pub(crate) fn write_printable(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return f.write_str(text);
    }
    text.chars().try_for_each(|c| match c {
        '\'' | '"' | '\\' => f.write_char(c),
        c => c.escape_debug().try_for_each(|c| f.write_char(c)),
    })
}
