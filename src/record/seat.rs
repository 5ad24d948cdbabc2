//! Seats that were joined under a name. Raw seats have no entries, because their clients cannot prove their
//! identity.

use super::codec::{Malformed, Reader, Writer};
use super::ring::read_weight;
use super::secret::SecretHash;
use crate::session::Name;
use crate::table::{LastAnswer, Mark};
use crate::turn::{Demand, Standing, Tag, TurnNumber, Weight};

/// A seat: the value of [`Key::Seat`](super::Key::Seat), or a part of [that of its ring](super::RingEntry).
/// It is written when the client joins, resumes, asks or rests, and when the seat's turn ends; in the ring's
/// entry, whenever that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatValue {
    /// The name under which it was joined.
    pub name: Name,
    /// Its share of the turns.
    pub weight: Weight,
    /// When it wants the turn.
    pub demand: Demand,
    /// Its place in the order. For the holder, which the ring's lease names, this is the place before its
    /// turn.
    pub standing: Standing,
    /// Its position in virtual time. Meaningful only while the seat waits.
    pub tag: Tag,
    /// The last accepted answer, so that it can be confirmed again.
    pub last: Option<LastAnswer>,
    /// The hash of its secret.
    pub current: SecretHash,
    /// The hash of the secret that the client used last, until it is known to have the current one.
    pub used: Option<SecretHash>,
}

impl SeatValue {
    /// Returns the byte form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.write(Writer::new()).finish()
    }

    pub(super) fn write(&self, to: Writer) -> Writer {
        let to = to.name(&self.name).u8(self.weight.value());
        let to = to
            .u8(match self.demand {
                Demand::Always => 0,
                Demand::Ask => 1,
            })
            .u8(match self.standing {
                Standing::Resting => 0,
                Standing::Waiting => 1,
                Standing::Missed => 2,
            });
        let to = self.tag.write(to).option(self.last, write_last);
        to.bytes(self.current.bytes()).option(self.used, |to, used| to.bytes(used.bytes()))
    }

    /// Parses the byte form.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`], with the flaw and its position, if `bytes` are not such a value.
    pub fn decode(bytes: &[u8]) -> Result<SeatValue, Malformed> {
        let mut from = Reader::new(bytes)?;
        let value = SeatValue::read(&mut from)?;
        from.finish(value)
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<SeatValue, Malformed> {
        Ok(SeatValue {
            name: from.name("the name of the seat")?,
            weight: read_weight(from)?,
            demand: from.one_of("the demand of the seat", |byte| {
                [Demand::Always, Demand::Ask].get(usize::from(byte)).copied()
            })?,
            standing: from.one_of("where it stands", |byte| {
                [Standing::Resting, Standing::Waiting, Standing::Missed].get(usize::from(byte)).copied()
            })?,
            tag: Tag::read(from)?,
            last: from.option("whether it has answered", read_last)?,
            current: SecretHash::new(from.array("the hash of its secret")?),
            used: from.option("whether another secret is valid", |from| {
                from.array("the hash of the secret before").map(SecretHash::new)
            })?,
        })
    }
}

/// The longest answer that is kept as it is. A longer one is written as a digest, with this length plus 1.
const WHOLE_BYTES_MAX: u8 = 16;

fn write_last(to: Writer, last: LastAnswer) -> Writer {
    let to = to.u64(last.turn.get());
    match last.mark {
        Mark::Whole { len, bytes } => to.u8(len).bytes(bytes.get(..len.into()).unwrap_or(&bytes)),
        Mark::Digest(digest) => to.u8(WHOLE_BYTES_MAX + 1).bytes(&digest),
    }
}

fn read_last(from: &mut Reader<'_>) -> Result<LastAnswer, Malformed> {
    let number = |from: &mut Reader<'_>| from.u64("the turn of the last answer");
    let turn = from.sensible("the number of a turn", number, TurnNumber::new)?;
    let len = from.one_of("the length of an answer", |len| (len <= WHOLE_BYTES_MAX + 1).then_some(len))?;
    let mark = match from.bytes(len.min(WHOLE_BYTES_MAX).into(), "the mark of an answer")? {
        digest if len > WHOLE_BYTES_MAX => Mark::Digest(digest.try_into().expect("16 bytes")),
        answer => {
            let mut bytes = [0; WHOLE_BYTES_MAX as usize];
            bytes[..len.into()].copy_from_slice(answer);
            Mark::Whole { len, bytes }
        }
    };
    Ok(LastAnswer { turn, mark })
}
