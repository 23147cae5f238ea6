//! `send-bulk/import`: recipients as CSV or NDJSON, read line by line as they come in.

use axum::{
    body::Body as HttpBody,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use domain::{PhoneNumber, batch::ITEMS_MAX};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

use super::{
    input::{BulkMessage, BulkOptions, QuietHoursBody, batch_id},
    send::{BulkAnswers, Incoming, flag},
};
use crate::{
    AppState,
    access::{OnSession, Operator},
    body,
    error::ApiError,
    incoming::ended_early,
    messages::result::{KeyHeader, key_text},
    query::Query,
    sessions::SessionPath,
};

/// Longest line, in bytes. A file in base64 does not belong into an import: name its URL.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Columns that say what a message is; every other one is a variable.
const FIELDS: [&str; 9] =
    ["chatId", "phone", "type", "text", "caption", "url", "mimetype", "filename", "ptt"];

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
    /// Not before this time, ISO 8601.
    #[param(nullable = false)]
    scheduled_at: Option<String>,
    /// Begin and end of quiet hours, `HH:MM`; with `timeZone`.
    #[param(nullable = false)]
    quiet_from: Option<String>,
    #[param(nullable = false)]
    quiet_to: Option<String>,
    /// An IANA name.
    #[param(nullable = false)]
    time_zone: Option<String>,
    #[param(nullable = false)]
    recipient_time_zone: Option<bool>,
}

/// Takes a batch as CSV (`text/csv`, first line names the columns) or NDJSON (`application/x-ndjson`, each line a message
/// as in send-bulk). Columns `chatId` or `phone`, `type`, `text`, `caption`, `url`, `mimetype`, `filename`, `ptt`; every
/// other column is a variable. Either every line is taken in, or none. An addition to OpenWA.
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
    let (parts, mut http_body) = request.into_parts();
    let format = format(&parts.headers)?;
    let text = text(&query, "text")?;
    let incoming = Incoming {
        id: batch_id(self::text(&query, "batchId")?.as_deref())?,
        options: options(&query)?.read()?,
        items: vec![],
        wrong: vec![],
        lines: vec![],
        dry_run: flag(&query, "dryRun")?.unwrap_or_default(),
        key: key_text(&parts.headers)?,
    };
    let mut reader = Reader { incoming, format, columns: None, text };
    read(&mut reader, &mut http_body, state.options.body_limit_bytes).await?;
    if reader.incoming.count() == 0 {
        return Err(ApiError::problem("the import has no messages"));
    }
    reader.incoming.answer(&state, on.session).await
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

/// Splits the body into lines as it comes in. A line break inside quotes belongs to its CSV record.
async fn read(reader: &mut Reader, body: &mut HttpBody, limit: usize) -> Result<(), ApiError> {
    let (mut record, mut total, mut line, mut began) = (Vec::new(), 0usize, 1u64, 1u64);
    let mut quoted = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(ended_early)?;
        let Some(data) = frame.data_ref() else { continue };
        total += data.len();
        if total > limit {
            return Err(ApiError::too_large());
        }
        for byte in data {
            let ends = *byte == b'\n' && !(quoted && reader.format == Format::Csv);
            match byte {
                b'"' => quoted = !quoted,
                b'\n' => line += 1,
                _ => {}
            }
            if ends {
                reader.record(&record, began)?;
                record.clear();
                (began, quoted) = (line, false);
                continue;
            }
            if record.len() >= LINE_BYTES_MAX {
                return Err(ApiError::problem(format!("line {began} is too long")));
            }
            record.push(*byte);
        }
    }
    reader.record(&record, began)
}

struct Reader {
    incoming: Incoming,
    format: Format,
    columns: Option<Vec<String>>,
    text: Option<String>,
}

