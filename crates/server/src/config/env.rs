//! The environment: OpenWA's names where the meaning is the same, ours for the rest.

use std::time::Duration;

use figment::value::Value;
use serde_json::json;

use super::{ConfigError, DashboardSetting, DatabaseType, Env, ServerRole};
use crate::traces::Sampler;

/// How a variable's text becomes a value.
#[derive(Clone, Copy)]
enum ValueKind {
    Text,
    Number {
        most: u64,
    },
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    List,
    /// Whole numbers with commas between; empty means none, which switches a rule off.
    Numbers,
}

const ANY: ValueKind = ValueKind::Number { most: u32::MAX as u64 };
/// Numbers that may be larger than an address of memory was once.
const BYTES: ValueKind = ValueKind::Number { most: i64::MAX as u64 };
const PORT: ValueKind = ValueKind::Number { most: u16::MAX as u64 };

/// Variable, setting, kind. The defaults file names each variable next to its setting; a test compares.
const TABLE: &[(&str, &str, ValueKind)] = &[
    ("WAYPOST_ROLE", "server.role", ValueKind::Choice(&ServerRole::NAMES)),
    ("WAYPOST_HOST", "server.host", ValueKind::Text),
    ("PORT", "server.port", PORT),
    ("BODY_SIZE_LIMIT", "server.body_size_limit", ValueKind::Text),
    ("CORS_ORIGINS", "server.cors_origins", ValueKind::List),
    ("TRUSTED_PROXIES", "server.trusted_proxies", ValueKind::List),
    ("ENABLE_SWAGGER", "server.docs", ValueKind::Flag),
    ("SERVE_DASHBOARD", "server.dashboard", ValueKind::Choice(&DashboardSetting::NAMES)),
    ("WAYPOST_BASE_PATH", "server.base_path", ValueKind::Text),
    ("VALIDATION_ERROR_DETAIL", "server.validation_detail", ValueKind::Flag),
    ("WAYPOST_SHUTDOWN_LIMIT_MS", "server.shutdown_limit_ms", ANY),
    ("HEADERS_TIMEOUT_MS", "http.headers_timeout_ms", ANY),
    ("REQUEST_TIMEOUT_MS", "http.request_timeout_ms", ANY),
    ("KEEPALIVE_TIMEOUT_MS", "http.keepalive_timeout_ms", ANY),
    ("WAYPOST_WRITE_TIMEOUT_MS", "http.write_timeout_ms", ANY),
    ("WAYPOST_CONNECTIONS_MAX", "http.connections_max", ANY),
    ("WAYPOST_CONNECTIONS_PER_ADDRESS", "http.connections_per_address", ANY),
    ("INFLIGHT_BODY_BUDGET_BYTES", "http.inflight_body_budget_bytes", ANY),
    ("RATE_LIMIT_SHORT_TTL", "rate_limit.short_ttl_ms", ANY),
    ("RATE_LIMIT_SHORT_LIMIT", "rate_limit.short_limit", ANY),
    ("RATE_LIMIT_MEDIUM_TTL", "rate_limit.medium_ttl_ms", ANY),
    ("RATE_LIMIT_MEDIUM_LIMIT", "rate_limit.medium_limit", ANY),
    ("RATE_LIMIT_LONG_TTL", "rate_limit.long_ttl_ms", ANY),
    ("RATE_LIMIT_LONG_LIMIT", "rate_limit.long_limit", ANY),
    ("WAYPOST_WRONG_KEYS_PER_MINUTE", "rate_limit.wrong_keys_per_minute", ANY),
    ("WAYPOST_DATA_DIR", "data.dir", ValueKind::Text),
    ("WAYPOST_KEY_FILE", "data.key_file", ValueKind::Text),
    ("DATABASE_TYPE", "database.type", ValueKind::Choice(&DatabaseType::NAMES)),
    ("DATABASE_NAME", "database.name", ValueKind::Text),
    ("DATABASE_HOST", "database.host", ValueKind::Text),
    ("DATABASE_PORT", "database.port", PORT),
    ("DATABASE_USERNAME", "database.username", ValueKind::Text),
    ("DATABASE_POOL_SIZE", "database.pool_size", ANY),
    ("DATABASE_SSL", "database.ssl", ValueKind::Flag),
    ("DATABASE_SSL_CA", "database.ssl_ca", ValueKind::Text),
    ("POSTGRES_SCHEMA", "database.schema", ValueKind::Text),
    ("NODE_ID", "node.id", ValueKind::Text),
    ("NODE_URL", "node.url", ValueKind::Text),
    ("SESSION_PROXY_TIMEOUT_MS", "node.answer_limit_ms", ANY),
    ("QUEUE_ENABLED", "queue.enabled", ValueKind::Flag),
    ("REDIS_HOST", "redis.host", ValueKind::Text),
    ("REDIS_PORT", "redis.port", PORT),
    ("REDIS_DB", "redis.db", ANY),
    ("REDIS_TLS", "redis.tls", ValueKind::Flag),
    ("REDIS_TLS_CA", "redis.tls_ca", ValueKind::Text),
    ("REDIS_CONNECT_TIMEOUT_MS", "redis.connect_timeout_ms", ANY),
    ("LOG_LEVEL", "log.level", ValueKind::Text),
    ("WAYPOST_LOG_FORMAT", "log.format", ValueKind::Text),
    ("OTEL_SDK_DISABLED", "traces.disabled", ValueKind::Flag),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces.endpoint", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "traces.traces_endpoint", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "traces.protocol", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "traces.timeout_ms", ANY),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "traces.tls_ca", ValueKind::Text),
    ("OTEL_SERVICE_NAME", "traces.service_name", ValueKind::Text),
    ("OTEL_RESOURCE_ATTRIBUTES", "traces.resource_attributes", ValueKind::Text),
    ("OTEL_TRACES_SAMPLER", "traces.sampler", ValueKind::Choice(&Sampler::NAMES)),
    ("OTEL_TRACES_SAMPLER_ARG", "traces.sampler_arg", ValueKind::Text),
    ("MAX_CONCURRENT_SESSIONS", "sessions.max_concurrent", ANY),
    ("SESSION_RESTORE_CONCURRENCY", "sessions.restore_concurrency", ANY),
    ("WAYPOST_DEVICE_NAME", "sessions.device_name", ValueKind::Text),
    ("SESSION_PROXY_URL_FETCH", "sessions.proxy_url_fetch", ValueKind::Flag),
    ("WAYPOST_SESSION_LEASE_MS", "sessions.lease_ms", ANY),
    ("WAYPOST_SEND_ANSWER_LIMIT_MS", "sends.answer_limit_ms", ANY),
    ("MESSAGE_REAPER_GRACE_MS", "sends.resend_limit_ms", ANY),
    ("SIMULATE_TYPING", "sends.simulate_typing", ValueKind::Flag),
    ("SIMULATE_TYPING_MAX_MS", "sends.typing_max_ms", ANY),
    ("SEND_PACING_ENABLED", "pacing.enabled", ValueKind::Flag),
    ("SEND_PACING_WARMUP_SCHEDULE", "pacing.warmup_schedule", ValueKind::Numbers),
    ("SEND_PACING_COLD_DAILY_CAP", "pacing.cold_daily_cap", ValueKind::Numbers),
    ("SEND_PACING_BREAKER_THRESHOLD", "pacing.breaker_threshold", ANY),
    ("SEND_PACING_BREAKER_COOLDOWN_MS", "pacing.breaker_cooldown_ms", ANY),
    ("WAYPOST_PACING_MIN_GAP_MS", "pacing.min_gap_ms", ANY),
    ("WAYPOST_PACING_PER_MINUTE", "pacing.per_minute", ANY),
    ("BULK_MAX_CONCURRENT_BATCHES", "bulk.max_concurrent_batches", ANY),
    ("WAYPOST_BULK_KEEP_DAYS", "bulk.keep_days", ANY),
    ("STORAGE_LOCAL_PATH", "media.dir", ValueKind::Text),
    ("MEDIA_DOWNLOAD_ENABLED", "media.download", ValueKind::Flag),
    ("MEDIA_DOWNLOAD_MAX_BYTES", "media.bytes_max", ANY),
    ("MEDIA_DOWNLOAD_TIMEOUT_MS", "media.fetch_timeout_ms", ANY),
    ("WAYPOST_MEDIA_CONCURRENCY", "media.concurrency", ANY),
    ("MEDIA_CONVERSION_ENABLED", "media.conversion", ValueKind::Flag),
    ("FFMPEG_PATH", "media.ffmpeg", ValueKind::Text),
    ("MEDIA_CONVERSION_TIMEOUT_MS", "media.conversion_timeout_ms", ANY),
    ("MEDIA_CONVERSION_MAX_OUTPUT_BYTES", "media.conversion_bytes_max", ANY),
    ("MEDIA_CONVERSION_CONCURRENCY", "media.conversion_concurrency", ANY),
    ("WAYPOST_MEDIA_PER_SESSION", "media.per_session", ANY),
    ("WAYPOST_MEDIA_SESSION_QUOTA_BYTES", "media.session_quota_bytes", ANY),
    ("WAYPOST_MEDIA_QUOTA_BYTES", "media.quota_bytes", ANY),
    ("STORAGE_IMPORT_MAX_TOTAL_BYTES", "media.import_bytes_max", BYTES),
    ("WAYPOST_MEDIA_FREE_BYTES_MIN", "media.free_bytes_min", ANY),
    ("WEBHOOK_TIMEOUT", "webhooks.timeout_ms", ANY),
    ("WEBHOOK_RETRY_DELAY", "webhooks.retry_delay_ms", ANY),
    ("WEBHOOK_MAX_PER_SESSION", "webhooks.max_per_session", ANY),
    ("WEBHOOK_DISPATCH_CONCURRENCY", "webhooks.concurrency", ANY),
    ("WAYPOST_WEBHOOK_SECRET_OVERLAP_HOURS", "webhooks.secret_overlap_hours", ANY),
    ("WEBHOOK_MAX_PAYLOAD_BYTES", "webhooks.max_payload_bytes", ANY),
    ("WEBHOOK_OUTBOX_RETENTION_DAYS", "webhooks.outbox_retention_days", ANY),
    ("WEBHOOK_FAILURE_RETENTION_DAYS", "webhooks.failure_retention_days", ANY),
    ("WAYPOST_WEBHOOK_STALL_LIMIT_MS", "webhooks.stall_limit_ms", ANY),
    ("WAYPOST_WEBHOOK_LEASE_MS", "webhooks.lease_ms", ANY),
    ("WAYPOST_LIVE_CLIENTS_MAX", "live.clients_max", ANY),
    ("WS_MAX_SOCKETS_PER_KEY", "live.clients_per_key", ANY),
    ("WAYPOST_LIVE_CLIENTS_PER_ADDRESS", "live.clients_per_address", ANY),
    ("WS_RATE_LIMIT_FRAME_PER_SECOND", "live.frames_per_second", ANY),
    ("WS_RATE_LIMIT_FRAME_BURST", "live.frames_burst", ANY),
    ("WS_RATE_LIMIT_HANDSHAKE_MAX", "live.handshakes_max", ANY),
    ("WS_RATE_LIMIT_HANDSHAKE_WINDOW_MS", "live.handshakes_window_ms", ANY),
    ("WAYPOST_WS_STALL_LIMIT_MS", "live.stall_limit_ms", ANY),
    ("MCP_ENABLED", "mcp.enabled", ValueKind::Flag),
    ("MCP_READONLY", "mcp.read_only", ValueKind::Flag),
    ("MCP_RATE_LIMIT_MAX", "mcp.rate_limit_max", ANY),
    ("MCP_RATE_LIMIT_WINDOW_MS", "mcp.rate_limit_window_ms", ANY),
    ("MCP_IP_RATE_LIMIT_MAX", "mcp.ip_rate_limit_max", ANY),
    ("MCP_IP_RATE_LIMIT_WINDOW_MS", "mcp.ip_rate_limit_window_ms", ANY),
    ("MCP_MAX_RESULT_BYTES", "mcp.max_result_bytes", ANY),
    ("WAYPOST_PLUGIN_MEMORY_MB", "plugins.memory_mb", ANY),
    ("WAYPOST_PLUGIN_HOOK_TIMEOUT_MS", "plugins.hook_timeout_ms", ANY),
    ("ALLOW_UNSIGNED_INGRESS", "plugins.allow_unsigned_ingress", ANY),
    ("BASE_URL", "plugins.base_url", ValueKind::Text),
    ("AUDIT_RETENTION_DAYS", "audit.retention_days", ANY),
    ("MESSAGE_RETENTION_DAYS", "messages.retention_days", ANY),
    ("AUTOMATION_MAX_PER_SESSION", "automation.max_per_session", ANY),
    ("SEARCH_ENABLED", "search.enabled", ValueKind::Flag),
    ("SEARCH_CONTAINS_ENABLED", "search.contains", ValueKind::Flag),
    ("SEARCH_LIMIT_MAX", "search.limit_max", ANY),
    ("STATS_CACHE_TTL_MS", "stats.cache_ttl_ms", ANY),
    ("WEBHOOK_TLS_CA", "webhooks.tls_ca", ValueKind::Text),
    ("WEBHOOK_SSRF_PROTECT", "webhooks.ssrf_protect", ValueKind::Flag),
    ("SSRF_ALLOWED_HOSTS", "webhooks.allowed_hosts", ValueKind::List),
    ("WAYPOST_WHATSAPP_URL", "whatsapp.url", ValueKind::Text),
    ("WAYPOST_MEDIA_URL", "whatsapp.media_url", ValueKind::Text),
    ("WAYPOST_CLIENT_VERSION", "whatsapp.client_version", ValueKind::Text),
];

