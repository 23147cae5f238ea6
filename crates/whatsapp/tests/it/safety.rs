//! This very build does not verify WhatsApp's certificate, so it must stay at home.

use domain::port::EngineError;

use crate::support::{World, engine, open_with, options, session};

async fn refusal(url: &str) -> String {
    let world = World::new().await;
    let mut elsewhere = options(&world.network);
    elsewhere.chat_url = url.parse().unwrap();
    match open_with(&engine(elsewhere, &world.keys), session(), None).await.err() {
        Some(EngineError::Misconfigured(reason)) => reason,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn a_build_without_verification_speaks_with_loopback_only() {
    assert!(!whatsapp::verification_compiled_in(), "tests simulate certificates");
    let reason = refusal("wss://web.whatsapp.com/ws/chat").await;
    assert!(reason.contains("does not verify WhatsApp's certificate"), "{reason}");
    let reason = refusal("wss://192.0.2.1/ws/chat").await;
    assert!(reason.contains("does not verify WhatsApp's certificate"), "{reason}");
}

#[tokio::test]
async fn plain_text_is_for_loopback_only() {
    let reason = refusal("ws://web.whatsapp.com/ws/chat").await;
    assert!(reason.contains("wss://"), "{reason}");
}

#[tokio::test]
async fn simulated_media_must_be_at_home() {
    let world = World::new().await;
    let mut elsewhere = options(&world.network);
    elsewhere.media =
        whatsapp::MediaEndpoint::Mapped { base: "http://media.example/".parse().unwrap() };
    let refused = whatsapp::Engine::new(elsewhere, world.keys.clone(), crate::support::clock());
    assert!(matches!(refused.err(), Some(EngineError::Misconfigured(_))));
}
