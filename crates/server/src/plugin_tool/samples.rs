//! Events to try a plugin with: one or more for each hook point, with the data that the gateway hands over there.

use domain::{SessionId, hook::HookPoint};
use serde_json::{Value, json};
use uuid::Uuid;

/// The session of every sample.
pub fn session() -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(0x5a11_0000_0000_4000_8000_0000_0000_0001))
}

const PERSON: &str = "4917012345678@c.us";
const GROUP: &str = "120363041234567890@g.us";
const MESSAGE: &str = "3EB0C0FFEE0123456789";

/// What the handlers of a point are asked about, each with a name.
pub fn of(point: HookPoint) -> Vec<(&'static str, Value)> {
    use HookPoint as At;
    let session = session();
    match point {
        At::MessageReceived => vec![
            ("a text of a person", received(PERSON, "Are you open on Saturday?")),
            ("a text in a group", received(GROUP, "Who brings the cake?")),
            ("a picture", picture()),
        ],
        At::MessageSent => vec![("a text", sent())],
        At::MessagePersisted | At::MessageDeleted => {
            vec![("a text", json!({ "sessionId": session, "message": sent() }))]
        }
        At::MessageSending => sending(),
        At::MessageFailed => vec![("a text", {
            let mut data = sending().remove(0).1;
            data["error"] = json!("WhatsApp refused the message (463)");
            data
        })],
        At::MessageAck => vec![(
            "read",
            json!({ "sessionId": session, "messageId": MESSAGE, "status": "read", "chatId": PERSON }),
        )],
        At::SessionCreated => vec![("bakery", json!({ "sessionId": session, "name": "bakery" }))],
        At::SessionStarting | At::SessionDeleted => {
            vec![("bakery", json!({ "sessionId": session }))]
        }
        At::SessionReady => vec![(
            "bakery",
            json!({ "sessionId": session, "phone": "4915550001000", "pushName": "Corner Bakery" }),
        )],
        At::SessionQr => {
            vec![("a code", json!({ "sessionId": session, "qr": "2@c2FtcGxl,c2FtcGxl" }))]
        }
        At::SessionDisconnected => {
            vec![("the network", json!({ "sessionId": session, "reason": "connection lost" }))]
        }
        At::SessionError => {
            vec![(
                "logged out",
                json!({ "sessionId": session, "error": "logged out by the phone" }),
            )]
        }
        At::WebhookBefore
        | At::WebhookQueued
        | At::WebhookDelivered
        | At::WebhookAfter
        | At::WebhookError => {
            vec![("message.received", webhook(point))]
        }
        At::IngressError => vec![(
            "a provider's call",
            json!({
                "pluginId": "sample", "instanceId": "main", "route": "events", "deliveryId": "d-1",
                "error": "the handler threw",
            }),
        )],
    }
}

/// The group of the samples, as `getGroupInfo` shows it.
pub fn group(id: &Value) -> Value {
    json!({
        "id": id, "name": "Cake club", "description": "", "owner": PERSON,
        "participants": [
            { "id": PERSON, "isAdmin": true, "isSuperAdmin": true },
            { "id": "4915550001000@c.us", "isAdmin": false, "isSuperAdmin": false },
        ],
    })
}

fn message(chat: &str, body: &str) -> Value {
    let (is_group, kind) = match chat.ends_with("@g.us") {
        true => (true, "group"),
        false => (false, "individual"),
    };
    json!({
        "id": MESSAGE, "from": chat, "to": "4915550001000@c.us", "chatId": chat, "body": body, "type": "text",
        "timestamp": 1_790_841_600, "fromMe": false, "isGroup": is_group, "kind": kind,
    })
}

fn received(chat: &str, body: &str) -> Value {
    let mut data = message(chat, body);
    data["contact"] = json!({ "name": "Mia Baker", "pushName": "Mia" });
    if chat == GROUP {
        data["author"] = json!(PERSON);
    }
    data
}

fn picture() -> Value {
    let mut data = received(PERSON, "Card 4111 1111 1111 1111, is it right?");
    data["type"] = json!("image");
    data["media"] = json!({
        "mimetype": "image/png", "filename": "card.png", "sizeBytes": 68,
        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=",
    });
    data
}

fn sent() -> Value {
    let mut data = message(PERSON, "Your cake is ready.");
    (data["from"], data["to"]) = (json!("4915550001000@c.us"), json!(PERSON));
    data["fromMe"] = json!(true);
    data
}

fn sending() -> Vec<(&'static str, Value)> {
    let of =
        |kind: &str, input: Value| json!({ "sessionId": session(), "type": kind, "input": input });
    vec![
        ("a text", of("text", json!({ "chatId": PERSON, "text": "Your cake is ready." }))),
        (
            "a text with secrets",
            of(
                "text",
                json!({ "chatId": PERSON, "text": "Card 4111 1111 1111 1111, key sk_live_4eC39HqLyjWDarjtT1zdp7dc" }),
            ),
        ),
        (
            "a picture",
            of(
                "image",
                json!({ "chatId": PERSON, "url": "https://example.com/cake.png", "caption": "The cake" }),
            ),
        ),
    ]
}

fn webhook(point: HookPoint) -> Value {
    let mut data = json!({
        "sessionId": session(), "event": "message.received",
        "webhookId": Uuid::from_u128(0x5a11_0000_0000_4000_8000_0000_0000_0002),
    });
    let delivery = json!(Uuid::from_u128(0x5a11_0000_0000_4000_8000_0000_0000_0003));
    match point {
        HookPoint::WebhookBefore => {
            data["payload"] = json!({
                "event": "message.received", "sessionId": session(), "timestamp": "2026-10-01T08:00:00.000Z",
                "data": received(PERSON, "My card is 4111 1111 1111 1111"),
            });
            return data;
        }
        HookPoint::WebhookDelivered | HookPoint::WebhookAfter => {
            (data["statusCode"], data["responseTime"], data["attempt"]) =
                (json!(200), json!(41), json!(1));
        }
        HookPoint::WebhookError => {
            (data["error"], data["attempt"]) = (json!("the receiver answered with 503"), json!(6));
        }
        _ => {}
    }
    if point == HookPoint::WebhookAfter {
        data["success"] = json!(true);
    }
    data["deliveryId"] = delivery;
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_sample() {
        for point in HookPoint::ALL {
            assert!(!of(*point).is_empty(), "{point}");
        }
    }
}
