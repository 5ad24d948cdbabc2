//! `--access`: a file of access rules, read again on SIGHUP; and `--token-file`, the token of a client.

use std::fs;

use taketurns::net::Handle;
use taketurns::protocol::turns::{AccessRules, Bearer, TurnServer};

use super::tls::Reload;

/// The name of a file of access rules.
pub struct Access(String);

impl Access {
    /// Returns the file of the option, or else that of the environment variable, if there is one.
    pub fn named(option: Option<&str>) -> Option<Access> {
        option.map(str::to_owned).or_else(|| super::environment("TAKETURNS_ACCESS")).map(Access)
    }

    pub fn read(&self) -> Result<AccessRules, String> {
        let text = fs::read_to_string(&self.0).map_err(|error| format!("{}: {error}", self.0))?;
        text.parse().map_err(|error| format!("{}: {error}", self.0))
    }

    /// Returns a function that reads the file again on its caller's thread.
    pub fn into_reload(self) -> Reload<TurnServer> {
        Box::new(move |handle: &Handle<TurnServer>| match self.read() {
            Ok(rules) => {
                let _ = handle.run(move |driver, now| {
                    let set = driver.act(now, |server, links| server.set_access(now, rules, links));
                    set.expect("there were rules before, so the framing allows them");
                });
                log::info!("{} was read again", self.0);
            }
            Err(message) => log::error!("{message}; the previous rules stay in force"),
        })
    }
}

/// Returns the token of a client, from the file or else from the environment, if there is one. It is not an
/// option, because other users of the machine can read those.
pub fn token(file: Option<&str>) -> Result<Option<Bearer>, String> {
    let (source, text) = match file {
        Some(file) => (file, fs::read_to_string(file).map(Some).map_err(|error| format!("{file}: {error}"))?),
        None => ("TAKETURNS_TOKEN", super::environment("TAKETURNS_TOKEN")),
    };
    text.map(|text| text.trim().parse().map_err(|error| format!("{source}: {error}"))).transpose()
}
