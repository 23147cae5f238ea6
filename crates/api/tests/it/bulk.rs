//! Batches: every shape, and what is refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{App, refused};

fn text(chat: &str, text: &str) -> Value {
    json!({ "chatId": chat, "type": "text", "content": { "text": text } })
}

fn people(count: u32) -> Vec<Value> {
    (0..count).map(|number| text(&format!("49170{number:05}@c.us"), "hello")).collect()
}

fn steady(messages: Vec<Value>) -> Value {
    json!({
        "messages": messages,
        "options": { "delayBetweenMessages": 2000, "randomizeDelay": false },
    })
}

fn path(session: &str, rest: &str) -> String {
    format!("/api/sessions/{session}/messages/{rest}")
}

/// Lets time pass until a batch is over.
pub async fn finish(app: &App, session: &str, id: &str) -> Value {
    for _ in 0..200 {
        let batch = app.get(&path(session, &format!("batch/{id}?all=true"))).await;
        if batch["completedAt"].is_string() {
            return batch;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        app.clock.advance(Duration::from_secs(2));
    }
    panic!("the batch {id} does not end");
}

#[tokio::test]
async fn a_batch_is_taken_in_shown_and_finished() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let mut body = steady(people(3));
    body["messages"].as_array_mut().unwrap().push(people(1).remove(0));
    body["batchId"] = json!("spring");
    let accepted = app.post(&path(&session, "send-bulk"), body, 202).await;
    assert_eq!(
        accepted,
        json!({
            "batchId": "spring", "status": "pending", "totalMessages": 3,
            "estimatedCompletionTime": accepted["estimatedCompletionTime"],
            "statusUrl": format!("/api/sessions/{session}/messages/batch/spring"),
            "duplicates": [{ "index": 3, "duplicateOf": 0 }], "invalid": [],
        })
    );
    let batch = finish(&app, &session, "spring").await;
    assert_eq!(batch["status"], "completed");
    let progress = json!({ "total": 3, "sent": 3, "failed": 0, "pending": 0, "cancelled": 0 });
    assert_eq!(batch["progress"], progress);
    let result = &batch["results"][2];
    assert_eq!((&result["index"], &result["status"]), (&json!(2), &json!("sent")));
    assert!(result["messageId"].as_str().unwrap().starts_with("3EB0"));
    assert!(result["sentAt"].is_string() && batch["startedAt"].is_string());
    let list = app.get(&path(&session, "batches?status=completed")).await;
    assert_eq!((&list[0]["batchId"], &list[0]["progress"]), (&json!("spring"), &progress));
    assert_eq!(app.get(&path(&session, "batches?status=failed")).await, json!([]));
}

