//! What recipients said of messages of ours, a row for each recipient.

use std::collections::BTreeMap;

use domain::{
    ChatId, PhoneNumber, SessionId, Timestamp, WaMessageId,
    event::EventDraft,
    message::{Direction, Message},
    port::{ReceiptKind, StoreResult},
    receipt::{RecipientReceipt, RecipientTimes},
};
use serde_json::Value;

use super::{
    Ack,
    change::step,
    find,
    held::{self, HeldKind},
};
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    people,
    writer::Unit,
};

db::statements! {
    // An answer that says nothing new writes nothing.
    NOTE = both("insert into receipt (session_id, wa_id, recipient, delivered_at, read_at, played_at) \
         values ($1, $2, $3, $4, $5, $6) on conflict (session_id, wa_id, recipient) do update set \
         delivered_at = coalesce(receipt.delivered_at, excluded.delivered_at), \
         read_at = coalesce(receipt.read_at, excluded.read_at), \
         played_at = coalesce(receipt.played_at, excluded.played_at) \
         where (receipt.delivered_at is null and excluded.delivered_at is not null) \
         or (receipt.read_at is null and excluded.read_at is not null) \
         or (receipt.played_at is null and excluded.played_at is not null)");
    LIST = both("select receipt.recipient as recipient, delivered_at, read_at, played_at, identity.phone as phone \
         from receipt left join identity on identity.session_id = receipt.session_id \
         and identity.lid = receipt.recipient \
         where receipt.session_id = $1 and receipt.wa_id = $2 order by receipt.recipient");
    // The privacy id learned last of those that a number had.
    LIDS = both("select receipt.recipient as recipient, identity.lid as lid from receipt \
         join identity on identity.session_id = receipt.session_id \
         and identity.phone = replace(receipt.recipient, '@c.us', '') \
         where receipt.session_id = $1 and receipt.wa_id = $2 order by identity.position");
    ERASE = both("delete from receipt where session_id = $1 and recipient = $2");
}

const DOING: &str = "noting what a recipient said";

/// Notes an answer and moves its message forward, or holds it until its message comes. The events to record; `None`
/// when the message did not move.
pub(crate) async fn note(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    receipt: &RecipientReceipt,
    hold_until: Option<Timestamp>,
    events: Vec<EventDraft>,
) -> StoreResult<Option<Vec<EventDraft>>> {
    let Some(message) = find(unit, session, wa_id).await? else {
        return match hold_until {
            Some(until) => {
                let what = HeldKind::Receipt(receipt.clone());
                held::hold(unit, session, wa_id, until, what, events).await
            }
            None => Ok(None),
        };
    };
    Ok(take(unit, message, receipt).await?.then_some(events))
}

/// `false` when the message is that far already.
pub(super) async fn take(
    unit: &mut Unit,
    message: Message,
    receipt: &RecipientReceipt,
) -> StoreResult<bool> {
    if message.direction != Direction::Outgoing {
        return Ok(false);
    }
    let recipient = people::canonical(&mut unit.conn, message.session, &receipt.recipient).await?;
    let time = |kind: ReceiptKind| (receipt.kind == kind).then_some(receipt.at);
    db::query(&NOTE)
        .bind(message.session.to_string())
        .bind(message.wa_id.as_str())
        .bind(recipient.as_str())
        .bind(time(ReceiptKind::Delivered))
        .bind(time(ReceiptKind::Read))
        .bind(time(ReceiptKind::Played))
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    let ack = Ack { status: receipt.status(), timestamp: None, metadata: Value::Null };
    step(unit, message, &ack).await
}

/// What is known of a message's recipients, by their ids.
pub(super) async fn list(
    store: &LedgerStore,
    session: SessionId,
    wa_id: &WaMessageId,
) -> StoreResult<Vec<RecipientTimes>> {
    const DOING: &str = "listing what recipients said";
    let of = |sql| db::query(sql).bind(session.to_string()).bind(wa_id.as_str());
    let rows = of(&LIST).fetch_all(&store.readers).await.doing(DOING)?;
    let mut found: BTreeMap<String, RecipientTimes> = BTreeMap::new();
    for row in &rows {
        let one = read(row)?;
        let key = one.recipient.to_string();
        match found.get_mut(&key) {
            Some(known) => join(known, one),
            None => drop(found.insert(key, one)),
        }
    }
    for row in of(&LIDS).fetch_all(&store.readers).await.doing(DOING)? {
        let recipient: String = row.try_get("recipient").doing(DOING)?;
        let lid: String = row.try_get("lid").doing(DOING)?;
        if let Some(known) = found.get_mut(&recipient) {
            known.lid = Some(lid.parse().map_err(|_| corrupt(DOING))?);
        }
    }
    Ok(found.into_values().collect())
}

fn read(row: &Row) -> StoreResult<RecipientTimes> {
    const DOING: &str = "reading what a recipient said";
    let text: String = row.try_get("recipient").doing(DOING)?;
    let id: ChatId = text.parse().map_err(|_| corrupt(DOING))?;
    let phone: Option<String> = row.try_get("phone").doing(DOING)?;
    let learned = phone.and_then(|phone| PhoneNumber::parse(&phone));
    let lid = id.is_lid().then(|| id.clone());
    let recipient = learned.as_ref().map_or(id, PhoneNumber::chat);
    let time = |name: &str| row.try_get::<Option<i64>, _>(name).doing(DOING);
    Ok(RecipientTimes {
        phone: recipient.phone(),
        recipient,
        lid,
        delivered_at: time("delivered_at")?,
        read_at: time("read_at")?,
        played_at: time("played_at")?,
    })
}

/// One person who answered under two ids: the earlier times count.
fn join(known: &mut RecipientTimes, other: RecipientTimes) {
    let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
    known.delivered_at = earlier(known.delivered_at, other.delivered_at);
    known.read_at = earlier(known.read_at, other.read_at);
    known.played_at = earlier(known.played_at, other.played_at);
    known.lid = known.lid.take().or(other.lid);
}

/// Forgets what a person said of messages that stay.
pub(super) async fn erase(unit: &mut Unit, session: &str, person: &str) -> StoreResult<()> {
    let query = db::query(&ERASE).bind(session).bind(person);
    query.execute(&mut unit.conn).await.doing("erasing what a recipient said").map(|_| ())
}
