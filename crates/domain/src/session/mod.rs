//! One linked WhatsApp account: its record here, its life in [`transition`].

mod life;
mod limits;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    address::{ChatId, PhoneNumber},
    ids::SessionId,
    phone::Country,
    proxy::ProxyUrl,
    time::{Timestamp, Zone},
};

pub use life::{Effect, LossCause, SessionInput, SessionState, backoff, transition};
pub use limits::{LimitNews, NewChatQuota, REACHOUT_TIMELOCK, ReachoutLock, restriction_after};

/// OpenWA's session states; there is no second, private list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It was created and never started.
    Created,
    /// Opening or re-opening the connection.
    Initializing,
    /// Waiting for somebody to scan the QR code or type the pairing code.
    QrReady,
    /// Linked just now; the first login is under way.
    Authenticating,
    /// Connected; sends are possible.
    Ready,
    /// Stopped on request, or unlinked from the phone.
    Disconnected,
    /// A person has to do something; `last_error` says what.
    ActionRequired,
    /// WhatsApp refused for good, or too many tries failed; `last_error` says why.
    Failed,
}

impl SessionStatus {
    /// Every status, in the order of a session's life.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Initializing,
        Self::QrReady,
        Self::Authenticating,
        Self::Ready,
        Self::Disconnected,
        Self::ActionRequired,
        Self::Failed,
    ];

    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Initializing => "initializing",
            Self::QrReady => "qr_ready",
            Self::Authenticating => "authenticating",
            Self::Ready => "ready",
            Self::Disconnected => "disconnected",
            Self::ActionRequired => "action_required",
            Self::Failed => "failed",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What an operator may tune per session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionConfig {
    /// Whether incoming calls are rejected at once.
    pub auto_reject_calls: bool,
    /// Give up after this many failed tries in a row; `None` never gives up.
    pub max_reconnect_attempts: Option<u32>,
    /// First reconnect wait in milliseconds; `None` means [`RECONNECT_BASE_MS`].
    pub reconnect_base_delay_ms: Option<u32>,
    /// The country whose national form of numbers is understood; `None` understands none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_country: Option<Country>,
    /// The zone of times without one; `None` means UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// Texts with a link have a card, where the request says nothing about it.
    #[serde(default)]
    pub link_preview: bool,
}

/// Default first reconnect wait, milliseconds (OpenWA's).
pub const RECONNECT_BASE_MS: u32 = 5_000;
/// No reconnect wait is longer than this.
pub const RECONNECT_CAP: Duration = Duration::from_secs(300);
/// Every this many failed tries the event `session.reconnect_loop` is sent (OpenWA's number).
pub const RECONNECT_LOOP_EVERY: u32 = 5;

/// What WhatsApp does not let an account do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// OpenWA's kind: `reachout_timelock`, `tos_block` or `proxy_block`.
    pub kind: String,
    /// WhatsApp's own code, for instance `463`.
    pub code: String,
    /// When it ends, if WhatsApp said so.
    pub expires_at: Option<Timestamp>,
}

/// What is asked of the owner of a session by a process that does not run it. Whoever has the right to run the session
/// next does it, should its owner die before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Close the connection and stay down.
    Stop,
    /// Unlink the device and delete its keys.
    Logout,
    /// Drop the connection where it stands.
    ForceKill,
}

impl Wish {
    /// The word under which it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Logout => "logout",
            Self::ForceKill => "force_kill",
        }
    }

    /// Reads the stored word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Stop, Self::Logout, Self::ForceKill].into_iter().find(|wish| wish.as_str() == word)
    }
}

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id of the session.
    pub id: SessionId,
    /// Unique, 3 to 50 letters, digits and hyphens.
    pub name: String,
    /// Where its life stands.
    pub status: SessionStatus,
    /// Whether it should be running: kept over restarts, so that a stopped session stays stopped.
    pub wanted: bool,
    /// The number of the linked account.
    pub phone: Option<PhoneNumber>,
    /// The linked account's privacy id.
    pub lid: Option<ChatId>,
    /// The account's display name.
    pub push_name: Option<String>,
    /// Last time it became ready.
    pub connected_at: Option<Timestamp>,
    /// Last message in or out, or last time ready.
    pub last_active: Option<Timestamp>,
    /// Why it is not running, for people.
    pub last_error: Option<String>,
    /// What WhatsApp does not let this account do at the moment.
    pub restriction: Option<Restriction>,
    /// How many chats it may begin, where WhatsApp counts them.
    pub new_chat_quota: Option<NewChatQuota>,
    /// What an operator may tune.
    pub config: SessionConfig,
    /// Where its traffic goes through. Holds a password: encrypted at rest, never in a response.
    pub proxy: Option<ProxyUrl>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Last change of the record.
    pub updated_at: Timestamp,
}

impl Session {
    /// Whether it should run and nothing speaks against it: where it is not loaded, for instance just after a restart,
    /// it will be.
    pub const fn is_coming_up(&self) -> bool {
        use SessionStatus::{Authenticating, Initializing, QrReady, Ready};
        self.wanted && matches!(self.status, Initializing | QrReady | Authenticating | Ready)
    }
}

/// Whether a name is allowed: OpenWA's `^[a-zA-Z0-9-]{3,50}$`.
pub fn is_valid_name(name: &str) -> bool {
    (3..=50).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
