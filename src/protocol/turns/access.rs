//! Access rules: a file says which tokens and certificates may join or watch which rings.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::protocol::{ConnectionId, Transport};
use crate::session::{Name, Token};
use crate::table::AdmissionTerms;
use crate::turn::Weight;

/// Rules for joining and watching rings. Anything that no rule allows is forbidden.
///
/// Each line is one rule: a credential, then the rights of the client that presents it. `#` begins a comment.
///
/// ```text
/// # printf %s "$TOKEN" | sha256sum
/// sha256:9f86...0a08 name=ann ring=main,lab weight=3
/// sha256:6030...c752 ring=* watch
/// cert:bob ring=main
/// cert:spiffe://example.org/viewer ring=* watch
/// ```
///
/// - `sha256:` is the digest of a token, as 64 hexadecimal digits. Tokens must be random, for example 32
///   random bytes: a password could be guessed from its digest. The file holds digests only, so reading it
///   does not let anyone present a token.
/// - `cert:` is a name of the client's [certificate](crate::protocol::Transport::names).
/// - `ring=` lists the rings; `*` means all of them.
/// - `name=` is the only name that the bearer may use. No other bearer may use it in these rings, and the
///   bearer may take it over from its own lost connection. Without `name=`, the bearer of a token may use any
///   name that no other rule owns, and the bearer of a certificate uses the name in `cert:`.
/// - `weight=` is the weight of its seats, and overrides the requested one.
/// - `watch` allows watching but not joining. Without it, the bearer may do both.
///
/// A credential may have several rules.
///
/// # Examples
///
/// ```
/// use taketurns::protocol::turns::AccessRules;
///
/// let rules: AccessRules = "cert:bob ring=main\n".parse()?;
/// assert!(!rules.have_tokens());
/// let error = "cert:bob\n".parse::<AccessRules>().unwrap_err();
/// assert_eq!(error.to_string(), "line 1: a rule needs ring=");
/// # Ok::<(), taketurns::protocol::turns::AccessError>(())
/// ```
#[derive(Clone, Default)]
pub struct AccessRules {
    tokens: HashMap<TokenDigest, Vec<Rule>>,
    certificates: HashMap<Box<str>, Vec<Rule>>,
    /// Names that belong to one bearer, with their rings.
    owned: HashSet<(Option<Name>, Name)>,
}

/// The SHA-256 of a token.
pub(super) type TokenDigest = [u8; 32];

#[derive(Debug, Clone)]
struct Rule {
    /// `None` means all rings.
    rings: Option<Box<[Name]>>,
    /// The only name that this rule allows.
    name: Option<Name>,
    weight: Option<Weight>,
    watch_only: bool,
}

/// A client's request and the token that it presented: enough to check it again when the rules change.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) ring: Name,
    /// `None` for a request to watch.
    pub(super) name: Option<Name>,
    pub(super) token: Option<TokenDigest>,
}

/// Leaves the digest out.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("ring", &self.ring).field("name", &self.name).finish_non_exhaustive()
    }
}

