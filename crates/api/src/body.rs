//! Request bodies: read within a limit, parsed, checked against their schema, then typed.
//!
//! A body is read as express reads it: an empty one counts as `{}`, anything but an object of
//! `application/json` is refused. Compressed bodies are refused because the limit could not be held.

use std::borrow::Cow;

use axum::{
    extract::{FromRequest, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use domain::{ChatId, phone::Country};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    ApiOptions, AppState,
    error::{ApiError, echo},
    home,
    incoming::collect,
    schema,
};

/// Longest body of a route that takes no file.
const PLAIN_BYTES_MAX: usize = 1024 * 1024;
/// Routes that take a file in their body, and imports: what follows the session in their path.
const WITH_FILES: [&str; 15] = [
    "/groups/{groupId}/picture",
    "/media/convert/video",
    "/media/convert/voice",
    "/messages/send-audio",
    "/messages/send-bulk",
    "/messages/send-bulk/import",
    "/messages/send-document",
    "/messages/send-image",
    "/messages/send-sticker",
    "/messages/send-text",
    "/messages/send-video",
    "/profile/picture",
    "/status/send-image",
    "/status/send-video",
    "/status/send-voice",
];
/// Routes that take a plugin's package.
const WITH_PACKAGES: [&str; 2] = ["/api/plugins/install", "/api/plugins/{id}/update"];
/// The route that takes an exported installation.
const IMPORT: &str = "/api/infra/import-data";
/// A body that is longer is read into values on a thread of its own.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// Most values, in lists and objects, of one body. Each costs much more in memory than the two bytes it has in the
/// text.
const VALUES_MAX: usize = 100_000;

/// Refuses what needs no look into the body, on every route.
pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if request.uri().to_string().contains("%00") {
        return ApiError::bad_request("The URL contains a NUL character (%00)").into_response();
    }
    if let Err(refused) = check_encoding(request.headers()) {
        return refused.into_response();
    }
    if let Err(refused) = check_framing(request.headers()) {
        let close = [(header::CONNECTION, "close")];
        return (close, refused).into_response();
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // What is too long only for this route is nobody's business before the key was checked.
    let limit = u64::try_from(state.options.body_limit_bytes).unwrap_or(u64::MAX);
    if announced.is_some_and(|length| length > limit) {
        return ApiError::too_large().into_response();
    }
    next.run(request).await
}

fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    for encoding in headers.get_all(header::CONTENT_ENCODING) {
        let encoding = encoding.to_str().unwrap_or("unreadable").trim();
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return Err(unsupported(format!(
                "unsupported content encoding \"{}\"",
                echo(encoding)
            )));
        }
    }
    Ok(())
}

fn unsupported(sentence: String) -> ApiError {
    ApiError::new(axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence)
}

/// The longest body that a route takes.
pub fn limit(extensions: &Extensions, options: &ApiOptions) -> usize {
    let route = extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let of_session = route.strip_prefix("/api/sessions/{sessionId}").unwrap_or("");
    let with_file =
        WITH_FILES.contains(&of_session) || WITH_PACKAGES.contains(&route) || route == IMPORT;
    let most = if with_file { usize::MAX } else { PLAIN_BYTES_MAX };
    most.min(options.body_limit_bytes)
}

/// Framing that says two things, or one that nobody here speaks: another server on the way may read it differently.
fn check_framing(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(ApiError::bad_request("The only transfer coding is chunked"));
    }
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(ApiError::bad_request(
            "Transfer-Encoding and Content-Length must not come together",
        ));
    }
    Ok(())
}

/// A JSON object, not checked yet.
pub struct RawBody(Map<String, Value>);

impl FromRequest<AppState> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let limit = limit(&parts.extensions, &state.options);
        let bytes = collect(&parts.extensions, body, limit, &state.bodies).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        check_content_type(&parts.headers)?;
        let mut body = read(bytes).await?;
        if body.has_bare_number() {
            body.complete(home::of_path(&mut parts, state).await?)?;
        }
        Ok(body)
    }
}

async fn read(bytes: Vec<u8>) -> Result<RawBody, ApiError> {
    if bytes.len() <= AT_ONCE_BYTES_MAX {
        return parse(&bytes);
    }
    // A task that ends without an answer panicked; so does this one then.
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
    parsed.unwrap_or_else(|_| Err(ApiError::bad_request("The request body cannot be read")))
}

