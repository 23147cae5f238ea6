//! Stored GraphQL queries: a number and variables in, JSON out.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use whatsapp_rust::wacore_binary::{Node, NodeRef};

use super::newsletters;
use crate::{
    hub::Hub,
    state::DeviceKey,
    wire::{Build, child_bytes, children, need_attr, result},
};

/// What a query answers.
pub(super) enum StoredQueryAnswer {
    /// The data of the answer.
    Data(Value),
    /// A refusal with a code.
    Refused(u16, &'static str),
}

/// Answers a query, or `None` when nobody knows its number.
pub(super) fn answer(
    hub: &Hub,
    id: &str,
    who: &DeviceKey,
    request: &NodeRef<'_>,
) -> Result<Option<Node>> {
    let query = children(request).first().context("a query that asks nothing")?;
    let number = need_attr(query, "query_id")?;
    let payload: Value = serde_json::from_slice(&child_bytes(request, "query")?)?;
    let Some(answer) = newsletters::answer(hub, who, &number, &payload["variables"])? else {
        hub.recorder.unknown(format!("w:mex {number}"));
        return Ok(None);
    };
    let body = match answer {
        StoredQueryAnswer::Data(data) => json!({ "data": data }),
        StoredQueryAnswer::Refused(code, message) => json!({
            "data": null,
            "errors": [{
                "message": message,
                "extensions": { "error_code": code, "is_summary": false, "is_retryable": false },
            }],
        }),
    };
    let body = Build::new("result").bytes(serde_json::to_vec(&body)?).build();
    Ok(Some(result(id).children([body]).build()))
}
