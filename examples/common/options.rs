//! The options that a program is started with, read by argh.
//!
//! argh knows neither `--opt=value` nor `-h` and `-V`, and reports mistakes on several lines. This module
//! makes up for that, for every program.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process;
use std::time::Duration;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind, Optionality, TopLevelCommand};
use taketurns::turn::{Demand, Demands, HoldMax, Weight};

/// The exit code for wrong usage.
pub const USAGE: i32 = 2;

/// argh's line about its own option, and the one that replaces it.
const HELP: &str = "  --help, help      display usage information";
const HELP_AND_VERSION: &str = "  -h, --help        display usage information
  -V, --version     display the version, and the features built in";

/// Reads the options. Ends the program after `--help`, `--version` and wrong usage.
///
/// `argh::from_env` would panic when its output is closed, as in `--help | head -1`.
pub fn from_environment<T: TopLevelCommand + ArgsInfo>() -> T {
    super::signals::ignore_file_limit();
    let program = program();
    let words: Result<Vec<_>, _> = std::env::args_os().skip(1).map(OsString::into_string).collect();
    let words =
        words.unwrap_or_else(|word| wrong_usage(format_args!("options must be UTF-8, and {word:?} is not")));
    let words = match spell_out(words, &T::get_args_info()) {
        Ok(Some(words)) => words,
        Ok(None) => say_and_exit(&version(&program)),
        Err(message) => wrong_usage(format_args!("{message}")),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    T::from_args(&[&program], &words).unwrap_or_else(|ended| match ended.status {
        Ok(()) => say_and_exit(&ended.output.replace(HELP, HELP_AND_VERSION)),
        Err(()) => {
            let message = ended.output.split_whitespace().collect::<Vec<_>>().join(" ");
            wrong_usage(format_args!("{message}"))
        }
    })
}

/// Ends the program because of its options, with one line that says what is wrong and where help is.
pub fn wrong_usage(message: fmt::Arguments<'_>) -> ! {
    super::complain(format_args!("{message} (see {} --help)", program()));
    super::output::finish();
    process::exit(USAGE)
}

/// Reads a time with its unit, such as `1500ms`, `30s` or `2m`.
pub fn time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "expected a time such as 1500ms, 30s or 2m".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => {
            Err(format!("a time has one of the units ms, s and m, as in {number}ms, {number}s or {number}m"))
        }
    }
}

/// Reads a number of bytes with its unit, such as `512KiB` or `64MiB`.
pub fn size(text: &str) -> Result<usize, String> {
    let read = |unit, factor: usize| {
        let number: usize = text.strip_suffix(unit)?.parse().ok()?;
        Some(number.saturating_mul(factor))
    };
    let size = read("KiB", 1024).or_else(|| read("MiB", 1024 * 1024));
    size.ok_or_else(|| "expected a size such as 512KiB or 64MiB".to_owned())
}

/// Reads the demand of a seat.
pub fn demand(text: &str) -> Result<Demand, String> {
    match text {
        "always" => Ok(Demand::Always),
        "ask" => Ok(Demand::Ask),
        _ => Err("expected always or ask".to_owned()),
    }
}

/// Reads the demands that the seats of a ring may have.
pub fn demands(text: &str) -> Result<Demands, String> {
    match text {
        "any" => Ok(Demands::Any),
        text => demand(text).map(Demands::Only).map_err(|_| "expected any, always or ask".to_owned()),
    }
}

/// Reads a weight.
pub fn weight(text: &str) -> Result<Weight, String> {
    text.parse().ok().and_then(Weight::new).ok_or_else(|| "expected a number from 1 to 100".to_owned())
}

/// Reads how long a turn may last in all.
pub fn hold_max(text: &str) -> Result<HoldMax, String> {
    match text {
        "none" => Ok(HoldMax::Unlimited),
        text => time(text).map(HoldMax::Time).map_err(|error| format!("{error}; or none")),
    }
}

/// Rewrites the words as argh wants them; returns `None` if the version is asked for.
fn spell_out(words: Vec<String>, info: &CommandInfoWithArgs) -> Result<Option<Vec<String>>, String> {
    let takes_command = info.positionals.iter().any(|word| word.optionality == Optionality::Greedy);
    let takes_value = |option: &str| {
        let flag = info.flags.iter().find(|flag| flag.long == option)?;
        Some(matches!(flag.kind, FlagInfoKind::Option { .. }))
    };
    let mut spelt = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.split_once('=').filter(|_| word.starts_with("--")) {
            // The words from here on are not our options.
            _ if word == "--" || takes_command && !word.starts_with('-') => {
                spelt.push(word);
                spelt.extend(words);
                break;
            }
            _ if word == "-V" || word == "--version" => return Ok(None),
            _ if word == "-h" => spelt.push("--help".to_owned()),
            Some((option, value)) => match takes_value(option) {
                Some(false) => return Err(format!("{option} takes no value, and {value:?} is one")),
                _ => spelt.extend([option.to_owned(), value.to_owned()]),
            },
            None => {
                let has_value = takes_value(&word) == Some(true);
                spelt.push(word);
                // A value may look like an option.
                spelt.extend(has_value.then(|| words.next()).flatten());
            }
        }
    }
    Ok(Some(spelt))
}

fn version(program: &str) -> String {
    let status = if cfg!(feature = "status") { ", status" } else { "" };
    let web_socket = if cfg!(feature = "web-socket") { ", web-socket" } else { "" };
    format!("{program} {} (features: net{status}{web_socket})", env!("CARGO_PKG_VERSION"))
}

fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().map_or("taketurns".into(), |name| name.to_string_lossy().into_owned())
}

fn say_and_exit(text: &str) -> ! {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    process::exit(0)
}
