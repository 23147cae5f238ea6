//! What providers send: its signature, its order, its next try.
//!
//! Names of headers are in lower case everywhere here.

mod verify;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{IngressRoute, Signature};
use crate::{time::Timestamp, webhook::Secret};

pub use verify::{Refusal, Verified, verify};

/// Waits after a failed try of a handler; after one more failure a call is dead.
pub const RETRY_WAITS: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// Longer delivery ids and order keys are kept as their hash.
const KEY_BYTES_MAX: usize = 256;
const STANDARD_ID: &str = "webhook-id";
const STANDARD_TIMESTAMP: &str = "webhook-timestamp";
const STANDARD_SIGNATURE: &str = "webhook-signature";

/// Headers of a call, by their names in lower case.
pub type Headers = BTreeMap<String, String>;

fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn bounded(key: String) -> String {
    match key.len() > KEY_BYTES_MAX {
        true => format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes()))),
        false => key,
    }
}

fn id_of<'a>(route: &IngressRoute, headers: &'a Headers) -> Option<&'a str> {
    let standard = (route.signature == Signature::Standard).then_some(STANDARD_ID);
    header(headers, route.dedup_header.as_deref().or(standard)?)
}

fn timestamp_of<'a>(route: &IngressRoute, headers: &'a Headers) -> Option<&'a str> {
    match &route.signature {
        Signature::Hmac { timestamp_header, .. } => header(headers, timestamp_header.as_deref()?),
        Signature::Standard => header(headers, STANDARD_TIMESTAMP),
        Signature::SharedSecret { .. } | Signature::Unsigned => None,
    }
}

/// The provider's name for a call, which is the same when it is sent again; `None` if it gives none.
pub fn delivery_id(route: &IngressRoute, headers: &Headers) -> Option<String> {
    id_of(route, headers).map(|id| bounded(id.to_owned()))
}

/// What calls are ordered by: those with the same key are handled one after another. Empty, the key of the instance's
/// whole line, when the call does not say.
pub fn order_key(route: &IngressRoute, headers: &Headers, body: &[u8]) -> String {
    let named = route.order_header.as_deref().and_then(|name| header(headers, name));
    let pointed = || {
        let pointer = route.order_pointer.as_deref()?;
        let body: Value = serde_json::from_slice(body).ok()?;
        match body.pointer(pointer)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    };
    bounded(named.map(str::to_owned).or_else(pointed).unwrap_or_default())
}

/// SHA-256 of everything that makes a call what it is, in hex.
pub fn digest(method: &str, query: &BTreeMap<String, String>, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // Lengths first, so that no two calls give the same bytes.
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(bytes);
    };
    part(method.to_ascii_uppercase().as_bytes());
    part(body);
    for (name, value) in query {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// The answer to a GET that asks whether the route is ours: the text to echo. `None` when the call is no challenge.
///
/// # Errors
/// It does not name the instance's token.
pub fn challenge(
    route: &IngressRoute,
    query: &BTreeMap<String, String>,
    verify_token: Option<&Secret>,
) -> Result<Option<String>, Refusal> {
    let Some((token, echo)) = &route.challenge else { return Ok(None) };
    let (token, echo) = match (query.get(token), query.get(echo)) {
        (None, None) => return Ok(None),
        (Some(token), Some(echo)) => (token, echo),
        _ => return Err(Refusal::BadChallenge),
    };
    let wanted = verify_token.filter(|wanted| !wanted.expose().is_empty());
    let wanted = wanted.ok_or(Refusal::NoVerifyToken)?;
    match verify::same(token.as_bytes(), wanted.expose().as_bytes()) {
        true => Ok(Some(echo.clone())),
        false => Err(Refusal::WrongToken),
    }
}

/// The answer of a route that does not answer with a bare 202.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// 200 to 299.
    pub status: u16,
    /// By their names in lower case.
    pub headers: Headers,
    /// With its tokens filled in.
    pub body: String,
}

/// The answer to a call that was taken; `None`: a bare 202.
pub fn ack(route: &IngressRoute, headers: &Headers, body: &[u8]) -> Option<Ack> {
    let (status, own, template) = route.ack.clone()?;
    let body = String::from_utf8_lossy(&filled(&template, route, headers, body)).into_owned();
    Some(Ack { status, headers: own, body })
}

/// A template with `{rawBody}`, `{timestamp}` and `{id}` filled in. What is filled in is not looked at again.
fn filled(template: &str, route: &IngressRoute, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let tokens: [(&str, &[u8]); 3] = [
        ("{rawBody}", body),
        ("{timestamp}", timestamp_of(route, headers).unwrap_or_default().as_bytes()),
        ("{id}", id_of(route, headers).unwrap_or_default().as_bytes()),
    ];
    let (mut text, mut rest) = (vec![], template);
    while let Some(brace) = rest.find('{') {
        text.extend_from_slice(&rest.as_bytes()[..brace]);
        rest = &rest[brace..];
        let (token, value) = tokens
            .iter()
            .find(|(token, _)| rest.starts_with(token))
            .map_or(("{", "{".as_bytes()), |found| *found);
        text.extend_from_slice(value);
        rest = &rest[token.len()..];
    }
    text.extend_from_slice(rest.as_bytes());
    text
}

/// When a call is tried again after `attempts` failed tries, `jitter` in `0.0..1.0` spreads it by a tenth both ways.
/// `None`: it is dead.
pub fn next_try(attempts: u32, now: Timestamp, jitter: f64) -> Option<Timestamp> {
    let index = usize::try_from(attempts.max(1) - 1).ok()?;
    let wait = RETRY_WAITS.get(index)?;
    Some(now.plus(wait.mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0))))
}

#[cfg(test)]
mod tests;
