//! Phone numbers of a session's country, and those that WhatsApp spells otherwise.

use std::time::Duration;

use domain::{ChatId, chat::Registration, port::EngineError};
use serde_json::{Value, json};
use testkit::Asked;

use crate::app::App;

const LONG: &str = "5511987654321@c.us";
const SHORT: &str = "551187654321@c.us";

fn chat(id: &str) -> ChatId {
    id.parse().unwrap()
}

fn path(session: &str, rest: &str) -> String {
    format!("/api/sessions/{session}/{rest}")
}

/// The account is known without the ninth digit, whatever it is asked for by.
fn without_the_digit(app: &App) {
    for asked in [LONG, SHORT] {
        app.whatsapp.register(Registration {
            asked: chat(asked),
            registered: Some(chat(SHORT)),
            lid: Some(chat("99887766@lid")),
        });
    }
}

async fn send(app: &App, session: &str, to: &str, status: u16) -> Value {
    let body = json!({ "chatId": to, "text": "hello" });
    app.post(&path(session, "messages/send-text"), body, status).await
}

async fn lookups(app: &App) -> usize {
    app.whatsapp.asked().iter().filter(|asked| matches!(asked, Asked::Lookup(_))).count()
}

#[tokio::test]
async fn a_country_and_a_zone_are_set_shown_and_refused() {
    let app = App::start().await;
    let config = json!({ "defaultCountry": "br", "timeZone": "America/Sao_Paulo" });
    let made = json!({ "name": "padaria", "config": config });
    let made = app.post("/api/sessions", made, 201).await;
    let at = path(made["id"].as_str().unwrap(), "config");
    let shown = app.get(&at).await;
    assert_eq!(shown["defaultCountry"], "BR");
    assert_eq!(shown["timeZone"], "America/Sao_Paulo");
    let patch = |body: Value, status: u16| {
        let ask = app.ask("PATCH", &at).admin().json(&body);
        async move { ask.send().await.expect(status) }
    };
    for (wrong, says) in [
        (json!({ "defaultCountry": "XX" }), "defaultCountry must be the two letters"),
        (json!({ "defaultCountry": "Germany" }), "defaultCountry must be"),
        (json!({ "timeZone": "Berlin" }), "timeZone must be the name of a time zone"),
    ] {
        let refused = patch(wrong.clone(), 400).await;
        assert!(refused["message"].to_string().contains(says), "{refused}");
        let made = json!({ "name": "another", "config": wrong });
        let refused = app.post("/api/sessions", made, 400).await;
        assert!(refused["message"].to_string().contains(says), "{refused}");
    }
    assert_eq!(app.get(&at).await, shown);
    let cleared = patch(json!({ "defaultCountry": null, "timeZone": null }), 200).await;
    assert_eq!((&cleared["defaultCountry"], &cleared["timeZone"]), (&json!(null), &json!("UTC")));
}

#[tokio::test]
async fn the_national_form_needs_a_country() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let refused = send(&app, &session, "0170 99000001", 400).await;
    assert!(refused["message"].to_string().contains("defaultCountry"), "{refused}");
    let config = json!({ "defaultCountry": "DE" });
    app.ask("PATCH", &path(&session, "config")).admin().json(&config).send().await.expect(200);
    send(&app, &session, "0170 99000001", 201).await;
    assert_eq!(app.whatsapp.sent().last().unwrap().chat, chat("4917099000001@c.us"));
    // Numbers and ids with their country code mean what they meant.
    for plain in ["4917099000001@c.us", "4917099000001", "+49 170 99000001", "447400123456"] {
        send(&app, &session, plain, 201).await;
    }
    let refused = send(&app, &session, "0170 990000010000000", 400).await;
    assert!(refused["message"].to_string().contains("fewer digits"), "{refused}");
    let card =
        json!({ "chatId": "0170 99000001", "contactName": "Mia", "contactNumber": "030 901820" });
    app.post(&path(&session, "messages/send-contact"), card, 201).await;
    let card = app.whatsapp.sent().last().unwrap().content.body().unwrap();
    assert!(card.contains("waid=4930901820:+4930901820"), "{card}");
    let found = app.get(&path(&session, "contacts/check/0170%2099000001")).await;
    assert_eq!(found["number"], "4917099000001");
}

