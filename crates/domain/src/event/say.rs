//! What a message says, as fields of the contract: the same in an event's `data` and in a row's `metadata`.

use serde_json::{Map, Value, json};

use crate::{
    content::{ButtonForm, Content, Media, ProductCard},
    message::InboundMessage,
    status::{TextStyle, colour},
};

/// The fields in addition to body and type: `media`, `location`, `poll`, `contacts`, `linkPreview`, `protocolKind`.
pub fn describe(content: &Content) -> Map<String, Value> {
    let mut fields = Map::new();
    match content {
        Content::Media(media) => {
            fields.insert("media".into(), media_field(media));
        }
        Content::Location(location) => {
            let mut map = Map::new();
            map.insert("latitude".into(), json!(location.latitude));
            map.insert("longitude".into(), json!(location.longitude));
            let texts = [
                ("description", &location.description),
                ("address", &location.address),
                ("url", &location.url),
            ];
            for (name, text) in texts {
                if let Some(text) = text {
                    map.insert(name.into(), json!(text));
                }
            }
            fields.insert("location".into(), Value::Object(map));
        }
        Content::Contacts { cards } => {
            fields.insert("contacts".into(), json!(cards));
        }
        Content::Poll(poll) => {
            let value = json!({
                "name": poll.name,
                "options": poll.options,
                "allowMultipleAnswers": poll.allow_multiple_answers,
            });
            fields.insert("poll".into(), value);
        }
        Content::Text { preview: Some(preview), .. } => {
            let value = json!({
                "url": preview.url,
                "title": preview.title,
                "description": preview.description,
            });
            fields.insert("linkPreview".into(), value);
        }
        Content::Product(card) => {
            fields.insert("product".into(), product_field(card));
        }
        Content::Buttons { buttons, form, .. } => {
            fields.insert("buttons".into(), json!(buttons));
            if *form == ButtonForm::Template {
                fields.insert("buttonForm".into(), json!(form));
            }
        }
        Content::ButtonReply { button, .. } => {
            fields.insert("button".into(), json!(button));
        }
        Content::Unknown { protocol_kind } => {
            fields.insert("protocolKind".into(), json!(protocol_kind));
        }
        _ => {}
    }
    fields
}

/// The contract's `product`; the price is an addition.
fn product_field(card: &ProductCard) -> Value {
    let ProductCard { product, owner, .. } = card;
    let mut map = Map::new();
    map.insert("productId".into(), json!(product.id));
    map.insert("title".into(), json!(product.name));
    let texts = [("description", &product.description), ("currency", &product.currency)];
    for (name, text) in texts {
        if let Some(text) = text {
            map.insert(name.into(), json!(text));
        }
    }
    if let Some(owner) = owner {
        map.insert("businessOwnerJid".into(), json!(owner));
    }
    if let Some(thousandths) = product.price_thousandths {
        map.insert("priceAmount1000".into(), json!(thousandths));
    }
    Value::Object(map)
}

/// The contract's `media`: the bytes are never inside, so that no message waits for a file. `state` is an addition.
fn media_field(media: &Media) -> Value {
    let mut map = Map::new();
    map.insert("mimetype".into(), json!(media.mimetype));
    if let Some(filename) = &media.filename {
        map.insert("filename".into(), json!(filename));
    }
    map.insert("omitted".into(), json!(true));
    map.insert("sizeBytes".into(), json!(media.size_bytes));
    map.insert("state".into(), json!("pending"));
    if let Some(seconds) = media.seconds {
        map.insert("seconds".into(), json!(seconds));
    }
    Value::Object(map)
}

/// A row's `metadata` of a message that came in: what it says, and `quotedMessage`, `mentionedIds`, `backfilled`,
/// `ephemeralDuration`. `null` when there is nothing.
pub fn content_metadata(message: &InboundMessage) -> Value {
    let mut map = describe(&message.content);
    map.extend(context(message));
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

/// `isForwarded` and `forwardingScore` of a message that was forwarded so many times; nothing for 0.
pub fn forwarded(score: u32) -> Map<String, Value> {
    let mut map = Map::new();
    if score > 0 {
        map.insert("isForwarded".into(), json!(true));
        map.insert("forwardingScore".into(), json!(score));
    }
    map
}

/// `backgroundColor` and `font` of the text of a status.
pub fn styled(style: TextStyle) -> Map<String, Value> {
    let mut map = Map::new();
    if let Some(background) = style.background {
        map.insert("backgroundColor".into(), json!(colour(background)));
    }
    if let Some(font) = style.font {
        map.insert("font".into(), json!(font));
    }
    map
}

/// The fields that any message may have.
pub(super) fn context(message: &InboundMessage) -> Map<String, Value> {
    let mut map = Map::new();
    if !message.mentions.is_empty() {
        map.insert("mentionedIds".into(), json!(message.mentions));
    }
    if let Some(quoted) = &message.quoted {
        map.insert("quotedMessage".into(), json!(quoted));
    }
    if message.backfilled {
        map.insert("backfilled".into(), json!(true));
    }
    if message.view_once {
        map.insert("isViewOnce".into(), json!(true));
    }
    map.extend(forwarded(message.forwarding_score));
    map.extend(styled(message.style));
    if let Some(seconds) = message.ephemeral_seconds {
        map.insert("ephemeralDuration".into(), json!(seconds));
    }
    map
}
