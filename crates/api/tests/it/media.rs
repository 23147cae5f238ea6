//! Files that come in: told as pending, fetched later, served as they are.

use std::time::Duration;

use axum::{Router, routing};
use domain::{
    content::{Content, Media, MediaKind, RemoteMedia},
    message::InboundMessage,
    port::{EngineError, MediaRecords as _},
    session::LossCause,
};
use gateway::media::MediaError;
use serde_json::{Value, json};
use testkit::OnDownload;
use tokio::sync::mpsc;

use crate::{
    app::{App, listen, next, refused},
    inbound::{MIA, chat, from_mia, wa_id},
};

fn image(remote: Option<RemoteMedia>) -> Content {
    Content::Media(Box::new(Media {
        kind: MediaKind::Image,
        mimetype: "image/jpeg".into(),
        filename: None,
        caption: Some("menu".into()),
        size_bytes: remote.as_ref().map_or(0, |remote| remote.length),
        seconds: None,
        look: Default::default(),
        remote,
    }))
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count).map(|number| (number % 251) as u8).collect()
}

async fn ready(app: &App) -> (String, mpsc::Receiver<Value>) {
    let session = app.ready_session("bakery").await;
    let calls = app.hook(&session).await;
    (session, calls)
}

/// A file of these bytes comes in.
async fn hear(app: &App, session: &str, id: &str, bytes: &[u8]) {
    let remote = app.whatsapp.keep_file(bytes);
    app.hear(session, vec![from_mia(id, image(Some(remote)))]).await;
}

fn path(session: &str, id: &str) -> String {
    format!("/api/sessions/{session}/messages/{MIA}/{id}/media")
}

#[tokio::test]
async fn a_file_is_emitted_at_once_fetched_later_and_served_as_it_is() {
    let app = App::start().await;
    let (session, mut calls) = ready(&app).await;
    let group: domain::ChatId = chat("120363041@g.us");
    let bytes = bytes(200_000);
    let remote = app.whatsapp.keep_file(&bytes);
    let message = InboundMessage { chat: group, ..from_mia("3AF1", image(Some(remote))) };
    app.hear(&session, vec![message]).await;
    let call = next(&mut calls).await;
    assert_eq!(
        call["data"],
        json!({
            "id": "3AF1", "from": "120363041@g.us", "author": MIA, "to": "4915550001000@c.us",
            "chatId": "120363041@g.us", "body": "menu", "type": "image", "timestamp": 1_790_841_600, "fromMe": false,
            "isGroup": true, "kind": "group", "contact": { "pushName": "Mia" }, "senderPhone": "49170111",
            "media": { "mimetype": "image/jpeg", "omitted": true, "sizeBytes": 200_000, "state": "pending" }
        })
    );
    let call = next(&mut calls).await;
    assert_eq!(call["event"], "message.media");
    assert_eq!(
        (&call["data"]["messageId"], &call["data"]["author"]),
        (&json!("3AF1"), &json!(MIA))
    );
    assert_eq!(call["data"]["media"]["state"], "ready");
    assert_eq!(call["data"]["media"]["sizeBytes"], 200_000);

    let row = app.row(&session, "3AF1").await;
    assert_eq!(
        (&row["mediaMimetype"], &row["metadata"]["media"]["state"]),
        (&json!("image/jpeg"), &json!("ready"))
    );
    for chat in ["120363041@g.us", "120363041%40g.us"] {
        let path = format!("/api/sessions/{session}/messages/{chat}/3AF1/media");
        let answer = app.ask("GET", &path).admin().send().await;
        assert_eq!(answer.status, 200);
        assert!(answer.bytes() == bytes);
        assert_eq!(answer.headers["content-type"], "image/jpeg");
        assert_eq!(answer.headers["content-length"], "200000");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let name = answer.headers["content-disposition"].to_str().unwrap();
        assert!(name.starts_with("attachment; filename=\"3AF1.jpg\""), "{name}");
    }
    // In another chat there is no such message.
    let other = app.ask("GET", &path(&session, "3AF1")).admin().send().await.expect(404);
    assert_eq!(other, refused(404, "Not Found", "No media stored for this message"));
}

