//! Command-line options, parsed by argh.
//!
//! argh supports neither `--opt=value` nor `-h` and `-V`, and reports mistakes on several lines. This module
//! fixes that for all programs.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process;
use std::time::Duration;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind, Optionality, TopLevelCommand};
use taketurns::turn::{Demand, Demands, HoldMax, Weight};
use taketurns::wire::Framing;

/// The exit code for wrong usage.
pub const USAGE: i32 = 2;

/// argh's line about its own option, and its replacement.
const HELP: &str = "  --help, help      display usage information";
const HELP_AND_VERSION: &str = "  -h, --help        display usage information
  -V, --version     display the version, and the features built in";

/// An option that several programs share, and that argh does not know.
pub struct Extra {
    pub option: &'static str,
    /// A placeholder for its value; empty for a switch.
    pub value: &'static str,
    /// The environment variable with its default; empty if there is none.
    pub variable: &'static str,
    pub about: &'static str,
}

/// The values of such options.
pub struct Extras {
    known: &'static [&'static [Extra]],
    given: Vec<(&'static str, String)>,
    /// Whether `--` ends the options, as before a command.
    pub has_separator: bool,
}

impl Extras {
    /// Returns the value from the command line, or else from the environment. Ends the program if it is given
    /// twice.
    pub fn get(&self, option: &str) -> Option<String> {
        let mut given = self.all_given(option);
        let value = given.pop();
        if !given.is_empty() {
            wrong_usage(format_args!("{option} is given more than once"));
        }
        value.or_else(|| {
            let extra = known(self.known).find(|extra| extra.option == option)?;
            let value = super::environment(Some(extra.variable).filter(|name| !name.is_empty())?)?;
            match (extra.value, value.as_str()) {
                // A switch.
                ("", "0") => None,
                ("", other) if other != "1" => {
                    wrong_usage(format_args!("{} is 1 or 0, and {other:?} is neither", extra.variable))
                }
                _ => Some(value),
            }
        })
    }

    /// Returns all values that were given, or else those of the environment, with commas between them.
    pub fn all(&self, option: &str) -> Vec<String> {
        let given = self.all_given(option);
        if !given.is_empty() {
            return given;
        }
        let values = self.get(option).unwrap_or_default();
        values.split(',').map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
    }

    fn all_given(&self, option: &str) -> Vec<String> {
        let given = self.given.iter().filter(|(name, _)| *name == option);
        given.map(|(_, value)| value.clone()).collect()
    }

    /// The first of `these` that was given, not counting the environment.
    pub fn first_of(&self, these: &[Extra]) -> Option<&'static str> {
        let is_one = |option: &str| these.iter().any(|extra| extra.option == option);
        self.given.iter().map(|(option, _)| *option).find(|option| is_one(option))
    }
}

fn known(groups: &'static [&'static [Extra]]) -> impl Iterator<Item = &'static Extra> {
    groups.iter().copied().flatten()
}

/// Parses the options. Ends the program after `--help`, `--version` and wrong usage.
pub fn from_environment<T: TopLevelCommand + ArgsInfo>() -> T {
    with_extras(&[]).0
}

/// Like [`from_environment`], for a program with the options of `groups` in addition.
///
/// `argh::from_env` would panic when its output is closed, as in `--help | head -1`.
pub fn with_extras<T: TopLevelCommand + ArgsInfo>(groups: &'static [&'static [Extra]]) -> (T, Extras) {
    super::signals::ignore_file_limit();
    let program = program();
    let words: Result<Vec<_>, _> = std::env::args_os().skip(1).map(OsString::into_string).collect();
    let words =
        words.unwrap_or_else(|word| wrong_usage(format_args!("options must be UTF-8, but {word:?} is not")));
    let mut extras = Extras { known: groups, given: Vec::new(), has_separator: false };
    let words = match spell_out(words, &T::get_args_info(), &mut extras) {
        Ok(Some(words)) => words,
        Ok(None) => say_and_exit(&version(&program)),
        Err(message) => wrong_usage(format_args!("{message}")),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let options = T::from_args(&[&program], &words).unwrap_or_else(|ended| match ended.status {
        Ok(()) => {
            let usage: String = known(groups).map(usage_of).collect();
            let help: String = known(groups).map(help_of).collect();
            let output = ended.output.replacen(&program, &format!("{program}{usage}"), 1);
            say_and_exit(&output.replace(HELP, &format!("{help}{HELP_AND_VERSION}")))
        }
        Err(()) => {
            let message = ended.output.split_whitespace().collect::<Vec<_>>().join(" ");
            wrong_usage(format_args!("{message}"))
        }
    });
    (options, extras)
}

fn usage_of(extra: &Extra) -> String {
    match extra.value {
        "" => format!(" [{}]", extra.option),
        value => format!(" [{} <{value}>]", extra.option),
    }
}

/// Formats help like argh, in lines of 80 columns.
fn help_of(extra: &Extra) -> String {
    let mut about = extra.about.to_owned();
    if !extra.variable.is_empty() {
        about += &format!(". Environment: {}", extra.variable);
    }
    let mut help = String::new();
    let mut line = format!("  {:<17}", extra.option);
    for word in about.split(' ') {
        if line.len() + 1 + word.len() > 80 {
            help.push_str(&line);
            help.push('\n');
            line = " ".repeat(19);
        }
        line.push(' ');
        line.push_str(word);
    }
    format!("{help}{line}\n")
}

/// Ends the program with one line that says what is wrong with its options and where to find help.
pub fn wrong_usage(message: fmt::Arguments<'_>) -> ! {
    super::complain(format_args!("{message} (see {} --help)", program()));
    super::output::finish();
    process::exit(USAGE)
}

/// Parses a time with its unit, such as `1500ms`, `30s` or `2m`.
pub fn time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "expected a time such as 1500ms, 30s or 2m".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(format!("a time needs a unit, ms, s or m, as in {number}ms, {number}s or {number}m")),
    }
}

