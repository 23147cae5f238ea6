//! How a device becomes linked, stays linked, and stops being linked.

use std::time::Duration;

use domain::port::{DeviceKeys as _, EngineError, EngineSignal};

use crate::support::{ALICE, Heard, LIMIT, World, lease, session, until};

fn phone() -> domain::PhoneNumber {
    domain::PhoneNumber::parse(ALICE).unwrap()
}

async fn paired(ear: &crate::support::Ear) -> EngineSignal {
    ear.hear(|heard| match heard {
        Heard::Signal(signal @ EngineSignal::Paired { .. }) => Some(signal.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_scanned_qr_code_links_and_logs_in() {
    let world = World::new().await;
    let lid = world.network.account(ALICE).unwrap().lid().to_owned();
    let lid: domain::ChatId = format!("{lid}@lid").parse().unwrap();
    let session = session();
    let line = world.open(session).await;
    let code = line.ear.qr().await;
    let device = world.network.scan_qr(ALICE, &code).await.unwrap();

    let expected = EngineSignal::Paired { phone: phone(), lid: Some(lid.clone()) };
    assert_eq!(paired(&line.ear).await, expected);
    let EngineSignal::Connected { phone: number, lid: own, .. } = line.ear.connected().await else {
        unreachable!()
    };
    assert_eq!((number, own), (phone(), Some(lid)));
    // The restart after pairing is nobody's business.
    assert!(
        !line.ear.all().iter().any(|heard| matches!(heard, Heard::Signal(EngineSignal::Lost(_))))
    );

    // The keys are in the ledger: the next connection logs in with them. How that is told is tested
    // with a device that has a name: without one the library first waits for it, for ten seconds.
    line.connection.close().await;
    until("the server sees it", || !world.network.is_connected(ALICE, device)).await;
    let again = world.open(session).await;
    until("the device logs in", || world.network.is_connected(ALICE, device)).await;
    let record = world.network.record();
    assert_eq!(record.handshakes, [("XX".to_owned(), 2), ("IK".to_owned(), 1)].into());
    assert_eq!((record.unknown, record.unanswered), (vec![], vec![]));
    again.connection.close().await;
}

#[tokio::test]
async fn a_typed_code_links_and_logs_in() {
    let world = World::new().await;
    let line = world.open(session()).await;
    let code = line.connection.pairing_code(&phone()).await.unwrap();
    assert_eq!(code.len(), 8, "{code}");
    world.network.enter_code(ALICE, &code).await.unwrap();
    line.ear.connected().await;

    let again = line.connection.pairing_code(&phone()).await;
    assert!(matches!(again, Err(EngineError::WrongState(_))), "{again:?}");
    line.connection.close().await;
}

#[tokio::test]
async fn a_linked_device_logs_in_without_pairing() {
    let world = World::new().await;
    let (session, device) = world.linked(ALICE).await;
    let line = world.open(session).await;
    let expected = EngineSignal::Connected {
        phone: phone(),
        lid: Some(format!("{}@lid", device.lid).parse().unwrap()),
        push_name: Some("Alice".into()),
    };
    assert_eq!(line.ear.connected().await, expected);
    assert_eq!(world.network.record().handshakes, [("IK".to_owned(), 1)].into());
    line.connection.close().await;
}

#[tokio::test]
async fn unlinked_and_purged_it_asks_to_be_linked_again() {
    let world = World::new().await;
    let (session, device, line) = world.connected(ALICE).await;
    assert!(world.network.account(ALICE).unwrap().devices().contains(&device.device_id));
    line.connection.unlink(Duration::from_secs(20)).await.unwrap();
    assert!(!world.network.account(ALICE).unwrap().devices().contains(&device.device_id));
    // It was asked for, so it is no news.
    assert_eq!(line.ear.all(), []);

    world.keys.purge_device_keys(&lease(session)).await.unwrap();
    let again = world.open(session).await;
    again.ear.qr().await;
    again.connection.close().await;
    assert!(world.keys.count(session) > 0, "the fresh device is stored");
}

#[tokio::test]
async fn nothing_is_written_after_a_connection_was_closed() {
    let world = World::new().await;
    let (session, _, line) = world.connected(ALICE).await;
    line.connection.close().await;
    world.keys.purge_device_keys(&lease(session)).await.unwrap();
    // Long enough for a task that was forgotten to write once more.
    let wait = tokio::time::sleep(Duration::from_millis(300));
    tokio::time::timeout(LIMIT, wait).await.unwrap();
    assert_eq!(world.keys.count(session), 0);
}
