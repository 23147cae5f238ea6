//! What a webhook must look like before it is stored.

use std::collections::HashSet;

use domain::webhook::{
    HEADER_VALUE_CHARS_MAX, HEADERS_MAX, RETRY_COUNT_MAX, TLS_CA_CHARS_MAX, URL_CHARS_MAX, Webhook,
};
use url::Url;

use super::WebhookError;
use crate::egress::{Authorities, Egress};

/// Secret lengths, in characters (the contract's).
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=255;

/// The URL: http or https, no user information, not a special address. A name with a dot that does not resolve is
/// accepted: it may exist tomorrow, and it is judged again at each connection.
pub(super) async fn url(text: &str, egress: &Egress) -> Result<(), WebhookError> {
    let refused = |why: &str| WebhookError::Url(why.to_owned());
    if text.chars().count() > URL_CHARS_MAX {
        return Err(refused("url must be shorter than or equal to 2048 characters"));
    }
    let url = Url::parse(text).map_err(|_| refused("url must be a URL address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(refused("url must be a URL address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("url must not contain a user name or password"));
    }
    egress.check_name(&url).await.map_err(|error| WebhookError::Url(error.text))
}
pub(super) fn rest(webhook: &Webhook) -> Result<(), WebhookError> {
    if webhook.events.is_empty() {
        return Err(WebhookError::Events("events must contain at least 1 elements"));
    }
    if webhook
        .secret
        .as_ref()
        .is_some_and(|secret| !SECRET_CHARS.contains(&secret.expose().chars().count()))
    {
        return Err(WebhookError::Secret("secret must be 16 to 255 characters"));
    }
    if webhook.retry_count.is_some_and(|count| count > RETRY_COUNT_MAX) {
        return Err(WebhookError::RetryCount);
    }
    webhook.policy.validate()?;
    webhook.tls_ca.as_deref().map_or(Ok(()), tls_ca)?;
    if let Some(filters) = &webhook.filters {
        filters.validate()?;
        filters.check_events(&webhook.events)?;
    }
    headers(&webhook.headers)
}

fn tls_ca(text: &str) -> Result<(), WebhookError> {
    if text.chars().count() > TLS_CA_CHARS_MAX {
        let why = format!("must be shorter than or equal to {TLS_CA_CHARS_MAX} characters");
        return Err(WebhookError::TlsCa(why));
    }
    let read = Authorities::read(text);
    read.map(|_| ()).map_err(|error| WebhookError::TlsCa(error.to_string()))
}

fn headers(headers: &[(String, String)]) -> Result<(), WebhookError> {
    let refuse = |text: String| Err(WebhookError::Headers(text));
    if headers.len() > HEADERS_MAX {
        return refuse(format!("headers must have at most {HEADERS_MAX} entries"));
    }
    let mut seen = HashSet::new();
    for (name, value) in headers {
        let named =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !named {
            return refuse("headers names must be letters, digits and hyphens".into());
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return refuse(format!("headers must not name {name} twice"));
        }
        let printable = value.chars().all(|c| u32::from(c) <= 0xff && !c.is_control());
        if !printable || value.chars().count() > HEADER_VALUE_CHARS_MAX {
            return refuse(format!(
                "headers value of {name} must be at most 1024 Latin-1 characters"
            ));
        }
    }
    Ok(())
}
