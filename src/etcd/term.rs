//! The commits of one term: a transaction for each, and what its answer means. No I/O.
//!
//! A commit has two guards. *Fence*: `lead` is still the one of this term, which its create revision F names,
//! so nobody else leads. *Sequence*: the last commit is the one that this commit follows, so a try of an
//! earlier one that is carried out late, when nobody waits for its answer any more, changes nothing. Without
//! the sequence, late tries would overwrite newer values; without the fence, a server that was deposed and
//! does not know it yet would commit, and stop the one that leads.
//!
//! A commit is tried until it is decided: the same transaction again may find that an earlier try was carried
//! out, and then `seq` says so.

use super::keys::Keys;
use super::message::{Answer, Trouble};
use super::parts;
use super::proto::{Compare, RequestOp, TxnRequest};
use crate::record::Change;

/// Operations in a nested transaction. etcd takes 128 in a transaction; in a nested one, 128 less those of
/// the transaction around it.
const TOGETHER_MAX: usize = 100;

const _: () = assert!(1 + parts::CHANGES_MAX.div_ceil(TOGETHER_MAX) + TOGETHER_MAX <= 128);

/// The leadership of one server, from its election on.
#[derive(Debug, Clone)]
pub(super) struct Term {
    keys: Keys,
    /// The revision at which its `lead` was created.
    fence: i64,
    /// The value of `seq` unless another server has committed; `None` if there is no such key.
    seq: Option<String>,
    /// Commits of this term.
    commits: u64,
}

/// The fate of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored.
    Durable,
    /// It is not stored and never will be: this server no longer leads.
    Fenced,
}

impl Term {
    /// Continues after the commit that the take-over has read.
    pub(super) fn new(keys: Keys, fence: i64, seq: Option<String>) -> Term {
        Term { keys, fence, seq, commits: 0 }
    }

    /// The value of `seq` after the next commit.
    fn next(&self) -> String {
        format!("{}:{}", self.fence, self.commits + 1)
    }

    /// Returns the next commit, which is the same until it is decided.
    pub(super) fn commit(&self, changes: &[Change]) -> TxnRequest {
        let seq = self.keys.seq();
        let sequence = match &self.seq {
            Some(value) => Compare::value(&seq[..], &value[..]),
            None => Compare::created(&seq[..], 0),
        };
        let changes = changes.iter().map(|change| {
            let key = self.keys.entry(change.key());
            match change {
                Change::Put { value, .. } => RequestOp::put(key, &value[..], 0),
                Change::Delete { .. } => RequestOp::delete(key),
            }
        });
        let mut changes: Vec<RequestOp> = changes.collect();
        if changes.len() > TOGETHER_MAX {
            changes = changes.chunks(TOGETHER_MAX).map(|some| RequestOp::all(some.to_vec())).collect();
        }
        let put = RequestOp::put(&seq[..], self.next(), 0);
        TxnRequest {
            compare: vec![Compare::created(self.keys.lead(), self.fence), sequence],
            success: std::iter::once(put).chain(changes).collect(),
            failure: vec![RequestOp::range(seq)],
        }
    }

    /// Takes the answer to the commit. One that is malformed decides nothing.
    pub(super) fn hear(&mut self, answer: &Answer) -> Result<Verdict, Trouble> {
        let Answer::Decided { succeeded, found, .. } = answer else {
            return Err(Trouble::Malformed("an answer to something else".to_owned()));
        };
        let next = self.next();
        let has_counted = found.as_ref().is_some_and(|seq| seq.value == next.as_bytes());
        if !succeeded && !has_counted {
            return Ok(Verdict::Fenced);
        }
        self.commits += 1;
        self.seq = Some(next);
        Ok(Verdict::Durable)
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::KeyValue;
    use super::*;
    use crate::record::Key;

    fn answer(succeeded: bool, seq: Option<&str>) -> Answer {
        let found = seq.map(|seq| KeyValue { value: seq.into(), ..KeyValue::default() });
        Answer::Decided { revision: 9, succeeded, found }
    }

    fn guard(txn: &TxnRequest) -> &Compare {
        &txn.compare[1]
    }

    #[test]
    fn each_commit_follows_the_one_before() {
        let keys = Keys::of("x").expect("plain");
        let mut term = Term::new(keys.clone(), 12, None);
        let put = Change::Put { key: Key::Meta, value: b"v".to_vec() };
        let first = term.commit(std::slice::from_ref(&put));
        assert_eq!(first.compare[0], Compare::created(keys.lead(), 12));
        assert_eq!(guard(&first), &Compare::created(keys.seq(), 0));
        let seq = |value: &str| RequestOp::put(keys.seq(), value, 0);
        let meta = RequestOp::put(b"/taketurns/x/0/m", b"v", 0);
        assert_eq!(first.success, [seq("12:1"), meta]);
        assert_eq!(term.commit(&[put]), first, "the same until it is decided");
        assert_eq!(term.hear(&answer(true, None)), Ok(Verdict::Durable));
        let second = term.commit(&[Change::Delete { key: Key::Meta }]);
        assert_eq!(guard(&second), &Compare::value(keys.seq(), "12:1"));
        assert_eq!(second.success, [seq("12:2"), RequestOp::delete(b"/taketurns/x/0/m")]);
        assert_eq!(second.failure, [RequestOp::range(keys.seq())]);
    }

    #[test]
    fn a_try_that_counted_unheard_is_known_by_its_sequence_and_all_else_fences() {
        let term = || Term::new(Keys::of("x").expect("plain"), 12, Some("7:3".to_owned()));
        assert_eq!(term().hear(&answer(false, Some("12:1"))), Ok(Verdict::Durable));
        for seq in [Some("7:3"), Some("12:2"), Some("13:1"), Some(""), None] {
            assert_eq!(term().hear(&answer(false, seq)), Ok(Verdict::Fenced), "{seq:?}");
        }
        let other = Answer::KeptAlive { ttl: 5 };
        assert!(term().hear(&other).is_err());
    }
}
