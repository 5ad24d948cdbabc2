//! The log of a journal: the commits since its database was last written to, in order.
//!
//! ```text
//! page 0    the format and the epoch, written once
//! page 1..  frame of commit n | frame of commit n + 1 | ... | older frames, or zeros
//! frame     checksum, epoch, number, length | changes | zeros up to the end of its last page
//! ```
//!
//! A commit is one frame: one write and one sync. The file has its final length and all its blocks from the
//! start, so no sync waits for metadata. A frame is written only after the frame before it is durable, and
//! begins on its own page, so no sector of a durable frame is written again before the log starts over. Hence
//! only the last frame can be torn.
//!
//! The first byte of each page tells whether a frame begins or continues there. So bytes that a client chose,
//! such as those in a host's state, never stand where a frame is looked for.

use std::io::{self, Write as _};

use redb::StorageBackend;

use super::error::{Fault, LOG};
use super::identity::Identity;
use crate::record::{Change, Key, Record};
use crate::session::Epoch;

/// The size of a page in bytes. It is a multiple of what any disk writes as a unit.
pub(super) const PAGE: usize = 4096;

/// First bytes of a page. A page that was never written begins with 0.
const BEGINS: u8 = 1;
const GOES_ON: u8 = 2;

/// Checksum, epoch, number, length.
const HEADER: usize = 4 + 8 + 8 + 4;

/// Stands in place of a value's length if the entry is deleted.
const DELETED: u32 = u32::MAX;

/// An open log.
pub(super) struct Log<B> {
    file: B,
    bytes: u64,
    epoch: Epoch,
    /// The offset of the next frame.
    at: u64,
}

impl<B: StorageBackend> Log<B> {
    /// Creates a log of this length in an empty file.
    pub(super) fn create(file: &B, bytes: usize, epoch: Epoch) -> io::Result<()> {
        let mut pages = first_page(epoch);
        pages.resize(bytes, 0);
        file.set_len(bytes as u64)?;
        file.write(0, &pages)?;
        file.sync_data()
    }

    /// Opens a log to continue at `at`, and makes everything before that durable.
    ///
    /// A torn frame at that place is overwritten first. The next frame has its number and may be torn as
    /// well, and the pieces of both could make up the first one.
    pub(super) fn open(file: B, epoch: Epoch, at: u64) -> io::Result<Log<B>> {
        let bytes = file.len()?;
        if at < bytes {
            file.write(at, &[0; PAGE])?;
        }
        file.sync_data()?;
        Ok(Log { file, bytes, epoch, at })
    }

    /// Appends a commit durably. Returns `false` if there is no room for it.
    pub(super) fn append(&mut self, number: u64, changes: &[Change]) -> io::Result<bool> {
        let frame = frame(self.epoch, number, changes);
        let end = self.at + frame.len() as u64;
        if end > self.bytes {
            return Ok(false);
        }
        self.file.write(self.at, &frame)?;
        self.file.sync_data()?;
        self.at = end;
        Ok(true)
    }

    /// Starts over, because the database has all commits.
    pub(super) fn begin_again(&mut self) {
        self.at = PAGE as u64;
    }
}

fn first_page(epoch: Epoch) -> Vec<u8> {
    let mut page = Identity::write(epoch).into_bytes();
    page.resize(PAGE, 0);
    page
}

fn frame(epoch: Epoch, number: u64, changes: &[Change]) -> Vec<u8> {
    // A length beyond 32 bits makes a frame that fits no log, so it is never written.
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(DELETED).to_le_bytes();
    let mut bytes = vec![0; HEADER];
    for change in changes {
        let at = bytes.len();
        bytes.push(0);
        write!(bytes, "{}", change.key()).expect("a `Vec` takes every write");
        bytes[at] = u8::try_from(bytes.len() - at - 1).expect("a key has at most 147 bytes");
        match change {
            Change::Put { value, .. } => {
                bytes.extend_from_slice(&length(value.len()));
                bytes.extend_from_slice(value);
            }
            Change::Delete { .. } => bytes.extend_from_slice(&DELETED.to_le_bytes()),
        }
    }
    let body = length(bytes.len() - HEADER);
    bytes[4..12].copy_from_slice(&epoch.0.to_le_bytes());
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    bytes[20..HEADER].copy_from_slice(&body);
    let check = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&check.to_le_bytes());
    let mut pages = Vec::with_capacity(bytes.len().div_ceil(PAGE - 1) * PAGE);
    for part in bytes.chunks(PAGE - 1) {
        pages.push(if pages.is_empty() { BEGINS } else { GOES_ON });
        pages.extend_from_slice(part);
    }
    pages.resize(pages.len().next_multiple_of(PAGE), 0);
    pages
}

