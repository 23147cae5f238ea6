//! Browsers that showed a key: what a login is, and the link that opens one.

use crate::{
    api_key::KeyHash,
    ids::ApiKeyId,
    time::{Entropy, Timestamp},
};

/// How a text of ours lets a browser in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginKind {
    /// The browser shows it with each request, until it is over.
    Cookie,
    /// It opens one login, and is gone.
    Link,
}

impl LoginKind {
    /// The word in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Link => "link",
        }
    }

    /// Reads the ledger's word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Cookie, Self::Link].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A browser that is let in, or a link that will let one in. Its rights are those that its key has at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// All that is stored of its text.
    pub hash: KeyHash,
    /// How it lets a browser in.
    pub kind: LoginKind,
    /// The key whose rights it has.
    pub key: ApiKeyId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// Last request with it; written once a minute.
    pub last_used_at: Option<Timestamp>,
}

/// A fresh text for a login: 64 hex digits, which only the browser keeps.
pub fn new_login_text(entropy: &dyn Entropy) -> String {
    let mut bytes = [0u8; 32];
    entropy.fill(&mut bytes);
    hex::encode(bytes)
}
