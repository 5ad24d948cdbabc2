//! `--access`: a file of access rules, which can be read again; and `--token-file`, the token of a client.

use taketurns::protocol::turns::{AccessRules, Bearer, TurnServer};

use super::files::GivenFile;
use super::options::{Extra, Extras};
use super::server::Site;
use super::tls::Reload;

/// The options of servers.
pub const OF_SERVERS: &[Extra] = &[
    Extra {
        option: "--access",
        value: "file",
        variable: "TAKETURNS_ACCESS",
        about: "file of access rules: the tokens and certificates that may join or watch each ring. All others are \
                refused. Implies --framing line. Read again on SIGHUP",
    },
    Extra {
        option: "--insecure-tokens",
        value: "",
        variable: "TAKETURNS_INSECURE_TOKENS",
        about: "accept tokens from other machines without TLS, although nothing protects them on the way",
    },
];

/// A file of rules, and the rules.
pub struct Access {
    file: GivenFile,
    pub rules: AccessRules,
}

impl Access {
    /// Reads the file that the options name, if they do. Rules that could not hold on this site, or would
    /// have their tokens read by others, are an error.
    pub fn read(extras: &Extras, site: &Site) -> Result<Option<Access>, String> {
        let Some(file) = GivenFile::of(extras, "--access") else { return Ok(None) };
        let rules = read(&file)?;
        if rules.have_tokens() && !site.is_private() && extras.get("--insecure-tokens").is_none() {
            return Err(
                "--access has tokens, which others can read on the way without TLS; see --tls-cert, or \
                 --insecure-tokens if something else protects them"
                    .to_owned(),
            );
        }
        if rules.have_certificates() && !site.asks_for_certificates() {
            return Err(
                "--access has cert: rules, but no client is asked for a certificate; see --tls-client-ca"
                    .to_owned(),
            );
        }
        Ok(Some(Access { file, rules }))
    }

    pub fn into_reload(self) -> Reload<TurnServer> {
        Box::new(move || match read(&self.file) {
            Ok(rules) => {
                log::info!("{} was read again", self.file);
                Some(Box::new(move |driver, now| {
                    let set = driver.act(now, |server, links| server.set_access(now, rules, links));
                    set.expect("there were rules before, so the framing allows them");
                }))
            }
            Err(message) => {
                log::error!("{message}; the previous rules stay in force");
                None
            }
        })
    }
}

fn read(file: &GivenFile) -> Result<AccessRules, String> {
    file.read_text()?.parse().map_err(|error| format!("{file}: {error}"))
}

/// Returns the token of a client, from the file or else from the environment, if there is one. It is not an
/// option, because other users of the machine can read those.
pub fn token(extras: &Extras) -> Result<Option<Bearer>, String> {
    let (source, text) = match GivenFile::of(extras, "--token-file") {
        Some(file) => (file.to_string(), Some(file.read_text()?)),
        None => ("TAKETURNS_TOKEN".to_owned(), super::environment("TAKETURNS_TOKEN")),
    };
    text.map(|text| text.trim().parse().map_err(|error| format!("{source}: {error}"))).transpose()
}
