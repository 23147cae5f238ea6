//! Where the ledger and the queue are, and the key: for those who build the gateway and those who only look.

use anyhow::Context as _;
use storage::{Database, MasterKey, PostgresOptions, PostgresTls, RedisOptions};

use crate::config::{DatabaseTarget, PostgresTarget, Settings, queue::RedisTarget};

/// The database that the settings name.
pub fn database(settings: &Settings) -> Database {
    match settings.database() {
        DatabaseTarget::Sqlite(path) => Database::Sqlite { path },
        DatabaseTarget::Postgres(target) => Database::Postgres(postgres_options(target)),
    }
}

/// How its server is reached.
pub fn postgres_options(target: PostgresTarget) -> PostgresOptions {
    PostgresOptions {
        host: target.host,
        port: target.port,
        username: target.username,
        password: target.password,
        database: target.name,
        schema: target.schema,
        tls: target.tls.map(|tls| PostgresTls { ca: tls.ca }),
    }
}

/// How the queue's Redis is reached.
///
/// # Errors
/// The number of the database is too high.
pub fn redis_options(redis: RedisTarget) -> anyhow::Result<RedisOptions> {
    Ok(RedisOptions {
        username: redis.username,
        password: redis.password,
        tls: redis.tls.is_some(),
        ca: redis.tls.and_then(|tls| tls.ca),
        db: u8::try_from(redis.db).context("redis.db (REDIS_DB): must be at most 255")?,
        connect_timeout: redis.connect_timeout,
        ..RedisOptions::new(redis.host, redis.port)
    })
}

/// The master key that is there, from the environment or the key file; none is made.
///
/// # Errors
/// There is one that cannot be used.
pub fn known_master_key(settings: &Settings) -> anyhow::Result<Option<MasterKey>> {
    match &settings.secrets.master_key {
        Some(text) => {
            let key = MasterKey::from_hex_or_base64(text).context("WAYPOST_MASTER_KEY")?;
            Ok(Some(key))
        }
        None => MasterKey::load(&settings.key_file()).context("data.key_file"),
    }
}

/// The same for those who can do nothing without.
///
/// # Errors
/// There is none, or one that cannot be used.
pub fn needed_master_key(settings: &Settings) -> anyhow::Result<MasterKey> {
    known_master_key(settings)?.with_context(|| {
        format!(
            "there is no master key: set WAYPOST_MASTER_KEY as the gateway has it, or put its key file at {} \
             (mode 600)",
            settings.key_file().display()
        )
    })
}