#[tokio::test]
async fn untouched_messages_are_listed_when_asked_for_and_a_cancel_ends_it() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let accepted = app.post(&path(&session, "send-bulk"), steady(people(4)), 202).await;
    let id = accepted["batchId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("batch_") && id.len() == 14);
    let first = format!("batch/{id}");
    for _ in 0..500 {
        if app.get(&path(&session, &first)).await["progress"]["sent"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let some = app.get(&path(&session, &first)).await;
    assert_eq!(some["results"].as_array().unwrap().len(), 1);
    let all = app.get(&path(&session, &format!("{first}?all=true&offset=1&limit=2"))).await;
    assert_eq!(all["results"].as_array().unwrap().len(), 2);
    assert_eq!(all["results"][0]["status"], "pending");

    let paused = app.post(&path(&session, &format!("{first}/pause")), json!({}), 200).await;
    assert_eq!(paused["paused"], json!({ "reason": "paused", "until": null }));
    let again = app.post(&path(&session, &format!("{first}/pause")), json!({}), 400).await;
    assert_eq!(again, refused(400, "Bad Request", "Batch is already paused"));
    let resumed = app.post(&path(&session, &format!("{first}/resume")), json!({}), 200).await;
    assert_eq!(resumed.get("paused"), None);

    let cancelled = app.post(&path(&session, &format!("{first}/cancel")), json!({}), 200).await;
    let progress = json!({ "total": 4, "sent": 1, "failed": 0, "pending": 0, "cancelled": 3 });
    assert_eq!(cancelled, json!({ "batchId": id, "status": "cancelled", "progress": progress }));
    for act in ["cancel", "pause", "resume"] {
        let over = app.post(&path(&session, &format!("{first}/{act}")), json!({}), 400).await;
        assert_eq!(over, refused(400, "Bad Request", "Batch is already cancelled"), "{act}");
    }
}

#[tokio::test]
async fn a_missing_variable_is_reported_before_anything_is_sent() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let mut messages =
        vec![text("49170111@c.us", "Hi {{name}}"), text("49170222@c.us", "Hi {{nme}}")];
    messages[0]["variables"] = json!({ "name": "Mia" });
    messages[1]["variables"] = json!({ "name": "Noa" });
    let foreseen =
        app.post(&path(&session, "send-bulk?dryRun=true"), steady(messages.clone()), 200).await;
    let invalid = json!([
        { "index": 1, "code": "TEMPLATE_VARIABLE_MISSING", "problems": ["variable nme is missing"] }
    ]);
    assert_eq!((&foreseen["dryRun"], &foreseen["invalid"]), (&json!(true), &invalid));
    assert_eq!((&foreseen["totalMessages"], &foreseen["newContacts"]), (&json!(1), &json!(1)));
    assert_eq!(app.get(&path(&session, "batches")).await, json!([]));
    let accepted = app.post(&path(&session, "send-bulk"), steady(messages), 202).await;
    assert_eq!(accepted["invalid"], invalid);
    let batch = finish(&app, &session, accepted["batchId"].as_str().unwrap()).await;
    let error =
        json!({ "code": "TEMPLATE_VARIABLE_MISSING", "message": "variable nme is missing" });
    assert_eq!(batch["results"][1]["error"], error);
    assert_eq!(batch["status"], "completed");
}

#[tokio::test]
async fn wrong_bodies_are_refused_as_a_whole_and_a_dry_run_lists_them() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let send = path(&session, "send-bulk");
    for (body, says) in [
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": "all" }), "messages"),
        (json!({ "messages": [{ "chatId": "49170111@c.us" }] }), "type"),
        (
            json!({ "messages": [{ "chatId": "49170111@c.us", "type": "fax", "content": {} }] }),
            "type",
        ),
        (json!({ "messages": people(1), "extra": 1 }), "extra"),
        (json!({ "messages": people(1), "batchId": ".." }), "batchId"),
        (
            json!({ "messages": people(1), "options": { "delayBetweenMessages": 999 } }),
            "delayBetweenMessages",
        ),
        (
            json!({ "messages": people(1), "options": { "delayBetweenMessages": 60001 } }),
            "delayBetweenMessages",
        ),
        (json!({ "messages": people(1), "options": { "scheduledAt": "tomorrow" } }), "scheduledAt"),
        (
            json!({ "messages": people(1), "options": { "quietHours": { "from": "21:00", "to": "08:00", "timeZone": "Moon/Base" } } }),
            "quietHours",
        ),
        (json!({ "messages": [text("nobody", "x")] }), "messages.0.chatId"),
        (json!({ "messages": [text("49170111@c.us", "")] }), "messages.0.content.text"),
        (
            json!({ "messages": [{ "chatId": "49170111@c.us", "type": "image", "content": { "text": "x" } }] }),
            "messages.0.content.image",
        ),
        (
            json!({ "messages": [{ "chatId": "49170111@c.us", "type": "image", "content": { "image": { "base64": "AAAA" } } }] }),
            "messages.0.content.mimetype",
        ),
        (
            json!({ "messages": [{ "chatId": "49170111@c.us", "type": "image", "content": { "image": { "url": "ftp://a.example/x" } } }] }),
            "messages.0.content.url",
        ),
    ] {
        let answer = app.post(&send, body.clone(), 400).await;
        assert!(answer["message"].to_string().contains(says), "{body}: {answer}");
    }
    let mixed = steady(vec![text("nobody", "x"), text("49170111@c.us", "hello")]);
    let foreseen = app.post(&path(&session, "send-bulk?dryRun=true"), mixed, 200).await;
    assert_eq!(foreseen["invalid"][0]["index"], 0);
    assert_eq!(foreseen["totalMessages"], 1);
    assert_eq!(app.get(&path(&session, "batches")).await, json!([]));
}

#[tokio::test]
async fn taken_names_stopped_sessions_and_unknown_batches() {
    let app = App::tuned(|options| options.bulk.unfinished_max = 1).await;
    let session = app.ready_session("bakery").await;
    let send = path(&session, "send-bulk");
    let mut body = steady(people(3));
    body["batchId"] = json!("one");
    app.post(&send, body.clone(), 202).await;
    let taken = app.post(&send, body, 400).await;
    assert!(taken["message"].as_str().unwrap().contains("already exists"), "{taken}");
    app.post(&send, steady(people(1)), 429).await;
    let missing = app.ask("GET", &path(&session, "batch/two")).admin().send().await.expect(404);
    assert_eq!(missing["message"], "Batch with id 'two' not found");
    app.post(&path(&session, "batch/two/cancel"), json!({}), 404).await;
    let stopped = app.new_session("other").await;
    let answer = app.post(&path(&stopped, "send-bulk"), steady(people(1)), 400).await;
    assert_eq!(answer["message"], "Session is not started");
    app.ask("GET", &path(&session, "batches?status=busy")).admin().send().await.expect(400);
}

