//! An etcd in memory, and a network to it that loses, delays and repeats requests.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::super::message::{Answer, Code, Request, Trouble};
use super::super::proto::{Compare, KeyValue, Operation, RangeRequest, RequestOp, TargetUnion, TxnRequest};

/// The unit of time: 100 ms.
pub(super) type Tick = u64;

/// Guards that the etcd ignores, so that the judge has something to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ignores {
    pub(super) fence: bool,
    pub(super) sequence: bool,
}

type Entries = BTreeMap<Vec<u8>, KeyValue>;

#[derive(Debug, Default)]
pub(super) struct Etcd {
    revision: i64,
    entries: Entries,
    /// As they were at revisions that are read in pages.
    snapshots: BTreeMap<i64, Entries>,
    /// When each lease ends, and how long it lasts.
    leases: BTreeMap<i64, (Tick, u64)>,
    leases_made: i64,
    ignores: Ignores,
}

impl Etcd {
    pub(super) fn new(ignores: Ignores) -> Etcd {
        // A revision of 0 is none.
        Etcd { revision: 1, ignores, ..Etcd::default() }
    }

    pub(super) fn value(&self, key: &[u8]) -> Option<&KeyValue> {
        self.entries.get(key)
    }

    pub(super) fn expire(&mut self, now: Tick) {
        let ended: Vec<i64> =
            self.leases.iter().filter(|(_, (ends, _))| *ends <= now).map(|(lease, _)| *lease).collect();
        ended.into_iter().for_each(|lease| self.revoke(lease));
    }

    fn revoke(&mut self, lease: i64) {
        self.leases.remove(&lease);
        self.revision += 1;
        self.entries.retain(|_, entry| entry.lease != lease);
    }

    pub(super) fn carry_out(&mut self, now: Tick, request: &Request) -> Result<Answer, Trouble> {
        let gone = || Trouble::Refused { code: Code::NOT_FOUND, why: "requested lease not found".to_owned() };
        match request {
            Request::Grant { ttl } => {
                self.leases_made += 1;
                self.leases.insert(self.leases_made, (now + 10 * ttl, 10 * ttl));
                Ok(Answer::Granted { lease: self.leases_made, ttl: *ttl })
            }
            Request::KeepAlive { lease } => match self.leases.get_mut(lease) {
                Some((ends, lasts)) => {
                    *ends = now + *lasts;
                    Ok(Answer::KeptAlive { ttl: *lasts / 10 })
                }
                None => Ok(Answer::KeptAlive { ttl: 0 }),
            },
            Request::Revoke { lease } if !self.leases.contains_key(lease) => Err(gone()),
            Request::Revoke { lease } => {
                self.revoke(*lease);
                Ok(Answer::Revoked)
            }
            Request::Range(RangeRequest { key, range_end, .. }) if range_end.is_empty() => {
                let entries = self.value(key).cloned().into_iter().collect();
                Ok(Answer::Found { revision: self.revision, entries, more: false })
            }
            Request::Range(RangeRequest { key, range_end, revision, limit }) => {
                let revision = if *revision == 0 { self.revision } else { *revision };
                let entries = self.snapshots.get(&revision).unwrap_or(&self.entries);
                let limit = usize::try_from(*limit).expect("not negative");
                let found = entries.range(key.clone()..range_end.clone()).map(|(_, entry)| entry.clone());
                let mut found: Vec<KeyValue> = found.take(limit + 1).collect();
                let more = found.len() > limit;
                found.truncate(limit);
                if more && revision == self.revision {
                    self.snapshots.insert(revision, self.entries.clone());
                }
                Ok(Answer::Found { revision, entries: found, more })
            }
            Request::Txn(txn) => {
                assert_fits(txn, 128);
                let succeeded = txn.compare.iter().all(|compare| self.is_true(compare));
                let leases_exist = txn.success.iter().all(|op| match of(op) {
                    Operation::Put(put) => put.lease == 0 || self.leases.contains_key(&put.lease),
                    _ => true,
                });
                if !succeeded {
                    let [otherwise] = &txn.failure[..] else { panic!("one key is read") };
                    let Operation::Range(read) = of(otherwise) else { panic!("a key is read") };
                    let found = self.value(&read.key).cloned();
                    return Ok(Answer::Decided { revision: self.revision, succeeded, found });
                }
                if !leases_exist {
                    return Err(gone());
                }
                self.revision += 1;
                txn.success.iter().for_each(|op| self.apply(of(op)));
                Ok(Answer::Decided { revision: self.revision, succeeded, found: None })
            }
            Request::Authenticate { .. } | Request::Status => {
                unreachable!("there is no user, and no member is preferred")
            }
        }
    }

