//! The thread that waits for a store in place of the loop. Apart from this and `etcd`, no file may start a
//! thread.
//!
//! ```text
//! loop                                      thread
//!  submit, submit, flush -- two records ---> takes all that has come, merged into one
//!  submit, flush ---------- one record ---->   |  commit
//!  (64 on their way: keeps and merges)         v
//!  durable <------------- number, wake ------ reports it, and takes all records that have come meanwhile
//! ```
//!
//! At most one commit is under way, and everything that arrives meanwhile becomes the next one. So the
//! records of all rings share syncs, the more of them the higher the load, and the latency stays that of one
//! or two syncs.
//!
//! Waking a processor that sleeps takes about as long as a sync of a good disk. So while commits are quick,
//! the thread polls for the next record for a moment before it sleeps, and the loop for the end of a commit.
//! Both yield to others between two polls.
//!
//! While commits are slow, the thread waits for the rings of the last one before it begins the next. Their
//! clients are answering just then, and a record that comes too late waits for two commits instead of one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;
use std::{fmt, io};

use super::{Expiry, Lost, Store};
use crate::net::now;
use crate::record::{Change, Pending, Record};
use crate::session::Name;
use crate::time::{BOUNDS, Buckets, Instant, bucket_of};

/// The most batches of records on their way to the thread, one per pass. Beyond that they wait at the caller,
/// merged by key, so that a slow disk costs no memory.
const UNDER_WAY_MAX: usize = 64;

/// A commit that takes no longer is quick, and worth polling for.
const QUICK: Duration = Duration::from_micros(400);

/// The time for which the thread polls for the next record after a quick commit. A client on the same machine
/// has answered by then.
const POLL_FOR_RECORD: Duration = Duration::from_micros(100);

/// A store is slow once two commits in a row have taken this long: the next one then waits for the rings of
/// the last. A journal on a good disk is quicker even for hundreds of rings, and the loop is busy meanwhile.
const SLOW: Duration = Duration::from_millis(1);

/// A commit that takes longer is treated as if it took this long: clients answer sooner than that.
const SLOW_MAX: Duration = Duration::from_millis(20);

/// Calls a [`Store`] on its own thread.
///
/// # Examples
///
/// ```
/// # use std::sync::mpsc::channel;
/// # use std::time::Duration;
/// use taketurns::record::{Change, Key, MetaValue, Record, State};
/// use taketurns::session::Epoch;
/// use taketurns::store::{Lost, Store, StoreThread};
///
/// /// Remembers nothing.
/// struct Nowhere;
///
/// impl Store for Nowhere {
///     fn load(&mut self) -> Result<State, Lost> {
///         Ok(State::new(MetaValue { epoch: Epoch(7), forgotten_turn: 0 }))
///     }
///     fn commit(&mut self, _changes: Vec<Change>) -> Result<(), Lost> {
///         Ok(())
///     }
///     fn close(self) -> Result<(), Lost> {
///         Ok(())
///     }
/// }
///
/// // In a loop, `wake` wakes its poll.
/// let (wake, woken) = channel();
/// let mut store = StoreThread::spawn(Nowhere, move || wake.send(()).unwrap_or_default())?;
/// store.submit(Record { seq: 1, changes: vec![Change::Delete { key: Key::Ring("oak".parse()?) }] });
/// store.flush();
/// woken.recv()?;
/// assert_eq!(store.durable()?, 1);
/// assert_eq!(store.close(Duration::from_secs(5))?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StoreThread {
    /// Closing this channel tells the thread to close the store.
    batches: Sender<Vec<Record>>,
    end: Receiver<Result<(), Lost>>,
    shared: Arc<Shared>,
    /// Records that were submitted since the last flush.
    batch: Vec<Record>,
    /// Records that were flushed while many were on their way.
    pending: Pending,
    expiry: Option<Expiry>,
    /// The number of the last submitted record.
    last: u64,
    /// The number up to which the loop knows all records to be durable.
    told: u64,
    /// When the commit under way is no longer quick.
    busy_until: Option<Instant>,
    /// The number of batches sent to the thread; wraps around.
    sent: usize,
}

