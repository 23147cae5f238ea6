//! `send-bulk/import`: recipients as CSV or NDJSON. Every line is an item, named as wrong, or without content.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use domain::batch::ITEMS_MAX;
use serde_json::Value;
use utoipa::IntoParams;

use super::{
    decode::decode,
    input::{BulkMessage, BulkOptions, QuietHoursBody, batch_id},
    records::{RECORD_BYTES_MAX, lines},
    send::{BulkAnswers, Incoming, flag},
    table::Table,
    view::SeenBody,
};
use crate::{
    AppState,
    access::{OnSession, Operator},
    body,
    error::ApiError,
    home,
    incoming::collect,
    messages::send::{KeyHeader, key_text},
    query::Query,
    sessions::SessionPath,
};

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ImportQuery {
    /// Says what would happen, and sends nothing.
    #[param(nullable = false)]
    dry_run: Option<bool>,
    /// The text of every line that has none.
    #[param(nullable = false)]
    text: Option<String>,
    /// The name of the batch.
    #[param(nullable = false)]
    batch_id: Option<String>,
    /// 1000 to 60000, default 3000.
    #[param(nullable = false)]
    delay_between_messages: Option<u64>,
    #[param(nullable = false)]
    randomize_delay: Option<bool>,
    #[param(nullable = false)]
    stop_on_error: Option<bool>,
    /// Not before this time, ISO 8601; without an offset in `timeZone`, else in the session's zone.
    #[param(nullable = false)]
    scheduled_at: Option<String>,
    /// Begin and end of quiet hours, `HH:MM`; with `timeZone`.
    #[param(nullable = false)]
    quiet_from: Option<String>,
    #[param(nullable = false)]
    quiet_to: Option<String>,
    /// The time zone, by its IANA name.
    #[param(nullable = false)]
    time_zone: Option<String>,
    #[param(nullable = false)]
    recipient_time_zone: Option<bool>,
}

/// Takes a batch as CSV (`text/csv`, first line names the columns) or NDJSON (`application/x-ndjson`, each line a
/// message as in send-bulk). Columns `chatId` or `phone`, `type`, `text`, `caption`, `url`, `mimetype`, `filename`,
/// `ptt`; every other column is a variable. Commas, semicolons, tabs and a first line `sep=` are understood, and
/// UTF-8, UTF-16 and Windows-1252. Either every line is taken in, or none. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-bulk/import", operation_id = "importBulk", tag = "Messages",
    params(SessionPath, ImportQuery, KeyHeader),
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses(BulkAnswers),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn import(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, http_body) = request.into_parts();
    let format = format(&parts.headers)?;
    let common_text = text(&query, "text")?;
    let config = home::of_session(&state, on.session).await?;
    let (options, meant_in) = options(&query)?.read(&config)?;
    let mut incoming = Incoming {
        id: batch_id(text(&query, "batchId")?.as_deref())?,
        options,
        meant_in,
        home: config.default_country,
        items: vec![],
        wrong: vec![],
        lines: vec![],
        dry_run: flag(&query, "dryRun")?.unwrap_or_default(),
        key: key_text(&parts.headers)?,
        seen: None,
    };
    let limit = state.options.body_limit_bytes;
    let bytes = collect(&parts.extensions, http_body, limit, &state.bodies).await?;
    let decoded = decode(&bytes, charset(&parts.headers).as_deref()).map_err(ApiError::problem)?;
    drop(bytes);
    if let Some(place) = decoded.text.find('\0') {
        let line = lines(&decoded.text[..place]).count().max(1);
        return Err(ApiError::bad_request(format!(
            "The request body contains a NUL character (U+0000) in line {line}"
        )));
    }
    let mut seen = match format {
        Format::Csv => csv(&mut incoming, &decoded.text, common_text.as_deref())?,
        Format::Ndjson => ndjson(&mut incoming, &decoded.text)?,
    };
    seen.encoding = decoded.encoding;
    incoming.seen = Some(seen);
    if incoming.count() == 0 {
        return Err(ApiError::problem("the import has no messages"));
    }
    incoming.answer(&state, on.session).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
    let essence = given.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/csv" => Ok(Format::Csv),
        "application/x-ndjson" | "application/jsonl" | "application/ndjson" => Ok(Format::Ndjson),
        _ => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The Content-Type of an import must be text/csv or application/x-ndjson",
        )),
    }
}

