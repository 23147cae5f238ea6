//! Changes of messages: what WhatsApp is asked, what the row says then, and which event tells it.

use domain::content::{Content, OptionHash};
use serde_json::{Value, json};
use testkit::{Asked, build};
use tokio::sync::mpsc;

use crate::app::{App, next, refused};

const CHAT: &str = "49170111@c.us";

struct Bakery {
    app: App,
    session: String,
    calls: mpsc::Receiver<Value>,
}

impl Bakery {
    async fn open() -> Self {
        let app = App::start().await;
        let session = app.ready_session("bakery").await;
        let calls = app.hook(&session).await;
        Self { app, session, calls }
    }

    async fn send(&self, route: &str, body: Value) -> String {
        let sent = self.post(route, body, 201).await;
        sent["messageId"].as_str().unwrap().to_owned()
    }

    async fn post(&self, route: &str, mut body: Value, status: u16) -> Value {
        body["chatId"] = json!(CHAT);
        let path = format!("/api/sessions/{}/messages/{route}", self.session);
        self.app.post(&path, body, status).await
    }

    /// What the engine was handed last.
    fn last(&self) -> Content {
        self.app.whatsapp.sent().pop().unwrap().content
    }

    async fn row(&self, id: &str) -> Value {
        self.app.row(&self.session, id).await
    }

    /// The data of the next event of this name.
    async fn next_event(&mut self, event: &str) -> Value {
        loop {
            let call = next(&mut self.calls).await;
            if call["event"] == event {
                return call["data"].clone();
            }
        }
    }
}

#[tokio::test]
async fn an_own_message_is_edited() {
    let mut bakery = Bakery::open().await;
    let id = bakery.send("send-text", json!({ "text": "at five" })).await;
    let before = bakery.row(&id).await;
    let edited = bakery.post("edit", json!({ "messageId": id, "body": "at six" }), 200).await;
    assert_eq!(
        edited,
        json!({ "messageId": id, "timestamp": before["timestamp"], "status": "sent" })
    );
    assert!(
        matches!(bakery.last(), Content::Edit { target, body, .. } if body == "at six" && target.from_me)
    );
    let row = bakery.row(&id).await;
    assert_eq!((&row["body"], &row["metadata"]["edited"]), (&json!("at six"), &json!(true)));
    let told = bakery.next_event("message.edited").await;
    assert_eq!(
        (&told["messageId"], &told["body"], &told["fromMe"]),
        (&json!(id), &json!("at six"), &json!(true))
    );
}

#[tokio::test]
async fn a_caption_is_edited_as_a_caption() {
    let mut bakery = Bakery::open().await;
    let picture = json!({ "base64": testkit::files::base64(testkit::files::PNG), "mimetype": "image/png", "caption": "Cake" });
    let id = bakery.send("send-image", picture).await;
    bakery.post("edit", json!({ "messageId": id, "body": "Plum cake" }), 200).await;
    let Content::Edit { body, file: Some(file), .. } = bakery.last() else { panic!("no file") };
    assert_eq!((body.as_str(), file.caption.as_deref()), ("Plum cake", Some("Plum cake")));
    assert!(file.remote.is_some(), "phones keep the picture");
    let told = bakery.next_event("message.edited").await;
    assert_eq!((&told["body"], &told["type"]), (&json!("Plum cake"), &json!("image")));
}

#[tokio::test]
async fn only_own_known_messages_of_the_chat_are_edited() {
    let bakery = Bakery::open().await;
    let chat = CHAT.parse().unwrap();
    bakery.app.hear(&bakery.session, vec![build::inbound(1, &chat)]).await;
    let theirs = json!({ "messageId": build::wa_id(1), "body": "x" });
    assert_eq!(
        bakery.post("edit", theirs, 403).await,
        refused(403, "Forbidden", "Only own messages can be edited")
    );
    let unknown = json!({ "messageId": "3EB0NEVER", "body": "x" });
    assert_eq!(
        bakery.post("edit", unknown, 404).await,
        refused(404, "Not Found", "Message 3EB0NEVER not found")
    );
    let elsewhere = build::inbound(2, &build::chat(5));
    bakery.app.hear(&bakery.session, vec![elsewhere]).await;
    bakery.post("react", json!({ "messageId": build::wa_id(2), "emoji": "x" }), 404).await;
    let id = bakery.send("send-text", json!({ "text": "at five" })).await;
    bakery.app.refuse_next_send(479);
    bakery.post("edit", json!({ "messageId": id, "body": "x" }), 403).await;
    assert_eq!(bakery.row(&id).await["body"], "at five", "a refused change changes nothing");
}