#[tokio::test]
async fn files_can_be_put_into_the_list() {
    let app = App::start().await;
    let (session, mut calls) = ready(&app).await;
    hear(&app, &session, "3AF0", b"hello").await;
    next(&mut calls).await;
    next(&mut calls).await;
    let list = format!("/api/sessions/{session}/messages");
    let media = |list: &Value| list["messages"][0]["metadata"]["media"].clone();
    let bare = media(&app.get(&format!("{list}?inlineMedia=false")).await);
    assert_eq!(bare["omitted"], true);
    let inline = media(&app.get(&format!("{list}?inlineMedia=true")).await);
    assert_eq!((&inline["data"], inline.get("omitted")), (&json!("aGVsbG8="), None));
}

#[tokio::test]
async fn a_download_that_fails_is_tried_again_and_then_given_up() {
    let app = App::start().await;
    let (session, mut calls) = ready(&app).await;
    app.whatsapp.on_download(OnDownload::Fail(EngineError::Unanswered(None)));
    hear(&app, &session, "3AF0", b"hello").await;
    assert_eq!(next(&mut calls).await["event"], "message.received");
    tried(&app, &session, "3AF0", 1).await;
    let answer = app.ask("GET", &path(&session, "3AF0")).admin().send().await.expect(404);
    assert_eq!(answer["message"], "The media of this message is still being fetched");
    app.clock.advance(Duration::from_secs(7));
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["media"]["state"]),
        (&json!("message.media"), &json!("ready"))
    );

    for _ in 0..22 {
        app.whatsapp.on_download(OnDownload::Fail(EngineError::Unanswered(None)));
    }
    hear(&app, &session, "3AF1", b"hello").await;
    assert_eq!(next(&mut calls).await["event"], "message.received");
    for tries in 1..=22 {
        tried(&app, &session, "3AF1", tries).await;
        app.clock.advance(Duration::from_secs(9_000));
    }
    // A delivery that was under way when the time jumped may have come twice.
    let call = loop {
        let call = next(&mut calls).await;
        if call["event"] == "message.media" {
            break call;
        }
    };
    let media = &call["data"]["media"];
    assert_eq!(media["state"], "failed");
    assert_eq!(media["reason"], "not downloaded in 22 tries: WhatsApp did not answer");
    let answer = app.ask("GET", &path(&session, "3AF1")).admin().send().await.expect(404);
    let message = answer["message"].as_str().unwrap();
    assert!(message.starts_with("No media stored for this message: not downloaded"), "{message}");

    // Asked for again, it has all its tries again.
    let again = format!("{}/retry", path(&session, "3AF1"));
    let answer = app.ask("POST", &again).admin().send().await.expect(202);
    assert_eq!(answer, json!({ "state": "pending" }));
    // The failure may still come twice, for the same reason.
    loop {
        let call = next(&mut calls).await;
        if call["event"] == "message.media" && call["data"]["media"]["state"] == "ready" {
            break;
        }
    }
    let answer = app.ask("POST", &again).admin().send().await.expect(202);
    assert_eq!(answer, json!({ "state": "ready" }));
    let unknown = format!("{}/retry", path(&session, "3AF9"));
    app.ask("POST", &unknown).admin().send().await.expect(404);
}