/// The charset that the caller names.
fn charset(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let named = given.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim_matches(['"', ' ']))
    });
    named.map(str::to_owned)
}

fn text(query: &Query, name: &str) -> Result<Option<String>, ApiError> {
    let text = query.one(name);
    let text = text.map_err(|_| ApiError::problem(format!("{name} must be given once")))?;
    Ok(text.map(str::to_owned))
}

fn options(query: &Query) -> Result<BulkOptions, ApiError> {
    let delay = text(query, "delayBetweenMessages")?.map(|text| {
        let millis = text.parse::<u64>().ok().filter(|ms| domain::batch::DELAY_MS.contains(ms));
        millis
            .ok_or_else(|| ApiError::problem("delayBetweenMessages must be between 1000 and 60000"))
    });
    let quiet = match (text(query, "quietFrom")?, text(query, "quietTo")?) {
        (None, None) => None,
        (Some(from), Some(to)) => {
            let zone = text(query, "timeZone")?;
            let time_zone =
                zone.ok_or_else(|| ApiError::problem("timeZone is required with quiet hours"))?;
            let recipient_time_zone = flag(query, "recipientTimeZone")?;
            Some(QuietHoursBody { from, to, time_zone, recipient_time_zone })
        }
        _ => return Err(ApiError::problem("quietFrom and quietTo must be given together")),
    };
    Ok(BulkOptions {
        delay_between_messages: delay.transpose()?,
        randomize_delay: flag(query, "randomizeDelay")?,
        stop_on_error: flag(query, "stopOnError")?,
        scheduled_at: text(query, "scheduledAt")?,
        quiet_hours: quiet,
    })
}

/// Reads the records of a table.
///
/// # Errors
/// Only what makes the rest unreadable; a wrong line is remembered.
fn csv(incoming: &mut Incoming, text: &str, common: Option<&str>) -> Result<SeenBody, ApiError> {
    let mut table = Table::open(text, incoming.home).map_err(ApiError::problem)?;
    let mut seen = SeenBody { separator: Some(table.separator()), ..SeenBody::default() };
    while let Some(row) = table.next_row(common) {
        let (line, message) = row.map_err(ApiError::problem)?;
        take(incoming, line, message, &mut seen)?;
    }
    seen.blank_rows = table.blank_rows();
    Ok(seen)
}

fn ndjson(incoming: &mut Incoming, text: &str) -> Result<SeenBody, ApiError> {
    let mut seen = SeenBody::default();
    for (line, text) in lines(text) {
        if text.trim().is_empty() {
            seen.blank_rows += 1;
        } else if text.len() > RECORD_BYTES_MAX {
            return Err(ApiError::problem(format!("line {line} is too long")));
        } else {
            take(incoming, line, message(text), &mut seen)?;
        }
    }
    Ok(seen)
}

fn take(
    incoming: &mut Incoming,
    line: u64,
    message: Result<BulkMessage, Vec<String>>,
    seen: &mut SeenBody,
) -> Result<(), ApiError> {
    if incoming.count() as usize >= ITEMS_MAX {
        return Err(ApiError::problem(format!("an import holds at most {ITEMS_MAX} messages")));
    }
    seen.records += 1;
    match message {
        Ok(message) => incoming.push(message, Some(line)),
        Err(problems) => incoming.reject(Some(line), problems),
    }
    Ok(())
}

pub(super) fn message(text: &str) -> Result<BulkMessage, Vec<String>> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        vec![match body::half_of_a_pair(text.as_bytes()) {
            Some(half) => {
                format!("holds half a surrogate pair ({half}): a character was cut in two")
            }
            None => format!("is not valid JSON: {error}"),
        }]
    })?;
    if !value.is_object() {
        return Err(vec!["must be a JSON object".into()]);
    }
    body::checked(value)
}