    fn is_true(&self, compare: &Compare) -> bool {
        let found = self.value(&compare.key);
        match compare.target_union.as_ref().expect("something to compare with") {
            TargetUnion::CreateRevision(revision) => {
                let is_ignored = match (compare.key.ends_with(b"/lead"), *revision) {
                    (true, 1..) => self.ignores.fence,
                    (true, _) => false,
                    (false, _) => self.ignores.sequence,
                };
                is_ignored || found.map_or(0, |entry| entry.create_revision) == *revision
            }
            TargetUnion::Value(value) => {
                self.ignores.sequence || found.is_some_and(|entry| entry.value == *value)
            }
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Put(put) => {
                let create_revision =
                    self.value(&put.key).map_or(self.revision, |entry| entry.create_revision);
                let (key, value) = (put.key.clone(), put.value.clone());
                self.entries
                    .insert(put.key.clone(), KeyValue { key, value, create_revision, lease: put.lease });
            }
            Operation::DeleteRange(delete) => drop(self.entries.remove(&delete.key)),
            Operation::Txn(txn) => txn.success.iter().for_each(|op| self.apply(of(op))),
            Operation::Range(_) => panic!("nothing is read but what a failed transaction reads"),
        }
    }
}

/// Counts as etcd does: a nested transaction may have as many operations, less those around it.
fn assert_fits(txn: &TxnRequest, most: usize) {
    let counts = [txn.compare.len(), txn.success.len(), txn.failure.len()];
    let count = counts.into_iter().max().expect("three");
    assert!(count <= most, "etcd takes {most} operations here, and these are {count}");
    for op in txn.success.iter().chain(&txn.failure) {
        if let Operation::Txn(nested) = of(op) {
            assert_fits(nested, most - count);
        }
    }
}

fn of(op: &RequestOp) -> &Operation {
    op.request.as_ref().expect("an operation")
}

/// Requests and answers that are on their way.
#[derive(Debug, Default)]
pub(super) struct Network {
    requests: Vec<(Tick, Sender, Request)>,
    answers: Vec<(Tick, Sender, Result<Answer, Trouble>)>,
    /// Requests that were carried out when nobody waited for their answer any more.
    pub(super) late: u64,
}

/// The server that waits for an answer, and the number of its attempt.
pub(super) type Sender = (usize, u64);

impl Network {
    pub(super) fn send(
        &mut self,
        now: Tick,
        is_healed: bool,
        from: Sender,
        request: &Request,
        rng: &mut Rng,
    ) {
        let mut copies = 1;
        if !is_healed {
            copies = match rng.u8(..40) {
                0..3 => 0,
                3 => 2,
                _ => 1,
            };
        }
        for _ in 0..copies {
            let delay = match rng.u8(..30) {
                _ if is_healed => 0,
                0 => rng.u64(10..120),
                1..8 => rng.u64(1..15),
                _ => 0,
            };
            self.requests.push((now + delay, from, request.clone()));
        }
    }

    /// Carries out what has arrived, in any order.
    pub(super) fn arrive(
        &mut self,
        now: Tick,
        is_healed: bool,
        etcd: &mut Etcd,
        waits: impl Fn(Sender) -> bool,
        rng: &mut Rng,
    ) {
        let (mut arrived, under_way): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.requests).into_iter().partition(|(at, ..)| *at <= now);
        self.requests = under_way;
        rng.shuffle(&mut arrived);
        for (_, from, request) in arrived {
            self.late += u64::from(!waits(from));
            let answer = etcd.carry_out(now, &request);
            if is_healed || rng.u8(..12) > 0 {
                let delay = if is_healed || rng.u8(..8) > 0 { 0 } else { rng.u64(1..20) };
                self.answers.push((now + delay, from, answer));
            }
        }
    }

    /// Takes the answers that have come.
    pub(super) fn answers(&mut self, now: Tick) -> Vec<(Sender, Result<Answer, Trouble>)> {
        let (come, under_way): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.answers).into_iter().partition(|(at, ..)| *at <= now);
        self.answers = under_way;
        come.into_iter().map(|(_, from, answer)| (from, answer)).collect()
    }
}
