//! Cards above texts with a link, their pictures, and the way out of a session with a proxy.

use axum::{
    Router,
    http::header,
    response::{Html, IntoResponse as _},
    routing::get,
};
use domain::content::{Content, LinkPreview};
use serde_json::{Value, json};
use testkit::{Tunnel, files};

use crate::app::{App, listen};

const CHAT: &str = "49170111@c.us";

/// A page with a picture, and pages whose picture is none; the base of its URLs.
async fn web() -> String {
    let page = |picture: &str| {
        let head = format!("<title>Bread</title><meta property='og:image' content='{picture}'>");
        get(async move || Html(head))
    };
    let png = async || ([(header::CONTENT_TYPE, "image/png")], files::PNG).into_response();
    let router = Router::new()
        .route("/page", page("/a.png"))
        .route("/text", page("/page"))
        .route("/gone", page("/none.png"))
        .route("/inside", page("http://10.0.0.1/a.png"))
        .route("/large", page("/large.png"))
        .route("/large.png", get(async || vec![0_u8; 6 * 1024 * 1024]))
        .route("/a.png", get(png));
    format!("http://{}", listen(router).await)
}

async fn ready() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    (app, format!("/api/sessions/{session}"))
}

async fn send(app: &App, path: &str, more: Value) -> Option<LinkPreview> {
    let mut body = json!({ "chatId": CHAT });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.post(&format!("{path}/messages/send-text"), body, 201).await;
    match app.whatsapp.sent().pop().unwrap().content {
        Content::Text { preview, .. } => preview,
        other => panic!("{other:?}"),
    }
}

fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff]) && bytes.len() < 8 * 1024
}

#[tokio::test]
async fn the_picture_of_a_page_becomes_a_small_jpeg() {
    let (app, path) = ready().await;
    let base = web().await;
    let card = async |page: &str| {
        let text = format!("see {base}/{page}");
        send(&app, &path, json!({ "text": text, "linkPreview": true })).await.unwrap()
    };
    let with_picture = card("page").await;
    assert_eq!(with_picture.title, "Bread");
    assert!(is_jpeg(&with_picture.thumbnail), "{} bytes", with_picture.thumbnail.len());
    for page in ["text", "gone", "inside", "large"] {
        let card = card(page).await;
        assert_eq!((card.title.as_str(), card.thumbnail.len()), ("Bread", 0), "{page}");
    }
    // The row tells of the card, not of its bytes.
    let rows = app.get(&format!("{path}/messages?limit=1")).await;
    let told = rows["messages"][0]["metadata"]["linkPreview"].as_object().unwrap();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["description", "title", "url"]);
}

#[tokio::test]
async fn the_sessions_settings_decide_where_the_request_says_nothing() {
    let (app, path) = ready().await;
    let text = format!("see {}/page", web().await);
    let config = async |wanted: Value| {
        let (config, body) = (format!("{path}/config"), json!({ "linkPreview": wanted }));
        app.ask("PATCH", &config).admin().json(&body).send().await.expect(200)
    };
    assert_eq!(send(&app, &path, json!({ "text": text })).await, None);
    assert_eq!(config(json!(true)).await["linkPreview"], true);
    assert!(send(&app, &path, json!({ "text": text })).await.is_some());
    assert_eq!(send(&app, &path, json!({ "text": "no link" })).await, None);
    assert_eq!(send(&app, &path, json!({ "text": text, "linkPreview": false })).await, None);
    let card = json!({ "url": "https://a.example", "title": "A" });
    let own = send(&app, &path, json!({ "text": text, "customLinkPreview": card })).await;
    assert_eq!(own.unwrap().title, "A");
    let template = json!({ "name": "page", "body": text });
    app.post(&format!("{path}/templates"), template, 201).await;
    let body = json!({ "chatId": CHAT, "templateName": "page" });
    app.post(&format!("{path}/messages/send-template"), body, 201).await;
    let content = app.whatsapp.sent().pop().unwrap().content;
    assert!(matches!(content, Content::Text { preview: Some(_), .. }), "{content:?}");
    assert_eq!(config(Value::Null).await["linkPreview"], false);
    assert_eq!(send(&app, &path, json!({ "text": text })).await, None);
}

