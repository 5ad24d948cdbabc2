//! `--web-socket` and related options: browsers as clients, if the server was built with the feature.

use std::time::Duration;

use taketurns::net::Driver;
use taketurns::protocol::turns::TurnServer;

use super::options::{self, Extra, Extras, wrong_usage};

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
    Extra {
        option: "--web-host",
        value: "name",
        variable: "TAKETURNS_WEB_HOST",
        about: "name of the server in browsers' addresses, without a port; may be given several times (in the \
                environment: with commas between them). Default: localhost and addresses",
    },
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
