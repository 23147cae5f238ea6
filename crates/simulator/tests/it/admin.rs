//! The control surface of a network that runs as its own process.

use serde_json::{Value, json};
use simulator::{Network, admin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use whatsapp_rust::prelude::*;

use crate::support::*;

struct Control {
    address: std::net::SocketAddr,
}

impl Control {
    async fn of(network: &Network) -> Control {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = admin::router(network.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Control { address }
    }

    /// What a GET answers, whatever it is.
    async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut socket = tokio::net::TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        answer.split_off(end + 4)
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = tokio::net::TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}

#[tokio::test]
async fn a_network_is_steered_over_http() {
    let network = Network::start().await.unwrap();
    let control = Control::of(&network).await;
    for (phone, name) in [(ALICE, "Alice"), (BOB, "Bob")] {
        let new = json!({ "phone": phone, "name": name });
        let (status, body) = control.ask("POST", "/accounts", new).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["phone"], phone);
    }
    let path = format!("/accounts/{ALICE}/provision");
    let (_, device) = control.ask("POST", &path, json!({})).await;
    let device: simulator::ProvisionedDevice = serde_json::from_value(device).unwrap();
    let alice = Gateway::connected(&network, store(&device).await, ALICE, device.device_id).await;

    let path = format!("/accounts/{BOB}/send");
    let (_, sent) = control.ask("POST", &path, json!({ "to": ALICE, "text": "over http" })).await;
    assert_eq!(alice.text("over http").await.id, sent["id"]);

    let fault = json!({ "kind": "nack", "code": 463 });
    assert_eq!(control.ask("POST", "/faults", fault).await.0, 200);
    let sent = alice.client.send_text(Jid::pn(BOB), "no").await.unwrap();
    assert_eq!(alice.ack(&sent.message_id).await.as_deref(), Some("463"));
    let (status, body) = control.ask("POST", "/faults", json!({ "kind": "earthquake" })).await;
    assert_eq!(status, 422, "{body}");

    let (_, record) = control.ask("GET", "/record", json!({})).await;
    assert_eq!(record["nacks"][0]["code"], 463);
    let path = format!("/accounts/{ALICE}/unlink");
    let which = json!({ "device": device.device_id });
    assert_eq!(control.ask("POST", &path, which.clone()).await.0, 200);
    alice.event(|event| matches!(event, Event::LoggedOut(_))).await;
    assert_eq!(control.ask("POST", &path, which).await.0, 422);
    assert_all_answered(&network);
}

#[tokio::test]
async fn every_kind_is_sent_and_listed_over_http() {
    let network = network().await;
    let control = Control::of(&network).await;
    let bob = format!("/accounts/{BOB}/send");
    let say = async |body: Value| {
        let (status, answer) = control.ask("POST", &bob, body).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    };
    let image = say(json!({
        "to": ALICE, "kind": "image", "bytes": "aGVsbG8=", "mimetype": "image/png",
        "caption": "look",
    }));
    let image = image.await;
    say(json!({ "to": ALICE, "kind": "location", "latitude": 1.0, "longitude": 2.0 })).await;
    say(json!({
        "to": ALICE, "kind": "contact", "contacts": [{ "name": "Carol", "number": CAROL }],
    }))
    .await;
    let poll =
        say(json!({ "to": ALICE, "kind": "poll", "text": "when?", "options": ["a", "b"] })).await;
    let about = json!({ "id": poll });
    say(json!({ "to": ALICE, "kind": "vote", "about": about, "options": ["b"] })).await;
    say(json!({ "to": ALICE, "kind": "reaction", "about": about, "text": "!" })).await;
    say(json!({ "to": ALICE, "kind": "edit", "about": about, "text": "then" })).await;
    say(json!({ "to": ALICE, "kind": "pin", "about": about, "seconds": 60 })).await;
    let last = say(json!({ "to": ALICE, "kind": "revoke", "about": about })).await;
    let alice = network.account(ALICE).unwrap();
    alice.wait_for(LIMIT, |message| message.id == last).await.unwrap();

    let (_, inbox) = control.ask("GET", &format!("/accounts/{ALICE}/inbox"), json!({})).await;
    let kinds: Vec<&str> =
        inbox.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["image", "location", "contact", "poll", "vote", "reaction", "edit", "pin", "revoke"]
    );
    assert_eq!(inbox[4]["vote"], json!(["b"]));
    assert_eq!((&inbox[6]["change"], &inbox[6]["target"]), (&json!("then"), &json!(poll)));
    let file = control.bytes(&format!("/accounts/{ALICE}/inbox/{image}/file")).await;
    assert_eq!(file, b"hello");

    let call = json!({ "to": ALICE, "video": true });
    let (_, call) = control.ask("POST", &format!("/accounts/{BOB}/call"), call).await;
    let end = json!({ "to": ALICE, "id": call["id"], "end": "accepted" });
    assert_eq!(control.ask("POST", &format!("/accounts/{BOB}/end-call"), end).await.0, 200);
    let mark = json!({ "chat": BOB, "mark": "archived", "value": true });
    assert_eq!(control.ask("POST", &format!("/accounts/{ALICE}/mark"), mark).await.0, 200);
    let alias = json!({ "dialled": "551190000002", "phone": BOB });
    assert_eq!(control.ask("POST", "/aliases", alias).await.0, 200);
    for wrong in [json!({ "to": ALICE, "kind": "song" }), json!({ "to": ALICE, "kind": "edit" })] {
        assert_eq!(control.ask("POST", &bob, wrong).await.0, 422);
    }
    for fault in ["spare", "delay-acks", "delay-media", "forget-media"] {
        let fault = json!({ "kind": fault, "n": 0 });
        assert_eq!(control.ask("POST", "/faults", fault).await.0, 200);
    }
    assert_all_answered(&network);
}