#[tokio::test]
async fn imports_read_numbers_as_the_session_does() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let table = "phone,name\n0170 99000001,Mia\n+49 170 99000002,Tom\n(0)170 99000003,Eva\n\
                 4917099000004@s.whatsapp.net,Ida\n1.7099E+10,Noa\n0170 99000005 ext. 2,Kim\n\
                 +1 555 0123,Ben\n15123456789,Zoe\n";
    let import = async |query: &str| {
        let to = path(&session, &format!("messages/send-bulk/import?text=hello&{query}"));
        let ask = app.ask("POST", &to).admin().header("content-type", "text/csv");
        ask.raw(table.into()).send().await.expect(200)
    };
    let said = |foreseen: &Value| {
        let invalid = foreseen["invalid"].as_array().unwrap();
        invalid.iter().map(|one| one["line"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let foreseen = import("dryRun=true").await;
    assert_eq!(said(&foreseen), [2, 4, 6, 7, 8]);
    assert!(foreseen["invalid"][0]["problems"][0].as_str().unwrap().contains("defaultCountry"));
    let config = json!({ "defaultCountry": "DE" });
    app.ask("PATCH", &path(&session, "config")).admin().json(&config).send().await.expect(200);
    let foreseen = import("dryRun=true").await;
    assert_eq!(said(&foreseen), [6, 7, 8, 9]);
    assert_eq!(foreseen["totalMessages"], 4);
    let problem = |at: usize| foreseen["invalid"][at]["problems"][0].to_string();
    for (at, says) in ["spreadsheet", "extension", "more digits", "country code"].iter().enumerate()
    {
        assert!(problem(at).contains(says), "{foreseen}");
    }
}

#[tokio::test]
async fn a_number_goes_to_the_spelling_that_whatsapp_knows() {
    let mut app = App::start().await;
    let session = app.ready_session("padaria").await;
    without_the_digit(&app);
    let sent = send(&app, &session, "+55 11 98765-4321", 201).await;
    assert_eq!(sent["resolvedTo"], SHORT);
    assert_eq!(app.whatsapp.sent()[0].chat, chat(SHORT));
    let both = Asked::Lookup(vec![chat(LONG), chat(SHORT)]);
    assert_eq!(app.whatsapp.asked(), [both]);
    // It is remembered, and also where messages are asked for.
    let sent = send(&app, &session, LONG, 201).await;
    assert_eq!((&sent["resolvedTo"], lookups(&app).await), (&json!(SHORT), 1));
    let listed = app.get(&path(&session, &format!("messages?chatId={LONG}"))).await;
    assert_eq!(listed["total"], 2);
    // Whoever asks for what WhatsApp knows is told nothing new.
    let sent = send(&app, &session, SHORT, 201).await;
    assert_eq!(sent.get("resolvedTo"), None);
    // Another process knows it, too.
    let before = lookups(&app).await;
    app.restart().await;
    app.until(&format!("/api/sessions/{session}"), |shown| shown["status"] == "ready").await;
    let sent = send(&app, &session, LONG, 201).await;
    assert_eq!((&sent["resolvedTo"], lookups(&app).await), (&json!(SHORT), before));
    // After a month it is asked again; while WhatsApp cannot be asked, what it said counts.
    app.advance(Duration::from_secs(31 * 24 * 3600));
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    let sent = send(&app, &session, LONG, 201).await;
    assert_eq!((&sent["resolvedTo"], lookups(&app).await), (&json!(SHORT), before));
    send(&app, &session, LONG, 201).await;
    assert_eq!(lookups(&app).await, before + 1);
}

#[tokio::test]
async fn sends_that_wait_while_a_spelling_is_asked_for_go_where_it_says() {
    let app = App::start().await;
    let session = app.ready_session("padaria").await;
    without_the_digit(&app);
    // All are taken in before WhatsApp has answered the first one's question.
    let sends = (0..5).map(|_| send(&app, &session, LONG, 201));
    let sent = futures::future::join_all(sends).await;
    assert!(sent.iter().all(|sent| sent["resolvedTo"] == SHORT), "{sent:?}");
    let chats: Vec<ChatId> = app.whatsapp.sent().into_iter().map(|sent| sent.chat).collect();
    assert_eq!(chats, vec![chat(SHORT); 5]);
    let listed = app.get(&path(&session, &format!("messages?chatId={LONG}"))).await;
    assert_eq!(listed["total"], 5);
}

#[tokio::test]
async fn what_whatsapp_cannot_be_asked_goes_as_it_was_given_and_is_not_remembered() {
    let app = App::start().await;
    let session = app.ready_session("padaria").await;
    without_the_digit(&app);
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    let sent = send(&app, &session, LONG, 201).await;
    assert_eq!(sent.get("resolvedTo"), None);
    assert_eq!(app.whatsapp.sent()[0].chat, chat(LONG));
    assert_eq!(send(&app, &session, LONG, 201).await["resolvedTo"], SHORT);
}

#[tokio::test]
async fn a_number_that_nobody_has_in_either_spelling_is_refused() {
    let app = App::start().await;
    let session = app.ready_session("padaria").await;
    for nobody in [LONG, SHORT] {
        app.whatsapp.unregister(chat(nobody));
    }
    let refused = send(&app, &session, LONG, 400).await;
    assert!(refused["message"].to_string().contains("WhatsApp"), "{refused}");
    assert!(app.whatsapp.sent().is_empty());
    let found = app.get(&path(&session, "contacts/check/5511987654321")).await;
    assert_eq!(found, json!({ "number": "5511987654321", "exists": false, "whatsappId": null }));
}

#[tokio::test]
async fn mexico_and_argentina_have_two_spellings_too() {
    let app = App::start().await;
    let session = app.ready_session("taqueria").await;
    for (asked, known) in
        [("525512345678@c.us", "5215512345678@c.us"), ("541123456789@c.us", "5491123456789@c.us")]
    {
        app.whatsapp.unregister(chat(asked));
        assert_eq!(send(&app, &session, asked, 201).await["resolvedTo"], known);
        let number = asked.trim_end_matches("@c.us");
        let found = app.get(&path(&session, &format!("contacts/check/%2B{number}"))).await;
        assert_eq!(found, json!({ "number": number, "exists": true, "whatsappId": known }));
    }
    // A plus that was not escaped is a blank in a query.
    let listed = app.get(&path(&session, "messages?chatId=+525512345678")).await;
    assert_eq!(listed["total"], 1);
}

#[tokio::test]
async fn an_idempotent_send_says_again_where_it_went() {
    let app = App::start().await;
    let session = app.ready_session("padaria").await;
    without_the_digit(&app);
    for _ in 0..2 {
        let ask = app.ask("POST", &path(&session, "messages/send-text")).admin();
        let ask = ask.header("idempotency-key", "order-17");
        let sent = ask.json(&json!({ "chatId": LONG, "text": "hello" })).send().await.expect(201);
        assert_eq!(sent["resolvedTo"], SHORT);
    }
    assert_eq!(app.whatsapp.sent().len(), 1);
}

#[tokio::test]
async fn items_of_a_batch_say_where_they_went() {
    let app = App::start().await;
    let session = app.ready_session("padaria").await;
    without_the_digit(&app);
    let text = |to: &str| json!({ "chatId": to, "type": "text", "content": { "text": "hello" } });
    let body = json!({
        "batchId": "spring", "messages": [text(LONG), text("4917099000001@c.us")],
        "options": { "delayBetweenMessages": 1000, "randomizeDelay": false },
    });
    app.post(&path(&session, "messages/send-bulk"), body, 202).await;
    let batch = crate::bulk::finish(&app, &session, "spring").await;
    assert_eq!(
        (&batch["results"][0]["chatId"], &batch["results"][0]["status"]),
        (&json!(LONG), &json!("sent"))
    );
    assert_eq!(batch["results"][0]["resolvedTo"], SHORT);
    assert_eq!(batch["results"][1].get("resolvedTo"), None);
    assert_eq!(app.whatsapp.sent()[0].chat, chat(SHORT));
}

#[tokio::test]
async fn a_schedule_without_an_offset_is_meant_in_the_zone_of_the_session() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let ask = async |at: &str, quiet: Value, dry: &str, status: u16| {
        let text =
            json!({ "chatId": "49170111@c.us", "type": "text", "content": { "text": "hi" } });
        let mut options = json!({ "scheduledAt": at });
        if quiet.is_object() {
            options["quietHours"] = quiet;
        }
        let to = path(&session, &format!("messages/send-bulk?dryRun={dry}"));
        app.post(&to, json!({ "messages": [text], "options": options }), status).await
    };
    let plain = ask("2026-12-24T18:00", json!(null), "true", 200).await;
    assert_eq!(
        (&plain["scheduledAt"], &plain["timeZone"]),
        (&json!("2026-12-24T18:00:00.000Z"), &json!("UTC"))
    );
    let config = json!({ "timeZone": "Europe/Berlin" });
    app.ask("PATCH", &path(&session, "config")).admin().json(&config).send().await.expect(200);
    for (dry, status) in [("true", 200), ("false", 202)] {
        let there = ask("2026-12-24T18:00", json!(null), dry, status).await;
        assert_eq!(there["scheduledAt"], "2026-12-24T17:00:00.000Z");
        assert_eq!(there["timeZone"], "Europe/Berlin");
    }
    let quiet = json!({ "from": "21:00", "to": "08:00", "timeZone": "America/Bogota" });
    let quiet = ask("2026-12-24T18:00", quiet, "true", 200).await;
    assert_eq!(quiet["timeZone"], "America/Bogota", "what the batch says wins");
    let offset = ask("2026-12-24T18:00:00+03:00", json!(null), "true", 200).await;
    assert_eq!(offset["scheduledAt"], "2026-12-24T15:00:00.000Z");
    assert_eq!(offset.get("timeZone"), None);
    for dry in ["true", "false"] {
        let past = ask("2020-12-24T18:00", json!(null), dry, 400).await;
        assert!(past["message"].to_string().contains("past"), "{past}");
    }
}
