//! Every route that makes a message: the happy way, and what is wrong with a body.

use domain::content::{Content, MediaKind};
use serde_json::{Value, json};
use testkit::{build, files};

use crate::app::{App, Ask, refused};

const CHAT: &str = "49170111@c.us";

async fn ready() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    (app, format!("/api/sessions/{session}/messages"))
}

fn with(mut body: Value, extra: Value) -> Value {
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// Sends, and what the engine was handed.
async fn sent(app: &App, path: &str, route: &str, body: Value) -> (Value, Content) {
    let body = with(body, json!({ "chatId": CHAT }));
    let answer = app.post(&format!("{path}/{route}"), body, 201).await;
    assert_eq!(answer["status"], "sent", "{route}");
    let handed = app.whatsapp.sent().pop().unwrap();
    assert_eq!(answer["messageId"], handed.id.as_str());
    let row = app.get(&format!("{path}?messageId={}", handed.id)).await["messages"][0].clone();
    assert_eq!((&row["status"], &row["direction"]), (&json!("sent"), &json!("outgoing")));
    (row, handed.content)
}

#[tokio::test]
async fn every_kind_of_message_is_sent_and_stored() {
    let (app, path) = ready().await;
    let card = json!({ "url": "https://a.example", "title": "A" });
    let (row, content) =
        sent(&app, &path, "send-text", json!({ "text": "hi", "customLinkPreview": card })).await;
    assert_eq!((&row["type"], &row["body"]), (&json!("text"), &json!("hi")));
    assert_eq!(row["metadata"]["linkPreview"]["title"], "A");
    assert!(matches!(content, Content::Text { preview: Some(card), .. } if card.title == "A"));

    let place = json!({ "latitude": 52.5, "longitude": 13.4, "description": "Here" });
    let (row, content) = sent(&app, &path, "send-location", place).await;
    assert_eq!(
        (&row["type"], &row["metadata"]["location"]["latitude"]),
        (&json!("location"), &json!(52.5))
    );
    assert!(matches!(content, Content::Location(place) if place.longitude == 13.4));

    let contact = json!({ "contactName": "Mia", "contactNumber": "+49 170 222" });
    let (row, content) = sent(&app, &path, "send-contact", contact).await;
    assert_eq!(row["type"], "contact");
    assert!(
        matches!(content, Content::Contacts { cards } if cards[0].vcard.contains("waid=49170222"))
    );

    let poll =
        json!({ "name": "Which?", "options": ["Tea", "Cake"], "allowMultipleAnswers": true });
    let (row, content) = sent(&app, &path, "send-poll", poll).await;
    assert_eq!(row["metadata"]["poll"]["options"], json!(["Tea", "Cake"]));
    assert!(matches!(content, Content::Poll(poll) if poll.allow_multiple_answers));
}

#[tokio::test]
async fn files_go_up_byte_for_byte_and_can_be_fetched_again() {
    let (app, path) = ready().await;
    let routes = [
        ("send-image", "image", MediaKind::Image, files::PNG, "image/png"),
        ("send-video", "video", MediaKind::Video, files::MP4, "video/mp4"),
        ("send-audio", "audio", MediaKind::Audio, files::MP3, "audio/mpeg"),
        ("send-document", "document", MediaKind::Document, files::PDF, "application/pdf"),
    ];
    for (route, kind, sort, bytes, mimetype) in routes {
        let base64 = format!("data:{mimetype};base64,{}", files::base64(bytes));
        let file = json!({ "base64": base64, "mimetype": mimetype, "caption": "Cake" });
        let (row, content) = sent(&app, &path, route, file).await;
        assert_eq!(row["type"], kind);
        assert_eq!(row["mediaMimetype"], mimetype);
        assert_eq!(row["metadata"]["media"]["sizeBytes"], bytes.len());
        assert_eq!(app.whatsapp.uploads().pop().unwrap(), (sort, bytes.to_vec()));
        let Content::Media(media) = content else { panic!("{route}") };
        let length = bytes.len() as u64;
        assert_eq!((media.kind, media.size_bytes, media.remote.is_some()), (sort, length, true));
        let name = (sort == MediaKind::Document).then_some("file");
        assert_eq!(media.filename.as_deref(), name);
        let got = app.ask("GET", row["mediaPath"].as_str().unwrap()).admin().send().await;
        assert_eq!((got.status, got.bytes()), (200, bytes));
    }
    let note = json!({ "base64": files::base64(files::OPUS), "ptt": true });
    let (row, content) = sent(&app, &path, "send-audio", note).await;
    assert_eq!(
        (&row["type"], &row["mediaMimetype"]),
        (&json!("voice"), &json!("audio/ogg; codecs=opus"))
    );
    assert!(matches!(content, Content::Media(media) if media.kind == MediaKind::Voice));
}

/// What phones would not show is refused before anything goes up, and says what to do.
#[tokio::test]
async fn bytes_that_are_not_what_they_are_sent_as_are_refused() {
    let (app, path) = ready().await;
    let page = files::base64(b"<!doctype html><title>Sign in</title>");
    let data = files::base64(b"{\"error\":\"expired\"}");
    let pdf = "application/pdf";
    for (route, base64, mimetype, word) in [
        ("send-document", "database".to_owned(), pdf, "n8n"),
        ("send-document", "undefined".to_owned(), pdf, "undefined"),
        ("send-document", page.clone(), pdf, "web page"),
        ("send-image", page, "image/png", "web page"),
        ("send-image", data, "image/jpeg", "JSON"),
        ("send-image", files::base64(&files::PNG[..20]), "image/png", "damaged"),
        ("send-sticker", files::base64(files::MP4), "image/webp", "sticker"),
        ("send-video", files::base64(files::PNG), "video/mp4", "video"),
        ("send-audio", files::base64(files::PNG), "audio/mpeg", "sound"),
    ] {
        let body = json!({ "chatId": CHAT, "base64": base64, "mimetype": mimetype });
        let answer = app.post(&format!("{path}/{route}"), body, 400).await;
        assert!(answer["message"].to_string().contains(word), "{route}: {answer}");
    }
    assert!(app.whatsapp.sent().is_empty() && app.whatsapp.uploads().is_empty());
}

#[tokio::test]
async fn a_picture_becomes_a_sticker_and_says_its_size() {
    let (app, path) = ready().await;
    let file = json!({ "base64": files::base64(files::PNG), "mimetype": "image/png" });
    let (row, content) = sent(&app, &path, "send-sticker", file.clone()).await;
    assert_eq!(row["mediaMimetype"], "image/webp");
    let Content::Media(media) = content else { panic!("{content:?}") };
    assert_eq!((media.look.width, media.look.height), (Some(512), Some(512)));
    let (_, bytes) = app.whatsapp.uploads().pop().unwrap();
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WEBP"[..]));
    let (_, content) = sent(&app, &path, "send-image", file).await;
    let Content::Media(media) = content else { panic!("{content:?}") };
    assert_eq!((media.look.width, media.look.height), (Some(1), Some(1)));
    assert_eq!(media.look.thumbnail[..3], [0xff, 0xd8, 0xff]);
}

#[tokio::test]
async fn replies_and_forwards_need_a_message_of_that_chat() {
    let (app, path) = ready().await;
    let session = path.split('/').nth(3).unwrap().to_owned();
    let (one, two) = (build::chat(1), build::chat(2));
    app.hear(&session, vec![build::inbound(1, &one)]).await;
    let id = build::wa_id(1).to_string();
    let reply =
        |chat: &domain::ChatId| json!({ "chatId": chat, "quotedMessageId": id, "text": "Yes" });
    app.post(&format!("{path}/reply"), reply(&one), 201).await;
    let (quoted, author) = app.whatsapp.sent()[0].quoted.clone().unwrap();
    assert_eq!((quoted.body.as_str(), author), ("text 1", one.clone()));
    let missing = refused(404, "Not Found", &format!("Quoted message {id} not found"));
    assert_eq!(app.post(&format!("{path}/reply"), reply(&two), 404).await, missing);
    // Other routes may quote across chats.
    let quoting = json!({ "chatId": two, "quotedMessageId": id, "text": "See" });
    app.post(&format!("{path}/send-text"), quoting, 201).await;

    let forward =
        |from: &domain::ChatId| json!({ "fromChatId": from, "toChatId": two, "messageId": id });
    app.post(&format!("{path}/forward"), forward(&one), 201).await;
    let last = app.whatsapp.sent().pop().unwrap();
    assert_eq!((last.chat, last.content.body().as_deref()), (two.clone(), Some("text 1")));
    assert_eq!(last.forwarding_score, 1, "somebody else wrote it");
    let row = app.row(&session, last.id.as_str()).await;
    assert_eq!(
        (&row["metadata"]["isForwarded"], &row["metadata"]["forwardingScore"]),
        (&json!(true), &json!(1))
    );
    // Once more: it counts. What this account wrote itself is not marked.
    let again = json!({ "fromChatId": two, "toChatId": one, "messageId": last.id });
    app.post(&format!("{path}/forward"), again, 201).await;
    assert_eq!(app.whatsapp.sent().pop().unwrap().forwarding_score, 2);
    let text = json!({ "chatId": two, "text": "Own" });
    let own = app.post(&format!("{path}/send-text"), text, 201).await;
    let own = json!({ "fromChatId": two, "toChatId": one, "messageId": own["messageId"] });
    app.post(&format!("{path}/forward"), own, 201).await;
    assert_eq!(app.whatsapp.sent().pop().unwrap().forwarding_score, 0);
    let missing = refused(404, "Not Found", &format!("Message {id} not found"));
    assert_eq!(app.post(&format!("{path}/forward"), forward(&two), 404).await, missing);
}

#[tokio::test]
async fn a_forwarded_file_is_uploaded_anew() {
    let (app, path) = ready().await;
    let file =
        json!({ "base64": files::base64(files::PNG), "mimetype": "image/png", "caption": "Cake" });
    let (row, _) = sent(&app, &path, "send-image", file).await;
    let forward =
        json!({ "fromChatId": CHAT, "toChatId": "49170222@c.us", "messageId": row["waMessageId"] });
    app.post(&format!("{path}/forward"), forward, 201).await;
    assert_eq!(app.whatsapp.uploads().len(), 2);
    let Content::Media(media) = app.whatsapp.sent().pop().unwrap().content else { panic!() };
    assert_eq!(media.caption.as_deref(), Some("Cake"));
}

fn problem(words: &str) -> Value {
    json!({ "statusCode": 400, "message": [words], "error": "Bad Request" })
}

#[tokio::test]
async fn wrong_bodies_leave_no_trace() {
    let (app, path) = ready().await;
    let long = |count: usize| "x".repeat(count);
    let file = json!({ "base64": "AAEC", "mimetype": "image/png" });
    let blocked = |host: &str| {
        let words = format!(
            "Destination address is not allowed: {host} is in a private or special network; \
             SSRF_ALLOWED_HOSTS names hosts that are allowed all the same"
        );
        refused(400, "Bad Request", &words)
    };
    let shorter = |field: &str, most: u32| {
        problem(&format!("{field} must be shorter than or equal to {most} characters"))
    };
    let missing =
        |fields: &[&str]| json!({ "statusCode": 400, "message": fields, "error": "Bad Request" });
    let poll = |options: Value| json!({ "name": "Which?", "options": options });
    let wrong: Vec<(&str, Value, Value)> = vec![
        ("send-image", json!({}), problem("url or base64 must be given")),
        (
            "send-image",
            json!({ "base64": "AAEC" }),
            missing(&["mimetype should not be empty", "mimetype must be a string"]),
        ),
        (
            "send-image",
            with(file.clone(), json!({ "mimetype": "png" })),
            problem("mimetype must be a media type like image/jpeg"),
        ),
        (
            "send-image",
            with(file.clone(), json!({ "caption": long(1025) })),
            shorter("caption", 1024),
        ),
        (
            "send-image",
            with(file.clone(), json!({ "filename": long(256) })),
            shorter("filename", 255),
        ),
        (
            "send-image",
            with(file.clone(), json!({ "base64": "?!" })),
            problem("base64 must be the base64 text of a file"),
        ),
        (
            "send-image",
            with(file.clone(), json!({ "ptt": true })),
            problem("property ptt should not exist"),
        ),
        ("send-video", json!({ "url": "ftp://a.example/x" }), problem("url must be a URL address")),
        ("send-document", json!({ "url": "http://10.0.0.1/x" }), blocked("10.0.0.1")),
        (
            "send-document",
            json!({ "url": "http://[::ffff:10.0.0.1]/x" }),
            blocked("[::ffff:a00:1]"),
        ),
        (
            "send-audio",
            json!({ "url": "http://192.168.1.1/x", "ptt": true }),
            blocked("192.168.1.1"),
        ),
        (
            "send-location",
            json!({ "latitude": 91, "longitude": 0 }),
            problem("latitude must not be greater than 90"),
        ),
        (
            "send-location",
            json!({ "latitude": "1", "longitude": 0 }),
            problem("latitude must be a number conforming to the specified constraints"),
        ),
        (
            "send-contact",
            json!({ "contactName": "Mia", "contactNumber": "none" }),
            problem("contactNumber must be a phone number like +4915550001000"),
        ),
        (
            "send-contact",
            json!({ "contactName": long(256), "contactNumber": "49170111" }),
            shorter("contactName", 255),
        ),
        ("send-poll", poll(json!(["one"])), problem("options must contain at least 2 elements")),
        (
            "send-poll",
            poll(json!(vec!["x"; 13])),
            problem("options must contain no more than 12 elements"),
        ),
        (
            "send-poll",
            poll(json!(["a", long(101)])),
            problem("each value in options must be shorter than or equal to 100 characters"),
        ),
        (
            "reply",
            json!({ "text": "x" }),
            missing(&["quotedMessageId should not be empty", "quotedMessageId must be a string"]),
        ),
        ("send-template", json!({}), problem("templateId or templateName must be given")),
        (
            "send-template",
            json!({ "templateName": "x", "vars": { "a": true } }),
            problem("each value in vars must be a string"),
        ),
        ("react", json!({ "messageId": "3A", "emoji": long(33) }), shorter("emoji", 32)),
        (
            "pin",
            json!({ "messageId": "3A", "durationSeconds": 60 }),
            problem("durationSeconds must be one of the following values: 86400, 604800, 2592000"),
        ),
        ("edit", json!({ "messageId": "3A", "body": long(4097) }), shorter("body", 4096)),
        ("star", json!({ "messageId": "3A" }), problem("star must be a boolean value")),
        (
            "vote-poll",
            json!({ "pollMessageId": "3A", "options": vec!["x"; 13] }),
            problem("options must contain no more than 12 elements"),
        ),
    ];
    let before = app.stored().await;
    for (route, body, expected) in wrong {
        let body = with(body, json!({ "chatId": CHAT }));
        let ask: Ask<'_> = app.ask("POST", &format!("{path}/{route}")).admin().json(&body);
        let about = ask.about();
        let answer = ask.send().await;
        assert_eq!((answer.status, answer.json()), (400, expected), "{about}");
    }
    assert_eq!(app.stored().await, before);
    assert!(app.whatsapp.sent().is_empty() && app.whatsapp.uploads().is_empty());
}

#[tokio::test]
async fn a_file_that_is_too_large_is_413() {
    let app = App::tuned(|options| options.media.bytes_max = 3).await;
    let session = app.ready_session("bakery").await;
    let body = json!({ "chatId": CHAT, "base64": "AAEC/w==", "mimetype": "image/png" });
    let path = format!("/api/sessions/{session}/messages/send-image");
    let answer = app.post(&path, body, 413).await;
    assert_eq!(answer, json!({ "statusCode": 413, "message": "The media is too large" }));
}

#[tokio::test]
async fn keys_with_chats_are_held_to_them() {
    let (app, path) = ready().await;
    let key = json!({ "name": "till", "role": "operator", "allowedChats": [CHAT] });
    let key = app.new_key(key).await.text;
    let ask = async |route: &str, body: Value| {
        app.ask("POST", &format!("{path}/{route}")).key(&key).json(&body).send().await
    };
    let other = "49170222@c.us";
    for (route, body) in [
        ("send-location", json!({ "chatId": other, "latitude": 1, "longitude": 1 })),
        ("forward", json!({ "fromChatId": CHAT, "toChatId": other, "messageId": "3A" })),
        ("forward", json!({ "fromChatId": other, "toChatId": CHAT, "messageId": "3A" })),
        ("react", json!({ "chatId": other, "messageId": "3A", "emoji": "👍" })),
        ("reply", json!({ "chatId": other, "quotedMessageId": "3A", "text": "x" })),
    ] {
        let answer = ask(route, body).await.expect(403);
        assert_eq!(answer["message"], "API key not authorized for this chat", "{route}");
    }
    let quoting = json!({ "chatId": CHAT, "text": "x", "quotedMessageId": "3A" });
    let answer = ask("send-text", quoting).await.expect(403);
    assert_eq!(answer["message"], "API key is restricted to selected chats");
    let reply = json!({ "chatId": CHAT, "text": "x", "quotedMessageId": "3A" });
    ask("reply", reply).await.expect(404);
    ask("send-text", json!({ "chatId": CHAT, "text": "x" })).await.expect(201);
}

#[tokio::test]
async fn refusals_of_whatsapp_have_statuses_and_codes() {
    let (app, path) = ready().await;
    let session = path.split('/').nth(3).unwrap().to_owned();
    let mut calls = app.hook(&session).await;
    for (code, status, word) in [
        (404, 400, Value::Null),
        (463, 403, json!("RECIPIENT_COLD_RESTRICTED")),
        (429, 429, json!("WHATSAPP_RATE_LIMITED")),
        (403, 403, json!("RECIPIENT_BLOCKED")),
    ] {
        app.refuse_next_send(code);
        let body = json!({ "chatId": CHAT, "text": "hi" });
        let answer = app.post(&format!("{path}/send-text"), body, status).await;
        assert_eq!(answer["code"], word, "{code}");
    }
    let shown = app.get(&format!("/api/sessions/{session}")).await;
    assert_eq!(shown["restriction"]["kind"], "reachout_timelock", "{shown}");
    // Replies go on, and do not end the restriction; a first message that is taken does.
    let one = build::chat(1);
    app.hear(&session, vec![build::inbound(1, &one)]).await;
    let text = |chat: &str| json!({ "chatId": chat, "text": "hi" });
    app.post(&format!("{path}/send-text"), text(one.as_str()), 201).await;
    assert!(app.get(&format!("/api/sessions/{session}")).await["restriction"].is_object());
    app.post(&format!("{path}/send-text"), text("49170999@c.us"), 201).await;
    assert!(app.get(&format!("/api/sessions/{session}")).await["restriction"].is_null());
    let mut failed = 0;
    while failed < 4 {
        failed += usize::from(crate::app::next(&mut calls).await["event"] == "message.failed");
    }
}