/// The progress of the thread, which alone writes these numbers.
#[derive(Debug, Default)]
struct Shared {
    /// The number of batches that it has taken; wraps around.
    taken: AtomicUsize,
    /// The number up to which all records are durable.
    durable: AtomicU64,
    /// Whether the last commit was quick.
    is_quick: AtomicBool,
    commits: Buckets<AtomicU64>,
    changes: AtomicU64,
    busy_nanos: AtomicU64,
    bytes: AtomicU64,
}

/// Work done by a store since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreCounts {
    /// Commits that succeeded.
    pub commits: u64,
    /// Entries that these commits changed.
    pub changes: u64,
    /// Commits by their time: the number up to each bound of [`COMMIT_SECONDS`] and
    /// above the one before it. The last count is for commits above all bounds.
    pub commits_by_time: [u64; COMMIT_SECONDS.len() + 1],
    /// The total time that these commits took.
    pub busy: Duration,
    /// Records that were submitted but are not durable yet.
    pub records_waiting: u64,
    /// The [size](Store::bytes) of the store, in bytes.
    pub bytes: u64,
}

/// The bounds of [`StoreCounts::commits_by_time`], in seconds.
pub const COMMIT_SECONDS: [f64; 17] = BOUNDS;

impl StoreThread {
    /// Starts the thread. It calls `wake`, which must return quickly, whenever [`durable`](Self::durable) has
    /// changed.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot start a thread.
    pub fn spawn(store: impl Store, wake: impl Fn() + Send + 'static) -> io::Result<StoreThread> {
        let (shared, expiry) = (Arc::<Shared>::default(), store.expiry());
        shared.bytes.store(store.bytes(), Ordering::Relaxed);
        let ((batches, from_loop), (to_loop, end)) = (channel(), channel());
        let (shared_by, wake) = (shared.clone(), Wake(wake));
        let worker = Worker { batches: from_loop, end: to_loop, shared: shared_by, wake };
        let run = move || {
            // If the loop has been dropped, nobody needs the result.
            let _ = worker.end.send(worker.run(store));
        };
        #[expect(clippy::disallowed_methods, reason = "a loop must not wait for a disk")]
        std::thread::Builder::new().name("taketurns-store".to_owned()).spawn(run)?;
        let (batch, pending) = (Vec::new(), Pending::default());
        Ok(StoreThread {
            batches,
            end,
            shared,
            batch,
            pending,
            expiry,
            last: 0,
            told: 0,
            busy_until: None,
            sent: 0,
        })
    }

    /// Accepts a record to be stored. Its number must be higher than any before. It is kept until
    /// [`flush`](Self::flush) sends it.
    pub fn submit(&mut self, record: Record) {
        if self.busy_until.is_none() {
            self.busy_until = Some(now().instant + QUICK);
        }
        self.last = record.seq;
        self.batch.push(record);
    }

    /// Sends the submitted records to the thread. Call it once per pass after the last `submit`, and after
    /// [`durable`](Self::durable). If many batches are on their way already, it keeps the records,
    /// merged with those that it kept before, for a later call.
    pub fn flush(&mut self) {
        if self.sent.wrapping_sub(self.shared.taken.load(Ordering::Acquire)) < UNDER_WAY_MAX {
            self.send();
        } else {
            self.batch.drain(..).for_each(|record| self.pending.merge(record));
        }
    }

    fn send(&mut self) {
        let batch: Vec<_> = self.pending.take().into_iter().chain(self.batch.drain(..)).collect();
        if !batch.is_empty() {
            self.sent = self.sent.wrapping_add(1);
            // If the thread has ended, `durable` returns the reason.
            let _ = self.batches.send(batch);
        }
    }