/// Every variable of the table.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _, _)| *name)
}

/// The settings that are set by variables: variable, setting, value.
pub fn overrides(env: Env<'_>) -> Result<Vec<(&'static str, &'static str, Value)>, ConfigError> {
    let mut found = Vec::new();
    for (name, path, kind) in TABLE {
        let empty_counts = matches!(kind, ValueKind::Numbers);
        if let Some(text) = env(name).filter(|text| empty_counts || !text.is_empty()) {
            found.push((*name, *path, parse(name, *kind, &text)?));
        }
    }
    Ok(found)
}

/// The setting that a variable stands for, with a value as a variable would give it.
///
/// # Errors
/// The value is none that the variable may have.
pub fn setting(
    name: &str,
    value: &serde_json::Value,
) -> Result<Option<(&'static str, serde_json::Value)>, ConfigError> {
    let Some((name, path, kind)) = TABLE.iter().find(|(known, _, _)| *known == name) else {
        return Ok(None);
    };
    let Some(text) = value.as_str() else { return Ok(Some((*path, value.clone()))) };
    let parsed = parse(name, *kind, text)?;
    let json = serde_json::to_value(parsed);
    json.map(|json| Some((*path, json))).map_err(|error| ConfigError(format!("{name}: {error}")))
}

/// The variables that decide a setting, each with its setting.
pub fn pinned(env: Env<'_>) -> Vec<(&'static str, &'static str)> {
    let set = TABLE.iter().filter(|(name, _, _)| set(env, name).is_some());
    set.map(|(name, path, _)| (*name, *path)).collect()
}

