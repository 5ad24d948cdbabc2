//! The two short texts of a journal: `id`, which names its life and also heads its log, and the one in
//! `lock`.

use crate::session::Epoch;

/// The format of the directory.
pub(super) const FORMAT: u64 = 4;

/// The contents of `id`, and the head of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// A journal of this format, in this life.
    Ours(Epoch),
    /// A journal of another format.
    Format(u64),
    /// Something else.
    Foreign,
}

impl Identity {
    pub(super) fn write(epoch: Epoch) -> String {
        format!("taketurns journal\nformat {FORMAT}\nepoch {epoch}\n")
    }

    pub(super) fn read(bytes: &[u8]) -> Identity {
        let format = |text: &str| {
            let number = text.strip_prefix("taketurns journal\nformat ")?.split('\n').next()?;
            number.parse().ok().filter(|format: &u64| format.to_string() == number)
        };
        let epoch = |text: &str| text.lines().nth(2)?.strip_prefix("epoch ")?.parse().ok();
        let Ok(text) = std::str::from_utf8(bytes) else { return Identity::Foreign };
        match (format(text), epoch(text)) {
            (Some(FORMAT), Some(epoch)) if text == Identity::write(epoch) => Identity::Ours(epoch),
            (None | Some(FORMAT), _) => Identity::Foreign,
            (Some(format), _) => Identity::Format(format),
        }
    }
}

/// The contents of `lock`: how many commits are known to be durable, and whether a sync has failed.
///
/// It is written after every commit and never synced. So it may lag behind the journal, but is ahead of it
/// only if the journal has lost a commit: an older copy was put back, its last pages were damaged, or the
/// disk lied about a sync. Log and database cannot detect that alone, because a damaged last commit looks to
/// them like one that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermark {
    pub(super) epoch: Epoch,
    pub(super) commits: u64,
    /// Whether a sync has failed since the journal was last written from scratch. Data that could not be
    /// written then may still be in the system's caches, marked as written: it can be read back until the
    /// cache drops it. A power loss removes both that data and this flag.
    pub(super) has_failed: bool,
}

impl Watermark {
    pub(super) fn write(self) -> String {
        let Watermark { epoch, commits, has_failed } = self;
        let word = if has_failed { "failed" } else { "synced" };
        format!("{epoch} {commits:016x} {:016x} {word}\n", self.check())
    }

    /// A checksum: a write that was torn by a power loss must not be believed.
    fn check(self) -> u64 {
        !(self.epoch.0 ^ self.commits.rotate_left(32) ^ u64::from(self.has_failed))
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Watermark> {
        let text = std::str::from_utf8(bytes.split_inclusive(|&byte| byte == b'\n').next()?).ok()?;
        let mut words = text.split([' ', '\n']);
        let epoch = words.next()?.parse().ok()?;
        let commits = u64::from_str_radix(words.next()?, 16).ok()?;
        let mark = Watermark { epoch, commits, has_failed: words.nth(1)? == "failed" };
        (mark.write() == text).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_in_no_other_way() {
        let written = Identity::write(Epoch(0xab));
        assert_eq!(written, "taketurns journal\nformat 4\nepoch 00000000000000ab\n");
        assert_eq!(Identity::read(written.as_bytes()), Identity::Ours(Epoch(0xab)));
        for (text, meaning) in [
            ("taketurns journal\nformat 3\nwhatever\n", Identity::Format(3)),
            ("taketurns journal\nformat 03\nepoch 00000000000000ab\n", Identity::Foreign),
            ("taketurns journal\nformat 4\nepoch 00000000000000AB\n", Identity::Foreign),
            ("taketurns journal\nformat 4\nepoch 00000000000000ab", Identity::Foreign),
            ("14\n", Identity::Foreign),
            ("", Identity::Foreign),
        ] {
            assert_eq!(Identity::read(text.as_bytes()), meaning, "{text:?}");
        }
        assert_eq!(Identity::read(&[0xff; 60]), Identity::Foreign);
    }

    #[test]
    fn a_watermark_is_read_whole_or_not_at_all() {
        let mark = Watermark { epoch: Epoch(0xab), commits: 0x1ff, has_failed: false };
        let text = mark.write();
        assert_eq!(text, "00000000000000ab 00000000000001ff fffffe00ffffff54 synced\n");
        assert_eq!(Watermark::read(text.as_bytes()), Some(mark));
        for at in 0..text.len() {
            assert_eq!(Watermark::read(&text.as_bytes()[..at]), None);
            for mask in 1..=255 {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= mask;
                assert_eq!(Watermark::read(&changed), None, "byte {at} with mask {mask}");
            }
        }
        // A write torn between two marks.
        let failed = Watermark { has_failed: true, ..mark };
        assert_eq!(Watermark::read(failed.write().as_bytes()), Some(failed));
        for next in [Watermark { commits: 0x200, ..mark }, failed] {
            for at in 1..text.len() {
                let torn = [&next.write().as_bytes()[..at], &text.as_bytes()[at..]].concat();
                let read = Watermark::read(&torn);
                assert!(read.is_none_or(|read| read == mark || read == next), "{read:?}");
            }
        }
    }
}
