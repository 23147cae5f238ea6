//! Events of the past, on their way again.

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    DeliveryId, Timestamp,
    delivery::DeliveryState,
    event::EventType,
    log::{DeliveryQuery, ReplaySelection},
};
use gateway::webhooks::Replayed;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{WebhookPath, delivery_id, webhook_of};
use crate::{
    AppState,
    access::{Caller, Operator},
    body::Body,
    error::ApiError,
    words::{DeliveryStateWord, EventWord, FilterTimeText},
};

/// Deliveries of one replay without `limit`.
const REPLAY_DEFAULT: u32 = 1000;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(replay))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReplayEvents, example = json!({"from": 120, "to": 180}))]
struct ReplayBody {
    /// These deliveries, whatever became of them. Cannot be combined with other fields.
    #[schema(max_items = 500, nullable = false)]
    delivery_ids: Option<Vec<String>>,
    /// From this sequence of the session on.
    #[schema(minimum = 1, nullable = false)]
    from: Option<u64>,
    /// Up to this sequence.
    #[schema(minimum = 1, nullable = false)]
    to: Option<u64>,
    /// Only events whose last delivery matches.
    #[schema(nullable = false)]
    filter: Option<ReplayFilter>,
    /// Only events that were never attempted, also those from before the webhook existed.
    #[schema(nullable = false)]
    never_attempted: Option<bool>,
    /// The most deliveries of this call, default 1000.
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
    #[schema(value_type = Option<FilterTimeText>, nullable = false)]
    since: Option<String>,
    #[schema(value_type = Option<FilterTimeText>, nullable = false)]
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
    /// Events that were selected but are waiting already, or are gone.
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
            since: filter.since.as_deref().and_then(Timestamp::parse_filter),
            until: filter.until.as_deref().and_then(Timestamp::parse_filter),
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
/// They leave in lanes of their own, next to the live ones, so nothing that is waiting is disturbed.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/replay", operation_id = "replayEvents", tag = "Deliveries",
    params(WebhookPath), request_body = ReplayBody,
    responses((status = 202, description = "Stored; they leave after first attempts", body = ReplayedBody)),
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