/// A variable that is set; an empty one is not, as in OpenWA.
pub fn set(env: Env<'_>, name: &str) -> Option<String> {
    env(name).filter(|text| !text.is_empty())
}

fn parse(name: &str, kind: ValueKind, text: &str) -> Result<Value, ConfigError> {
    let json = match kind {
        ValueKind::Text => json!(text),
        ValueKind::Number { most } => match text.trim().parse::<u64>() {
            Ok(number) if number <= most => json!(number),
            _ => {
                return Err(ConfigError(format!(
                    "{name}: must be a whole number from 0 to {most}, not {text:?}"
                )));
            }
        },
        ValueKind::Flag => match text.trim() {
            "true" | "1" => json!(true),
            "false" | "0" => json!(false),
            _ => return Err(ConfigError(format!("{name}: must be true or false, not {text:?}"))),
        },
        ValueKind::Choice(words) => match words.iter().find(|word| **word == text.trim()) {
            Some(word) => json!(word),
            None => {
                let words = words.join(" or ");
                return Err(ConfigError(format!("{name}: must be {words}, not {text:?}")));
            }
        },
        ValueKind::Numbers => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let numbers: Result<Vec<u32>, _> = items.map(str::parse).collect();
            match numbers {
                Ok(numbers) => json!(numbers),
                Err(_) => {
                    return Err(ConfigError(format!(
                        "{name}: must be whole numbers with commas between, not {text:?}"
                    )));
                }
            }
        }
        ValueKind::List => {
            json!(
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>()
            )
        }
    };
    Value::serialize(json).map_err(|error| ConfigError(format!("{name}: {error}")))
}

