//! How connections end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{
    message::Content,
    port::{EngineError, EngineSignal},
    session::LossCause,
};

use crate::support::{
    ALICE, BOB, Heard, LIMIT, Line, World, engine, open_with, options, text, until,
};

#[tokio::test]
async fn a_broken_link_is_lost_once_and_opens_again() {
    let world = World::new().await;
    let (session, device, line) = world.connected(ALICE).await;
    world.network.kick(ALICE, device.device_id).await;
    assert!(matches!(line.ear.lost().await, LossCause::Link(_)));
    until("the server sees it", || !world.network.is_connected(ALICE, device.device_id)).await;

    // Open again from inside the loss, without closing first.
    let again = world.open(session).await;
    again.ear.connected().await;
    assert_eq!(line.ear.all(), [], "nothing follows a loss");
    // The session's own backoff decides when to come back, not the engine's: one login per open.
    assert_eq!(world.network.record().handshakes, [("IK".to_owned(), 2)].into());
    line.connection.close().await;
    assert!(world.network.is_connected(ALICE, device.device_id), "closing the old one is harmless");
    again.connection.close().await;
}

#[tokio::test]
async fn a_device_removed_on_the_phone_is_logged_out() {
    let world = World::new().await;
    let (session, device, line) = world.connected(ALICE).await;
    world.network.unlink(ALICE, device.device_id).await.unwrap();
    assert_eq!(line.ear.lost().await, LossCause::LoggedOut);
    let again = world.open(session).await;
    assert_eq!(again.ear.lost().await, LossCause::LoggedOut);
}

#[tokio::test]
async fn the_older_of_two_logins_is_replaced() {
    let world = World::new().await;
    let (session, _, line) = world.connected(ALICE).await;
    let elsewhere = engine(options(&world.network), &world.keys);
    let newer = open_with(&elsewhere, session, None).await.unwrap();
    newer.ear.connected().await;
    assert_eq!(line.ear.lost().await, LossCause::Replaced);
    newer.connection.close().await;
}

#[tokio::test]
async fn a_session_has_one_connection() {
    let world = World::new().await;
    let (session, _, line) = world.connected(ALICE).await;
    let second = world.try_open(session, None).await;
    assert!(matches!(second.err(), Some(EngineError::WrongState(_))));
    // A refused second one takes nothing from the first.
    line.connection.close().await;
    let again = world.open(session).await;
    again.ear.connected().await;
    again.connection.close().await;
}

