//! Numbers of sessions and messages, and the settings that a dashboard shows.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    Timestamp,
    session::SessionStatus,
    stats::{MessageFlow, StatsBucket},
};
use gateway::stats::{BusyChat, PeriodStats, SessionStats, StatsPeriod};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, OnSession, Unscoped, Viewer},
    error::ApiError,
    query::Query,
    sessions::SessionPath,
    words::SessionStatusWord,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(messages))
        .routes(routes!(of_session))
        .routes(routes!(settings))
}

/// Messages in both directions.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageFlow)]
struct FlowBody {
    sent: u64,
    received: u64,
}

impl From<MessageFlow> for FlowBody {
    fn from(flow: MessageFlow) -> Self {
        Self { sent: flow.sent, received: flow.received }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionNumbers)]
struct SessionNumbersBody {
    /// With a loaded engine.
    active: u64,
    total: u64,
    /// How many sessions have each status; statuses that none has are missing.
    by_status: BTreeMap<String, u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MessageTotals)]
struct MessageTotalsBody {
    sent: u64,
    received: u64,
    failed: u64,
    /// Since the day began, in UTC.
    today: FlowBody,
}

/// Everything at a glance.
#[derive(Serialize, ToSchema)]
#[schema(as = StatsOverview)]
struct StatsOverviewBody {
    sessions: SessionNumbersBody,
    messages: MessageTotalsBody,
}

/// Counts sessions and messages.
#[utoipa::path(
    get, path = "/api/stats/overview", operation_id = "getStatsOverview", tag = "Statistics",
    responses((status = 200, description = "Numbers, at most STATS_CACHE_TTL_MS old", body = StatsOverviewBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn overview(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<StatsOverviewBody>, ApiError> {
    let stats = state.gateway.stats.overview().await?;
    let by_status = stats.sessions.by_status.iter();
    Ok(Json(StatsOverviewBody {
        sessions: SessionNumbersBody {
            active: stats.sessions.active,
            total: stats.sessions.total,
            by_status: by_status.map(|(status, count)| ((*status).to_owned(), *count)).collect(),
        },
        messages: MessageTotalsBody {
            sent: stats.messages.sent,
            received: stats.messages.received,
            failed: stats.failed,
            today: stats.today.into(),
        },
    }))
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsPoint, example = json!({"timestamp": "2026-10-01 08:00:00", "sent": 3, "received": 5}))]
struct PointBody {
    /// In UTC: an hour as `YYYY-MM-DD HH:00:00`, a day as `YYYY-MM-DD`.
    timestamp: String,
    sent: u64,
    received: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsOfSession)]
struct NamedFlowBody {
    session_id: String,
    name: String,
    sent: u64,
    received: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsTopChat)]
struct TopChatBody {
    chat_id: String,
    #[schema(required)]
    chat_name: Option<String>,
    message_count: u64,
    /// The session that has the chat. An addition to OpenWA.
    session_id: String,
}

/// Messages of a period.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessageStats)]
struct MessageStatsBody {
    /// Every hour (24h) or day (7d, 30d) of the period, earliest first.
    time_series: Vec<PointBody>,
    by_type: BTreeMap<String, u64>,
    by_session: Vec<NamedFlowBody>,
    /// The ten chats with the most messages, counted by days of UTC.
    top_chats: Vec<TopChatBody>,
}

impl From<PeriodStats> for MessageStatsBody {
    fn from(stats: PeriodStats) -> Self {
        let point = |(at, flow): (Timestamp, MessageFlow)| PointBody {
            timestamp: bucket_text(at, stats.bucket),
            sent: flow.sent,
            received: flow.received,
        };
        let flow_of = |id| stats.numbers.by_session.iter().find(|(found, _)| *found == id);
        let by_session = stats.names.into_iter().filter_map(|(id, name)| {
            let (_, flow) = flow_of(id)?;
            let (sent, received) = (flow.sent, flow.received);
            Some(NamedFlowBody { session_id: id.to_string(), name, sent, received })
        });
        let top_chat = |chat: BusyChat| TopChatBody {
            chat_id: chat.count.chat.to_string(),
            chat_name: chat.name,
            message_count: chat.count.messages,
            session_id: chat.count.session.to_string(),
        };
        Self {
            by_session: by_session.collect(),
            time_series: stats.numbers.by_time.iter().copied().map(point).collect(),
            by_type: stats.numbers.by_type.iter().cloned().collect(),
            top_chats: stats.top_chats.into_iter().map(top_chat).collect(),
        }
    }
}

