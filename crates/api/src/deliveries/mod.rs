//! What became of deliveries: the log here, dead letters in [`failures`], replays in [`replay`], what waits in
//! [`lanes`].

mod failures;
mod lanes;
mod replay;

use axum::{Json, extract::State};
use domain::{
    ChatId, DeliveryId, Timestamp, WebhookId,
    delivery::{Attempt, DeliveryState},
    event::{EventData, EventType},
    log::{DeliveryCursor, DeliveryQuery, DeliveryRecord},
    webhook::Webhook,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Access, Caller, Operator},
    error::ApiError,
    query::Query,
    words::{DeliveryStateWord, EventWord},
};

/// Most rows of a page of the delivery log, and how many there are without `limit`.
const PAGE_MAX: u32 = 100;
const PAGE_DEFAULT: u32 = 50;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .merge(failures::routes())
        .merge(lanes::routes())
        .merge(replay::routes())
}

/// One event for one webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
struct DeliveryBody {
    id: String,
    webhook_id: String,
    session_id: String,
    event_id: String,
    #[schema(value_type = EventWord)]
    event: &'static str,
    /// The event's dense number in its session.
    sequence: u64,
    #[schema(required)]
    chat_id: Option<String>,
    idempotency_key: String,
    #[schema(value_type = DeliveryStateWord)]
    state: &'static str,
    /// The delivery that this one repeats.
    #[schema(required)]
    replay_of: Option<String>,
    /// When the event happened.
    occurred_at: String,
    /// Every try, oldest first.
    attempts: Vec<AttemptBody>,
    /// The event's data; only when one delivery is asked for.
    #[schema(nullable = false, value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<EventData>,
}

/// One attempt of a delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryAttempt)]
struct AttemptBody {
    at: String,
    duration_ms: u64,
    /// What the receiver answered.
    #[schema(required)]
    status_code: Option<u16>,
    /// The kind of failure: `status`, `timeout`, `connect`, `dns`, `blocked`, `protocol`, `cancelled`, `hook` or
    /// `unsendable`; `null` on success.
    #[schema(required)]
    error_kind: Option<&'static str>,
    /// The failure in a sentence.
    #[schema(required)]
    error: Option<String>,
    /// The first bytes of the answer; only when one delivery is asked for.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    excerpt: Option<String>,
}

impl From<Attempt> for AttemptBody {
    fn from(attempt: Attempt) -> Self {
        Self {
            at: attempt.at.iso(),
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            status_code: attempt.status,
            error_kind: attempt.error.as_ref().map(|error| error.kind.as_str()),
            error: attempt.error.map(|error| error.text),
            excerpt: attempt.excerpt,
        }
    }
}

impl DeliveryBody {
    fn new(record: DeliveryRecord, whole: bool) -> Self {
        let draft = record.event.draft;
        Self {
            id: record.id.to_string(),
            webhook_id: record.webhook.to_string(),
            session_id: draft.session.to_string(),
            event_id: draft.id.to_string(),
            event: draft.kind.as_str(),
            sequence: record.event.sequence,
            chat_id: draft.chat.map(|chat| chat.to_string()),
            idempotency_key: draft.idempotency_key,
            state: record.state.as_str(),
            replay_of: record.replay_of.map(|id| id.to_string()),
            occurred_at: draft.occurred_at.iso(),
            attempts: record.tries.into_iter().map(AttemptBody::from).collect(),
            data: whole.then_some(draft.data),
        }
    }
}

