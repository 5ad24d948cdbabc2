//! `--web-socket`, `--web` and related options: browsers as clients, if the server has the features.

use std::net::SocketAddr;
use std::time::Duration;

use taketurns::net::{Driver, EventLoop};
use taketurns::protocol::turns::TurnServer;

use super::options::{self, Extra, Extras, wrong_usage};

const WEB_HOST: Extra = Extra {
    option: "--web-host",
    value: "name",
    variable: "TAKETURNS_WEB_HOST",
    about: "name of the server in browsers' addresses, without a port; may be given several times (in the \
            environment: with commas between them). Default: localhost and addresses",
};

/// The options of servers with a page for browsers.
pub const OF_PAGES: &[Extra] = &[
    Extra {
        option: "--web",
        value: "addr",
        variable: "TAKETURNS_WEB",
        about: "address of a page for playing in a browser, as HOST:PORT; may be given several times (in the \
                environment: with commas between them). Needs the features status and web-socket. Default: none",
    },
    WEB_HOST,
];

/// The options of servers.
pub const OF_SERVERS: &[Extra] = &[
    Extra {
        option: "--web-socket",
        value: "",
        variable: "TAKETURNS_WEB_SOCKET",
        about: "accept WebSockets as well, on every address, for browsers; if built with the feature web-socket",
    },
    Extra {
        option: "--web-origin",
        value: "url",
        variable: "TAKETURNS_WEB_ORIGIN",
        about: "origin of pages that may connect, in addition to the server's own, such as https://game.example; null for \
                files, * for all. May be given several times (in the environment: with commas between them)",
    },
    WEB_HOST,
    Extra {
        option: "--web-ping",
        value: "time",
        variable: "TAKETURNS_WEB_PING",
        about: "interval of pings on WebSockets, for proxies that cut silent ones. Default: never",
    },
];

/// Returns whether to accept WebSockets. Options that are impossible or useless are errors.
fn is_wanted(extras: &Extras) -> Result<bool, String> {
    let is_on = extras.get("--web-socket").is_some();
    if !is_on && let Some(option) = extras.first_of(OF_SERVERS) {
        wrong_usage(format_args!("{option} needs --web-socket"));
    }
    if is_on && cfg!(not(feature = "web-socket")) {
        return Err(format!("cannot serve browsers: {} -- --web-socket", options::lacks("web-socket")));
    }
    Ok(is_on)
}

/// Returns how often WebSockets are pinged, if at all.
pub fn ping(extras: &Extras) -> Option<Duration> {
    let time = |text: String| {
        options::time(&text).unwrap_or_else(|error| wrong_usage(format_args!("--web-ping {text}: {error}")))
    };
    extras.get("--web-ping").map(time).filter(|every| !every.is_zero())
}

/// Makes `driver` accept WebSockets, if requested.
#[cfg(feature = "web-socket")]
pub fn offer(driver: &mut Driver<TurnServer>, extras: &Extras) -> Result<(), String> {
    if is_wanted(extras)? {
        let (origins, hosts) = (extras.all("--web-origin"), extras.all("--web-host"));
        let config = taketurns::web_socket::WebSocketConfig { origins, hosts };
        if let Err(error) = driver.offer_web_socket(config) {
            wrong_usage(format_args!("--web-origin: {error}"));
        }
    }
    Ok(())
}

/// Makes `driver` accept WebSockets, if requested.
#[cfg(not(feature = "web-socket"))]
pub fn offer(_: &mut Driver<TurnServer>, extras: &Extras) -> Result<(), String> {
    is_wanted(extras).map(|_| ())
}

/// Serves `page` and accepts WebSockets, if `--web` is given. Returns the page's addresses.
pub fn serve_page(
    event_loop: &mut EventLoop<TurnServer>,
    extras: &Extras,
    page: &'static str,
) -> Result<Vec<SocketAddr>, String> {
    let addrs = extras.all("--web");
    if addrs.is_empty() {
        return match extras.first_of(OF_PAGES) {
            Some(option) => wrong_usage(format_args!("{option} needs --web")),
            None => Ok(Vec::new()),
        };
    }
    if cfg!(not(all(feature = "status", feature = "web-socket"))) {
        return Err(format!("{} -- --web {}", options::lacks("status,web-socket"), addrs[0]));
    }
    let addrs = super::addresses::all(&addrs, "serve the page on", "--web 127.0.0.1:8082")?;
    serve_page_on(event_loop, &addrs, extras.all("--web-host"), page)
}

#[cfg(all(feature = "status", feature = "web-socket"))]
fn serve_page_on(
    event_loop: &mut EventLoop<TurnServer>,
    addrs: &[SocketAddr],
    hosts: Vec<String>,
    page: &'static str,
) -> Result<Vec<SocketAddr>, String> {
    let web = taketurns::web_socket::WebSocketConfig { hosts: hosts.clone(), ..Default::default() };
    event_loop.driver_mut().offer_web_socket(web).map_err(|error| error.to_string())?;
    let config = taketurns::status::StatusConfig { hosts, page, ..Default::default() };
    event_loop.serve_status(addrs, config).map_err(|error| super::advise_on(&error, "--web"))
}

#[cfg(not(all(feature = "status", feature = "web-socket")))]
fn serve_page_on(
    _: &mut EventLoop<TurnServer>,
    _: &[SocketAddr],
    _: Vec<String>,
    _: &'static str,
) -> Result<Vec<SocketAddr>, String> {
    Ok(Vec::new())
}