    /// Returns the number up to which all records are durable; 0 at first.
    ///
    /// # Errors
    ///
    /// Returns [`Lost`] if nothing more will be stored; only the first error has the reason. Forget all
    /// records that are not known to be durable.
    pub fn durable(&mut self) -> Result<u64, Lost> {
        match self.end.try_recv() {
            Err(TryRecvError::Empty) => {
                let durable = self.shared.durable.load(Ordering::Acquire);
                if durable > self.told {
                    self.told = durable;
                    self.busy_until = (self.last > durable).then(|| now().instant + QUICK);
                }
                Ok(durable)
            }
            Err(TryRecvError::Disconnected) => Err(gone()),
            Ok(Err(lost)) => Err(lost),
            Ok(Ok(())) => unreachable!("the thread closes the store only when it is told to"),
        }
    }

    /// Returns until when the loop should poll without sleeping: for 0.4 ms from the beginning of a commit,
    /// if the last one took no longer. Between two polls, [yield](std::thread::yield_now).
    ///
    /// A loop that sleeps at once works as well. Each of its hand-overs then takes longer, by as much as the
    /// system needs to wake a processor; docs/PERFORMANCE.md has the figures.
    #[must_use]
    pub fn busy_poll_until(&self) -> Option<Instant> {
        self.busy_until.filter(|_| self.shared.is_quick.load(Ordering::Relaxed))
    }

    /// Returns when the store's [claim expires](Store::expiry) unless it is renewed by then; `None` if no
    /// other server can take it over. When it expires, the loop ends, as with an error of
    /// [`durable`](Self::durable).
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.expiry.as_ref().map(Expiry::at)
    }

    /// Stores the submitted records, closes the store, and waits for it. Returns the number up to which all
    /// records are durable.
    ///
    /// # Errors
    ///
    /// Returns [`Lost`] if the store failed or took longer than `limit`. In the latter case the thread
    /// continues until it is done or the process ends.
    pub fn close(mut self, limit: Duration) -> Result<u64, Lost> {
        self.send();
        let StoreThread { batches, end, shared, .. } = self;
        drop(batches);
        match end.recv_timeout(limit) {
            Ok(ended) => ended.map(|()| shared.durable.load(Ordering::Acquire)),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
            Err(RecvTimeoutError::Timeout) => {
                let what =
                    format!("the store has not stored the remaining records and closed within {limit:?}");
                Err(Lost::Failed(io::Error::new(io::ErrorKind::TimedOut, what)))
            }
        }
    }

    /// Returns counts of the store's work.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { durable, commits, changes, busy_nanos, bytes, .. } = &*self.shared;
        let commits_by_time = commits.each_ref().map(of);
        StoreCounts {
            commits: commits_by_time.iter().sum(),
            commits_by_time,
            changes: of(changes),
            busy: Duration::from_nanos(of(busy_nanos)),
            records_waiting: self.last - durable.load(Ordering::Acquire),
            bytes: of(bytes),
        }
    }
}

impl fmt::Debug for StoreThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreThread").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

fn gone() -> Lost {
    Lost::Failed(io::Error::other("the store's thread is gone: it panicked, or its end was reported before"))
}

/// Wakes the loop when the thread has ended, even by a panic.
struct Wake<W: Fn()>(W);

impl<W: Fn()> Drop for Wake<W> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The next commit, while its records come in.
struct NextCommit {
    pending: Pending,
    /// The rings of the last commit that have no record in this one yet.
    awaited: HashSet<Name>,
    /// When they are no longer awaited.
    until: Instant,
    /// The longest time that they are awaited without any record.
    pause: Duration,
    /// The time of the last commit.
    last_took: Duration,
}

impl NextCommit {
    fn new() -> NextCommit {
        let (pending, awaited) = (Pending::default(), HashSet::new());
        NextCommit {
            pending,
            awaited,
            until: Instant::ORIGIN,
            pause: Duration::ZERO,
            last_took: Duration::ZERO,
        }
    }

