//! Serves the turn protocol: clients take turns to answer.
//!
//! ```text
//! cargo run --release --example turn_server
//! cargo run --release --example turn_server -- --clients 3 --turn-deadline 10s --listen 127.0.0.1:6000
//! ```

mod common;

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::access::Access;
use common::answers::Answers;
use common::loops::{self, Loops};
use common::options::{self, Extra, Extras, Framings, wrong_usage};
use common::server::{Service, Site};
use common::spread::{self, Spread};
use common::storage::StorageOptions;
use common::{access, status, storage, tls, web};
use log::LevelFilter;
use taketurns::net::{Event, now};
use taketurns::protocol::turns::{Admission, Framing, TurnEvent, TurnServer, TurnServerConfig};
use taketurns::turn::{Demands, HoldMax, Weight};

/// Serve the turn protocol: clients take turns to answer, and each accepted answer is printed.
#[derive(FromArgs, ArgsInfo)]
#[argh(note = "Times have a unit: 1500ms, 30s, 2m.
Fixed limits: 1024 bytes for a raw message or a line (8192 for JOIN and WATCH), 16384 for an answer, 64 for a name.
A line client must send JOIN or WATCH within 10 s, end each line within 5 s, and not pause longer within a payload. A
client that does not read is closed once 128 KiB wait for it. At shutdown the holders have 3 s to finish.
Status: 64 connections, of which 32 may read /events; the head of a request has 8192 bytes and arrives within 5 s.")]
struct Options {
    /// address to listen on, as HOST:PORT; may be given several times, and all feed the same rings. Default:
    /// the environment variable TAKETURNS_LISTEN, else 127.0.0.1:5001
    #[argh(option, arg_name = "addr")]
    listen: Vec<String>,

    /// how messages are delimited: raw (not at all, for the oldest clients), line, or auto (detected for each
    /// client). Default: auto
    #[argh(option, arg_name = "framing", default = "None", from_str_fn(options::framings))]
    framing: Framings,

    /// the turns of a ring start when it has this many connected seats, and pause while it has fewer.
    /// Default: 2
    #[argh(option, arg_name = "n", default = "2", from_str_fn(options::clients))]
    clients: usize,

    /// the most connected clients; further ones are turned away. At most the limit of file descriptors less
    /// 32, and less 1 for every further address. Default: 10000
    #[argh(option, arg_name = "n", default = "10_000")]
    max_clients: usize,

    /// seats per address, including those whose client is away; further clients are turned away. An address
    /// may have twice as many connections, plus 16. Loopback has no limit. Default: none
    #[argh(option, arg_name = "n")]
    max_per_address: Option<usize>,

    /// the most bytes queued for all slow readers together, such as 512KiB; beyond that, those that have been
    /// behind for longest are closed. Default: 64MiB
    #[argh(option, arg_name = "size", default = "64 * 1024 * 1024", from_str_fn(options::size))]
    queued_max: usize,

    /// the most seats per ring; further clients are turned away. Default: none
    #[argh(option, arg_name = "n")]
    seats_max: Option<usize>,

    /// the highest weight that a client may choose: its turns for each turn of a client of weight 1. Default:
    /// 1
    #[argh(option, arg_name = "n", default = "Weight::ONE", from_str_fn(options::weight))]
    weight_max: Weight,

    /// when seats want turns: always, ask (a seat rests until its client asks), or any (each client chooses).
    /// Default: any
    #[argh(option, default = "Demands::Any", from_str_fn(options::demands))]
    demand: Demands,

    /// a holder that stays silent for this long loses its turn. Default: 30s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(30)", from_str_fn(options::turn_time))]
    turn_deadline: Duration,

    /// how long a turn may last in total, however often its holder renews it, or none. Default: the turn
    /// deadline
    #[argh(option, arg_name = "time", default = "HoldMax::TurnDeadline", from_str_fn(options::hold_max))]
    hold_max: HoldMax,

    /// how long a holder whose connection is lost keeps its turn. Default: 0s
    #[argh(option, arg_name = "time", default = "Duration::ZERO", from_str_fn(options::time))]
    turn_grace: Duration,

    /// how long the seat of a lost client is kept. Default: 60s
    #[argh(option, arg_name = "time", default = "Duration::from_secs(60)", from_str_fn(options::time))]
    seat_grace: Duration,

    /// write the journal to this file as lines of JSON, and exit. The server must be stopped
    #[argh(option, arg_name = "file")]
    export: Option<String>,

    /// create the journal from an exported file, and exit
    #[argh(option, arg_name = "file")]
    import: Option<String>,

    /// loops, each on a thread of its own, with its share of the rings and --max-clients of its own. Implies
    /// --framing line; excludes --max-per-address, --status, --access, --journal and --etcd. Default: 1
    #[argh(option, arg_name = "n", default = "1")]
    loops: usize,

    /// do not print answers (for measurements)
    #[argh(switch)]
    quiet: bool,

    /// address for the status page, metrics and probes over HTTP, as HOST:PORT, if built with the feature
    /// status. Default: the environment variable TAKETURNS_STATUS, else none
    #[argh(option, arg_name = "addr")]
    status: Option<String>,

    /// level of the log on standard error: off, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", default = "LevelFilter::Info", from_str_fn(common::level))]
    log_level: LevelFilter,
}

const EXTRAS: &[&[Extra]] = &[
    storage::OF_SERVERS,
    storage::OF_CLUSTERS,
    tls::OF_SERVERS,
    access::OF_SERVERS,
    spread::OF_SERVERS,
    web::OF_SERVERS,
    status::OF_SERVERS,
];

