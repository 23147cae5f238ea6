//! What became of deliveries, and the way to repeat them.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ChatId, DeliveryId, SessionId, Timestamp, WebhookId,
    delivery::{Attempt, DeliveryState},
    event::EventType,
    log::{DeliveryCursor, DeliveryQuery, DeliveryRecord, FailureQuery, ReplaySelection},
    webhook::Webhook,
};
use gateway::webhooks::{RedriveError, Redriven, Replayed};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Access, Admin, Caller, Operator},
    body::Body,
    error::ApiError,
    query::Query,
    words::{DeliveryStateWord, EventWord, IsoTimeText},
};

/// Most rows of a page of the delivery log, and how many there are without `limit`.
const PAGE_MAX: u32 = 100;
const PAGE_DEFAULT: u32 = 50;
/// Dead letters of one redrive without `limit`.
const REDRIVE_DEFAULT: u32 = 100;
/// Deliveries of one replay without `limit`.
const REPLAY_DEFAULT: u32 = 1000;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(failures))
        .routes(routes!(redrive))
        .routes(routes!(replay))
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
    data: Option<serde_json::Value>,
}

/// One try.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryAttempt)]
struct AttemptBody {
    at: String,
    duration_ms: u64,
    /// What the receiver answered.
    #[schema(required)]
    status_code: Option<u16>,
    /// The sort of failure: `status`, `timeout`, `connect`, `dns`, `blocked` or `protocol`; `null` on success.
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
    /// Newest event first.
    deliveries: Vec<DeliveryBody>,
    /// Brought back as `cursor` for the next page; `null` at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A delivery that was given up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryFailure)]
struct FailureBody {
    id: String,
    webhook_id: String,
    session_id: String,
    #[schema(value_type = EventWord)]
    event: &'static str,
    url: String,
    #[schema(required)]
    idempotency_key: Option<String>,
    #[schema(required)]
    delivery_id: Option<String>,
    attempts: u32,
    #[schema(required)]
    last_status_code: Option<u16>,
    last_error: String,
    /// When it was tried last.
    created_at: String,
    /// Whether a redrive would try it: the webhook is switched on and subscribed to the event.
    replayable: bool,
}

impl FailureBody {
    fn new(record: DeliveryRecord, webhook: Option<&Webhook>) -> Self {
        let draft = record.event.draft;
        let last = record.tries.last();
        let error = last.and_then(|attempt| attempt.error.as_ref());
        let subscribed = |webhook: &Webhook| {
            webhook.active && webhook.events.iter().any(|events| events.covers(draft.kind))
        };
        Self {
            // The plain UUID, as other ids of rows.
            id: record.id.uuid().to_string(),
            webhook_id: record.webhook.to_string(),
            session_id: draft.session.to_string(),
            event: draft.kind.as_str(),
            url: record.url,
            attempts: record.attempts,
            last_status_code: last.and_then(|attempt| attempt.status),
            last_error: error.map_or_else(|| "not sent".to_owned(), |error| error.text.clone()),
            created_at: last.map_or(draft.occurred_at, |attempt| attempt.at).iso(),
            replayable: webhook.is_some_and(subscribed),
            idempotency_key: Some(draft.idempotency_key),
            delivery_id: Some(record.id.to_string()),
        }
    }
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
    /// Events that happened at or after this: ISO 8601, or epoch milliseconds.
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
    let millis = text.parse::<i64>().ok().map(Timestamp::from_millis);
    millis.or_else(|| Timestamp::parse_iso(text))
}

fn log_query(query: &Query) -> Result<DeliveryQuery, ApiError> {
    const TIME: &str = "an ISO 8601 time or epoch milliseconds";
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
    // One more than asked for tells whether there is a next page.
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

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct FailuresQuery {
    /// Only of this session.
    #[param(nullable = false)]
    session_id: Option<String>,
    /// 1 to 1000; anything else counts as 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Rows to skip; anything that is no number counts as 0.
    #[param(nullable = false)]
    offset: Option<u32>,
}

/// The sessions that a request is about; `None` when there can be no such session.
fn sessions_of<A: Access>(
    caller: &Caller<A>,
    session: Option<&str>,
) -> Result<Option<Vec<SessionId>>, ApiError> {
    let Some(text) = session else { return Ok(Some(caller.key().allowed_sessions.clone())) };
    match text.parse::<SessionId>() {
        Ok(session) => {
            caller.key().check_session(session)?;
            Ok(Some(vec![session]))
        }
        Err(_) => Ok(None),
    }
}

/// Lists deliveries that were given up, newest event first. Those that were repeated since are not among them.
#[utoipa::path(
    get, path = "/api/webhooks/delivery-failures", operation_id = "listDeliveryFailures", tag = "Deliveries",
    params(FailuresQuery),
    responses((status = 200, description = "Dead letters", body = [FailureBody])),
    security(("X-API-Key" = ["admin"])),
)]
async fn failures(
    State(state): State<AppState>,
    caller: Caller<Admin>,
    query: Query,
) -> Result<Json<Vec<FailureBody>>, ApiError> {
    let session = query.one("sessionId").ok().flatten();
    let Some(sessions) = sessions_of(&caller, session)? else { return Ok(Json(vec![])) };
    let search = FailureQuery { sessions, ..FailureQuery::default() };
    let webhooks = &state.gateway.webhooks;
    let rows = webhooks.failures(&search, query.page()).await?;
    let ids: BTreeSet<WebhookId> = rows.iter().map(|row| row.webhook).collect();
    let mut known = BTreeMap::new();
    for id in ids {
        known.insert(id, webhooks.find(id).await?);
    }
    let present = |row: DeliveryRecord| {
        let webhook = known.get(&row.webhook).and_then(Option::as_ref);
        FailureBody::new(row, webhook)
    };
    Ok(Json(rows.into_iter().map(present).collect()))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RedriveDeliveries, example = json!({"limit": 50}))]
