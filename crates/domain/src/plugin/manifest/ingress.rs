//! The routes that providers call.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Permission;
use crate::plugin::{ManifestError, reading::Fields};

/// The most routes of a plugin.
pub const ROUTES_MAX: usize = 32;
/// How old a signed time may be, unless the route says otherwise.
pub const TOLERANCE_DEFAULT: Duration = Duration::from_secs(300);
/// The largest body, unless the route says otherwise.
pub const BODY_BYTES_DEFAULT: usize = 256 << 10;
/// No route takes a larger body, whatever it says.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of an answer of its own.
const ACK_BYTES_MAX: usize = 64 << 10;
/// Headers of an answer that are the server's to write, or that would act on other pages of the gateway.
const ACK_HEADERS_REFUSED: &[&str] =
    &["connection", "content-length", "set-cookie", "transfer-encoding"];

/// How a provider's call proves where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// HMAC-SHA256 over a template of `{rawBody}`, `{timestamp}` and `{id}`.
    Hmac {
        /// The header with the signature, in lower case.
        header: String,
        /// What is signed.
        template: String,
        /// Base64 instead of hex.
        base64: bool,
        /// What stands before the signature in the header.
        prefix: String,
        /// The header with the time, in seconds; in lower case.
        timestamp_header: Option<String>,
    },
    /// The header holds the instance's secret.
    SharedSecret {
        /// Its name, in lower case.
        header: String,
    },
    /// Standard Webhooks 1.0.
    Standard,
    /// Anybody may call it; the operator has to allow such routes.
    Unsigned,
}

/// One route that providers call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressRoute {
    /// The last part of its path.
    pub route: String,
    /// How calls are checked.
    pub signature: Signature,
    /// How old a signed time may be.
    pub tolerance: Duration,
    /// The header that is the same when a call is sent again, in lower case.
    pub dedup_header: Option<String>,
    /// The same delivery id with another body is another call.
    pub body_mismatch_is_new: bool,
    /// The answer to a GET challenge: the parameter with the token, and the one that is echoed.
    pub challenge: Option<(String, String)>,
    /// Largest body that is taken.
    pub body_bytes_max: usize,
    /// The header whose value orders calls, in lower case.
    pub order_header: Option<String>,
    /// The place in a JSON body whose value orders calls (RFC 6901).
    pub order_pointer: Option<String>,
    /// Calls are refused while the instance's session is not connected.
    pub needs_session: bool,
    /// What is answered instead of a bare 202: status, headers, body.
    pub ack: Option<(u16, BTreeMap<String, String>, String)>,
}

/// Reads the manifest's `ingress`.
pub(super) fn read(
    manifest: &Fields<'_>,
    permissions: &BTreeSet<Permission>,
) -> Result<Vec<IngressRoute>, ManifestError> {
    let list = manifest.objects("ingress")?;
    if !list.is_empty() && !permissions.contains(&Permission::WebhookIngress) {
        return Err(manifest.wrong("ingress", "needs the permission webhook:ingress"));
    }
    if list.len() > ROUTES_MAX {
        return Err(manifest.wrong("ingress", format!("has more than {ROUTES_MAX} routes")));
    }
    let mut names = BTreeSet::new();
    let mut routes = vec![];
    for fields in &list {
        let route = route(fields)?;
        if !names.insert(route.route.clone()) {
            return Err(fields.wrong("route", "names a route that is there already"));
        }
        routes.push(route);
    }
    Ok(routes)
}

fn route(fields: &Fields<'_>) -> Result<IngressRoute, ManifestError> {
    let name = fields.required("route")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.chars().all(plain) || name.chars().all(|c| c == '.') || name.len() > 128 {
        return Err(fields
            .wrong("route", "must be at most 128 letters, digits, dots, dashes and underscores"));
    }
    let signed = fields.object("signature")?.ok_or_else(|| {
        fields.wrong("signature", "is missing: say how calls of this route are checked")
    })?;
    let dedup_header = header(&signed, "dedupHeader")?;
    let order = fields.object("conversationId")?;
    let order_header = order.as_ref().map(|order| header(order, "header")).transpose()?;
    let order_pointer = order.as_ref().map(pointer).transpose()?;
    let response = fields.object("response")?;
    let needs_session = response.as_ref().map(needs_session).transpose()?;
    let ack = response.as_ref().and_then(|response| response.object("ack").transpose());
    Ok(IngressRoute {
        route: name.to_owned(),
        signature: signature(&signed, dedup_header.is_some())?,
        tolerance: tolerance(&signed)?,
        dedup_header,
        body_mismatch_is_new: fields.flag("dedupBodyMismatchAsNew", false)?,
        challenge: fields.object("challenge")?.as_ref().map(challenge).transpose()?,
        body_bytes_max: body_bytes(fields)?,
        order_header: order_header.flatten(),
        order_pointer: order_pointer.flatten(),
        needs_session: needs_session.unwrap_or(false),
        ack: ack.transpose()?.as_ref().map(ack_of).transpose()?,
    })
}

