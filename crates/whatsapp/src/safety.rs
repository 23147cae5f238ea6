//! Where this build may connect to.
//!
//! WhatsApp proves who it is with a certificate chain inside its own handshake. Tests link the
//! protocol library with that check switched off, and cargo could carry such a feature into a
//! product by accident. So the engine asks the library, once per process: a build that does not
//! verify speaks with loopback addresses only.

use std::{net::IpAddr, sync::OnceLock};

use domain::port::EngineError;
use url::{Host, Url};
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore::handshake::HandshakeUtils,
    waproto::whatsapp::{CertChain, cert_chain::NoiseCertificate},
};

/// Whether the check of WhatsApp's certificate is really part of this build.
pub fn verification_compiled_in() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| HandshakeUtils::verify_server_cert(&forged_chain(), &KEY).is_err())
}

/// The key the forged chain claims for the server.
const KEY: [u8; 32] = [7; 32];

/// Right in every respect but its signatures.
fn forged_chain() -> Vec<u8> {
    use whatsapp_rust::waproto::whatsapp::cert_chain::noise_certificate::Details;
    let certificate = |serial: u32, issuer: u32| {
        let details = Details {
            serial: Some(serial),
            issuer_serial: Some(issuer),
            key: Some(KEY.to_vec()),
            ..Default::default()
        };
        MessageField::some(NoiseCertificate {
            details: Some(details.encode_to_vec()),
            signature: Some(vec![0; 64]),
        })
    };
    let chain = CertChain { intermediate: certificate(1, 0), leaf: certificate(2, 1) };
    chain.encode_to_vec()
}

/// Refuses an address this build must not connect to.
pub(crate) fn check_address(url: &Url) -> Result<(), EngineError> {
    check(url, verification_compiled_in())
}

fn check(url: &Url, verifies: bool) -> Result<(), EngineError> {
    let refuse = |reason: &str| Err(EngineError::Misconfigured(reason.to_owned()));
    if !matches!(url.scheme(), "ws" | "wss") {
        return refuse("the address of WhatsApp must start with wss://");
    }
    if is_loopback(url) {
        return Ok(());
    }
    if url.scheme() == "ws" {
        return refuse("WhatsApp is only spoken with over wss://; ws:// is for loopback addresses");
    }
    if !verifies {
        return refuse(
            "this build does not verify WhatsApp's certificate and connects to loopback addresses only",
        );
    }
    Ok(())
}

/// A literal, or `localhost`; other names could mean anything.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(url: &str, verifies: bool) -> bool {
        check(&Url::parse(url).unwrap(), verifies).is_ok()
    }

    #[test]
    fn a_build_without_verification_stays_at_home() {
        for url in ["ws://127.0.0.1:9/ws", "ws://[::1]:9/ws", "wss://localhost/ws"] {
            assert!(allowed(url, false), "{url}");
        }
        for url in [
            "wss://web.whatsapp.com/ws/chat",
            "wss://192.0.2.7/ws",
            "wss://localhost.example/ws",
            "wss://127.0.0.1.example/ws",
        ] {
            assert!(!allowed(url, false), "{url}");
        }
    }

    #[test]
    fn plain_text_never_leaves_the_machine() {
        assert!(allowed("wss://web.whatsapp.com/ws/chat", true));
        assert!(!allowed("ws://web.whatsapp.com/ws/chat", true));
        assert!(!allowed("https://web.whatsapp.com/ws/chat", true));
        assert!(allowed("ws://127.0.0.1:9/ws", true));
    }
}
