//! The life of a session, from its making to its end.

use serde_json::{Value, json};

use super::stage::{SHOP, Stage};

pub const ROUTES: &[&str] = &[
    "POST /api/sessions",
    "GET /api/sessions",
    "GET /api/sessions/stats/overview",
    "GET .",
    "DELETE .",
    "POST ./start",
    "POST ./stop",
    "POST ./logout",
    "POST ./force-kill",
    "GET ./qr",
    "POST ./pairing-code",
    "GET ./config",
    "PATCH ./config",
    "GET ./proxy",
    "PATCH ./proxy",
];

/// A phone that no session is linked to at first.
const OWNER: &str = "4915550002000";

fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |session: &Value| session["status"] == status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_made_linked_stopped_and_ended() {
    let mut stage = Stage::new().await;
    let owner = stage.house.network.add_account(OWNER, "Corner Bakery").await;
    let new = json!({ "name": "third", "config": { "autoRejectCalls": false } });
    let made = stage.walk.call("POST", "/api/sessions", new, 201).await;
    stage.walk.set("sessionId", &made["id"]);
    let walk = &mut stage.walk;
    assert_eq!(walk.get("/api/sessions?limit=10").await.as_array().unwrap().len(), 2);
    walk.get("/api/sessions/stats/overview").await;
    walk.call("PATCH", "./config", json!({ "autoRejectCalls": true }), 200).await;
    assert_eq!(walk.get("./config").await["autoRejectCalls"], true);
    let proxy = json!({ "proxyUrl": "socks5://ann:secret@127.0.0.1:9" });
    walk.call("PATCH", "./proxy", proxy, 200).await;
    walk.get("./proxy").await;
    walk.call("PATCH", "./proxy", json!({ "proxyUrl": null }), 200).await;
    walk.bare("GET", "./qr", 400).await;
    walk.bare("POST", "./start", 200).await;
    walk.until(".", is("qr_ready")).await;
    let shown = walk.get("./qr").await;
    assert!(shown["qrCode"].as_str().unwrap().starts_with("data:image/png;base64,"));
    let phone = json!({ "phoneNumber": OWNER });
    let code = walk.call("POST", "./pairing-code", phone, 201).await;
    let code = code["pairingCode"].as_str().unwrap().replace('-', "");
    stage.house.network.enter_code(OWNER, &code).await.unwrap();
    let walk = &mut stage.walk;
    let ready = walk.until(".", is("ready")).await;
    assert_eq!(ready["phone"], OWNER);
    assert_eq!(owner.devices().len(), 1);
    for end in ["./stop", "./force-kill"] {
        walk.bare("POST", end, 200).await;
        walk.until(".", |session| session["engineLoaded"] == false).await;
        walk.bare("POST", "./start", 200).await;
        walk.until(".", is("ready")).await;
    }
    walk.bare("POST", "./logout", 200).await;
    walk.until(".", |session| session["engineLoaded"] == false).await;
    walk.bare("DELETE", ".", 204).await;
    walk.bare("GET", ".", 404).await;
    assert_eq!(walk.get("/api/sessions").await[0]["phone"], SHOP);
    stage.end(ROUTES).await;
}