fn parse(bytes: &[u8]) -> Result<RawBody, ApiError> {
    if values(bytes) > VALUES_MAX {
        let sentence = format!("The request body holds more than {VALUES_MAX} values");
        return Err(ApiError::bad_request(sentence));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| unreadable(bytes, &error))?;
    if contains_nul(&value) {
        return Err(ApiError::bad_request("The request body contains a NUL character (U+0000)"));
    }
    match value {
        Value::Object(fields) => Ok(RawBody(fields)),
        _ => Err(ApiError::bad_request("The request body must be a JSON object")),
    }
}

fn unreadable(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(match half_of_a_pair(bytes) {
        Some(half) => format!(
            "The request body holds half a surrogate pair ({half}): a character like an emoji was cut in two. Send both \
             halves, or the character itself as UTF-8; whoever shortens texts must not cut inside of a character"
        ),
        None => format!("The request body is not valid JSON: {error}"),
    })
}

/// The first escape in a JSON text that is one half of a pair without the other.
pub fn half_of_a_pair(mut text: &[u8]) -> Option<String> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    while let Some(at) = text.iter().position(|b| *b == b'\\') {
        text = &text[at..];
        text = match (unit(text), text.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => &text[12..],
            (Some(half @ 0xd800..=0xdfff), _) => return Some(format!("\\u{half:04x}")),
            _ => text.get(2..).unwrap_or_default(),
        };
    }
    None
}

/// How many values a JSON text holds, at most: every one but the first of a list or an object follows a comma.
fn values(text: &[u8]) -> usize {
    let (mut count, mut rest) = (0, text);
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b',' | b'[' | b'{')) {
        let found = rest[at];
        rest = &rest[at + 1..];
        if found != b'"' {
            count += 1;
            continue;
        }
        rest = after_quotes(rest);
    }
    count
}

/// What follows the end of a text in quotes.
fn after_quotes(mut text: &[u8]) -> &[u8] {
    while let Some(at) = text.iter().position(|b| matches!(b, b'"' | b'\\')) {
        let escape = text[at] == b'\\';
        text = text.get(at + 1 + usize::from(escape)..).unwrap_or_default();
        if !escape {
            return text;
        }
    }
    &[]
}

/// Fields that may be a phone number as people write it.
const NUMBERS: [&str; 4] = ["chatId", "fromChatId", "toChatId", "contactNumber"];

impl RawBody {
    /// Whether a phone number stands in it that does not begin with a plus: it may mean one of the session's country.
    fn has_bare_number(&self) -> bool {
        let is_bare = |text: &str| !text.contains(['@', '+']) && text.chars().any(char::is_numeric);
        NUMBERS.iter().any(|field| self.text(field).is_some_and(|text| is_bare(&text)))
    }

    /// Writes the numbers of this country with their country code.
    ///
    /// # Errors
    /// 400 with the reason why one is none.
    fn complete(&mut self, home: Option<Country>) -> Result<(), ApiError> {
        if home.is_none() {
            return Ok(());
        }
        for field in NUMBERS {
            let Some(text) = self.text(field) else { continue };
            if text.contains('@') {
                continue;
            }
            let chat = schema::chat_in(&text, home)
                .map_err(|why| ApiError::problem(format!("{field} {why}")))?;
            let number = format!("+{}", chat.user());
            self.0.insert(field.into(), Value::String(number));
        }
        Ok(())
    }

    /// A field that is a text, or a number that will be taken as one.
    pub fn text(&self, field: &str) -> Option<Cow<'_, str>> {
        let value = self.0.get(field)?;
        let text = value.as_str().map(Cow::Borrowed);
        text.or_else(|| schema::number_as_text(value).map(Cow::Owned))
    }

    /// The body as JSON, with its numbers completed.
    pub fn json(&self) -> String {
        serde_json::to_string(&self.0).expect("a JSON value always serialises")
    }

    /// The chat that it is to, where it says one.
    pub fn recipient(&self) -> Option<ChatId> {
        let chat = self.text("chatId").or_else(|| self.text("toChatId"))?;
        schema::chat_in(&chat, None).ok()
    }

    /// Tells this body on this route from others, for idempotent sends.
    pub fn fingerprint(&self, route: &str) -> String {
        domain::idempotency::fingerprint(route, &self.0)
    }

    /// Everything that is in it.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Whether a field is there, null or not.
    pub fn names(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// Whether a field is there and not null.
    pub fn has(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(|value| !value.is_null())
    }

    /// Bytes of a field as JSON; 0 when it is not there.
    pub fn size_of(&self, field: &str) -> usize {
        self.0.get(field).map_or(0, |value| value.to_string().len())
    }

    /// The body as its type, if the schema of that type takes it.
    ///
    /// # Errors
    /// 400 with everything that is wrong.
    pub fn checked<T: DeserializeOwned + ToSchema>(self) -> Result<T, ApiError> {
        let mut value = Value::Object(self.0);
        let problems = schema::check(&T::name(), &mut value);
        if !problems.is_empty() {
            return Err(ApiError::invalid(problems));
        }
        serde_json::from_value(value).map_err(ApiError::problem)
    }
}

