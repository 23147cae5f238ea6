//! What WhatsApp would not show is refused, with what to change, and nothing goes out.

use domain::{
    content::{ContactCard, Content, Location, Media, Poll},
    message::InboundMessage,
};
use serde_json::{Value, json};
use testkit::build;

use crate::app::App;

const CHAT: &str = "4917099000001@c.us";
const SEEN: &str =
    "must have at least one visible character: blanks and invisible characters alone are not shown";

async fn ready() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("florist").await;
    (app, format!("/api/sessions/{session}/messages"))
}

#[tokio::test]
async fn texts_of_nothing_visible_are_refused_wherever_a_text_is_sent() {
    let (app, path) = ready().await;
    let first =
        app.post(&format!("{path}/send-text"), json!({ "chatId": CHAT, "text": "hi" }), 201).await;
    let id = &first["messageId"];
    let before = app.whatsapp.sent().len();
    for blank in [
        " ",
        "\n",
        "\t\r\n",
        "\u{200b}",
        "\u{2060}\u{200d}",
        "\u{feff}",
        "\u{2800}",
        "\u{3164}",
        "\u{202e}\u{fe0f}",
    ] {
        for (route, field, body) in [
            ("send-text", "text", json!({ "chatId": CHAT, "text": blank })),
            ("reply", "text", json!({ "chatId": CHAT, "quotedMessageId": id, "text": blank })),
            ("edit", "body", json!({ "chatId": CHAT, "messageId": id, "body": blank })),
            ("react", "emoji", json!({ "chatId": CHAT, "messageId": id, "emoji": blank })),
            (
                "send-contact",
                "contactName",
                json!({ "chatId": CHAT, "contactName": blank, "contactNumber": "+4917099000002" }),
            ),
            (
                "send-poll",
                "name",
                json!({ "chatId": CHAT, "name": blank, "options": ["Roses", "Tulips"] }),
            ),
            (
                "send-poll",
                "each value in options",
                json!({ "chatId": CHAT, "name": "Which?", "options": ["Roses", blank] }),
            ),
            (
                "send-bulk",
                "messages.0.content.text",
                json!({ "messages": [{ "chatId": CHAT, "type": "text", "content": { "text": blank } }] }),
            ),
        ] {
            let answer = app.post(&format!("{path}/{route}"), body, 400).await;
            assert_eq!(answer["message"], json!([format!("{field} {SEEN}")]), "{route} {blank:?}");
        }
    }
    assert_eq!(app.whatsapp.sent().len(), before, "nothing went out");
}

#[tokio::test]
async fn what_may_be_left_out_is_left_out_when_nothing_of_it_is_seen() {
    let (app, path) = ready().await;
    let blank = " \u{200b}\u{2800}";
    let picture = testkit::files::base64(testkit::files::PNG);
    let picture = json!({ "chatId": CHAT, "base64": picture, "mimetype": "image/png", "caption": blank, "filename": blank });
    app.post(&format!("{path}/send-image"), picture, 201).await;
    let Content::Media(file) = app.whatsapp.sent().pop().unwrap().content else { panic!() };
    assert_eq!((file.caption, file.filename), (None, None));
    let place = json!({ "chatId": CHAT, "latitude": 52.5, "longitude": 13.4, "description": blank, "address": blank });
    app.post(&format!("{path}/send-location"), place, 201).await;
    let Content::Location(place) = app.whatsapp.sent().pop().unwrap().content else { panic!() };
    assert_eq!((place.description, place.address), (None, None));
}

#[tokio::test]
async fn a_blank_text_of_somebody_else_is_not_passed_on() {
    let (app, path) = ready().await;
    let refused = forward(&app, &path, 1, Content::text("\u{2800}"), 400).await;
    assert_eq!(refused["message"], format!("the text of the message {SEEN}"));
    assert_eq!(app.whatsapp.sent().len(), 0);
}

#[tokio::test]
async fn what_is_blank_next_to_a_forwarded_message_is_left_out() {
    let (app, path) = ready().await;
    let blank = || Some("\u{2800} \u{200b}".to_owned());
    let place = Location {
        latitude: 52.5,
        longitude: 13.4,
        description: blank(),
        address: blank(),
        url: None,
    };
    forward(&app, &path, 1, Content::Location(place), 201).await;
    let Content::Location(place) = app.whatsapp.sent().pop().unwrap().content else { panic!() };
    assert_eq!((place.description, place.address), (None, None));
    let remote = Some(app.whatsapp.keep_file(testkit::files::PNG));
    let picture = Media { caption: blank(), remote, ..build::media(2) };
    forward(&app, &path, 2, Content::Media(Box::new(picture)), 201).await;
    let Content::Media(picture) = app.whatsapp.sent().pop().unwrap().content else { panic!() };
    assert_eq!(picture.caption, None);
}

