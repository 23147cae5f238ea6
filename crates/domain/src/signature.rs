//! How a delivery is signed: OpenWA's header and Standard Webhooks' header, side by side.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::webhook::Secret;

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

    /// HMAC-SHA256 test case 2 of RFC 4231.
    #[test]
    fn openwa_is_plain_hmac_of_the_body() {
        assert_eq!(
            openwa(&Secret::new("Jefe"), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
