//! `[http]`: what a client may cost.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, Settings, settings::range};
use crate::http::HttpLimits;

/// Without a setting: so many of the longest bodies at the same time.
const BODIES_AT_ONCE: usize = 4;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    headers_timeout_ms: u64,
    request_timeout_ms: u64,
    keepalive_timeout_ms: u64,
    write_timeout_ms: u64,
    connections_max: usize,
    connections_per_address: usize,
    inflight_body_budget_bytes: usize,
}

impl Settings {
    /// Limits of connections. `descriptors`: how many files and sockets the process may have open.
    pub fn http_limits(&self, descriptors: Option<usize>) -> Result<HttpLimits, ConfigError> {
        let http = &self.http;
        let millis = Duration::from_millis;
        let connections = crate::http::allowance(http.connections_max, descriptors);
        Ok(HttpLimits {
            headers: millis(http.headers_timeout_ms),
            keep_alive: millis(http.keepalive_timeout_ms),
            write: millis(http.write_timeout_ms),
            connections,
            per_address: http.connections_per_address.min(connections),
            proxies: self.trusted_proxies()?,
        })
    }

    /// How long a request's body may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.http.request_timeout_ms)
    }

    /// Bytes of request bodies that may be in memory.
    pub fn body_budget(&self) -> usize {
        match self.http.inflight_body_budget_bytes {
            0 => self.body_limit_bytes().saturating_mul(BODIES_AT_ONCE),
            bytes => bytes,
        }
    }

    pub(super) fn check_http(&self) -> Result<(), ConfigError> {
        let http = &self.http;
        range("http.headers_timeout_ms", http.headers_timeout_ms, 100, 600_000)?;
        range("http.request_timeout_ms", http.request_timeout_ms, 100, 3_600_000)?;
        range("http.keepalive_timeout_ms", http.keepalive_timeout_ms, 100, 600_000)?;
        range("http.write_timeout_ms", http.write_timeout_ms, 100, 600_000)?;
        range("http.connections_max", http.connections_max as u64, 1, 60_000)?;
        range("http.connections_per_address", http.connections_per_address as u64, 1, 60_000)?;
        let (budget, longest) = (self.body_budget(), self.body_limit_bytes());
        if budget < longest {
            return Err(ConfigError(format!(
                "http.inflight_body_budget_bytes: must be 0 or at least server.body_size_limit \
                 ({longest}), not {budget}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with;

    #[test]
    fn openwas_variables_set_the_limits() {
        let limits = |vars: &[(&str, &str)]| with(vars).unwrap().http_limits(Some(65_536)).unwrap();
        let usual = limits(&[]);
        assert_eq!((usual.headers.as_secs(), usual.keep_alive.as_secs()), (65, 5));
        assert_eq!((usual.connections, usual.per_address), (1024, 256));
        let own = limits(&[
            ("HEADERS_TIMEOUT_MS", "1000"),
            ("KEEPALIVE_TIMEOUT_MS", "2000"),
            ("WAYPOST_WRITE_TIMEOUT_MS", "3000"),
            ("WAYPOST_CONNECTIONS_MAX", "100"),
        ]);
        assert_eq!(
            (own.headers.as_secs(), own.keep_alive.as_secs(), own.write.as_secs()),
            (1, 2, 3)
        );
        assert_eq!((own.connections, own.per_address), (100, 100));
        assert_eq!(with(&[]).unwrap().body_budget(), 100 * 1024 * 1024);
        assert_eq!(with(&[]).unwrap().request_timeout().as_secs(), 300);
    }
}