impl AccessRules {
    /// Returns whether any rule asks for a token. Tokens need a connection that no third party can read.
    #[must_use]
    pub fn have_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Returns whether any rule asks for a certificate.
    #[must_use]
    pub fn have_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Returns the terms for a claim by a client whose certificate has these `names`, or the reason for
    /// refusing it.
    pub(super) fn check(&self, claim: &Claim, names: &[Box<str>]) -> Result<AdmissionTerms, &'static str> {
        let by_token = claim.token.and_then(|token| self.tokens.get(&token));
        let by_names = names.iter().filter_map(|name| self.certificates.get(name));
        let mut rules: Vec<&Rule> = by_token.into_iter().chain(by_names).flatten().collect();
        if rules.is_empty() {
            return Err(match (claim.token, names) {
                (None, []) => "no token or certificate was presented",
                _ => "unknown token or certificate",
            });
        }
        rules.retain(|rule| rule.covers(&claim.ring));
        if rules.is_empty() {
            return Err("you may not join or watch this ring");
        }
        let Some(name) = claim.name else { return Ok(AdmissionTerms::default()) };
        rules.retain(|rule| !rule.watch_only);
        if rules.is_empty() {
            return Err("you may only watch");
        }
        let rule = rules.into_iter().find(|rule| match &rule.name {
            Some(only) => *only == name,
            None => !self.is_owned(claim.ring, name),
        });
        let rule = rule.ok_or("you may not use this name")?;
        Ok(AdmissionTerms { weight: rule.weight, demand: None, owns_name: rule.name.is_some() })
    }

    fn is_owned(&self, ring: Name, name: Name) -> bool {
        self.owned.contains(&(None, name)) || self.owned.contains(&(Some(ring), name))
    }

    fn add(&mut self, line: &str) -> Result<(), AccessErrorKind> {
        let mut words = line.split_ascii_whitespace();
        let Some(credential) = words.next() else { return Ok(()) };
        if !credential.starts_with("sha256:") && !credential.starts_with("cert:") {
            return Err(AccessErrorKind::Credential);
        }
        // `replace` returns the earlier value: a word that appears twice is an error.
        let (mut rings, mut name, mut weight, mut watch_only) = (None, None, None, false);
        for word in words {
            let is_new = match word.split_once('=') {
                Some(("ring", "*")) => rings.replace(None).is_none(),
                Some(("ring", list)) => {
                    let list: Result<Box<[Name]>, _> = list.split(',').map(str::parse).collect();
                    rings.replace(Some(list.map_err(|_| AccessErrorKind::Name)?)).is_none()
                }
                Some(("name", text)) => {
                    name.replace(text.parse().map_err(|_| AccessErrorKind::Name)?).is_none()
                }
                Some(("weight", text)) => {
                    let parsed = text.parse().ok().and_then(Weight::new);
                    weight.replace(parsed.ok_or(AccessErrorKind::Weight)?).is_none()
                }
                None if word == "watch" => !std::mem::replace(&mut watch_only, true),
                _ => return Err(AccessErrorKind::UnknownWord),
            };
            if !is_new {
                return Err(AccessErrorKind::Duplicate);
            }
        }
        let rings = rings.ok_or(AccessErrorKind::MissingRing)?;
        if watch_only && (name.is_some() || weight.is_some()) {
            return Err(AccessErrorKind::WatchWithSeat);
        }
        let rules = match credential.split_once(':') {
            Some(("sha256", digits)) => self.tokens.entry(digest_of(digits)?).or_default(),
            Some(("cert", certified)) if !certified.is_empty() => {
                if name.is_none() && !watch_only {
                    name = Some(certified.parse().map_err(|_| AccessErrorKind::CertifiedName)?);
                }
                // Certificate names arrive with their DNS names in lower case.
                let is_uri = certified.contains("://");
                let key = if is_uri { certified.into() } else { certified.to_ascii_lowercase().into() };
                self.certificates.entry(key).or_default()
            }
            _ => return Err(AccessErrorKind::Credential),
        };
        match (&rings, name) {
            (None, Some(name)) => _ = self.owned.insert((None, name)),
            (Some(rings), Some(name)) => self.owned.extend(rings.iter().map(|ring| (Some(*ring), name))),
            (_, None) => {}
        }
        rules.push(Rule { rings, name, weight, watch_only });
        Ok(())
    }
}

impl Rule {
    fn covers(&self, ring: &Name) -> bool {
        self.rings.as_ref().is_none_or(|rings| rings.contains(ring))
    }
}

pub(super) fn digest(token: Token<'_>) -> TokenDigest {
    Sha256::digest(token.expose().as_bytes()).into()
}

fn digest_of(digits: &str) -> Result<TokenDigest, AccessErrorKind> {
    let mut digest = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(AccessErrorKind::Digest);
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| AccessErrorKind::Digest)?;
    }
    Ok(digest)
}

