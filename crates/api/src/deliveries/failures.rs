//! Dead letters, and the contract's redrive.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State};
use domain::{
    SessionId, WebhookId,
    log::{DeliveryRecord, FailureQuery},
    webhook::Webhook,
};
use gateway::webhooks::Redriven;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::delivery_id;
use crate::{
    AppState,
    access::{Access, Admin, Caller},
    body::Body,
    error::ApiError,
    query::Query,
    words::EventWord,
};

/// Dead letters of one redrive without `limit`.
const REDRIVE_DEFAULT: u32 = 100;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(failures)).routes(routes!(redrive))
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
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct FailuresQuery {
    /// Only of this session.
    #[param(nullable = false)]
    session_id: Option<String>,
    /// 1 to 1000; anything else counts as 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Rows to skip; anything that is not a number counts as 0.
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
    /// How many to try at most, default 100.
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
    /// Dead letters that match and are left.
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

/// Attempts dead letters again, once each: least attempted first, then oldest. The idempotency keys stay, the
/// delivery ids are new. One redrive at a time.
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
