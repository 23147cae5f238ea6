//! The file of a message, and who reacted to it.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use domain::{
    SessionId, WaMessageId,
    message::Message,
    port::{MessageQuery, Page},
};
use futures::stream;
use gateway::media::{MediaError, Stored};
use serde::Serialize;
use tokio::io::AsyncReadExt as _;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{ExistingChat, Operator, Viewer},
    error::{ApiError, echo},
    words::FileBytes,
};

/// Bytes read at once.
const PIECE_BYTES: usize = 64 * 1024;
const NOT_STORED: &str = "No media stored for this message";

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(file)).routes(routes!(again)).routes(routes!(reactions))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
pub struct MessagePath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The chat, as it is or percent-encoded.
    #[param(rename = "chatId", example = "49170111@c.us")]
    chat_id: String,
    /// WhatsApp's id of the message.
    #[param(rename = "messageId", example = "3EB0C767D26B8A3F1A2B")]
    message_id: String,
}

/// An emoji and who gave it.
#[derive(Serialize, ToSchema)]
#[schema(as = Reaction, example = json!({
    "emoji": "👍", "senders": [{"senderId": "49170111@c.us", "emoji": "👍", "timestamp": 1_790_841_600}]
}))]
struct ReactionBody {
    emoji: String,
    senders: Vec<SenderBody>,
}

/// Who reacted, and when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReactionSender)]
struct SenderBody {
    sender_id: String,
    emoji: String,
    /// When, in epoch seconds.
    timestamp: i64,
}

/// The file of a message, as the sender sent it. While it is still being fetched: 404, and the message says so.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/messages/{chatId}/{messageId}/media", operation_id = "getMessageMedia", tag = "Messages",
    params(MessagePath),
    responses(
        (status = 200, description = "The bytes, as what the file is", body = FileBytes, content_type = "*/*"),
        (status = 404, description = "No such message, no file in it, not fetched yet, or not available", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn file(
    State(state): State<AppState>,
    on: ExistingChat<Viewer>,
) -> Result<Response, ApiError> {
    let id = WaMessageId::from_wire(on.caller.text("messageId"));
    let Some(chat) = on.chat else { return Err(not_found(NOT_STORED)) };
    let found = state.gateway.media.of_message(on.session, &chat, &id).await;
    let stored = found.map_err(refusal)?.ok_or_else(|| not_found(NOT_STORED))?;
    present(stored, &id)
}

/// Where a file stands.
#[derive(Serialize, ToSchema)]
#[schema(as = MediaStanding, example = json!({"state": "pending"}))]
struct StandingBody {
    /// `pending`: it is fetched now, with all its tries. `ready`: it is there. `failed`: the sender did not say where
    /// it is.
    state: &'static str,
}

/// Fetches the file of a message again, after it was not available. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/{chatId}/{messageId}/media/retry", operation_id = "retryMessageMedia",
    tag = "Messages", params(MessagePath),
    responses(
        (status = 202, description = "Where it stands now", body = StandingBody),
        (status = 404, description = "No such message, or no file in it", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn again(
    State(state): State<AppState>,
    on: ExistingChat<Operator>,
) -> Result<(StatusCode, Json<StandingBody>), ApiError> {
    let id = WaMessageId::from_wire(on.caller.text("messageId"));
    let Some(chat) = on.chat else { return Err(not_found(NOT_STORED)) };
    let found = state.gateway.media.again(on.session, &chat, &id).await.map_err(refusal)?;
    let standing = found.ok_or_else(|| not_found(NOT_STORED))?;
    Ok((StatusCode::ACCEPTED, Json(StandingBody { state: standing.as_str() })))
}

fn not_found(sentence: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, sentence)
}

fn refusal(error: MediaError) -> ApiError {
    match error {
        MediaError::Pending => not_found("The media of this message is still being fetched"),
        MediaError::Failed(reason) => not_found(format!("{NOT_STORED}: {reason}")),
        MediaError::Store(error) => ApiError::store(error),
        _ => not_found(NOT_STORED),
    }
}

/// The bytes of a file as an answer.
pub fn present(stored: Stored, id: &WaMessageId) -> Result<Response, ApiError> {
    let kind = safe_type(&stored.mimetype);
    let name = stored.filename.unwrap_or_else(|| format!("{id}{}", extension(&stored.mimetype)));
    let text = |text: String| {
        HeaderValue::try_from(text)
            .map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"))
    };
    let mut response = Response::new(pieces(stored.file, stored.size_bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, text(kind)?);
    headers.insert(header::CONTENT_LENGTH, stored.size_bytes.into());
    headers.insert(header::CONTENT_DISPOSITION, text(disposition(&name))?);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The file in pieces; it is read as fast as the caller takes it.
fn pieces(file: std::fs::File, size_bytes: u64) -> Body {
    let file = tokio::fs::File::from_std(file).take(size_bytes);
    Body::from_stream(stream::try_unfold(file, async |mut file| {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        let more = (read > 0).then(|| (Bytes::from(piece), file));
        Ok::<_, std::io::Error>(more)
    }))
}

/// The type, where no browser would run it; else bytes.
fn safe_type(mimetype: &str) -> String {
    let mimetype = mimetype.to_ascii_lowercase();
    let essence = mimetype.split(';').next().unwrap_or_default().trim();
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b));
    let safe = match essence.split_once('/') {
        Some(("image", subtype)) => {
            plain(subtype) && !subtype.contains("svg") && !subtype.contains("xml")
        }
        Some(("audio" | "video", subtype)) => plain(subtype) && !subtype.contains("xml"),
        Some(("application", subtype)) => {
            matches!(subtype, "pdf" | "zip" | "msword") || is_office(subtype) && plain(subtype)
        }
        Some(("text", subtype)) => subtype == "plain",
        _ => false,
    };
    if safe { essence.to_owned() } else { "application/octet-stream".to_owned() }
}

fn is_office(subtype: &str) -> bool {
    ["vnd.openxmlformats-officedocument.", "vnd.oasis.opendocument.", "vnd.ms-"]
        .iter()
        .any(|start| subtype.starts_with(start))
}

fn extension(mimetype: &str) -> &'static str {
    match mimetype.split(';').next().unwrap_or_default().trim() {
        "image/jpeg" => ".jpg",
        "image/png" => ".png",
        "image/webp" => ".webp",
        "image/gif" => ".gif",
        "video/mp4" => ".mp4",
        "audio/ogg" => ".ogg",
        "audio/mpeg" => ".mp3",
        "audio/mp4" => ".m4a",
        "application/pdf" => ".pdf",
        _ => ".bin",
    }
}

/// RFC 6266: a name that every client reads, then the whole one.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || " ._-()".contains(c) { c } else { '_' })
        .collect();
    // A way through folders is no name, whoever decodes it.
    let name = name.replace(['/', '\\'], "_");
    let mut whole = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            whole.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}")
}

