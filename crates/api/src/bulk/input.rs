//! What a caller sends: messages and options.

use std::collections::BTreeMap;

use domain::{
    ChatId, Timestamp,
    batch::{self, BatchId, BatchOptions, ItemDraft, QuietHours, Said, Source},
    content::MediaKind,
    phone::Country,
    session::SessionConfig,
    time::Zone,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    error::ApiError,
    schema::chat_in,
    words::{BulkTypeWord, MentionText},
};

/// One message of a batch. `{{name}}` and `{name}` in texts, captions, URLs and file names are filled from `variables`,
/// in a batch in which any message has some.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BulkMessage)]
pub struct BulkMessage {
    #[schema(min_length = 1, max_length = 128, example = "49170111@c.us")]
    pub chat_id: String,
    #[serde(rename = "type")]
    #[schema(value_type = BulkTypeWord)]
    pub kind: String,
    pub content: BulkContent,
    /// The values of the placeholders.
    pub variables: Option<BTreeMap<String, String>>,
}

/// What it says: `text`, or a file under the name of the type.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BulkContent)]
pub struct BulkContent {
    #[schema(max_length = 4096)]
    pub text: Option<String>,
    pub image: Option<BulkFile>,
    pub video: Option<BulkFile>,
    pub audio: Option<BulkFile>,
    pub document: Option<BulkFile>,
    #[schema(max_length = 1024)]
    pub caption: Option<String>,
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    pub mentions: Option<Vec<ChatId>>,
}

/// A file of a batch. It is fetched and uploaded once, however many recipients get it.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BulkFile)]
pub struct BulkFile {
    /// Fetched by this server; http or https, not in a private network. This or `base64`.
    #[schema(min_length = 1, max_length = 2048)]
    pub url: Option<String>,
    /// The file itself; wins over `url`. Never filled from variables.
    #[schema(min_length = 1)]
    pub base64: Option<String>,
    /// The file's type; needed with `base64`.
    #[schema(min_length = 1, max_length = 255)]
    pub mimetype: Option<String>,
    /// The name under which the recipient sees the file.
    #[schema(min_length = 1, max_length = 255)]
    pub filename: Option<String>,
    /// Whether an `audio` is a voice note.
    pub ptt: Option<bool>,
}

/// How a batch is sent.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BulkOptions)]
pub struct BulkOptions {
    /// Least wait between two messages, milliseconds. Batches of one session share it.
    #[schema(minimum = 1000, maximum = 60000, default = 3000)]
    pub delay_between_messages: Option<u64>,
    /// Adds 0 to 2 seconds at random.
    #[schema(default = true)]
    pub randomize_delay: Option<bool>,
    /// Whether the first failure ends the batch.
    #[schema(default = false)]
    pub stop_on_error: Option<bool>,
    /// Not before this time, which must not be in the past. Without an offset it is meant in the time zone of
    /// `quietHours`, else in that of the session, else in UTC, and the answer's `timeZone` says which; a date alone
    /// is its first moment. The answer's `scheduledAt` says it in UTC. An addition to OpenWA.
    #[schema(max_length = 64, format = "schedule")]
    pub scheduled_at: Option<String>,
    /// Not in these hours. An addition to OpenWA.
    pub quiet_hours: Option<QuietHoursBody>,
}

/// Hours in which nothing is sent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = QuietHours, example = json!({"from": "21:00", "to": "08:00", "timeZone": "Europe/Berlin"}))]
pub struct QuietHoursBody {
    /// The first quiet minute, `HH:MM`.
    #[schema(min_length = 5, max_length = 5)]
    pub from: String,
    /// The first minute that may send again, `HH:MM`.
    #[schema(min_length = 5, max_length = 5)]
    pub to: String,
    /// The time zone, by its IANA name.
    #[schema(min_length = 1, max_length = 64)]
    pub time_zone: String,
    /// Use the recipient's own time zone where the number shows it.
    #[schema(default = false)]
    pub recipient_time_zone: Option<bool>,
}

