//! Numbers of sessions and messages, and the settings.

use std::time::Duration;

use serde_json::json;

use crate::{
    app::{App, refused},
    history::{BEN, ready, text},
    inbound::MIA,
};

#[tokio::test]
async fn numbers_are_counted_as_messages_come() {
    let (app, session) = ready().await;
    app.hear(&session, vec![text("3AF0", "one"), text("3AF1", "two")]).await;
    let send = json!({ "chatId": BEN, "text": "hello" });
    app.post(&format!("/api/sessions/{session}/messages/send-text"), send, 201).await;
    let overview = app.get("/api/stats/overview").await;
    assert_eq!(
        overview,
        json!({
            "sessions": { "active": 1, "total": 1, "byStatus": { "ready": 1 } },
            "messages": { "sent": 1, "received": 2, "failed": 0, "today": { "sent": 1, "received": 2 } },
        })
    );
    let day = app.get("/api/stats/messages").await;
    assert_eq!(day["timeSeries"].as_array().unwrap().len(), 24);
    let last = &day["timeSeries"][23];
    assert_eq!((&last["sent"], &last["received"]), (&json!(1), &json!(2)));
    assert!(last["timestamp"].as_str().unwrap().ends_with(":00:00"), "{last}");
    assert_eq!(day["byType"], json!({ "text": 3 }));
    let of_session = json!([{ "sessionId": session, "name": "bakery", "sent": 1, "received": 2 }]);
    assert_eq!(day["bySession"], of_session);
    let top = json!({ "chatId": MIA, "chatName": "Mia", "messageCount": 2, "sessionId": session });
    assert_eq!(day["topChats"][0], top);
    let month = app.get("/api/stats/messages?period=30d").await;
    assert_eq!(month["timeSeries"].as_array().unwrap().len(), 30);
    assert_eq!(month["timeSeries"][29]["timestamp"].as_str().unwrap().len(), "2026-10-01".len());
    app.ask("GET", "/api/stats/messages?period=1y").admin().send().await.expect(400);

    let one = app.get(&format!("/api/stats/sessions/{session}")).await;
    assert_eq!(one["session"], json!({ "id": session, "name": "bakery", "status": "ready" }));
    assert_eq!(one["messages"], json!({ "sent": 1, "received": 2, "today": 3, "failed": 0 }));
    assert_eq!(
        (&one["topChats"][0]["chatId"], &one["topChats"][0]["count"]),
        (&json!(MIA), &json!(2))
    );
    let hours = one["hourlyActivity"].as_array().unwrap();
    let sum: u64 = hours.iter().map(|hour| hour["received"].as_u64().unwrap()).sum();
    assert_eq!((hours.len(), sum), (24, 2));
    let stranger = "/api/stats/sessions/00000000-0000-4000-8000-000000000001";
    let missing = refused(404, "Not Found", "Session not found");
    assert_eq!(app.ask("GET", stranger).admin().send().await.expect(404), missing);

    // The same for whoever asks soon after; anew when that is over.
    app.hear(&session, vec![text("3AF2", "three")]).await;
    assert_eq!(app.get("/api/stats/overview").await, overview);
    app.advance(Duration::from_secs(31));
    assert_eq!(app.get("/api/stats/overview").await["messages"]["received"], 3);
}

#[tokio::test]
async fn settings_are_shown() {
    let app = App::start().await;
    let settings = app.get("/api/settings").await;
    assert_eq!(settings["general"]["apiBaseUrl"], "http://localhost:2785");
    assert_eq!(settings["api"]["enableDocs"], true);
    assert_eq!(settings["notifications"]["emailEnabled"], false);
}