/// Parses the time of a turn. The rules of a ring do not allow 0.
pub fn turn_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("expected at least 1ms".to_owned()),
        time => Ok(time),
    }
}

/// Parses the number of clients with which turns start.
pub fn clients(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&clients| clients > 0).ok_or_else(|| "expected a number, 1 or more".to_owned())
}

/// Parses a size in bytes with its unit, such as `512KiB` or `64MiB`.
pub fn size(text: &str) -> Result<usize, String> {
    let read = |unit, factor: usize| {
        let number: usize = text.strip_suffix(unit)?.parse().ok()?;
        Some(number.saturating_mul(factor))
    };
    let size = read("KiB", 1024).or_else(|| read("MiB", 1024 * 1024));
    size.ok_or_else(|| "expected a size such as 512KiB or 64MiB".to_owned())
}

/// Parses the demand of a seat.
pub fn demand(text: &str) -> Result<Demand, String> {
    match text {
        "always" => Ok(Demand::Always),
        "ask" => Ok(Demand::Ask),
        _ => Err("expected always or ask".to_owned()),
    }
}

/// Parses the demands that the seats of a ring may have.
pub fn demands(text: &str) -> Result<Demands, String> {
    match text {
        "any" => Ok(Demands::Any),
        text => demand(text).map(Demands::Only).map_err(|_| "expected any, always or ask".to_owned()),
    }
}

/// Parses a weight.
pub fn weight(text: &str) -> Result<Weight, String> {
    text.parse().ok().and_then(Weight::new).ok_or_else(|| "expected a number from 1 to 100".to_owned())
}

/// Parses the longest time that a turn may last in total.
pub fn hold_max(text: &str) -> Result<HoldMax, String> {
    match text {
        "none" => Ok(HoldMax::Unlimited),
        text => turn_time(text).map(HoldMax::Time).map_err(|error| format!("{error}; or none")),
    }
}

/// The framings that a server accepts; `None` for both.
pub type Framings = Option<Framing>;

/// Parses the framings that a server accepts.
pub fn framings(text: &str) -> Result<Framings, String> {
    match text {
        "auto" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "unknown framing: expected auto, raw or line".to_owned()),
    }
}

/// Rewrites the words for argh. Returns `None` if the version is requested.
fn spell_out(
    words: Vec<String>,
    info: &CommandInfoWithArgs,
    extras: &mut Extras,
) -> Result<Option<Vec<String>>, String> {
    let takes_command = info.positionals.iter().any(|word| word.optionality == Optionality::Greedy);
    let groups = extras.known;
    let extra = |option: &str| known(groups).find(|extra| extra.option == option);
    let takes_value = |option: &str| {
        if let Some(extra) = extra(option) {
            return Some(!extra.value.is_empty());
        }
        let flag = info.flags.iter().find(|flag| flag.long == option)?;
        Some(matches!(flag.kind, FlagInfoKind::Option { .. }))
    };
    let mut spelt = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.split_once('=').filter(|_| word.starts_with("--")) {
            // The words from here on belong to the command.
            _ if word == "--" || takes_command && !word.starts_with('-') => {
                extras.has_separator = word == "--";
                spelt.push(word);
                spelt.extend(words);
                break;
            }
            _ if word == "-V" || word == "--version" => return Ok(None),
            _ if word == "-h" => spelt.push("--help".to_owned()),
            Some((option, value)) => match takes_value(option) {
                Some(false) => return Err(format!("{option} takes no value, but was given {value:?}")),
                _ => match extra(option) {
                    Some(extra) => extras.given.push((extra.option, value.to_owned())),
                    None => spelt.extend([option.to_owned(), value.to_owned()]),
                },
            },
            None => {
                let has_value = takes_value(&word) == Some(true);
                if let Some(extra) = extra(&word) {
                    let value = if has_value { words.next() } else { Some(String::new()) };
                    let value = value.ok_or_else(|| format!("No value provided for option '{word}'."))?;
                    extras.given.push((extra.option, value));
                    continue;
                }
                spelt.push(word);
                // A value may look like an option.
                spelt.extend(has_value.then(|| words.next()).flatten());
            }
        }
    }
    Ok(Some(spelt))
}

fn version(program: &str) -> String {
    let features = [
        ("status", cfg!(feature = "status")),
        ("journal", cfg!(feature = "journal")),
        ("etcd", cfg!(feature = "etcd")),
        ("tls", cfg!(feature = "tls")),
        ("web-socket", cfg!(feature = "web-socket")),
    ];
    let built: String =
        features.iter().filter(|built| built.1).map(|(name, _)| format!(", {name}")).collect();
    format!("{program} {} (features: net{built})", env!("CARGO_PKG_VERSION"))
}

/// The advice for an option that needs a feature, or several with commas between, that is not built in.
pub fn lacks(feature: &str) -> String {
    let program = program();
    let (plural, them) = if feature.contains(',') { ("s", "them") } else { ("", "it") };
    format!(
        "this build lacks the feature{plural} {feature}; build with {them}, as in cargo run --release --features {feature} \
         --example {program}"
    )
}

fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().map_or("taketurns".into(), |name| name.to_string_lossy().into_owned())
}

fn say_and_exit(text: &str) -> ! {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    process::exit(0)
}