#[tokio::test]
async fn refused_logins_say_why() {
    let world = World::new().await;
    let (session, _) = world.linked(ALICE).await;
    for (reason, expected) in [
        (405, LossCause::ClientOutdated),
        (401, LossCause::LoggedOut),
        (403, LossCause::Banned("the account is locked (code 403)".into())),
        (406, LossCause::Banned("the account may no longer use WhatsApp (code 406)".into())),
        (503, LossCause::Link("WhatsApp is out of order at the moment (code 503)".into())),
        (418, LossCause::Link("WhatsApp refused the login (code 418)".into())),
    ] {
        world.network.faults().refuse_login(ALICE, reason, 1);
        let line = world.open(session).await;
        assert_eq!(line.ear.lost().await, expected, "{reason}");
        assert_eq!(line.ear.all(), []);
    }
    world.network.faults().refuse_login(ALICE, 402, 1);
    let line = world.open(session).await;
    match line.ear.lost().await {
        LossCause::Banned(reason) => assert!(reason.ends_with("it ends in 1 h 0 min"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dead_server_is_a_lost_link() {
    let world = World::new().await;
    let (session, _) = world.linked(ALICE).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut elsewhere = options(&world.network);
    elsewhere.chat_url =
        format!("ws://{}/ws/chat", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let line = open_with(&engine(elsewhere, &world.keys), session, None).await.unwrap();
    assert_eq!(line.ear.lost().await, LossCause::Link("WhatsApp cannot be reached".into()));
}

#[tokio::test]
async fn a_silent_server_is_a_lost_link() {
    let world = World::new().await;
    let (session, _) = world.linked(ALICE).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut elsewhere = options(&world.network);
    elsewhere.connect_limit = Duration::from_millis(200);
    elsewhere.chat_url =
        format!("ws://{}/ws/chat", listener.local_addr().unwrap()).parse().unwrap();
    let line = open_with(&engine(elsewhere, &world.keys), session, None).await.unwrap();
    let expected = LossCause::Link("the connection was not made in time".into());
    assert_eq!(line.ear.lost().await, expected);
}

#[tokio::test]
async fn closing_is_silent_and_can_be_repeated() {
    let world = World::new().await;
    let (_, device, line) = world.connected(ALICE).await;
    line.connection.close().await;
    line.connection.close().await;
    until("the server sees it", || !world.network.is_connected(ALICE, device.device_id)).await;
    assert_eq!(line.ear.all(), []);
}

#[tokio::test]
async fn dropping_the_handle_closes() {
    let world = World::new().await;
    let (session, device, line) = world.connected(ALICE).await;
    drop(line.connection);
    until("the server sees it", || !world.network.is_connected(ALICE, device.device_id)).await;
    assert_eq!(line.ear.all(), []);
    let again = tokio::time::timeout(LIMIT, async {
        loop {
            match world.try_open(session, None).await {
                Ok(line) => return line,
                Err(EngineError::WrongState(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await
    .unwrap();
    again.ear.connected().await;
    again.connection.close().await;
}

#[tokio::test]
async fn a_stuck_sink_does_not_keep_a_connection_open() {
    let world = World::new().await;
    let (_, device, line) = world.connected(ALICE).await;
    line.ear.stuck.store(true, Ordering::SeqCst);
    world.network.kick(ALICE, device.device_id).await;
    tokio::time::timeout(LIMIT, line.connection.close()).await.unwrap();
    let lost = |heard: &Heard| matches!(heard, Heard::Signal(EngineSignal::Lost(_)));
    assert!(!line.ear.all().iter().any(lost));
}

#[tokio::test]
async fn closing_does_not_wait_for_a_dial() {
    let world = World::new().await;
    let (session, _) = world.linked(ALICE).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut elsewhere = options(&world.network);
    elsewhere.chat_url =
        format!("ws://{}/ws/chat", listener.local_addr().unwrap()).parse().unwrap();
    let line = open_with(&engine(elsewhere, &world.keys), session, None).await.unwrap();
    // It is dialled, and never answered.
    let _silent = listener.accept().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), line.connection.close()).await.unwrap();
    assert_eq!(line.ear.all(), []);
}

#[tokio::test]
async fn a_closed_connection_leaves_nothing_behind() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let Line { connection, ear } = line;
    assert!(Arc::strong_count(&ear) > 1);
    connection.close().await;
    drop(connection);
    until("every part of the connection is gone", || Arc::strong_count(&ear) == 1).await;
}

#[tokio::test]
async fn a_panic_in_the_engine_is_a_lost_link_and_the_session_opens_again() {
    let world = World::new().await;
    let (session, device, line) = world.connected(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    // In the signal that reports it.
    line.ear.breaks.store(true, Ordering::SeqCst);
    let _ = line.connection.send(text(BOB, "hello")).await;
    assert_eq!(line.ear.lost().await, LossCause::Link("the engine failed".into()));
    let refused = line.connection.send(text(BOB, "hello")).await;
    assert!(matches!(refused, Err(EngineError::NotConnected)), "{refused:?}");

    // In a task of the library.
    let again = world.open(session).await;
    again.ear.connected().await;
    again.ear.breaks.store(true, Ordering::SeqCst);
    let id = bob.send_text(ALICE, "still there").await.unwrap();
    assert_eq!(again.ear.lost().await, LossCause::Link("the engine failed".into()));
    let queued = world.network.queued(ALICE, device.device_id);
    assert!(queued.iter().any(|(_, queued)| *queued == id), "it is not acknowledged");
    let last = world.open(session).await;
    last.ear.message("still there").await;
    last.connection.close().await;
}

#[tokio::test]
async fn what_nobody_sends_again_waits_for_the_ledger_also_beyond_its_connection() {
    let world = World::new().await;
    let (session, device, line) = world.connected(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    let spoil = async |ear: &crate::support::Ear, body: &str| {
        ear.deaf.store(true, Ordering::SeqCst);
        let before = ear.refused.load(Ordering::SeqCst);
        world.network.faults().for_device(ALICE, device.device_id).corrupt_next(20);
        let id = bob.send_text(ALICE, body).await.unwrap();
        until("it was tried often", || ear.refused.load(Ordering::SeqCst) >= before + 4).await;
        id
    };
    let id = spoil(&line.ear, "spoilt").await;
    line.ear.deaf.store(false, Ordering::SeqCst);
    assert_eq!(line.ear.by_id(&id).await.content, Content::Undecryptable);

    let id = spoil(&line.ear, "spoilt too").await;
    until("WhatsApp has done with it", || world.network.queued(ALICE, device.device_id).is_empty())
        .await;
    line.connection.close().await;
    let again = world.open(session).await;
    assert_eq!(again.ear.by_id(&id).await.content, Content::Undecryptable);
    again.connection.close().await;
}
