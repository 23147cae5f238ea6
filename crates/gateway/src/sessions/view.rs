//! What callers see of a session, and what they may ask for.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    phone::Country,
    proxy::ProxyUrl,
    session::{Session, SessionConfig, SessionStatus},
    time::Zone,
};

/// A session and whether its engine is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// The session as it is stored.
    pub session: Session,
    /// Loaded sessions can be stopped, others started.
    pub engine_loaded: bool,
}

/// A session to create.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its name; no two sessions share one.
    pub name: String,
    /// What an operator may tune.
    pub config: SessionConfig,
    /// Where its traffic goes through.
    pub proxy: Option<ProxyUrl>,
}

/// The QR code that the phone scans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrView {
    /// The picture, as `data:image/png;base64,…`.
    pub png_data_url: String,
    /// The text behind the picture.
    pub code: String,
    /// Where the life of the session stands.
    pub status: SessionStatus,
    /// When the next code takes its place.
    pub expires_at: Timestamp,
}

/// The code that is typed into the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingView {
    /// The code that is typed on the phone, eight characters.
    pub code: String,
    /// Where the life of the session stands.
    pub status: SessionStatus,
}

/// Tunables to change: `None` keeps, `Some(None)` resets to the default.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the fields are those of SessionConfig")]
pub struct ConfigPatch {
    pub auto_reject_calls: Option<Option<bool>>,
    pub max_reconnect_attempts: Option<Option<u32>>,
    pub reconnect_base_delay_ms: Option<Option<u32>>,
    pub default_country: Option<Option<Country>>,
    pub time_zone: Option<Option<Zone>>,
    pub link_preview: Option<Option<bool>>,
}

impl ConfigPatch {
    /// The tunables after the change.
    pub fn apply(&self, mut config: SessionConfig) -> SessionConfig {
        if let Some(reject) = self.auto_reject_calls {
            config.auto_reject_calls = reject.unwrap_or_default();
        }
        if let Some(most) = self.max_reconnect_attempts {
            config.max_reconnect_attempts = most;
        }
        if let Some(delay) = self.reconnect_base_delay_ms {
            config.reconnect_base_delay_ms = delay;
        }
        if let Some(country) = self.default_country {
            config.default_country = country;
        }
        if let Some(zone) = self.time_zone {
            config.time_zone = zone;
        }
        if let Some(wanted) = self.link_preview {
            config.link_preview = wanted.unwrap_or_default();
        }
        config
    }
}

/// How many sessions there are, by status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// All of them, whatever their state.
    pub total: u64,
    /// With a loaded engine.
    pub active: u64,
    /// Sessions that can send.
    pub ready: u64,
    /// Sessions without a connection.
    pub disconnected: u64,
    /// By status; statuses nobody has are missing.
    pub by_status: BTreeMap<&'static str, u64>,
}
