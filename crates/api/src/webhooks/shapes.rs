//! What webhooks look like on the wire.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Timestamp,
    delivery::{Breaker, Health, PolicyChoice, PolicyDefaults, Schedule, SignatureScheme},
    event::Subscription,
    filter::Filters,
    signature,
    webhook::{LaneOrder, RETRY_COUNT_DEFAULT, Webhook},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    body::nullable,
    words::{BreakerWord, EventWord, FieldWord, OperatorWord, OrderWord, PauseWord, SignatureWord},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateWebhook, example = json!({
    "url": "https://shop.example/hooks/whatsapp", "events": ["message.received", "message.ack"],
    "secret": "0123456789abcdef0123456789abcdef", "headers": {"Authorization": "Bearer shop"},
    "filters": {"conditions": [{"field": "isGroup", "operator": "is", "value": false}]}, "retryCount": 5
}))]
pub(super) struct CreateWebhook {
    /// http or https, without user and password.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    pub(super) url: String,
    /// The events it subscribes to. Default `["message.received"]`.
    #[schema(value_type = Option<Vec<EventWord>>, min_items = 1, nullable = false)]
    pub(super) events: Option<Vec<Subscription>>,
    /// Signs each delivery: `X-OpenWA-Signature` is `sha256=<hex HMAC-SHA256(secret, body)>`.
    #[schema(min_length = 16, max_length = 255)]
    pub(super) secret: Option<String>,
    /// Sent with each delivery: at most 50, names of letters, digits and hyphens.
    #[schema(nullable = false)]
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// Which of the events.
    #[schema(value_type = Option<WebhookFilters>)]
    pub(super) filters: Option<Filters>,
    /// Total attempts, exponential; 0 and 1 are both one. Without it the default policy holds: waits of 5 s, 30 s, 2
    /// min, 10 min, 30 min, 1 h, 2 h, 4 h, then 8 h, up to 72 h.
    #[schema(minimum = 0, maximum = 5, nullable = false)]
    pub(super) retry_count: Option<u8>,
    /// Default `chat`. An addition to OpenWA.
    #[schema(value_type = Option<OrderWord>)]
    pub(super) order: Option<LaneOrder>,
    /// How deliveries are tried. An addition to OpenWA.
    pub(super) policy: Option<PolicyBody>,
    /// Certificates of authorities, PEM text, that may have signed the receiver's certificate, besides the usual
    /// ones. An addition to OpenWA.
    #[schema(min_length = 1, max_length = 16384)]
    pub(super) tls_ca: Option<String>,
}

/// How deliveries are tried; what is absent has its default. An addition to OpenWA.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = WebhookPolicyChoice, example = json!({"attempts": 12, "timeoutMs": 15000, "batchSize": 20}))]
pub(super) struct PolicyBody {
    /// Total attempts; takes precedence over `retryCount`. Default: as many as fit into the horizon.
    #[schema(minimum = 1, maximum = 100)]
    attempts: Option<u32>,
    /// Seconds before the second, third, … attempt; the last repeats. Each 1 to 86,400.
    #[schema(min_items = 1, max_items = 50)]
    schedule: Option<Vec<u32>>,
    /// Milliseconds for one attempt.
    #[schema(minimum = 100, maximum = 60000)]
    timeout_ms: Option<u32>,
    /// Hours from the first attempt to giving up. Default 72.
    #[schema(minimum = 1, maximum = 168)]
    horizon_hours: Option<u32>,
    /// How far waits differ from the schedule, both ways. Default 20, with `retryCount` 10.
    #[schema(minimum = 0, maximum = 50)]
    jitter_percent: Option<u8>,
    /// Most attempts per second. Default: no limit.
    #[schema(minimum = 1, maximum = 1000)]
    rate_per_second: Option<u32>,
    /// Most lanes on the way at once. Default: no limit of its own.
    #[schema(minimum = 1, maximum = 256)]
    concurrency: Option<u32>,
    /// Most events of a lane in one call; more than one make an event `batch` with the envelopes in `data.events`.
    /// Default 1.
    #[schema(minimum = 1, maximum = 100)]
    batch_size: Option<u32>,
    /// The same as `order` next to `policy`, which takes precedence.
    #[schema(value_type = Option<OrderWord>)]
    order: Option<LaneOrder>,
    /// How `webhook-signature` is made. Default `v1`.
    #[schema(value_type = Option<SignatureWord>)]
    signature: Option<SignatureScheme>,
}

