//! Sends that may be asked for twice and happen once (`Idempotency-Key`).

use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{ids::WaMessageId, time::Timestamp};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// After this long without an outcome, it counts as unknown.
pub const PENDING_MAX: Duration = Duration::from_secs(600);
/// Longest key, in characters.
pub const KEY_CHARS_MAX: usize = 255;

/// A key as sent: 1 to 255 visible ASCII characters.
pub fn is_valid_key(text: &str) -> bool {
    (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Hash of a route and a request's body. The order of an object's members does not matter; the body is not copied.
pub fn fingerprint(route: &str, body: &Map<String, Value>) -> String {
    let mut hash = Sha256::new();
    text(&mut hash, route);
    members(&mut hash, body);
    hex::encode(hash.finalize())
}

fn members(hash: &mut Sha256, fields: &Map<String, Value>) {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort();
    hash.update(b"{");
    for name in names {
        text(hash, name);
        feed(hash, &fields[name]);
    }
    hash.update(b"}");
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => members(hash, fields),
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| feed(hash, item));
            hash.update(b"]");
        }
        Value::String(string) => text(hash, string),
        plain => {
            hash.update(b"p");
            text(hash, &plain.to_string());
        }
    }
}

/// With its length, so that two texts never read as one.
fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

/// What is known under a key. Kept for [`KEPT`].
#[derive(Debug, Clone, PartialEq)]
pub struct IdempotencyRecord {
    /// Hash of route and body: the same key with another one is refused.
    pub fingerprint: String,
    /// When the message was stored for it.
    pub created_at: Timestamp,
    /// Under which lease of the session the request came.
    pub epoch: u64,
    /// The message that was stored for it: its row has the outcome. None where an earlier version took the key and
    /// came no further.
    pub message: Option<WaMessageId>,
    /// What became of it.
    pub state: IdempotencyState,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum IdempotencyState {
    /// Under way, here or in an earlier life of the process.
    Open,
    /// It succeeded with this answer.
    Done(Value),
    /// It failed in a way that leaves the outcome open.
    Unknown,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fingerprint, is_valid_key};

    #[test]
    fn fingerprints_tell_bodies_and_routes_apart() {
        let print = |route, body: serde_json::Value| match body {
            serde_json::Value::Object(fields) => fingerprint(route, &fields),
            other => fingerprint(route, &serde_json::Map::from_iter([("x".to_owned(), other)])),
        };
        let one = print("send-text", json!({ "chatId": "1@c.us", "text": "hi" }));
        assert_eq!(one, print("send-text", json!({ "text": "hi", "chatId": "1@c.us" })));
        assert_ne!(one, print("reply", json!({ "chatId": "1@c.us", "text": "hi" })));
        assert_ne!(print("x", json!(["ab", "c"])), print("x", json!(["a", "bc"])));
        assert_ne!(print("x", json!("1")), print("x", json!(1)));
    }

    #[test]
    fn keys_are_visible_ascii() {
        assert!(is_valid_key("order-7") && is_valid_key(&"k".repeat(255)));
        for bad in ["", "a b", "ä", "a\n", &"k".repeat(256)] {
            assert!(!is_valid_key(bad), "{bad:?}");
        }
    }
}