#[tokio::test]
async fn a_callers_card_has_a_callers_picture() {
    let (app, path) = ready().await;
    let base = web().await;
    let body = |more: Value| {
        let mut card = json!({ "url": "https://a.example", "title": "A" });
        card.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "text": "https://a.example", "customLinkPreview": card })
    };
    let png = files::base64(files::PNG);
    for picture in [
        json!({ "thumbnailUrl": format!("{base}/a.png") }),
        json!({ "thumbnailBase64": png }),
        json!({ "thumbnailBase64": format!("data:image/png;base64,{png}") }),
    ] {
        let card = send(&app, &path, body(picture)).await.unwrap();
        assert!(is_jpeg(&card.thumbnail), "{} bytes", card.thumbnail.len());
    }
    let before = app.whatsapp.sent().len();
    let large = files::base64(&vec![0; 5 * 1024 * 1024 + 1]);
    for (picture, words) in [
        (json!({ "thumbnailUrl": "http://10.0.0.1/a.png" }), "SSRF_ALLOWED_HOSTS"),
        (json!({ "thumbnailUrl": "ftp://a.example/a.png" }), "must be a URL address"),
        (json!({ "thumbnailUrl": format!("{base}/none") }), "status 404"),
        (json!({ "thumbnailUrl": format!("{base}/page") }), "the picture of customLinkPreview"),
        (json!({ "thumbnailUrl": format!("{base}/large.png") }), "5 MiB"),
        (json!({ "thumbnailBase64": large }), "5 MiB"),
        (json!({ "thumbnailBase64": "%%%" }), "customLinkPreview.thumbnailBase64 must be"),
        (json!({ "thumbnailUrl": format!("{base}/a.png"), "thumbnailBase64": png }), "not both"),
    ] {
        let mut body = body(picture);
        body["chatId"] = json!(CHAT);
        let refused = app.post(&format!("{path}/messages/send-text"), body, 400).await;
        assert!(refused["message"].to_string().contains(words), "{words}: {refused}");
    }
    assert_eq!(app.whatsapp.sent().len(), before);
    assert_eq!(app.files(), 0);
}

/// A proxy before the web of this test, and a session that has it.
async fn with_proxy(app: &App, path: &str, base: &str) -> Tunnel {
    let port = base.rsplit(':').next().unwrap().parse().unwrap();
    let tunnel = Tunnel::guarded(port, "ann", "hunter2").await;
    let proxy = json!({ "proxyUrl": format!("socks5://ann:hunter2@{}", tunnel.address()) });
    app.ask("PATCH", &format!("{path}/proxy")).admin().json(&proxy).send().await.expect(200);
    tunnel
}

#[tokio::test]
async fn what_a_send_fetches_goes_through_the_sessions_proxy() {
    let (app, path) = ready().await;
    let base = web().await;
    let tunnel = with_proxy(&app, &path, &base).await;
    // A name that only the proxy knows.
    let image = json!({ "chatId": CHAT, "url": "http://files.example/a.png" });
    app.post(&format!("{path}/messages/send-image"), image, 201).await;
    assert_eq!(app.whatsapp.uploads().pop().unwrap().1, files::PNG);
    let text = json!({ "text": "http://files.example/page", "linkPreview": true });
    assert!(is_jpeg(&send(&app, &path, text).await.unwrap().thumbnail));
    let card = json!({
        "url": "https://a.example", "title": "A", "thumbnailUrl": "http://files.example/a.png"
    });
    let card = send(&app, &path, json!({ "text": "hi", "customLinkPreview": card })).await;
    assert!(is_jpeg(&card.unwrap().thumbnail));
    let asked = tunnel.targets();
    assert!(!asked.is_empty() && asked.iter().all(|to| to == "files.example:80"), "{asked:?}");
    // The guard holds on this way too.
    let inside = json!({ "chatId": CHAT, "url": "http://10.0.0.1/a.png" });
    let refused = app.post(&format!("{path}/messages/send-image"), inside, 400).await;
    assert!(refused["message"].to_string().contains("SSRF_ALLOWED_HOSTS"), "{refused}");
    assert_eq!(tunnel.targets(), asked);
}

#[tokio::test]
async fn a_proxy_that_fails_is_reported_and_nothing_goes_directly() {
    let (app, path) = ready().await;
    let base = web().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = json!({ "proxyUrl": format!("http://{}", gone.local_addr().unwrap()) });
    drop(gone);
    app.ask("PATCH", &format!("{path}/proxy")).admin().json(&proxy).send().await.expect(200);
    let image = json!({ "chatId": CHAT, "url": format!("{base}/a.png") });
    let refused = app.post(&format!("{path}/messages/send-image"), image, 400).await;
    let words = refused["message"].as_str().unwrap();
    assert!(words.starts_with("the session's proxy failed: "), "{words}");
    let text = json!({ "text": format!("{base}/page"), "linkPreview": true });
    assert_eq!(send(&app, &path, text).await, None);
}

#[tokio::test]
async fn without_the_setting_it_goes_directly() {
    let app = App::tuned(|options| options.sends.fetch_through_proxy = false).await;
    let path = format!("/api/sessions/{}", app.ready_session("bakery").await);
    let base = web().await;
    let tunnel = with_proxy(&app, &path, &base).await;
    let image = json!({ "chatId": CHAT, "url": format!("{base}/a.png") });
    app.post(&format!("{path}/messages/send-image"), image, 201).await;
    let text = json!({ "text": format!("{base}/page"), "linkPreview": true });
    assert!(is_jpeg(&send(&app, &path, text).await.unwrap().thumbnail));
    assert!(tunnel.targets().is_empty());
}