/// Accepts the whole text or none of it.
impl FromStr for AccessRules {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<AccessRules, AccessError> {
        let mut rules = AccessRules::default();
        for (line, nth) in text.lines().zip(1..) {
            let rule = line.split('#').next().unwrap_or_default();
            rules.add(rule).map_err(|kind| AccessError { line: nth, kind })?;
        }
        Ok(rules)
    }
}

impl fmt::Debug for AccessRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRules")
            .field("tokens", &self.tokens.len())
            .field("certificates", &self.certificates.len())
            .finish()
    }
}

/// A line of [`AccessRules`] that cannot be parsed. The message never quotes the line, because it may contain
/// a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessError {
    /// The line number, counted from 1.
    pub line: usize,
    kind: AccessErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessErrorKind {
    Credential,
    Digest,
    UnknownWord,
    Duplicate,
    Name,
    Weight,
    MissingRing,
    WatchWithSeat,
    CertifiedName,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            AccessErrorKind::Credential => "a rule begins with sha256: or cert:",
            AccessErrorKind::Digest => {
                "sha256: takes 64 hexadecimal digits, as from printf %s \"$TOKEN\" | sha256sum"
            }
            AccessErrorKind::UnknownWord => "a credential may be followed by ring=, name=, weight= and watch",
            AccessErrorKind::Duplicate => "each word may appear only once in a rule",
            AccessErrorKind::Name => "a name has 1 to 64 bytes, without white space, : or =",
            AccessErrorKind::Weight => "a weight is a number from 1 to 100",
            AccessErrorKind::MissingRing => "a rule needs ring=",
            AccessErrorKind::WatchWithSeat => "a rule with watch takes neither name= nor weight=",
            AccessErrorKind::CertifiedName => {
                "the name after cert: cannot be a client's name, so this rule needs name= or watch"
            }
        };
        write!(f, "line {}: {why}", self.line)
    }
}

impl std::error::Error for AccessError {}

/// The rules in force, and the claims that were admitted under them.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) rules: AccessRules,
    pub(super) admitted: HashMap<ConnectionId, Claim>,
}

impl Access {
    pub(super) fn check(
        &self,
        claim: &Claim,
        transport: Option<&Transport>,
    ) -> Result<AdmissionTerms, &'static str> {
        self.rules.check(claim, transport.map_or(&[], |transport| &transport.names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAFF: &str = "ey.staff";

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn token(text: &str) -> TokenDigest {
        digest(Token::new(text).expect("a token"))
    }

    fn line(text: &str, rest: &str) -> String {
        let digits: String = token(text).iter().map(|byte| format!("{byte:02X}")).collect();
        format!("sha256:{digits} {rest}\n")
    }

    fn rules(text: &str) -> AccessRules {
        text.parse().expect("good rules")
    }

    fn ask(
        rules: &AccessRules,
        shown: &str,
        names: &[&str],
        ring: &str,
        wants: Option<&str>,
    ) -> Result<AdmissionTerms, &'static str> {
        let names: Vec<Box<str>> = names.iter().map(|&name| name.into()).collect();
        let claim = Claim { ring: name(ring), name: wants.map(name), token: Token::new(shown).map(digest) };
        rules.check(&claim, &names)
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        // printf %s abc | sha256sum
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(digits), Ok(token("abc")));
    }

