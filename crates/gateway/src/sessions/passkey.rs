//! Linking with a passkey, as callers see it: what is waited for, until when, and what they answer.

use std::sync::Arc;

use domain::{
    SessionId, Timestamp,
    port::{Connection, EngineError, PasskeyAssertion, PasskeyPhase, PasskeySignal},
    session::SessionStatus,
};
use serde_json::{Value, json};

use super::{Sessions, error::PasskeyRequestError};

/// How far the linking of a session with a passkey is.
#[derive(Debug, Clone, PartialEq)]
pub struct PasskeyView {
    /// What is waited for.
    pub phase: PasskeyPhase,
    /// WhatsApp's options for `navigator.credentials.get`, while the browser's answer is waited for.
    pub options: Option<Value>,
    /// The code to compare with the phone's, while that is waited for.
    pub code: Option<String>,
    /// When the step is over; nothing when it failed.
    pub expires_at: Option<Timestamp>,
    /// Why the step failed, for people.
    pub error: Option<String>,
}

impl PasskeyView {
    /// After a signal that was heard at a time.
    pub(super) fn after(signal: &PasskeySignal, heard: Timestamp) -> Self {
        let view = |phase, within| Self {
            phase,
            options: None,
            code: None,
            expires_at: Some(heard.plus(within)),
            error: None,
        };
        match signal {
            PasskeySignal::Requested { options, within } => Self {
                options: serde_json::from_str(options).ok(),
                ..view(PasskeyPhase::Assertion, *within)
            },
            PasskeySignal::Answered { within } => view(PasskeyPhase::Exchange, *within),
            PasskeySignal::Confirm { code, within } => {
                Self { code: Some(code.clone()), ..view(PasskeyPhase::Confirmation, *within) }
            }
            PasskeySignal::Confirmed { within } => view(PasskeyPhase::Completion, *within),
            PasskeySignal::Failed { phase, reason } => Self {
                phase: *phase,
                options: None,
                code: None,
                expires_at: None,
                error: Some(reason.clone()),
            },
        }
    }

    /// As the event tells it.
    pub(super) fn told(&self) -> Value {
        json!({
            "phase": self.phase.as_str(),
            "options": self.options,
            "code": self.code,
            "expiresAt": self.expires_at.map(Timestamp::iso),
            "error": self.error,
        })
    }
}

impl Sessions {
    /// What is waited for while a session links with a passkey.
    ///
    /// # Errors
    /// [`PasskeyRequestError`].
    pub async fn passkey(&self, id: SessionId) -> Result<PasskeyView, PasskeyRequestError> {
        let view = self.view_of(id).await.map_err(PasskeyRequestError::Store)?;
        view.ok_or(PasskeyRequestError::NotFound(id))?;
        let handle = self.inner.handle(id).ok_or(PasskeyRequestError::NotStarted)?;
        handle.passkey().ok_or(PasskeyRequestError::NotAsked)
    }

    /// Hands a browser's answer to WhatsApp.
    ///
    /// # Errors
    /// [`PasskeyRequestError`].
    pub async fn answer_passkey(
        &self,
        id: SessionId,
        assertion: PasskeyAssertion,
    ) -> Result<(), PasskeyRequestError> {
        self.passkey(id).await?;
        let connection = self.linking(id)?;
        connection.answer_passkey(assertion).await.map_err(refused)
    }

    /// Says that the code is the one that the phone shows.
    ///
    /// # Errors
    /// [`PasskeyRequestError`].
    pub async fn confirm_passkey(&self, id: SessionId) -> Result<(), PasskeyRequestError> {
        self.passkey(id).await?;
        let connection = self.linking(id)?;
        connection.confirm_passkey().await.map_err(refused)
    }

    fn linking(&self, id: SessionId) -> Result<Arc<dyn Connection>, PasskeyRequestError> {
        let handle = self.inner.handle(id).ok_or(PasskeyRequestError::NotStarted)?;
        let links = handle.status() == SessionStatus::QrReady;
        handle.connection().filter(|_| links).ok_or(PasskeyRequestError::NotAsked)
    }
}

fn refused(error: EngineError) -> PasskeyRequestError {
    match error {
        EngineError::WrongState(why) => PasskeyRequestError::WrongStep(why),
        EngineError::Refused(why) => PasskeyRequestError::Refused(why),
        EngineError::Store(error) => PasskeyRequestError::Store(error),
        EngineError::NotConnected
        | EngineError::Unanswered(_)
        | EngineError::TooBig
        | EngineError::Misconfigured(_) => PasskeyRequestError::Unanswered,
    }
}
