//! Who did what.

use crate::{
    ids::{ApiKeyId, SessionId},
    time::Timestamp,
};

/// How bad an audit entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Something that happens every day.
    Info,
    /// Something that may need a look.
    Warn,
    /// Something that somebody should look at.
    Error,
}

impl Severity {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warn, Self::Error].into_iter().find(|one| one.as_str() == text)
    }
}

/// Something that was done, and by whom.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The id of the entry.
    pub id: uuid::Uuid,
    /// What, in the contract's words, such as `webhook_created`.
    pub action: String,
    /// How much it matters.
    pub severity: Severity,
    /// The key of the caller; `None` for what the gateway did itself.
    pub api_key: Option<ApiKeyId>,
    /// The key's name then.
    pub api_key_name: Option<String>,
    /// On which session; it may be gone.
    pub session: Option<SessionId>,
    /// The session's name then.
    pub session_name: Option<String>,
    /// The address of the caller.
    pub ip: Option<String>,
    /// The program of the caller, as it named itself.
    pub user_agent: Option<String>,
    /// The HTTP method of the request.
    pub method: Option<String>,
    /// The request's path, without its query.
    pub path: Option<String>,
    /// The status code of the answer.
    pub status_code: Option<u16>,
    /// More; null when there is none.
    pub metadata: serde_json::Value,
    /// What went wrong, in a sentence.
    pub error_message: Option<String>,
    /// When it was written down.
    pub created_at: Timestamp,
}

impl AuditEntry {
    /// An entry that says only what happened, and when.
    pub fn new(id: uuid::Uuid, action: String, severity: Severity, created_at: Timestamp) -> Self {
        Self {
            id,
            action,
            severity,
            api_key: None,
            api_key_name: None,
            session: None,
            session_name: None,
            ip: None,
            user_agent: None,
            method: None,
            path: None,
            status_code: None,
            metadata: serde_json::Value::Null,
            error_message: None,
            created_at,
        }
    }
}

/// A search in the audit; every given condition must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Entries of this action only.
    pub action: Option<String>,
    /// As bad as this.
    pub severity: Option<Severity>,
    /// Entries about this session only.
    pub session: Option<SessionId>,
    /// Entries of calls with this key only.
    pub api_key: Option<ApiKeyId>,
}
