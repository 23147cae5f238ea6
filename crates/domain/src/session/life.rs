//! The life of a session as a pure function.
//!
//! [`transition`] decides, the session's task in `gateway` performs. Permanent causes end in a state that a person must
//! change; transient ones are tried again with [`backoff`].

use std::time::Duration;

use super::{
    RECONNECT_BASE_MS, RECONNECT_CAP, RECONNECT_LOOP_EVERY, Session, SessionConfig, SessionStatus,
};
use crate::backoff::Backoff;

/// The part of a session that [`transition`] reads and changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    /// Where its life stands.
    pub status: SessionStatus,
    /// Whether it should be running.
    pub wanted: bool,
    /// Failed tries in a row since it was last ready.
    pub failures: u32,
    /// Why it is not running, for people.
    pub last_error: Option<String>,
}

impl SessionState {
    /// As a session's record says; how often it failed in a row is not in it.
    pub fn of(session: &Session) -> Self {
        Self {
            status: session.status,
            wanted: session.wanted,
            failures: 0,
            last_error: session.last_error.clone(),
        }
    }
}

/// What can happen to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionInput {
    /// Somebody asked for it, or the process started and the session is wanted.
    Start,
    /// Somebody asked for it; keys are kept.
    Stop,
    /// Somebody asked for it; the device is unlinked and its keys deleted.
    Logout,
    /// The process is stopping: the connection closes, what the user wants does not change.
    Shutdown,
    /// WhatsApp shows a QR code.
    QrShown,
    /// The phone accepted this device.
    Paired,
    /// Logged in, and what waited comes.
    Connected,
    /// The connection ended, or could not be opened.
    Lost(LossCause),
    /// The wait of [`Effect::Retry`] is over.
    RetryDue,
    /// The process that ran it has ended without a word: its record speaks of a life that is over.
    ProcessDied,
    /// It should run and could not be brought back, for this reason. It stays wanted.
    NotRestored(String),
    /// Its task panicked; it starts again by itself.
    TaskFailed,
}

/// Why a connection ended. [`LossCause::Link`] and [`LossCause::Ledger`] are worth another try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LossCause {
    /// Network trouble, server restart, time-out: transient.
    Link(String),
    /// Our own ledger failed: transient, and no reason to give up or to wait longer each time.
    Ledger(String),
    /// The phone removed this device, or WhatsApp refused its login. The keys are worthless.
    LoggedOut,
    /// Another process logged in with the same keys.
    Replaced,
    /// WhatsApp banned the account; the text is its reason.
    Banned(String),
    /// WhatsApp no longer accepts this client version.
    ClientOutdated,
    /// Nobody scanned the QR code in time.
    PairingExpired,
    /// The account asked for its passkey, and that failed; the text says in which step and why.
    PasskeyFailed(String),
    /// The engine cannot work at all until a setting changes (a refused proxy address, verification off).
    Misconfigured(String),
}

/// What the session's task has to do after a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a connection to WhatsApp.
    Open,
    /// Close the connection, if any.
    Close,
    /// Delete the device's keys.
    DeleteKeys,
    /// Forget which number the session had.
    ForgetAccount,
    /// Send [`SessionInput::RetryDue`] after the backoff for this many failures.
    Retry {
        /// Failures in a row, at least 1.
        failures: u32,
    },
    /// Send [`SessionInput::RetryDue`] after a wait that does not grow.
    RetrySoon,
    /// Forget a planned retry.
    CancelRetry,
    /// Emit `session.qr`.
    TellQr,
    /// Emit `session.authenticated`.
    TellAuthenticated,
    /// Emit `session.disconnected`.
    TellDisconnected(String),
    /// Emit `session.reconnect_loop`.
    TellReconnectLoop {
        /// Failures in a row.
        attempts: u32,
    },
}

/// The backoff of a session's reconnects.
pub fn backoff(config: &SessionConfig) -> Backoff {
    let base = config.reconnect_base_delay_ms.unwrap_or(RECONNECT_BASE_MS);
    Backoff { base: Duration::from_millis(u64::from(base)), cap: RECONNECT_CAP, jitter_percent: 20 }
}