/// The commits that a log adds to its database.
pub(super) struct Replay {
    /// The number of the last commit.
    pub(super) commits: u64,
    /// These commits, in order.
    pub(super) records: Vec<Record>,
    /// The offset of the first page after their frames.
    pub(super) at: u64,
}

impl Replay {
    /// A log that adds nothing to a database with this many commits.
    pub(super) fn nothing(commits: u64) -> Replay {
        Replay { commits, records: Vec::new(), at: PAGE as u64 }
    }
}

/// Reads the epoch of a log, which must have this length.
pub(super) fn epoch(log: &[u8], bytes: usize) -> Result<Epoch, Fault> {
    if log.len() != bytes {
        return Err(damaged(format!("it has {} bytes in place of {bytes}", log.len())));
    }
    let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
    match Identity::read(text) {
        Identity::Ours(epoch) if log.starts_with(&first_page(epoch)) => Ok(epoch),
        Identity::Format(found) => Err(Fault::Format { file: LOG, found }),
        Identity::Ours(_) | Identity::Foreign => Err(damaged("it does not belong to a journal".to_owned())),
    }
}

/// Reads the log of a database with `stored` commits.
///
/// The log ends at the first frame that is not complete or does not have the next number. Frames after that
/// place are remains of what the database has, so none has a greater number. If one does, a frame before it
/// is damaged, or the database is older than the log.
pub(super) fn replay(log: &[u8], epoch: Epoch, stored: u64) -> Result<Replay, Fault> {
    let mut replay = Replay::nothing(stored);
    let mut at = PAGE;
    while let Some(frame) = Frame::read(&log[at..], epoch).filter(|frame| frame.number == replay.commits + 1)
    {
        let changes = frame.changes();
        let changes = changes.ok_or_else(|| damaged(format!("commit {} cannot be read", frame.number)))?;
        replay.records.push(Record { seq: frame.number, changes });
        replay.commits += 1;
        at += frame.pages * PAGE;
    }
    replay.at = at as u64;
    for from in (at..log.len()).step_by(PAGE) {
        if let Some(Frame { number, .. }) = Frame::read(&log[from..], epoch)
            && number > replay.commits
        {
            let next = replay.commits + 1;
            return Err(damaged(format!("commit {next} is missing, but commit {number} is there")));
        }
    }
    Ok(replay)
}

fn damaged(what: String) -> Fault {
    Fault::Damaged { file: LOG, what }
}

/// A complete frame.
struct Frame {
    number: u64,
    body: Vec<u8>,
    pages: usize,
}

impl Frame {
    /// Reads the frame at the start of `log`, if there is one of this life.
    fn read(log: &[u8], epoch: Epoch) -> Option<Frame> {
        let header: &[u8; HEADER] = log.strip_prefix(&[BEGINS])?.first_chunk()?;
        let (check, rest) = header.split_first_chunk()?;
        let (its_epoch, rest) = rest.split_first_chunk()?;
        let (number, length) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        if u64::from_le_bytes(*its_epoch) != epoch.0 || length > log.len() {
            return None;
        }
        let pages = (HEADER + length).div_ceil(PAGE - 1);
        let log = log.get(..pages * PAGE)?;
        if log.chunks(PAGE).skip(1).any(|page| page[0] != GOES_ON) {
            return None;
        }
        let mut bytes: Vec<u8> = log.chunks(PAGE).flat_map(|page| &page[1..]).copied().collect();
        bytes.truncate(HEADER + length);
        let is_whole = crc32fast::hash(&bytes[check.len()..]) == u32::from_le_bytes(*check);
        let number = u64::from_le_bytes(*number);
        is_whole.then(|| Frame { number, body: bytes.split_off(HEADER), pages })
    }

    /// Reads its changes. Returns `None` for bytes that this program does not write.
    fn changes(&self) -> Option<Vec<Change>> {
        let (mut changes, mut rest) = (Vec::new(), &self.body[..]);
        while let Some(&length) = rest.split_off_first() {
            let key = Key::from_bytes(rest.split_off(..usize::from(length))?).ok()?;
            let length = u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?);
            changes.push(if length == DELETED {
                Change::Delete { key }
            } else {
                Change::Put { key, value: rest.split_off(..usize::try_from(length).ok()?)?.to_vec() }
            });
        }
        Some(changes)
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::record::tests::state;

    const EPOCH: Epoch = Epoch(0xe90c);
    const BYTES: usize = 64 * PAGE;

    fn put(value: Vec<u8>) -> Change {
        Change::Put { key: Key::Host("oak".parse().expect("a name")), value }
    }

    fn new_log() -> Vec<u8> {
        let mut log = first_page(EPOCH);
        log.resize(BYTES, 0);
        log
    }

    fn write(log: &mut [u8], page: usize, frame: &[u8]) {
        log[page * PAGE..][..frame.len()].copy_from_slice(frame);
    }

