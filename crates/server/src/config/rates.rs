//! `[rate_limit]`: how much one client may ask.

use std::time::Duration;

use api::{RateOptions, Window};
use serde::Deserialize;

use super::{ConfigError, Settings, settings::range};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    short_ttl_ms: u64,
    short_limit: u32,
    medium_ttl_ms: u64,
    medium_limit: u32,
    long_ttl_ms: u64,
    long_limit: u32,
    wrong_keys_per_minute: u32,
}

impl RateLimit {
    /// Without any limit: for a gateway that only its own program calls.
    pub fn lift(&mut self) {
        (self.short_limit, self.medium_limit, self.long_limit) = (0, 0, 0);
        self.wrong_keys_per_minute = 0;
    }
}

impl Settings {
    /// How many requests a caller may make in each window.
    pub fn rates(&self) -> RateOptions {
        let rates = &self.rate_limit;
        let window = |millis, limit| Window { length: Duration::from_millis(millis), limit };
        RateOptions {
            short: window(rates.short_ttl_ms, rates.short_limit),
            medium: window(rates.medium_ttl_ms, rates.medium_limit),
            long: window(rates.long_ttl_ms, rates.long_limit),
            wrong_keys: rates.wrong_keys_per_minute,
        }
    }

    pub(super) fn check_rates(&self) -> Result<(), ConfigError> {
        const DAY: u64 = 86_400_000;
        let rates = &self.rate_limit;
        range("rate_limit.short_ttl_ms", rates.short_ttl_ms, 1, DAY)?;
        range("rate_limit.medium_ttl_ms", rates.medium_ttl_ms, 1, DAY)?;
        range("rate_limit.long_ttl_ms", rates.long_ttl_ms, 1, DAY)
    }
}
