//! Hashed secrets, so that a copied journal gives access to no seat.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::session::Secret;

/// The first 128 bits of the SHA-256 of a [`Secret`]. A secret is 128 random bits, so it needs no salt.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 16]);

impl SecretHash {
    /// Returns the hash of `secret`.
    #[must_use]
    pub fn of(secret: &Secret) -> SecretHash {
        let digest = Sha256::digest(secret.expose());
        SecretHash(std::array::from_fn(|nth| digest[nth]))
    }

    /// Returns a stored hash.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> SecretHash {
        SecretHash(bytes)
    }

    /// Returns its bytes, for storing them.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Compares in constant time.
impl PartialEq for SecretHash {
    fn eq(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_standard_one_and_is_not_shown() {
        // printf '\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17' | sha256sum | cut -c1-32
        let secret = Secret::new(std::array::from_fn(|nth| u8::try_from(nth).expect("below 16")));
        let hash = SecretHash::of(&secret);
        assert_eq!(u128::from_be_bytes(*hash.bytes()), 0xbe45_cb26_05bf_36be_bde6_8484_1a28_f0fd);
        assert_eq!((hash == SecretHash::of(&secret), format!("{hash:?}").as_str()), (true, "SecretHash"));
        assert_ne!(hash, SecretHash::of(&Secret::new([7; 16])));
    }
}
