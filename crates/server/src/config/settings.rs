//! The settings as plain data, and what must hold between them.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use gateway::egress::Authorities;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::{
    ConfigError,
    database::{DatabaseSettings, DatabaseType},
    env::ClockRate,
    http::HttpSettings,
    live::{LiveSettings, McpSettings},
    media::MediaSettings,
    node::NodeSettings,
    queue::{QueueSettings, RedisSettings},
    rates::RateLimit,
    secrets::EnvSecrets,
    size,
    traces::TraceSettings,
};

/// Everything. The fields are explained in `config.default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub server: ServerSettings,
    pub http: HttpSettings,
    pub rate_limit: RateLimit,
    pub data: DataSettings,
    pub database: DatabaseSettings,
    pub node: NodeSettings,
    pub queue: QueueSettings,
    pub redis: RedisSettings,
    pub log: LogSettings,
    pub traces: TraceSettings,
    pub sessions: SessionSettings,
    pub sends: SendSettings,
    pub pacing: PacingSettings,
    pub bulk: BulkSettings,
    pub media: MediaSettings,
    pub webhooks: WebhookSettings,
    pub live: LiveSettings,
    pub mcp: McpSettings,
    pub plugins: PluginSettings,
    pub audit: AuditSettings,
    pub messages: MessageSettings,
    pub stats: StatsSettings,
    pub search: SearchSettings,
    pub automation: AutomationSettings,
    pub whatsapp: WhatsAppSettings,
    #[serde(skip)]
    pub secrets: EnvSecrets,
    /// Only for tests: a clock that runs faster.
    #[serde(skip)]
    pub clock_rate: Option<ClockRate>,
    /// Only for tests: how long rows of received messages are held back.
    #[serde(skip)]
    pub hold_rows: Duration,
    /// Only for tests: the write at which the process ends.
    #[serde(skip)]
    pub failpoint: Option<storage::Failpoint>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    pub role: ServerRole,
    pub host: String,
    pub port: u16,
    pub body_size_limit: String,
    pub cors_origins: Vec<String>,
    pub trusted_proxies: Vec<String>,
    pub docs: bool,
    pub dashboard: DashboardSetting,
    pub base_path: String,
    pub validation_detail: bool,
    pub shutdown_limit_ms: u64,
}

/// Whether the dashboard is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum DashboardSetting {
    /// Where only this machine reaches the gateway.
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "true")]
    On,
    #[serde(rename = "false")]
    Off,
}

