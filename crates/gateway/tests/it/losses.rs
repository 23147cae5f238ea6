//! Connections that end, and tasks that panic.

use std::time::Duration;

use domain::{
    Timer,
    event::EventType,
    port::{EngineError, SessionStore as _},
    session::{LossCause, SessionStatus::*},
};
use serde_json::json;

use crate::house::{House, RECONNECT, until, within};

fn link() -> LossCause {
    LossCause::Link("connection reset".into())
}

/// The band of the n-th reconnect wait: doubled each time up to five minutes, 20 % either way.
fn band(failures: u32) -> (Duration, Duration) {
    let planned = (RECONNECT * 2u32.pow(failures - 1)).min(Duration::from_secs(300));
    (planned.mul_f64(0.8), planned.mul_f64(1.2))
}

#[tokio::test]
async fn permanent_causes_stop_the_session_and_say_why() {
    for (cause, status, reason) in [
        (LossCause::LoggedOut, Disconnected, Some("LOGOUT")),
        (LossCause::Banned("spam".into()), Failed, Some("BANNED")),
        (LossCause::Replaced, ActionRequired, Some("REPLACED")),
        (LossCause::ClientOutdated, Failed, Some("CLIENT_OUTDATED")),
        (LossCause::PairingExpired, ActionRequired, None),
        (LossCause::Misconfigured("no proxy".into()), Failed, None),
    ] {
        let mut house = House::start().await;
        let session = house.ready("bakery").await;
        house.whatsapp.connection(session).lose(cause.clone()).await;
        house.wait_unloaded(session).await;
        let record = house.record(session).await;
        assert_eq!((record.status, record.wanted), (status, false), "{cause:?}");
        assert_eq!(record.last_error.is_some(), cause != LossCause::LoggedOut, "{cause:?}");
        let told = house.told(session, EventType::SessionDisconnected);
        let reasons: Vec<_> =
            told.iter().map(|event| event.draft.data.value()["reason"].clone()).collect();
        assert_eq!(
            reasons.iter().collect::<Vec<_>>(),
            reason.iter().collect::<Vec<_>>(),
            "{cause:?}"
        );
        house.clock.advance(Duration::from_secs(3600));
        house.restart().await;
        assert_eq!(house.whatsapp.opens().len(), 1, "{cause:?}");
    }
}

#[tokio::test]
async fn a_phone_that_removes_the_device_makes_the_keys_worthless() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    house.whatsapp.connection(session).lose(LossCause::LoggedOut).await;
    house.wait_unloaded(session).await;
    assert!(!house.has_keys(session).await);
    assert_eq!(house.record(session).await.phone, None);
}

#[tokio::test]
async fn a_lost_link_backs_off_and_every_fifth_failure_is_told() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    for _ in 0..9 {
        house.whatsapp.fail_open(EngineError::Unanswered(None));
    }
    house.whatsapp.connection(session).lose(link()).await;
    let mut waits = vec![];
    for failures in 1..=10 {
        let (from, to) = band(failures);
        let wait = house.fire(Timer::Reconnect).await;
        assert!(wait >= from && wait <= to, "{failures}: {wait:?}");
        waits.push(wait);
        within("the next open", house.whatsapp.opened(failures as usize + 1)).await;
    }
    assert!(waits[2..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter: {waits:?}");
    house.wait_for(session, Ready).await;
    let loops = house.told(session, EventType::SessionReconnectLoop);
    let loops: Vec<_> = loops.iter().map(|event| event.draft.data.value()).collect();
    let expected: Vec<_> = [5, 10]
        .iter()
        .map(|attempts| {
            let next = u64::try_from(waits[attempts - 1].as_millis()).unwrap();
            json!({ "sessionId": session, "attempts": attempts, "nextDelayMs": next })
        })
        .collect();
    assert_eq!(loops, expected);
    // Told once, for the connection that was there.
    assert_eq!(house.told(session, EventType::SessionDisconnected).len(), 1);
    let record = house.record(session).await;
    assert_eq!(record.last_error, None);
}

#[tokio::test]
async fn a_limit_on_tries_gives_up() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let patch = gateway::sessions::ConfigPatch {
        max_reconnect_attempts: Some(Some(1)),
        ..Default::default()
    };
    house.gateway.sessions.set_config(session, patch).await.unwrap();
    house.whatsapp.fail_open(EngineError::NotConnected);
    house.whatsapp.connection(session).lose(link()).await;
    let (from, to) = band(1);
    let wait = house.fire(Timer::Reconnect).await;
    assert!(wait >= from && wait <= to, "{wait:?}");
    house.wait_unloaded(session).await;
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted), (Failed, false));
}

