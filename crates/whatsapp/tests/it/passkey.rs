//! Linking an account that asks for its passkey, on the wire.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    port::{EngineError, EngineSignal, PasskeyAssertion, PasskeyPhase, PasskeySignal},
    session::LossCause,
};
use serde_json::{Value, json};

use crate::support::{ALICE, Ear, Heard, Line, World, session};

async fn passkey<T>(ear: &Ear, look: impl Fn(&PasskeySignal) -> Option<T>) -> T {
    ear.hear(|heard| match heard {
        Heard::Signal(EngineSignal::Passkey(signal)) => look(signal),
        _ => None,
    })
    .await
}

/// A browser whose authenticator has the passkey.
fn sign(options: &str, challenge: Option<&str>) -> PasskeyAssertion {
    let options: Value = serde_json::from_str(options).unwrap();
    let challenge = challenge.unwrap_or_else(|| options["challenge"].as_str().unwrap());
    let id = options["allowCredentials"][0]["id"].as_str().unwrap();
    let said = json!({ "type": "webauthn.get", "challenge": challenge, "origin": "https://web.whatsapp.com" });
    let json = json!({
        "id": id, "rawId": id, "type": "public-key",
        "response": {
            "clientDataJSON": URL_SAFE_NO_PAD.encode(said.to_string()),
            "authenticatorData": "AAAA", "signature": "AAAA", "userHandle": null,
        },
    });
    PasskeyAssertion { json: json.to_string(), credential: URL_SAFE_NO_PAD.decode(id).unwrap() }
}

async fn asked(world: &World) -> (Line, String) {
    world.network.account(ALICE).unwrap().ask_for_passkey(true);
    let line = world.open(session()).await;
    let code = line.ear.qr().await;
    assert_eq!(world.network.scan_qr(ALICE, &code).await.unwrap(), 0);
    let options = passkey(&line.ear, |signal| match signal {
        PasskeySignal::Requested { options, .. } => Some(options.clone()),
        _ => None,
    })
    .await;
    (line, options)
}

#[tokio::test]
async fn an_account_with_a_passkey_is_linked() {
    let world = World::new().await;
    let (line, options) = asked(&world).await;
    let early = line.connection.confirm_passkey().await.unwrap_err();
    assert!(matches!(early, EngineError::WrongState(_)), "{early:?}");
    line.connection.answer_passkey(sign(&options, None)).await.unwrap();
    let code = passkey(&line.ear, |signal| match signal {
        PasskeySignal::Confirm { code, .. } => Some(code.clone()),
        _ => None,
    })
    .await;
    assert_eq!(world.network.account(ALICE).unwrap().passkey_code(), Some(code));
    line.connection.confirm_passkey().await.unwrap();
    line.ear.connected().await;
    line.connection.close().await;
}

#[tokio::test]
async fn an_assertion_of_something_else_is_refused_with_its_own_error() {
    let world = World::new().await;
    let (line, options) = asked(&world).await;
    let refused = line.connection.answer_passkey(sign(&options, Some("YWJj"))).await.unwrap_err();
    assert!(matches!(refused, EngineError::Refused(_)), "{refused:?}");
    let cause = line
        .ear
        .hear(|heard| match heard {
            Heard::Signal(EngineSignal::Lost(cause)) => Some(cause.clone()),
            _ => None,
        })
        .await;
    assert!(
        matches!(&cause, LossCause::PasskeyFailed(why) if why.starts_with("the passkey was not shown")),
        "{cause:?}"
    );
    let phase = passkey(&line.ear, |signal| match signal {
        PasskeySignal::Failed { phase, .. } => Some(*phase),
        _ => None,
    })
    .await;
    assert_eq!(phase, PasskeyPhase::Assertion);
    let record = world.network.record();
    assert!(record.refused.iter().any(|why| why.contains("another challenge")), "{record:?}");
}
