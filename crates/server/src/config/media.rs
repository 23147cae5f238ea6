//! Files.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use gateway::media::ConvertOptions;
use serde::Deserialize;

use super::{ConfigError, settings::range};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaSettings {
    pub dir: PathBuf,
    pub download: bool,
    pub bytes_max: u64,
    pub fetch_timeout_ms: u64,
    pub concurrency: usize,
    pub per_session: usize,
    pub session_quota_bytes: u64,
    pub quota_bytes: u64,
    pub free_bytes_min: u64,
    pub import_bytes_max: u64,
    pub conversion: bool,
    pub ffmpeg: PathBuf,
    pub conversion_timeout_ms: u64,
    pub conversion_bytes_max: u64,
    pub conversion_concurrency: usize,
}

impl MediaSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("media.bytes_max", self.bytes_max, 1024, 2 << 30)?;
        range("media.fetch_timeout_ms", self.fetch_timeout_ms, 100, 600_000)?;
        range("media.concurrency", self.concurrency as u64, 1, 100)?;
        range("media.per_session", self.per_session as u64, 1, 100)?;
        range("media.conversion_timeout_ms", self.conversion_timeout_ms, 100, 600_000)?;
        range("media.conversion_bytes_max", self.conversion_bytes_max, 1024, 2 << 30)?;
        range("media.conversion_concurrency", self.conversion_concurrency as u64, 1, 100)
    }

    /// How sounds and moving pictures are converted.
    pub fn convert(&self) -> ConvertOptions {
        ConvertOptions {
            ffmpeg: if self.conversion { self.ffmpeg.clone().into() } else { OsString::new() },
            limit: Duration::from_millis(self.conversion_timeout_ms),
            bytes_max: self.conversion_bytes_max,
            concurrency: self.conversion_concurrency,
        }
    }
}