/// A value as its type, if the schema of that type takes it; otherwise everything that is wrong with it.
///
/// # Errors
/// The problems.
pub fn checked<T: DeserializeOwned + ToSchema>(mut value: Value) -> Result<T, Vec<String>> {
    let problems = schema::check(&T::name(), &mut value);
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(value).map_err(|error| vec![error.to_string()])
}

/// A checked body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + ToSchema> FromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        Ok(Self(RawBody::from_request(request, state).await?.checked()?))
    }
}

/// For `Option<Option<T>>` fields: keeps `null` (clear) apart from absent (keep).
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given =
        headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or("");
    let mut parts = given.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::bad_request(
            "The Content-Type of the request must be application/json",
        ));
    }
    for part in parts {
        if let Some((name, charset)) = part.split_once('=')
            && name.trim().eq_ignore_ascii_case("charset")
            && !charset.trim_matches(['"', ' ']).eq_ignore_ascii_case("utf-8")
        {
            return Err(unsupported(format!("unsupported charset \"{}\"", echo(charset))));
        }
    }
    Ok(())
}

fn contains_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(contains_nul),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || contains_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_what_stands_in_quotes_is_not() {
        assert_eq!(values(br#"{"a":1,"b":[1,2,3],"c":{}}"#), 7);
        assert_eq!(values(br#"{"a":"x,[{\",,,","b":"\\\\"}"#), 2);
        assert_eq!(values(br#"{"a":"never closed,,,"#), 1);
        assert_eq!(values(br#"{"a":"\"#), 1);
        assert_eq!(values(b""), 0);
    }

    #[test]
    fn half_a_pair_is_found_and_a_whole_one_is_not() {
        let half = |text: &str| half_of_a_pair(text.as_bytes());
        assert_eq!(half(r#"{"text":"cut \ud83d"}"#).as_deref(), Some(r"\ud83d"));
        assert_eq!(half(r#"{"text":"\uDE00 cut"}"#).as_deref(), Some(r"\ude00"));
        assert_eq!(half(r#"{"text":"\ud83d\ud83d\ude00"}"#).as_deref(), Some(r"\ud83d"));
        assert_eq!(half(r#"{"text":"\ud83d\n"}"#).as_deref(), Some(r"\ud83d"));
        for whole in [
            r#"{"text":"\ud83d\ude00"}"#,
            r#"{"text":"\\ud83d"}"#,
            "{\"a\":\"\\",
            "\\u12",
            "\\u+123",
        ] {
            assert_eq!(half(whole), None, "{whole}");
        }
    }

    #[test]
    fn every_route_that_takes_a_file_may_be_long_and_no_other() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let mut with_files = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let content = &operation["requestBody"]["content"];
                let import = !content.is_null() && content.get("application/json").is_none();
                if import || names_a_file(&document, &content["application/json"]["schema"], 0) {
                    with_files
                        .push(path.trim_start_matches("/api/sessions/{sessionId}").to_owned());
                }
            }
        }
        // Its messages are checked one by one, against schemas that the route's own does not name.
        with_files.push("/messages/send-bulk".into());
        with_files.sort();
        with_files.dedup();
        // An update may bring a package too, in the place of the JSON that the document shows.
        let packages: Vec<String> =
            with_files.extract_if(.., |path| path.starts_with("/api/plugins")).collect();
        assert_eq!(packages, WITH_PACKAGES[..1]);
        assert_eq!(with_files, WITH_FILES);
    }

    /// Whether base64 can stand anywhere in a schema.
    fn names_a_file(document: &Value, schema: &Value, depth: usize) -> bool {
        if depth > 12 {
            return false;
        }
        if let Some(path) = schema["$ref"].as_str() {
            let name = path.rsplit('/').next().unwrap();
            return names_a_file(document, &document["components"]["schemas"][name], depth + 1);
        }
        match schema {
            Value::Object(fields) => fields.iter().any(|(name, inner)| {
                let file = ["base64", "thumbnailBase64"].contains(&name.as_str());
                (file && inner.is_object()) || names_a_file(document, inner, depth + 1)
            }),
            Value::Array(items) => items.iter().any(|item| names_a_file(document, item, depth + 1)),
            _ => false,
        }
    }
}
