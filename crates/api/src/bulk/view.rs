//! What a caller gets back.

use domain::{
    ChatId, SessionId, Timestamp,
    batch::{Batch, BatchItem, BatchOptions, Hold, ItemError, ItemState, Limit, Progress},
    time::Zone,
};
use gateway::batches::{Accepted, Foreseen};
use serde::Serialize;
use utoipa::ToSchema;

use crate::words::{BatchStatusWord, HoldWord, ItemStatusWord};

/// How far a batch got. `total` is the sum of the others.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchProgress)]
pub struct ProgressBody {
    total: u32,
    sent: u32,
    failed: u32,
    pending: u32,
    cancelled: u32,
}

impl From<Progress> for ProgressBody {
    fn from(progress: Progress) -> Self {
        let Progress { total, sent, failed, pending, cancelled } = progress;
        Self { total, sent, failed, pending, cancelled }
    }
}

/// Why a batch does not send now.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchPaused)]
pub struct PausedBody {
    #[schema(value_type = HoldWord)]
    reason: &'static str,
    /// Until when, where that is known.
    #[schema(required)]
    until: Option<String>,
}

impl From<Hold> for PausedBody {
    fn from(hold: Hold) -> Self {
        Self { reason: hold.reason.as_str(), until: hold.until.map(Timestamp::iso) }
    }
}

/// Why an item was not sent.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchItemError, example = json!({"code": "RECIPIENT_UNREACHABLE", "message": "not on WhatsApp"}))]
pub struct ErrorOfItem {
    code: String,
    message: String,
}

impl From<ItemError> for ErrorOfItem {
    fn from(error: ItemError) -> Self {
        Self { code: error.code, message: error.message }
    }
}

/// What became of one message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchResult)]
pub struct ResultBody {
    /// Its place in the request, from 0. An addition to OpenWA.
    index: u32,
    chat_id: String,
    /// The chat that WhatsApp knows the number under, when it is spelled otherwise. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_to: Option<String>,
    #[schema(value_type = ItemStatusWord)]
    status: &'static str,
    /// WhatsApp's id, chosen when the batch was stored.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[schema(nullable = false, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorOfItem>,
}

impl ResultBody {
    /// An item, and where it went when that is not the chat it names.
    pub fn new(item: BatchItem, resolved_to: Option<ChatId>) -> Self {
        let sent_at = item.at.filter(|_| item.state == ItemState::Sent).map(Timestamp::iso);
        let has_id = item.state != ItemState::Cancelled;
        Self {
            index: item.index,
            chat_id: item.chat.to_string(),
            resolved_to: resolved_to.map(String::from),
            status: item.state.shown(),
            message_id: has_id.then(|| item.wa_id.to_string()),
            sent_at,
            error: item.error.map(ErrorOfItem::from),
        }
    }
}

/// A batch in short.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchSummary)]
pub struct SummaryBody {
    batch_id: String,
    #[schema(value_type = BatchStatusWord)]
    status: &'static str,
    progress: ProgressBody,
    /// Why it does not send now. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<PausedBody>,
    created_at: String,
    /// Not before this time.
    #[schema(required)]
    scheduled_at: Option<String>,
    #[schema(required)]
    started_at: Option<String>,
    #[schema(required)]
    completed_at: Option<String>,
}

impl From<Batch> for SummaryBody {
    fn from(batch: Batch) -> Self {
        Self {
            batch_id: batch.id.to_string(),
            status: batch.state.as_str(),
            progress: batch.progress.into(),
            paused: batch.hold.map(PausedBody::from),
            created_at: batch.created_at.iso(),
            scheduled_at: batch.options.scheduled_at.map(Timestamp::iso),
            started_at: batch.started_at.map(Timestamp::iso),
            completed_at: batch.completed_at.map(Timestamp::iso),
        }
    }
}