#[tokio::test]
async fn statuses_channels_labels_and_businesses_are_steered_too() {
    let network = Network::start().await.unwrap();
    let control = Control::of(&network).await;
    for (phone, name) in [(ALICE, "Alice"), (BOB, "Bob")] {
        network.add_account(phone, name).await;
    }
    let post = async |path: &str, body: Value| {
        let (status, body) = control.ask("POST", path, body).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    };
    let of_alice = |what: &str| format!("/accounts/{ALICE}/{what}");
    let status = json!({ "audience": [BOB], "text": "Open till six" });
    let id = post(&of_alice("status"), status).await["id"].clone();
    let bob = network.account(BOB).unwrap();
    let limit = std::time::Duration::from_secs(60);
    let seen = bob.wait_for(limit, |seen| id == seen.id.as_str()).await.unwrap();
    assert_eq!(seen.text, "Open till six");
    let revoke = json!({ "audience": [BOB], "revoke": id });
    let revoked = post(&of_alice("status"), revoke).await["id"].clone();
    let seen = bob.wait_for(limit, |seen| revoked == seen.id.as_str()).await.unwrap();
    assert_eq!(seen.target().map(Value::from), Some(id));

    let made = post(&of_alice("newsletters"), json!({ "name": "Oven" })).await;
    let jid = made["jid"].as_str().unwrap().to_owned();
    let place = format!("/accounts/{BOB}/newsletters/{jid}");
    let (refused, _) = control.ask("POST", &format!("{place}/post"), json!({ "text": "x" })).await;
    assert_eq!(refused, 422, "Bob may not post there yet");
    post(&format!("{place}/enrol"), json!({ "role": "admin" })).await;
    post(&format!("{place}/post"), json!({ "text": "Rye bread" })).await;
    let role = bob.newsletter_role(&jid.parse().unwrap());
    assert_eq!(role, Some(simulator::NewsletterRole::Admin));

    post(&of_alice("label"), json!({ "id": "7", "name": "Paid", "colour": 3 })).await;
    post(&of_alice("label"), json!({ "id": "7", "chat": BOB, "value": true })).await;
    post(&of_alice("label"), json!({ "id": "7" })).await;
    let products = json!([{ "id": "1", "name": "Bread" }]);
    post(&of_alice("business"), json!({ "description": "Bakery", "products": products })).await;
    assert_eq!(network.record().unanswered, Vec::<String>::new());
}