#[tokio::test]
async fn a_stop_ends_the_waiting_for_a_reconnect() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.connection(session).lose(link()).await;
    let (from, to) = band(1);
    let wait = within("the wait", house.clock.awaited(Timer::Reconnect)).await.since(house.now());
    assert!(wait >= from && wait <= to, "{wait:?}");
    house.gateway.sessions.stop(session).await.unwrap();
    assert!(!house.loaded(session).await);
    house.clock.advance(Duration::from_secs(3600));
    assert_eq!(house.whatsapp.opens().len(), 1);
}

#[tokio::test]
async fn a_lease_that_was_taken_away_ends_the_connection() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.taken_by("another", session, Duration::from_secs(600)).await;
    house.pass(Timer::LeaseRenewal, Duration::from_secs(20)).await;
    house.wait_unloaded(session).await;
    assert!(house.whatsapp.connection(session).is_closed());
    // The record is the other one's now.
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted), (Ready, true));
}

#[tokio::test]
async fn a_lease_is_renewed_while_the_session_runs_and_given_back_after() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    for _ in 0..10 {
        house.pass(Timer::LeaseRenewal, Duration::from_secs(20)).await;
    }
    let another = async || {
        let second = Duration::from_secs(1);
        house
            .store
            .acquire_session(session, "another", house.now(), second)
            .await
            .unwrap()
            .is_some()
    };
    assert!(!another().await);
    house.gateway.sessions.stop(session).await.unwrap();
    assert!(another().await);
}

/// The wait after a first panic.
fn is_about_a_second(wait: Duration) {
    let (from, to) = (Duration::from_millis(800), Duration::from_millis(1200));
    assert!(wait >= from && wait <= to, "{wait:?}");
}

#[tokio::test]
async fn a_panic_hurts_nobody_else_and_the_session_comes_back() {
    let house = House::start().await;
    let (broken, other) = (house.ready("broken").await, house.ready("other").await);
    house.whatsapp.panic_on_open();
    house.whatsapp.connection(broken).lose(link()).await;
    let (from, to) = band(1);
    let wait = house.fire(Timer::Reconnect).await;
    assert!(wait >= from && wait <= to, "{wait:?}");
    within("the open that panics", house.whatsapp.opened(3)).await;
    until("the wait of the next life", async || house.loaded(broken).await).await;
    // The others go on.
    house.send(other, "still here").await.unwrap();
    assert!(house.loaded(other).await && house.loaded(broken).await);
    assert!(house.record(broken).await.wanted);
    is_about_a_second(house.fire(Timer::SessionRestart).await);
    within("the open after it", house.whatsapp.opened(4)).await;
    house.wait_for(broken, Ready).await;
    house.send(broken, "back again").await.unwrap();
    let failed = tokio::time::timeout(Duration::ZERO, house.gateway.failed()).await;
    assert!(failed.is_err(), "the process goes on");
}

#[tokio::test]
async fn a_panic_in_the_very_first_step_is_survived() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    house.whatsapp.panic_on_open();
    within("the start", house.gateway.sessions.start(session)).await.unwrap();
    is_about_a_second(house.fire(Timer::SessionRestart).await);
    house.wait_for(session, QrReady).await;
}

#[tokio::test]
async fn a_session_can_be_stopped_between_a_panic_and_its_next_life() {
    let house = House::start().await;
    for name in ["stop", "kill", "delete", "logout"] {
        let session = house.session(name).await;
        house.whatsapp.panic_on_open();
        let sessions = &house.gateway.sessions;
        sessions.start(session).await.unwrap();
        let next = within("the wait", house.clock.awaited(Timer::SessionRestart)).await;
        is_about_a_second(next.since(house.now()));
        let opens = house.whatsapp.opens().len();
        let act = async {
            match name {
                "stop" => drop(sessions.stop(session).await.unwrap()),
                "kill" => drop(sessions.force_kill(session).await.unwrap()),
                "logout" => assert!(sessions.logout(session).await.is_err()),
                _ => assert!(sessions.delete(session).await.unwrap()),
            }
        };
        within(name, act).await;
        house.clock.advance(Duration::from_secs(600));
        if name != "delete" {
            assert!(!house.loaded(session).await, "{name}");
            let record = house.record(session).await;
            assert_eq!((record.status, record.wanted), (Disconnected, false), "{name}");
        }
        assert_eq!(house.whatsapp.opens().len(), opens, "{name}");
    }
}
