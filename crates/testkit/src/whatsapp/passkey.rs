//! Answers about a passkey, as they reach the scripted WhatsApp. What it asks for is a signal of the test.

use async_trait::async_trait;
use domain::port::{EngineError, PasskeyActions, PasskeyAssertion};

use super::{
    Asked,
    link::{FakeLink, HeldLink},
};

#[async_trait]
impl PasskeyActions for FakeLink {
    async fn answer_passkey(&self, assertion: PasskeyAssertion) -> Result<(), EngineError> {
        self.fake.ask(Asked::PasskeyAnswer(assertion))
    }

    async fn confirm_passkey(&self) -> Result<(), EngineError> {
        self.fake.ask(Asked::PasskeyConfirm)
    }
}

#[async_trait]
impl PasskeyActions for HeldLink {
    async fn answer_passkey(&self, assertion: PasskeyAssertion) -> Result<(), EngineError> {
        self.0.answer_passkey(assertion).await
    }

    async fn confirm_passkey(&self) -> Result<(), EngineError> {
        self.0.confirm_passkey().await
    }
}