/// Decides what an input does to a session. A status that differs from the one before is emitted as
/// `session.status` by the caller.
pub fn transition(
    state: &SessionState,
    config: &SessionConfig,
    input: SessionInput,
) -> (SessionState, Vec<Effect>) {
    let mut next = state.clone();
    let effects = match input {
        SessionInput::Start => {
            next.status = SessionStatus::Initializing;
            next.wanted = true;
            next.failures = 0;
            next.last_error = None;
            vec![Effect::CancelRetry, Effect::Open]
        }
        SessionInput::Stop => {
            stop(&mut next);
            vec![Effect::CancelRetry, Effect::Close]
        }
        SessionInput::Logout => {
            stop(&mut next);
            vec![Effect::CancelRetry, Effect::Close, Effect::ForgetAccount, Effect::DeleteKeys]
        }
        SessionInput::Shutdown => vec![Effect::CancelRetry, Effect::Close],
        SessionInput::ProcessDied => {
            next.status = match state.wanted {
                true => SessionStatus::Initializing,
                false => SessionStatus::Disconnected,
            };
            next.last_error = None;
            vec![]
        }
        SessionInput::NotRestored(reason) => {
            next.status = SessionStatus::Disconnected;
            next.last_error = Some(reason);
            vec![]
        }
        SessionInput::TaskFailed => {
            next.status = SessionStatus::Initializing;
            next.last_error = Some("the session's task failed; it starts again by itself".into());
            vec![]
        }
        // Late news of a connection that was already given up must not revive the session.
        _ if !state.wanted => vec![],
        SessionInput::QrShown => {
            next.status = SessionStatus::QrReady;
            vec![Effect::TellQr]
        }
        SessionInput::Paired => {
            next.status = SessionStatus::Authenticating;
            vec![]
        }
        SessionInput::Connected => {
            next.status = SessionStatus::Ready;
            next.failures = 0;
            next.last_error = None;
            vec![Effect::CancelRetry, Effect::TellAuthenticated]
        }
        SessionInput::RetryDue => {
            next.status = SessionStatus::Initializing;
            vec![Effect::Open]
        }
        SessionInput::Lost(cause) => lost(&mut next, config, cause),
    };
    (next, effects)
}

fn stop(next: &mut SessionState) {
    next.status = SessionStatus::Disconnected;
    next.wanted = false;
    next.failures = 0;
    next.last_error = None;
}

fn lost(next: &mut SessionState, config: &SessionConfig, cause: LossCause) -> Vec<Effect> {
    let was_ready = next.status == SessionStatus::Ready;
    match cause {
        LossCause::Link(reason) => lost_link(next, config, &reason, was_ready),
        LossCause::Ledger(reason) => {
            next.status = SessionStatus::Initializing;
            next.last_error = Some(reason.clone());
            let told = was_ready.then_some(Effect::TellDisconnected(reason));
            [Effect::Close, Effect::RetrySoon].into_iter().chain(told).collect()
        }
        LossCause::LoggedOut => {
            stop(next);
            vec![
                Effect::CancelRetry,
                Effect::Close,
                Effect::ForgetAccount,
                Effect::DeleteKeys,
                Effect::TellDisconnected("LOGOUT".into()),
            ]
        }
        LossCause::Replaced => give_up(
            next,
            SessionStatus::ActionRequired,
            "another process is connected with this device's keys; stop it, then start this session again",
            "REPLACED",
        ),
        LossCause::Banned(reason) => give_up(
            next,
            SessionStatus::Failed,
            &format!("WhatsApp banned this account: {reason}"),
            "BANNED",
        ),
        LossCause::ClientOutdated => give_up(
            next,
            SessionStatus::Failed,
            "WhatsApp no longer accepts this client version; update Waypost, then start the session again",
            "CLIENT_OUTDATED",
        ),
        LossCause::PairingExpired => {
            next.status = SessionStatus::ActionRequired;
            next.wanted = false;
            next.last_error = Some(
                "nobody scanned the QR code in time; start the session again for a new one".into(),
            );
            vec![Effect::CancelRetry, Effect::Close]
        }
        LossCause::PasskeyFailed(reason) => {
            next.status = SessionStatus::ActionRequired;
            next.wanted = false;
            next.last_error =
                Some(format!("{reason}; start the session again and show the passkey anew"));
            vec![Effect::CancelRetry, Effect::Close]
        }
        LossCause::Misconfigured(reason) => {
            next.status = SessionStatus::Failed;
            next.wanted = false;
            next.last_error = Some(reason);
            vec![Effect::CancelRetry, Effect::Close]
        }
    }
}

