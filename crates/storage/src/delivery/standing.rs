//! How the lanes stand, for people.
//!
//! What waits is read from the index that has nothing else, once per request: so a request costs what waits, whatever
//! the ledger has besides. Who holds a lane is in its row or in memory, see [`claims`](super::claims).

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WebhookId,
    delivery::{
        Health, LANES_LOOKED_AT_MAX, LaneCursor, LaneFacts, LaneHead, LaneHolder, LaneId, LanePage,
        LaneQuery, LaneStanding, WaitReason,
    },
    event::EventType,
    port::{LaneLog, StoreResult},
};
use serde_json::json;

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    webhook::{WEBHOOK, health},
};

db::statements! {
    // Webhooks are few. An id is found in a list of them because ids have one spelling and one length.
    RECEIVERS = both("select id, session_id, url, active, health from webhook where deleted = 0 \
         and ($1 = '' or $1 like '%' || session_id || '%') and ($2 is null or id = $2) \
         and exists (select 1 from lane where lane.webhook_id = webhook.id)");
    LANES = DialectPair {
        sqlite: "select lane.id, lane.retry_at, null as owner, null as lease_until, count(*) as waiting, \
             min(delivery.occurred_at) as oldest from json_each($1) as one cross join lane on \
             lane.webhook_id = one.value cross join delivery on delivery.lane = lane.id and delivery.state = 'pending' \
             group by lane.id order by oldest, lane.id limit $2",
        postgres: "select lane.id, lane.retry_at, lane.owner, lane.lease_until, count(*) as waiting, \
             min(delivery.occurred_at) as oldest from lane join delivery on delivery.lane = lane.id \
             and delivery.state = 'pending' \
             where lane.webhook_id in (select json_array_elements_text($1::json)) \
             group by lane.id order by oldest, lane.id limit $2",
    };
    LANE_COUNT = DialectPair {
        sqlite: "select count(*) from json_each($1) as one cross join lane on lane.webhook_id = one.value",
        postgres: "select count(*) from lane where webhook_id in (select json_array_elements_text($1::json))",
    };
    HEADS = DialectPair {
        sqlite: "select one.value as lane, delivery.id, delivery.attempts, delivery.sequence, event.kind, \
             (select delivery_attempt.error from delivery_attempt where delivery_id = delivery.id \
             order by attempt desc limit 1) as error from json_each($1) as one cross join delivery on delivery.id = \
             (select ahead.id from delivery as ahead where ahead.lane = one.value and ahead.state = 'pending' \
             order by ahead.replay_ticket, ahead.sequence limit 1) join event on event.id = delivery.event_id",
        postgres: "select one.lane, head.id, head.attempts, head.sequence, event.kind, \
             (select delivery_attempt.error from delivery_attempt where delivery_id = head.id \
             order by attempt desc limit 1) as error from json_array_elements_text($1::json) as one(lane) \
             cross join lateral (select id, attempts, sequence, event_id from delivery where delivery.lane = one.lane \
             and delivery.state = 'pending' order by replay_ticket, sequence limit 1) as head \
             join event on event.id = head.event_id",
    };
}

const DOING: &str = "reading the lanes";

/// What the list says of a webhook.
struct WaitingReceiver {
    id: WebhookId,
    session: SessionId,
    url: String,
    active: bool,
    health: Health,
}

impl WaitingReceiver {
    fn read(row: &Row) -> StoreResult<Self> {
        let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
        Ok(Self {
            id: text("id")?.parse().map_err(|_| corrupt(DOING))?,
            session: text("session_id")?.parse().map_err(|_| corrupt(DOING))?,
            url: text("url")?,
            active: row.try_get::<i64, _>("active").doing(DOING)? == 1,
            health: health(row)?,
        })
    }
}

/// A lane with what waits in it.
struct LaneBacklog {
    place: LaneCursor,
    webhook: WebhookId,
    waiting: u64,
    retry_at: Option<Timestamp>,
    holder: Option<LaneHolder>,
}

impl LaneBacklog {
    fn read(row: &Row) -> StoreResult<Self> {
        let number = |name: &str| row.try_get::<Option<i64>, _>(name).doing(DOING);
        let time = |name: &str| StoreResult::Ok(number(name)?.map(Timestamp::from_millis));
        let lane = LaneId::from_stored(row.try_get("id").doing(DOING)?);
        let owner: Option<String> = row.try_get("owner").doing(DOING)?;
        let leased = owner.zip(time("lease_until")?);
        Ok(Self {
            webhook: lane.webhook().ok_or_else(|| corrupt(DOING))?,
            waiting: u64::try_from(number("waiting")?.unwrap_or(0)).unwrap_or(0),
            retry_at: time("retry_at")?,
            holder: leased.map(|(owner, until)| LaneHolder { owner, until }),
            place: LaneCursor { oldest: time("oldest")?.ok_or_else(|| corrupt(DOING))?, lane },
        })
    }
}

/// A lane of which it is decided how it stands.
struct Decided {
    backlog: LaneBacklog,
    reason: WaitReason,
    until: Option<Timestamp>,
}

