//! Encryption at rest: XChaCha20-Poly1305. Its 192-bit nonces may be drawn at random without a counter to keep.
//!
//! Where a value belongs (table, owner, name) is authenticated with it as additional data: moved to another row it
//! does not open.

use std::fmt;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use domain::port::StoreError;
use rand::Rng as _;
use zeroize::Zeroize as _;

use crate::error::corrupt;

const NONCE_BYTES: usize = 24;
/// First byte of every ciphertext, so that another scheme can follow.
const VERSION: u8 = 1;

/// Hashed in front of a key, so that the fingerprint is no other use of it.
const FINGERPRINT: &[u8] = b"waypost master key fingerprint\0";

/// 32 bytes that open everything. `Debug` hides it; memory is wiped on drop.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

/// Not 32 bytes in hex or base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes, as 64 hex digits or base64")]
pub struct InvalidMasterKey;

impl MasterKey {
    /// Takes the bytes of a key as they are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hex digits, or base64.
    ///
    /// # Errors
    /// [`InvalidMasterKey`].
    pub fn from_hex_or_base64(text: &str) -> Result<Self, InvalidMasterKey> {
        use base64::Engine as _;
        let text = text.trim();
        let bytes = hex::decode(text)
            .or_else(|_| base64::engine::general_purpose::STANDARD.decode(text))
            .map_err(|_| InvalidMasterKey)?;
        bytes.try_into().map(Self).map_err(|_| InvalidMasterKey)
    }

    /// The key with which the processes of an installation know each other's requests.
    pub fn hop_key(&self) -> domain::hop::HopKey {
        domain::hop::HopKey::derive(&self.0)
    }

    /// What tells keys apart and says nothing of them: 16 hex digits.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::new().chain_update(FINGERPRINT).chain_update(self.0).finalize();
        hex::encode(&hash[..8])
    }

    pub(crate) fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// The cipher of one database.
pub(crate) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new(&key.0.into()))
    }

    /// Encrypts a value together with where it belongs.
    pub(crate) fn seal(&self, aad: &[&str], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let aad = binding(aad);
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
            .expect("values are far below the cipher's limit of 256 GiB");
        [&[VERSION][..], &nonce, &sealed].concat()
    }

    /// Decrypts what was sealed with the same additional data.
    pub(crate) fn open(&self, aad: &[&str], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        const DOING: &str = "decrypting a stored value";
        let (version, rest) = stored.split_first().ok_or_else(|| corrupt(DOING))?;
        if *version != VERSION || rest.len() < NONCE_BYTES {
            return Err(corrupt(DOING));
        }
        let (nonce, sealed) = rest.split_at(NONCE_BYTES);
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| corrupt(DOING))?;
        let aad = binding(aad);
        self.0
            .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: &aad })
            .map_err(|_| corrupt(DOING))
    }

    /// Encrypts a text as [`Self::seal`] does.
    pub(crate) fn seal_text(&self, aad: &[&str], plain: &str) -> Vec<u8> {
        self.seal(aad, plain.as_bytes())
    }

    /// Decrypts a text; anything but UTF-8 is corrupt.
    pub(crate) fn open_text(&self, aad: &[&str], stored: &[u8]) -> Result<String, StoreError> {
        String::from_utf8(self.open(aad, stored)?).map_err(|_| corrupt("decrypting a stored text"))
    }
}

/// Lengths in front of the parts, so that no two lists of parts give the same bytes.
fn binding(aad: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in aad {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_in_its_place_and_with_its_key() {
        let cipher = Cipher::new(&MasterKey::from_bytes([1; 32]));
        let stored = cipher.seal(&["webhook", "a", "secret"], b"hush");
        assert_eq!(cipher.open(&["webhook", "a", "secret"], &stored).unwrap(), b"hush");
        for aad in [&["webhook", "b", "secret"][..], &["webhooka", "", "secret"], &["webhook", "a"]]
        {
            assert!(cipher.open(aad, &stored).is_err(), "{aad:?}");
        }
        let other = Cipher::new(&MasterKey::from_bytes([2; 32]));
        assert!(other.open(&["webhook", "a", "secret"], &stored).is_err());
        let mut bent = stored.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert!(cipher.open(&["webhook", "a", "secret"], &bent).is_err());
        assert!(cipher.open(&["webhook", "a", "secret"], &[]).is_err());
        assert_ne!(
            stored,
            cipher.seal(&["webhook", "a", "secret"], b"hush"),
            "a nonce is used once"
        );
    }

    #[test]
    fn keys_are_read_in_hex_and_base64_and_never_shown() {
        let hex = "07".repeat(32);
        assert_eq!(MasterKey::from_hex_or_base64(&hex).unwrap().0, [7; 32]);
        assert_eq!(
            MasterKey::from_hex_or_base64("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
                .unwrap()
                .0,
            [7; 32]
        );
        assert!(MasterKey::from_hex_or_base64("0707").is_err());
        assert_eq!(format!("{:?}", MasterKey::from_bytes([7; 32])), "MasterKey(…)");
        let fingerprint = MasterKey::from_bytes([7; 32]).fingerprint();
        assert!(fingerprint.len() == 16 && !hex.contains(&fingerprint), "{fingerprint}");
        assert_ne!(fingerprint, MasterKey::from_bytes([8; 32]).fingerprint());
    }
}