/// `NODE_ENV=production` hides the docs and the names of wrong fields, unless a file or a variable shows them.
pub fn production_defaults(env: Env<'_>) -> figment::providers::Serialized<serde_json::Value> {
    let production = set(env, "NODE_ENV").as_deref() == Some("production");
    let server =
        if production { json!({ "docs": false, "validation_detail": false }) } else { json!({}) };
    figment::providers::Serialized::defaults(json!({ "server": server }))
}

/// A clock that runs faster than time. Only for tests: they can then wait for days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockRate {
    /// How many times faster, 1 to [`ClockRate::MAX`].
    pub rate: u32,
    /// When both clocks showed the same, epoch milliseconds of real time. Fixed, so that a start after a stop finds the
    /// time that has passed meanwhile.
    pub since_millis: i64,
}

impl ClockRate {
    const NAME: &str = "WAYPOST_CLOCK_RATE";
    /// The highest rate: more would outrun the timers.
    pub const MAX: u32 = 1000;

    fn parse(text: &str) -> Option<Self> {
        let (rate, since) = text.trim().split_once('@')?;
        let rate = rate.parse().ok().filter(|rate| (1..=Self::MAX).contains(rate))?;
        let since_millis = since.parse().ok().filter(|since| *since >= 0)?;
        Some(Self { rate, since_millis })
    }
}

