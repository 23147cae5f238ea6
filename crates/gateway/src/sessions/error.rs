//! Why something was not done to a session.

use domain::{
    SessionId,
    port::{EngineError, StoreError},
    session::SessionStatus,
};

use super::NoLink;

/// Why a session was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateSessionError {
    /// Another session has the name.
    #[error("a session with this name exists")]
    NameTaken(String),
    /// Not 3 to 50 letters, digits and hyphens.
    #[error("a session's name is 3 to 50 letters, digits and hyphens")]
    InvalidName,
    /// The ledger could not be asked.
    #[error("the ledger failed while creating a session")]
    Store(#[source] StoreError),
}

/// Why a session was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartSessionError {
    /// There is none of this id.
    #[error("no session {0}")]
    NotFound(SessionId),
    /// Its engine is loaded.
    #[error("the session is already started")]
    AlreadyStarted,
    /// The cap on running sessions is reached.
    #[error("the cap of {0} running sessions is reached")]
    TooMany(u32),
    /// Another process has the right to connect it.
    #[error("another process holds the session")]
    HeldElsewhere,
    /// The process is stopping.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The ledger could not be asked.
    #[error("the ledger failed while starting a session")]
    Store(#[source] StoreError),
}

/// Why a session was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopSessionError {
    /// There is none of this id.
    #[error("no session {0}")]
    NotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// The ledger could not be asked.
    #[error("the ledger failed while stopping a session")]
    Store(#[source] StoreError),
}

/// Why a session was not logged out.
#[derive(Debug, thiserror::Error)]
pub enum LogoutSessionError {
    /// There is none of this id.
    #[error("no session {0}")]
    NotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// WhatsApp did not confirm; here the session is stopped and its keys are deleted.
    #[error("whatsapp did not confirm the logout")]
    Incomplete,
    /// The ledger could not be asked.
    #[error("the ledger failed while logging a session out")]
    Store(#[source] StoreError),
}

/// Why there is no QR code.
#[derive(Debug, thiserror::Error)]
pub enum QrError {
    /// There is none of this id.
    #[error("no session {0}")]
    NotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// WhatsApp has not given it yet: it is there in a moment.
    #[error("the QR code is not ready yet")]
    NotReadyYet,
    /// There is nothing to scan: the session is linked.
    #[error("the session is already linked")]
    AlreadyLinked,
    /// The ledger could not be asked.
    #[error("the ledger failed while reading a session")]
    Store(#[source] StoreError),
}

/// Why there is no pairing code.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// There is none of this id.
    #[error("no session {0}")]
    NotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// WhatsApp has not given it yet: it is there in a moment.
    #[error("the session does not wait for a pairing yet")]
    NotQrReady,
    /// There is nothing to pair: the session is linked.
    #[error("the session is already linked")]
    AlreadyLinked,
    /// WhatsApp did not answer.
    #[error("whatsapp did not answer")]
    Unanswered,
    /// WhatsApp refused to give a code.
    #[error("whatsapp refused: {0}")]
    Refused(String),
    /// The ledger could not be asked.
    #[error("the ledger failed while reading a session")]
    Store(#[source] StoreError),
}

/// Why nothing came of a request about a passkey.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyRequestError {
    /// There is none of this id.
    #[error("no session {0}")]
    NotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// The account asks for none, or not any more.
    #[error("the account asks for no passkey")]
    NotAsked,
    /// Something else is waited for.
    #[error("{0}")]
    WrongStep(&'static str),
    /// WhatsApp refused; the linking is over.
    #[error("whatsapp refused: {0}")]
    Refused(String),
    /// WhatsApp did not answer.
    #[error("whatsapp did not answer")]
    Unanswered,
    /// The ledger could not be asked.
    #[error("the ledger failed while reading a session")]
    Store(#[source] StoreError),
}

/// Why a session was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateSessionError {
    /// There is none of this id.
    #[error("no session {0}")]
    NotFound(SessionId),
    /// The ledger could not be asked.
    #[error("the ledger failed while changing a session")]
    Store(#[source] StoreError),
}

/// Why WhatsApp was not asked for something, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// It is not connected now.
    #[error("the session is not ready: {}", .0.as_str())]
    NotReady(SessionStatus),
    /// WhatsApp did not answer; whether it was done is not known.
    #[error("whatsapp did not answer")]
    Unanswered,
    /// The engine could not do it.
    #[error("the engine failed")]
    Engine(#[source] EngineError),
    /// The ledger failed.
    #[error("the ledger failed around a question to whatsapp")]
    Store(#[source] StoreError),
}

impl From<NoLink> for AskError {
    fn from(no: NoLink) -> Self {
        match no {
            NoLink::NotFound(session) => Self::SessionNotFound(session),
            NoLink::NotStarted => Self::NotStarted,
            NoLink::NotReady(status) => Self::NotReady(status),
            NoLink::Store(error) => Self::Store(error),
        }
    }
}

impl From<EngineError> for AskError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unanswered(_) => Self::Unanswered,
            EngineError::NotConnected => Self::NotReady(SessionStatus::Initializing),
            EngineError::Store(error) => Self::Store(error),
            other => Self::Engine(other),
        }
    }
}