#[tokio::test]
async fn a_reaction_comes_and_goes() {
    let mut bakery = Bakery::open().await;
    let chat = CHAT.parse().unwrap();
    bakery.app.hear(&bakery.session, vec![build::inbound(1, &chat)]).await;
    let id = build::wa_id(1).to_string();
    let me = "4915550001000@c.us";
    let done = bakery.post("react", json!({ "messageId": id, "emoji": "👍" }), 200).await;
    assert_eq!(done, json!({ "success": true }));
    assert_eq!(bakery.row(&id).await["metadata"]["reactions"], json!({ me: "👍" }));
    let told = bakery.next_event("message.reaction").await;
    assert_eq!((&told["reaction"], &told["reactions"]), (&json!("👍"), &json!({ me: "👍" })));
    assert_eq!(told["senderId"], me);
    bakery.post("react", json!({ "messageId": id, "emoji": "" }), 200).await;
    assert_eq!(bakery.next_event("message.reaction").await["reactions"], json!({}));
    assert!(bakery.row(&id).await["metadata"]["reactions"][me].is_null());
}

#[tokio::test]
async fn a_message_is_taken_back_or_deleted_here_only() {
    let mut bakery = Bakery::open().await;
    let id = bakery.send("send-text", json!({ "text": "oops" })).await;
    let here = json!({ "messageId": id, "forEveryone": false });
    bakery.post("delete", here, 200).await;
    assert!(matches!(bakery.app.whatsapp.asked().pop(), Some(Asked::DeleteForMe(..))));
    assert_eq!(bakery.row(&id).await["body"], "oops");
    bakery.post("delete", json!({ "messageId": id }), 200).await;
    assert!(matches!(bakery.last(), Content::Revoke { target } if target.id.as_str() == id));
    let row = bakery.row(&id).await;
    assert_eq!((&row["type"], &row["body"]), (&json!("revoked"), &Value::Null));
    assert_eq!(bakery.next_event("message.revoked").await["revokedId"], json!(id));
    bakery.post("react", json!({ "messageId": id, "emoji": "👍" }), 400).await;
    let chat = CHAT.parse().unwrap();
    bakery.app.hear(&bakery.session, vec![build::inbound(1, &chat)]).await;
    bakery.post("delete", json!({ "messageId": build::wa_id(1) }), 403).await;
}

#[tokio::test]
async fn messages_are_pinned_and_starred() {
    let bakery = Bakery::open().await;
    let id = bakery.send("send-text", json!({ "text": "open till six" })).await;
    bakery.post("pin", json!({ "messageId": id }), 200).await;
    assert!(matches!(bakery.last(), Content::Pin { seconds: Some(86_400), .. }));
    assert!(bakery.row(&id).await["metadata"]["pinned"].is_object());
    bakery.post("unpin", json!({ "messageId": id }), 200).await;
    assert!(matches!(bakery.last(), Content::Pin { seconds: None, .. }));
    assert!(bakery.row(&id).await["metadata"]["pinned"].is_null());
    for star in [true, false] {
        bakery.post("star", json!({ "messageId": id, "star": star }), 200).await;
        let asked = bakery.app.whatsapp.asked().pop();
        assert!(
            matches!(asked, Some(Asked::Star(_, target, given)) if given == star && target.from_me)
        );
    }
}

#[tokio::test]
async fn polls_are_voted_in() {
    let mut bakery = Bakery::open().await;
    let poll = json!({ "name": "Which?", "options": ["Tea", "Cake"] });
    let id = bakery.send("send-poll", poll).await;
    let vote = |options: Value| json!({ "pollMessageId": id, "options": options });
    bakery.post("vote-poll", vote(json!(["Cake"])), 200).await;
    assert!(
        matches!(bakery.last(), Content::Vote { options, .. } if options == [OptionHash::of("Cake")])
    );
    assert_eq!(bakery.next_event("poll.vote").await["options"], json!(["Cake"]));
    let me = "4915550001000@c.us";
    assert_eq!(bakery.row(&id).await["metadata"]["poll"]["votes"][me], json!(["Cake"]));
    let wrong = bakery.post("vote-poll", vote(json!(["Beer"])), 400).await;
    assert_eq!(wrong["code"], "POLL_OPTION_NOT_FOUND");
    assert_eq!(wrong["validOptions"], json!(["Tea", "Cake"]));
    bakery.post("vote-poll", vote(json!(["Tea", "Cake"])), 400).await;
    bakery.post("vote-poll", vote(json!([])), 200).await;
    assert!(bakery.row(&id).await["metadata"]["poll"]["votes"][me].is_null());
    let text = bakery.send("send-text", json!({ "text": "x" })).await;
    bakery.post("vote-poll", json!({ "pollMessageId": text, "options": [] }), 400).await;
}
