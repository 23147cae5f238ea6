//! `[queue]` and `[redis]`: whether and where delivery workers are woken through Redis.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{
    ConfigError, Settings,
    settings::range,
    tls::{self, TlsSettings},
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueSettings {
    pub enabled: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    pub host: String,
    pub port: u16,
    pub db: u32,
    pub tls: bool,
    pub tls_ca: PathBuf,
    pub connect_timeout_ms: u64,
}

/// A Redis, ready to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisTarget {
    pub host: String,
    pub port: u16,
    /// As whom; Redis has a user that needs no name.
    pub username: Option<String>,
    /// Not in any log: see [`std::fmt::Debug`] below.
    pub password: Option<String>,
    /// Number of the database.
    pub db: u32,
    /// Encrypted and verified, or neither.
    pub tls: Option<TlsSettings>,
    /// How long a connect may take.
    pub connect_timeout: Duration,
}

impl std::fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}:{}/{}", self.host, self.port, self.db)
    }
}

impl Settings {
    /// The Redis of the queue; `None` when the queue is off.
    pub fn redis(&self) -> Option<RedisTarget> {
        let redis = &self.redis;
        self.queue.enabled.then(|| RedisTarget {
            host: redis.host.clone(),
            port: redis.port,
            username: self.secrets.redis_username.clone(),
            password: self.secrets.redis_password.clone(),
            db: redis.db,
            tls: tls::target(redis.tls, &redis.tls_ca),
            connect_timeout: Duration::from_millis(redis.connect_timeout_ms),
        })
    }

    pub(super) fn check_queue(&self) -> Result<(), ConfigError> {
        let redis = &self.redis;
        range("redis.connect_timeout_ms", redis.connect_timeout_ms, 100, 60_000)?;
        // Redis has 16 unless it is told otherwise.
        range("redis.db", u64::from(redis.db), 0, 1023)?;
        let Some(target) = self.redis() else { return Ok(()) };
        range("redis.port", u64::from(redis.port), 1, u16::MAX.into())?;
        if target.host.is_empty() || target.host.contains(['/', '@', ' ']) {
            return Err(ConfigError(format!(
                "redis.host: must be a name or an address, not {:?}",
                target.host
            )));
        }
        if target.username.is_some() && target.password.is_none() {
            return Err(ConfigError("REDIS_USERNAME: is of no use without REDIS_PASSWORD".into()));
        }
        tls::check(("redis.tls", redis.tls), ("redis.tls_ca", &redis.tls_ca))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::with;

    #[test]
    fn without_the_queue_there_is_no_redis() {
        let settings = with(&[("REDIS_HOST", "redis"), ("REDIS_PASSWORD", "secret")]).unwrap();
        assert_eq!(settings.redis(), None);
    }

    #[test]
    fn the_queue_has_defaults() {
        let redis = with(&[("QUEUE_ENABLED", "true")]).unwrap().redis().unwrap();
        assert_eq!(format!("{redis:?}"), "redis://localhost:6379/0");
        assert_eq!((redis.username, redis.password, redis.tls), (None, None, None));
        assert_eq!(redis.connect_timeout, Duration::from_secs(5));
    }

    #[test]
    fn every_part_of_redis_can_be_set() {
        let redis = with(&[
            ("QUEUE_ENABLED", "true"),
            ("REDIS_HOST", "redis.internal"),
            ("REDIS_PORT", "6380"),
            ("REDIS_USERNAME", "waypost"),
            ("REDIS_PASSWORD", "s3cret"),
            ("REDIS_DB", "3"),
            ("REDIS_TLS", "true"),
            ("REDIS_CONNECT_TIMEOUT_MS", "900"),
        ]);
        let redis = redis.unwrap().redis().unwrap();
        assert_eq!(format!("{redis:?}"), "rediss://redis.internal:6380/3");
        assert_eq!(redis.username.as_deref(), Some("waypost"));
        assert_eq!(redis.password.as_deref(), Some("s3cret"));
        assert_eq!(redis.tls, Some(TlsSettings { ca: None }));
        assert_eq!(redis.connect_timeout, Duration::from_millis(900));
    }
}
