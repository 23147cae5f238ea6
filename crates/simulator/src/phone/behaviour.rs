//! What a person's phone does by itself when a message arrives.

use std::{fmt, sync::Arc, time::Duration};

use super::inbox::ReceivedMessage;

/// Gives the text to answer a message with, or `None` for no answer.
pub type AutoAnswer = Arc<dyn Fn(&ReceivedMessage) -> Option<String> + Send + Sync>;

/// The automatic behaviour of a phone. The default confirms delivery and does nothing else.
#[derive(Clone)]
pub struct Behaviour {
    /// Whether the phone confirms delivery.
    pub deliver: bool,
    /// How long after delivery the person reads the message; `None` for never.
    pub read_after: Option<Duration>,
    /// What the person answers.
    pub answer: Option<AutoAnswer>,
    /// How long after delivery the answer is sent.
    pub answer_after: Duration,
    /// How long the phone takes to encrypt a message again for who could not read it.
    pub resend_after: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            deliver: true,
            read_after: None,
            answer: None,
            answer_after: Duration::ZERO,
            resend_after: Duration::ZERO,
        }
    }
}

impl Behaviour {
    /// A phone that is switched off as far as the sender can see: it decrypts, but confirms nothing.
    pub fn silent() -> Self {
        Self { deliver: false, ..Self::default() }
    }

    /// A person who reads at once and answers every direct message that has text.
    pub fn answering(
        answer: impl Fn(&ReceivedMessage) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { read_after: Some(Duration::ZERO), answer: Some(Arc::new(answer)), ..Self::default() }
    }

    /// A person who answers every direct message that has text with the same words.
    pub fn answering_with(text: &str) -> Self {
        let text = text.to_owned();
        Self::answering(move |_| Some(text.clone()))
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("deliver", &self.deliver)
            .field("read_after", &self.read_after)
            .field("answers", &self.answer.is_some())
            .field("answer_after", &self.answer_after)
            .field("resend_after", &self.resend_after)
            .finish()
    }
}
