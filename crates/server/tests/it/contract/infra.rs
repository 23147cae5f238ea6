//! The installation: how it does, its settings, its data on their way, and its restart.

use serde_json::{Value, json};
use simulator::{FileKind, NewFile};
use testkit::files;
use tokio::time::Instant;

use super::stage::Stage;
use crate::support::{LIMIT, free_port};

pub const ROUTES: &[&str] = &[
    "GET /api/infra/status",
    "GET /api/infra/engines",
    "GET /api/infra/engines/current",
    "GET /api/infra/update-check",
    "GET /api/infra/config",
    "PUT /api/infra/config",
    "POST /api/infra/restart",
    "GET /api/infra/export-data",
    "POST /api/infra/import-data",
    "GET /api/infra/storage/files/count",
    "GET /api/infra/storage/export",
    "POST /api/infra/storage/import",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_installation_is_shown_moved_and_restarted() {
    let port = free_port();
    let mut stage = Stage::with(&[("PORT", port.as_str())]).await;
    let walk = &mut stage.walk;
    for path in ["status", "engines", "engines/current", "update-check"] {
        walk.get(&format!("/api/infra/{path}")).await;
    }
    assert_eq!(walk.get("/api/infra/status").await["sessions"]["ready"], 1);
    let change = json!({ "webhooks": { "timeout_ms": 5000 } });
    let saved = walk.call("PUT", "/api/infra/config", change, 200).await;
    assert_eq!(saved["restartRequired"], json!(["webhooks.timeout_ms"]));
    stored_files(&mut stage).await;
    let walk = &mut stage.walk;
    let mut export = walk.get("/api/infra/export-data?includePluginSecrets=false").await;
    export["force"] = json!(true);
    let done = walk.call("POST", "/api/infra/import-data", export, 200).await;
    assert_eq!(done["imported"], true);
    let restarting = walk.call("POST", "/api/infra/restart", json!({ "profiles": [] }), 200).await;
    assert_eq!(restarting["restarting"], true);
    is_back(&mut stage).await;
    let config = stage.walk.get("/api/infra/config").await;
    assert_eq!(config["config"]["webhooks"]["timeout_ms"], 5000);
    assert_eq!(config["restartRequired"], json!([]));
    stage.end(ROUTES).await;
}

/// The files go out, and the same in again.
async fn stored_files(stage: &mut Stage) {
    let file = NewFile::new(FileKind::Image, files::PNG.to_vec(), "image/png");
    let id = stage.mia.send_file(&stage.shop.jid(), file).await.unwrap();
    let ready = |page: &Value| page["messages"][0]["metadata"]["media"]["state"] == "ready";
    stage.walk.until(&format!("./messages?messageId={id}"), ready).await;
    assert_eq!(stage.walk.get("/api/infra/storage/files/count").await["count"], 1);
    let export = stage.walk.get("/api/infra/storage/export").await;
    let archive = stage.walk.bytes(export["download"].as_str().unwrap()).await;
    let import = stage.house.data().join("import");
    std::fs::create_dir_all(&import).unwrap();
    std::fs::write(import.join("media.tar"), &archive.bytes).unwrap();
    let body = json!({ "filePath": "media.tar" });
    let done = stage.walk.call("POST", "/api/infra/storage/import", body, 200).await;
    assert_eq!((&done["count"], &done["failed"]), (&json!(1), &json!(0)));
}

/// The new life of the program has nothing that waits for a restart.
async fn is_back(stage: &mut Stage) {
    let (api, deadline) = (stage.running.api(), Instant::now() + LIMIT);
    loop {
        let config = api.try_get("/infra/config").await;
        if config.is_some_and(|config| config["restartRequired"] == json!([])) {
            return;
        }
        assert!(Instant::now() < deadline, "it does not come back: {}", stage.running.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
