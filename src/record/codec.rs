//! Reading and writing the fields of a value. Errors give the position of the flaw.

use std::fmt;
use std::time::Duration;

use crate::session::Name;

/// A flaw in the bytes of a value, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// The flaw.
    pub flaw: Flaw,
    /// The first byte of the flawed field, counted from 0.
    pub at: usize,
}

/// A reason why bytes are not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// They end before this field.
    Ends(&'static str),
    /// This many bytes follow the last field.
    Rest(usize),
    /// The value was written by another version of this program.
    Version {
        /// The version of the value.
        found: u8,
        /// The version that this program reads.
        read: u8,
    },
    /// The bytes are not this field.
    Not(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.flaw {
            Flaw::Ends(field) => write!(f, "it ends at byte {at}, before {field}"),
            Flaw::Rest(bytes) => write!(f, "{bytes} bytes too many from byte {at}"),
            Flaw::Version { found, read } => {
                write!(f, "its version is {found}, but this program reads {read}")
            }
            Flaw::Not(field) => write!(f, "byte {at} is not {field}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The version of every kind of value. 0 is never used, because failing disks leave zeros, and 1 was that of
/// values whose numbers had a fixed length.
const VERSION: u8 = 2;

/// Writes a value, beginning with its version.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Writer {
        Writer(vec![VERSION])
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(self, number: u8) -> Writer {
        self.bytes(&[number])
    }

    /// Writes a number as unsigned LEB128: seven bits a byte, the low ones first, in as few bytes as it
    /// needs.
    pub(super) fn u64(mut self, mut number: u64) -> Writer {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.u8(number.to_le_bytes()[0])
    }

    /// Writes a count, which is at most 2^24 in any scheduler. A greater one means "no limit", and so does
    /// 2^32 - 1.
    pub(super) fn count(self, count: usize) -> Writer {
        self.u64(u32::try_from(count).unwrap_or(u32::MAX).into())
    }

    /// Writes a duration in nanoseconds. One beyond 584 years is written as that, and has the same effect.
    pub(super) fn duration(self, duration: Duration) -> Writer {
        self.u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn option<T>(self, value: Option<T>, write: impl FnOnce(Writer, T) -> Writer) -> Writer {
        match value {
            None => self.u8(0),
            Some(value) => write(self.u8(1), value),
        }
    }

    pub(super) fn name(self, name: &Name) -> Writer {
        let bytes = name.as_bytes();
        self.u8(u8::try_from(bytes.len()).expect("a name has at most 64 bytes")).bytes(bytes)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a value written by [`Writer`].
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Result<Reader<'b>, Malformed> {
        let mut reader = Reader { bytes, at: 0 };
        match reader.u8("its version")? {
            VERSION => Ok(reader),
            0 => Err(Malformed { flaw: Flaw::Not("a version"), at: 0 }),
            found => Err(Malformed { flaw: Flaw::Version { found, read: VERSION }, at: 0 }),
        }
    }

    pub(super) fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'b [u8], Malformed> {
        let ends = Malformed { flaw: Flaw::Ends(field), at: self.bytes.len() };
        let bytes = self.bytes[self.at..].get(..count).ok_or(ends)?;
        self.at += count;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let bytes = self.bytes(N, field)?;
        Ok(bytes.try_into().expect("it has been cut to that length"))
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(field)?[0])
    }

    /// Reads a number in the shortest form, which is the only valid one.
    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        let at = self.at;
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            if byte < 0x80 {
                let is_whole = (number >> shift == bits) && (byte > 0 || shift == 0);
                return if is_whole { Ok(number) } else { Err(Malformed { flaw: Flaw::Not(field), at }) };
            }
        }
        Err(Malformed { flaw: Flaw::Not(field), at })
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.sensible(field, |from| from.u64(field), |number| number.try_into().ok())
    }

    pub(super) fn count(&mut self, field: &'static str) -> Result<usize, Malformed> {
        let count = self.sensible(field, |from| from.u64(field), |number| u32::try_from(number).ok())?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    pub(super) fn duration(&mut self, field: &'static str) -> Result<Duration, Malformed> {
        self.u64(field).map(Duration::from_nanos)
    }

    /// Reads one byte for which `choose` has a meaning.
    pub(super) fn one_of<T>(
        &mut self,
        field: &'static str,
        choose: impl FnOnce(u8) -> Option<T>,
    ) -> Result<T, Malformed> {
        let at = self.at;
        choose(self.u8(field)?).ok_or(Malformed { flaw: Flaw::Not(field), at })
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, Malformed> {
        self.one_of(field, |byte| [false, true].get(usize::from(byte)).copied())
    }

    pub(super) fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// Reads a field and checks that it is valid.
    pub(super) fn sensible<R, T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<R, Malformed>,
        sense: impl FnOnce(R) -> Option<T>,
    ) -> Result<T, Malformed> {
        let at = self.at;
        sense(read(self)?).ok_or(Malformed { flaw: Flaw::Not(field), at })
    }

    pub(super) fn name(&mut self, field: &'static str) -> Result<Name, Malformed> {
        let bytes = |reader: &mut Self| {
            let count = reader.u8(field)?;
            reader.bytes(count.into(), field)
        };
        self.sensible(field, bytes, |bytes| Name::from_bytes(bytes).ok())
    }

    /// Takes all remaining bytes, at most `max`.
    pub(super) fn rest(&mut self, field: &'static str, max: usize) -> Result<&'b [u8], Malformed> {
        let (rest, at) = (&self.bytes[self.at..], self.at);
        self.at = self.bytes.len();
        if rest.len() <= max { Ok(rest) } else { Err(Malformed { flaw: Flaw::Not(field), at }) }
    }

    /// Returns the value if it was read completely.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Malformed> {
        match self.bytes.len() - self.at {
            0 => Ok(value),
            rest => Err(Malformed { flaw: Flaw::Rest(rest), at: self.at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_has_a_text_and_a_position() {
        let name = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes)?;
            let name = reader.name("its name")?;
            reader.finish(name)
        };
        assert_eq!(name(&[2, 2, b'o', b'k']).map(|name| name.to_string()), Ok("ok".to_owned()));
        for (bytes, says) in [
            (&[][..], "it ends at byte 0, before its version"),
            (&[0; 9], "byte 0 is not a version"),
            (&[1, 1], "its version is 1, but this program reads 2"),
            (&[3, 1], "its version is 3, but this program reads 2"),
            (&[2], "it ends at byte 1, before its name"),
            (&[2, 3, b'o', b'k'], "it ends at byte 4, before its name"),
            (&[2, 1, b' '], "byte 1 is not its name"),
            (&[2, 0], "byte 1 is not its name"),
            (&[2, 1, b'o', b'k', b'!'], "2 bytes too many from byte 3"),
        ] {
            assert_eq!(name(bytes).expect_err("malformed").to_string(), says, "{bytes:?}");
        }
    }

    #[test]
    fn a_number_has_one_form_which_is_the_shortest() {
        let read = |bytes: &[u8]| {
            let mut reader = Reader { bytes, at: 0 };
            let number = reader.u64("a number")?;
            reader.finish(number)
        };
        for (number, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 1]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            assert_eq!(Writer(Vec::new()).u64(number).finish(), bytes);
            assert_eq!(read(bytes), Ok(number));
        }
        let not = Err(Malformed { flaw: Flaw::Not("a number"), at: 0 });
        assert_eq!(read(&[0x80, 0]), not, "longer than it has to be");
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), not, "above 2^64");
        assert_eq!(read(&[0xff; 11]), not, "no end");
        assert_eq!(read(&[0x80]), Err(Malformed { flaw: Flaw::Ends("a number"), at: 1 }));
    }

    #[test]
    fn a_time_or_count_beyond_all_limits_is_written_as_the_maximum() {
        let bytes = Writer::new().duration(Duration::MAX).count(usize::MAX).finish();
        let mut reader = Reader::new(&bytes).expect("a version");
        let years = reader.duration("").expect("a time").as_secs() / (365 * 24 * 3600);
        assert_eq!((years, reader.count("").expect("a count")), (584, u32::MAX as usize));
    }
}
