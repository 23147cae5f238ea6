//! Why a send failed.

use serde_json::{Value, json};

/// WhatsApp's code for "this account may not write to strangers now".
pub const COLD_RESTRICTED: u16 = 463;

/// Why a message was not sent, as its row keeps it: rules ask for the variant, people read the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFailure {
    /// The session was not connected: nothing left this process.
    NotConnected,
    /// The engine has no such message, or could not write it.
    EngineRefused,
    /// Its outcome was not known for longer than a send may go out again.
    Expired,
    /// WhatsApp's server refused it with this code.
    Refused(u16),
}

const NOT_CONNECTED: &str = "the session was not connected";
const ENGINE_REFUSED: &str = "the engine refused the message";
const EXPIRED: &str = "expired";

impl SendFailure {
    /// The code under which it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::EngineRefused => "engine_refused",
            Self::Expired => "expired",
            Self::Refused(_) => "refused",
        }
    }

    /// The sentence for people. Those of WhatsApp's codes are observed; there is no published list.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotConnected => NOT_CONNECTED,
            Self::EngineRefused => ENGINE_REFUSED,
            Self::Expired => EXPIRED,
            Self::Refused(404) => "the recipient is not on WhatsApp",
            Self::Refused(COLD_RESTRICTED) => {
                "WhatsApp restricts messages to people who have not written to this account"
            }
            Self::Refused(403) => "WhatsApp does not allow messages to this recipient",
            Self::Refused(429) => "WhatsApp says this is too much at once",
            Self::Refused(_) => "WhatsApp refused the message",
        }
    }

    /// WhatsApp's code, when it was WhatsApp.
    pub const fn code(self) -> Option<u16> {
        match self {
            Self::Refused(code) => Some(code),
            _ => None,
        }
    }

    /// What is merged into the row's metadata.
    pub fn metadata(self) -> Value {
        json!({ "failure": { "kind": self.as_str(), "code": self.code(), "reason": self.reason() } })
    }

    /// What a row's metadata says; rows of versions before the stored code have only the sentence.
    pub fn of_metadata(metadata: &Value) -> Option<Self> {
        let failure = metadata.get("failure")?;
        if let Some(code) = failure["code"].as_u64() {
            return Some(Self::Refused(u16::try_from(code).unwrap_or_default()));
        }
        let (kind, reason) = (failure["kind"].as_str(), failure["reason"].as_str());
        let known = [Self::NotConnected, Self::EngineRefused, Self::Expired];
        known.into_iter().find(|one| match kind {
            Some(kind) => kind == one.as_str(),
            None => reason == Some(one.reason()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_back_as_it_was_written() {
        for failure in [
            SendFailure::NotConnected,
            SendFailure::EngineRefused,
            SendFailure::Expired,
            SendFailure::Refused(404),
            SendFailure::Refused(COLD_RESTRICTED),
        ] {
            let mut stored = failure.metadata();
            assert_eq!(SendFailure::of_metadata(&stored), Some(failure));
            // As versions before the stored code wrote it.
            stored["failure"].as_object_mut().unwrap().remove("kind");
            assert_eq!(SendFailure::of_metadata(&stored), Some(failure));
        }
        assert_eq!(SendFailure::of_metadata(&json!({ "failure": { "reason": "other" } })), None);
        assert_eq!(SendFailure::of_metadata(&Value::Null), None);
    }
}
