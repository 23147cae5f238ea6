//! How a delivery is signed: OpenWA's header and Standard Webhooks' header, side by side.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize as _;

use crate::{time::Entropy, webhook::Secret};

/// How a private key is written.
const PRIVATE_PREFIX: &str = "whsk_";
/// How a public key is written.
const PUBLIC_PREFIX: &str = "whpk_";

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// `X-OpenWA-Signature`: `sha256=` and the hex HMAC-SHA256 of the exact body, keyed with the secret as UTF-8.
pub fn openwa(secret: &Secret, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret.expose().as_bytes(), &[body])))
}

/// One entry of `webhook-signature`: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`
/// (Standard Webhooks 1.0). A secret written `whsec_<base64>` is decoded first; any other is used as UTF-8.
pub fn standard_v1(secret: &Secret, id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
    let decoded =
        secret.expose().strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let key = decoded.as_deref().unwrap_or(secret.expose().as_bytes());
    let timestamp = timestamp_seconds.to_string();
    format!(
        "v1,{}",
        STANDARD.encode(hmac(key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]))
    )
}

/// A fresh private key of the scheme `v1a`: `whsk_` and the base64 of the 32-byte seed and the 32-byte public key.
pub fn new_signing_key(entropy: &dyn Entropy) -> Secret {
    let mut seed = [0u8; 32];
    entropy.fill(&mut seed);
    let key = SigningKey::from_bytes(&seed);
    seed.zeroize();
    Secret::new(format!("{PRIVATE_PREFIX}{}", STANDARD.encode(key.to_keypair_bytes())))
}

fn signing_key(secret: &Secret) -> Option<SigningKey> {
    let mut bytes = STANDARD.decode(secret.expose().strip_prefix(PRIVATE_PREFIX)?).ok()?;
    let key = <[u8; 64]>::try_from(bytes.as_slice()).ok();
    let key = key.and_then(|pair| SigningKey::from_keypair_bytes(&pair).ok());
    bytes.zeroize();
    key
}

/// The public half of a private key, for the receiver: `whpk_` and base64. `None` when the text is no private key.
pub fn public_key(secret: &Secret) -> Option<String> {
    let key = signing_key(secret)?;
    Some(format!("{PUBLIC_PREFIX}{}", STANDARD.encode(key.verifying_key().as_bytes())))
}

/// One entry of `webhook-signature`: `v1a,` and the base64 ed25519 signature of `id.timestamp.body`. `None` when the
/// text is no private key.
pub fn standard_v1a(
    secret: &Secret,
    id: &str,
    timestamp_seconds: i64,
    body: &[u8],
) -> Option<String> {
    let key = signing_key(secret)?;
    let head = format!("{id}.{timestamp_seconds}.");
    let signed = key.sign(&[head.as_bytes(), body].concat());
    Some(format!("v1a,{}", STANDARD.encode(signed.to_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answer of the Standard Webhooks reference libraries.
    #[test]
    fn standard_webhooks_known_answer() {
        let secret = Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            standard_v1(&secret, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn an_asymmetric_signature_is_verified_with_only_the_public_half() {
        struct Fixed;
        impl Entropy for Fixed {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(9);
            }
        }
        let key = new_signing_key(&Fixed);
        let public = public_key(&key).unwrap();
        let bytes = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
        let verifier = ed25519_dalek::VerifyingKey::try_from(bytes.as_slice()).unwrap();
        let entry = standard_v1a(&key, "evt_1", 7, b"{}").unwrap();
        let signature = STANDARD.decode(entry.strip_prefix("v1a,").unwrap()).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        assert!(verifier.verify_strict(b"evt_1.7.{}", &signature).is_ok());
        assert!(verifier.verify_strict(b"evt_1.8.{}", &signature).is_err());
        assert_eq!(public_key(&Secret::new("whsec_AAAA")), None);
    }

    /// HMAC-SHA256 test case 2 of RFC 4231.
    #[test]
    fn openwa_is_plain_hmac_of_the_body() {
        assert_eq!(
            openwa(&Secret::new("Jefe"), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
