//! Who received, read and played a message of ours.

use axum::{Json, extract::State, http::StatusCode};
use domain::{WaMessageId, receipt::RecipientTimes};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    AppState,
    access::{ExistingChat, Viewer},
    error::{ApiError, echo},
    media::MessagePath,
};

/// Who did something with a message, and when.
#[derive(Serialize, ToSchema)]
#[schema(as = ReceiptEntry, example = json!({"id": "49170111@c.us", "timestamp": 1_790_841_600}))]
struct ReceiptEntryBody {
    /// The recipient's id, by number where it is known.
    id: String,
    /// WhatsApp's own time, epoch seconds.
    timestamp: i64,
}

/// Everything that one recipient said. An addition to OpenWA.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReceiptRecipient, example = json!({
    "id": "49170111@c.us", "phone": "49170111", "lid": "99887766@lid",
    "deliveredAt": 1_790_841_600, "readAt": 1_790_841_660, "playedAt": null
}))]
struct RecipientBody {
    /// The recipient's id, by number where it is known.
    id: String,
    #[schema(required)]
    phone: Option<String>,
    /// The privacy id.
    #[schema(required)]
    lid: Option<String>,
    /// When a device of theirs had it, epoch seconds. Who reads a message may not have told this.
    #[schema(required)]
    delivered_at: Option<i64>,
    #[schema(required)]
    read_at: Option<i64>,
    #[schema(required)]
    played_at: Option<i64>,
}

/// What the recipients of a message told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessageReceipts)]
pub struct ReceiptsBody {
    /// WhatsApp's id of the message.
    message_id: String,
    delivered: Vec<ReceiptEntryBody>,
    read: Vec<ReceiptEntryBody>,
    played: Vec<ReceiptEntryBody>,
    /// A row for each recipient.
    recipients: Vec<RecipientBody>,
}

impl ReceiptsBody {
    fn of(id: &WaMessageId, told: Vec<RecipientTimes>) -> Self {
        let list = |time: fn(&RecipientTimes) -> Option<i64>| {
            let mut entries: Vec<ReceiptEntryBody> = told
                .iter()
                .filter_map(|one| Some((one.recipient.to_string(), time(one)?)))
                .map(|(id, timestamp)| ReceiptEntryBody { id, timestamp })
                .collect();
            entries.sort_by_key(|entry| entry.timestamp);
            entries
        };
        Self {
            message_id: id.to_string(),
            delivered: list(|one| one.delivered_at),
            read: list(|one| one.read_at),
            played: list(|one| one.played_at),
            recipients: told.into_iter().map(RecipientBody::from).collect(),
        }
    }
}

impl From<RecipientTimes> for RecipientBody {
    fn from(one: RecipientTimes) -> Self {
        Self {
            id: one.recipient.to_string(),
            phone: one.phone.map(|phone| phone.to_string()),
            lid: one.lid.map(String::from),
            delivered_at: one.delivered_at,
            read_at: one.read_at,
            played_at: one.played_at,
        }
    }
}

/// Who received, read and played a message that this account sent.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/messages/{chatId}/{messageId}/receipts", operation_id = "getMessageReceipts",
    tag = "Messages", params(MessagePath),
    responses(
        (status = 200, description = "What the recipients told, earliest first", body = ReceiptsBody),
        (status = 400, description = "A message of somebody else", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
pub async fn receipts(
    State(state): State<AppState>,
    on: ExistingChat<Viewer>,
) -> Result<Json<ReceiptsBody>, ApiError> {
    let text = on.caller.text("messageId");
    let Some(chat) = on.chat else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("Message {} not found", echo(text)),
        ));
    };
    let id = WaMessageId::from_wire(text);
    let told = state.gateway.messages.receipts(on.session, &chat, &id).await?;
    Ok(Json(ReceiptsBody::of(&id, told)))
}