#[tokio::test]
async fn roles_are_kept() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let viewer = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    let send = app.ask("POST", &path(&session, "send-bulk")).key(&viewer.text);
    send.json(&steady(people(1))).send().await.expect(403);
    app.ask("GET", &path(&session, "batches")).key(&viewer.text).send().await.expect(200);
    let fenced = json!({ "name": "fenced", "role": "operator", "allowedChats": ["49170111@c.us"] });
    let fenced = app.new_key(fenced).await;
    let send = app.ask("POST", &path(&session, "send-bulk")).key(&fenced.text);
    send.json(&steady(people(1))).send().await.expect(403);
}

async fn import(
    app: &App,
    session: &str,
    query: &str,
    kind: &str,
    body: &str,
    status: u16,
) -> Value {
    let ask = app.ask("POST", &path(session, &format!("send-bulk/import?{query}"))).admin();
    ask.header("content-type", kind).raw(body.as_bytes().to_vec()).send().await.expect(status)
}

#[tokio::test]
async fn csv_and_ndjson_are_imported_line_by_line() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let query = "text=Hello+%7B%7Bname%7D%7D%2C+%7B%7Bnote%7D%7D&randomizeDelay=false&delayBetweenMessages=1000";
    let csv = "\u{feff}phone,name,note\r\n+49 170-111,Mia,\"two\nlines, \"\"quoted\"\"\"\r\n\r\n49170222,Noa,plain";
    let accepted = import(&app, &session, query, "text/csv; charset=utf-8", csv, 202).await;
    assert_eq!(accepted["totalMessages"], 2);
    finish(&app, &session, accepted["batchId"].as_str().unwrap()).await;
    let bodies: Vec<_> = app
        .whatsapp
        .sent()
        .iter()
        .map(|sent| (sent.chat.to_string(), sent.content.body().unwrap()))
        .collect();
    assert_eq!(
        bodies,
        [
            ("49170111@c.us".to_owned(), "Hello Mia, two\nlines, \"quoted\"".to_owned()),
            ("49170222@c.us".to_owned(), "Hello Noa, plain".to_owned()),
        ]
    );
    let lines = [text("49170333@c.us", "a").to_string(), text("49170444@c.us", "b").to_string()];
    let accepted = import(&app, &session, "", "application/x-ndjson", &lines.join("\n"), 202).await;
    assert_eq!(accepted["totalMessages"], 2);
}

#[tokio::test]
async fn wrong_lines_are_named() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let csv = "chatId,text,type\n49170111@c.us,hello,\nnobody,hello,text\n49170222@c.us,hello\n49170333@c.us,,text\n";
    let refused = import(&app, &session, "", "text/csv", csv, 400).await;
    let said = refused["message"].to_string();
    for says in [
        "line 3: chatId must look like",
        "line 4: must have 3 columns, has 2",
        "line 5: content.text",
    ] {
        assert!(said.contains(says), "{said}");
    }
    let foreseen = import(&app, &session, "dryRun=true", "text/csv", csv, 200).await;
    assert_eq!(foreseen["totalMessages"], 1);
    let lines: Vec<_> =
        foreseen["invalid"].as_array().unwrap().iter().map(|one| one["line"].clone()).collect();
    assert_eq!(lines, [json!(3), json!(4), json!(5)]);
    let ndjson = "{\"chatId\":\"49170111@c.us\",\"type\":\"text\",\"content\":{\"text\":\"x\"},\"no\":1}\nnonsense\n[]";
    let refused = import(&app, &session, "", "application/x-ndjson", ndjson, 400).await;
    let said = refused["message"].to_string();
    for says in [
        "line 1: property no should not exist",
        "line 2: is not valid JSON",
        "line 3: must be a JSON object",
    ] {
        assert!(said.contains(says), "{said}");
    }
    for (kind, body, status) in [
        ("application/json", "{}", 415),
        ("text/csv", "", 400),
        ("text/csv", "name\nMia", 400),
        ("text/csv", "chatId,a,a\n49170111@c.us,1,2", 400),
    ] {
        import(&app, &session, "", kind, body, status).await;
    }
    import(&app, &session, "delayBetweenMessages=5", "text/csv", csv, 400).await;
    import(&app, &session, "quietFrom=21:00", "text/csv", csv, 400).await;
    let many = "chatId\n".to_owned() + &"49170111@c.us\n".repeat(10_001);
    let refused = import(&app, &session, "text=x", "text/csv", &many, 400).await;
    assert!(refused["message"].to_string().contains("at most 10000"), "{refused}");
    assert_eq!(app.get(&path(&session, "batches")).await, json!([]));
}
