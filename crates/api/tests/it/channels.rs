//! Channels: asked of WhatsApp each time.

use domain::{
    channel::{Channel, ChannelChange, ChannelPost, ChannelRole, NewChannel},
    content::Content,
    port::EngineError,
};
use serde_json::json;
use testkit::Asked;

use crate::{
    app::{App, refused},
    inbound::{MIA, TIME, chat, wa_id},
};

const NEWS: &str = "120363144038483540@newsletter";

fn news() -> Channel {
    Channel {
        id: chat(NEWS),
        name: "Bakery news".into(),
        description: Some("What is in the oven".into()),
        invite_code: Some("0029Va".into()),
        subscribers: 42,
        picture: None,
        verified: true,
        created_at: Some(TIME),
        role: Some(ChannelRole::Admin),
    }
}

async fn with_news() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let post = |id: &str, text: &str| ChannelPost {
        id: wa_id(id),
        content: Content::text(text),
        timestamp: TIME,
    };
    let picture = Content::Media(Box::new(testkit::build::media(1)));
    let picture = ChannelPost { content: picture, ..post("3AF1", "") };
    app.whatsapp.keep_channel(news(), vec![picture, post("3AF0", "Plum cake")]);
    (app, session)
}

#[tokio::test]
async fn channels_are_read() {
    let (app, session) = with_news().await;
    let base = format!("/api/sessions/{session}/channels");
    let shown = json!({
        "id": NEWS, "name": "Bakery news", "description": "What is in the oven", "inviteCode": "0029Va",
        "subscriberCount": 42, "verified": true, "createdAt": TIME, "role": "admin",
    });
    assert_eq!(app.get(&base).await, json!([shown]));
    assert_eq!(app.get(&format!("{base}/{NEWS}")).await, shown);
    let posts = app.get(&format!("{base}/{NEWS}/messages")).await;
    assert_eq!(
        posts[1],
        json!({ "id": "3AF0", "body": "Plum cake", "timestamp": TIME, "hasMedia": false, "type": "text" })
    );
    assert_eq!((&posts[0]["hasMedia"], &posts[0]["type"]), (&json!(true), &json!("image")));
    let one = app.get(&format!("{base}/{NEWS}/messages?limit=1")).await;
    assert_eq!(one.as_array().unwrap().len(), 1);
    for id in ["1203639@newsletter", MIA, "nothing"] {
        for path in [format!("{base}/{id}"), format!("{base}/{id}/messages")] {
            let answer = app.ask("GET", &path).admin().send().await.expect(404);
            assert_eq!(answer, refused(404, "Not Found", &format!("Channel {id} not found")));
        }
    }
}

#[tokio::test]
async fn a_channel_is_made_and_followed() {
    let (app, session) = with_news().await;
    let base = format!("/api/sessions/{session}/channels");
    let made = app.post(&base, json!({ "name": "Oven", "description": "" }), 201).await;
    assert_eq!((&made["name"], &made["role"]), (&json!("Oven"), &json!("owner")));
    for code in ["0029Va", "https://whatsapp.com/channel/0029Va", " 0029Va "] {
        let subscribed = json!({ "inviteCode": code });
        let followed = app.post(&format!("{base}/subscribe"), subscribed, 201).await;
        assert_eq!(followed["id"], NEWS);
    }
    let answer = app.post(&format!("{base}/subscribe"), json!({ "inviteCode": "none" }), 404).await;
    assert_eq!(answer["message"], "Channel none not found");
    let asked = app.whatsapp.asked();
    let new = NewChannel { name: "Oven".into(), description: None };
    assert_eq!(asked[0], Asked::NewChannel(new));
    assert_eq!(asked[1..4], vec![Asked::Subscribe("0029Va".into()); 3]);
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "x".repeat(101) }),
        json!({ "name": "x", "y": 1 }),
    ] {
        app.post(&base, body, 400).await;
    }
}

#[tokio::test]
async fn a_channel_is_changed() {
    let (app, session) = with_news().await;
    let one = format!("/api/sessions/{session}/channels/{NEWS}");
    let ok = json!({ "success": true });
    let ann = "49170222@c.us";
    let cases = [
        ("POST", "/mute", json!({ "mute": true }), ChannelChange::Mute(true)),
        ("POST", "/mute", json!({ "mute": false }), ChannelChange::Mute(false)),
        ("POST", "/admins/demote", json!({ "userId": ann }), ChannelChange::Demote(chat(ann))),
        (
            "POST",
            "/owner/transfer",
            json!({ "newOwnerId": ann }),
            ChannelChange::Transfer(chat(ann)),
        ),
    ];
    for (method, route, body, change) in cases {
        let path = format!("{one}{route}");
        assert_eq!(app.ask(method, &path).admin().json(&body).send().await.expect(200), ok);
        assert_eq!(app.whatsapp.asked().pop(), Some(Asked::Channel(chat(NEWS), change)));
    }
    assert_eq!(app.ask("POST", &format!("{one}/delete")).admin().send().await.expect(200), ok);
    assert_eq!(app.ask("DELETE", &one).admin().send().await.expect(200), ok);
    let asked = app.whatsapp.asked();
    let expected = [ChannelChange::Delete, ChannelChange::Unsubscribe];
    assert_eq!(asked[4..], expected.map(|change| Asked::Channel(chat(NEWS), change)));
    let gone = "/api/sessions/".to_owned() + &session + "/channels/1203639@newsletter";
    app.ask("DELETE", &gone).admin().send().await.expect(404);
    app.ask("DELETE", &format!("/api/sessions/{session}/channels/{MIA}"))
        .admin()
        .send()
        .await
        .expect(404);
    app.whatsapp.fail_ask(EngineError::Refused("Forbidden (code 403)".into()));
    let answer = app.ask("DELETE", &one).admin().send().await.expect(403);
    assert_eq!(answer["message"], "WhatsApp refused: Forbidden (code 403)");
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    app.ask("DELETE", &one).admin().send().await.expect(503);
    let idle = app.new_session("idle").await;
    let path = format!("/api/sessions/{idle}/channels");
    app.ask("GET", &path).admin().send().await.expect(400);
}