impl LedgerStore {
    async fn receivers(
        &self,
        query: &LaneQuery,
    ) -> StoreResult<HashMap<WebhookId, WaitingReceiver>> {
        let sessions: Vec<String> = query.sessions.iter().map(SessionId::to_string).collect();
        let rows = db::query(&RECEIVERS)
            .bind(sessions.join(","))
            .bind(query.webhook.map(|webhook| webhook.to_string()))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let read = self.unreadable.rows(WEBHOOK, &["id"], &rows, WaitingReceiver::read);
        Ok(read.into_iter().map(|receiver| (receiver.id, receiver)).collect())
    }

    /// The lanes of some webhooks, those that wait longest first.
    async fn backlogs(&self, webhooks: &str, now: Timestamp) -> StoreResult<Vec<LaneBacklog>> {
        let rows = db::query(&LANES)
            .bind(webhooks)
            .bind(i64::from(LANES_LOOKED_AT_MAX))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let mut backlogs = rows.iter().map(LaneBacklog::read).collect::<StoreResult<Vec<_>>>()?;
        if let Some(mut holders) = self.seams.claims.holders(now) {
            for backlog in &mut backlogs {
                backlog.holder = holders.remove(backlog.place.lane.as_str());
            }
        }
        Ok(backlogs)
    }

    async fn lane_heads(&self, lanes: &[&Decided]) -> StoreResult<HashMap<String, LaneHead>> {
        let names: Vec<&str> = lanes.iter().map(|one| one.backlog.place.lane.as_str()).collect();
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = db::query(&HEADS).bind(json!(names).to_string()).fetch_all(&self.readers).await;
        let heads = self.unreadable.rows("delivery", &["id"], &rows.doing(DOING)?, head);
        Ok(heads.into_iter().collect())
    }
}

/// The head of a lane, by the lane's name.
fn head(row: &Row) -> StoreResult<(String, LaneHead)> {
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(DOING);
    let head = LaneHead {
        delivery: text("id")?.parse().map_err(|_| bad())?,
        event: EventType::parse(&text("kind")?).ok_or_else(bad)?,
        sequence: u64::try_from(number("sequence")?).map_err(|_| bad())?,
        attempts: u32::try_from(number("attempts")?).map_err(|_| bad())?,
        last_error: row.try_get("error").doing(DOING)?,
    };
    Ok((text("lane")?, head))
}

impl LedgerStore {
    /// The lanes that are asked for, whatever the page, and how many there are.
    async fn decided(
        &self,
        query: &LaneQuery,
        receivers: &HashMap<WebhookId, WaitingReceiver>,
        now: Timestamp,
    ) -> StoreResult<(Vec<Decided>, u64)> {
        let ids: Vec<String> = receivers.keys().map(WebhookId::to_string).collect();
        let ids = json!(ids).to_string();
        let backlogs = self.backlogs(&ids, now).await?;
        let all = backlogs.len() < usize::try_from(LANES_LOOKED_AT_MAX).unwrap_or(usize::MAX);
        let holds = self.seams.claims.held().holds();
        let decide = |backlog: LaneBacklog| {
            let receiver = receivers.get(&backlog.webhook)?;
            let facts = LaneFacts {
                holder: backlog.holder.as_ref(),
                active: receiver.active,
                health: &receiver.health,
                held_until: holds.get(&backlog.webhook).copied(),
                retry_at: backlog.retry_at,
            };
            let (reason, until) = facts.reason(now);
            let wanted = query.reason.is_none_or(|wanted| wanted == reason);
            wanted.then_some(Decided { backlog, reason, until })
        };
        let decided: Vec<Decided> = backlogs.into_iter().filter_map(decide).collect();
        if all || query.reason.is_some() {
            let total = u64::try_from(decided.len()).unwrap_or(u64::MAX);
            return Ok((decided, total));
        }
        let count = db::query_scalar(&LANE_COUNT).bind(&ids).fetch_one(&self.readers).await;
        let count: i64 = count.doing(DOING)?;
        Ok((decided, u64::try_from(count).unwrap_or(0)))
    }
}

#[async_trait]
impl LaneLog for LedgerStore {
    async fn lanes(&self, query: &LaneQuery, now: Timestamp, limit: u32) -> StoreResult<LanePage> {
        let receivers = self.receivers(query).await?;
        if receivers.is_empty() {
            return Ok(LanePage::default());
        }
        let (decided, total) = self.decided(query, &receivers, now).await?;
        let behind = |one: &&Decided| query.after.as_ref().is_none_or(|at| one.backlog.place > *at);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut page: Vec<&Decided> =
            decided.iter().filter(behind).take(limit.saturating_add(1)).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| last.backlog.place.clone());
        let mut heads = self.lane_heads(&page).await?;
        let told = |one: &Decided| {
            let (backlog, receiver) = (&one.backlog, receivers.get(&one.backlog.webhook)?);
            Some(LaneStanding {
                head: heads.remove(backlog.place.lane.as_str())?,
                lane: backlog.place.lane.clone(),
                webhook: backlog.webhook,
                url: receiver.url.clone(),
                session: receiver.session,
                waiting: backlog.waiting,
                oldest: backlog.place.oldest,
                reason: one.reason,
                until: one.until,
                holder: backlog.holder.clone().filter(|holder| holder.until > now),
            })
        };
        Ok(LanePage { lanes: page.into_iter().filter_map(told).collect(), total, next })
    }
}