#[tokio::test]
async fn a_poll_or_card_of_somebody_else_that_phones_would_not_show_is_not_passed_on() {
    let (app, path) = ready().await;
    let poll = |name: &str, options: [&str; 2]| {
        let options = options.map(str::to_owned).to_vec();
        Content::Poll(Poll { name: name.into(), options, allow_multiple_answers: false })
    };
    let card = ContactCard { name: "\u{2800}".into(), vcard: "BEGIN:VCARD\nEND:VCARD".into() };
    let cases = [
        (poll("\u{2800}", ["Tea", "Milk"]), "the question of the poll"),
        (poll("Which?", ["Tea", "\u{2800}"]), "each value in options"),
        (Content::Contacts { cards: vec![card] }, "the name on the card"),
    ];
    for (number, (content, named)) in (1..).zip(cases) {
        let refused = forward(&app, &path, number, content, 400).await;
        assert_eq!(refused["message"], format!("{named} {SEEN}"));
    }
    assert_eq!(app.whatsapp.sent().len(), 0);
}

/// Forwards a message that came in with this number.
async fn forward(app: &App, path: &str, number: u32, content: Content, status: u16) -> Value {
    let chat: domain::ChatId = CHAT.parse().unwrap();
    let message = InboundMessage { content, ..build::inbound(number, &chat) };
    app.hear(path.split('/').nth(3).unwrap(), vec![message]).await;
    let forward = json!({ "fromChatId": CHAT, "toChatId": "4917099000009@c.us", "messageId": build::wa_id(number) });
    app.post(&format!("{path}/forward"), forward, status).await
}

#[tokio::test]
async fn a_template_that_comes_out_blank_is_refused() {
    let (app, path) = ready().await;
    let templates = path.replace("/messages", "/templates");
    app.post(&templates, json!({ "name": "note", "body": "{{note}}" }), 201).await;
    let refused = app.post(&templates, json!({ "name": "empty", "body": "\u{2800}" }), 400).await;
    assert_eq!(refused["message"], json!([format!("body {SEEN}")]));
    let send = json!({ "chatId": CHAT, "templateName": "note", "vars": { "note": " \u{200b}" } });
    let refused = app.post(&format!("{path}/send-template"), send, 400).await;
    assert_eq!(refused["message"], format!("text {SEEN}"));
    assert_eq!(app.whatsapp.sent().len(), 0);
}

#[tokio::test]
async fn options_that_look_the_same_are_refused() {
    let (app, path) = ready().await;
    for options in [["Yes", "Yes"], ["Yes", " Yes "], ["Yes\u{200b}", "Yes"]] {
        let poll = json!({ "chatId": CHAT, "name": "Confirm?", "options": options });
        let refused = app.post(&format!("{path}/send-poll"), poll, 400).await;
        let told = refused["message"][0].as_str().unwrap().to_owned();
        assert!(told.starts_with("options must differ from each other: \"Yes\""), "{told}");
    }
    assert_eq!(app.whatsapp.sent().len(), 0);
}

#[tokio::test]
async fn a_card_carries_the_number_as_written_or_none() {
    let (app, path) = ready().await;
    let card =
        |number: &str| json!({ "chatId": CHAT, "contactName": "Ida", "contactNumber": number });
    for number in [
        "+49 (0)170 99000001",
        "0049 170 99000001",
        "tel:+49-170-99000001",
        "\u{202a}+49\u{a0}170 99000001",
    ] {
        app.post(&format!("{path}/send-contact"), card(number), 201).await;
        let sent = app.whatsapp.sent().pop().unwrap().content.body().unwrap();
        assert!(sent.contains("waid=4917099000001:+4917099000001"), "{number}: {sent}");
    }
    let before = app.whatsapp.sent().len();
    for number in [
        "0170 99000001",
        "+49 30 2000000 ext. 12",
        "+49 0170 99000001",
        "4.917E+12",
        "+4917099000001; +4917099000002",
    ] {
        let refused = app.post(&format!("{path}/send-contact"), card(number), 400).await;
        assert!(
            refused["message"][0].as_str().unwrap().starts_with("contactNumber must "),
            "{refused}"
        );
    }
    assert_eq!(app.whatsapp.sent().len(), before);
}

#[tokio::test]
async fn a_key_with_a_chat_list_is_held_to_it_by_numbers_too() {
    let (app, path) = ready().await;
    let key =
        app.new_key(json!({ "name": "florist", "allowedChats": ["+49 (0)170 99000001"] })).await;
    for (chat, status) in [
        (json!(4_917_099_000_001_u64), 201),
        (json!(4_917_099_000_002_u64), 403),
        (json!(" 4917099000001"), 201),
    ] {
        let ask = app.ask("POST", &format!("{path}/send-text")).key(&key.text);
        let answer = ask.json(&json!({ "chatId": chat, "text": "hi" })).send().await;
        assert_eq!(answer.status, status, "{chat}");
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_is_named() {
    let (app, path) = ready().await;
    for half in [r"\ud83d", r"\udc90 roses", r"\ud83d\ud83d\udc90"] {
        let text = format!(r#"{{"chatId":"{CHAT}","text":"{half}"}}"#);
        let answer = app
            .ask("POST", &format!("{path}/send-text"))
            .admin()
            .header("content-type", "application/json")
            .raw(text.clone().into_bytes())
            .send()
            .await;
        assert_eq!(answer.status, 400);
        let told: Value = answer.json();
        let told = told["message"].as_str().unwrap();
        assert!(told.starts_with("The request body holds half a surrogate pair"), "{told}");
    }
}