    fn found(log: &[u8], stored: u64) -> Result<(u64, Vec<Change>), String> {
        let replay = replay(log, EPOCH, stored).map_err(|fault| fault.to_string())?;
        Ok((replay.commits, replay.records.into_iter().flat_map(|record| record.changes).collect()))
    }

    #[test]
    fn commits_are_read_as_they_were_written() {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let (mut log, mut page, mut all) = (new_log(), 1, Vec::new());
            for number in 8..rng.u64(8..14) {
                let mut changes = state(&mut rng, 3).puts();
                changes.push(put(vec![7; rng.usize(..3 * PAGE)]));
                changes.push(Change::Delete { key: Key::Seat("oak".parse().expect("a name"), number) });
                let frame = frame(EPOCH, number, &changes);
                write(&mut log, page, &frame);
                page += frame.len() / PAGE;
                all.push(Record { seq: number, changes });
            }
            let replay = replay(&log, EPOCH, 7).expect("it is whole");
            assert!((replay.at, replay.records) == ((page * PAGE) as u64, all), "seed {seed}");
            assert_eq!(epoch(&log, BYTES).expect("its own"), EPOCH);
        }
    }

    #[test]
    fn a_frame_that_is_changed_anywhere_is_none() {
        let changes = [put(vec![7; 5000]), Change::Delete { key: Key::Meta }];
        let pages = frame(EPOCH, 1, &changes);
        // The rest of the last page is padding.
        let used = HEADER + (1 + 8 + 4 + 5000) + (1 + 1 + 4) + 2;
        for at in 0..pages.len() {
            let mut changed = pages.clone();
            changed[at] ^= u8::try_from(at % 255 + 1).expect("1 to 255");
            let read = Frame::read(&changed, EPOCH).map(|frame| frame.changes());
            assert!(read.is_none_or(|read| at >= used && read.as_deref() == Some(&changes)), "byte {at}");
        }
        assert!(Frame::read(&pages[..PAGE], EPOCH).is_none() && Frame::read(&pages, Epoch(1)).is_none());
    }

    #[test]
    fn older_frames_end_a_log_and_newer_ones_behind_a_gap_are_refused() {
        let one = |number| frame(EPOCH, number, &[put(vec![u8::try_from(number).expect("small")])]);
        let mut log = new_log();
        (1..=6).for_each(|page| write(&mut log, page, &one(page as u64)));
        assert_eq!(found(&log, 6), Ok((6, vec![])));
        assert_eq!(found(&log, 0).map(|(commits, changes)| (commits, changes.len())), Ok((6, 6)));
        // The database has 6 commits, and the log has started over.
        write(&mut log, 1, &one(7));
        write(&mut log, 2, &one(8));
        assert_eq!(found(&log, 6), Ok((8, vec![put(vec![7]), put(vec![8])])));
        let refused = Err("turns.log is damaged: commit 1 is missing, but commit 7 is there".to_owned());
        assert_eq!(found(&log, 0), refused, "an older database");
        log[PAGE + 30] ^= 1;
        let refused = Err("turns.log is damaged: commit 7 is missing, but commit 8 is there".to_owned());
        assert_eq!(found(&log, 6), refused);
    }

    /// A host's state may be bytes that a client sent, and clients know the epoch.
    #[test]
    fn no_bytes_of_a_client_pass_for_a_frame() {
        let forged = &frame(EPOCH, 9, &[])[..HEADER + 1];
        for shift in 0..forged.len() {
            let state: Vec<u8> =
                vec![0; shift].into_iter().chain(forged.repeat(15 * PAGE / forged.len())).collect();
            let pages = frame(EPOCH, 1, &[put(state.clone())]);
            let mut log = new_log();
            write(&mut log, 1, &pages);
            assert_eq!(found(&log, 0), Ok((1, vec![put(state)])));
            write(&mut log, 1, &frame(EPOCH, 2, &[]));
            assert_eq!(found(&log, 1), Ok((2, vec![])), "a shorter frame bares them");
        }
    }

    /// A life that ends during a commit may leave half of a frame, and the next life an equal other half,
    /// because its frame has the same number.
    #[test]
    fn two_halves_are_no_frame() {
        let file = InMemoryBackend::new();
        Log::create(&file, BYTES, EPOCH).expect("made");
        let pages = frame(EPOCH, 1, &[put(vec![7; PAGE])]);
        file.write(PAGE as u64, &pages[..PAGE]).expect("written");
        let log = Log::open(file, EPOCH, PAGE as u64).expect("opened");
        log.file.write(2 * PAGE as u64, &pages[PAGE..]).expect("written");
        let mut bytes = vec![0; BYTES];
        log.file.read(0, &mut bytes).expect("read");
        assert_eq!(found(&bytes, 0), Ok((0, vec![])));
    }
}