/// Waits until so many tries of a download are recorded.
async fn tried(app: &App, session: &str, id: &str, tries: u32) {
    let (session, id) = (session.parse().unwrap(), wa_id(id));
    let wait = async {
        while app.store.media(session, &id).await.unwrap().unwrap().attempts < tries {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("not tried");
}

#[tokio::test]
async fn what_whatsapp_no_longer_has_is_not_asked_for_again() {
    let app = App::start().await;
    let (session, mut calls) = ready(&app).await;
    app.whatsapp.on_download(OnDownload::Fail(EngineError::Refused("410".into())));
    hear(&app, &session, "3AF0", b"hello").await;
    next(&mut calls).await;
    let media = next(&mut calls).await["data"]["media"].clone();
    assert_eq!(
        (&media["state"], &media["reason"]),
        (&json!("failed"), &json!("WhatsApp no longer has it: 410"))
    );
    assert_eq!(app.whatsapp.downloads().len(), 1);
}

#[tokio::test]
async fn files_that_will_not_be_fetched_are_shown_as_failed() {
    let app = App::tuned(|options| options.media.bytes_max = 10).await;
    let (session, mut calls) = ready(&app).await;
    hear(&app, &session, "3AF0", b"more than ten").await;
    let media = next(&mut calls).await["data"]["media"].clone();
    assert_eq!(
        (&media["state"], &media["reason"]),
        (&json!("failed"), &json!("larger than 10 bytes"))
    );
    assert_eq!(app.row(&session, "3AF0").await["metadata"]["media"]["state"], "failed");
    // It said that it was small.
    app.whatsapp.on_download(OnDownload::Bytes(bytes(1000)));
    hear(&app, &session, "3AF1", b"small").await;
    assert_eq!(next(&mut calls).await["data"]["media"]["state"], "pending");
    assert_eq!(next(&mut calls).await["data"]["media"]["reason"], "larger than 10 bytes");
    app.hear(&session, vec![from_mia("3AF2", image(None))]).await;
    assert_eq!(next(&mut calls).await["data"]["media"]["state"], "failed");
    assert_eq!(app.whatsapp.downloads().len(), 1);

    let app = App::tuned(|options| options.media.download = false).await;
    let (session, mut calls) = ready(&app).await;
    hear(&app, &session, "3AF0", b"hello").await;
    assert_eq!(next(&mut calls).await["data"]["media"]["reason"], "downloads are switched off");
}

#[tokio::test]
async fn a_download_survives_a_lost_link_and_a_restart() {
    let mut app = App::start().await;
    let (session, mut calls) = ready(&app).await;
    // The link goes down before the download ends: that is no try.
    app.whatsapp.on_download(OnDownload::Fail(EngineError::NotConnected));
    hear(&app, &session, "3AF0", b"hello").await;
    next(&mut calls).await;
    while app.whatsapp.downloads().is_empty() {
        tokio::task::yield_now().await;
    }
    app.whatsapp.connection(session.parse().unwrap()).lose(LossCause::Link("gone".into())).await;
    app.restart().await;
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["media"]["state"]),
        (&json!("message.media"), &json!("ready"))
    );
    let answer = app.ask("GET", &path(&session, "3AF0")).admin().send().await;
    assert_eq!((answer.status, answer.bytes()), (200, b"hello".as_slice()));
}

