//! Taking lanes.

use domain::{
    ChatId, Timestamp,
    delivery::{ClaimedLane, Delivery, LaneId},
    event::{Event, EventDraft, EventType},
    port::StoreResult,
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    error::{Doing as _, corrupt},
    writer::Unit,
};

// First tries go first: lanes that only wait for a retry cannot starve the others.
const DUE: &str = "select lane.id, lane.webhook_id from lane join webhook on webhook.id = lane.webhook_id \
     where webhook.active = 1 and lane.due_at <= $1 and (lane.owner is null or lane.lease_until <= $1) \
     order by lane.tried, lane.due_at limit $2";
const NEXT_EPOCH: &str = "insert into counter (name, value) values ('lane_epoch', 1) \
     on conflict (name) do update set value = counter.value + 1 returning value";
const TAKE: &str = "update lane set owner = $2, lease_until = $3, epoch = $4 where id = $1";
const WAITING: &str = "select delivery.id, delivery.attempts, event.id as event_id, event.session_id, event.sequence, \
     event.kind, event.occurred_at, event.chat, event.idempotency_key, event.data \
     from delivery join event on event.id = delivery.event_id \
     where delivery.lane = $1 and delivery.state = 'pending' order by delivery.sequence limit $2";

const DOING: &str = "claiming lanes";

/// Takes due lanes, each with the first of its waiting deliveries.
pub(crate) async fn claim(
    unit: &mut Unit,
    worker: String,
    lanes: u32,
    window: u32,
    now: Timestamp,
    until: Timestamp,
) -> StoreResult<Vec<ClaimedLane>> {
    let due = sqlx::query(DUE)
        .bind(now.millis())
        .bind(i64::from(lanes))
        .fetch_all(&mut unit.conn)
        .await
        .doing(DOING)?;
    let mut claimed = Vec::with_capacity(due.len());
    for row in due {
        let lane: String = row.try_get(0).doing(DOING)?;
        let webhook: String = row.try_get(1).doing(DOING)?;
        let epoch: i64 =
            sqlx::query_scalar(NEXT_EPOCH).fetch_one(&mut unit.conn).await.doing(DOING)?;
        sqlx::query(TAKE)
            .bind(&lane)
            .bind(&worker)
            .bind(until.millis())
            .bind(epoch)
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
        let webhook = webhook.parse().map_err(|_| corrupt(DOING))?;
        let rows = sqlx::query(WAITING)
            .bind(&lane)
            .bind(i64::from(window))
            .fetch_all(&mut unit.conn)
            .await;
        let mut deliveries = Vec::new();
        for row in rows.doing(DOING)? {
            deliveries.push(read(&row, webhook)?);
        }
        let lane = LaneId::from_stored(lane);
        let epoch = u64::try_from(epoch).map_err(|_| corrupt(DOING))?;
        claimed.push(ClaimedLane { lane, webhook, epoch, deliveries });
    }
    Ok(claimed)
}

fn read(row: &SqliteRow, webhook: domain::WebhookId) -> StoreResult<Delivery> {
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(DOING);
    let chat: Option<String> = row.try_get("chat").doing(DOING)?;
    let draft = EventDraft {
        id: text("event_id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        kind: EventType::parse(&text("kind")?).ok_or_else(bad)?,
        occurred_at: Timestamp::from_millis(number("occurred_at")?),
        chat: chat.map(|chat| chat.parse::<ChatId>().map_err(|_| bad())).transpose()?,
        idempotency_key: text("idempotency_key")?,
        data: serde_json::from_str(&text("data")?).map_err(|_| bad())?,
    };
    let sequence = u64::try_from(number("sequence")?).map_err(|_| bad())?;
    Ok(Delivery {
        id: text("id")?.parse().map_err(|_| bad())?,
        webhook,
        event: Event { draft, sequence },
        attempts: u32::try_from(number("attempts")?).map_err(|_| bad())?,
    })
}
