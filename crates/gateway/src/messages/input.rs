//! A send as hooks see and change it: OpenWA's request body.

use domain::{
    ChatId, WaMessageId,
    content::{CAPTION_CHARS_MAX, LinkPreview, Location, POLL_OPTIONS, Poll},
    event,
    message::{MENTIONS_MAX, TEXT_CHARS_MAX},
    status::{STATUS_RECIPIENTS_MAX, status_chat},
};
use serde_json::{Map, Value, json};

use super::{Card, MediaInput, Preview, QuoteRef, Say, StatusSay, ToSend};

/// The input of a send.
pub(super) fn of(to_send: &ToSend) -> Value {
    let mut fields = shown_fields(to_send);
    match &to_send.say {
        Say::Media { input: MediaInput::Base64(text), .. } => {
            fields.insert("base64".into(), json!(text));
        }
        Say::Text { preview: Preview::Card(card), .. } => {
            if let Some(MediaInput::Base64(text)) = &card.picture {
                fields["customLinkPreview"]["thumbnailBase64"] = json!(text);
            }
        }
        Say::Status(post) => {
            if let Say::Media { input: MediaInput::Base64(text), .. } = &post.say {
                fields.insert("base64".into(), json!(text));
            }
        }
        _ => {}
    }
    Value::Object(fields)
}

/// The same without the bytes of files.
pub(super) fn shown(to_send: &ToSend) -> Value {
    Value::Object(shown_fields(to_send))
}

fn shown_fields(to_send: &ToSend) -> Map<String, Value> {
    let mut fields = match &to_send.say {
        Say::Text { text, preview } => {
            let mut fields = object(json!({ "text": text }));
            match preview {
                Preview::Off | Preview::Usual => {}
                Preview::Fetch => drop(fields.insert("linkPreview".into(), json!(true))),
                Preview::Card(card) => {
                    let LinkPreview { url, title, description, .. } = &card.preview;
                    let picture = match &card.picture {
                        Some(MediaInput::Url(url)) => Some(url),
                        _ => None,
                    };
                    let card = some(json!({
                        "url": url, "title": title, "description": description, "thumbnailUrl": picture,
                    }));
                    fields.insert("customLinkPreview".into(), Value::Object(card));
                }
            }
            fields
        }
        Say::Media { input, mimetype, filename, caption, .. } => {
            let url = match input {
                MediaInput::Url(url) => Some(url),
                MediaInput::Base64(_) | MediaInput::Kept(_) => None,
            };
            some(json!({
                "url": url, "mimetype": mimetype, "filename": filename, "caption": caption,
            }))
        }
        Say::Location(place) => some(json!(place)),
        Say::Contact { name, number } => {
            object(json!({ "contactName": name, "contactNumber": number }))
        }
        Say::Poll(poll) => object(json!({
            "name": poll.name,
            "options": poll.options,
            "allowMultipleAnswers": poll.allow_multiple_answers,
        })),
        Say::Status(post) => status_fields(post, &shown_fields(&status_inside(post))),
        Say::Product { id, body } => some(json!({ "productId": id, "body": body })),
        Say::ButtonReply { message, button, text } => {
            some(json!({ "messageId": message, "buttonId": button, "text": text }))
        }
        Say::Forward { from, id } => object(json!({ "fromChatId": from, "messageId": id })),
    };
    let chat = if matches!(to_send.say, Say::Forward { .. }) { "toChatId" } else { "chatId" };
    fields.insert(chat.into(), json!(to_send.chat));
    if !to_send.mentions.is_empty() {
        fields.insert("mentions".into(), json!(to_send.mentions));
    }
    if let Some(quoted) = &to_send.quoted {
        fields.insert("quotedMessageId".into(), json!(quoted.id));
    }
    fields
}

/// What a status shows, as if it were a message.
fn status_inside(post: &StatusSay) -> ToSend {
    let say = post.say.clone();
    ToSend { chat: status_chat(), say, mentions: vec![], quoted: None }
}

