//! The way of a turn: the functions that run from an event of the poll until the next holder's `GO` is
//! written, as in a debugger.
//!
//! `valgrind` counts them in a build that inlines nothing, so that each call remains one. A function counts
//! if it is written in `src/`: derived functions do not count, nor do closures, which belong to the functions
//! around them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

use taketurns::protocol::turns::Framing;

use super::figure::Figure;
use super::process::{Tool, count_with};
use super::serve::Setting;

const TURNS: usize = 1_024;

/// The most functions and files. Lower these when the way gets shorter.
const RAW_MAX: (usize, usize) = (43, 21);
const LINE_MAX: (usize, usize) = (78, 29);

/// The function that handles an event of the poll.
const BEGIN: &str = "6driver15Driver$LT$P$GT$12handle_event17h";

/// Functions, by their files.
type Way = BTreeMap<String, BTreeSet<String>>;

pub fn count() -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (framing, (functions_max, files_max)) in [(Framing::Raw, RAW_MAX), (Framing::Line, LINE_MAX)] {
        let setting = Setting::one_ring(framing, 2);
        let way = Calls::read(&count_with(Tool::Valgrind, setting, TURNS)?).way()?;
        println!("the way of a turn, {framing}:");
        for (file, functions) in &way {
            println!("    {file}: {}", functions.iter().cloned().collect::<Vec<_>>().join(", "));
        }
        let figure = |what: &str, measured: usize, allowed: usize| Figure {
            what: format!("{what} on the way of a turn, {framing}"),
            measured: measured as f64,
            allowed: allowed as f64,
            advice: "does each of them tell the reader something?".to_owned(),
        };
        figures.push(figure("functions", way.values().map(BTreeSet::len).sum(), functions_max));
        figures.push(figure("files", way.len(), files_max));
    }
    Ok(figures)
}

/// The calls between functions and their numbers, parsed from `callgrind`.
#[derive(Default)]
struct Calls<'t> {
    files: HashMap<&'t str, &'t str>,
    calls: HashMap<&'t str, HashMap<&'t str, usize>>,
}

impl<'t> Calls<'t> {
    fn read(report: &'t str) -> Calls<'t> {
        let mut calls = Calls::default();
        let (mut names, mut paths) = (HashMap::new(), HashMap::new());
        let (mut file, mut function, mut callee_file, mut callee) = ("", "", None, "");
        for line in report.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            match key {
                "fl" => (file, callee_file) = (name(value, &mut paths), None),
                "fi" | "fe" => _ = name(value, &mut paths),
                "fn" => {
                    (function, callee_file) = (name(value, &mut names), None);
                    calls.files.insert(function, file);
                }
                "cfi" | "cfl" => callee_file = Some(name(value, &mut paths)),
                "cfn" => callee = name(value, &mut names),
                "calls" => {
                    let times = value.split(' ').next().and_then(|times| times.parse().ok()).unwrap_or(0);
                    *calls.calls.entry(function).or_default().entry(callee).or_default() += times;
                    calls.files.entry(callee).or_insert(callee_file.take().unwrap_or(file));
                }
                _ => {}
            }
        }
        calls
    }

    /// Follows the calls that most turns make.
    fn way(&self) -> io::Result<Way> {
        let mut todo: Vec<_> = self.files.keys().copied().filter(|symbol| symbol.contains(BEGIN)).collect();
        let mut seen: BTreeSet<_> = todo.iter().copied().collect();
        while let Some(symbol) = todo.pop() {
            for (&callee, &times) in self.calls.get(symbol).into_iter().flatten() {
                if times >= TURNS / 2 && seen.insert(callee) {
                    todo.push(callee);
                }
            }
        }
        let mut way = Way::new();
        for symbol in seen {
            if let Some((file, function)) = self.written(symbol) {
                way.entry(file).or_default().insert(function);
            }
        }
        if way.is_empty() {
            return Err(io::Error::other("no function of this crate is on the way: has it been inlined?"));
        }
        Ok(way)
    }

    /// Returns the file in `src/` and the name of a function that is written there.
    fn written(&self, symbol: &str) -> Option<(String, String)> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
        let path = self.files.get(symbol)?;
        let root = Path::new(root).canonicalize().ok()?;
        let path = root.join(path);
        let file = path.strip_prefix(&root).ok().filter(|file| file.starts_with("src"))?;
        let (of, function) = last_two(symbol)?;
        let text = std::fs::read_to_string(&path).ok()?;
        let is_written = [format!("fn {function}("), format!("fn {function}<")];
        is_written.iter().any(|written| text.contains(written)).then(|| {
            // Two types in one file may have functions of the same name.
            (file.display().to_string(), if of.is_empty() { function } else { format!("{of}::{function}") })
        })
    }
}

/// Returns the name that `value` refers to by a number. The text is written only the first time.
fn name<'t>(value: &'t str, known: &mut HashMap<&'t str, &'t str>) -> &'t str {
    match value.split_once(' ') {
        Some((number, name)) => {
            known.insert(number, name);
            name
        }
        None => known.get(value).copied().unwrap_or(value),
    }
}

/// Returns the names of a function and its type from a symbol: `_ZN`, parts with their lengths, a hash, `E`.
fn last_two(symbol: &str) -> Option<(String, String)> {
    let mut rest = symbol.strip_prefix("_ZN")?;
    let mut parts = Vec::new();
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|&digits| digits > 0) {
        let length: usize = rest[..digits].parse().ok()?;
        parts.push(rest.get(digits..digits + length)?);
        rest = &rest[digits + length..];
    }
    let (_hash, path) = parts.split_last()?;
    let (function, path) = path.split_last()?;
    let of = path.last().filter(|of| of.starts_with(char::is_uppercase)).copied().unwrap_or_default();
    let of = of.split('$').next().unwrap_or_default();
    Some((of.to_owned(), (*function).to_owned()))
}
