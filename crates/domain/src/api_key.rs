//! Who may call the HTTP API.

use std::{fmt, net::IpAddr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    address::ChatId,
    approval::ApprovalRule,
    ids::{ApiKeyId, SessionId},
    time::{Entropy, Timestamp},
};

/// What a key may do; a route names the least role it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read, and change nothing.
    Viewer,
    /// May read and act, but not manage keys and proxies.
    Operator,
    /// Everything, with keys and proxies.
    Admin,
}

impl Role {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// A key's record. The key itself is never stored, only its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The id of the key.
    pub id: ApiKeyId,
    /// For people, 3 to 100 characters.
    pub name: String,
    /// First 12 characters of the key.
    pub prefix: String,
    /// All that is stored of the key's text.
    pub hash: KeyHash,
    /// What it may do.
    pub role: Role,
    /// Where from; empty means anywhere.
    pub allowed_ips: Vec<IpNet>,
    /// On which sessions; empty means all.
    pub allowed_sessions: Vec<SessionId>,
    /// In which chats; empty means all.
    pub allowed_chats: Vec<ChatId>,
    /// What it may send without a person; `None`: everything.
    pub approval: Option<ApprovalRule>,
    /// Revoked keys stay listed.
    pub active: bool,
    /// When it stops working; `None` never.
    pub expires_at: Option<Timestamp>,
    /// Last call with it.
    pub last_used_at: Option<Timestamp>,
    /// How many calls were made with it.
    pub usage_count: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Least length of a key that people made, for an address that others reach, and least number of different characters.
pub const STRONG_CHARS: usize = 32;
const STRONG_VARIETY: usize = 10;

/// SHA-256 of a key. Keys hold 256 random bits, so a slow hash would protect nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Of a key's text.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Of a key's text and a secret that is not in the ledger: without it nobody can try texts against the hash.
    pub fn peppered(key: &str, pepper: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(pepper).expect("HMAC takes any length");
        mac.update(key.as_bytes());
        Self(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A fresh key: `owa_k1_` and 64 hex digits. Shown once, at creation.
pub fn new_key(entropy: &dyn Entropy) -> String {
    let mut bytes = [0u8; 32];
    entropy.fill(&mut bytes);
    format!("owa_k1_{}", hex::encode(bytes))
}

/// What is shown instead of the beginning of a key that people made: that beginning may be most of it.
pub fn mark_of(hash: KeyHash) -> String {
    format!("master-{}", hex::encode(&hash.0[..2]))
}

/// Whether a text that people made is good enough to open the API to a network: long, and not a few characters
/// repeated.
pub fn is_strong(key: &str) -> bool {
    let different: std::collections::BTreeSet<char> = key.chars().collect();
    key.chars().count() >= STRONG_CHARS && different.len() >= STRONG_VARIETY
}

/// The part of a key that is kept in clear, to tell keys apart: 12 characters.
pub fn prefix_of(key: &str) -> String {
    key.chars().take(12).collect()
}

/// Why a key was refused; the texts are OpenWA's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// No key has this text.
    #[error("Invalid API key")]
    Unknown,
    /// Somebody revoked the key.
    #[error("API key is revoked")]
    Revoked,
    /// Its time is over.
    #[error("API key has expired")]
    Expired,
    /// The login of a browser ended, or never was.
    #[error("Login is over")]
    Login,
    /// From the wrong address.
    #[error("IP address not allowed")]
    Ip,
    /// The address is restricted and the caller's is not known.
    #[error("Client IP could not be determined")]
    IpUnknown,
    /// It is limited to other sessions.
    #[error("API key not authorized for this session")]
    Session,
    /// A higher role is needed.
    #[error("Insufficient permissions. Required: {}", .0.as_str())]
    Role(Role),
    /// The route is for keys without a session list.
    #[error("Session-scoped API keys are not permitted on this route")]
    Scoped,
    /// The route is for keys without a chat list.
    #[error("API key is restricted to selected chats")]
    ChatRestricted,
    /// It is limited to other chats.
    #[error("API key not authorized for this chat")]
    Chat,
}

impl ApiKey {
    /// Whether the key is usable at all.
    ///
    /// # Errors
    /// [`KeyRefused::Revoked`] or [`KeyRefused::Expired`].
    pub fn check_usable(&self, now: Timestamp) -> Result<(), KeyRefused> {
        if !self.active {
            return Err(KeyRefused::Revoked);
        }
        if self.expires_at.is_some_and(|until| until <= now) {
            return Err(KeyRefused::Expired);
        }
        Ok(())
    }

    /// Whether it may be used from an address.
    ///
    /// # Errors
    /// [`KeyRefused::Ip`] or [`KeyRefused::IpUnknown`].
    pub fn check_ip(&self, ip: Option<IpAddr>) -> Result<(), KeyRefused> {
        if self.allowed_ips.is_empty() {
            return Ok(());
        }
        let ip = ip.ok_or(KeyRefused::IpUnknown)?.to_canonical();
        if self.allowed_ips.iter().any(|net| net.contains(&ip)) {
            Ok(())
        } else {
            Err(KeyRefused::Ip)
        }
    }

    /// Whether it may be used on a session.
    ///
    /// # Errors
    /// [`KeyRefused::Session`].
    pub fn check_session(&self, session: SessionId) -> Result<(), KeyRefused> {
        if self.sees_session(session) { Ok(()) } else { Err(KeyRefused::Session) }
    }

    /// Whether lists show it a session.
    pub fn sees_session(&self, session: SessionId) -> bool {
        self.allowed_sessions.is_empty() || self.allowed_sessions.contains(&session)
    }

    /// Whether its role is high enough.
    ///
    /// # Errors
    /// [`KeyRefused::Role`].
    pub fn check_role(&self, least: Role) -> Result<(), KeyRefused> {
        if self.role >= least { Ok(()) } else { Err(KeyRefused::Role(least)) }
    }

    /// Whether it may name a chat.
    ///
    /// # Errors
    /// [`KeyRefused::Chat`].
    pub fn check_chat(&self, chat: &ChatId) -> Result<(), KeyRefused> {
        let free = self.allowed_chats.is_empty() || self.allowed_chats.contains(chat);
        if free { Ok(()) } else { Err(KeyRefused::Chat) }
    }

    /// A key that could lock everybody out when it goes: usable, admin, and without limits of any kind.
    pub fn is_full_admin(&self, now: Timestamp) -> bool {
        self.role == Role::Admin
            && self.check_usable(now).is_ok()
            && self.allowed_ips.is_empty()
            && self.allowed_sessions.is_empty()
            && self.allowed_chats.is_empty()
            && self.approval.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn key() -> ApiKey {
        ApiKey {
            id: ApiKeyId::from_uuid(Uuid::from_u128(1)),
            name: "till".into(),
            prefix: "owa_k1_00000".into(),
            hash: KeyHash::of("x"),
            role: Role::Operator,
            allowed_ips: vec!["10.0.0.0/8".parse().unwrap()],
            allowed_sessions: vec![SessionId::from_uuid(Uuid::from_u128(2))],
            allowed_chats: vec!["49170111@c.us".parse().unwrap()],
            approval: None,
            active: true,
            expires_at: Some(Timestamp::from_millis(1000)),
            last_used_at: None,
            usage_count: 0,
            created_at: Timestamp::default(),
        }
    }

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        assert_eq!(
            key().check_role(Role::Admin).unwrap_err().to_string(),
            "Insufficient permissions. Required: admin"
        );
    }

    #[test]
    fn scopes_hold() {
        let key = key();
        assert_eq!(key.check_usable(Timestamp::from_millis(999)), Ok(()));
        assert_eq!(key.check_usable(Timestamp::from_millis(1000)), Err(KeyRefused::Expired));
        assert_eq!(key.check_ip("10.1.2.3".parse().ok()), Ok(()));
        assert_eq!(key.check_ip("::ffff:10.1.2.3".parse().ok()), Ok(()));
        assert_eq!(key.check_ip("11.1.2.3".parse().ok()), Err(KeyRefused::Ip));
        assert_eq!(key.check_ip(None), Err(KeyRefused::IpUnknown));
        assert_eq!(
            key.check_session(SessionId::from_uuid(Uuid::from_u128(3))),
            Err(KeyRefused::Session)
        );
        assert_eq!(key.check_chat(&"49170222@c.us".parse().unwrap()), Err(KeyRefused::Chat));
    }

    #[test]
    fn keys_have_openwas_form() {
        struct Zero;
        impl Entropy for Zero {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(0);
            }
        }
        let key = new_key(&Zero);
        assert_eq!(key.len(), 7 + 64);
        assert_eq!(prefix_of(&key), "owa_k1_00000");
    }
}