    #[test]
    fn a_token_is_worth_what_its_rules_say() {
        let text = line(STAFF, "name=ann ring=main,lab weight=3")
            + &line("viewer", "ring=* watch # a screen")
            + &line("anybody", "ring=main");
        let rules = rules(&text);
        let terms = ask(&rules, STAFF, &[], "lab", Some("ann")).expect("it is hers");
        assert_eq!((terms.weight, terms.owns_name), (Weight::new(3), true));
        assert!(ask(&rules, STAFF, &[], "lab", None).is_ok(), "she may watch, too");
        let terms = ask(&rules, "anybody", &[], "main", Some("zoe")).expect("any name");
        assert_eq!((terms.weight, terms.owns_name), (None, false));
        for (shown, ring, wants, why) in [
            (STAFF, "lab", Some("bob"), "you may not use this name"),
            (STAFF, "gpu0", Some("ann"), "you may not join or watch this ring"),
            ("viewer", "main", Some("ann"), "you may only watch"),
            ("anybody", "main", Some("ann"), "you may not use this name"),
            ("anybody", "lab", None, "you may not join or watch this ring"),
            ("guessed", "main", Some("ann"), "unknown token or certificate"),
            ("", "main", Some("ann"), "no token or certificate was presented"),
        ] {
            assert_eq!(ask(&rules, shown, &[], ring, wants).err(), Some(why), "{shown} {ring} {wants:?}");
        }
        assert!(ask(&rules, "viewer", &[], "main", None).is_ok());
        assert!(rules.have_tokens() && !rules.have_certificates());
    }

    #[test]
    fn a_certificate_gives_its_own_name_unless_the_rule_says_another() {
        let rules = rules(
            "cert:Bob ring=main name=bob\ncert:spiffe://example.org/v ring=* watch\ncert:carol ring=*\n\
             cert:spiffe://example.org/d name=dave ring=main\n",
        );
        assert!(ask(&rules, "", &["bob"], "main", Some("bob")).is_ok_and(|terms| terms.owns_name));
        assert!(ask(&rules, "", &["x", "carol"], "lab", Some("carol")).is_ok());
        assert!(ask(&rules, "", &["spiffe://example.org/d"], "main", Some("dave")).is_ok());
        assert!(ask(&rules, "", &["spiffe://example.org/v"], "lab", None).is_ok());
        for (names, wants, why) in [
            (&["carol"][..], "bob", "you may not use this name"),
            (&["spiffe://example.org/v"], "carol", "you may only watch"),
            (&["spiffe://example.org/V"], "carol", "unknown token or certificate"),
            (&["eve"], "carol", "unknown token or certificate"),
        ] {
            assert_eq!(ask(&rules, "", names, "main", Some(wants)).err(), Some(why), "{names:?}");
        }
        // One valid proof is enough.
        assert!(ask(&rules, "guessed", &["carol"], "main", Some("carol")).is_ok());
    }

    #[test]
    fn a_proof_may_have_several_rules() {
        let text = line(STAFF, "name=ann ring=main weight=3") + &line(STAFF, "name=ann2 ring=lab");
        let rules = rules(&text);
        assert!(ask(&rules, STAFF, &[], "main", Some("ann")).is_ok());
        assert!(ask(&rules, STAFF, &[], "lab", Some("ann2")).is_ok_and(|terms| terms.weight.is_none()));
        assert!(ask(&rules, STAFF, &[], "lab", Some("ann")).is_err());
    }

    #[test]
    fn a_line_that_is_no_rule_is_named_and_not_shown() {
        let good = line(STAFF, "ring=main");
        for (bad, why) in [
            ("ey.J", "a rule begins"),
            ("sha256:ey.J ring=main", "64 hexadecimal digits"),
            ("cert: ring=main", "a rule begins"),
            ("cert:bob", "needs ring="),
            ("cert:bob ring=", "a name has"),
            ("cert:bob ring=a,,b", "a name has"),
            ("cert:bob ring=main ring=lab", "only once"),
            ("cert:bob ring=main watch watch", "only once"),
            ("cert:bob ring=main watch weight=2", "neither name= nor weight="),
            ("cert:bob ring=main weight=101", "1 to 100"),
            ("cert:bob ring=main secret=ey.J", "ring=, name="),
            ("cert:spiffe://example.org/d ring=main", "needs name= or watch"),
        ] {
            let error = format!("# rules\n{good}\n{bad}\n").parse::<AccessRules>().expect_err("it is bad");
            let shown = format!("{error} {error:?}");
            assert!(error.line == 4 && shown.contains(why), "{bad}: {error}");
            assert!(!shown.contains("ey.J"), "{shown}");
        }
        assert!(!format!("{:?}", rules(&good)).contains("sha256"));
    }
}
