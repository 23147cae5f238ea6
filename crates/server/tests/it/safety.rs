//! A build that does not verify certificates must not reach the real network.

use serde_json::json;

use crate::support::Prepared;

/// Tests are such a build: pairing with the simulated network needs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_verification_refuses_any_address_but_loopback() {
    assert!(!whatsapp::verification_compiled_in(), "the tests are built with the check off");
    let house = Prepared::new().await;
    let session = house.link(&["4915550001000"]).await[0];
    for url in [
        "wss://web.whatsapp.com/ws/chat",
        "wss://10.0.0.1/ws/chat",
        "wss://127.0.0.1.example.org/ws/chat",
    ] {
        let running = house.start_with(&[("WAYPOST_WHATSAPP_URL", url)]);
        let view = running
            .api()
            .until(&format!("/sessions/{session}"), |body| body["status"] == "failed")
            .await;
        let error = view["lastError"].as_str().unwrap_or_default();
        assert!(error.contains("verif"), "{url}: {error}");
        // Wanted again, so that the next round tries again.
        let (status, _) =
            running.api().post(&format!("/sessions/{session}/start"), &json!({})).await;
        assert_eq!(status, 200);
        running.kill();
    }
    assert!(house.network.record().handshakes.is_empty(), "nothing was dialled");
}