impl DashboardSetting {
    /// As the settings write them.
    pub const NAMES: [&str; 3] = ["auto", "true", "false"];
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerRole {
    /// Everything that this process can do.
    All,
    /// It delivers what others stored, and nothing else.
    Worker,
}

impl ServerRole {
    /// As the settings write them.
    pub const NAMES: [&str; 2] = ["all", "worker"];
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    pub dir: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub level: String,
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: one line of text each.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    pub max_concurrent: u32,
    pub restore_concurrency: usize,
    pub device_name: String,
    pub proxy_url_fetch: bool,
    pub lease_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendSettings {
    pub answer_limit_ms: u64,
    pub resend_limit_ms: u64,
    pub simulate_typing: bool,
    pub typing_max_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacingSettings {
    pub enabled: bool,
    pub warmup_schedule: Vec<u32>,
    pub cold_daily_cap: Vec<u32>,
    pub breaker_threshold: u32,
    pub breaker_cooldown_ms: u64,
    pub min_gap_ms: u64,
    pub per_minute: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkSettings {
    pub max_concurrent_batches: u32,
    pub keep_days: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    pub timeout_ms: u64,
    pub retry_delay_ms: u64,
    pub max_per_session: u32,
    pub concurrency: usize,
    pub secret_overlap_hours: u64,
    pub max_payload_bytes: usize,
    pub outbox_retention_days: u64,
    pub failure_retention_days: u64,
    pub stall_limit_ms: u64,
    pub lease_ms: u64,
    pub tls_ca: PathBuf,
    pub ssrf_protect: bool,
    pub allowed_hosts: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSettings {
    pub memory_mb: u64,
    pub hook_timeout_ms: u64,
    pub allow_unsigned_ingress: bool,
    pub base_url: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    pub retention_days: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageSettings {
    pub retention_days: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatsSettings {
    pub cache_ttl_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    pub enabled: bool,
    pub contains: bool,
    pub limit_max: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutomationSettings {
    pub max_per_session: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatsAppSettings {
    pub url: String,
    pub media_url: String,
    pub client_version: String,
}

pub(super) fn range(name: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError(format!("{name}: must be from {least} to {most}, not {value}")))
}

impl Settings {
    /// Checks what the types of the values do not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError(text));
        if self.server.role == ServerRole::Worker && self.database.kind == DatabaseType::Sqlite {
            return fail(
                "server.role: a worker needs DATABASE_TYPE=postgres, because an SQLite file belongs to one process"
                    .into(),
            );
        }
        if self.host().is_none() {
            return fail(format!(
                "server.host: must be an IP address such as 127.0.0.1, not {:?}",
                self.server.host
            ));
        }
        match size::parse(&self.server.body_size_limit) {
            Some(bytes) => range("server.body_size_limit", bytes as u64, 1024, 1 << 30)?,
            None => {
                return fail(format!(
                    "server.body_size_limit: must be bytes, or a number with kb or mb, not {:?}",
                    self.server.body_size_limit
                ));
            }
        }
        self.check_base_path()?;
        self.trusted_proxies()?;
        self.check_http()?;
        self.check_rates()?;
        self.check_secrets()?;
        range("server.shutdown_limit_ms", self.server.shutdown_limit_ms, 100, 600_000)?;
        if !["error", "warn", "info", "debug", "trace"].contains(&self.log.level.as_str()) {
            return fail(format!(
                "log.level: must be error, warn, info, debug or trace, not {:?}",
                self.log.level
            ));
        }
        self.traces()?;
        range("sessions.restore_concurrency", self.sessions.restore_concurrency as u64, 1, 1000)?;
        range("sessions.lease_ms", self.sessions.lease_ms, 1000, 600_000)?;
        range("sends.answer_limit_ms", self.sends.answer_limit_ms, 100, 120_000)?;
        range("sends.resend_limit_ms", self.sends.resend_limit_ms, 60_000, 7 * 86_400_000)?;
        range("sends.typing_max_ms", self.sends.typing_max_ms, 0, 60_000)?;
        self.check_pacing()?;
        range("bulk.keep_days", self.bulk.keep_days, 1, 3650)?;
        self.media.check()?;
        range("webhooks.timeout_ms", self.webhooks.timeout_ms, 100, 120_000)?;
        range("webhooks.retry_delay_ms", self.webhooks.retry_delay_ms, 10, 3_600_000)?;
        range("webhooks.concurrency", self.webhooks.concurrency as u64, 1, 1000)?;
        range("webhooks.secret_overlap_hours", self.webhooks.secret_overlap_hours, 0, 720)?;
        let most = self.webhooks.max_payload_bytes as u64;
        range("webhooks.max_payload_bytes", most, 4096, 64 * 1024 * 1024)?;
        const DAYS_MAX: u64 = 36_500;
        range("webhooks.outbox_retention_days", self.webhooks.outbox_retention_days, 1, DAYS_MAX)?;
        range(
            "webhooks.failure_retention_days",
            self.webhooks.failure_retention_days,
            1,
            DAYS_MAX,
        )?;
        range("webhooks.stall_limit_ms", self.webhooks.stall_limit_ms, 1000, u32::MAX.into())?;
        self.webhook_authorities()?;
        range("webhooks.lease_ms", self.webhooks.lease_ms, 1000, 600_000)?;
        range("plugins.memory_mb", self.plugins.memory_mb, 8, 1024)?;
        range("plugins.hook_timeout_ms", self.plugins.hook_timeout_ms, 50, 30_000)?;
        self.check_live()?;
        range("audit.retention_days", self.audit.retention_days, 1, DAYS_MAX)?;
        range("messages.retention_days", self.messages.retention_days, 0, DAYS_MAX)?;
        let rules = u64::from(self.automation.max_per_session);
        range("automation.max_per_session", rules, 1, 1000)?;
        range("search.limit_max", u64::from(self.search.limit_max), 1, 1000)?;
        range("stats.cache_ttl_ms", self.stats.cache_ttl_ms, 0, 3_600_000)?;
        self.check_database()?;
        self.node_url()?;
        self.check_node()?;
        self.check_queue()?;
        self.whatsapp_url()?;
        self.media_url()?;
        self.client_version()?;
        Ok(())
    }

    /// Authorities that certificates of receivers may be of, in addition to the usual ones.
    pub fn webhook_authorities(&self) -> Result<Option<Authorities>, ConfigError> {
        let path = &self.webhooks.tls_ca;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(format!("webhooks.tls_ca: cannot read {shown}: {error}"))
        })?;
        let read = Authorities::read(&text);
        read.map(Some).map_err(|error| ConfigError(format!("webhooks.tls_ca: {shown} {error}")))
    }

    fn check_pacing(&self) -> Result<(), ConfigError> {
        let pacing = &self.pacing;
        if pacing.warmup_schedule.is_empty() {
            return Err(ConfigError("pacing.warmup_schedule: must name at least one day".into()));
        }
        for cap in &pacing.warmup_schedule {
            range("pacing.warmup_schedule", u64::from(*cap), 1, 100_000)?;
        }
        for cap in &pacing.cold_daily_cap {
            range("pacing.cold_daily_cap", u64::from(*cap), 1, 100_000)?;
        }
        range("pacing.breaker_threshold", u64::from(pacing.breaker_threshold), 1, 1000)?;
        range("pacing.breaker_cooldown_ms", pacing.breaker_cooldown_ms, 1000, 86_400_000)?;
        range("pacing.min_gap_ms", pacing.min_gap_ms, 0, 3_600_000)?;
        range("pacing.per_minute", u64::from(pacing.per_minute), 0, 10_000)
    }

    /// The folder of media files.
    pub fn media_dir(&self) -> PathBuf {
        if self.media.dir.as_os_str().is_empty() {
            return self.data.dir.join("media");
        }
        self.media.dir.clone()
    }

    /// The address to listen on.
    pub fn host(&self) -> Option<IpAddr> {
        self.server.host.parse().ok()
    }

    /// Whether the dashboard is served.
    pub fn dashboard(&self) -> bool {
        match self.server.dashboard {
            DashboardSetting::Auto => self.host().is_some_and(|host| host.is_loopback()),
            DashboardSetting::On => true,
            DashboardSetting::Off => false,
        }
    }

    fn check_base_path(&self) -> Result<(), ConfigError> {
        let path = &self.server.base_path;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        // An empty step would make a redirect to it lead to another host; browsers walk the dots away.
        let step = |step: &str| !["", ".", ".."].contains(&step) && step.chars().all(plain);
        let fits = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(step));
        if path.is_empty() || fits {
            return Ok(());
        }
        let text = format!(
            "server.base_path: must be empty, or a path like /waypost without a slash at its end, not {path:?}"
        );
        Err(ConfigError(text))
    }

    /// Longest request body, in bytes.
    pub fn body_limit_bytes(&self) -> usize {
        size::parse(&self.server.body_size_limit).unwrap_or(25 * 1024 * 1024)
    }

    /// Networks whose `X-Forwarded-For` is believed.
    pub fn trusted_proxies(&self) -> Result<Vec<IpNet>, ConfigError> {
        let read = |text: &String| {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| {
                ConfigError(format!("server.trusted_proxies: {text:?} is no address or network"))
            })
        };
        self.server.trusted_proxies.iter().map(read).collect()
    }

    /// The URL of WhatsApp's chat server, or of a simulated one.
    pub fn whatsapp_url(&self) -> Result<Url, ConfigError> {
        match Url::parse(&self.whatsapp.url) {
            Ok(url) if matches!(url.scheme(), "ws" | "wss") => Ok(url),
            _ => Err(ConfigError(format!(
                "whatsapp.url: must start with wss:// or ws://, not {:?}",
                self.whatsapp.url
            ))),
        }
    }

    /// The media host of a simulated network.
    pub fn media_url(&self) -> Result<Option<Url>, ConfigError> {
        if self.whatsapp.media_url.is_empty() {
            return Ok(None);
        }
        match Url::parse(&self.whatsapp.media_url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(url)),
            _ => Err(ConfigError("whatsapp.media_url: must start with http:// or https://".into())),
        }
    }

    /// The client version to log in with, when it is fixed.
    pub fn client_version(&self) -> Result<Option<(u32, u32, u32)>, ConfigError> {
        let text = self.whatsapp.client_version.as_str();
        if text.is_empty() {
            return Ok(None);
        }
        let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some([a, b, c]) => Ok(Some((*a, *b, *c))),
            _ => Err(ConfigError(format!(
                "whatsapp.client_version: must look like 2.3000.1023, not {text:?}"
            ))),
        }
    }

    /// The file of the key that encrypts secrets at rest.
    pub fn key_file(&self) -> PathBuf {
        if self.data.key_file.as_os_str().is_empty() {
            return self.data.dir.join("master.key");
        }
        self.data.key_file.clone()
    }

    /// How long to finish what is under way after SIGTERM.
    pub fn shutdown_limit(&self) -> Duration {
        Duration::from_millis(self.server.shutdown_limit_ms)
    }
}