/// A batch with its results.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Batch, example = json!({
    "batchId": "batch_7f3a21c4", "status": "processing",
    "progress": {"total": 3, "sent": 1, "failed": 1, "pending": 1, "cancelled": 0},
    "createdAt": "2026-10-01T08:00:00.000Z", "scheduledAt": null,
    "startedAt": "2026-10-01T08:00:00.000Z", "completedAt": null,
    "results": [
        {"index": 0, "chatId": "49170111@c.us", "status": "sent", "messageId": "3EB0C767D26B8A3F1A2B", "sentAt": "2026-10-01T08:00:00.000Z"},
        {"index": 1, "chatId": "49170222@c.us", "status": "failed", "messageId": "3EB0A1B2C3D4E5F60718", "error": {"code": "RECIPIENT_UNREACHABLE", "message": "not on WhatsApp"}}
    ]
}))]
pub struct BatchBody {
    #[serde(flatten)]
    pub summary: SummaryBody,
    pub results: Vec<ResultBody>,
}

/// A message that repeats another one of the request. It is not sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchDuplicate)]
pub struct DuplicateBody {
    index: u32,
    /// The index of the one it repeats.
    duplicate_of: u32,
}

fn duplicates(pairs: Vec<(u32, u32)>) -> Vec<DuplicateBody> {
    let body = |(index, duplicate_of)| DuplicateBody { index, duplicate_of };
    pairs.into_iter().map(body).collect()
}

/// A message that cannot be sent, known before anything was.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchInvalid)]
pub struct InvalidBody {
    index: u32,
    /// The line of an import, from 1.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// For programs; absent where the message itself is wrong.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Everything that is wrong with it.
    problems: Vec<String>,
}

/// A message that is wrong, with its place.
pub struct Wrong {
    pub index: u32,
    pub line: Option<u64>,
    pub problems: Vec<String>,
}

impl From<Wrong> for InvalidBody {
    fn from(wrong: Wrong) -> Self {
        let Wrong { index, line, problems } = wrong;
        Self { index, line, code: None, problems }
    }
}

fn failed(errors: Vec<(u32, ItemError)>, lines: &[u64]) -> Vec<InvalidBody> {
    let body = |(index, error): (u32, ItemError)| InvalidBody {
        index,
        line: lines.get(index as usize).copied(),
        code: Some(error.code),
        problems: vec![error.message],
    };
    errors.into_iter().map(body).collect()
}

/// How an import was read.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportSeen)]
pub struct SeenBody {
    /// Records that were seen: each is a message, or named as invalid.
    pub records: u32,
    /// Rows without content, which were passed over.
    pub blank_rows: u32,
    /// The encoding that the text was read in.
    pub encoding: &'static str,
    /// What stands between the cells of a CSV.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
}

/// When a batch begins, as it was understood.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkWhen)]
pub struct When {
    /// `scheduledAt` of the request, in UTC. An addition to OpenWA.
    #[schema(nullable = false, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    /// The time zone in which it was read, when it named no offset. An addition to OpenWA.
    #[schema(nullable = false, example = "Europe/Berlin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
}

impl When {
    pub fn new(options: &BatchOptions, meant_in: Option<Zone>) -> Self {
        Self {
            scheduled_at: options.scheduled_at.map(Timestamp::iso),
            time_zone: meant_in.map(String::from),
        }
    }
}

/// A batch that was taken in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkAccepted, example = json!({
    "batchId": "batch_7f3a21c4", "status": "pending", "totalMessages": 2,
    "estimatedCompletionTime": "2026-10-01T08:00:04.000Z",
    "statusUrl": "/api/sessions/3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e/messages/batch/batch_7f3a21c4",
    "duplicates": [], "invalid": []
}))]
pub struct AcceptedBody {
    batch_id: String,
    #[schema(value_type = BatchStatusWord)]
    status: &'static str,
    /// How many messages there are, without duplicates.
    total_messages: u32,
    /// Absent when it would take more than three years.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_completion_time: Option<String>,
    status_url: String,
    /// An addition to OpenWA.
    duplicates: Vec<DuplicateBody>,
    /// Messages that failed before anything was sent. An addition to OpenWA.
    invalid: Vec<InvalidBody>,
    /// How an import was read. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<SeenBody>,
    #[serde(flatten)]
    when: When,
}

