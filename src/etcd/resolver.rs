//! Where a member is.

use std::sync::OnceLock;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Looks a member up once. An agent asks before each request, also for one over an open connection, and its
/// default resolver starts a thread each time, even for an address.
#[derive(Debug, Default)]
pub(super) struct CachedLookup {
    found: OnceLock<ResolvedSocketAddrs>,
    inner: DefaultResolver,
}

impl Resolver for CachedLookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        match self.found.get() {
            Some(found) => Ok(found.clone()),
            None => {
                let found = self.inner.resolve(uri, config, timeout)?;
                Ok(self.found.get_or_init(|| found).clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_looked_up_once() {
        let (lookup, uri) = (CachedLookup::default(), Uri::from_static("http://127.0.0.1:2379/v3/kv/txn"));
        let look_up = |seconds| {
            let after = std::time::Duration::from_secs(seconds).into();
            lookup.resolve(&uri, &Config::default(), NextTimeout { after, ..NextTimeout::default() })
        };
        let found = look_up(30).expect("an address needs no server");
        // No thread would be as fast as that.
        assert_eq!(look_up(0).expect("it is known"), found);
    }
}
