//! The options that a program is started with, read by argh.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process;

use argh::{EarlyExit, TopLevelCommand};

/// Reads the options; for `--help` and mistakes it prints what argh has to say, and ends the program.
///
/// `argh::from_env` would panic if nobody reads that any more, as in `--help | head -1`.
pub fn from_environment<T: TopLevelCommand>() -> T {
    let words: Result<Vec<_>, _> = std::env::args_os().map(OsString::into_string).collect();
    let words = words.unwrap_or_else(|word| {
        super::complain(format_args!("options must be UTF-8, and {word:?} is not"));
        process::exit(1)
    });
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (path, options) = words.split_first().unwrap_or((&"taketurns", &[]));
    let program = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path);
    T::from_args(&[program], options).unwrap_or_else(|ended| end(program, &ended))
}

fn end(program: &str, ended: &EarlyExit) -> ! {
    match ended.status {
        Ok(()) => {
            let _ = writeln!(std::io::stdout(), "{}", ended.output);
            process::exit(0)
        }
        Err(()) => {
            super::complain(format_args!("{}\nRun {program} --help for more information.", ended.output));
            process::exit(1)
        }
    }
}
