//! How the lanes stand, and how many deliveries left and waited lately.

use std::time::Duration;

use axum::{Json, extract::State};
use domain::{
    SessionId, Timestamp,
    delivery::{LaneCursor, LaneHead, LaneQuery, LaneStanding, WaitReason},
};
use gateway::webhooks::{RATES_BUCKET, RatePoint};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::read;
use crate::{
    AppState,
    access::{Caller, Operator, Unscoped},
    error::ApiError,
    query::Query,
    words::{EventWord, WaitReasonWord},
};

/// Most lanes of a page, and how many there are without `limit`.
const LANES_MAX: u32 = 200;
const LANES_DEFAULT: u32 = 50;
/// Minutes of rates without `minutes`.
const MINUTES_DEFAULT: u32 = 60;
/// Most of them: so long rates are kept, `RATES_KEPT` of the gateway.
const MINUTES_MAX: u32 = 360;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(rates))
}

/// The delivery of a lane that leaves next.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LaneHead)]
struct LaneHeadBody {
    delivery_id: String,
    #[schema(value_type = EventWord)]
    event: &'static str,
    /// The event's dense number in its session.
    sequence: u64,
    /// How often it was tried.
    attempts: u32,
    /// How the last try failed, in a sentence.
    #[schema(required)]
    last_error: Option<String>,
}

impl From<LaneHead> for LaneHeadBody {
    fn from(head: LaneHead) -> Self {
        Self {
            delivery_id: head.delivery.to_string(),
            event: head.event.as_str(),
            sequence: head.sequence,
            attempts: head.attempts,
            last_error: head.last_error,
        }
    }
}

/// The deliveries of a webhook that keep their order, while some of them wait.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Lane)]
struct LaneBody {
    /// The name of the lane.
    lane: String,
    webhook_id: String,
    url: String,
    session_id: String,
    /// The chat whose deliveries these are; `null` for lanes of a session and of single deliveries.
    #[schema(required)]
    chat_id: Option<String>,
    /// Deliveries that wait, the one under way among them.
    waiting: u64,
    /// When the oldest of their events happened.
    oldest_at: String,
    head: LaneHeadBody,
    #[schema(value_type = WaitReasonWord)]
    why: &'static str,
    /// Until when that holds, where it is known.
    #[schema(required)]
    until: Option<String>,
    /// The worker that has it, in this process or another.
    #[schema(required)]
    owner: Option<String>,
    /// When the worker loses it, unless it renews its lease.
    #[schema(required)]
    lease_until: Option<String>,
}

impl From<LaneStanding> for LaneBody {
    fn from(standing: LaneStanding) -> Self {
        let (owner, lease_until) =
            standing.holder.map(|holder| (holder.owner, holder.until.iso())).unzip();
        Self {
            chat_id: standing.lane.chat_of().map(|chat| chat.to_string()),
            lane: standing.lane.to_string(),
            webhook_id: standing.webhook.to_string(),
            url: standing.url,
            session_id: standing.session.to_string(),
            waiting: standing.waiting,
            oldest_at: standing.oldest.iso(),
            head: standing.head.into(),
            why: standing.reason.as_str(),
            until: standing.until.map(Timestamp::iso),
            owner,
            lease_until,
        }
    }
}

