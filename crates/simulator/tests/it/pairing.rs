//! How a device comes to an account, and what happens when something is missing.

use std::time::{Duration, Instant};

use whatsapp_rust::{pair_code::PairCodeOptions, prelude::*};

use crate::support::*;

#[tokio::test]
async fn a_device_pairs_by_qr_code() {
    let network = network().await;
    let alice = Gateway::paired(&network, ALICE, "Alice").await;
    assert_eq!(alice.device, 1);
    assert_eq!(network.account(ALICE).unwrap().devices(), [1]);
    // The engine keeps the certificate from the first login on, not from the registration before it.
    assert_eq!(network.record().handshakes.get("XX"), Some(&2));
    network.kick(ALICE, alice.device).await;
    alice.event(|event| matches!(event, Event::Disconnected(_))).await;
    alice.until_connected().await;
    assert_eq!(network.record().handshakes.get("IK"), Some(&1));
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_device_pairs_by_eight_character_code() {
    let network = network().await;
    let start = Start { push_name: Some("Alice"), hook: None };
    let backend: std::sync::Arc<dyn whatsapp_rust::store::traits::Backend> =
        std::sync::Arc::new(whatsapp_rust::wacore::store::InMemoryBackend::new());
    let alice = Gateway::start(&network, backend, ALICE, 1, start).await;
    // The client shows a QR code first; the person chooses the code instead.
    alice.event(|event| matches!(event, Event::PairingQrCode(_))).await;
    let options = PairCodeOptions { phone_number: ALICE.to_owned(), ..Default::default() };
    let code = alice.client.pair_with_code(options).await.unwrap();
    assert_eq!(code.len(), 8, "{code}");
    network.enter_code(ALICE, &code).await.unwrap();
    alice.event(|event| matches!(event, Event::PairSuccess(_))).await;
    alice.until_connected().await;
    assert_eq!(network.account(ALICE).unwrap().devices(), [1]);
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_code_of_nobody_and_a_qr_of_nobody_are_refused() {
    let network = network().await;
    assert!(network.enter_code(ALICE, "ABCD1234").await.is_err());
    assert!(network.scan_qr(ALICE, "2@x,AAAA,AAAA,AAAA").await.is_err());
    assert!(network.scan_qr("000", "2@x,AAAA,AAAA,AAAA").await.is_err());
}

#[tokio::test]
async fn pairing_without_the_app_state_key_connects_after_the_engines_grace_period() {
    let network = network().await;
    network.faults().withhold_key_share(1);
    let started = Instant::now();
    let alice = Gateway::paired(&network, ALICE, "Alice").await;
    assert!(
        started.elapsed() >= Duration::from_secs(5),
        "the engine waits for the key: {:?}",
        started.elapsed()
    );
    drop(alice);
    assert_all_answered(&network);
}

#[tokio::test]
async fn pairing_without_a_push_name_connects_but_cannot_announce_presence() {
    let network = network().await;
    let alice = Gateway::pair(&network, ALICE, Start::default()).await;
    assert_eq!(alice.client.push_name(), "");
    assert!(alice.client.presence().set_available().await.is_err());
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_removed_device_is_logged_out_at_its_next_login() {
    let network = network().await;
    let mut alice = Gateway::linked(&network, ALICE).await;
    alice.stop().await;
    until(|| !network.is_connected(ALICE, alice.device)).await;
    network.unlink(ALICE, alice.device).await.unwrap();
    let again =
        Gateway::start(&network, alice.backend.clone(), ALICE, alice.device, Start::default())
            .await;
    let event = again.event(|event| matches!(event, Event::LoggedOut(_))).await;
    let Event::LoggedOut(logged_out) = &*event else { unreachable!() };
    assert!(logged_out.on_connect);
    assert_all_answered(&network);
}