/// The fields of what a status shows, with its own.
fn status_fields(post: &StatusSay, shown: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = shown.clone();
    fields.extend(event::styled(post.style));
    if let Some(recipients) = &post.recipients {
        fields.insert("recipients".into(), json!(recipients));
    }
    fields
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Without the members that are null.
fn some(value: Value) -> Map<String, Value> {
    let mut fields = object(value);
    fields.retain(|_, value| !value.is_null());
    fields
}

/// What handlers made of the input. The sort of message stays. An input that makes no sense, or that is over a limit,
/// stops the send: the sentence says why.
pub(super) fn read(before: &ToSend, input: &Value) -> Result<ToSend, String> {
    let fields = input.as_object().ok_or("a hook left no usable input")?;
    let reader = InputReader { fields };
    let say = reader.say(&before.say, input)?;
    let chat = if matches!(say, Say::Forward { .. }) { "toChatId" } else { "chatId" };
    let in_chat = before.quoted.as_ref().is_some_and(|quoted| quoted.in_chat);
    let quoted = reader.text("quotedMessageId", NAME_MAX)?;
    let quoted = quoted.map(|id| QuoteRef { id: WaMessageId::from_wire(id), in_chat });
    // A status goes nowhere else.
    let chat = match say {
        Say::Status(_) => before.chat.clone(),
        _ => reader.chat(chat)?,
    };
    Ok(ToSend { chat, say, mentions: reader.mentions()?, quoted })
}

/// Filled templates may be longer than a person's text.
const TEXT_MAX: usize = domain::template::RENDERED_CHARS_MAX;
const _: () = assert!(TEXT_MAX >= TEXT_CHARS_MAX);
const NAME_MAX: usize = 256;
const URL_MAX: usize = 2048;
const DESCRIPTION_MAX: usize = 1024;

fn is_on_earth(place: &Location) -> bool {
    (-90.0..=90.0).contains(&place.latitude) && (-180.0..=180.0).contains(&place.longitude)
}

struct InputReader<'a> {
    fields: &'a Map<String, Value>,
}

