//! What plugins send, and the files that they see.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    ChatId, SessionId, Timer, WaMessageId,
    content::{Location, MediaKind},
};
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    SharedPlugins,
    capabilities::{Request, chat},
};
use crate::messages::{MediaInput, Preview, QuoteRef, Say, ToSend};

/// So many sends of plugins may cause each other.
const DEPTH_MAX: u32 = 5;
/// Files that handlers see, in bytes; larger ones are told as left out.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// How long a handler's turn waits for a file that is still being downloaded.
const FILE_WAIT: Duration = Duration::from_secs(20);
const FILE_LOOK: Duration = Duration::from_millis(250);

/// Sends, inside the hooks in which the plugin asked.
async fn send(request: &Request<'_>, session: SessionId, to_send: ToSend) -> Result<Value, String> {
    to_send.say.check().map_err(|error| error.to_string())?;
    let scope = request.runner.scope_of(request.call);
    if scope.depth() >= DEPTH_MAX {
        let why = format!(
            "sends of plugins have caused each other {DEPTH_MAX} times: this one is not made"
        );
        tracing::warn!(plugin = %request.plugin.id, "{why}");
        return Err(why);
    }
    let scope = scope.of_plugin_send(request.runner.sending_handlers());
    let sent = scope.run(Box::pin(request.shared.messages.send(session, to_send, None))).await;
    let sent = sent.map_err(|error| error.to_string())?.sent;
    Ok(json!({ "messageId": sent.id, "timestamp": sent.timestamp }))
}

fn plain(chat: ChatId, text: &str) -> ToSend {
    let say = Say::Text { text: text.to_owned(), preview: Preview::Usual };
    ToSend { chat, say, mentions: vec![], quoted: None }
}

pub(super) async fn text(request: &Request<'_>) -> Result<Value, String> {
    let session = request.session(0)?;
    send(request, session, plain(request.chat(1)?, request.text(2)?)).await
}

pub(super) async fn reply(request: &Request<'_>) -> Result<Value, String> {
    let session = request.session(0)?;
    let mut to_send = plain(request.chat(1)?, request.text(3)?);
    to_send.quoted = Some(QuoteRef { id: WaMessageId::from_wire(request.text(2)?), in_chat: true });
    send(request, session, to_send).await
}

/// `conversations.send`: a chat or the provider's conversation, and one of seven kinds.
pub(super) async fn envelope(request: &Request<'_>) -> Result<Value, String> {
    let envelope = request.object(0);
    let field = |name: &str| envelope[name].as_str().filter(|text| !text.is_empty());
    let (session, to) = match (field("sessionId"), field("chatId")) {
        (Some(session), Some(to)) => (request.session_of(session)?, chat(to)?),
        _ => mapped(request, envelope).await?,
    };
    let text = field("text").unwrap_or_default();
    let quoted =
        field("replyTo").map(|id| QuoteRef { id: WaMessageId::from_wire(id), in_chat: true });
    let kind = field("type").unwrap_or("text");
    let media = match kind {
        "text" | "location" => None,
        "image" => Some(MediaKind::Image),
        "file" => Some(MediaKind::Document),
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        "voice" => Some(MediaKind::Voice),
        other => return Err(format!("conversations.send: there is no type {other}")),
    };
    let say = match (media, field("mediaUrl")) {
        (Some(kind), Some(url)) => Say::Media {
            kind,
            input: MediaInput::Url(url.to_owned()),
            mimetype: None,
            filename: None,
            caption: Some(text.to_owned()).filter(|text| !text.is_empty()),
        },
        _ if kind == "location" => Say::Location(location(envelope, text)?),
        _ => Say::Text {
            text: text.to_owned(),
            preview: match envelope["linkPreview"].as_bool() {
                None => Preview::Usual,
                Some(true) => Preview::Fetch,
                Some(false) => Preview::Off,
            },
        },
    };
    if quoted.is_some() && !matches!(say, Say::Text { .. }) {
        return Err("conversations.send: replyTo goes with a text only".into());
    }
    send(request, session, ToSend { chat: to, say, mentions: vec![], quoted }).await
}

fn location(envelope: &Value, text: &str) -> Result<Location, String> {
    let number = |name: &str, limit: f64| {
        envelope[name].as_f64().filter(|number| number.abs() <= limit).ok_or_else(|| {
            format!("conversations.send: a location needs {name}, from -{limit} to {limit}")
        })
    };
    Ok(Location {
        latitude: number("latitude", 90.0)?,
        longitude: number("longitude", 180.0)?,
        description: Some(text.to_owned()).filter(|text| !text.is_empty()),
        address: None,
        url: None,
    })
}

/// The chat that a provider's conversation is mapped to.
async fn mapped(request: &Request<'_>, envelope: &Value) -> Result<(SessionId, ChatId), String> {
    let (Some(instance), Some(conversation)) =
        (envelope["instanceId"].as_str(), envelope["source"]["externalConversationId"].as_str())
    else {
        return Err(
            "conversations.send needs sessionId and chatId, or instanceId and a mapped source"
                .into(),
        );
    };
    let store = &request.shared.ports.store;
    let found = store.mapping_of_conversation(&request.plugin.id, instance, conversation).await;
    let found = found.map_err(|error| error.to_string())?;
    let found = found.ok_or("conversations.send: the conversation is mapped to no chat")?;
    Ok((request.session_of(&found.key.session.to_string())?, chat(&found.key.chat)?))
}

/// Puts the file of a message into what its handlers see, as OpenWA does, once it is there.
pub(super) async fn with_file(shared: &SharedPlugins, session: SessionId, message: &mut Value) {
    let Some(media) = message.get("media").filter(|media| media.get("data").is_none()) else {
        return;
    };
    if media["sizeBytes"].as_u64().is_some_and(|size| size > FILE_BYTES_MAX) {
        return;
    }
    let Some(id) = message["id"].as_str().map(WaMessageId::from_wire) else { return };
    let clock = &shared.ports.clock;
    let until = clock.now().plus(FILE_WAIT);
    loop {
        match shared.media.bytes_of(session, &id, FILE_BYTES_MAX).await {
            Ok(Some(bytes)) => {
                message["media"]["data"] = json!(STANDARD.encode(bytes));
                if let Some(media) = message["media"].as_object_mut() {
                    media.remove("omitted");
                }
                return;
            }
            Ok(None) if clock.now() < until => {
                clock.sleep_until(Timer::PluginFile, clock.now().plus(FILE_LOOK)).await;
            }
            Ok(None) | Err(_) => return,
        }
    }
}