/// As OpenWA writes an hour or a day.
fn bucket_text(at: Timestamp, bucket: StatsBucket) -> String {
    let iso = at.iso();
    let (day, time) = iso.split_once('T').unwrap_or((&iso, ""));
    match bucket {
        StatsBucket::Day => day.to_owned(),
        StatsBucket::Hour => format!("{day} {}:00:00", time.get(..2).unwrap_or("00")),
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct PeriodQuery {
    /// `24h` (default), `7d` or `30d`.
    #[param(nullable = false, example = "7d")]
    period: Option<String>,
}

/// Counts the messages of a period.
#[utoipa::path(
    get, path = "/api/stats/messages", operation_id = "getMessageStats", tag = "Statistics",
    params(PeriodQuery),
    responses(
        (status = 200, description = "Numbers, at most STATS_CACHE_TTL_MS old", body = MessageStatsBody),
        (status = 400, description = "No such period", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn messages(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
    query: Query,
) -> Result<Json<MessageStatsBody>, ApiError> {
    let given = query.one("period").map(|text| text.unwrap_or("24h"));
    let period = given.ok().and_then(StatsPeriod::parse);
    let words = "period must be one of the following values: 24h, 7d, 30d";
    let period = period.ok_or_else(|| ApiError::problem(words))?;
    Ok(Json(state.gateway.stats.messages(period).await?.into()))
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsSession)]
struct StatsSessionBody {
    id: String,
    name: String,
    #[schema(value_type = SessionStatusWord)]
    status: SessionStatus,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SessionMessageNumbers)]
struct SessionMessagesBody {
    sent: u64,
    received: u64,
    /// Since the day began, in UTC, in both directions.
    today: u64,
    failed: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionTopChat)]
struct SessionChatBody {
    chat_id: String,
    #[schema(required)]
    chat_name: Option<String>,
    /// Messages of the last 30 days.
    count: u64,
    /// The time of its newest message.
    last_active: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsHour)]
struct HourBody {
    /// The hour of the day in UTC, 0 to 23.
    hour: usize,
    sent: u64,
    received: u64,
}

/// The numbers of one session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionStats)]
struct SessionStatsBody {
    session: StatsSessionBody,
    messages: SessionMessagesBody,
    top_chats: Vec<SessionChatBody>,
    /// The last 24 hours, by the hour of the day.
    hourly_activity: Vec<HourBody>,
}

impl From<SessionStats> for SessionStatsBody {
    fn from(stats: SessionStats) -> Self {
        let session = stats.session.session;
        let chat = |chat: BusyChat| SessionChatBody {
            chat_id: chat.count.chat.to_string(),
            chat_name: chat.name,
            count: chat.count.messages,
            last_active: Timestamp::from_seconds(chat.last_active).iso(),
        };
        let hour = |(hour, flow): (usize, MessageFlow)| HourBody {
            hour,
            sent: flow.sent,
            received: flow.received,
        };
        Self {
            session: StatsSessionBody {
                id: session.id.to_string(),
                name: session.name,
                status: session.status,
            },
            messages: SessionMessagesBody {
                sent: stats.messages.sent,
                received: stats.messages.received,
                today: stats.today,
                failed: stats.failed,
            },
            top_chats: stats.top_chats.into_iter().map(chat).collect(),
            hourly_activity: stats.hourly.into_iter().enumerate().map(hour).collect(),
        }
    }
}

/// Counts the messages of one session.
#[utoipa::path(
    get, path = "/api/stats/sessions/{sessionId}", operation_id = "getSessionStats", tag = "Statistics",
    params(SessionPath),
    responses((status = 200, description = "Numbers", body = SessionStatsBody)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn of_session(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
) -> Result<Json<SessionStatsBody>, ApiError> {
    let stats = state.gateway.stats.of_session(on.session).await?;
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "Session not found");
    Ok(Json(stats.ok_or_else(unknown)?.into()))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GeneralSettings)]
struct GeneralBody {
    /// Where providers and browsers reach this API.
    api_base_url: String,
    /// Sessions that lose their link come back by themselves: always.
    auto_reconnect: bool,
    /// Whether the log holds debug lines.
    debug_mode: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiSettings)]
struct ApiSettingsBody {
    /// Requests of one address in the window; 0 is no limit.
    rate_limit: u32,
    /// The length of that window, seconds.
    rate_limit_window: u64,
    enable_docs: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationSettings)]
struct NotificationsBody {
    /// No mail is sent: subscribe a webhook to the events instead.
    email_enabled: bool,
    notification_email: String,
    /// Failing webhooks tell by the events `webhook.paused` and `webhook.disabled`, and by metrics.
    webhook_alerts: bool,
}

/// How the gateway is set up, as far as a dashboard shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = Settings)]
struct SettingsBody {
    general: GeneralBody,
    api: ApiSettingsBody,
    notifications: NotificationsBody,
}

/// Reads how the gateway is set up. It is changed by its configuration, see `/api/infra/config`.
#[utoipa::path(
    get, path = "/api/settings", operation_id = "getSettings", tag = "Statistics",
    responses((status = 200, description = "The settings", body = SettingsBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn settings(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<SettingsBody>, ApiError> {
    let options = &state.options;
    let window = options.rates.medium;
    Ok(Json(SettingsBody {
        general: GeneralBody {
            api_base_url: options.base_url.clone(),
            auto_reconnect: true,
            debug_mode: options.debug,
        },
        api: ApiSettingsBody {
            rate_limit: window.limit,
            rate_limit_window: window.length.as_secs(),
            enable_docs: options.docs,
        },
        notifications: NotificationsBody {
            email_enabled: false,
            notification_email: String::new(),
            webhook_alerts: true,
        },
    }))
}