struct RedriveBody {
    #[schema(max_length = 128, nullable = false)]
    session_id: Option<String>,
    #[schema(max_length = 128, nullable = false)]
    webhook_id: Option<String>,
    /// `id` or `deliveryId` of dead letters.
    #[schema(max_items = 500, nullable = false)]
    ids: Option<Vec<String>>,
    /// Default 100.
    #[schema(minimum = 1, maximum = 500, nullable = false)]
    limit: Option<u32>,
}

/// How a redrive went.
#[derive(Serialize, ToSchema)]
#[schema(as = RedriveResult, example = json!({
    "redriven": 3, "delivered": 2, "enqueued": 0, "failed": 1, "skipped": 0, "remaining": 1
}))]
struct RedrivenBody {
    /// Tried now, once each.
    redriven: u64,
    delivered: u64,
    /// Always 0: each is tried before the answer.
    enqueued: u64,
    failed: u64,
    /// The webhook is switched off or no longer subscribed.
    skipped: u64,
    /// Dead letters that fit and are left.
    remaining: u64,
}

impl From<Redriven> for RedrivenBody {
    fn from(done: Redriven) -> Self {
        Self {
            redriven: done.redriven,
            delivered: done.delivered,
            enqueued: 0,
            failed: done.failed,
            skipped: done.skipped,
            remaining: done.remaining,
        }
    }
}

impl From<RedriveError> for ApiError {
    fn from(error: RedriveError) -> Self {
        match error {
            RedriveError::Busy => Self::new(StatusCode::CONFLICT, "A redrive is already running"),
            RedriveError::ShuttingDown => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The gateway is shutting down")
            }
            RedriveError::Store(error) => Self::store(error),
        }
    }
}

fn delivery_id(text: &str) -> Option<DeliveryId> {
    text.parse().ok().or_else(|| format!("dlv_{text}").parse().ok())
}

