//! A request that one process hands to another, and who asked for it in the first place.
//!
//! The receiving process believes an address that it did not see itself. So the one that hands over seals it, with a
//! key that all processes of an installation make from their master key: over the process it goes to, the request's
//! method and target, the caller's credential, the caller's address, the time, and a number that is used once.

use std::{fmt, net::IpAddr, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroize as _;

use crate::time::Timestamp;

/// How old a sealed request may be, and how far ahead: as far as clocks may differ.
pub const AGE_MAX: Duration = Duration::from_secs(30);

const VERSION: &str = "1";
const PURPOSE: &[u8] = b"waypost: requests between processes";

type Mac256 = Hmac<Sha256>;

/// A number that is used once.
pub type Nonce = [u8; 16];

/// Seals and checks. `Debug` hides it; memory is wiped on drop.
#[derive(Clone)]
pub struct HopKey([u8; 32]);

impl HopKey {
    /// From the master key of an installation.
    pub fn derive(master: &[u8]) -> Self {
        let mut mac = keyed(master);
        mac.update(PURPOSE);
        Self(mac.finalize().into_bytes().into())
    }

    /// The seal of a request, as text.
    pub fn seal(&self, request: &Request<'_>, hop: &Hop) -> String {
        let client = hop.client.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
        let (at, nonce) = (hop.at.millis(), hex::encode(hop.nonce));
        let said = format!("{VERSION};{};{at};{nonce};{client}", hop.to);
        let mac = self.mac(request, &said).finalize().into_bytes();
        format!("{said};{}", hex::encode(mac))
    }

    /// What a seal says of a request, if it is ours and fresh. Whether it is meant for this process, and its number was
    /// not used before, is for the caller to see.
    ///
    /// # Errors
    /// [`HopRefused`].
    pub fn open(
        &self,
        request: &Request<'_>,
        seal: &str,
        now: Timestamp,
    ) -> Result<Hop, HopRefused> {
        let (said, mac) = seal.rsplit_once(';').ok_or(HopRefused::Forged)?;
        let mac = hex::decode(mac).map_err(|_| HopRefused::Forged)?;
        self.mac(request, said).verify_slice(&mac).map_err(|_| HopRefused::Forged)?;
        let hop = read(said).ok_or(HopRefused::Forged)?;
        if now.since(hop.at) > AGE_MAX || hop.at.since(now) > AGE_MAX {
            return Err(HopRefused::Stale);
        }
        Ok(hop)
    }

    fn mac(&self, request: &Request<'_>, said: &str) -> Mac256 {
        let mut mac = keyed(&self.0);
        let Request { method, target, credential } = request;
        for part in [method.as_bytes(), target.as_bytes(), credential, said.as_bytes()] {
            // Lengths first, so that no two requests give the same bytes.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl Drop for HopKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for HopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HopKey(…)")
    }
}

/// What is sealed of a request itself.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `POST` and the like.
    pub method: &'a str,
    /// Path and query, as they go over the wire.
    pub target: &'a str,
    /// The caller's key, as it was shown.
    pub credential: &'a [u8],
}

/// What a seal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The process it goes to, by the name it takes leases under; without a semicolon.
    pub to: String,
    /// Where the request came from first; `None` when that process did not know either.
    pub client: Option<IpAddr>,
    /// When it was sealed.
    pub at: Timestamp,
    /// A number that is used once per key.
    pub nonce: Nonce,
}

/// Why a seal counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HopRefused {
    /// Not sealed with this key, or for another request.
    #[error("the seal of a forwarded request does not fit")]
    Forged,
    /// Too old, or dated ahead: the clocks differ, or somebody sends it again.
    #[error("the seal of a forwarded request is not of this moment")]
    Stale,
}

fn keyed(key: &[u8]) -> Mac256 {
    Mac256::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn read(said: &str) -> Option<Hop> {
    let mut parts = said.split(';');
    let mut next = || parts.next();
    (next()? == VERSION).then_some(())?;
    let to = next()?.to_owned();
    let at = Timestamp::from_millis(next()?.parse().ok()?);
    let nonce = hex::decode(next()?).ok()?.try_into().ok()?;
    let client = match next()? {
        "-" => None,
        ip => Some(ip.parse().ok()?),
    };
    next().is_none().then_some(Hop { to, client, at, nonce })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_841_600_000);

    fn request<'a>() -> Request<'a> {
        Request {
            method: "POST",
            target: "/api/sessions/1/messages/send-text?x=1",
            credential: b"owa_k1_x",
        }
    }

    fn hop() -> Hop {
        Hop {
            to: "b".into(),
            client: Some("203.0.113.9".parse().unwrap()),
            at: NOW,
            nonce: [7; 16],
        }
    }

    #[test]
    fn a_seal_says_who_asked() {
        let key = HopKey::derive(&[1; 32]);
        for hop in
            [hop(), Hop { client: None, ..hop() }, Hop { client: "fd00::1".parse().ok(), ..hop() }]
        {
            let seal = key.seal(&request(), &hop);
            assert_eq!(key.open(&request(), &seal, NOW), Ok(hop), "{seal}");
        }
        assert_eq!(format!("{key:?}"), "HopKey(…)");
    }

    #[test]
    fn a_seal_fits_only_its_own_request() {
        let key = HopKey::derive(&[1; 32]);
        let seal = key.seal(&request(), &hop());
        for other in [
            Request { method: "GET", ..request() },
            Request { target: "/api/sessions/2/messages/send-text?x=1", ..request() },
            Request { credential: b"owa_k1_y", ..request() },
            Request {
                method: "POST/",
                target: "api/sessions/1/messages/send-text?x=1",
                ..request()
            },
        ] {
            assert_eq!(key.open(&other, &seal, NOW), Err(HopRefused::Forged), "{other:?}");
        }
        let stranger = HopKey::derive(&[2; 32]);
        assert_eq!(stranger.open(&request(), &seal, NOW), Err(HopRefused::Forged));
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let key = HopKey::derive(&[1; 32]);
        let seal = key.seal(&request(), &hop());
        for index in 0..seal.len() {
            let mut bent = seal.clone().into_bytes();
            bent[index] = if bent[index] == b'1' { b'2' } else { b'1' };
            let bent = String::from_utf8(bent).unwrap();
            assert_eq!(key.open(&request(), &bent, NOW), Err(HopRefused::Forged), "{bent}");
        }
        for nonsense in ["", ";", "1;2;3;4;5", "é"] {
            assert_eq!(key.open(&request(), nonsense, NOW), Err(HopRefused::Forged));
        }
    }

    #[test]
    fn it_is_of_its_moment() {
        let key = HopKey::derive(&[1; 32]);
        let seal = key.seal(&request(), &hop());
        let second = Duration::from_secs(1);
        for now in [NOW.plus(AGE_MAX), NOW.minus(AGE_MAX)] {
            assert_eq!(key.open(&request(), &seal, now), Ok(hop()));
        }
        for now in [NOW.plus(AGE_MAX + second), NOW.minus(AGE_MAX + second)] {
            assert_eq!(key.open(&request(), &seal, now), Err(HopRefused::Stale));
        }
    }
}