/// `WAYPOST_HOLD_ROWS_MS`: how long the row of each received message is held back. Not in the defaults file: with it a
/// test meets what a slow disk makes rare. An installation that has it by mistake does not start.
pub fn hold_rows(env: Env<'_>) -> Result<Duration, ConfigError> {
    const NAME: &str = "WAYPOST_HOLD_ROWS_MS";
    const SWITCH: &str = "WAYPOST_TEST_SWITCHES";
    let Some(text) = set(env, NAME) else { return Ok(Duration::ZERO) };
    if set(env, SWITCH).as_deref() != Some("true") {
        return Err(ConfigError(format!("{NAME}: only for tests, and only with {SWITCH}=true")));
    }
    let millis =
        text.trim().parse().map_err(|_| ConfigError(format!("{NAME}: not a number: {text:?}")))?;
    Ok(Duration::from_millis(millis))
}

/// `WAYPOST_CLOCK_RATE`, not in the defaults file: no installation has a use for it.
pub fn clock_rate(env: Env<'_>) -> Result<Option<ClockRate>, ConfigError> {
    let Some(text) = set(env, ClockRate::NAME) else { return Ok(None) };
    ClockRate::parse(&text).map(Some).ok_or_else(|| {
        let (name, most) = (ClockRate::NAME, ClockRate::MAX);
        ConfigError(format!(
            "{name}: only for tests; must be 1 to {most}, an @, and the epoch milliseconds from which \
             it counts, not {text:?}"
        ))
    })
}

/// `WAYPOST_FAILPOINT`, not in the defaults file either. An installation that has it by mistake does not start: it
/// would end itself.
pub fn failpoint(env: Env<'_>) -> Result<Option<storage::Failpoint>, ConfigError> {
    const NAME: &str = "WAYPOST_FAILPOINT";
    const SWITCH: &str = "WAYPOST_TEST_SWITCHES";
    let Some(text) = set(env, NAME) else { return Ok(None) };
    if set(env, SWITCH).as_deref() != Some("true") {
        return Err(ConfigError(format!("{NAME}: only for tests, and only with {SWITCH}=true")));
    }
    text.parse().map(Some).map_err(|error| ConfigError(format!("{NAME}: {error}, not {text:?}")))
}
