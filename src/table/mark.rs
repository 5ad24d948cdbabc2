//! Recognises an answer that is sent again, without keeping it.

use sha2::{Digest as _, Sha256};

/// Answers up to this length are kept as they are.
const WHOLE_BYTES_MAX: usize = 16;

/// The mark of an answer: the answer itself if it is short, otherwise the first 128 bits of its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// An answer of up to 16 bytes.
    Whole {
        /// Its length.
        len: u8,
        /// Its bytes, and zeros after them.
        bytes: [u8; WHOLE_BYTES_MAX],
    },
    /// The beginning of the digest of a longer one.
    Digest([u8; 16]),
}

impl Mark {
    /// Returns the mark of `answer`.
    #[must_use]
    #[inline]
    pub fn of(answer: &[u8]) -> Mark {
        match u8::try_from(answer.len()) {
            Ok(len) if answer.len() <= WHOLE_BYTES_MAX => {
                let mut bytes = [0; WHOLE_BYTES_MAX];
                bytes[..answer.len()].copy_from_slice(answer);
                Mark::Whole { len, bytes }
            }
            _ => Mark::digest(answer),
        }
    }

    #[cold]
    fn digest(answer: &[u8]) -> Mark {
        let digest = Sha256::digest(answer);
        Mark::Digest(digest[..16].try_into().expect("a SHA-256 has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_every_byte() {
        let long = b"a move that is longer than sixteen bytes".to_vec();
        let mut other = long.clone();
        *other.last_mut().expect("not empty") ^= 1;
        let answers: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"e2e4", &[7; 16], &long, &other];
        for (a, left) in answers.iter().enumerate() {
            for (b, right) in answers.iter().enumerate() {
                assert_eq!(Mark::of(left) == Mark::of(right), a == b, "{left:?} {right:?}");
            }
        }
        // Every program computes the same digest, so any version can read a stored one.
        let Mark::Digest(digest) = Mark::of(&[b'a'; 17]) else { panic!("longer than 16 bytes") };
        assert_eq!(u128::from_be_bytes(digest), SHA256_OF_17_A);
    }

    /// `printf aaaaaaaaaaaaaaaaa | sha256sum | cut -c1-32`
    const SHA256_OF_17_A: u128 = 0xb860_666e_e296_6dd8_f903_be44_ee60_5c6e;
}