impl Reader {
    /// # Errors
    /// Only what makes the rest unreadable; a wrong line is remembered.
    fn record(&mut self, bytes: &[u8], line: u64) -> Result<(), ApiError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| line == 1).unwrap_or(bytes);
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(ApiError::problem(format!("line {line} is not UTF-8")));
        };
        if text.contains('\0') {
            return Err(ApiError::bad_request(
                "The request body contains a NUL character (U+0000)",
            ));
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        if self.format == Format::Csv && self.columns.is_none() {
            return self.header(text);
        }
        if self.incoming.count() as usize >= ITEMS_MAX {
            return Err(ApiError::problem(format!("an import holds at most {ITEMS_MAX} messages")));
        }
        let message = match self.format {
            Format::Csv => self.csv(text),
            Format::Ndjson => ndjson(text),
        };
        match message {
            Ok(message) => self.incoming.push(message, Some(line)),
            Err(problems) => self.incoming.reject(Some(line), problems),
        }
        Ok(())
    }

    fn header(&mut self, text: &str) -> Result<(), ApiError> {
        let columns = cells(text).map_err(ApiError::problem)?;
        let columns: Vec<String> = columns.iter().map(|name| name.trim().to_owned()).collect();
        if !columns.iter().any(|name| name == "chatId" || name == "phone") {
            return Err(ApiError::problem("the first line must name a column chatId or phone"));
        }
        if let Some(twice) = (1..columns.len()).find(|at| columns[..*at].contains(&columns[*at])) {
            let name = crate::error::echo(&columns[twice]);
            return Err(ApiError::problem(format!("the column {name} is there twice")));
        }
        self.columns = Some(columns);
        Ok(())
    }

    fn csv(&self, text: &str) -> Result<BulkMessage, Vec<String>> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let cells = cells(text).map_err(|problem| vec![problem])?;
        if cells.len() != columns.len() {
            return Err(vec![format!("must have {} columns, has {}", columns.len(), cells.len())]);
        }
        let cell = |name: &str| {
            let place = columns.iter().position(|column| column == name)?;
            Some(cells[place].as_str()).filter(|text| !text.is_empty())
        };
        let chat = match (cell("chatId"), cell("phone")) {
            (Some(chat), _) => chat.trim().to_owned(),
            (None, Some(phone)) => {
                let digits: String =
                    phone.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '/')).collect();
                let phone = PhoneNumber::parse(&digits);
                phone
                    .ok_or_else(|| vec!["phone must be a number with its country code".into()])?
                    .chat()
                    .to_string()
            }
            (None, None) => return Err(vec!["chatId should not be empty".into()]),
        };
        let kind = cell("type").unwrap_or("text").trim();
        let mut content = Map::new();
        if kind == "text" {
            let text = cell("text").or(self.text.as_deref());
            content.extend(text.map(|text| ("text".to_owned(), json!(text))));
        } else {
            let mut file = Map::new();
            for name in ["url", "mimetype", "filename"] {
                file.extend(cell(name).map(|text| (name.to_owned(), json!(text))));
            }
            if cell("ptt").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                file.insert("ptt".into(), json!(true));
            }
            content.insert(kind.to_owned(), Value::Object(file));
            let caption = cell("caption").or(self.text.as_deref());
            content.extend(caption.map(|text| ("caption".to_owned(), json!(text))));
        }
        let variables: Map<String, Value> = columns
            .iter()
            .zip(&cells)
            .filter(|(name, _)| !FIELDS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let mut message = json!({ "chatId": chat, "type": kind, "content": content });
        if !variables.is_empty() {
            message["variables"] = Value::Object(variables);
        }
        body::checked(message)
    }
}

fn ndjson(text: &str) -> Result<BulkMessage, Vec<String>> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| vec![format!("is not valid JSON: {error}")])?;
    if !value.is_object() {
        return Err(vec!["must be a JSON object".into()]);
    }
    body::checked(value)
}

/// The cells of one CSV record.
fn cells(text: &str) -> Result<Vec<String>, String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(str::to_owned).collect()),
        Some(Err(_)) => Err("is not valid CSV".into()),
        None => Ok(vec![]),
    }
}
