//! Linking an account that asks for its passkey: a browser signs, and a person compares a code.

use std::time::Duration;

use async_trait::async_trait;

use super::EngineError;

/// A step of linking with a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyPhase {
    /// The browser's answer is waited for.
    Assertion,
    /// The phone's answer to it is waited for.
    Exchange,
    /// A person compares the code with the phone's.
    Confirmation,
    /// WhatsApp's word that the device is linked is waited for.
    Completion,
}

impl PasskeyPhase {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assertion => "assertion",
            Self::Exchange => "exchange",
            Self::Confirmation => "confirmation",
            Self::Completion => "completion",
        }
    }
}

/// News of linking with a passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasskeySignal {
    /// A browser must sign for the account.
    Requested {
        /// WhatsApp's options for `navigator.credentials.get`, JSON.
        options: String,
        /// How long that may take.
        within: Duration,
    },
    /// The browser's answer was taken over; the phone is asked.
    Answered {
        /// How long that may take.
        within: Duration,
    },
    /// A person must compare this code with the phone's.
    Confirm {
        /// As it is shown, `XXXX-XXXX`.
        code: String,
        /// How long that may take.
        within: Duration,
    },
    /// The person said that the codes are the same.
    Confirmed {
        /// How long WhatsApp may take to link the device.
        within: Duration,
    },
    /// It failed; the connection ends.
    Failed {
        /// In which step it failed.
        phase: PasskeyPhase,
        /// Why it failed, for people.
        reason: String,
    },
}

/// What a browser answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyAssertion {
    /// The whole answer, JSON as WhatsApp takes it.
    pub json: String,
    /// The id of the credential, its bytes.
    pub credential: Vec<u8>,
}

/// What is answered while an account asks for its passkey.
#[async_trait]
pub trait PasskeyActions: Send + Sync + 'static {
    /// Hands the browser's answer to WhatsApp.
    ///
    /// # Errors
    /// [`EngineError::WrongState`] when none is waited for.
    async fn answer_passkey(&self, assertion: PasskeyAssertion) -> Result<(), EngineError>;

    /// Says that the code is the one that the phone shows.
    ///
    /// # Errors
    /// [`EngineError::WrongState`] when no code is waited for.
    async fn confirm_passkey(&self) -> Result<(), EngineError>;
}