impl PolicyBody {
    pub(super) fn order(&self) -> Option<LaneOrder> {
        self.order
    }
}

impl From<PolicyBody> for PolicyChoice {
    fn from(body: PolicyBody) -> Self {
        Self {
            attempts: body.attempts,
            schedule: body.schedule,
            timeout_ms: body.timeout_ms,
            horizon_hours: body.horizon_hours,
            jitter_percent: body.jitter_percent,
            rate_per_second: body.rate_per_second,
            concurrency: body.concurrency,
            batch_size: body.batch_size,
            signature: body.signature.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateWebhook, example = json!({"active": false}))]
pub(super) struct UpdateWebhook {
    /// http or https, without user and password.
    #[schema(min_length = 1, max_length = 2048, format = "uri", nullable = false)]
    pub(super) url: Option<String>,
    #[schema(value_type = Option<Vec<EventWord>>, min_items = 1, nullable = false)]
    pub(super) events: Option<Vec<Subscription>>,
    /// 16 to 255 characters; an empty one or `null` clears it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255, format = "secret-or-empty")]
    pub(super) secret: Option<Option<String>>,
    /// Replaces all headers that are sent with a delivery.
    #[schema(nullable = false)]
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// `null` or no conditions clear them.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<WebhookFilters>)]
    pub(super) filters: Option<Option<Filters>>,
    #[schema(minimum = 0, maximum = 5, nullable = false)]
    pub(super) retry_count: Option<u8>,
    /// An inactive webhook records nothing new and sends nothing.
    #[schema(nullable = false)]
    pub(super) active: Option<bool>,
    #[schema(value_type = Option<OrderWord>)]
    pub(super) order: Option<LaneOrder>,
    /// Replaces the whole policy.
    #[schema(nullable = false)]
    pub(super) policy: Option<PolicyBody>,
    /// An empty one or `null` clears it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 16384)]
    pub(super) tls_ca: Option<Option<String>>,
}

/// Conditions on message events; all must hold.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes domain::filter::Filters to the OpenAPI document")]
pub struct WebhookFilters {
    #[schema(max_items = 20)]
    conditions: Vec<WebhookCondition>,
}

/// A condition on one field.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes domain::filter::FilterCondition to the OpenAPI document")]
struct WebhookCondition {
    #[schema(value_type = FieldWord)]
    field: String,
    #[schema(value_type = OperatorWord)]
    operator: String,
    value: ConditionValue,
    /// Whether capitals matter, for texts. Default false.
    #[schema(nullable = false)]
    case_sensitive: Option<bool>,
}

/// A text, up to 100 texts of which one has to fit, or a flag.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes domain::filter::Operand to the OpenAPI document")]
enum ConditionValue {
    One(String),
    Many(Vec<String>),
    Flag(bool),
}

/// A registered receiver. Its secret and its headers are never shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
pub(super) struct WebhookBody {
    id: String,
    session_id: String,
    url: String,
    #[schema(value_type = Vec<EventWord>)]
    events: Vec<Subscription>,
    #[schema(required, value_type = Option<WebhookFilters>)]
    filters: Option<Filters>,
    active: bool,
    retry_count: u8,
    /// An addition to OpenWA.
    #[schema(value_type = OrderWord)]
    order: LaneOrder,
    policy: InForce,
    health: HealthBody,
    /// Certificates of its own authorities. An addition to OpenWA.
    #[schema(required)]
    tls_ca: Option<String>,
    /// With this the receiver checks signatures of the scheme `v1a`: `whpk_` and base64. An addition to OpenWA.
    #[schema(required)]
    public_key: Option<String>,
    /// The last delivery that succeeded.
    #[schema(required)]
    last_triggered_at: Option<String>,
    created_at: String,
    updated_at: String,
}

/// The policy in force, defaults included. An addition to OpenWA.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookPolicy)]
struct InForce {
    /// Total attempts; `null`: until the horizon.
    #[schema(required)]
    attempts: Option<u32>,
    /// Seconds before the second, third, … attempt, without jitter; the last repeats.
    schedule: Vec<u64>,
    timeout_ms: u64,
    horizon_hours: u64,
    jitter_percent: u8,
    #[schema(required)]
    rate_per_second: Option<u32>,
    #[schema(required)]
    concurrency: Option<u32>,
    batch_size: u32,
    #[schema(value_type = OrderWord)]
    order: LaneOrder,
    #[schema(value_type = SignatureWord)]
    signature: SignatureScheme,
}

impl InForce {
    fn of(webhook: &Webhook, defaults: PolicyDefaults) -> Self {
        let policy = webhook.policy(defaults);
        let schedule = match &policy.schedule {
            Schedule::Listed(waits) => waits.iter().map(Duration::as_secs).collect(),
            Schedule::Doubling(_) => (1..policy.attempts.unwrap_or(1))
                .map(|failures| policy.planned(failures).as_secs())
                .collect(),
        };
        Self {
            attempts: policy.attempts,
            schedule,
            timeout_ms: u64::try_from(policy.timeout.as_millis()).unwrap_or(u64::MAX),
            horizon_hours: policy.horizon.as_secs() / 3600,
            jitter_percent: policy.jitter_percent,
            rate_per_second: policy.rate_per_second,
            concurrency: policy.concurrency,
            batch_size: policy.batch_size,
            order: webhook.order,
            signature: webhook.policy.signature,
        }
    }
}

/// How the receiver is doing. An addition to OpenWA.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookHealth)]
struct HealthBody {
    /// The breaker lets everything out, nothing (`open`), or a few lanes at once (`catch_up`).
    #[schema(value_type = BreakerWord)]
    breaker: &'static str,
    /// When the next probe leaves, while the breaker is open.
    #[schema(required)]
    open_until: Option<String>,
    /// Failures in a row.
    failures: u32,
    /// The first failure after the last success.
    #[schema(required)]
    failing_since: Option<String>,
    /// Since when nothing leaves; what happens meanwhile waits.
    #[schema(required)]
    paused_at: Option<String>,
    #[schema(required, value_type = Option<PauseWord>)]
    pause_reason: Option<&'static str>,
}

impl From<Health> for HealthBody {
    fn from(health: Health) -> Self {
        let open_until = match health.breaker {
            Breaker::Open { until } => Some(until.iso()),
            Breaker::Closed | Breaker::CatchUp { .. } => None,
        };
        Self {
            breaker: health.breaker.as_str(),
            open_until,
            failures: health.streak,
            failing_since: health.failing_since.map(Timestamp::iso),
            paused_at: health.pause.map(|pause| pause.at.iso()),
            pause_reason: health.pause.map(|pause| pause.reason.as_str()),
        }
    }
}

impl WebhookBody {
    pub(super) fn of(webhook: Webhook, defaults: PolicyDefaults) -> Self {
        let policy = InForce::of(&webhook, defaults);
        Self {
            id: webhook.id.to_string(),
            session_id: webhook.session.to_string(),
            active: webhook.active,
            retry_count: webhook.retry_count.unwrap_or(RETRY_COUNT_DEFAULT),
            order: webhook.order,
            policy,
            health: webhook.health.into(),
            public_key: webhook.asymmetric_key().and_then(signature::public_key),
            last_triggered_at: webhook.last_triggered_at.map(Timestamp::iso),
            created_at: webhook.created_at.iso(),
            updated_at: webhook.updated_at.iso(),
            url: webhook.url,
            events: webhook.events,
            filters: webhook.filters,
            tls_ca: webhook.tls_ca,
        }
    }
}
