//! `send-bulk`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use domain::{
    SessionId,
    batch::{BatchOptions, ItemDraft},
    phone::Country,
    time::Zone,
};
use gateway::batches::BulkRequest;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    input::{BulkMessage, BulkOptions, batch_id},
    view::{AcceptedBody, ForecastBody, SeenBody, When, Wrong},
};
use crate::{
    AppState,
    access::{OnSession, Operator},
    body::Body,
    error::{ApiError, ErrorBody},
    home,
    messages::{
        result::REPLAYED,
        send::{KeyHeader, key_text},
    },
    query::Query,
    sessions::SessionPath,
};

/// Messages to many recipients.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendBulk, example = json!({
    "messages": [
        {"chatId": "49170111@c.us", "type": "text", "content": {"text": "Hello {{name}}"}, "variables": {"name": "Mia"}},
        {"chatId": "49170222@c.us", "type": "text", "content": {"text": "Hello {{name}}"}, "variables": {"name": "Noa"}}
    ],
    "options": {"delayBetweenMessages": 3000, "randomizeDelay": true}
}))]
pub struct SendBulk {
    /// The messages, at most 10,000.
    #[schema(min_items = 1, max_items = 10000)]
    messages: Vec<BulkMessage>,
    /// Its name, unique in the session; one is made when there is none.
    #[schema(min_length = 1, max_length = 128)]
    batch_id: Option<String>,
    options: Option<BulkOptions>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct SendQuery {
    /// Says what would happen, and sends nothing.
    #[param(nullable = false)]
    dry_run: Option<bool>,
}

/// The answers of the routes that take a batch in.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
pub enum BulkAnswers {
    #[response(status = 200, description = "A dry run: what would happen")]
    Foreseen(ForecastBody),
    #[response(
        status = 202,
        description = "Stored; it is sent from now on, or at its time",
        headers(("Idempotent-Replayed" = bool, description = "`true` when the same request with the same Idempotency-Key was taken in before: nothing new is stored"))
    )]
    Accepted(AcceptedBody),
    #[response(
        status = 400,
        description = "A wrong body, a name that is taken, or a session that is not started"
    )]
    Wrong(ErrorBody),
    #[response(status = 413, description = "The body or a file is too large")]
    TooLarge(ErrorBody),
    #[response(
        status = 422,
        description = "Code IDEMPOTENCY_KEY_REUSED: the key came before with another request"
    )]
    KeyReused(ErrorBody),
    #[response(status = 429, description = "Too many batches of this session are not over")]
    TooMany(ErrorBody),
}

/// Sends to many recipients, at a pace that survives restarts. Either every message is taken in, or none; a message
/// whose variables are missing fails alone, before anything is sent.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-bulk", operation_id = "sendBulk", tag = "Messages",
    params(SessionPath, SendQuery, KeyHeader), request_body = SendBulk, responses(BulkAnswers),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn send_bulk(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    query: Query,
    headers: HeaderMap,
    Body(body): Body<SendBulk>,
) -> Result<Response, ApiError> {
    let dry_run = flag(&query, "dryRun")?.unwrap_or_default();
    let config = home::of_session(&state, on.session).await?;
    let (options, meant_in) = body.options.unwrap_or_default().read(&config)?;
    let mut request = Incoming {
        id: batch_id(body.batch_id.as_deref())?,
        options,
        meant_in,
        home: config.default_country,
        lines: Vec::new(),
        items: Vec::with_capacity(body.messages.len()),
        wrong: Vec::new(),
        dry_run,
        key: key_text(&headers)?,
        seen: None,
    };
    for message in body.messages {
        request.push(message, None);
    }
    request.answer(&state, on.session).await
}

/// A flag of the query.
pub fn flag(query: &Query, name: &str) -> Result<Option<bool>, ApiError> {
    let wrong = || ApiError::problem(format!("{name} must be a boolean value"));
    let text = query.one(name).map_err(|_| wrong())?;
    text.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

/// A batch on its way in.
pub struct Incoming {
    pub id: Option<domain::batch::BatchId>,
    pub options: BatchOptions,
    /// The zone that `scheduledAt` was read in, when it named none.
    pub meant_in: Option<Zone>,
    /// The country whose national form is understood.
    pub home: Option<Country>,
    pub items: Vec<ItemDraft>,
    pub wrong: Vec<Wrong>,
    /// The line of each message of an import.
    pub lines: Vec<u64>,
    pub dry_run: bool,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// How an import was read.
    pub seen: Option<SeenBody>,
}

impl Incoming {
    /// How many messages there were, good and bad.
    pub fn count(&self) -> u32 {
        u32::try_from(self.items.len() + self.wrong.len()).unwrap_or(u32::MAX)
    }

    pub fn push(&mut self, message: BulkMessage, line: Option<u64>) {
        let index = self.count();
        match message.draft(index, self.home) {
            Ok(draft) => {
                self.items.push(draft);
                self.lines.extend(line);
            }
            Err(problems) => self.reject(line, problems),
        }
    }

    pub fn reject(&mut self, line: Option<u64>, problems: Vec<String>) {
        self.wrong.push(Wrong { index: self.count(), line, problems });
        self.lines.extend(line);
    }

    /// Stores it, or says what would happen.
    pub async fn answer(self, state: &AppState, session: SessionId) -> Result<Response, ApiError> {
        let batches = &state.gateway.batches;
        if self.dry_run {
            let foreseen = batches.foresee(session, self.items, &self.options).await?;
            let (seen, when) = (self.seen, When::new(&self.options, self.meant_in));
            let body = ForecastBody::new(foreseen, self.wrong, &self.lines, (seen, when));
            return Ok(Json(body).into_response());
        }
        if !self.wrong.is_empty() {
            return Err(ApiError::invalid(said(self.wrong)));
        }
        let when = When::new(&self.options, self.meant_in);
        let Self { id, items, options, key, seen, .. } = self;
        let request = BulkRequest { id, items, options, key };
        let accepted = batches.create(session, request).await?;
        let replayed = accepted.replayed;
        let body = AcceptedBody::new(session, accepted, &self.lines, (seen, when));
        let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
        if replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

/// Every problem with its place.
fn said(wrong: Vec<Wrong>) -> Vec<String> {
    let place = |wrong: &Wrong| match wrong.line {
        Some(line) => format!("line {line}: "),
        None => format!("messages.{}.", wrong.index),
    };
    wrong
        .iter()
        .flat_map(|one| one.problems.iter().map(move |problem| format!("{}{problem}", place(one))))
        .collect()
}
