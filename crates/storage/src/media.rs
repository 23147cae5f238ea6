//! Files of messages: what is known of them and where they stand. The files themselves are in
//! [`FolderMedia`](crate::FolderMedia).

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    MediaId, SessionId, Timestamp, WaMessageId,
    content::Media,
    media::{MediaRecord, MediaState},
    message::Message,
    port::{MediaRecords, StoreResult},
};
use serde_json::{Value, json};

use crate::{
    crypt::Cipher,
    db::{self, Row},
    error::{Doing as _, corrupt},
    message,
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    INSERT = both("insert into media (session_id, wa_id, description, state, due_at, file, size_bytes, reason, \
         attempts) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (session_id, wa_id) do nothing");
    SETTLE = both("update media set state = $3, due_at = $4, file = $5, size_bytes = $6, reason = $7, \
         attempts = attempts + 1 where session_id = $1 and wa_id = $2");
    REMOVE = both("delete from media where session_id = $1 and wa_id = $2");
    GET = both("select * from media where session_id = $1 and wa_id = $2");
    UPLOADED = both("select media.* from media join message on message.session_id = media.session_id \
         and message.wa_id = media.wa_id where media.session_id = $1 and media.file = $2 \
         and message.direction = 'outgoing' and message.created_at >= $3 order by message.created_at desc limit 4");
    DUE = DialectPair {
        sqlite: "select media.* from json_each($1) as one cross join media \
             where media.session_id = one.value and media.state = 'pending' and media.due_at <= $2 \
             order by media.due_at limit $3",
        postgres: "select * from media where session_id in (select json_array_elements_text($1::json)) \
             and state = 'pending' and due_at <= $2 order by due_at limit $3",
    };
    PUT_OFF_DUE = both("update media set due_at = $3 where session_id = $1 and wa_id = $2");
    NEXT_DUE = DialectPair {
        sqlite: "select min((select media.due_at from media where media.session_id = one.value \
             and media.state = 'pending' order by media.due_at limit 1)) from json_each($1) as one",
        postgres: "select min(due_at) from media where state = 'pending' \
             and session_id in (select json_array_elements_text($1::json))",
    };
    BYTES_OF = both("select cast(coalesce(sum(size_bytes), 0) as bigint) from media \
         where session_id = $1 and state = 'ready'");
    BYTES = both("select cast(coalesce(sum(one.size_bytes), 0) as bigint) from \
         (select max(size_bytes) as size_bytes from media where state = 'ready' group by file) as one");
}

/// Until a record that cannot be read is looked at again: another version of the program may read it.
const PUT_OFF: Duration = Duration::from_secs(3600);

fn place<'a>(session: &'a str, wa_id: &'a str) -> [&'a str; 4] {
    ["media", session, wa_id, "description"]
}

/// The columns of a state.
#[derive(Default)]
struct StateColumns<'a> {
    due_at: Option<i64>,
    file: Option<&'a str>,
    size_bytes: Option<i64>,
    reason: Option<&'a str>,
}

impl<'a> StateColumns<'a> {
    fn of(state: &'a MediaState) -> Self {
        match state {
            MediaState::Pending { due_at } => {
                Self { due_at: Some(due_at.millis()), ..Self::default() }
            }
            MediaState::Ready { id, size_bytes } => Self {
                file: Some(id.as_str()),
                size_bytes: Some(i64::try_from(*size_bytes).unwrap_or(i64::MAX)),
                ..Self::default()
            },
            MediaState::Failed { reason } => Self { reason: Some(reason), ..Self::default() },
        }
    }
}

fn read(row: &Row, cipher: &Cipher) -> StoreResult<MediaRecord> {
    const DOING: &str = "reading a message's file";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<Option<i64>, _>(name).doing(DOING);
    let session = text("session_id")?.ok_or_else(bad)?;
    let wa_id = text("wa_id")?.ok_or_else(bad)?;
    let sealed: Vec<u8> = row.try_get("description").doing(DOING)?;
    let plain = cipher.open(&place(&session, &wa_id), &sealed)?;
    let state = match text("state")?.as_deref() {
        Some("pending") => {
            let due_at = number("due_at")?.ok_or_else(bad)?;
            MediaState::Pending { due_at: Timestamp::from_millis(due_at) }
        }
        Some("ready") => MediaState::Ready {
            id: text("file")?.and_then(|file| MediaId::parse(&file)).ok_or_else(bad)?,
            size_bytes: number("size_bytes")?
                .and_then(|size| u64::try_from(size).ok())
                .ok_or_else(bad)?,
        },
        Some("failed") => MediaState::Failed { reason: text("reason")?.ok_or_else(bad)? },
        _ => return Err(bad()),
    };
    let attempts = number("attempts")?.ok_or_else(bad)?;
    Ok(MediaRecord {
        session: session.parse().map_err(|_| bad())?,
        wa_id: WaMessageId::from_wire(wa_id),
        media: serde_json::from_slice(&plain).map_err(|_| bad())?,
        state,
        attempts: u32::try_from(attempts).map_err(|_| bad())?,
    })
}

/// Stores the file of a message.
pub(crate) async fn insert(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    record: &MediaRecord,
) -> StoreResult<()> {
    const DOING: &str = "storing a message's file";
    let session = session.to_string();
    let plain = serde_json::to_vec(&record.media).map_err(|_| corrupt(DOING))?;
    let sealed = unit.cipher.seal(&place(&session, wa_id.as_str()), &plain);
    let columns = StateColumns::of(&record.state);
    db::query(&INSERT)
        .bind(&session)
        .bind(wa_id.as_str())
        .bind(sealed)
        .bind(record.state.as_str())
        .bind(columns.due_at)
        .bind(columns.file)
        .bind(columns.size_bytes)
        .bind(columns.reason)
        .bind(i64::from(record.attempts))
        .execute(&mut unit.conn)
        .await
        .doing(DOING)
        .map(|_| ())
}