impl InputReader<'_> {
    /// The same sort of message as before, as the input says it now.
    fn say(&self, before: &Say, input: &Value) -> Result<Say, String> {
        Ok(match before {
            Say::Text { preview, .. } => {
                Say::Text { text: self.needed("text", TEXT_MAX)?, preview: self.preview(preview)? }
            }
            Say::Media { kind, input: given, .. } => {
                let input = match (self.text("base64", usize::MAX)?, self.text("url", URL_MAX)?) {
                    (Some(base64), _) => MediaInput::Base64(base64),
                    (None, Some(url)) => MediaInput::Url(url),
                    (None, None) if matches!(given, MediaInput::Kept(_)) => given.clone(),
                    (None, None) => return Err("a hook left neither url nor base64".into()),
                };
                Say::Media {
                    kind: *kind,
                    input,
                    mimetype: self.text("mimetype", NAME_MAX)?,
                    filename: self.text("filename", NAME_MAX)?,
                    caption: self.text("caption", CAPTION_CHARS_MAX)?,
                }
            }
            Say::Location(_) => {
                let place: Option<Location> = serde_json::from_value(input.clone()).ok();
                Say::Location(place.filter(is_on_earth).ok_or("a hook left no place")?)
            }
            Say::Contact { .. } => Say::Contact {
                name: self.needed("contactName", NAME_MAX)?,
                number: self.needed("contactNumber", 30)?,
            },
            Say::Poll(_) => Say::Poll(self.poll()?),
            Say::Status(post) => self.status(post, input)?,
            Say::Product { .. } => Say::Product {
                id: self.needed("productId", NAME_MAX)?,
                body: self.text("body", TEXT_CHARS_MAX)?,
            },
            Say::ButtonReply { .. } => Say::ButtonReply {
                message: WaMessageId::from_wire(self.needed("messageId", NAME_MAX)?),
                button: self.needed("buttonId", NAME_MAX)?,
                text: self.text("text", TEXT_CHARS_MAX)?,
            },
            Say::Forward { .. } => Say::Forward {
                from: self.chat("fromChatId")?,
                id: WaMessageId::from_wire(self.needed("messageId", NAME_MAX)?),
            },
        })
    }

    /// A status stays a status of the same sort.
    fn status(&self, before: &StatusSay, input: &Value) -> Result<Say, String> {
        let recipients = match self.fields.get("recipients") {
            None | Some(Value::Null) => None,
            Some(given) => {
                let read = serde_json::from_value::<Vec<ChatId>>(given.clone()).ok();
                let read = read.filter(|people| people.len() <= STATUS_RECIPIENTS_MAX);
                Some(read.ok_or("a hook left unusable recipients")?)
            }
        };
        let say = self.say(&before.say, input)?;
        Ok(Say::Status(Box::new(StatusSay { say, style: before.style, recipients })))
    }

    fn text(&self, name: &str, most: usize) -> Result<Option<String>, String> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if most == usize::MAX || text.chars().count() <= most => {
                Ok(Some(text.clone()))
            }
            Some(_) => Err(format!("a hook left an unusable {name}")),
        }
    }

    fn needed(&self, name: &str, most: usize) -> Result<String, String> {
        let text = self.text(name, most)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("a hook left no {name}"))
    }

    fn chat(&self, name: &str) -> Result<ChatId, String> {
        self.needed(name, NAME_MAX)?.parse().map_err(|_| format!("a hook left an unusable {name}"))
    }

    fn mentions(&self) -> Result<Vec<ChatId>, String> {
        let Some(given) = self.fields.get("mentions") else { return Ok(vec![]) };
        let read = serde_json::from_value::<Vec<ChatId>>(given.clone());
        let read = read.ok().filter(|mentions| mentions.len() <= MENTIONS_MAX);
        read.ok_or_else(|| "a hook left unusable mentions".into())
    }

    fn preview(&self, before: &Preview) -> Result<Preview, String> {
        match (self.fields.get("customLinkPreview"), self.fields.get("linkPreview")) {
            (Some(card), Some(Value::Bool(false))) if !card.is_null() => {
                Err("a hook left customLinkPreview together with linkPreview: false".into())
            }
            (Some(card), _) if !card.is_null() => {
                let card = card.as_object().and_then(card_of);
                let card = card.ok_or("a hook left an unusable card")?;
                Ok(Preview::Card(Box::new(card)))
            }
            (_, Some(Value::Bool(true))) => Ok(Preview::Fetch),
            (_, None | Some(Value::Null)) if *before == Preview::Usual => Ok(Preview::Usual),
            _ => Ok(Preview::Off),
        }
    }

    fn poll(&self) -> Result<Poll, String> {
        let poll = poll_of(&Value::Object(self.fields.clone()));
        let usable = |poll: &Poll| POLL_OPTIONS.contains(&poll.options.len());
        poll.filter(usable).ok_or_else(|| "a hook left an unusable poll".into())
    }
}

/// A card as the API writes it.
fn card_of(fields: &Map<String, Value>) -> Option<Card> {
    let reader = InputReader { fields };
    let preview = LinkPreview {
        url: reader.needed("url", URL_MAX).ok()?,
        title: reader.needed("title", NAME_MAX).ok()?,
        description: reader.text("description", DESCRIPTION_MAX).ok()?,
        thumbnail: vec![],
    };
    let base64 = reader.text("thumbnailBase64", usize::MAX).ok()?.map(MediaInput::Base64);
    let url = reader.text("thumbnailUrl", URL_MAX).ok()?.map(MediaInput::Url);
    Some(Card { preview, picture: base64.or(url) })
}