#[tokio::test]
async fn people_live_in_groups_over_http() {
    let network = network().await;
    network.add_account(CAROL, "Carol").await;
    let control = Control::of(&network).await;
    let ask = async |path: String, body: Value| {
        let (status, answer) = control.ask("POST", &path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    let new = json!({ "subject": "Cake", "members": [ALICE] });
    let made = ask(format!("/accounts/{BOB}/groups"), new).await;
    let group = made["group"].as_str().unwrap();
    let act = |who: &str, body: Value| ask(format!("/accounts/{who}/groups/{group}"), body);
    let invite = act(BOB, json!({ "action": "invite-code" })).await;
    let joined = ask(format!("/accounts/{CAROL}/join"), invite).await;
    assert_eq!(joined["member"], true);
    let text = json!({ "to": group, "text": "hello all" });
    ask(format!("/accounts/{CAROL}/send"), text).await;
    let path = format!("/accounts/{ALICE}/inbox?at_least=1&wait_ms=30000");
    let (_, inbox) = control.ask("GET", &path, json!({})).await;
    assert_eq!((&inbox[0]["text"], &inbox[0]["group"]), (&json!("hello all"), &json!(group)));
    let id = json!({ "id": inbox[0]["id"] });
    ask(format!("/accounts/{ALICE}/read"), id).await;
    act(BOB, json!({ "action": "remove", "people": [CAROL] })).await;
    act(ALICE, json!({ "action": "leave" })).await;
    ask(format!("/accounts/{BOB}/typing"), json!({ "to": ALICE })).await;
    ask(format!("/accounts/{BOB}/online"), json!({ "online": true })).await;
    for (path, wrong) in [
        ("join".to_owned(), json!({ "code": "nothing" })),
        (format!("groups/{group}"), json!({ "action": "praise" })),
        ("groups/nobody@g.us".to_owned(), json!({ "action": "invite-code" })),
        ("read".to_owned(), json!({ "id": "nothing" })),
    ] {
        let (status, answer) = control.ask("POST", &format!("/accounts/{BOB}/{path}"), wrong).await;
        assert_eq!(status, 422, "{path}: {answer}");
    }
    assert_all_answered(&network);
}

#[tokio::test]
async fn limits_are_set_over_http_and_refuse_strangers() {
    let network = network().await;
    let control = Control::of(&network).await;
    let alice = Gateway::linked(&network, ALICE).await;
    let limits = format!("/accounts/{ALICE}/limits");
    let set = json!({ "newChats": { "used": 0, "total": 1, "cycle_ends": null } });
    assert_eq!(control.ask("POST", &limits, set).await.0, 200);
    network.add_account(CAROL, "Carol").await;
    let first = alice.client.send_text(Jid::pn(BOB), "one").await.unwrap();
    assert_eq!(alice.ack(&first.message_id).await, None);
    let again = alice.client.send_text(Jid::pn(BOB), "the same one").await.unwrap();
    assert_eq!(alice.ack(&again.message_id).await, None);
    let second = alice.client.send_text(Jid::pn(CAROL), "two").await.unwrap();
    assert_eq!(alice.ack(&second.message_id).await.as_deref(), Some("463"));
    let lifted = json!({ "newChats": null });
    assert_eq!(control.ask("POST", &limits, lifted).await.0, 200);
    let third = alice.client.send_text(Jid::pn(CAROL), "three").await.unwrap();
    assert_eq!(alice.ack(&third.message_id).await, None);
    assert_all_answered(&network);
}
