//! Settings become parts: the ledger, the engine, the gateway, the router.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use domain::{Clock, Entropy, pacing::PacingRules, port::DeliveryQueue, webhook::Secret};
use gateway::{
    BulkOptions, Gateway, LiveOptions, MediaOptions, Options, PeerOptions, PluginOptions, Ports,
    RetentionOptions, SearchOptions, SendOptions, TraceHeaders, TransferOptions,
    webhooks::WebhookOptions,
};
use storage::{BullQueue, FolderMedia, LedgerStore, MasterKey, RedisOptions, StoreOptions};
use whatsapp::{Engine, EngineOptions, MediaEndpoint};

use crate::{
    config::{ConfigError, DatabaseTarget, ServerRole, Settings},
    first_key, open_link, stores,
    system::{FastClock, SystemClock, SystemEntropy, resident_bytes},
    traces,
};

/// Between two looks of a worker for due lanes: commits happen in other processes and do not wake it.
const WORKER_SWEEP: Duration = Duration::from_millis(500);
/// Longest time between two looks for sessions whose process died.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);

/// What runs, and what has to be closed at the end.
pub struct AssembledGateway {
    pub gateway: Gateway,
    /// The ledger under it.
    pub store: LedgerStore,
    /// The shared queue in Redis, if there is one.
    pub shared: Option<BullQueue>,
    /// The first admin key, if it was made by this start.
    pub first_key: Option<String>,
}

impl AssembledGateway {
    /// A link that logs a browser in with the first admin key; none when that was made by an earlier start.
    pub async fn first_link(&self, base: &str) -> anyhow::Result<Option<String>> {
        let Some(text) = &self.first_key else { return Ok(None) };
        let keys = &self.gateway.api_keys;
        let key = keys.authenticate(text, None, &|_| {}).await?;
        let link = keys.login_link(key.id).await?;
        Ok(Some(open_link::of_token(base, &link.text)))
    }
}

/// Opens the database that the settings name, and brings its tables up to date.
pub async fn open_store(settings: &Settings) -> anyhow::Result<LedgerStore> {
    let dir = &settings.data.dir;
    private_folder(dir).with_context(|| format!("data.dir: cannot create {}", dir.display()))?;
    let master_key = master_key(settings)?;
    let mut options = match settings.database() {
        DatabaseTarget::Sqlite(file) => StoreOptions::new(file, master_key),
        DatabaseTarget::Postgres(target) => StoreOptions {
            readers: target.pool_size,
            ..StoreOptions::postgres(stores::postgres_options(target), master_key)
        },
    };
    if settings.failpoint.is_some() {
        tracing::warn!("WAYPOST_FAILPOINT: this process ends itself. Only for tests");
    }
    options.entropy = Arc::new(SystemEntropy);
    options.failpoint.clone_from(&settings.failpoint);
    Ok(LedgerStore::open(options).await?)
}

/// A folder that only its owner may look into: made so, and made so again where it is the program's own. One that
/// others may write to was set up by somebody for a reason, and is left as it is.
fn private_folder(dir: &Path) -> std::io::Result<()> {
    let existed = dir.is_dir();
    std::fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(dir)?.permissions().mode() & 0o777;
        if (!existed || mode == 0o755)
            && let Err(error) =
                std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the data folder stays open to other users of this machine");
        }
    }
    Ok(())
}

/// The queue that processes share, where one is set.
async fn shared_queue(
    settings: &Settings,
    store: &LedgerStore,
    lease: Duration,
) -> anyhow::Result<Option<BullQueue>> {
    let Some(redis) = settings.redis() else { return Ok(None) };
    let options = RedisOptions { lock: lease, ..stores::redis_options(redis)? };
    let ledger = Arc::new(store.clone());
    Ok(Some(BullQueue::start(ledger, options, clock(settings)).await.context("redis")?))
}

fn master_key(settings: &Settings) -> anyhow::Result<MasterKey> {
    let worker = settings.server.role == ServerRole::Worker;
    match &settings.secrets.master_key {
        Some(text) => Ok(MasterKey::from_hex_or_base64(text).context("WAYPOST_MASTER_KEY")?),
        None if worker && !settings.key_file().is_file() => Err(ConfigError(
            "WAYPOST_MASTER_KEY: a worker needs the master key of the processes it delivers for"
                .into(),
        )
        .into()),
        None => Ok(MasterKey::load_or_create(&settings.key_file(), &SystemEntropy)
            .context("data.key_file")?),
    }
}

/// The engine that connects to the network the settings name.
fn engine(settings: &Settings, store: &LedgerStore) -> anyhow::Result<Engine> {
    let mut options = EngineOptions {
        chat_url: settings.whatsapp_url()?,
        device_name: settings.sessions.device_name.clone(),
        hold_rows: settings.hold_rows,
        file_bytes_max: settings.media.bytes_max,
        ..EngineOptions::default()
    };
    if let Some(version) = settings.client_version()? {
        options.client_version = version;
    }
    if let Some(base) = settings.media_url()? {
        options.media = MediaEndpoint::Mapped { base };
    }
    Ok(Engine::new(options, Arc::new(store.clone()), Arc::new(SystemClock))?)
}

