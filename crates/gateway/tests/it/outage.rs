//! A ledger that is away, busy or silent for a while: nothing that was told is lost, and everything is right soon after
//! it came back.

use std::{sync::Arc, time::Duration};

use domain::{
    ChatId, SessionId,
    chat::ContactPatch,
    event::EventType,
    message::MessageStatus::*,
    port::{Call, EngineSignal, PeopleStore as _, ReceiptKind, SessionStore as _},
    session::{LossCause, SessionStatus},
};
use gateway::{Ports, sessions::StopSessionError};
use testkit::{Erring, Fault, Odds, OnSend, START, StoreParts, Trouble, build};

use crate::house::{House, PHONE, until};

/// Between two looks for sessions that nobody runs.
const EVERY: Duration = Duration::from_millis(10_007);
/// How long a call of the ledger hangs.
const HANG: Duration = Duration::from_secs(20);

/// A house on a ledger that errs when it is told to.
async fn erring() -> (House, Trouble) {
    let mut house = House::with(|options| options.takeover_interval = EVERY).await;
    let trouble = Trouble::new(3, Arc::new(house.clock.clone()), HANG);
    let store = Arc::new(Erring::new(Arc::new(house.store.clone()), &trouble));
    house.ports = Ports {
        store: Arc::new(StoreParts {
            ledger: Arc::new(Erring::new(house.ledger.clone(), &trouble)),
            ..StoreParts::of(store.clone())
        }),
        queue: store,
        ..house.ports.clone()
    };
    house.restart().await;
    (house, trouble)
}

