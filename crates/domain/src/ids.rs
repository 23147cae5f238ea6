//! One type per identifier.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::time::Entropy;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random id.
            pub fn new(entropy: &dyn Entropy) -> Self {
                Self(random_uuid(entropy))
            }

            /// From a UUID that already exists.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID without the prefix of this kind of id.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bare = text.strip_prefix($prefix).ok_or(InvalidId)?;
                // Only the hyphenated form: one id has one spelling.
                if bare.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(bare).map(Self).map_err(|_| InvalidId)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    };
}

/// The text is not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id")]
pub struct InvalidId;

uuid_id!(
    /// The id of a session.
    SessionId,
    ""
);
uuid_id!(
    /// The id of a webhook.
    WebhookId,
    ""
);
uuid_id!(
    /// A stored message row (not WhatsApp's own id, see [`WaMessageId`]).
    MessageRowId,
    ""
);
uuid_id!(
    /// An API key's record.
    ApiKeyId,
    ""
);
uuid_id!(
    /// A send that waits for a person. Written `apr_<uuid>`.
    ApprovalId,
    "apr_"
);
uuid_id!(
    /// The id of a message template.
    TemplateId,
    ""
);
uuid_id!(
    /// The id of an automation rule.
    AutomationRuleId,
    ""
);
uuid_id!(
    /// An event. Written `evt_<uuid>`; holds no full stop, so it can be signed as a Standard Webhooks id.
    EventId,
    "evt_"
);
uuid_id!(
    /// One event for one webhook. Written `dlv_<uuid>`.
    DeliveryId,
    "dlv_"
);

/// Bytes of a time-ordered UUID that hold its milliseconds.
const TIME_BYTES: usize = 6;

impl EventId {
    /// A fresh id that begins with the time, so that ids made one after another lie side by side in an index.
    pub fn at(now: crate::Timestamp, entropy: &dyn Entropy) -> Self {
        let mut random = [0u8; 10];
        entropy.fill(&mut random);
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// An id that follows from what it stands for: made twice, it is the same.
    pub fn derived(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(uuid_from_hash(&hash.finalize()))
    }

    /// The same, but it begins with a time, which is a part of what it stands for: such ids lie side by side.
    pub fn derived_at(at: crate::Timestamp, parts: &[&[u8]]) -> Self {
        let mut bytes = *Self::derived(parts).0.as_bytes();
        let millis = u64::try_from(at.millis()).unwrap_or(0).to_be_bytes();
        bytes[..TIME_BYTES].copy_from_slice(&millis[millis.len() - TIME_BYTES..]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl MessageRowId {
    /// A fresh id that begins with the time, so that rows made one after another lie side by side in an index.
    pub fn at(now: crate::Timestamp, entropy: &dyn Entropy) -> Self {
        Self(EventId::at(now, entropy).uuid())
    }
}

impl DeliveryId {
    /// The id of the automatic delivery of `event` to `webhook`: derived, so that writing it twice is one row. It
    /// begins as the event's does, so that ids made one after another lie side by side in an index.
    pub fn of(event: EventId, webhook: WebhookId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"delivery");
        hash.update(event.0.as_bytes());
        hash.update(webhook.0.as_bytes());
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        bytes[..TIME_BYTES].copy_from_slice(&event.0.as_bytes()[..TIME_BYTES]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// A one-off delivery that belongs to no event row, such as a test ping.
    pub fn ping(entropy: &dyn Entropy) -> Self {
        Self(random_uuid(entropy))
    }
}

/// WhatsApp's own id of a message, the same on every device. Ours are chosen before the first byte leaves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WaMessageId(String);

impl WaMessageId {
    /// A fresh id in the form WhatsApp Web gives its own: `3EB0` and 18 upper-case hex digits.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0u8; 9];
        entropy.fill(&mut bytes);
        Self(format!("3EB0{}", hex::encode_upper(bytes)))
    }

    /// An id that came from WhatsApp or from a client.
    pub fn from_wire(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WaMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a file in the media store: the SHA-256 of its bytes, in hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaId(String);

impl MediaId {
    /// Of a file with this SHA-256.
    pub fn of(sha256: &[u8; 32]) -> Self {
        Self(hex::encode(sha256))
    }

    /// Reads 64 lower-case hex digits. Anything else could name a path.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 64 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The 64 lower-case hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn random_uuid(entropy: &dyn Entropy) -> Uuid {
    let mut bytes = [0u8; 16];
    entropy.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

fn uuid_from_hash(hash: &[u8]) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn ids_keep_their_prefix_and_refuse_others() {
        let event = EventId::new(&Fixed(7));
        assert!(event.to_string().starts_with("evt_"));
        assert!(!event.to_string().contains('.'));
        assert_eq!(event.to_string().parse::<EventId>(), Ok(event));
        assert_eq!(event.to_string().parse::<DeliveryId>(), Err(InvalidId));
        assert_eq!("7".parse::<SessionId>(), Err(InvalidId));
        assert_eq!("07070707070747078707070707070707".parse::<SessionId>(), Err(InvalidId));
    }

    #[test]
    fn delivery_id_depends_on_both_halves() {
        let (e1, e2) = (EventId::new(&Fixed(1)), EventId::new(&Fixed(2)));
        let (w1, w2) = (WebhookId::new(&Fixed(3)), WebhookId::new(&Fixed(4)));
        assert_eq!(DeliveryId::of(e1, w1), DeliveryId::of(e1, w1));
        assert_ne!(DeliveryId::of(e1, w1), DeliveryId::of(e2, w1));
        assert_ne!(DeliveryId::of(e1, w1), DeliveryId::of(e1, w2));
    }

    #[test]
    fn own_message_ids_look_like_whatsapp_webs() {
        let id = WaMessageId::new(&Fixed(0xab));
        assert_eq!(id.as_str(), "3EB0ABABABABABABABABAB");
    }
}