/// Plugins run in processes of this very program.
fn plugin_engine() -> anyhow::Result<plugins::Engine> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(plugins::Engine::new(program, vec![crate::PLUGIN_CHILD.into()]))
}

/// Where the API is reached from outside, without a slash at the end.
fn base_url(settings: &Settings) -> String {
    let base = settings.plugins.base_url.trim_end_matches('/');
    match base.is_empty() {
        true => format!("http://localhost:{}", settings.server.port),
        false => base.to_owned(),
    }
}

fn plugin_options(settings: &Settings) -> PluginOptions {
    let plugins = &settings.plugins;
    PluginOptions {
        memory_bytes: plugins.memory_mb << 20,
        hook_limit: Duration::from_millis(plugins.hook_timeout_ms),
        unsigned_ingress: plugins.allow_unsigned_ingress,
        base_url: base_url(settings),
        ..PluginOptions::default()
    }
}

fn media_files(settings: &Settings) -> anyhow::Result<FolderMedia> {
    let dir = settings.media_dir();
    FolderMedia::open(&dir).with_context(|| format!("media.dir: cannot use {}", dir.display()))
}

/// The clock of the rules. The engine keeps the real one: the network's times are real.
fn clock(settings: &Settings) -> Arc<dyn Clock> {
    match settings.clock_rate {
        Some(rate) => Arc::new(FastClock::announced(rate)),
        None => Arc::new(SystemClock),
    }
}

/// All ports, on the real clock, the real randomness and one store.
fn ports(
    settings: &Settings,
    store: &LedgerStore,
    shared: Option<&BullQueue>,
) -> anyhow::Result<Ports> {
    let queue: Arc<dyn DeliveryQueue> = match shared {
        Some(queue) => Arc::new(queue.clone()),
        None => Arc::new(store.clone()),
    };
    Ok(Ports {
        clock: clock(settings),
        entropy: Arc::new(SystemEntropy),
        store: Arc::new(store.clone()),
        queue,
        media_files: Arc::new(media_files(settings)?),
        whatsapp: Arc::new(engine(settings, store)?),
        plugins: Arc::new(plugin_engine()?),
    })
}

/// Builds and starts everything but the HTTP server.
pub async fn build(settings: &Settings) -> anyhow::Result<AssembledGateway> {
    let store = open_store(settings).await?;
    let options = options(settings)?;
    let shared = shared_queue(settings, &store, options.webhooks.lease).await?;
    let gateway = Gateway::start(options, ports(settings, &store, shared.as_ref())?).await?;
    if let Some(queue) = &shared {
        let webhooks = gateway.webhooks.clone();
        queue.watch(Arc::new(move || webhooks.wake()));
    }
    if settings.server.role == ServerRole::Worker {
        // Keys are made where they are used.
        return Ok(AssembledGateway { gateway, store, shared, first_key: None });
    }
    let first_key =
        gateway.api_keys.ensure_admin(settings.secrets.api_master_key.as_deref()).await?;
    if let Some(key) = &first_key {
        write_first_key(&settings.data.dir, key)?;
    }
    Ok(AssembledGateway { gateway, store, shared, first_key })
}

fn write_first_key(dir: &Path, key: &str) -> anyhow::Result<()> {
    first_key::write(dir, key).with_context(|| {
        format!("data.dir: cannot write {}", dir.join(first_key::FILE_NAME).display())
    })
}

