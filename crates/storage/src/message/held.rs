//! Changes and acks that came before their message.
//!
//! They wait in the order in which they came. A session holds up to [`HELD_MAX`]; when it is full the oldest is
//! released as if its time were over: a change's events are recorded, an ack is forgotten.

use domain::{
    ChatId, EventId, SessionId, Timestamp, WaMessageId,
    event::{EventData, EventDraft, EventType},
    port::{MessageChange, StoreResult},
    receipt::RecipientReceipt,
};
use serde::{Deserialize, Serialize};

use super::{Ack, change, find, receipt};
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    ledger,
    quarantine::{self, PutAside},
    writer::{Unit, lock_due},
};

/// Most changes and acks of a session that wait.
const HELD_MAX: i64 = 5_000;
/// Changes released in one go.
pub(crate) const RELEASE_BATCH: u64 = 256;

db::statements! {
    HOLD = both("insert into held_change (session_id, wa_id, release_at, event_key, body) values ($1, $2, $3, $4, \
         $5)");
    COUNT = both("select count(*) from held_change where session_id = $1");
    OLDEST = both("delete from held_change where position = \
         (select position from held_change where session_id = $1 order by position limit 1) \
         returning position, session_id, wa_id, body");
    ANY = both("select exists (select 1 from held_change)");
    TAKE = both("delete from held_change where session_id = $1 and wa_id = $2 \
         returning position, session_id, wa_id, body");
    DUE = both("delete from held_change where position in \
         (select position from held_change where release_at <= $1 order by release_at, position limit $2) \
         returning position, session_id, wa_id, body");
}

const DOING: &str = "holding a change";

/// What waits for its message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum HeldKind {
    Change(MessageChange),
    Ack(Ack),
    Receipt(RecipientReceipt),
}

#[derive(Serialize, Deserialize)]
struct HeldBody {
    what: HeldKind,
    events: Vec<HeldDraft>,
}

/// An event that is not numbered yet, as stored.
#[derive(Serialize, Deserialize)]
struct HeldDraft {
    id: EventId,
    session: SessionId,
    kind: String,
    occurred_at: i64,
    chat: Option<ChatId>,
    key: String,
    data: EventData,
}

impl From<EventDraft> for HeldDraft {
    fn from(draft: EventDraft) -> Self {
        Self {
            id: draft.id,
            session: draft.session,
            kind: draft.kind.as_str().to_owned(),
            occurred_at: draft.occurred_at.millis(),
            chat: draft.chat,
            key: draft.idempotency_key,
            data: draft.data,
        }
    }
}

impl HeldDraft {
    fn read(self) -> StoreResult<EventDraft> {
        Ok(EventDraft {
            id: self.id,
            session: self.session,
            kind: EventType::parse(&self.kind).ok_or_else(|| corrupt(DOING))?,
            occurred_at: Timestamp::from_millis(self.occurred_at),
            chat: self.chat,
            idempotency_key: self.key,
            data: self.data,
        })
    }
}

struct HeldChange {
    position: i64,
    session: SessionId,
    wa_id: WaMessageId,
    what: HeldKind,
    events: Vec<EventDraft>,
}

fn read(row: &Row) -> StoreResult<HeldChange> {
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let body: HeldBody = serde_json::from_str(&text("body")?).map_err(|_| corrupt(DOING))?;
    Ok(HeldChange {
        position: row.try_get("position").doing(DOING)?,
        session: text("session_id")?.parse().map_err(|_| corrupt(DOING))?,
        wa_id: WaMessageId::from_wire(text("wa_id")?),
        what: body.what,
        events: body.events.into_iter().map(HeldDraft::read).collect::<StoreResult<_>>()?,
    })
}

/// Oldest first: the database returns deleted rows in no order. What cannot be read is put aside.
async fn in_order(unit: &mut Unit, rows: &[Row]) -> StoreResult<Vec<HeldChange>> {
    let mut held = Vec::with_capacity(rows.len());
    for row in rows {
        match unit.unreadable.row("held change", &["session_id", "wa_id"], row, read(row)) {
            Some(one) => held.push(one),
            None => put_aside(unit, row).await?,
        }
    }
    held.sort_by_key(|one| one.position);
    Ok(held)
}

