//! Why a message was not sent or changed.

use domain::{
    SessionId, WaMessageId,
    pacing::PacingRule,
    phone::InvalidPhone,
    port::{EngineError, StoreError, StoreErrorKind},
    session::SessionStatus,
    template::RenderError,
    visible::Unshown,
};

use crate::{media::MediaError, sessions::NoLink, spans};

/// Why a message was not sent, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// It is not connected now.
    #[error("the session is not ready: {}", .0.as_str())]
    NotReady(SessionStatus),
    /// It is connected, but earlier sends whose outcome is not known go first, and that took too long.
    #[error("the session reconciles earlier sends")]
    Reconciling,
    /// All sends of the installation are paused.
    #[error("all sends are paused")]
    SendsPaused,
    /// Too many sends are under way, in this chat or at all.
    #[error("too many sends are under way")]
    Busy,
    /// The quoted message is not known.
    #[error("the quoted message is not known")]
    QuotedNotFound(WaMessageId),
    /// The message to forward or change is not known in this chat.
    #[error("the message is not known")]
    MessageNotFound(WaMessageId),
    /// The account's catalogue has no such product.
    #[error("the product is not known")]
    ProductNotFound(String),
    /// It cannot be done with a message of this sort, or in this state.
    #[error("{0}")]
    NotPossible(&'static str),
    /// Only the author may do this.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// A chosen option is not one of the poll's.
    #[error("the poll has no such option")]
    NoSuchOption {
        /// The options it has.
        valid: Vec<String>,
    },
    /// The session has no such template.
    #[error("no such template")]
    TemplateNotFound,
    /// The template could not be filled.
    #[error(transparent)]
    Render(RenderError),
    /// The number of a card is none.
    #[error("contactNumber {0}")]
    Number(InvalidPhone),
    /// Phones would not show it.
    #[error(transparent)]
    Unshown(Unshown),
    /// The file could not be had.
    #[error("the file could not be had")]
    Media(#[source] MediaError),
    /// A hook stopped it.
    #[error("stopped by a hook: {0}")]
    Blocked(String),
    /// It was too fast for the pace of the session.
    #[error("too fast: {}", .rule.as_str())]
    Paced {
        /// The rule that stopped it.
        rule: PacingRule,
        /// When it may be tried again, whole seconds from now, at least 1.
        retry_after_seconds: u64,
    },
    /// The key was used with another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The request with this key is under way.
    #[error("the request with this idempotency key is under way")]
    KeyInProgress,
    /// What became of the request with this key cannot be known.
    #[error("the outcome of the request with this idempotency key is not known")]
    KeyOutcomeUnknown,
    /// WhatsApp does not know the recipient.
    #[error("the recipient is not on WhatsApp")]
    NotOnWhatsApp,
    /// WhatsApp's server refused it.
    #[error("whatsapp refused with code {code}")]
    Refused {
        /// The code that WhatsApp's server answered with.
        code: u16,
    },
    /// What became of it is not known.
    #[error("whatsapp did not answer")]
    Unanswered,
    /// The engine could not make a message of it.
    #[error("the engine refused the message")]
    Engine(#[source] EngineError),
    /// The ledger, before anything was stored.
    #[error("the ledger failed before the send")]
    Store(#[source] StoreError),
    /// The ledger, while the message was stored: whether it is there is not known.
    #[error("the ledger failed while the message was stored")]
    Unstored(#[source] StoreError),
}

impl SendError {
    /// A write for a session failed before the message was stored. A session may be deleted under a send.
    pub(crate) fn before_stored(session: SessionId, error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Gone => Self::SessionNotFound(session),
            _ => Self::Store(error),
        }
    }

    /// One word for it in traces, without anything that somebody wrote.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::NotStarted | Self::NotReady(_) | Self::Reconciling => "not_ready",
            Self::SendsPaused => "paused",
            Self::Busy | Self::Paced { .. } => "too_many",
            Self::Media(_) => "media",
            Self::Blocked(_) => "blocked",
            Self::KeyReused | Self::KeyInProgress | Self::KeyOutcomeUnknown => "idempotency_key",
            Self::NotOnWhatsApp => "not_on_whatsapp",
            Self::Refused { .. } => "refused",
            Self::Unanswered => "unanswered",
            Self::Engine(error) => spans::engine_word(error),
            Self::Store(_) | Self::Unstored(_) => "ledger",
            _ => "not_possible",
        }
    }

    /// Whether the message may have gone out, or may still go out.
    pub(crate) const fn leaves_it_open(&self) -> bool {
        matches!(self, Self::Unanswered | Self::Unstored(_))
    }

    /// Whether the failure says that WhatsApp does not like what this account does, or is failing itself.
    pub(crate) const fn counts_as_failure(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::Engine(EngineError::Refused(_) | EngineError::Store(_))
        )
    }
}

impl From<NoLink> for SendError {
    fn from(no: NoLink) -> Self {
        match no {
            NoLink::NotFound(session) => Self::SessionNotFound(session),
            NoLink::NotStarted => Self::NotStarted,
            NoLink::NotReady(status) => Self::NotReady(status),
            NoLink::Store(error) => Self::Store(error),
        }
    }
}