impl AcceptedBody {
    pub fn new(
        session: SessionId,
        accepted: Accepted,
        lines: &[u64],
        (import, when): (Option<SeenBody>, When),
    ) -> Self {
        let Accepted { batch, duplicates: pairs, failed: errors, ends_at, .. } = accepted;
        Self {
            status_url: format!("/api/sessions/{session}/messages/batch/{}", batch.id),
            batch_id: batch.id.to_string(),
            status: batch.state.as_str(),
            total_messages: batch.progress.total,
            estimated_completion_time: ends_at.map(Timestamp::iso),
            duplicates: duplicates(pairs),
            invalid: failed(errors, lines),
            import,
            when,
        }
    }
}

/// A limit that a batch would meet.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchLimit)]
pub struct LimitBody {
    #[schema(value_type = HoldWord)]
    reason: &'static str,
    /// When the batch meets it for the first time.
    at: String,
    /// Until when it waits that first time.
    until: String,
    /// How often the batch would meet it.
    times: u32,
}

impl From<Limit> for LimitBody {
    fn from(limit: Limit) -> Self {
        let Limit { reason, at, until, times } = limit;
        Self { reason: reason.as_str(), at: at.iso(), until: until.iso(), times }
    }
}

/// What would become of a batch. Nothing was stored or sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkForecast)]
pub struct ForecastBody {
    /// Always true: this was a dry run.
    dry_run: bool,
    /// Messages that would go out.
    total_messages: u32,
    /// When the first one would.
    #[schema(required)]
    starts_at: Option<String>,
    /// When the last one would; `null` when it would take more than three years.
    #[schema(required)]
    estimated_completion_time: Option<String>,
    /// Recipients that were never written with.
    new_contacts: u32,
    limits: Vec<LimitBody>,
    duplicates: Vec<DuplicateBody>,
    invalid: Vec<InvalidBody>,
    /// How an import was read. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<SeenBody>,
    #[serde(flatten)]
    when: When,
}

impl ForecastBody {
    pub fn new(
        foreseen: Foreseen,
        wrong: Vec<Wrong>,
        lines: &[u64],
        (import, when): (Option<SeenBody>, When),
    ) -> Self {
        let Foreseen { total, duplicates: pairs, failed: errors, forecast } = foreseen;
        let mut invalid: Vec<InvalidBody> = wrong.into_iter().map(InvalidBody::from).collect();
        invalid.extend(failed(errors, lines));
        invalid.sort_by_key(|invalid| invalid.index);
        Self {
            dry_run: true,
            total_messages: total,
            starts_at: forecast.starts_at.map(Timestamp::iso),
            estimated_completion_time: forecast.ends_at.map(Timestamp::iso),
            new_contacts: forecast.new_contacts,
            limits: forecast.limits.into_iter().map(LimitBody::from).collect(),
            duplicates: duplicates(pairs),
            invalid,
            import,
            when,
        }
    }
}

/// A batch after it was cancelled, paused or resumed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchChanged, example = json!({
    "batchId": "batch_7f3a21c4", "status": "cancelled",
    "progress": {"total": 3, "sent": 1, "failed": 0, "pending": 0, "cancelled": 2}
}))]
pub struct ChangedBody {
    batch_id: String,
    #[schema(value_type = BatchStatusWord)]
    status: &'static str,
    progress: ProgressBody,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<PausedBody>,
}

impl From<Batch> for ChangedBody {
    fn from(batch: Batch) -> Self {
        Self {
            batch_id: batch.id.to_string(),
            status: batch.state.as_str(),
            progress: batch.progress.into(),
            paused: batch.hold.map(PausedBody::from),
        }
    }
}