#[tokio::test]
async fn a_revoked_message_keeps_no_file() {
    let app = App::start().await;
    let (session, mut calls) = ready(&app).await;
    hear(&app, &session, "3AF0", b"hello").await;
    next(&mut calls).await;
    next(&mut calls).await;
    let target = domain::content::Target { id: wa_id("3AF0"), from_me: false, author: None };
    app.hear(&session, vec![from_mia("3B00", Content::Revoke { target })]).await;
    assert_eq!(next(&mut calls).await["event"], "message.revoked");
    app.ask("GET", &path(&session, "3AF0")).admin().send().await.expect(404);
    let row = app.row(&session, "3AF0").await;
    assert_eq!((&row["mediaPath"], &row["metadata"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn no_url_leads_into_private_space_and_no_trace_is_left() {
    let app = App::start().await;
    let media = &app.gateway.media;
    for url in [
        "http://127.0.0.2/a.png",
        "http://127.2/a.png",
        "http://0x7f.2/a.png",
        "http://2130706434/a.png",
        "http://0177.0.0.2/a.png",
        "http://10.0.0.1/a.png",
        "http://[::1]/a.png",
        "http://[::ffff:10.0.0.1]/a.png",
        "http://[::ffff:a00:1]/a.png",
        "http://[::10.0.0.1]/a.png",
        "http://[64:ff9b::10.0.0.1]/a.png",
        "http://[64:ff9b:1::a00:1]/a.png",
        "http://[fd00::1]/a.png",
        "http://169.254.169.254/a.png",
        "http://localhost/a.png",
        "http://LOCALHOST./a.png",
        "http://db.internal/a.png",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.2/a.png",
    ] {
        assert!(matches!(media.fetch(url, None).await, Err(MediaError::Blocked(_))), "{url}");
    }
    for url in ["ftp://example.org/a", "file:///etc/passwd", "http://a:b@example.org/", "x", ""] {
        assert!(matches!(media.fetch(url, None).await, Err(MediaError::NotHttp)), "{url}");
    }
    for text in ["", "%%%", "data:image/png;base64,", "aGVsbG8?"] {
        assert!(matches!(media.keep_base64(text).await, Err(MediaError::BadBase64)), "{text}");
    }
    assert_eq!(app.files(), 0);
}

#[tokio::test]
async fn a_file_from_a_url_or_base64_is_kept_once() {
    let app = App::tuned(|options| options.media.bytes_max = 10).await;
    let png = b"\x89PNG\r\n\x1a\n".as_slice();
    let router = axum::Router::new()
        .route("/typed", axum::routing::get(async || ([("content-type", "image/webp")], "hello")))
        .route(
            "/cake.png",
            axum::routing::get(async move || ([("content-type", "application/octet-stream")], png)),
        )
        .route("/large", axum::routing::get(async || "more than ten bytes"));
    let base = format!("http://{}", crate::app::listen(router).await);
    let media = &app.gateway.media;
    let typed = media.fetch(&format!("{base}/typed"), None).await.unwrap();
    assert_eq!(
        (typed.mimetype.as_deref(), typed.filename.as_deref()),
        (Some("image/webp"), Some("typed"))
    );
    let sniffed = media.fetch(&format!("{base}/cake.png"), None).await.unwrap();
    assert_eq!(
        (sniffed.mimetype.as_deref(), sniffed.filename.as_deref()),
        (Some("image/png"), Some("cake.png"))
    );
    assert!(matches!(media.fetch(&format!("{base}/large"), None).await, Err(MediaError::TooBig)));
    assert!(matches!(
        media.fetch(&format!("{base}/none"), None).await,
        Err(MediaError::Status(404))
    ));
    assert_eq!(media.keep_base64("data:text/plain;base64,aGVsbG8=").await.unwrap(), typed.kept);
    assert!(matches!(media.keep_base64("bW9yZSB0aGFuIHRlbg==").await, Err(MediaError::TooBig)));
    assert_eq!(app.files(), 2);
}

#[tokio::test]
async fn the_name_that_a_server_gives_in_its_extended_form_is_the_documents_name() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let send = format!("/api/sessions/{session}/messages/send-document");
    for (told, name) in [
        (
            "attachment; filename=\"menu.pdf\"; filename*=UTF-8''Men%C3%BC%20%E2%82%AC.pdf",
            "Menü €.pdf",
        ),
        ("attachment; filename*=iso-8859-1'de'Men%FC.pdf; filename=\"menu.pdf\"", "Menü.pdf"),
        ("inline; filename=plain.pdf", "plain.pdf"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
    ] {
        let answer = move || async move {
            (
                [("content-disposition", told), ("content-type", "application/pdf")],
                "%PDF-1.7\n%%EOF",
            )
        };
        let at = listen(Router::new().route("/file", routing::get(answer))).await;
        let body = json!({ "chatId": "49170111@c.us", "url": format!("http://{at}/file") });
        app.post(&send, body, 201).await;
        let sent = app.whatsapp.sent();
        let Content::Media(media) = &sent.last().unwrap().content else { panic!("no file") };
        assert_eq!(media.filename.as_deref(), Some(name), "{told}");
    }
}