/// Tries dead letters again, once each: least tried first, then oldest. The idempotency keys stay, the delivery ids are
/// new. One redrive at a time.
#[utoipa::path(
    post, path = "/api/webhooks/delivery-failures/redrive", operation_id = "redriveDeliveryFailures", tag = "Deliveries",
    request_body = RedriveBody,
    responses(
        (status = 200, description = "Tried", body = RedrivenBody),
        (status = 409, description = "Another redrive is running", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin"])),
)]
async fn redrive(
    State(state): State<AppState>,
    caller: Caller<Admin>,
    Body(body): Body<RedriveBody>,
) -> Result<Json<RedrivenBody>, ApiError> {
    let nothing = Json(Redriven::default().into());
    let Some(sessions) = sessions_of(&caller, body.session_id.as_deref())? else {
        return Ok(nothing);
    };
    let webhook = body.webhook_id.map(|text| text.parse::<WebhookId>()).transpose();
    let Ok(webhook) = webhook else { return Ok(nothing) };
    let ids = body.ids.map(|ids| ids.iter().filter_map(|id| delivery_id(id)).collect());
    let query = FailureQuery { sessions, webhook, ids };
    let limit = body.limit.unwrap_or(REDRIVE_DEFAULT);
    Ok(Json(state.gateway.webhooks.redrive(query, limit).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReplayEvents, example = json!({"from": 120, "to": 180}))]
struct ReplayBody {
    /// These deliveries, whatever became of them. Not together with other fields.
    #[schema(max_items = 500, nullable = false)]
    delivery_ids: Option<Vec<String>>,
    /// From this sequence of the session on.
    #[schema(minimum = 1, nullable = false)]
    from: Option<u64>,
    /// Up to this sequence.
    #[schema(minimum = 1, nullable = false)]
    to: Option<u64>,
    /// Only events whose last delivery fits.
    #[schema(nullable = false)]
    filter: Option<ReplayFilter>,
    /// Only events of which no try was ever made, also those from before the webhook existed.
    #[schema(nullable = false)]
    never_attempted: Option<bool>,
    /// Most deliveries of this call, default 1000.
    #[schema(minimum = 1, maximum = 10_000, nullable = false)]
    limit: Option<u32>,
}

/// Which deliveries; every given condition must hold.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReplayFilter {
    #[schema(value_type = Option<DeliveryStateWord>, nullable = false)]
    state: Option<DeliveryState>,
    #[schema(value_type = Option<EventWord>, nullable = false)]
    event: Option<String>,
    #[schema(value_type = Option<IsoTimeText>, nullable = false)]
    since: Option<String>,
    #[schema(value_type = Option<IsoTimeText>, nullable = false)]
    until: Option<String>,
    #[schema(value_type = Option<crate::words::ChatText>, nullable = false)]
    chat_id: Option<String>,
}

/// What a replay stored.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReplayResult, example = json!({"enqueued": 61, "skipped": 2, "nextFrom": null}))]
struct ReplayedBody {
    /// New deliveries that are on their way.
    enqueued: u64,
    /// Events that were meant but wait already, or are gone.
    skipped: u64,
    /// `from` of the next call, when this one reached its limit.
    #[schema(required)]
    next_from: Option<u64>,
}

impl From<Replayed> for ReplayedBody {
    fn from(done: Replayed) -> Self {
        Self { enqueued: done.enqueued, skipped: done.skipped, next_from: done.next }
    }
}

impl ReplayBody {
    fn selection(&self) -> Result<ReplaySelection, ApiError> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err(ApiError::problem("from must not be greater than to"));
        }
        let matching = self.filter.as_ref().map(|filter| DeliveryQuery {
            state: filter.state,
            // `*` means every event.
            event: filter.event.as_deref().and_then(EventType::parse),
            since: filter.since.as_deref().and_then(Timestamp::parse_iso),
            until: filter.until.as_deref().and_then(Timestamp::parse_iso),
            chat: filter.chat_id.as_deref().and_then(|chat| chat.parse().ok()),
            after: None,
        });
        let never_attempted = self.never_attempted == Some(true);
        if matching.is_none() && !never_attempted && self.from.is_none() && self.to.is_none() {
            let words = "one of deliveryIds, from, to, filter and neverAttempted must be given";
            return Err(ApiError::problem(words));
        }
        Ok(ReplaySelection { from: self.from, to: self.to, matching, never_attempted })
    }
}

/// Puts events of the past on their way to a webhook again: the same idempotency keys, new delivery ids, oldest first.
/// They leave in lanes of their own beside the live ones, so nothing that waits is disturbed.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/replay", operation_id = "replayEvents", tag = "Deliveries",
    params(WebhookPath), request_body = ReplayBody,
    responses((status = 202, description = "Stored; they leave behind first tries", body = ReplayedBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn replay(
    State(state): State<AppState>,
    caller: Caller<Operator>,
    Body(body): Body<ReplayBody>,
) -> Result<(StatusCode, Json<ReplayedBody>), ApiError> {
    let webhook = webhook_of(&state, &caller).await?;
    let webhooks = &state.gateway.webhooks;
    let done = if let Some(texts) = &body.delivery_ids {
        let others = body.from.is_some()
            || body.to.is_some()
            || body.filter.is_some()
            || body.never_attempted.is_some();
        if others {
            return Err(ApiError::problem("deliveryIds cannot be combined with other fields"));
        }
        let ids: Vec<DeliveryId> = texts.iter().filter_map(|text| delivery_id(text)).collect();
        let mut done = webhooks.replay_deliveries(&webhook, &ids).await?;
        done.skipped += (texts.len() - ids.len()) as u64;
        done
    } else {
        let limit = body.limit.unwrap_or(REPLAY_DEFAULT);
        webhooks.replay(&webhook, &body.selection()?, limit).await?
    };
    Ok((StatusCode::ACCEPTED, Json(done.into())))
}
