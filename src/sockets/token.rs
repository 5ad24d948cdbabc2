//! The only code that builds or reads a `mio::Token`.
//!
//! ```text
//!   63 .. 56   55 .. 32     31 .. 0
//!   space      generation   slot        a connection; its generation is at least 1
//!   space      0            slot        a listener
//! ```

use std::num::NonZeroU32;

use mio::Token;

use crate::protocol::ConnectionId;

const _: () = assert!(usize::BITS == 64, "tokens need 64 bits: 8 of space, 24 of generation, 32 of slot");

/// The tokens of one driver: those whose high 8 bits are this number.
///
/// A host gives each driver on its `Poll` another space. Its own tokens must not have one of these numbers in
/// their high 8 bits: small tokens are those of space 0, so drivers best have 1, 2, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenSpace(pub u8);

/// The owner of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Connection(ConnectionId),
    Listener(u32),
}

impl TokenSpace {
    /// Whether `token` is in this space.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::mio::Token;
    /// use taketurns::net::TokenSpace;
    ///
    /// assert!(!TokenSpace(1).owns(Token(7)));
    /// assert!(TokenSpace(0).owns(Token(7)), "small tokens belong to space 0");
    /// ```
    #[must_use]
    pub fn owns(self, token: Token) -> bool {
        token.0 >> 56 == usize::from(self.0)
    }

    pub(crate) fn token(self, key: Key) -> Token {
        let (slot, generation) = match key {
            Key::Connection(id) => (id.slot, id.generation.get()),
            Key::Listener(slot) => (slot, 0),
        };
        Token(usize::from(self.0) << 56 | (generation as usize) << 32 | slot as usize)
    }

    /// The owner of `token`, unless the token belongs to another space.
    #[expect(clippy::cast_possible_truncation, reason = "each part is masked to its width")]
    #[inline]
    pub(crate) fn key(self, token: Token) -> Option<Key> {
        if token.0 >> 56 != usize::from(self.0) {
            return None;
        }
        let (slot, generation) = (token.0 as u32, (token.0 >> 32) as u32 & 0x00ff_ffff);
        Some(match NonZeroU32::new(generation) {
            None => Key::Listener(slot),
            Some(generation) => Key::Connection(ConnectionId { slot, generation }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_being_built_and_read() {
        let (mine, other) = (TokenSpace(3), TokenSpace(4));
        let generation = |n| NonZeroU32::new(n).expect("not 0");
        for key in [
            Key::Listener(7),
            Key::Connection(ConnectionId { slot: 0, generation: generation(1) }),
            Key::Connection(ConnectionId { slot: u32::MAX, generation: generation(0x00ff_ffff) }),
        ] {
            let token = mine.token(key);
            assert!(mine.owns(token) && !other.owns(token));
            assert_eq!((mine.key(token), other.key(token)), (Some(key), None));
        }
    }
}
