//! Linking an account that asks for its passkey. The library speaks the protocol; here each step gets a limit, and an
//! error of its own when it is over.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    port::{EngineError, EngineSignal, PasskeyAssertion, PasskeyPhase, PasskeySignal},
    session::LossCause,
};
use whatsapp_rust::{
    Client,
    passkey::{Assertion, PasskeyError, parse_request_options},
    types::events::Event,
};

use crate::{link::LinkState, runtime::ConnectionTasks, signals::SideSignals};

/// For the browser, where WhatsApp does not say how long that may take.
const ASSERTION_LIMIT: Duration = Duration::from_secs(120);
/// The longest that WhatsApp may allow for it.
const ASSERTION_LIMIT_MAX: Duration = Duration::from_secs(600);
/// For the phone to answer.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(60);
/// For a person to compare two codes.
const CONFIRMATION_LIMIT: Duration = Duration::from_secs(180);
/// For WhatsApp to link the device.
const COMPLETION_LIMIT: Duration = Duration::from_secs(60);
/// Longest options that are handed on: WhatsApp's have some hundred bytes.
const OPTIONS_BYTES_MAX: usize = 16 << 10;

/// How far one connection's linking with a passkey is.
#[derive(Clone)]
pub(crate) struct PasskeyLinking {
    client: Arc<Client>,
    link: Arc<LinkState>,
    said: SideSignals,
    tasks: ConnectionTasks,
    phase: Arc<Mutex<Option<PasskeyPhase>>>,
    /// Counts the steps, so that the limit of an earlier one is nobody's any more.
    step: Arc<AtomicU64>,
}

impl PasskeyLinking {
    pub fn new(
        client: &Arc<Client>,
        link: &Arc<LinkState>,
        said: &SideSignals,
        tasks: &ConnectionTasks,
    ) -> Self {
        Self {
            client: client.clone(),
            link: link.clone(),
            said: said.clone(),
            tasks: tasks.clone(),
            phase: Arc::default(),
            step: Arc::default(),
        }
    }

    /// What WhatsApp says about it, and that it is over.
    pub fn hear(&self, event: &Event) {
        match event {
            Event::PairPasskeyRequest(request) => self.requested(&request.request_options_json),
            Event::PairPasskeyConfirmation(asked) => {
                let (code, within) = (asked.code.clone(), CONFIRMATION_LIMIT);
                self.enter(PasskeyPhase::Confirmation, within);
                self.said.say(EngineSignal::Passkey(PasskeySignal::Confirm { code, within }));
            }
            Event::PairPasskeyError(error) => {
                let phase = match error.continuation {
                    true => PasskeyPhase::Exchange,
                    false => PasskeyPhase::Assertion,
                };
                self.fail(phase, &error.error);
            }
            Event::PairSuccess(_) => self.leave(),
            _ => {}
        }
    }

    fn requested(&self, options: &str) {
        if options.len() > OPTIONS_BYTES_MAX {
            return self.fail(PasskeyPhase::Assertion, "WhatsApp's request is too long");
        }
        let asked = match parse_request_options(options) {
            Ok(asked) => asked,
            Err(error) => return self.fail(PasskeyPhase::Assertion, &error.to_string()),
        };
        let within = asked.timeout_ms.map_or(ASSERTION_LIMIT, Duration::from_millis);
        let within = within.min(ASSERTION_LIMIT_MAX);
        self.enter(PasskeyPhase::Assertion, within);
        let options = options.to_owned();
        self.said.say(EngineSignal::Passkey(PasskeySignal::Requested { options, within }));
    }

    /// Hands the browser's answer to WhatsApp. A refusal is an error of the step, and ends the linking.
    pub async fn answer(&self, assertion: PasskeyAssertion) -> Result<(), EngineError> {
        self.take(PasskeyPhase::Assertion, "this session waits for no passkey")?;
        let within = EXCHANGE_LIMIT;
        self.enter(PasskeyPhase::Exchange, within);
        let answer = Assertion {
            assertion_json: assertion.json.into_bytes(),
            credential_id: assertion.credential,
        };
        let sent = self.client.send_passkey_response(answer).await;
        self.settle(PasskeyPhase::Assertion, sent)?;
        self.said.say(EngineSignal::Passkey(PasskeySignal::Answered { within }));
        Ok(())
    }

    /// Says that the codes are the same.
    pub async fn confirm(&self) -> Result<(), EngineError> {
        self.take(PasskeyPhase::Confirmation, "this session waits for no confirmation")?;
        let within = COMPLETION_LIMIT;
        self.enter(PasskeyPhase::Completion, within);
        // Before the confirmation: the device may be linked as soon as that is sent.
        self.said.say(EngineSignal::Passkey(PasskeySignal::Confirmed { within }));
        let sent = self.client.send_passkey_confirmation().await;
        self.settle(PasskeyPhase::Confirmation, sent)
    }

    fn settle(
        &self,
        phase: PasskeyPhase,
        sent: Result<(), PasskeyError>,
    ) -> Result<(), EngineError> {
        sent.map_err(|error| {
            let reason = error.to_string();
            self.fail(phase, &reason);
            EngineError::Refused(reason)
        })
    }

    /// Goes out of a step, so that nobody else does the same.
    fn take(&self, phase: PasskeyPhase, otherwise: &'static str) -> Result<(), EngineError> {
        let mut now = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Some(phase) {
            return Err(EngineError::WrongState(otherwise));
        }
        *now = None;
        Ok(())
    }

    fn enter(&self, phase: PasskeyPhase, within: Duration) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(phase);
        let step = self.step.fetch_add(1, Ordering::AcqRel) + 1;
        let linking = self.clone();
        self.tasks.start(async move {
            tokio::time::sleep(within).await;
            if linking.step.load(Ordering::Acquire) == step {
                linking.fail(phase, "it took too long");
            }
        });
    }

    fn leave(&self) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.step.fetch_add(1, Ordering::AcqRel);
    }

    fn fail(&self, phase: PasskeyPhase, reason: &str) {
        self.leave();
        tracing::warn!(phase = phase.as_str(), reason, "linking with a passkey failed");
        let signal = PasskeySignal::Failed { phase, reason: reason.to_owned() };
        self.said.say(EngineSignal::Passkey(signal));
        let what = match phase {
            PasskeyPhase::Assertion => "the passkey was not shown",
            PasskeyPhase::Exchange => "the phone did not answer the passkey",
            PasskeyPhase::Confirmation => "the code was not confirmed",
            PasskeyPhase::Completion => "WhatsApp did not link the device",
        };
        self.link.fail(LossCause::PasskeyFailed(format!("{what}: {reason}")));
    }
}