/// Who reacted to a message, by emoji.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/messages/{chatId}/{messageId}/reactions", operation_id = "getMessageReactions", tag = "Messages",
    params(MessagePath),
    responses((status = 200, description = "Reactions", body = [ReactionBody])),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn reactions(
    State(state): State<AppState>,
    on: ExistingChat<Viewer>,
) -> Result<Json<Vec<ReactionBody>>, ApiError> {
    let id = on.caller.text("messageId");
    let message = match on.chat {
        Some(chat) => {
            let chat = state.gateway.people.canonical(on.session, &chat).await?;
            stored(&state, on.session, id).await?.filter(|message| message.chat == chat)
        }
        None => None,
    };
    let message = message.ok_or_else(|| not_found(format!("Message {} not found", echo(id))))?;
    Ok(Json(by_emoji(&message)))
}

async fn stored(
    state: &AppState,
    session: SessionId,
    id: &str,
) -> Result<Option<Message>, ApiError> {
    let query = MessageQuery { wa_id: Some(WaMessageId::from_wire(id)), ..Default::default() };
    let page = Page { limit: 1, offset: 0 };
    let found = state.gateway.messages.list(session, &query, page).await?;
    Ok(found.and_then(|page| page.messages.into_iter().next()))
}

fn by_emoji(message: &Message) -> Vec<ReactionBody> {
    let mut all: Vec<ReactionBody> = Vec::new();
    let given = message.metadata["reactions"].as_object().into_iter().flatten();
    for (sender, emoji) in given {
        let Some(emoji) = emoji.as_str() else { continue };
        let time = &message.metadata["reactionTimes"][sender];
        let sender = SenderBody {
            sender_id: sender.clone(),
            emoji: emoji.to_owned(),
            timestamp: time.as_i64().or(message.timestamp).unwrap_or_default(),
        };
        match all.iter_mut().find(|reaction| reaction.emoji == emoji) {
            Some(reaction) => reaction.senders.push(sender),
            None => all.push(ReactionBody { emoji: emoji.to_owned(), senders: vec![sender] }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_would_run_is_sent_as_bytes() {
        for (given, sent) in [
            ("image/jpeg", "image/jpeg"),
            ("IMAGE/PNG; x=y", "image/png"),
            ("audio/ogg; codecs=opus", "audio/ogg"),
            ("application/pdf", "application/pdf"),
            ("image/svg+xml", "application/octet-stream"),
            ("text/html", "application/octet-stream"),
            ("application/xhtml+xml", "application/octet-stream"),
            ("image/png\r\nx: y", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(safe_type(given), sent, "{given}");
        }
    }

    #[test]
    fn names_cannot_leave_their_header() {
        assert_eq!(
            disposition("a\"; x=\r\n.pdf"),
            "attachment; filename=\"a__ x___.pdf\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0A.pdf"
        );
        assert_eq!(
            disposition("Menü.pdf"),
            "attachment; filename=\"Men_.pdf\"; filename*=UTF-8''Men%C3%BC.pdf"
        );
    }
}