/// A page of the lanes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LanePage)]
struct LanePageBody {
    /// Those that wait longest first.
    lanes: Vec<LaneBody>,
    /// How many lanes there are without paging. With `why`: among the 20,000 that wait longest.
    total: u64,
    /// Brought back as `cursor` for the next page; `null` at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct LanesQuery {
    /// Only of this session.
    #[param(nullable = false)]
    session_id: Option<String>,
    /// Only of this webhook.
    #[param(nullable = false)]
    webhook_id: Option<String>,
    /// Only lanes that stand like this.
    #[param(nullable = false, value_type = Option<WaitReasonWord>)]
    why: Option<String>,
    /// 1 to 200, default 50.
    #[param(nullable = false, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// Which lanes a request is about; refuses sessions and webhooks that the key does not see.
async fn lane_query(
    state: &AppState,
    caller: &Caller<Operator>,
    query: &Query,
) -> Result<LaneQuery, ApiError> {
    query.only(&["sessionId", "webhookId", "why", "limit", "cursor"])?;
    let key = caller.key();
    let session = read(query, "sessionId", |text| text.parse().ok(), "the id of a session")?;
    let webhook = read(query, "webhookId", |text| text.parse().ok(), "the id of a webhook")?;
    let words = WaitReason::ALL.map(WaitReason::as_str).join(", ");
    let reason = read(query, "why", WaitReason::parse, &format!("one of {words}"))?;
    let after = read(query, "cursor", LaneCursor::parse, "a nextCursor of this list")?;
    let sessions: Vec<SessionId> = match session {
        Some(session) => {
            key.check_session(session)?;
            vec![session]
        }
        None => key.allowed_sessions.clone(),
    };
    if let Some(id) = webhook
        && let Some(found) = state.gateway.webhooks.find(id).await?
    {
        key.check_session(found.session)?;
    }
    Ok(LaneQuery { sessions, webhook, reason, after })
}

/// Lists the lanes in which deliveries wait, and what each waits for. Those that wait longest come first; what waits
/// behind the first 20,000 is on no page. That a rate is used up is known of this process alone.
#[utoipa::path(
    get, path = "/api/lanes", operation_id = "listLanes", tag = "Deliveries",
    params(LanesQuery),
    responses(
        (status = 200, description = "A page", body = LanePageBody),
        (status = 400, description = "A wrong query", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn list(
    State(state): State<AppState>,
    caller: Caller<Operator>,
    query: Query,
) -> Result<Json<LanePageBody>, ApiError> {
    let search = lane_query(&state, &caller, &query).await?;
    let limit = query.within("limit", 1..=LANES_MAX)?.unwrap_or(LANES_DEFAULT);
    let page = state.gateway.webhooks.lanes(&search, limit).await?;
    Ok(Json(LanePageBody {
        lanes: page.lanes.into_iter().map(LaneBody::from).collect(),
        total: page.total,
        next_cursor: page.next.map(|next| next.text()),
    }))
}

/// What happened to deliveries in one bucket of time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryRatePoint)]
struct RatePointBody {
    /// When the bucket began.
    at: String,
    /// Deliveries that receivers took, of this process.
    delivered: u64,
    /// Tries that failed, of this process.
    failed: u64,
    /// Deliveries that waited in the ledger at the end of the bucket, of all processes.
    waiting: u64,
    /// How long the oldest of them had waited then.
    oldest_age_ms: u64,
}

impl From<RatePoint> for RatePointBody {
    fn from(point: RatePoint) -> Self {
        Self {
            at: point.at.iso(),
            delivered: point.delivered,
            failed: point.failed,
            waiting: point.waiting,
            oldest_age_ms: millis(point.oldest_age),
        }
    }
}

/// How many deliveries left and waited lately.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryRates)]
struct DeliveryRatesBody {
    /// The length of a bucket.
    bucket_ms: u64,
    /// When the record of this process began. Points before it are zero.
    since: String,
    /// One for every bucket that is over, earliest first; what is not known is zero.
    points: Vec<RatePointBody>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct RatesQuery {
    /// How far back, 1 to 360, default 60.
    #[param(nullable = false, minimum = 1, maximum = 360)]
    minutes: Option<u32>,
}

/// Counts the deliveries that left and waited, ten seconds by ten seconds. What left is counted by the process that is
/// asked, in memory, since its start; what waits is that of the whole ledger.
#[utoipa::path(
    get, path = "/api/lanes/rates", operation_id = "getDeliveryRates", tag = "Deliveries",
    params(RatesQuery),
    responses(
        (status = 200, description = "The points", body = DeliveryRatesBody),
        (status = 400, description = "A wrong query", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "unscoped"])),
)]
async fn rates(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Operator>>,
    query: Query,
) -> Result<Json<DeliveryRatesBody>, ApiError> {
    query.only(&["minutes"])?;
    let minutes = query.within("minutes", 1..=MINUTES_MAX)?.unwrap_or(MINUTES_DEFAULT);
    let rates = &state.gateway.rates;
    let points = rates.last(Duration::from_secs(u64::from(minutes) * 60));
    Ok(Json(DeliveryRatesBody {
        bucket_ms: millis(RATES_BUCKET),
        since: rates.since().iso(),
        points: points.into_iter().map(RatePointBody::from).collect(),
    }))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
