//! The keys of a cluster, which all have one prefix.

use crate::record::Key;

/// The keys of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// Ends with `/`.
    prefix: String,
}

impl Keys {
    /// Returns the keys of a cluster, or `None` if its name cannot be part of a key.
    pub(super) fn of(cluster: &str) -> Option<Keys> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=64).contains(&cluster.len()) && cluster.bytes().all(is_plain);
        // 0 is the only shard for now.
        fits.then(|| Keys { prefix: format!("/taketurns/{cluster}/0/") })
    }

    /// The key of the leader, which is deleted with the leader's lease.
    pub(super) fn lead(&self) -> Vec<u8> {
        format!("{}lead", self.prefix).into_bytes()
    }

    /// The key of the last commit: the revision at which the leader's `lead` was created, and a number.
    pub(super) fn seq(&self) -> Vec<u8> {
        format!("{}seq", self.prefix).into_bytes()
    }

    /// The key of an entry.
    pub(super) fn entry(&self, key: &Key) -> Vec<u8> {
        format!("{}{key}", self.prefix).into_bytes()
    }

    /// The prefix of all keys.
    pub(super) fn begin(&self) -> Vec<u8> {
        self.prefix.clone().into_bytes()
    }

    /// The first key after all of them: `/` plus 1 is `0`.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut end = self.begin();
        *end.last_mut().expect("a prefix") += 1;
        end
    }

    /// Returns what follows the prefix in `key`.
    pub(super) fn rest<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(self.prefix.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_share_no_key() {
        let keys = Keys::of("games-2.eu").expect("plain");
        let seat = keys.entry(&Key::Seat("oak".parse().expect("a name"), 7));
        assert_eq!(seat, b"/taketurns/games-2.eu/0/6f616b/s/0000000000000007");
        assert_eq!(
            (keys.lead(), keys.seq()),
            (b"/taketurns/games-2.eu/0/lead".into(), b"/taketurns/games-2.eu/0/seq".into())
        );
        for key in [keys.lead(), keys.seq(), keys.entry(&Key::Meta), seat] {
            assert!(keys.begin() < key && key < keys.end());
        }
        assert_eq!(keys.rest(b"/taketurns/games-2.eu/0/m"), Some(&b"m"[..]));
        for bad in ["", "a/0/b", "a b", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(Keys::of(bad), None, "{bad}");
        }
    }
}
