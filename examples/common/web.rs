//! `--web-socket` and related options: browsers as clients, if the server was built with the feature.

use taketurns::net::Driver;
use taketurns::protocol::turns::TurnServer;

use super::options::wrong_usage;

/// The options.
pub struct Web<'a> {
    pub is_on: bool,
    pub origins: &'a [String],
    pub hosts: &'a [String],
}

impl Web<'_> {
    /// Returns whether to accept WebSockets. Options that are impossible or useless are errors.
    fn is_wanted(&self) -> Result<bool, String> {
        let others = [("--web-origin", self.origins.is_empty()), ("--web-host", self.hosts.is_empty())];
        if let Some((option, _)) = others.into_iter().find(|(_, is_left_out)| !self.is_on && !is_left_out) {
            wrong_usage(format_args!("{option} needs --web-socket"));
        }
        if self.is_on && cfg!(not(feature = "web-socket")) {
            return Err(
                "this build lacks the feature web-socket; build with it, as in cargo run --release --features \
                        web-socket --example turn_server -- --web-socket"
                    .to_owned(),
            );
        }
        Ok(self.is_on)
    }

    /// Makes `driver` accept WebSockets, if requested.
    #[cfg(feature = "web-socket")]
    pub fn offer(&self, driver: &mut Driver<TurnServer>) -> Result<(), String> {
        if self.is_wanted()? {
            let (origins, hosts) = (self.origins.to_vec(), self.hosts.to_vec());
            let config = taketurns::web_socket::WebSocketConfig { origins, hosts };
            if let Err(error) = driver.offer_web_socket(config) {
                wrong_usage(format_args!("--web-origin: {error}"));
            }
        }
        Ok(())
    }

    /// Makes `driver` accept WebSockets, if requested.
    #[cfg(not(feature = "web-socket"))]
    pub fn offer(&self, _: &mut Driver<TurnServer>) -> Result<(), String> {
        self.is_wanted().map(|_| ())
    }
}
