//! The installation, and its data on their way to another one.

use std::sync::{Arc, Mutex};

use api::{ConfigRefused, Installation, InstallationFacts, SavedConfig, ShownConfig};
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    history::{ready, text},
};

/// A program that remembers what it was told.
#[derive(Default)]
struct Program {
    saved: Mutex<Map<String, Value>>,
    restarts: Mutex<u32>,
}

impl Installation for Program {
    fn facts(&self) -> InstallationFacts {
        InstallationFacts { env_pinned: vec!["PORT".into()], ..InstallationFacts::default() }
    }

    fn config(&self) -> Result<ShownConfig, ConfigRefused> {
        let settings = json!({ "log": { "level": "info" } }).as_object().cloned().unwrap();
        let secrets = [("API_MASTER_KEY", true), ("METRICS_TOKEN", false)].into();
        Ok(ShownConfig { settings, secrets, path: "x.toml".into(), waiting: vec![] })
    }

    fn save(&self, changes: &Map<String, Value>) -> Result<SavedConfig, ConfigRefused> {
        if changes.contains_key("nonsense") {
            return Err(ConfigRefused::Wrong("nonsense: there is no such setting".into()));
        }
        *self.saved.lock().unwrap() = changes.clone();
        Ok(SavedConfig { waiting: vec!["log.level".into()], pinned: vec![] })
    }

    fn restart(&self) {
        *self.restarts.lock().unwrap() += 1;
    }
}

#[tokio::test]
async fn the_installation_is_shown_changed_and_restarted() {
    let program = Arc::new(Program::default());
    let given = program.clone();
    let app = App::with(move |options| options.installation = Some(given)).await;
    let status = app.get("/api/infra/status").await;
    assert_eq!(
        (&status["status"], &status["database"]),
        (&json!("ok"), &json!({ "type": "sqlite", "connected": true }))
    );
    assert_eq!(status["envPinned"], json!(["PORT"]));
    assert_eq!(app.get("/api/infra/engines").await[0]["library"]["name"], "whatsapp-rust");
    assert_eq!(app.get("/api/infra/engines/current").await, json!({ "engineType": "baileys" }));
    assert_eq!(
        app.get("/api/infra/update-check").await,
        json!({ "current": "9.9.9-test", "latest": null, "updateAvailable": false, "releaseUrl": null })
    );
    let config = app.get("/api/infra/config").await;
    assert_eq!(config["secrets"], json!({ "API_MASTER_KEY": "***", "METRICS_TOKEN": null }));
    let put = async |body: Value, status| {
        app.ask("PUT", "/api/infra/config").admin().json(&body).send().await.expect(status)
    };
    let saved = put(json!({ "log": { "level": "debug" } }), 200).await;
    assert_eq!((&saved["saved"], &saved["restartRequired"]), (&json!(true), &json!(["log.level"])));
    assert_eq!(
        *program.saved.lock().unwrap(),
        *json!({ "log": { "level": "debug" } }).as_object().unwrap()
    );
    put(json!({ "nonsense": 1 }), 400).await;
    let restarting = app.post("/api/infra/restart", json!({ "profiles": [] }), 200).await;
    assert_eq!(restarting["restarting"], true);
    app.post("/api/infra/restart", json!({ "colour": "red" }), 400).await;
    assert_eq!(*program.restarts.lock().unwrap(), 1);
    let only = ["00000000-0000-4000-8000-000000000001"];
    let scoped = json!({ "name": "scoped", "role": "admin", "allowedSessions": only });
    let scoped = app.new_key(scoped).await;
    for path in
        ["/api/infra/status", "/api/infra/config", "/api/infra/export-data", "/api/stats/overview"]
    {
        app.ask("GET", path).key(&scoped.text).send().await.expect(403);
    }
    let alone = App::start().await;
    alone.ask("GET", "/api/infra/config").admin().send().await.expect(501);
    alone.post("/api/infra/restart", json!({}), 501).await;
}

