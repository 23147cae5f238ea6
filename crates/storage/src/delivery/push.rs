//! Numbering events and giving each webhook that wants them its delivery: many events per statement.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use domain::{
    DeliveryId, SessionId, WebhookId,
    delivery::LaneId,
    event::{Event, EventDraft},
    port::StoreResult,
    webhook::Webhook,
};

use super::claims::{Entry, Pushed};
use crate::{
    db,
    error::{Doing as _, corrupt},
    webhook,
    writer::Unit,
};

db::statements! {
    NEXT_SEQUENCE = DialectPair {
        sqlite: "update session set last_sequence = last_sequence + $2 where id = $1 returning last_sequence, 0 as \
             webhook_version",
        // Before positions are drawn it is said which are not.
        postgres: "update session set last_sequence = last_sequence + $2 where id = $1 \
             returning last_sequence, webhook_version, event_bound() as bound",
    };
    // With a position of its own, or one that the row draws: see `Turn::positions`.
    INSERT_EVENT = DialectPair {
        sqlite: "insert into event (id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data, \
             position) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        postgres: "insert into event (id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data, \
             position) select column1, column2, column3::bigint, column4, column5::bigint, column6, column7, \
             column8, \
             nextval('event_position') from (values ($1, $2, $3, $4, $5, $6, $7, $8)) as new",
    };
    INSERT_DELIVERY = both("insert into delivery (id, webhook_id, event_id, lane, sequence, state, occurred_at) \
         values ($1, $2, $3, $4, $5, $6, $7)");
}

const DOING: &str = "recording an event";

/// A delivery to be stored.
struct Push {
    webhook: WebhookId,
    lane: LaneId,
    event: Arc<Event>,
}

/// Numbers and stores events with their deliveries, in the order given; `None` in the place of those whose session does
/// not exist.
pub(crate) async fn record(
    unit: &mut Unit,
    drafts: Vec<EventDraft>,
) -> StoreResult<Vec<Option<Arc<Event>>>> {
    if drafts.is_empty() {
        return Ok(vec![]);
    }
    let mut next = sequences(unit, &drafts).await?;
    let mut recorded = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let Some(sequence) = next.get_mut(&draft.session) else {
            recorded.push(None);
            continue;
        };
        recorded.push(Some(Arc::new(Event { draft, sequence: *sequence })));
        *sequence += 1;
    }
    let events: Vec<&Arc<Event>> = recorded.iter().flatten().collect();
    store(unit, &events).await?;
    deliver(unit, &events).await?;
    Ok(recorded)
}

/// The first new sequence of every session that exists.
async fn sequences(unit: &mut Unit, drafts: &[EventDraft]) -> StoreResult<HashMap<SessionId, u64>> {
    // In the order of their ids: their rows are locked.
    let mut counts: BTreeMap<SessionId, i64> = BTreeMap::new();
    for draft in drafts {
        *counts.entry(draft.session).or_default() += 1;
    }
    let mut first = HashMap::with_capacity(counts.len());
    for (session, count) in counts {
        let row = db::query(&NEXT_SEQUENCE)
            .bind(session.to_string())
            .bind(count)
            .fetch_optional(&mut unit.conn)
            .await
            .doing(DOING)?;
        if let Some(row) = row {
            let last: i64 = row.try_get("last_sequence").doing(DOING)?;
            unit.versions.insert(session, row.try_get("webhook_version").doing(DOING)?);
            let next = u64::try_from(last - count + 1).map_err(|_| corrupt(DOING))?;
            first.insert(session, next);
        }
    }
    Ok(first)
}

async fn store(unit: &mut Unit, events: &[&Arc<Event>]) -> StoreResult<()> {
    if events.is_empty() {
        return Ok(());
    }
    let turn = unit.seams.turn.clone();
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let mut positions = turn.positions(unit, count).await?.map(|first| first..);
    for (sql, run) in INSERT_EVENT.runs(unit.conn.dialect(), events) {
        let mut query = db::query(sql);
        for event in run {
            let draft = &event.draft;
            unit.committing.events.push((*event).clone());
            query = query
                .bind(draft.id.to_string())
                .bind(draft.session.to_string())
                .bind(i64::try_from(event.sequence).map_err(|_| corrupt(DOING))?)
                .bind(draft.kind.as_str())
                .bind(draft.occurred_at.millis())
                .bind(draft.chat.as_ref().map(domain::ChatId::as_str))
                .bind(draft.idempotency_key.as_str())
                .bind(draft.data.text());
            if let Some(positions) = &mut positions {
                query = query.bind(positions.next());
            }
        }
        query.execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok(())
}

async fn deliver(unit: &mut Unit, events: &[&Arc<Event>]) -> StoreResult<()> {
    let mut pushes = Vec::with_capacity(events.len());
    for event in events {
        let webhooks = webhooks(unit, event.draft.session).await?;
        for webhook in Webhook::wanting(&webhooks, &event.draft) {
            let lane = webhook.lane(&event.draft);
            pushes.push(Push { webhook: webhook.id, lane, event: (*event).clone() });
        }
    }
    for (sql, run) in INSERT_DELIVERY.runs(unit.conn.dialect(), &pushes) {
        let mut query = db::query(sql);
        for push in run {
            let draft = &push.event.draft;
            query = query
                .bind(DeliveryId::of(draft.id, push.webhook).to_string())
                .bind(push.webhook.to_string())
                .bind(draft.id.to_string())
                .bind(push.lane.as_str())
                .bind(i64::try_from(push.event.sequence).map_err(|_| corrupt(DOING))?)
                .bind("pending")
                .bind(draft.occurred_at.millis());
        }
        query.execute(&mut unit.conn).await.doing(DOING)?;
    }
    open(unit, &pushes).await?;
    let stored = |push: Push| {
        let event = push.event.draft.id;
        let entry = Entry { delivery: DeliveryId::of(event, push.webhook), event };
        Pushed { lane: push.lane, webhook: push.webhook, entry }
    };
    unit.committing.pushed.extend(pushes.into_iter().map(stored));
    Ok(())
}

async fn open(unit: &mut Unit, pushes: &[Push]) -> StoreResult<()> {
    let mut seen = HashSet::new();
    let lanes: Vec<(&str, WebhookId)> = pushes
        .iter()
        .map(|push| (push.lane.as_str(), push.webhook))
        .filter(|(lane, _)| seen.insert(*lane))
        .collect();
    let claims = unit.seams.claims.clone();
    claims.open(unit, &lanes).await
}

/// The webhooks of a session as of this transaction.
async fn webhooks(unit: &mut Unit, session: SessionId) -> StoreResult<Arc<Vec<Webhook>>> {
    let version = unit.versions.get(&session).copied().unwrap_or(0);
    if let Some(known) = unit.webhooks.get(&session, version) {
        return Ok(known.clone());
    }
    let found = Arc::new(webhook::of_session(unit, session).await?);
    unit.webhooks.remember(session, version, found.clone());
    Ok(found)
}