impl BulkOptions {
    /// With the zone that a time without an offset was read in.
    ///
    /// # Errors
    /// 400 for hours or a time that make no sense.
    pub fn read(self, home: &SessionConfig) -> Result<(BatchOptions, Option<Zone>), ApiError> {
        let plain = BatchOptions::default();
        let zone = self.quiet_hours.as_ref().and_then(|hours| hours.time_zone.parse().ok());
        let zone: Zone = zone.or(home.time_zone).unwrap_or_default();
        let mut meant_in = None;
        let quiet = self.quiet_hours.map(|hours| {
            let by_recipient = hours.recipient_time_zone.unwrap_or_default();
            QuietHours::new(&hours.from, &hours.to, &hours.time_zone, by_recipient)
        });
        let quiet: Option<QuietHours> = quiet
            .transpose()
            .map_err(|error| ApiError::problem(format!("options.quietHours {error}")))?;
        let at = self.scheduled_at.map(|text| {
            let time = Timestamp::parse_with_offset(&text);
            let time = time.or_else(|| {
                meant_in = Some(zone);
                Timestamp::parse_in(&text, zone.0)
            });
            time.ok_or_else(|| {
                ApiError::problem(
                    "options.scheduledAt must be a date, or a date and time, like 2026-12-24T18:00:00+01:00",
                )
            })
        });
        let millis = self.delay_between_messages.map(std::time::Duration::from_millis);
        let options = BatchOptions {
            delay: millis.unwrap_or(plain.delay),
            randomize: self.randomize_delay.unwrap_or(plain.randomize),
            stop_on_error: self.stop_on_error.unwrap_or(plain.stop_on_error),
            scheduled_at: at.transpose()?,
            quiet_hours: quiet,
            fingerprint: None,
        };
        Ok((options, meant_in))
    }
}

/// The name of a batch.
///
/// # Errors
/// 400 for one that cannot stand in a path.
pub fn batch_id(given: Option<&str>) -> Result<Option<BatchId>, ApiError> {
    let Some(text) = given else { return Ok(None) };
    let id = BatchId::parse(text);
    id.map(Some).ok_or_else(|| {
        ApiError::problem(
            "batchId must be 1 to 128 characters that can stand in a path, not . or ..",
        )
    })
}

impl BulkMessage {
    /// The message as an item, or everything that is wrong with it.
    pub fn draft(self, index: u32, home: Option<Country>) -> Result<ItemDraft, Vec<String>> {
        let mut problems = Vec::new();
        let chat = chat_in(&self.chat_id, home);
        let chat = chat.map_err(|why| problems.push(format!("chatId {why}"))).ok();
        let said = said(&self.kind, self.content.text, self.content.caption, |kind| match kind {
            MediaKind::Image => self.content.image,
            MediaKind::Video => self.content.video,
            MediaKind::Document => self.content.document,
            _ => self.content.audio,
        });
        let said = said.map_err(|problem| problems.push(problem)).ok();
        let (Some(chat), Some(said)) = (chat, said) else { return Err(problems) };
        let mentions = self.content.mentions.unwrap_or_default();
        let draft = ItemDraft { index, chat, said, mentions, variables: self.variables };
        let found = batch::problems(&draft);
        if found.is_empty() {
            return Ok(draft);
        }
        Err(found.into_iter().map(|found| format!("{} {}", found.field, found.problem)).collect())
    }
}

fn said(
    kind: &str,
    text: Option<String>,
    caption: Option<String>,
    file: impl FnOnce(MediaKind) -> Option<BulkFile>,
) -> Result<Said<String>, String> {
    let media = match kind {
        "text" => {
            let text = text.ok_or("content.text should not be empty")?;
            return Ok(Said::Text(text));
        }
        "image" => MediaKind::Image,
        "video" => MediaKind::Video,
        "audio" => MediaKind::Audio,
        "document" => MediaKind::Document,
        _ => return Err("type must be one of text, image, video, audio, document".into()),
    };
    let file = file(media).ok_or_else(|| format!("content.{kind} should not be empty"))?;
    let voice = media == MediaKind::Audio && file.ptt == Some(true);
    let media = if voice { MediaKind::Voice } else { media };
    let mimetype = file.mimetype.or_else(|| voice.then(|| "audio/ogg; codecs=opus".to_owned()));
    let source = match (file.base64, file.url) {
        (Some(base64), _) => Source::Bytes(base64),
        (None, Some(url)) => Source::Url(url),
        (None, None) => return Err(format!("content.{kind} must have url or base64")),
    };
    let caption = caption.filter(|text| !text.is_empty());
    Ok(Said::File { kind: media, source, mimetype, filename: file.filename, caption })
}