/// The name of a header, in lower case.
fn header(fields: &Fields<'_>, name: &str) -> Result<Option<String>, ManifestError> {
    match fields.filled(name)? {
        Some(text) if !is_header(text) => Err(fields.wrong(name, "is not the name of a header")),
        text => Ok(text.map(str::to_ascii_lowercase)),
    }
}

fn is_header(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn signature(fields: &Fields<'_>, has_id: bool) -> Result<Signature, ManifestError> {
    let needed = || header(fields, "header")?.ok_or_else(|| fields.wrong("header", "is missing"));
    let base64 = match fields.text("encoding")? {
        None | Some("hex") => false,
        Some("base64") => true,
        Some(_) => return Err(fields.wrong("encoding", "must be one of hex, base64")),
    };
    match fields.required("scheme")? {
        "hmac-sha256" => {
            let template = fields.filled("contentTemplate")?.unwrap_or("{rawBody}");
            let timestamp_header = header(fields, "timestampHeader")?;
            for (token, known, from) in [
                ("{timestamp}", timestamp_header.is_some(), "timestampHeader"),
                ("{id}", has_id, "dedupHeader"),
            ] {
                if template.contains(token) && !known {
                    let fault = format!("uses {token}, so {from} must name its header");
                    return Err(fields.wrong("contentTemplate", fault));
                }
            }
            if !template.contains("{rawBody}") {
                let fault = "must contain {rawBody}: otherwise any body would pass";
                return Err(fields.wrong("contentTemplate", fault));
            }
            Ok(Signature::Hmac {
                header: needed()?,
                template: template.to_owned(),
                base64,
                prefix: fields.text("prefix")?.unwrap_or_default().to_owned(),
                timestamp_header,
            })
        }
        "shared-secret" => Ok(Signature::SharedSecret { header: needed()? }),
        "standard-webhooks" => Ok(Signature::Standard),
        "none" => Ok(Signature::Unsigned),
        _ => Err(fields
            .wrong("scheme", "must be one of hmac-sha256, shared-secret, standard-webhooks, none")),
    }
}

fn tolerance(fields: &Fields<'_>) -> Result<Duration, ManifestError> {
    let Some(seconds) = fields.number("toleranceSec")? else { return Ok(TOLERANCE_DEFAULT) };
    let tolerance = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    tolerance.ok_or_else(|| fields.wrong("toleranceSec", "must be more than 0 seconds"))
}

fn body_bytes(fields: &Fields<'_>) -> Result<usize, ManifestError> {
    match fields.whole("maxBodyBytes")? {
        None => Ok(BODY_BYTES_DEFAULT),
        Some(0) => Err(fields.wrong("maxBodyBytes", "must be at least 1")),
        // More is not refused: the route works, and a body that is too large for us is refused when it comes.
        Some(bytes) => Ok(usize::try_from(bytes).unwrap_or(usize::MAX).min(BODY_BYTES_MAX)),
    }
}

fn pointer(fields: &Fields<'_>) -> Result<Option<String>, ManifestError> {
    match fields.text("jsonPointer")? {
        Some(text) if !text.is_empty() && !text.starts_with('/') => {
            Err(fields.wrong("jsonPointer", "must begin with a slash, like /conversation/id"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn challenge(fields: &Fields<'_>) -> Result<(String, String), ManifestError> {
    match fields.text("method")? {
        None | Some("GET") => {}
        Some(_) => return Err(fields.wrong("method", "must be GET")),
    }
    Ok((fields.required("tokenParam")?.to_owned(), fields.required("echoParam")?.to_owned()))
}

fn needs_session(response: &Fields<'_>) -> Result<bool, ManifestError> {
    let gates = response.objects("preflight")?;
    for gate in &gates {
        if gate.required("type")? != "session-alive" {
            return Err(gate.wrong("type", "must be session-alive"));
        }
    }
    Ok(!gates.is_empty())
}

fn ack_of(fields: &Fields<'_>) -> Result<(u16, BTreeMap<String, String>, String), ManifestError> {
    let status = fields.whole("status")?.unwrap_or(200);
    let status = u16::try_from(status).ok().filter(|status| (200..=299).contains(status));
    let status = status.ok_or_else(|| fields.wrong("status", "must be from 200 to 299"))?;
    let mut headers = BTreeMap::new();
    let list = fields.object("headers")?;
    for (name, value) in list.iter().flat_map(Fields::each) {
        let name = name.to_ascii_lowercase();
        let plain = |text: &&str| text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
        let value = value.as_str().filter(plain);
        match value {
            Some(value) if is_header(&name) => headers.insert(name.clone(), value.to_owned()),
            _ => return Err(fields.wrong("headers", "must be names of headers and their texts")),
        };
        if ACK_HEADERS_REFUSED.contains(&name.as_str()) {
            return Err(fields.wrong("headers", format!("must not contain {name}")));
        }
    }
    let body = fields.text("body")?.unwrap_or_default();
    if body.len() > ACK_BYTES_MAX {
        return Err(fields.wrong("body", "is longer than 64 KiB"));
    }
    Ok((status, headers, body.to_owned()))
}