fn main() -> ExitCode {
    let (options, extras) = options::with_extras(EXTRAS);
    common::exit_code(serve(&options, &extras))
}

fn serve(options: &Options, extras: &Extras) -> Result<(), String> {
    common::logger::start(options.log_level);
    let storage_options = StorageOptions::read(extras);
    if storage_options.move_files(options.export.as_deref(), options.import.as_deref())? {
        return Ok(());
    }
    let (status, max_per_address) = (options.status.as_deref(), options.max_per_address);
    let mut site = Site::of_turns(&options.listen, status, max_per_address, extras)?;
    site.limits.queued_bytes_max = options.queued_max;
    site.limits.wire_ping = web::ping(extras);
    let spread = Spread::read(extras);
    let access = Access::read(extras, &site)?;
    site.has_access_rules = access.is_some();
    let mut config = config(options, site.clients_max)?;
    if spread.is_some() || options.loops > 1 {
        config.admission = Admission::Host;
    }
    if config.admission == Admission::Host || access.is_some() {
        if options.framing == Some(Framing::Raw) {
            wrong_usage(format_args!(
                "--access, --spread and --loops need --framing line: raw clients name no ring and present no token; \
                 for them use --tls-client-ca alone"
            ));
        }
        config.framing = Some(Framing::Line);
    }
    config
        .check()
        .unwrap_or_else(|error| wrong_usage(format_args!("these options contradict each other: {error}")));
    let loops = loops(options, extras, &config, &mut site)?;
    let Some((turns, storage)) = storage_options.serve(config, &mut site)? else { return Ok(()) };
    let rules = access.as_ref().map(|access| access.rules.clone());
    let mut service = Service::listen(turns, site, access.map(Access::into_reload))?;
    if let Some(rules) = rules {
        let set = |server: &mut TurnServer, links: &mut _| server.set_access(now(), rules, links);
        service.event_loop.driver_mut().act(now(), set).map_err(|error| error.to_string())?;
    }
    storage.serve(&mut service.event_loop)?;
    web::offer(service.event_loop.driver_mut(), extras)?;
    service.announce();
    let mut answers = Answers::default();
    service.run(|news, driver, event| match event {
        Event::Opened { peer, .. } => news.line(format_args!("Client {peer} connected.")),
        Event::Protocol(TurnEvent::Joining(joining)) => {
            match spread.as_ref().and_then(|spread| spread.elsewhere(&joining.ring)) {
                Some(at) => driver.act(now(), |server, links| {
                    server.redirect(now(), joining.connection, at, links);
                }),
                None => loops.admit(driver, &joining),
            }
        }
        event => loops::handle(event, driver, news, &mut answers, options.quiet),
    })?;
    loops.join();
    Ok(())
}

/// Starts the other loops.
fn loops(
    options: &Options,
    extras: &Extras,
    config: &TurnServerConfig,
    site: &mut Site,
) -> Result<Loops, String> {
    if options.loops == 0 {
        wrong_usage(format_args!("--loops 0 is invalid: it must be at least 1"));
    }
    if options.loops > 1 {
        let status = (!site.status.is_empty()).then_some("--status");
        let per_address = options.max_per_address.is_some().then_some("--max-per-address");
        let other = [storage::OF_SERVERS, storage::OF_CLUSTERS, access::OF_SERVERS]
            .iter()
            .find_map(|group| extras.first_of(group));
        if let Some(other) = status.or(per_address).or(other) {
            wrong_usage(format_args!("--loops and {other} exclude each other; see --spread"));
        }
    }
    // All loops together log as much as one.
    site.limits.log_lines_max =
        (site.limits.log_lines_max / u32::try_from(options.loops).unwrap_or(u32::MAX)).max(1);
    let loops = Loops::start(options.loops, config, &site.limits, options.quiet)?;
    site.drain_others = loops.drain();
    Ok(loops)
}

/// Converts the options for the library. The system's limit of descriptors allows `clients_max` clients.
fn config(options: &Options, clients_max: usize) -> Result<TurnServerConfig, String> {
    for (option, value) in [
        ("--clients", options.clients),
        ("--max-clients", options.max_clients),
        ("--max-per-address", options.max_per_address.unwrap_or(1)),
        ("--seats-max", options.seats_max.unwrap_or(1)),
    ] {
        if value == 0 {
            wrong_usage(format_args!("{option} 0 is invalid: it must be at least 1"));
        }
    }
    if options.max_clients < options.clients {
        wrong_usage(format_args!(
            "--max-clients {} would never let --clients {} connect: raise --max-clients or lower --clients",
            options.max_clients, options.clients
        ));
    }
    if let Some(seats_max) = options.seats_max
        && seats_max < options.clients
    {
        wrong_usage(format_args!(
            "--seats-max {seats_max} would never give --clients {} their seats: raise --seats-max or lower --clients",
            options.clients
        ));
    }
    if options.clients > clients_max {
        return Err(format!(
            "--clients {} needs more file descriptors than this process may have: see ulimit -n",
            options.clients
        ));
    }
    let mut config = TurnServerConfig::default();
    config.framing = options.framing;
    config.max_clients = options.max_clients.min(clients_max);
    config.max_per_address = options.max_per_address;
    config.rules.min_seats = options.clients;
    config.rules.seats_max = options.seats_max;
    config.rules.weight_max = options.weight_max;
    config.rules.demands = options.demand;
    config.rules.turn_deadline = options.turn_deadline;
    config.rules.hold_max = options.hold_max;
    config.rules.turn_grace = options.turn_grace;
    config.rules.seat_grace = options.seat_grace;
    Ok(config)
}
