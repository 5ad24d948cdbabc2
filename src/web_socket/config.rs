//! The pages that may connect.

use std::fmt;

/// The pages that may connect over WebSocket; see the [module's documentation](super).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebSocketConfig {
    /// Origins of pages that may connect, in addition to the host's own: `https://game.example`, with the
    /// port unless it is the scheme's default. `null` is the origin of files, and of any page that chooses to
    /// have none; `*` allows all. Default: none.
    pub origins: Vec<String>,
    /// Names of the server, without ports, in addition to addresses, `localhost` and names that end in
    /// `.localhost`. Default: none.
    pub hosts: Vec<String>,
}

/// A text that is not an origin, and would never match one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidOrigin(pub String);

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an origin such as https://game.example or http://localhost:8080", self.0)
    }
}

impl std::error::Error for InvalidOrigin {}

impl WebSocketConfig {
    /// Checks that each origin is valid.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidOrigin`] for the first invalid origin, for example a URL with a path.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::web_socket::WebSocketConfig;
    ///
    /// let mut config = WebSocketConfig::default();
    /// config.origins.push("https://game.example/".to_owned());
    /// assert!(config.check().is_err(), "there is a path");
    /// ```
    pub fn check(&self) -> Result<(), InvalidOrigin> {
        let is_origin = |text: &str| {
            let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@']))
        };
        match self.origins.iter().find(|text| !matches!(text.as_str(), "*" | "null") && !is_origin(text)) {
            Some(text) => Err(InvalidOrigin(text.clone())),
            None => Ok(()),
        }
    }

    /// Returns whether a page of `origin` may connect if it reaches the server as `host`, which may have a
    /// port.
    pub(super) fn allows_origin(&self, origin: &str, host: &str) -> bool {
        let of_scheme = |scheme| {
            let page = origin.strip_prefix(scheme);
            page.is_some_and(|page| page.eq_ignore_ascii_case(host))
        };
        of_scheme("http://")
            || of_scheme("https://")
            || self.origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> WebSocketConfig {
        WebSocketConfig {
            origins: vec!["https://game.example".to_owned(), "http://localhost:8082".to_owned()],
            hosts: vec!["turns.example".to_owned()],
        }
    }

    #[test]
    fn a_page_may_connect_from_the_host_itself_or_an_allowed_origin() {
        for (origin, host, is_allowed) in [
            ("http://turns.example:5001", "turns.example:5001", true),
            ("https://Turns.example:5001", "turns.example:5001", true),
            ("https://game.example", "turns.example", true),
            ("https://game.example:444", "turns.example", false),
            ("http://game.example", "turns.example", false),
            ("http://turns.example", "turns.example:5001", false),
            ("http://localhost:8082", "127.0.0.1:5001", true),
            ("http://127.0.0.1:8082", "127.0.0.1:5001", false),
            ("http://turns.example:5001.evil.example", "turns.example:5001", false),
            ("turns.example:5001", "turns.example:5001", false),
            ("null", "turns.example", false),
            ("", "turns.example", false),
        ] {
            assert_eq!(config().allows_origin(origin, host), is_allowed, "{origin} at {host}");
        }
        for allowed in ["null", "*"] {
            let config = WebSocketConfig { origins: vec![allowed.to_owned()], ..config() };
            assert!(config.allows_origin("null", "turns.example"), "if that is said");
            assert_eq!(config.allows_origin("http://evil.example", "turns.example"), allowed == "*");
        }
    }

    #[test]
    fn an_origin_that_would_never_match_is_an_error() {
        assert_eq!(config().check(), Ok(()));
        for origin in
            ["game.example", "https://game.example/", "https://", "ws://game.example", "http://a@b", ""]
        {
            let config = WebSocketConfig { origins: vec![origin.to_owned()], ..config() };
            let error = config.check().expect_err(origin).to_string();
            assert!(error.starts_with(&format!("{origin:?} is not an origin")), "{error}");
        }
    }
}