/// A page of the delivery log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryPage)]
struct PageBody {
    /// The deliveries, newest event first.
    deliveries: Vec<DeliveryBody>,
    /// Brought back as `cursor` for the next page; `null` at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct WebhookPath {
    /// The id of the webhook.
    #[param(example = "7f1f6a5c-0b8f-4c0e-9a3e-4f0a8a662f10")]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct DeliveryPath {
    /// The id of the delivery.
    #[param(example = "dlv_7a510c7e-0b8f-4c0e-9a3e-4f0a8a662f10")]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct LogQuery {
    #[param(nullable = false, value_type = Option<DeliveryStateWord>)]
    state: Option<String>,
    #[param(nullable = false, value_type = Option<EventWord>)]
    event: Option<String>,
    /// Events that happened at or after this: ISO 8601, epoch seconds or epoch milliseconds.
    #[param(nullable = false)]
    since: Option<String>,
    /// Events that happened before this.
    #[param(nullable = false)]
    until: Option<String>,
    /// Events in this chat.
    #[param(nullable = false)]
    chat_id: Option<String>,
    /// 1 to 100, default 50.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// A parameter of the query as its type; 400 when it makes no sense.
fn read<T>(
    query: &Query,
    name: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    words: &str,
) -> Result<Option<T>, ApiError> {
    let bad = || ApiError::problem(format!("{name} must be {words}"));
    match query.one(name).map_err(|_| bad())? {
        None | Some("") => Ok(None),
        Some(text) => parse(text).map(Some).ok_or_else(bad),
    }
}

fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_filter(text)
}

fn log_query(query: &Query) -> Result<DeliveryQuery, ApiError> {
    const TIME: &str = "an ISO 8601 time, epoch seconds or epoch milliseconds";
    Ok(DeliveryQuery {
        state: read(
            query,
            "state",
            DeliveryState::parse,
            "pending, delivered, exhausted or dropped",
        )?,
        event: read(query, "event", EventType::parse, "the name of an event")?,
        since: read(query, "since", time, TIME)?,
        until: read(query, "until", time, TIME)?,
        chat: read(query, "chatId", |text| text.parse::<ChatId>().ok(), "a chat")?,
        after: read(query, "cursor", DeliveryCursor::parse, "a nextCursor of this list")?,
    })
}

/// The webhook of the path, if the caller's key sees its session.
async fn webhook_of<A: Access>(state: &AppState, caller: &Caller<A>) -> Result<Webhook, ApiError> {
    let id: WebhookId = caller.id("id")?;
    let webhook = state.gateway.webhooks.find(id).await?.ok_or_else(|| ApiError::unknown(&id))?;
    caller.key().check_session(webhook.session)?;
    Ok(webhook)
}

/// Lists the deliveries of a webhook with every try, newest event first.
#[utoipa::path(
    get, path = "/api/webhooks/{id}/deliveries", operation_id = "listDeliveries", tag = "Deliveries",
    params(WebhookPath, LogQuery),
    responses(
        (status = 200, description = "A page", body = PageBody),
        (status = 400, description = "A wrong query", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn list(
    State(state): State<AppState>,
    caller: Caller<Operator>,
    query: Query,
) -> Result<Json<PageBody>, ApiError> {
    let webhook = webhook_of(&state, &caller).await?;
    let search = log_query(&query)?;
    let limit = query.number("limit").filter(|limit| (1..=PAGE_MAX).contains(limit));
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    // One more than asked for shows whether there is a next page.
    let mut rows = state.gateway.webhooks.deliveries(webhook.id, &search, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let cursor = |last: &DeliveryRecord| {
        let occurred_at = last.event.draft.occurred_at;
        DeliveryCursor { occurred_at, id: last.id }.text()
    };
    let next_cursor = rows.last().filter(|_| more).map(cursor);
    let deliveries = rows.into_iter().map(|row| DeliveryBody::new(row, false)).collect();
    Ok(Json(PageBody { deliveries, next_cursor }))
}

/// Reads one delivery with every try, what the receiver answered, and the event's data.
#[utoipa::path(
    get, path = "/api/deliveries/{id}", operation_id = "getDelivery", tag = "Deliveries",
    params(DeliveryPath),
    responses((status = 200, description = "The delivery", body = DeliveryBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn get(
    State(state): State<AppState>,
    caller: Caller<Operator>,
) -> Result<Json<DeliveryBody>, ApiError> {
    let id: DeliveryId = caller.id("id")?;
    let found = state.gateway.webhooks.delivery(id).await?;
    let record = found.ok_or_else(|| ApiError::unknown(&id))?;
    caller.key().check_session(record.event.draft.session)?;
    Ok(Json(DeliveryBody::new(record, true)))
}

/// `dlv_<uuid>`, or only its UUID.
fn delivery_id(text: &str) -> Option<DeliveryId> {
    text.parse().ok().or_else(|| format!("dlv_{text}").parse().ok())
}