/// Records how a download went, in the record and in the message's row. `false` when the message has no file, or has it
/// already.
pub(crate) async fn settle(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    state: &MediaState,
) -> StoreResult<bool> {
    const DOING: &str = "settling a message's file";
    let id = session.to_string();
    let row = db::query(&GET)
        .bind(&id)
        .bind(wa_id.as_str())
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    let Some(row) = row else { return Ok(false) };
    let record = read(&row, &unit.cipher)?;
    if matches!(record.state, MediaState::Ready { .. }) {
        return Ok(false);
    }
    let Some(mut message) = message::find(unit, session, wa_id).await? else { return Ok(false) };
    let columns = StateColumns::of(state);
    db::query(&SETTLE)
        .bind(&id)
        .bind(wa_id.as_str())
        .bind(state.as_str())
        .bind(columns.due_at)
        .bind(columns.file)
        .bind(columns.size_bytes)
        .bind(columns.reason)
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    show(&mut message, &record.media.mimetype, state);
    message::write(unit, &message).await?;
    Ok(true)
}

/// Shows the state of its file in a message's row. `omitted` stays: the bytes are never inside.
pub(crate) fn show(message: &mut Message, mimetype: &str, state: &MediaState) {
    let mut media = json!({ "state": state.as_str(), "reason": Value::Null });
    match state {
        MediaState::Ready { size_bytes, .. } => {
            let path = path(message);
            message.media_path.get_or_insert(path);
            message.media_mimetype.get_or_insert_with(|| mimetype.to_owned());
            media["sizeBytes"] = json!(size_bytes);
        }
        MediaState::Failed { reason } => media["reason"] = json!(reason),
        MediaState::Pending { .. } => {}
    }
    // A row that shows no file is not made to show one.
    if message.metadata.get("media").is_some() {
        message::merge(&mut message.metadata, &json!({ "media": media }));
    }
}

/// Where this API serves a message's file.
fn path(message: &Message) -> String {
    format!("/api/sessions/{}/messages/{}/{}/media", message.session, message.chat, message.wa_id)
}

/// Forgets the file of a message.
pub(crate) async fn remove(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
) -> StoreResult<()> {
    db::query(&REMOVE)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .execute(&mut unit.conn)
        .await
        .doing("removing a message's file")
        .map(|_| ())
}

impl LedgerStore {
    /// Looks at a file whose record cannot be read later again.
    async fn put_off(&self, row: &Row, until: Timestamp) -> StoreResult<()> {
        const DOING: &str = "putting a download off";
        let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
        let (Ok(session), Ok(wa_id)) = (text("session_id"), text("wa_id")) else { return Ok(()) };
        let put_off = self.writer.run(DOING, move |unit| {
            Box::pin(async move {
                let query = db::query(&PUT_OFF_DUE).bind(session).bind(wa_id).bind(until.millis());
                query.execute(&mut unit.conn).await.doing(DOING).map(|_| ())
            })
        });
        put_off.await
    }
}

fn list(sessions: &[SessionId]) -> String {
    json!(sessions).to_string()
}

#[async_trait]
impl MediaRecords for LedgerStore {
    async fn media(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
    ) -> StoreResult<Option<MediaRecord>> {
        let row = db::query(&GET)
            .bind(session.to_string())
            .bind(wa_id.as_str())
            .fetch_optional(&self.readers)
            .await;
        row.doing("reading a message's file")?.map(|row| read(&row, &self.cipher)).transpose()
    }

    async fn due_media(
        &self,
        sessions: &[SessionId],
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<MediaRecord>> {
        let rows = db::query(&DUE)
            .bind(list(sessions))
            .bind(now.millis())
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await;
        let rows = rows.doing("listing due downloads")?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            let read = read(row, &self.cipher);
            match self.unreadable.row("file", &["session_id", "wa_id"], row, read) {
                Some(record) => due.push(record),
                // Otherwise it is due again in the next look, and in the way of others.
                None => self.put_off(row, now.plus(PUT_OFF)).await?,
            }
        }
        Ok(due)
    }

    async fn uploaded_since(
        &self,
        session: SessionId,
        file: &MediaId,
        since: Timestamp,
    ) -> StoreResult<Vec<Media>> {
        let rows = db::query(&UPLOADED)
            .bind(session.to_string())
            .bind(file.as_str())
            .bind(since.millis())
            .fetch_all(&self.readers)
            .await;
        let rows = rows.doing("looking for an upload")?;
        // One that cannot be read is uploaded again.
        let known = rows.iter().filter_map(|row| read(row, &self.cipher).ok());
        Ok(known.map(|record| record.media).collect())
    }

    async fn media_bytes(&self, session: Option<SessionId>) -> StoreResult<u64> {
        let sum = match session {
            Some(session) => db::query_scalar::<i64>(&BYTES_OF).bind(session.to_string()),
            None => db::query_scalar(&BYTES),
        };
        let sum = sum.fetch_one(&self.readers).await.doing("counting the bytes of files")?;
        Ok(u64::try_from(sum).unwrap_or(0))
    }

    async fn next_media_due(&self, sessions: &[SessionId]) -> StoreResult<Option<Timestamp>> {
        let due: Option<i64> = db::query_scalar(&NEXT_DUE)
            .bind(list(sessions))
            .fetch_one(&self.readers)
            .await
            .doing("looking for the next download")?;
        Ok(due.map(Timestamp::from_millis))
    }
}
