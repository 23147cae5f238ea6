//! Settings of a webhook under a fuzzer.

use serde_json::Value;

use super::shapes::{CreateWebhook, UpdateWebhook};
use crate::body;

/// Settings of a webhook are a body, or are refused with a reason that can be shown.
pub fn settings(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if !value.is_object() {
        return;
    }
    let created = body::checked::<CreateWebhook>(value.clone());
    let updated = body::checked::<UpdateWebhook>(value);
    for problems in [created.err(), updated.err()].into_iter().flatten() {
        assert!(!problems.is_empty(), "refused without a reason");
        let long = problems.iter().find(|problem| problem.len() > 2_000);
        assert!(long.is_none(), "a reason of {} bytes", long.map_or(0, String::len));
    }
}