fn give_up(
    next: &mut SessionState,
    status: SessionStatus,
    error: &str,
    reason: &str,
) -> Vec<Effect> {
    next.status = status;
    next.wanted = false;
    next.last_error = Some(error.to_owned());
    vec![Effect::CancelRetry, Effect::Close, Effect::TellDisconnected(reason.to_owned())]
}

fn lost_link(
    next: &mut SessionState,
    config: &SessionConfig,
    reason: &str,
    was_ready: bool,
) -> Vec<Effect> {
    next.failures += 1;
    if config.max_reconnect_attempts.is_some_and(|limit| next.failures > limit) {
        return give_up(
            next,
            SessionStatus::Failed,
            &format!("gave up after {} failed tries to connect: {reason}", next.failures),
            "MAX_RECONNECT_ATTEMPTS",
        );
    }
    next.status = SessionStatus::Initializing;
    next.last_error = Some(reason.to_owned());
    let mut effects = vec![Effect::Close, Effect::Retry { failures: next.failures }];
    if was_ready {
        effects.push(Effect::TellDisconnected(reason.to_owned()));
    }
    if next.failures.is_multiple_of(RECONNECT_LOOP_EVERY) {
        effects.push(Effect::TellReconnectLoop { attempts: next.failures });
    }
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(status: SessionStatus, wanted: bool) -> SessionState {
        SessionState { status, wanted, failures: 0, last_error: None }
    }

    fn run(inputs: Vec<SessionInput>) -> (SessionState, Vec<Effect>) {
        let mut now = state(SessionStatus::Created, false);
        let mut last = vec![];
        for input in inputs {
            (now, last) = transition(&now, &SessionConfig::default(), input);
        }
        (now, last)
    }

    fn link() -> SessionInput {
        SessionInput::Lost(LossCause::Link("connection reset".into()))
    }

    #[test]
    fn a_first_link_goes_through_qr_to_ready() {
        use SessionInput::*;
        let (end, effects) = run(vec![Start, QrShown, Paired, Connected]);
        assert_eq!(end.status, SessionStatus::Ready);
        assert!(effects.contains(&Effect::TellAuthenticated));
    }

    #[test]
    fn a_lost_link_is_tried_again_with_growing_waits() {
        use SessionInput::*;
        let (end, effects) = run(vec![Start, Connected, link(), RetryDue, link()]);
        assert_eq!(end.status, SessionStatus::Initializing);
        assert!(effects.contains(&Effect::Retry { failures: 2 }));
        let (end, effects) = run(vec![Start, link(), link(), link(), link(), link()]);
        assert_eq!(end.failures, 5);
        assert!(effects.contains(&Effect::TellReconnectLoop { attempts: 5 }));
    }

    #[test]
    fn ready_forgets_earlier_failures() {
        use SessionInput::*;
        let (end, _) = run(vec![Start, link(), link(), RetryDue, Connected]);
        assert_eq!((end.failures, end.last_error), (0, None));
    }

    #[test]
    fn permanent_causes_stop_and_say_why() {
        for cause in [
            LossCause::Replaced,
            LossCause::Banned("spam".into()),
            LossCause::ClientOutdated,
            LossCause::PairingExpired,
            LossCause::PasskeyFailed("it took too long".into()),
            LossCause::Misconfigured("proxy".into()),
        ] {
            let (end, effects) = run(vec![SessionInput::Start, SessionInput::Lost(cause.clone())]);
            assert!(!end.wanted, "{cause:?}");
            assert!(end.last_error.is_some(), "{cause:?}");
            assert!(
                !effects
                    .iter()
                    .any(|e| matches!(e, Effect::Retry { .. } | Effect::RetrySoon | Effect::Open)),
                "{cause:?}"
            );
        }
    }

    #[test]
    fn unlinking_from_the_phone_deletes_the_keys() {
        let (end, effects) =
            run(vec![SessionInput::Start, SessionInput::Lost(LossCause::LoggedOut)]);
        assert_eq!(end.status, SessionStatus::Disconnected);
        assert!(effects.contains(&Effect::DeleteKeys));
    }

    #[test]
    fn a_ledger_that_is_away_does_not_count_as_a_failed_try() {
        let config = SessionConfig { max_reconnect_attempts: Some(1), ..Default::default() };
        let mut now = state(SessionStatus::Ready, true);
        for _ in 0..100 {
            let away = SessionInput::Lost(LossCause::Ledger("away".into()));
            let (next, effects) = transition(&now, &config, away);
            assert!(effects.contains(&Effect::RetrySoon) && next.wanted && next.failures == 0);
            let told = effects.iter().any(|effect| matches!(effect, Effect::TellDisconnected(_)));
            assert_eq!(told, now.status == SessionStatus::Ready, "once");
            now = next;
        }
    }

    #[test]
    fn a_limit_on_tries_is_kept() {
        let config = SessionConfig { max_reconnect_attempts: Some(1), ..Default::default() };
        let mut now = state(SessionStatus::Initializing, true);
        (now, _) = transition(&now, &config, link());
        assert!(now.wanted);
        (now, _) = transition(&now, &config, link());
        assert_eq!((now.status, now.wanted), (SessionStatus::Failed, false));
    }

    #[test]
    fn shutdown_keeps_what_the_user_wants() {
        let ready = state(SessionStatus::Ready, true);
        let (next, effects) = transition(&ready, &SessionConfig::default(), SessionInput::Shutdown);
        assert_eq!(next, ready);
        assert!(effects.contains(&Effect::Close));
    }

    #[test]
    fn a_session_whose_process_died_says_what_is_to_come() {
        for (wanted, status) in
            [(true, SessionStatus::Initializing), (false, SessionStatus::Disconnected)]
        {
            let ready = state(SessionStatus::Ready, wanted);
            let died = SessionInput::ProcessDied;
            let (next, effects) = transition(&ready, &SessionConfig::default(), died);
            assert_eq!((next.status, next.wanted, effects), (status, wanted, vec![]));
        }
    }

    #[test]
    fn a_session_that_was_not_brought_back_stays_wanted_and_says_why() {
        let ready = state(SessionStatus::Ready, true);
        let over = SessionInput::NotRestored("the cap of 1 is reached".into());
        let (next, effects) = transition(&ready, &SessionConfig::default(), over);
        assert_eq!((next.status, next.wanted), (SessionStatus::Disconnected, true));
        assert_eq!(next.last_error.as_deref(), Some("the cap of 1 is reached"));
        assert!(effects.is_empty());
    }

    fn any_input() -> impl Strategy<Value = SessionInput> {
        prop_oneof![
            Just(SessionInput::Start),
            Just(SessionInput::Stop),
            Just(SessionInput::Logout),
            Just(SessionInput::Shutdown),
            Just(SessionInput::QrShown),
            Just(SessionInput::Paired),
            Just(SessionInput::Connected),
            Just(SessionInput::RetryDue),
            Just(link()),
            Just(SessionInput::Lost(LossCause::Ledger("away".into()))),
            Just(SessionInput::Lost(LossCause::LoggedOut)),
            Just(SessionInput::Lost(LossCause::Replaced)),
            Just(SessionInput::Lost(LossCause::PairingExpired)),
            Just(SessionInput::ProcessDied),
            Just(SessionInput::TaskFailed),
        ]
    }

    proptest! {
        /// Whatever happens: an unwanted session is never opened, and a wanted one is never left without a next step.
        #[test]
        fn wanted_and_working_agree(inputs in proptest::collection::vec(any_input(), 0..40)) {
            let mut now = state(SessionStatus::Created, false);
            for input in inputs {
                let was_start = input == SessionInput::Start;
                let was_loss = matches!(input, SessionInput::Lost(_));
                let (next, effects) = transition(&now, &SessionConfig::default(), input);
                if effects.contains(&Effect::Open) {
                    prop_assert!(next.wanted && (was_start || now.wanted));
                }
                if was_loss && next.wanted {
                    let retries = effects.iter().any(|e| matches!(e, Effect::Retry { .. } | Effect::RetrySoon));
                    prop_assert!(retries);
                }
                use SessionStatus::{ActionRequired, Disconnected, Failed};
                if matches!(next.status, Disconnected | Failed | ActionRequired) {
                    prop_assert!(!next.wanted);
                }
                now = next;
            }
        }
    }
}