async fn put_aside(unit: &mut Unit, row: &Row) -> StoreResult<()> {
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let position: i64 = row.try_get("position").doing(DOING)?;
    let (session, wa_id) = (text("session_id")?, text("wa_id")?);
    let body = text("body").unwrap_or_default();
    let what = PutAside {
        session: &session,
        kind: "held_change",
        id: &format!("{wa_id} {position}"),
        content: body.as_bytes(),
        reason: "it cannot be read",
        at: Timestamp::default(),
    };
    quarantine::put(unit, what).await.map(|_| ())
}

/// Keeps something until its message comes; the events of what had to make room, if anything had to.
pub(super) async fn hold(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    until: Timestamp,
    what: HeldKind,
    events: Vec<EventDraft>,
) -> StoreResult<Option<Vec<EventDraft>>> {
    let made_room = make_room(unit, session).await?;
    let key = events.first().map(|event| event.idempotency_key.clone());
    let body = HeldBody { what, events: events.into_iter().map(HeldDraft::from).collect() };
    db::query(&HOLD)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .bind(until.millis())
        .bind(key)
        .bind(serde_json::to_string(&body).map_err(|_| corrupt(DOING))?)
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    unit.holding = Some(true);
    Ok(Some(made_room).filter(|events| !events.is_empty()))
}

async fn make_room(unit: &mut Unit, session: SessionId) -> StoreResult<Vec<EventDraft>> {
    let session = session.to_string();
    let count: i64 =
        db::query_scalar(&COUNT).bind(&session).fetch_one(&mut unit.conn).await.doing(DOING)?;
    if count < HELD_MAX {
        return Ok(vec![]);
    }
    let rows = db::query(&OLDEST).bind(&session).fetch_all(&mut unit.conn).await.doing(DOING)?;
    tracing::warn!(session, most = HELD_MAX, "too many changes wait for their message");
    let mut events = Vec::new();
    for held in in_order(unit, &rows).await? {
        events.extend(let_go(unit, held).await?);
    }
    Ok(events)
}

/// Whether anything waits at all: hardly ever, and every message that is stored asks.
pub(super) async fn anything_waits(unit: &mut Unit) -> StoreResult<bool> {
    if let Some(known) = unit.holding {
        return Ok(known);
    }
    let any: bool = db::query_scalar(&ANY).fetch_one(&mut unit.conn).await.doing(DOING)?;
    unit.holding = Some(any);
    Ok(any)
}

/// Applies what waited for a message that is there now; the events to record.
pub(super) async fn apply(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
) -> StoreResult<Vec<EventDraft>> {
    if !anything_waits(unit).await? {
        return Ok(vec![]);
    }
    let rows = db::query(&TAKE)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .fetch_all(&mut unit.conn)
        .await
        .doing("taking held changes")?;
    let mut events = Vec::new();
    for held in in_order(unit, &rows).await? {
        let Some(message) = find(unit, session, wa_id).await? else { continue };
        let applied = match &held.what {
            HeldKind::Change(one) => change::apply(unit, message, one).await.map(|()| true)?,
            HeldKind::Ack(ack) => change::step(unit, message, ack).await?,
            HeldKind::Receipt(one) => receipt::take(unit, message, one).await?,
        };
        if applied {
            events.extend(held.events);
        }
    }
    Ok(events)
}

/// Lets go of what waited until `now`, at most [`RELEASE_BATCH`]; how many.
pub(crate) async fn release(unit: &mut Unit, now: Timestamp) -> StoreResult<u64> {
    lock_due(unit, now, RELEASE_BATCH).await?;
    let rows = db::query(&DUE)
        .bind(now.millis())
        .bind(i64::try_from(RELEASE_BATCH).unwrap_or(i64::MAX))
        .fetch_all(&mut unit.conn)
        .await
        .doing("releasing held changes")?;
    // Whatever took the last one: from time to time it is looked for again.
    unit.holding = None;
    let count = rows.len() as u64;
    let held = in_order(unit, &rows).await?;
    let mut events = Vec::new();
    for one in held {
        events.extend(let_go(unit, one).await?);
    }
    ledger::record_all(unit, events).await?;
    Ok(count)
}

/// The events of a change whose message did not come, or came and cannot be read: that row is changed then. An ack is
/// forgotten.
async fn let_go(unit: &mut Unit, held: HeldChange) -> StoreResult<Vec<EventDraft>> {
    let HeldKind::Change(one) = held.what else { return Ok(vec![]) };
    if let Some(message) = find(unit, held.session, &held.wa_id).await? {
        change::apply(unit, message, &one).await?;
    }
    Ok(held.events)
}
