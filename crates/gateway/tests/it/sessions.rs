//! Lives of sessions, as people steer them.

use std::time::Duration;

use domain::{
    PhoneNumber,
    event::EventType,
    port::{EngineError, SessionStore as _},
    session::SessionStatus::{self, *},
};
use gateway::sessions::{
    CreateSessionError, LogoutSessionError, NewSession, PairingError, QrError, StartSessionError,
    StopSessionError,
};
use serde_json::json;
use testkit::build;

use crate::house::{House, PHONE, until, within};

fn statuses(house: &House, session: domain::SessionId) -> Vec<String> {
    let told = house.told(session, EventType::SessionStatus);
    told.iter()
        .map(|event| event.draft.data.value()["status"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_scan_links_a_session() {
    let house = House::start().await;
    let sessions = &house.gateway.sessions;
    let session = house.session("bakery").await;
    assert!(matches!(sessions.qr(session).await, Err(QrError::NotStarted)));
    let view = sessions.start(session).await.unwrap();
    assert!(view.engine_loaded);
    house.wait_for(session, QrReady).await;
    let qr = sessions.qr(session).await.unwrap();
    assert!(qr.png_data_url.starts_with("data:image/png;base64,"));
    assert_eq!(qr.status, QrReady);
    let phone = PhoneNumber::parse(PHONE).unwrap();
    assert_eq!(sessions.pairing_code(session, &phone).await.unwrap().code, "ABCD1234");

    house.whatsapp.scan(session, PHONE).await;
    house.wait_for(session, Ready).await;
    let record = house.record(session).await;
    assert_eq!(record.phone, Some(phone.clone()));
    assert_eq!(record.push_name.as_deref(), Some("Corner Bakery"));
    assert_eq!(record.connected_at, Some(house.now()));
    assert!(matches!(sessions.qr(session).await, Err(QrError::AlreadyLinked)));
    let refused = sessions.pairing_code(session, &phone).await;
    assert!(matches!(refused, Err(PairingError::AlreadyLinked)));

    assert_eq!(statuses(&house, session), ["initializing", "qr_ready", "authenticating", "ready"]);
    let qr_event = &house.told(session, EventType::SessionQr)[0];
    assert_eq!(qr_event.draft.data.value()["qr"], qr.png_data_url);
    let told = &house.told(session, EventType::SessionAuthenticated)[0];
    assert_eq!(
        told.draft.data.value(),
        json!({ "sessionId": session, "phone": PHONE, "pushName": "Corner Bakery" })
    );
    let sequences: Vec<u64> = house.events(session).iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=6).collect::<Vec<u64>>());
}

#[tokio::test]
async fn names_are_checked_and_unique() {
    let house = House::start().await;
    house.session("bakery").await;
    let create = async |name: &str| {
        let new = NewSession { name: name.into(), config: Default::default(), proxy: None };
        house.gateway.sessions.create(new).await
    };
    assert!(matches!(create("bakery").await, Err(CreateSessionError::NameTaken(_))));
    for name in ["", "ab", "a b c", "käse", &"x".repeat(51)] {
        assert!(matches!(create(name).await, Err(CreateSessionError::InvalidName)), "{name}");
    }
}

#[tokio::test]
async fn a_restart_brings_back_what_was_running_and_nothing_else() {
    let mut house = House::start().await;
    let (running, stopped) = (house.ready("running").await, house.ready("stopped").await);
    let never = house.session("never").await;
    house.gateway.sessions.stop(stopped).await.unwrap();
    house.restart().await;
    within("the open", house.whatsapp.opened(3)).await;
    until("brought back", async || house.loaded(running).await).await;
    house.wait_for(running, Ready).await;
    assert!(!house.loaded(stopped).await && !house.loaded(never).await);
    let record = house.record(stopped).await;
    assert_eq!((record.status, record.wanted), (Disconnected, false));
    assert_eq!(house.record(never).await.status, Created);
    assert_eq!(house.whatsapp.opens().len(), 3);
    assert_eq!(house.whatsapp.opens()[2].lease.session, running);
}

#[tokio::test]
async fn after_a_restart_no_record_says_that_it_runs_before_it_does() {
    let mut house = House::start().await;
    let (one, other) = (house.ready("one").await, house.ready("other").await);
    house.options.max_concurrent_sessions = 1;
    house.restart().await;
    // Nothing was waited for since the start: the records were put right before it returned.
    for session in [one, other] {
        let record = house.record(session).await;
        assert!(record.status != Ready || house.loaded(session).await, "{record:?}");
    }
    until("one is back", async || {
        house.record(one).await.status == Ready || house.record(other).await.status == Ready
    })
    .await;
    until("the other says why it stays down", async || {
        let records = [house.record(one).await, house.record(other).await];
        records.iter().any(|record| {
            record.status == Disconnected
                && record.last_error.as_deref() == Some("the cap of 1 running sessions is reached")
        })
    })
    .await;
}

#[tokio::test]
async fn a_stop_closes_the_connection_and_keeps_the_keys() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    let view = house.gateway.sessions.stop(session).await.unwrap();
    assert_eq!((view.session.status, view.engine_loaded), (Disconnected, false));
    assert!(view.session.phone.is_some());
    assert!(house.whatsapp.connection(session).is_closed());
    assert!(house.has_keys(session).await);
    assert!(house.whatsapp.unlinked().is_empty());
    // Again is fine, and tells nothing new.
    house.gateway.sessions.stop(session).await.unwrap();
    assert_eq!(statuses(&house, session).last().unwrap(), "disconnected");
    assert_eq!(statuses(&house, session).len(), 3);
    // And it can be started again.
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, Ready).await;
}

