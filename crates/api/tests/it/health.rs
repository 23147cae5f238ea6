//! Health needs no key and leaks nothing.

use serde_json::json;

use crate::app::{App, refused};

#[tokio::test]
async fn health_shows_its_version_to_callers_with_a_key() {
    let app = App::start().await;
    let open = app.ask("GET", "/api/health").send().await.expect(200);
    assert_eq!(open["status"], "ok");
    assert!(open["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(open.get("version"), None);
    assert_eq!(app.get("/api/health").await["version"], "9.9.9-test");
    let wrong = app.ask("GET", "/api/health").key("wrong").send().await.expect(200);
    assert_eq!(wrong.get("version"), None);
    let infra = app.ask("GET", "/api/infra/health").send().await.expect(200);
    assert_eq!((infra["status"].as_str(), infra.as_object().unwrap().len()), (Some("ok"), 2));
}

#[tokio::test]
async fn readiness_falls_while_draining_but_liveness_stays() {
    let app = App::start().await;
    let up = json!({ "status": "up" });
    assert_eq!(
        app.ask("GET", "/api/health/ready").send().await.expect(200),
        json!({ "status": "ok", "details": { "mainDatabase": up, "dataDatabase": up } })
    );
    app.gateway.shutdown().await;
    assert_eq!(
        app.ask("GET", "/api/health/ready").send().await.expect(503),
        json!({ "status": "error", "details": { "shutdown": { "status": "draining" } } })
    );
    assert_eq!(
        app.ask("GET", "/api/health/live").send().await.expect(200),
        json!({ "status": "ok" })
    );
}

#[tokio::test]
async fn a_worker_answers_only_health_and_metrics() {
    let mut app = App::with(|options| options.metrics_token = Some("token".into())).await;
    let session = app.ready_session("bakery").await;
    app.become_worker().await;
    assert_eq!(app.get("/api/health").await["version"], "9.9.9-test");
    app.ask("GET", "/api/health/ready").send().await.expect(200);
    let metrics = app.ask("GET", "/api/metrics").header("authorization", "Bearer token");
    assert_eq!(metrics.send().await.status, 200);
    let sends = format!("/api/sessions/{session}/messages/send-text");
    let others =
        [("GET", "/api/sessions"), ("POST", &sends), ("GET", "/api/docs"), ("GET", "/api/events")];
    for (method, path) in others {
        let answer = app.ask(method, path).admin().send().await.expect(404);
        assert_eq!(answer, refused(404, "Not Found", &format!("Cannot {method} {path}")));
    }
    assert_eq!(app.whatsapp.opens().len(), 1, "the session was left alone");
}
