//! Inspects a database without changing its file, because redb repairs the files that it opens, and a refused
//! journal must stay as it was found.

#![expect(clippy::disallowed_types, reason = "redb wants a backend that threads may share")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const BLOCK: usize = 4096;

/// A file whose changes stay in memory.
#[derive(Debug)]
pub(super) struct Untouched<B> {
    file: B,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    /// The length that the file would have.
    bytes: usize,
    /// The part of the original file that would still be there, in bytes. Anything beyond was truncated once,
    /// and reads as zeros.
    original: usize,
    /// Changed blocks, by number.
    blocks: BTreeMap<usize, Vec<u8>>,
}

impl<B: StorageBackend> Untouched<B> {
    pub(super) fn new(file: B) -> io::Result<Untouched<B>> {
        let bytes = position(file.len()?)?;
        Ok(Untouched {
            file,
            changes: Mutex::new(Changes { bytes, original: bytes, blocks: BTreeMap::new() }),
        })
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads block `nth` from the file.
    fn original(&self, changes: &Changes, nth: usize) -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK];
        let there = changes.original.saturating_sub(nth * BLOCK).min(BLOCK);
        if there > 0 {
            self.file.read((nth * BLOCK) as u64, &mut block[..there])?;
        }
        Ok(block)
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

/// Splits `len` bytes at `offset` into blocks. Returns the number of each block, the offset of its part in
/// the block and in the bytes, and the length of the part.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (from, at) = (done, offset + done);
        let part = (BLOCK - at % BLOCK).min(len - done);
        done += part;
        (part > 0).then_some((at / BLOCK, at % BLOCK, from, part))
    })
}

impl<B: StorageBackend> StorageBackend for Untouched<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().bytes as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (changes, offset) = (self.changes(), position(offset)?);
        if offset.saturating_add(out.len()) > changes.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (nth, within, from, part) in parts(offset, out.len()) {
            let block = match changes.blocks.get(&nth) {
                Some(block) => &block[within..][..part],
                None => &self.original(&changes, nth)?[within..][..part],
            };
            out[from..][..part].copy_from_slice(block);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let (mut changes, bytes) = (self.changes(), position(bytes)?);
        changes.bytes = bytes;
        changes.original = changes.original.min(bytes);
        changes.blocks.split_off(&bytes.div_ceil(BLOCK));
        if let Some(last) = changes.blocks.get_mut(&(bytes / BLOCK)) {
            last[bytes % BLOCK..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut changes, offset) = (self.changes(), position(offset)?);
        for (nth, within, from, part) in parts(offset, bytes.len()) {
            if !changes.blocks.contains_key(&nth) {
                let original = self.original(&changes, nth)?;
                changes.blocks.insert(nth, original);
            }
            let block = changes.blocks.get_mut(&nth).expect("it was put there");
            block[within..][..part].copy_from_slice(&bytes[from..][..part]);
        }
        changes.bytes = changes.bytes.max(offset + bytes.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn it_reads_as_if_it_had_been_written_and_the_file_stays_as_it_was() {
        for seed in 0..300 {
            let mut rng = Rng::with_seed(seed);
            let file = InMemoryBackend::new();
            let mut model: Vec<u8> = (0..rng.usize(..20_000)).map(|_| rng.u8(..)).collect();
            let before = model.clone();
            file.set_len(model.len() as u64).expect("a length");
            file.write(0, &model).expect("written");
            let over = Untouched::new(file).expect("a file");
            for _ in 0..20 {
                let offset = rng.usize(..=model.len());
                match rng.u8(..3) {
                    0 => {
                        let length = rng.usize(..25_000);
                        model.resize(length, 0);
                        over.set_len(length as u64).expect("a length");
                    }
                    1 => {
                        let bytes: Vec<u8> = (0..rng.usize(..9_000)).map(|_| rng.u8(..)).collect();
                        model.resize(model.len().max(offset + bytes.len()), 0);
                        model[offset..][..bytes.len()].copy_from_slice(&bytes);
                        over.write(offset as u64, &bytes).expect("written");
                    }
                    _ => {
                        let mut out = vec![0; rng.usize(..=model.len() - offset)];
                        over.read(offset as u64, &mut out).expect("read");
                        assert!(out == model[offset..][..out.len()], "seed {seed}");
                    }
                }
                assert_eq!(over.len().expect("a length"), model.len() as u64);
                assert!(over.read(model.len() as u64, &mut [0]).is_err());
            }
            let mut file = vec![0; before.len()];
            over.file.read(0, &mut file).expect("read");
            assert!(
                file == before && over.file.len().expect("a length") == before.len() as u64,
                "seed {seed}"
            );
        }
    }
}