    fn add(&mut self, batch: Vec<Record>) {
        for record in batch {
            if !self.awaited.is_empty() {
                for ring in rings_of(&record.changes) {
                    self.awaited.remove(&ring);
                }
            }
            self.pending.merge(record);
        }
    }

    /// Awaits the rings of the last commit, if the store is slow.
    fn follow(&mut self, rings: impl IntoIterator<Item = Name>, ended: Instant, took: Duration) {
        // Now and then a quick store has a slow commit, too.
        let time = took.min(std::mem::replace(&mut self.last_took, took)).min(SLOW_MAX);
        if time >= SLOW {
            self.awaited.extend(rings);
            self.until = ended + time / 2;
            self.pause = time / 8;
        }
    }
}

fn rings_of(changes: &[Change]) -> impl Iterator<Item = Name> {
    changes.iter().filter_map(|change| change.key().ring())
}

/// The thread's side. `wake` is the last field, so that it is dropped after `end`, and the loop that it wakes
/// finds the result.
struct Worker<W: Fn()> {
    batches: Receiver<Vec<Record>>,
    end: Sender<Result<(), Lost>>,
    shared: Arc<Shared>,
    wake: Wake<W>,
}

impl<W: Fn()> Worker<W> {
    fn run(&self, mut store: impl Store) -> Result<(), Lost> {
        let mut next = NextCommit::new();
        let mut rings = Vec::new();
        while let Ok(first) = self.wait_for_batch() {
            for batch in std::iter::once(first).chain(self.batches.try_iter()).take(UNDER_WAY_MAX) {
                self.add(batch, &mut next);
            }
            self.gather(&mut next);
            let Record { seq, changes } = next.pending.take().expect("no batch is empty");
            if !changes.is_empty() {
                rings.extend(rings_of(&changes));
                let (begun, changed) = (now().instant, changes.len() as u128);
                store.commit(changes)?;
                let ended = now().instant;
                let took = ended.saturating_duration_since(begun);
                self.count(took, changed);
                next.follow(rings.drain(..), ended, took);
            }
            self.shared.bytes.store(store.bytes(), Ordering::Relaxed);
            self.shared.durable.store(seq, Ordering::Release);
            (self.wake.0)();
        }
        store.close()
    }