#[tokio::test]
async fn an_export_goes_into_another_installation() {
    let (app, session) = ready().await;
    let (url, _calls) = app.receiver(200).await;
    let hook = json!({ "url": url, "secret": "a-secret-of-the-hook" });
    app.post(&format!("/api/sessions/{session}/webhooks"), hook, 201).await;
    app.hear(&session, (0..450).map(|n| text(&format!("3AF{n}"), "Is the cake ready?")).collect())
        .await;
    let answer = app.ask("GET", "/api/infra/export-data").admin().send().await;
    assert!(!answer.text().contains("a-secret-of-the-hook"));
    let export = answer.expect(200);
    assert_eq!(
        (&export["dataDbType"], &export["counts"]["message"]),
        (&json!("sqlite"), &json!(450))
    );
    assert_eq!(export["tables"]["message"].as_array().unwrap().len(), 450);
    assert!(export["skippedTables"].as_array().unwrap().contains(&json!("device_key")));

    let other = App::start().await;
    let done = other.post("/api/infra/import-data", export.clone(), 200).await;
    assert_eq!((&done["imported"], &done["counts"]["message"]), (&json!(true), &json!(450)));
    assert_eq!(done["warnings"].as_array().unwrap().len(), 1);
    let there = other.get(&format!("/api/sessions/{session}")).await;
    assert_eq!((&there["name"], &there["status"]), (&json!("bakery"), &json!("created")));
    assert_eq!(other.get("/api/search?q=cake").await["total"], 450);
    let webhooks = other.get(&format!("/api/sessions/{session}/webhooks")).await;
    assert_eq!(webhooks[0]["active"], false);

    // Where it came from the session runs.
    let refused = app.post("/api/infra/import-data", export.clone(), 409).await;
    assert_eq!(refused["code"], "IMPORT_WOULD_ORPHAN_ENGINES");
    let mut forced = export.clone();
    forced["force"] = json!(true);
    let done = app.post("/api/infra/import-data", forced, 200).await;
    assert_eq!(done["orphanedEngines"], json!([]));
    let mut wrong = export;
    wrong["tables"]["message"][7]["direction"] = json!("sideways");
    other.post("/api/infra/import-data", wrong, 400).await;
    other.post("/api/infra/import-data", json!({ "tables": { "device_key": [] } }), 400).await;
    other.post("/api/infra/import-data", json!({ "tabels": {} }), 400).await;
    assert_eq!(other.get("/api/search?q=cake").await["total"], 450);
}

#[tokio::test]
async fn the_files_go_into_another_installation() {
    use domain::port::MediaFiles as _;
    use std::io::Write as _;
    let app = App::start().await;
    let store = storage::FolderMedia::open(&app.dir.path().join("media")).unwrap();
    for bytes in [vec![7_u8; 100_000], b"small".to_vec(), vec![]] {
        let mut scratch = store.scratch().await.unwrap();
        scratch.file.write_all(&bytes).unwrap();
        store.keep(scratch).await.unwrap();
    }
    let count = app.get("/api/infra/storage/files/count").await;
    assert_eq!((&count["count"], &count["sizeBytes"]), (&json!(3), &json!(100_005)));
    let export = app.get("/api/infra/storage/export").await;
    let archive = app.ask("GET", export["download"].as_str().unwrap()).admin().send().await;
    assert_eq!((archive.status, archive.bytes().len() % 512), (200, 0));

    let import = tempfile::tempdir().unwrap();
    let folder = import.path().to_path_buf();
    let other = App::tuned(|options| {
        options.transfer.folder = folder;
        options.transfer.bytes_max = 200_000;
    })
    .await;
    std::fs::write(import.path().join("media.tar"), archive.bytes()).unwrap();
    let take = async |path: &str, status| {
        other.post("/api/infra/storage/import", json!({ "filePath": path }), status).await
    };
    let done = take("media.tar", 200).await;
    assert_eq!((&done["count"], &done["failed"]), (&json!(3), &json!(0)));
    assert_eq!(other.get("/api/infra/storage/files/count").await["sizeBytes"], 100_005);
    // A file whose bytes are not those that its name says, one that is cut off, and ways out of the folder.
    let mut changed = archive.bytes().to_vec();
    let at = changed.iter().position(|byte| *byte == 7).unwrap();
    changed[at] = 8;
    std::fs::write(import.path().join("changed.tar"), &changed).unwrap();
    assert_eq!(take("changed.tar", 200).await["failed"], 1);
    std::fs::write(import.path().join("cut.tar"), &changed[..2000]).unwrap();
    take("cut.tar", 400).await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("x.tar"), archive.bytes()).unwrap();
    std::os::unix::fs::symlink(outside.path(), import.path().join("link")).unwrap();
    for path in ["nothing.tar", "../x.tar", "link/x.tar", "/etc/hostname", ".", "media.tar/x"] {
        take(path, 400).await;
    }
    other.post("/api/infra/storage/import", json!({ "filePath": "" }), 400).await;
}