/// Time passes while nobody gets anything from the ledger.
async fn passes(house: &House, time: Duration) {
    let end = house.now().plus(time);
    while house.now() < end {
        house.clock.advance(Duration::from_millis(500));
        // Not a yield: the ledger works on threads of its own.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Time passes until something is done. Real work between the steps gets real time, and time never stops before it is
/// done: a timer that is set after its time has passed would never ring.
async fn while_time_passes<T>(house: &House, work: impl Future<Output = T>) -> T {
    let time = async {
        loop {
            house.clock.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = async {
        tokio::select! {
            done = work => done,
            () = time => unreachable!("time never ends"),
        }
    };
    crate::house::within("an end", done).await
}

/// Something holds before a minute has passed.
async fn soon(house: &House, what: &str, holds: impl AsyncFnMut() -> bool) {
    soon_after(house, Duration::from_secs(60), what, holds).await;
}

/// Something holds before a time has passed.
async fn soon_after(
    house: &House,
    limit: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> bool,
) {
    let end = house.now().plus(limit);
    until(what, async || {
        assert!(house.now() < end, "not in time: {what}");
        house.clock.advance(Duration::from_millis(100));
        holds().await
    })
    .await;
}

fn count(house: &House, session: SessionId, kind: EventType) -> usize {
    house.told(session, kind).len()
}

fn call() -> EngineSignal {
    EngineSignal::Call(Call {
        id: "C1".into(),
        from: build::chat(1),
        video: false,
        group: false,
        timestamp: START.seconds(),
        outcome: None,
        source: None,
    })
}

fn name(id: ChatId) -> EngineSignal {
    let patch = ContactPatch { push_name: Some("Mia".into()), ..ContactPatch::default() };
    EngineSignal::Contact { id, patch }
}

/// Away, busy, silent: every call fails, each in its way.
const GONE: Odds =
    Odds { unavailable: 400, busy: 400, hang: 200, applied: 0, applied_hang: 0, slow: 0 };

#[tokio::test]
async fn after_five_minutes_without_a_ledger_everything_is_right_within_a_minute() {
    let (house, trouble) = erring().await;
    let bakery = house.ready("bakery").await;
    let florist = house.showing_qr("florist").await;
    house.whatsapp.on_send(OnSend::Silence);
    let (sent, _) = tokio::join!(house.send(bakery, "one"), house.stay_silent());
    let id = sent.unwrap().id;
    trouble.odds(GONE, &[]);
    let told = async {
        let link = house.whatsapp.connection(bakery);
        link.ack(&id).await;
        let (chat, ids) = (build::chat(1), vec![id.clone()]);
        let (kind, timestamp) = (ReceiptKind::Delivered, START.seconds());
        link.signal(EngineSignal::Receipt { chat, participant: None, ids, kind, timestamp }).await;
        link.signal(call()).await;
        link.signal(name(build::chat(7))).await;
        assert!(link.messages(vec![build::inbound(1, &build::chat(1))]).await.is_err());
        house.whatsapp.scan(florist, PHONE).await;
        link.lose(LossCause::Link("reset".into())).await;
        assert!(house.send(bakery, "two").await.is_err());
    };
    tokio::join!(told, passes(&house, Duration::from_secs(300)));
    trouble.over();
    for session in [bakery, florist] {
        soon(&house, "ready", async || house.record(session).await.status == SessionStatus::Ready)
            .await;
    }
    soon(&house, "the receipt", async || house.status(bakery, &id).await == Delivered).await;
    soon(&house, "a send", async || house.send(bakery, "three").await.is_ok()).await;
    // WhatsApp hands over again what was not acknowledged.
    house
        .whatsapp
        .connection(bakery)
        .messages(vec![build::inbound(1, &build::chat(1))])
        .await
        .unwrap();
    assert_eq!(count(&house, bakery, EventType::MessageReceived), 1);
    assert_eq!(count(&house, bakery, EventType::CallReceived), 1);
    assert_eq!(house.told(bakery, EventType::SessionDisconnected).len(), 1, "the lost link");
    let sent: Vec<_> = house
        .told(bakery, EventType::MessageSent)
        .into_iter()
        .filter(|event| event.draft.data.value()["id"] == id.as_str())
        .collect();
    assert_eq!(sent.len(), 1);
    let contact = house.store.contact(bakery, &build::chat(7)).await.unwrap();
    assert_eq!(contact.unwrap().push_name.as_deref(), Some("Mia"));
    let statuses: Vec<String> = house
        .told(florist, EventType::SessionStatus)
        .iter()
        .map(|event| event.draft.data.value()["status"].as_str().unwrap().to_owned())
        .collect();
    // Also what happened while it was away.
    assert_eq!(statuses[..4], ["initializing", "qr_ready", "authenticating", "ready"]);
    assert_eq!(house.whatsapp.sent().iter().filter(|message| message.id == id).count(), 1);
}

#[tokio::test]
async fn a_session_that_connects_while_the_ledger_is_away_sends_and_its_record_follows() {
    let (house, trouble) = erring().await;
    let session = house.showing_qr("bakery").await;
    trouble.always("Ledger::write", Fault::Unavailable);
    let scan = house.whatsapp.scan(session, PHONE);
    tokio::join!(scan, passes(&house, Duration::from_secs(20)));
    assert_eq!(house.record(session).await.status, SessionStatus::QrReady);
    trouble.over();
    // It does not wait for its record.
    let (sent, ()) = tokio::join!(house.send(session, "one"), passes(&house, HANG));
    sent.unwrap();
    soon(&house, "its record", async || house.record(session).await.status == SessionStatus::Ready)
        .await;
    assert_eq!(house.record(session).await.push_name.as_deref(), Some("Corner Bakery"));
    assert_eq!(count(&house, session, EventType::SessionAuthenticated), 1);
    assert_eq!(house.whatsapp.opens().len(), 1, "on the same connection");
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_tells_nothing_twice() {
    let (house, trouble) = erring().await;
    let session = house.showing_qr("bakery").await;
    trouble.next("Ledger::write", [Some(Fault::Applied), Some(Fault::Applied), None]);
    let scan = house.whatsapp.scan(session, PHONE);
    tokio::join!(scan, passes(&house, Duration::from_secs(3)));
    soon(&house, "ready", async || house.record(session).await.status == SessionStatus::Ready)
        .await;
    assert_eq!(trouble.strikes(), 2);
    let log =
        domain::port::EventLog::read_events(&house.store, 0, Some(session), 100).await.unwrap();
    let count = |kind| log.iter().filter(|logged| logged.event.draft.kind == kind).count();
    assert_eq!(count(EventType::SessionAuthenticated), 1);
    assert_eq!(count(EventType::SessionStatus), 4);
}

#[tokio::test]
async fn a_stop_that_is_not_in_the_ledger_is_no_success_and_is_not_forgotten() {
    let (house, trouble) = erring().await;
    let (stopped, killed) = (house.ready("stopped").await, house.ready("killed").await);
    trouble.always("Ledger::write", Fault::Unavailable);
    let sessions = &house.gateway.sessions;
    let both = async { tokio::join!(sessions.stop(stopped), sessions.force_kill(killed)) };
    let (stop, kill) = while_time_passes(&house, Box::pin(both)).await;
    assert!(matches!(stop, Err(StopSessionError::Store(_))));
    assert!(matches!(kill, Err(StopSessionError::Store(_))));
    for session in [stopped, killed] {
        assert!(house.whatsapp.connection(session).is_closed());
        assert!(house.record(session).await.wanted);
    }
    // Longer than a lease: nobody takes up again what is to be down.
    passes(&house, Duration::from_secs(90)).await;
    trouble.over();
    for session in [stopped, killed] {
        soon(&house, "stopped", async || !house.record(session).await.wanted).await;
        assert_eq!(house.record(session).await.status, SessionStatus::Disconnected);
    }
    passes(&house, Duration::from_secs(90)).await;
    assert_eq!(house.whatsapp.opens().len(), 2);
    sessions.stop(stopped).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_kept_while_the_ledger_takes_nothing_from_the_task() {
    let (house, trouble) = erring().await;
    let session = house.ready("bakery").await;
    trouble.always("Ledger::write", Fault::Hang(Duration::from_secs(3600)));
    trouble.always("SessionStore::session", Fault::Hang(Duration::from_secs(3600)));
    house.whatsapp.connection(session).lose(LossCause::Link("reset".into())).await;
    let end = house.now().plus(Duration::from_secs(600));
    while house.now() < end {
        house.clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = Duration::from_secs(1);
    let taken = house.store.acquire_session(session, "another", house.now(), second);
    assert_eq!(taken.await.unwrap(), None);
}

#[tokio::test]
async fn a_session_ends_before_its_lease_does_whatever_its_task_waits_for() {
    let (house, trouble) = erring().await;
    let session = house.ready("bakery").await;
    let end = house.now().plus(Duration::from_secs(60));
    trouble.odds(Odds { hang: 1000, ..Odds::default() }, &[]);
    house.whatsapp.connection(session).signal(call()).await;
    passes(&house, Duration::from_secs(59)).await;
    until("closed", async || {
        house.clock.advance(Duration::from_millis(50));
        house.whatsapp.connection(session).is_closed()
    })
    .await;
    assert!(house.now() <= end.plus(Duration::from_millis(500)));
}

#[tokio::test]
async fn settling_goes_on_when_the_ledger_works_again() {
    let (house, trouble) = erring().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    let (sent, _) = tokio::join!(house.send(session, "one"), house.stay_silent());
    let id = sent.unwrap().id;
    let away = [Fault::Unavailable, Fault::Busy, Fault::Hang(HANG), Fault::Unavailable];
    trouble.next("MessageStore::unresolved_sends", away.map(Some));
    house.whatsapp.connection(session).lose(LossCause::Link("reset".into())).await;
    soon_after(&house, Duration::from_secs(300), "settled", async || {
        house.status(session, &id).await == Sent
    })
    .await;
    assert_eq!((trouble.strikes(), house.whatsapp.opens().len()), (4, 2), "on one connection");
    assert_eq!(house.whatsapp.sent().len(), 2);
    let (sent, ()) = tokio::join!(house.send(session, "two"), passes(&house, HANG));
    sent.unwrap();
}

/// When everything slow is over, the session that was started beside it runs on its second connection.
async fn runs(house: &House, session: SessionId) {
    passes(house, HANG).await;
    let ready = async || house.record(session).await.status == SessionStatus::Ready;
    soon(house, "ready", ready).await;
    let record = house.record(session).await;
    assert_eq!((record.wanted, record.last_error), (true, None));
    let holder = house.store.session_holder(session, house.now()).await.unwrap();
    assert!(holder.is_some(), "its lease is its own");
    assert_eq!(house.whatsapp.opens().len(), 2, "on the same connection");
    assert_eq!(house.hear(session, &build::chat(1)).await, 1);
}

#[tokio::test]
async fn a_start_keeps_its_lease_while_the_failure_of_another_is_written() {
    let (mut house, trouble) = erring().await;
    let session = house.ready("bakery").await;
    house.gateway.shutdown().await;
    // The start fails, and what its record says then is read slowly.
    let name = "SessionStore::session";
    let before = trouble.calls(name);
    trouble.next(name, [Some(Fault::Unavailable), Some(Fault::Slow(HANG))]);
    house.restart().await;
    until("the failure", async || trouble.calls(name) == before + 2).await;
    let start = house.gateway.sessions.start(session);
    while_time_passes(&house, start).await.unwrap();
    runs(&house, session).await;
}

#[tokio::test]
async fn a_start_keeps_its_lease_while_a_kill_is_written() {
    let (house, trouble) = erring().await;
    let session = house.ready("bakery").await;
    let name = "SessionStore::acquire_session";
    let before = trouble.calls(name);
    trouble.next(name, [Some(Fault::Slow(HANG))]);
    let sessions = &house.gateway.sessions;
    let kill = async { sessions.force_kill(session).await.unwrap() };
    let start = async {
        until("the kill", async || trouble.calls(name) > before).await;
        sessions.start(session).await.unwrap()
    };
    let both = async { tokio::join!(kill, start) };
    while_time_passes(&house, Box::pin(both)).await;
    runs(&house, session).await;
}
