//! Who did what.

use crate::{
    delivery::PauseReason,
    event::EventDraft,
    ids::{ApiKeyId, SessionId},
    time::Timestamp,
    webhook::WebhookStop,
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

    /// An entry for a webhook that stopped by itself, from the event that reports it. Where somebody asked for the
    /// stop there is none: their request has an entry of its own.
    pub fn of_webhook_stop(notice: &EventDraft, stop: WebhookStop) -> Option<Self> {
        if stop == WebhookStop::Paused(PauseReason::Requested) {
            return None;
        }
        let action = notice.kind.as_str().replace('.', "_");
        Some(Self {
            session: Some(notice.session),
            metadata: notice.data.value(),
            ..Self::new(notice.id.uuid(), action, Severity::Warn, notice.occurred_at)
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::EventId,
        webhook::{LaneOrder, tests::webhook},
    };

    #[test]
    fn a_webhook_that_stops_by_itself_is_written_down_and_a_requested_pause_is_not() {
        for (stop, expected) in [
            (WebhookStop::Paused(PauseReason::Requested), None),
            (WebhookStop::Paused(PauseReason::NoSuccess), Some("webhook_paused")),
            (WebhookStop::Gone, Some("webhook_disabled")),
        ] {
            let (webhook, at) = (webhook(LaneOrder::Chat), Timestamp::from_seconds(7));
            let id = EventId::from_uuid(uuid::Uuid::from_u128(3));
            let notice = webhook.stop_notice(id, stop, at);
            let entry = AuditEntry::of_webhook_stop(&notice, stop);
            assert_eq!(entry.as_ref().map(|entry| entry.action.as_str()), expected);
            let Some(entry) = entry else { continue };
            assert_eq!((entry.id, entry.created_at), (id.uuid(), at));
            assert_eq!((entry.session, entry.severity), (Some(webhook.session), Severity::Warn));
            assert_eq!(entry.metadata["webhookId"], webhook.id.to_string());
            assert_eq!(entry.metadata["reason"], stop.reason());
        }
    }
}