/// A poll as the API and rows write it.
pub(super) fn poll_of(value: &Value) -> Option<Poll> {
    Some(Poll {
        name: value["name"].as_str()?.to_owned(),
        options: serde_json::from_value(value["options"].clone()).ok()?,
        allow_multiple_answers: value["allowMultipleAnswers"].as_bool().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use domain::content::MediaKind;

    use super::*;

    fn to_send(say: Say) -> ToSend {
        ToSend {
            chat: "49170111@c.us".parse().unwrap(),
            say,
            mentions: vec!["49170222@c.us".parse().unwrap()],
            quoted: Some(QuoteRef { id: WaMessageId::from_wire("3EB01"), in_chat: true }),
        }
    }

    #[test]
    fn every_sort_survives_the_way_through_hooks() {
        let card = |picture| {
            let preview = LinkPreview {
                url: "https://a.example".into(),
                title: "A".into(),
                description: None,
                thumbnail: vec![],
            };
            Preview::Card(Box::new(Card { preview, picture }))
        };
        let poll = Poll {
            name: "What?".into(),
            options: vec!["Tea".into(), "Cake".into()],
            allow_multiple_answers: true,
        };
        let status = |say| {
            Say::Status(Box::new(StatusSay {
                say,
                style: domain::status::TextStyle { background: Some(0x001e_6e4f), font: Some(2) },
                recipients: Some(vec!["49170111@c.us".parse().unwrap()]),
            }))
        };
        let media = |input| Say::Media {
            kind: MediaKind::Voice,
            input,
            mimetype: Some("audio/ogg".into()),
            filename: None,
            caption: None,
        };
        let place = Location {
            latitude: 52.5,
            longitude: 13.4,
            description: Some("Home".into()),
            address: None,
            url: None,
        };
        for say in [
            Say::Text { text: "hi".into(), preview: card(None) },
            Say::Text { text: "hi".into(), preview: card(Some(MediaInput::Base64("AA".into()))) },
            Say::Text { text: "hi".into(), preview: card(Some(MediaInput::Url("x".into()))) },
            Say::Text { text: "hi".into(), preview: Preview::Usual },
            Say::Text { text: "hi".into(), preview: Preview::Off },
            Say::Text { text: "hi".into(), preview: Preview::Fetch },
            media(MediaInput::Base64("AAAA".into())),
            media(MediaInput::Url("https://a.example/x.ogg".into())),
            Say::Location(place),
            Say::Contact { name: "Mia".into(), number: "+49170111".into() },
            Say::Poll(poll),
            Say::Forward {
                from: "49170111@c.us".parse().unwrap(),
                id: WaMessageId::from_wire("3A"),
            },
            status(media(MediaInput::Base64("AAAA".into()))),
            status(Say::Text { text: "Open till six".into(), preview: Preview::Off }),
            Say::Product { id: "77".into(), body: Some("Fresh today".into()) },
            Say::ButtonReply {
                message: WaMessageId::from_wire("3A"),
                button: "yes".into(),
                text: None,
            },
        ] {
            let before = to_send(say);
            assert_eq!(read(&before, &of(&before)), Ok(before.clone()), "{before:?}");
        }
        let secret = to_send(media(MediaInput::Base64("AAAA".into())));
        assert!(!shown(&secret).to_string().contains("AAAA"));
    }

    #[test]
    fn nonsense_from_a_hook_stops_the_send() {
        let before = to_send(Say::Text { text: "hi".into(), preview: Preview::Off });
        for input in [
            json!(null),
            json!({}),
            json!({ "chatId": "x", "text": "hi" }),
            json!({ "chatId": "49170111@c.us", "text": "" }),
            json!({ "chatId": "49170111@c.us", "text": 7 }),
            json!({ "chatId": "49170111@c.us", "text": "hi", "mentions": "all" }),
            json!({ "chatId": "49170111@c.us", "text": "hi", "customLinkPreview": { "url": "x" } }),
            json!({
                "chatId": "49170111@c.us", "text": "hi", "linkPreview": false,
                "customLinkPreview": { "url": "https://a.example", "title": "A" },
            }),
        ] {
            assert!(read(&before, &input).is_err(), "{input}");
        }
    }
}
