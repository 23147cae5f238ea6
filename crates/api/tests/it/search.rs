//! The search for messages.

use domain::message::InboundMessage;
use serde_json::{Value, json};

use crate::{
    app::App,
    history::{BEN, ready, text},
    inbound::{MIA, TIME, chat},
};

#[tokio::test]
async fn messages_are_found_within_what_the_key_may_see() {
    let (app, session) = ready().await;
    let other = app.ready_session("florist").await;
    let from_ben = InboundMessage {
        chat: chat(BEN),
        sender: chat(BEN),
        ..text("3AF1", "A <b>cake</b> & more")
    };
    app.hear(&session, vec![text("3AF0", "Is the Cake ready?"), from_ben]).await;
    app.hear(&other, vec![text("3AF2", "no cake here")]).await;
    let found = app.get("/api/search?q=cake").await;
    assert_eq!((&found["total"], &found["provider"]), (&json!(3), &json!("builtin-fts")));
    let ids = |found: &Value| -> Vec<String> {
        let hits = found["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["waMessageId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&found), ["3AF2", "3AF1", "3AF0"]);
    let hit = &found["hits"][1];
    assert_eq!(hit["snippet"], "A &lt;b&gt;<mark>cake</mark>&lt;/b&gt; &amp; more");
    assert_eq!((&hit["sessionId"], &hit["chatId"]), (&json!(session), &json!(BEN)));
    assert_eq!(hit["timestamp"], TIME);
    let page = app.get("/api/search?q=cake&limit=1&offset=1").await;
    assert_eq!((ids(&page), &page["total"]), (vec!["3AF1".to_owned()], &json!(3)));
    let narrow = format!("/api/search?q=cake&sessionId={session}&from={MIA}&direction=incoming");
    assert_eq!(ids(&app.get(&narrow).await), ["3AF0"]);

    let key = app.new_key(json!({ "name": "ben", "allowedChats": [BEN] })).await;
    let ask =
        async |path: &str, status| app.ask("GET", path).key(&key.text).send().await.expect(status);
    let seen = ask("/api/search?q=cake", 200).await;
    assert_eq!((ids(&seen), &seen["total"]), (vec!["3AF1".to_owned()], &json!(1)));
    ask(&format!("/api/search?q=cake&chatId={MIA}"), 403).await;
    let key = app.new_key(json!({ "name": "one", "allowedSessions": [other] })).await;
    let seen = app.ask("GET", "/api/search?q=cake").key(&key.text).send().await.expect(200);
    assert_eq!(ids(&seen), ["3AF2"]);
    let path = format!("/api/search?q=cake&sessionId={session}");
    app.ask("GET", &path).key(&key.text).send().await.expect(403);
    let viewer = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    app.ask("GET", "/api/search?q=cake").key(&viewer.text).send().await.expect(403);
}

#[tokio::test]
async fn wrong_questions_are_refused() {
    let (app, _) = ready().await;
    for wrong in [
        "",
        "q=",
        "q=%21",
        "q=cake&limit=0",
        "q=cake&limit=101",
        "q=cake&limit=x",
        "q=cake&offset=100001",
        "q=cake&offset=-1",
        "q=cake&sessionId=7",
        "q=cake&chatId=%20",
        "q=cake&direction=up",
        "q=cake&type=tea",
        "q=cake&dateFrom=soon",
        "q=cake&match=like",
        "q=cake&q=tea",
        "q=cake&match=contains",
    ] {
        let path = format!("/api/search?{wrong}");
        let answer = app.ask("GET", &path).admin().send().await.expect(400);
        assert!(answer["message"].is_array(), "{wrong}: {answer}");
    }
    let off = App::tuned(|options| options.search.enabled = false).await;
    off.ask("GET", "/api/search?q=cake").admin().send().await.expect(501);
}

#[tokio::test]
async fn parts_of_words_are_found_where_that_is_on() {
    let app = App::tuned(|options| options.search.contains = true).await;
    let session = app.ready_session("bakery").await;
    app.hear(&session, vec![text("3AF0", "Caféteria"), text("3AF1", "cafe")]).await;
    let found = |total: u64| move |found: &Value| found["total"] == total;
    // The index is switched on beside the start.
    let found = app.until("/api/search?q=FETE&match=contains", found(1)).await;
    assert_eq!(found["hits"][0]["snippet"], "Ca<mark>féte</mark>ria");
    app.ask("GET", "/api/search?q=fe&match=contains").admin().send().await.expect(400);
    assert_eq!(app.get("/api/search?q=fete").await["total"], 0);
}