#[tokio::test]
async fn a_logout_tells_whatsapp_and_deletes_the_keys() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    let view = house.gateway.sessions.logout(session).await.unwrap();
    assert_eq!((view.session.status, view.engine_loaded), (Disconnected, false));
    assert_eq!(view.session.phone, None);
    assert_eq!(house.whatsapp.unlinked(), [session]);
    assert!(!house.has_keys(session).await);
    let again = house.gateway.sessions.logout(session).await;
    assert!(matches!(again, Err(LogoutSessionError::NotStarted)));
    // The next start begins with a QR code.
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, QrReady).await;
}

#[tokio::test]
async fn a_logout_that_whatsapp_does_not_confirm_is_incomplete_but_done_here() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    house.whatsapp.fail_unlink(EngineError::Unanswered(None));
    let outcome = house.gateway.sessions.logout(session).await;
    assert!(matches!(outcome, Err(LogoutSessionError::Incomplete)));
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted, record.phone), (Disconnected, false, None));
    assert!(!house.loaded(session).await && !house.has_keys(session).await);
}

#[tokio::test]
async fn a_force_kill_asks_nobody_and_keeps_the_keys() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    let view = house.gateway.sessions.force_kill(session).await.unwrap();
    assert_eq!((view.session.status, view.engine_loaded), (Disconnected, false));
    assert!(house.whatsapp.connection(session).is_closed() && house.has_keys(session).await);
    let again = house.gateway.sessions.force_kill(session).await;
    assert!(matches!(again, Err(StopSessionError::NotStarted)));
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, Ready).await;
}

#[tokio::test]
async fn a_deleted_session_leaves_nothing() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let sent = house.send(session, "hello").await.unwrap();
    assert!(house.gateway.sessions.delete(session).await.unwrap());
    assert!(house.whatsapp.connection(session).is_closed());
    assert_eq!(house.gateway.sessions.get(session).await.unwrap(), None);
    assert_eq!(house.message(session, &sent.id).await, None);
    assert!(!house.gateway.sessions.delete(session).await.unwrap());
    house.session("bakery").await;
}

#[tokio::test]
async fn unknown_sessions_are_told_apart() {
    let house = House::start().await;
    let unknown = build::session(9).id;
    let sessions = &house.gateway.sessions;
    assert!(matches!(sessions.start(unknown).await, Err(StartSessionError::NotFound(_))));
    assert!(matches!(sessions.stop(unknown).await, Err(StopSessionError::NotFound(_))));
    assert!(matches!(sessions.logout(unknown).await, Err(LogoutSessionError::NotFound(_))));
    assert!(matches!(sessions.force_kill(unknown).await, Err(StopSessionError::NotFound(_))));
    assert!(matches!(sessions.qr(unknown).await, Err(QrError::NotFound(_))));
}

#[tokio::test]
async fn the_cap_counts_started_sessions() {
    let house = House::with(|options| options.max_concurrent_sessions = 1).await;
    let (first, second) = (house.ready("first").await, house.session("second").await);
    let sessions = &house.gateway.sessions;
    assert!(matches!(sessions.start(first).await, Err(StartSessionError::AlreadyStarted)));
    assert!(matches!(sessions.start(second).await, Err(StartSessionError::TooMany(1))));
    assert_eq!(house.record(second).await.status, Created);
    sessions.stop(first).await.unwrap();
    sessions.start(second).await.unwrap();
}

#[tokio::test]
async fn a_session_that_another_process_holds_is_not_opened() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let minute = Duration::from_secs(60);
    house.store.acquire_session(session, "another", house.now(), minute).await.unwrap().unwrap();
    let refused = house.gateway.sessions.start(session).await;
    assert!(matches!(refused, Err(StartSessionError::HeldElsewhere)));
    assert!(house.whatsapp.opens().is_empty());
    assert!(!house.loaded(session).await);
    // A dead owner's lease runs out.
    house.clock.advance(Duration::from_secs(60));
    house.gateway.sessions.start(session).await.unwrap();
    assert_eq!(house.whatsapp.opens().len(), 1);
}

#[tokio::test]
async fn nothing_starts_while_the_gateway_shuts_down() {
    let house = House::start().await;
    let (running, other) = (house.ready("running").await, house.session("other").await);
    house.gateway.shutdown().await;
    assert!(house.whatsapp.connection(running).is_closed());
    // What the user wants has not changed.
    assert!(house.record(running).await.wanted);
    let refused = house.gateway.sessions.start(other).await;
    assert!(matches!(refused, Err(StartSessionError::ShuttingDown)));
}

#[tokio::test]
async fn a_start_whose_caller_goes_away_leaves_no_ghost() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    // Dropped after every possible number of polls.
    for polls in 1..60 {
        let mut start = Box::pin(house.gateway.sessions.start(session));
        let mut done = false;
        for _ in 0..polls {
            done = futures::poll!(&mut start).is_ready();
            if done {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(start);
        house.gateway.sessions.stop(session).await.unwrap();
        assert!(!house.loaded(session).await, "after {polls} polls");
        if done {
            break;
        }
    }
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, SessionStatus::QrReady).await;
}

#[tokio::test]
async fn the_overview_counts_what_may_be_seen() {
    let house = House::start().await;
    let (ready, stopped) = (house.ready("ready").await, house.ready("stopped").await);
    house.session("never").await;
    house.gateway.sessions.stop(stopped).await.unwrap();
    let all = house.gateway.sessions.overview(&|_| true).await.unwrap();
    assert_eq!((all.total, all.active, all.ready, all.disconnected), (3, 1, 1, 1));
    let one = house.gateway.sessions.overview(&|id| id == ready).await.unwrap();
    assert_eq!((one.total, one.by_status), (1, [("ready", 1)].into()));
}