    fn count(&self, took: Duration, changed: u128) {
        let add = |to: &AtomicU64, more: u128| {
            to.fetch_add(more.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        };
        add(&self.shared.busy_nanos, took.as_nanos());
        add(&self.shared.commits[bucket_of(took)], 1);
        add(&self.shared.changes, changed);
        self.shared.is_quick.store(took <= QUICK, Ordering::Relaxed);
    }

    fn add(&self, batch: Vec<Record>, next: &mut NextCommit) {
        next.add(batch);
        self.shared.taken.fetch_add(1, Ordering::Release);
    }

    /// Waits for the awaited rings.
    fn gather(&self, next: &mut NextCommit) {
        while !next.awaited.is_empty() {
            let left = next.until.saturating_duration_since(now().instant);
            if left.is_zero() {
                break;
            }
            let Ok(batch) = self.batches.recv_timeout(left.min(next.pause)) else { break };
            self.add(batch, next);
        }
        next.awaited.clear();
    }

    fn wait_for_batch(&self) -> Result<Vec<Record>, RecvError> {
        if self.shared.is_quick.load(Ordering::Relaxed) {
            let since = now().instant;
            while now().instant.saturating_duration_since(since) < POLL_FOR_RECORD {
                match self.batches.try_recv() {
                    Err(TryRecvError::Empty) => std::thread::yield_now(),
                    found => return found.map_err(|_| RecvError),
                }
            }
        }
        self.batches.recv()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;
    use crate::record::{Key, MetaValue, State};
    use crate::session::Epoch;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A store whose commits wait for permission, and then do as they are told.
    struct Gated {
        leave: Receiver<Leave>,
        committed: Sender<Vec<Change>>,
    }

    enum Leave {
        Commit,
        Fail,
        Panic,
    }

    impl Store for Gated {
        fn load(&mut self) -> Result<State, Lost> {
            Ok(State::new(MetaValue { epoch: Epoch(1), forgotten_turn: 0 }))
        }

        fn commit(&mut self, changes: Vec<Change>) -> Result<(), Lost> {
            let _ = self.committed.send(changes);
            match self.leave.recv_timeout(PATIENCE).expect("a test gives leave") {
                Leave::Commit => Ok(()),
                Leave::Fail => Err(Lost::Failed(io::Error::other("no space"))),
                Leave::Panic => panic!("as the test wants it"),
            }
        }

        fn bytes(&self) -> u64 {
            4096
        }

        fn close(self) -> Result<(), Lost> {
            Ok(())
        }
    }

    struct World {
        store: StoreThread,
        leave: SyncSender<Leave>,
        committed: Receiver<Vec<Change>>,
        woken: Receiver<()>,
        last: u64,
    }

    impl World {
        fn new() -> World {
            let ((leave, from_test), (to_test, committed)) = (sync_channel(1000), channel());
            let (wake, woken) = channel();
            let store = Gated { leave: from_test, committed: to_test };
            let store = StoreThread::spawn(store, move || wake.send(()).unwrap_or_default());
            World { store: store.expect("a thread"), leave, committed, woken, last: 0 }
        }

        /// Plays a pass with one record, which sets `place` to `value`.
        fn pass(&mut self, place: u64, value: u8) {
            self.last += 1;
            let changes = vec![put(place, value)];
            self.store.submit(Record { seq: self.last, changes });
            self.store.flush();
        }

        /// Waits for the next commit to begin, and returns its changes.
        fn commit(&mut self) -> Vec<Change> {
            self.committed.recv_timeout(PATIENCE).expect("a commit")
        }

        fn allow(&mut self, leave: Leave) {
            self.leave.send(leave).expect("a store");
        }

        fn woken(&mut self) -> Result<u64, Lost> {
            self.woken.recv_timeout(PATIENCE).expect("the loop is woken");
            self.store.durable()
        }
    }

    fn spin_for(time: Duration) {
        let begun = now().instant;
        while now().instant.saturating_duration_since(begun) < time {
            std::thread::yield_now();
        }
    }

    fn put(place: u64, value: u8) -> Change {
        Change::Put { key: Key::Seat("oak".parse().expect("a name"), place), value: vec![value] }
    }

    #[test]
    fn all_waiting_records_are_one_commit() {
        let mut world = World::new();
        world.pass(1, 10);
        assert_eq!((world.commit(), world.store.durable().ok()), (vec![put(1, 10)], Some(0)));
        for place in 2..=9 {
            world.pass(place, 20);
        }
        world.pass(2, 30);
        world.allow(Leave::Commit);
        assert_eq!(world.woken().ok(), Some(1));
        let expected: Vec<Change> = [put(2, 30)].into_iter().chain((3..=9).map(|at| put(at, 20))).collect();
        assert_eq!(world.commit(), expected);
        assert_eq!(world.store.counts().records_waiting, 9);
        world.allow(Leave::Commit);
        assert_eq!(world.woken().ok(), Some(10));
        let counts = world.store.counts();
        assert_eq!((counts.commits, counts.changes, counts.records_waiting), (2, 9, 0));
    }

    #[test]
    fn a_loop_polls_only_while_commits_are_quick_and_once_for_each() {
        let mut world = World::new();
        assert_eq!(world.store.busy_poll_until(), None, "nothing waits");
        let mut polls = |time: Duration| {
            world.pass(1, 0);
            world.commit();
            spin_for(time);
            world.allow(Leave::Commit);
            world.woken().expect("a commit");
            assert_eq!(world.store.busy_poll_until(), None, "nothing waits");
            world.pass(1, 0);
            let until = world.store.busy_poll_until();
            assert!(until.is_none_or(|until| until <= now().instant + QUICK));
            // However long that commit takes, and whatever arrives meanwhile.
            world.commit();
            world.pass(2, 0);
            assert_eq!(world.store.durable().expect("a store") + 2, world.last);
            assert_eq!(world.store.busy_poll_until(), until);
            for _ in 0..2 {
                world.allow(Leave::Commit);
                world.woken().expect("a commit");
            }
            world.commit();
            until.is_some()
        };
        // On a busy machine, a commit can take long by itself.
        assert!((0..1000).any(|_| polls(Duration::ZERO)), "no commit is quick");
        assert!(!polls(2 * QUICK));
        assert!((0..1000).any(|_| polls(Duration::ZERO)), "no commit is quick any more");
    }

    fn delete(ring: &str) -> Change {
        Change::Delete { key: Key::Ring(ring.parse().expect("a name")) }
    }

    /// Gathers until `until`, while elm and oak are awaited. A record of `there` has arrived already, and
    /// `others` arrive one by one. Returns the rings of the next commit.
    fn gathered(until: Duration, pause: Duration, there: &str, others: &[&str]) -> Vec<String> {
        let record = |seq, name: &str| vec![Record { seq, changes: vec![delete(name)] }];
        let ((batches, from_loop), (end, _end)) = (channel(), channel());
        let worker = Worker { batches: from_loop, end, shared: Arc::default(), wake: Wake(|| {}) };
        let mut next = NextCommit::new();
        next.awaited.extend(rings_of(&[delete("elm"), delete("oak")]));
        (next.until, next.pause) = (now().instant + until, pause);
        worker.add(record(1, there), &mut next);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for (seq, name) in (2..).zip(others) {
                    spin_for(Duration::from_millis(2));
                    let _ = batches.send(record(seq, name));
                }
            });
            worker.gather(&mut next);
        });
        assert!(next.awaited.is_empty());
        rings_of(&next.pending.take().expect("a record").changes).map(|ring| ring.to_string()).collect()
    }

    #[test]
    fn a_commit_waits_for_the_awaited_rings_and_no_longer() {
        let (long, short) = (PATIENCE, Duration::from_micros(1));
        assert_eq!(gathered(long, long, "elm", &["ash", "oak", "yew"]), ["elm", "ash", "oak"]);
        assert_eq!(gathered(long, long, "ash", &["elm", "oak", "yew"]), ["ash", "elm", "oak"]);
        assert_eq!(gathered(long, short, "elm", &["oak"]), ["elm"], "nobody comes for a while");
        assert_eq!(gathered(short, long, "elm", &["oak"]), ["elm"], "it has waited for long enough");
    }

    #[test]
    fn only_the_rings_of_a_slow_store_are_awaited() {
        let awaited = |times: &[Duration]| {
            let (mut next, ended) = (NextCommit::new(), now().instant);
            for &took in times {
                next.awaited.clear();
                next.follow(rings_of(&[delete("elm"), put(1, 0)]), ended, took);
            }
            (!next.awaited.is_empty()).then(|| (next.awaited.len(), next.until - ended, next.pause))
        };
        let (quick, slow) = (SLOW / 2, 4 * SLOW);
        assert_eq!(awaited(&[slow]), None, "the first commit");
        assert_eq!(awaited(&[slow, slow]), Some((2, 2 * SLOW, SLOW / 2)));
        assert_eq!(awaited(&[quick, quick, slow]), None, "an exception");
        assert_eq!(awaited(&[slow, slow, quick]), None);
        assert_eq!(awaited(&[PATIENCE, PATIENCE]), Some((2, SLOW_MAX / 2, SLOW_MAX / 8)));
    }

    #[test]
    fn one_value_per_key_waits_however_slow_the_store_is() {
        let mut world = World::new();
        world.pass(1, 0);
        let mut stored = BTreeMap::new();
        let mut take = |changes: Vec<Change>| {
            for change in changes {
                let Change::Put { key, value } = change else { panic!("nothing is deleted") };
                stored.insert(key, value);
            }
            stored.len()
        };
        take(world.commit());
        for nth in 0..10_000_u32 {
            world.pass(u64::from(nth % 7), u8::try_from(nth % 251).expect("below 251"));
        }
        assert!(world.store.sent <= 1 + UNDER_WAY_MAX, "{} are under way", world.store.sent);
        assert_eq!(world.store.pending.len(), 7);
        world.allow(Leave::Commit);
        assert_eq!(world.woken().ok(), Some(1));
        take(world.commit());
        // The values that wait are older than that of this pass.
        world.pass(3, 3);
        world.allow(Leave::Commit);
        assert_eq!(world.woken().ok(), Some(65));
        assert_eq!(take(world.commit()), 7);
        world.allow(Leave::Commit);
        assert_eq!(world.woken().ok(), Some(10_002));
        assert_eq!(stored.insert(Key::Seat("oak".parse().expect("a name"), 3), Vec::new()), Some(vec![3]));
        for nth in (9_993..10_000_u32).filter(|nth| nth % 7 != 3) {
            let Change::Put { key, value } =
                put(u64::from(nth % 7), u8::try_from(nth % 251).expect("below 251"))
            else {
                unreachable!()
            };
            assert_eq!(stored[&key], value);
        }
    }

    #[test]
    fn a_commit_that_fails_is_the_end_and_is_never_tried_again() {
        let mut world = World::new();
        world.pass(1, 1);
        world.commit();
        world.pass(2, 2);
        world.allow(Leave::Fail);
        assert_eq!(world.woken().expect_err("the end").to_string(), "no space");
        world.pass(3, 3);
        assert!(world.committed.try_recv().is_err(), "another commit was tried");
        assert_eq!(world.store.counts().commits, 0);
        assert!(world.store.durable().is_err(), "nor does it come back");
        assert!(world.store.close(PATIENCE).is_err());
    }

    #[test]
    fn a_store_that_panics_is_the_end_too() {
        let mut world = World::new();
        world.pass(1, 1);
        world.commit();
        world.allow(Leave::Panic);
        let lost = world.woken().expect_err("the end").to_string();
        assert!(lost.starts_with("the store's thread is gone: it panicked"), "{lost}");
    }

    #[test]
    fn commits_are_counted_by_how_long_they_took() {
        let mut world = World::new();
        assert_eq!(world.store.counts(), StoreCounts { bytes: 4096, ..StoreCounts::default() });
        for value in 1..=2 {
            world.pass(1, value);
            world.commit();
            world.allow(Leave::Commit);
            world.woken().expect("no end");
        }
        let StoreCounts { commits, commits_by_time, busy, .. } = world.store.counts();
        assert_eq!((commits, commits_by_time.iter().sum()), (2, 2));
        let at_most = commits_by_time.iter().rposition(|&count| count > 0).expect("there were some");
        assert!(
            COMMIT_SECONDS.get(at_most).is_none_or(|bound| busy.as_secs_f64() <= 2.0 * bound),
            "{busy:?}"
        );
    }

    #[test]
    fn closing_stores_what_waits() {
        let mut world = World::new();
        world.pass(1, 1);
        world.commit();
        world.store.submit(Record { seq: 2, changes: vec![put(2, 2)] });
        world.allow(Leave::Commit);
        world.allow(Leave::Commit);
        let World { store, committed, .. } = world;
        assert_eq!(store.close(PATIENCE).ok(), Some(2));
        assert_eq!(committed.recv().ok(), Some(vec![put(2, 2)]));
    }

    #[test]
    fn closing_takes_no_longer_than_it_may() {
        let mut world = World::new();
        world.pass(1, 1);
        world.commit();
        let World { store, leave: _leave, .. } = world;
        let Err(Lost::Failed(error)) = store.close(Duration::from_millis(20)) else {
            panic!("it cannot be closed")
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
