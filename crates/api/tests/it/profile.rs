//! The account's own profile.

use domain::port::{EngineError, ProfileChange};
use serde_json::{Value, json};
use testkit::AskedAboutPeople as Ask;

use crate::app::App;

/// A picture of one pixel, as PNG.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

async fn put(app: &App, session: &str, what: &str, body: Value) -> crate::app::Answer {
    let path = format!("/api/sessions/{session}/profile/{what}");
    app.ask("PUT", &path).admin().json(&body).send().await
}

fn changes(app: &App) -> Vec<ProfileChange> {
    let asked = app.whatsapp.asked_about_people().into_iter();
    asked
        .filter_map(|asked| match asked {
            Ask::Profile(change) => Some(change),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn name_and_text_are_changed() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let answer = put(&app, &session, "name", json!({ "name": "Corner Bakery" })).await.expect(200);
    assert_eq!(answer, json!({ "success": true, "message": "Profile name updated" }));
    let shown = app.get(&format!("/api/sessions/{session}")).await;
    assert_eq!(shown["pushName"], "Corner Bakery");
    let answer = put(&app, &session, "status", json!({ "status": "Fresh bread" })).await;
    let expected = json!({ "success": true, "message": "Profile status updated" });
    assert_eq!(answer.expect(200), expected);
    put(&app, &session, "status", json!({ "status": "" })).await.expect(200);
    for (what, wrong) in [
        ("name", json!({ "name": "" })),
        ("name", json!({ "name": "x".repeat(26) })),
        ("name", json!({ "name": " \u{200b}" })),
        ("name", json!({ "name": "x", "colour": "red" })),
        ("status", json!({})),
        ("status", json!({ "status": "x".repeat(140) })),
    ] {
        put(&app, &session, what, wrong).await.expect(400);
    }
    let expected = [
        ProfileChange::Name("Corner Bakery".into()),
        ProfileChange::About("Fresh bread".into()),
        ProfileChange::About(String::new()),
    ];
    assert_eq!(changes(&app), expected);
}

#[tokio::test]
async fn a_picture_becomes_a_square_jpeg_and_goes_again() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let body = json!({ "base64": DOT, "mimetype": "image/png" });
    let answer = put(&app, &session, "picture", body).await.expect(200);
    assert_eq!(answer, json!({ "success": true, "message": "Profile picture updated" }));
    let path = format!("/api/sessions/{session}/profile/picture");
    let answer = app.ask("DELETE", &path).admin().send().await.expect(200);
    assert_eq!(answer, json!({ "success": true, "message": "Profile picture removed" }));
    let changes = changes(&app);
    let [ProfileChange::Picture(Some(jpeg)), ProfileChange::Picture(None)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]), "it is a JPEG");
    assert_eq!(app.files(), 0, "nothing of it is kept");
}

#[tokio::test]
async fn what_is_no_picture_changes_nothing() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    for wrong in [
        json!({}),
        json!({ "base64": DOT }),
        json!({ "base64": DOT, "mimetype": "text/plain" }),
        json!({ "base64": "aGVsbG8gd29ybGQ=", "mimetype": "image/png" }),
        json!({ "base64": "!", "mimetype": "image/png" }),
        json!({ "url": "ftp://shop.example/x.png" }),
        json!({ "url": "http://127.0.0.1:9/x.png", "size": 5 }),
    ] {
        put(&app, &session, "picture", wrong).await.expect(400);
    }
    assert_eq!(changes(&app), []);
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    put(&app, &session, "status", json!({ "status": "x" })).await.expect(503);
    let idle = app.new_session("idle").await;
    let answer = put(&app, &idle, "name", json!({ "name": "x" })).await.expect(400);
    assert_eq!(answer["message"], "Session is not started");
}
