//! All counts: which exist, which are possible here, and the table of results.

mod bytes;
mod calls;
mod figure;
mod idle;
mod instructions;
mod memory;
mod options;
mod process;
mod processor;
mod rings;
mod serve;
mod way;
mod wire;
#[cfg(feature = "wires")]
mod wires;

use std::io;
use std::process::ExitCode;

use self::figure::Figure;
use self::memory::{CLIENTS, many_clients};
use self::options::Options;
use self::process::Tool;
use self::serve::serve;

/// Figures that are counted together.
struct Count {
    name: &'static str,
    needs: Option<Tool>,
    run: fn() -> io::Result<Vec<Figure>>,
}

const COUNTS: &[Count] = &[
    Count { name: "calls", needs: Some(Tool::Strace), run: calls::count },
    Count { name: "instructions", needs: Some(Tool::Valgrind), run: instructions::count },
    Count { name: "memory", needs: None, run: memory::count },
    Count { name: "idle", needs: None, run: idle::count },
    Count { name: "bytes", needs: None, run: bytes::count },
    #[cfg(feature = "wires")]
    Count { name: "wires-calls", needs: Some(Tool::Strace), run: wires::calls },
    #[cfg(feature = "wires")]
    Count { name: "wires-instructions", needs: Some(Tool::Valgrind), run: wires::instructions },
    #[cfg(feature = "wires")]
    Count { name: "wires-memory", needs: None, run: wires::memory },
    #[cfg(feature = "wires")]
    Count { name: TIMES, needs: None, run: wires::times },
];

/// Only for a quiet machine, and so only if it is asked for.
const TIMES: &str = "wires-times";

/// The only count that is meaningful in a build without optimization, and that needs one.
const UNOPTIMIZED: &[Count] = &[Count { name: "way", needs: Some(Tool::Valgrind), run: way::count }];

/// Exit code: something costs too much.
const TOO_MUCH: u8 = 1;
/// Exit code: something could not be counted.
const NOT_COUNTED: u8 = 2;

pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((mode, args)) if mode == "serve" => {
            serve(args).map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string())
        }
        _ => Options::parse(&args).and_then(|options| count(&options)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("costs: {error}");
        ExitCode::from(NOT_COUNTED)
    })
}

fn count(options: &Options) -> Result<ExitCode, String> {
    #[cfg(feature = "wires")]
    wire::certificates::write().map_err(|error| error.to_string())?;
    let counts = if cfg!(debug_assertions) { UNOPTIMIZED } else { COUNTS };
    let is_chosen = |count: &&Count| match options.filter.as_str() {
        "" => count.name != TIMES,
        filter => count.name.contains(filter),
    };
    let chosen: Vec<_> = counts.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        // A filter applies to all benches of a `cargo bench`.
        let names: Vec<_> = counts.iter().map(|count| count.name).collect();
        println!("costs: {} is none of {}", options.filter, names.join(", "));
        return Ok(ExitCode::SUCCESS);
    }
    let missing = missing_tools(&chosen);
    if !missing.is_empty() && !options.skip_missing {
        return Err(format!(
            "{} not found: apt-get install strace valgrind, or --skip-missing to go without",
            missing.join(" and ")
        ));
    }
    let too_much = print_table(&chosen, &missing).map_err(|error| error.to_string())?;
    for tool in missing {
        eprintln!("costs: SKIPPED for want of {tool}: see above");
    }
    for figure in &too_much {
        let Figure { what, measured, allowed, advice } = figure;
        eprintln!("costs: too much: {what}: {measured:.2}, allowed {allowed:.2}; {advice}");
    }
    Ok(if too_much.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(TOO_MUCH) })
}

fn missing_tools(chosen: &[&Count]) -> Vec<&'static str> {
    let needed = chosen.iter().filter_map(|count| count.needs);
    needed.filter(|tool| tool.is_missing()).map(Tool::name).collect()
}

/// Counts and prints. Returns the figures that are too high.
fn print_table(chosen: &[&Count], missing: &[&str]) -> io::Result<Vec<Figure>> {
    let mut too_much = Vec::new();
    if many_clients() < CLIENTS {
        let clients = many_clients();
        println!("{clients} connections, not {CLIENTS}, and no judgement of their memory: raise ulimit -Hn");
    }
    println!("{}", Figure::HEAD);
    for count in chosen {
        if let Some(tool) = count.needs.map(Tool::name).filter(|tool| missing.contains(tool)) {
            println!("SKIPPED: {}, because {tool} is missing (apt-get install {tool})", count.name);
            continue;
        }
        for figure in (count.run)()? {
            println!("{figure}");
            too_much.extend(Some(figure).filter(Figure::is_too_much));
        }
    }
    println!("allocations a turn: counted by cargo test --test sockets allocations");
    Ok(too_much)
}