fn options(settings: &Settings) -> anyhow::Result<Options> {
    let webhooks = &settings.webhooks;
    let millis = Duration::from_millis;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let worker = settings.server.role == ServerRole::Worker;
    Ok(Options {
        role: if worker { gateway::Role::Worker } else { gateway::Role::All },
        // A fresh name at each start: a lease of an earlier life of this process is not ours.
        node: node_name(settings.node_id(), &SystemEntropy),
        peers: peers(settings)?,
        max_concurrent_sessions: settings.sessions.max_concurrent,
        restore_concurrency: settings.sessions.restore_concurrency,
        session_lease: millis(settings.sessions.lease_ms),
        takeover_interval: TAKEOVER_MAX.min(millis(settings.sessions.lease_ms / 6)),
        sends: sends(settings),
        bulk: BulkOptions {
            unfinished_max: settings.bulk.max_concurrent_batches,
            kept: Duration::from_secs(settings.bulk.keep_days * 86_400),
            ..BulkOptions::default()
        },
        media: MediaOptions {
            bytes_max: settings.media.bytes_max,
            fetch_limit: millis(settings.media.fetch_timeout_ms),
            download: settings.media.download,
            concurrency: settings.media.concurrency,
            convert: settings.media.convert(),
            per_session: settings.media.per_session,
            session_quota_bytes: settings.media.session_quota_bytes,
            quota_bytes: settings.media.quota_bytes,
            free_bytes_min: settings.media.free_bytes_min,
        },
        shutdown_limit: settings.shutdown_limit(),
        // Without traces no span has a name outside.
        traces: TraceHeaders::new(traces::context),
        key_pepper: settings.secrets.api_key_pepper.clone().map(Secret::new),
        live: LiveOptions {
            clients_max: settings.live.clients_max,
            clients_per_key: settings.live.clients_per_key,
            clients_per_address: settings.live.clients_per_address,
            ..LiveOptions::default()
        },
        plugins: plugin_options(settings),
        retention: RetentionOptions {
            events: days(webhooks.outbox_retention_days),
            failures: days(webhooks.failure_retention_days),
            audit: days(settings.audit.retention_days),
            messages: Some(settings.messages.retention_days).filter(|kept| *kept > 0).map(days),
            ..RetentionOptions::default()
        },
        automation_rules_max: settings.automation.max_per_session,
        transfer: TransferOptions {
            folder: settings.data.dir.join("import"),
            bytes_max: settings.media.import_bytes_max,
        },
        search: SearchOptions {
            enabled: settings.search.enabled,
            contains: settings.search.contains,
            limit_max: settings.search.limit_max,
        },
        stats_kept: millis(settings.stats.cache_ttl_ms),
        stall_limit: millis(webhooks.stall_limit_ms),
        webhooks: WebhookOptions {
            timeout: millis(webhooks.timeout_ms),
            retry_delay: millis(webhooks.retry_delay_ms),
            max_per_session: webhooks.max_per_session,
            concurrency: webhooks.concurrency,
            ssrf_protect: webhooks.ssrf_protect,
            allowed_hosts: webhooks.allowed_hosts.clone(),
            authorities: settings.webhook_authorities()?,
            secret_overlap: Duration::from_secs(webhooks.secret_overlap_hours * 3600),
            max_payload_bytes: webhooks.max_payload_bytes,
            lease: millis(webhooks.lease_ms),
            sweep_interval: if worker {
                WORKER_SWEEP
            } else {
                WebhookOptions::default().sweep_interval
            },
            ..WebhookOptions::default()
        },
    })
}

/// How the gateways of one installation ask each other; a worker runs no sessions and is asked nothing.
fn peers(settings: &Settings) -> anyhow::Result<Option<PeerOptions>> {
    match settings.node_url()? {
        Some(url) if settings.server.role == ServerRole::All => Ok(Some(PeerOptions {
            url,
            key: master_key(settings)?.hop_key(),
            answer_limit: settings.node_answer_limit(),
        })),
        _ => Ok(None),
    }
}

fn sends(settings: &Settings) -> SendOptions {
    let (sends, pacing) = (&settings.sends, &settings.pacing);
    let millis = Duration::from_millis;
    SendOptions {
        answer_limit: millis(sends.answer_limit_ms),
        resend_limit: millis(sends.resend_limit_ms),
        typing_max: millis(if sends.simulate_typing { sends.typing_max_ms } else { 0 }),
        pacing: PacingRules {
            enabled: pacing.enabled,
            warmup: pacing.warmup_schedule.clone(),
            cold: pacing.cold_daily_cap.clone(),
            breaker_threshold: pacing.breaker_threshold,
            breaker_cooldown: millis(pacing.breaker_cooldown_ms),
            min_gap: millis(pacing.min_gap_ms),
            per_minute: pacing.per_minute,
        },
        fetch_through_proxy: settings.sessions.proxy_url_fetch,
        ..SendOptions::default()
    }
}

fn node_name(id: &str, entropy: &dyn Entropy) -> String {
    let mut bytes = [0u8; 8];
    entropy.fill(&mut bytes);
    format!("{id}-{:016x}", u64::from_be_bytes(bytes))
}

/// The routes of the HTTP API, with its limits and rates.
pub fn router(
    settings: &Settings,
    gateway: Gateway,
    installation: Option<Arc<dyn api::Installation>>,
) -> anyhow::Result<axum::Router> {
    let options = api::ApiOptions {
        body_limit_bytes: settings.body_limit_bytes(),
        request_timeout: settings.request_timeout(),
        body_budget_bytes: settings.body_budget(),
        rates: settings.rates(),
        sockets: settings.sockets(),
        mcp: settings.agents(),
        docs: settings.server.docs,
        dashboard: settings.dashboard(),
        base_path: settings.server.base_path.clone(),
        validation_detail: settings.server.validation_detail,
        cors_origins: settings.server.cors_origins.clone(),
        trusted_proxies: settings.trusted_proxies()?,
        version: env!("CARGO_PKG_VERSION"),
        base_url: base_url(settings),
        debug: matches!(settings.log.level.as_str(), "debug" | "trace"),
        installation,
        metrics_token: settings.secrets.metrics_token.clone(),
        resident_bytes: Arc::new(resident_bytes),
    };
    Ok(match settings.server.role {
        ServerRole::All => api::router(options, gateway),
        ServerRole::Worker => api::worker_router(options, gateway),
    })
}
