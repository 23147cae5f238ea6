//! Claims that hold between processes: the lease is in the lane's row, with an epoch that is never given twice.
//!
//! What a worker was given is remembered in memory; the row decides whether it still counts.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    Timestamp, WebhookId,
    delivery::{Candidate, LaneHolder, LaneId, Share},
    port::StoreResult,
};

use super::{
    Asked, Chosen, DueLanes, Entry, HeldLanes, InFlight, LaneClaims, LaneClass, Pushed, Taker,
    UnreadClaim, row_locks,
};
use crate::{
    db::{self, Readers, Row},
    error::{Doing as _, corrupt},
    writer::{Unit, Writer},
};

db::statements! {
    ON_THE_WAY = postgres("select webhook_id, owner, doubtful, count(*) as lanes from lane where lease_until > $1 \
         group by webhook_id, owner, doubtful");
    TAKE_FIRST_TRIES = postgres("with due as (select id from lane where webhook_id = $1 and ticket > 0 \
         and (lease_until is null or lease_until <= $2) order by ticket limit $3 for no key update skip locked) \
         update lane set owner = $4, lease_until = $5, doubtful = $6, epoch = nextval('lane_epoch') from due \
         where lane.id = due.id returning lane.id, lane.epoch, lane.ticket as turn");
    TAKE_RETRIES = postgres("with due as (select id from lane where webhook_id = $1 and ticket = 0 and retry_at <= $2 \
         and (lease_until is null or lease_until <= $2) order by retry_at limit $3 for no key update skip locked) \
         update lane set owner = $4, lease_until = $5, doubtful = $6, epoch = nextval('lane_epoch') from due \
         where lane.id = due.id returning lane.id, lane.epoch, lane.retry_at as turn");
    TAKE_THESE = postgres("with due as (select id from lane where id in (select json_array_elements_text($1::json)) \
         and (lease_until is null or lease_until <= $2) for no key update skip locked) \
         update lane set owner = $3, lease_until = $4, doubtful = $5, epoch = nextval('lane_epoch') from due \
         where lane.id = due.id returning lane.id, lane.epoch");
    RENEW = postgres("update lane set lease_until = $3 where id = $1 and epoch = $2 and owner is not null");
    RELEASE = postgres("update lane set owner = null, lease_until = null, \
         ticket = case when ticket > 0 then nextval('lane_ticket') else 0 end where id = $1 and epoch = $2");
    LET_GO = postgres("update lane set owner = null, lease_until = null where id = $1 and epoch = $2");
    BY_OWNER = postgres("select owner, count(*) as lanes from lane where lease_until > $1 group by owner");
    NEXT_END = postgres("select min(lease_until) from lane where lease_until > $1");
}

const CLAIMING: &str = "claiming lanes";
const RELEASING: &str = "releasing a lane";

/// The claims of all processes.
pub(crate) struct RowClaims {
    held: HeldLanes,
    couriers: Readers,
    readers: Readers,
}

impl RowClaims {
    /// Lanes are claimed through `couriers`.
    pub(crate) fn new(couriers: Readers, readers: Readers) -> Self {
        Self { held: HeldLanes::default(), couriers, readers }
    }

    /// A row that was taken just now becomes a claim of this process.
    fn taken(
        &self,
        row: &Row,
        webhook: WebhookId,
        class: LaneClass,
        taker: &Taker<'_>,
    ) -> StoreResult<UnreadClaim> {
        let epoch: i64 = row.try_get("epoch").doing(CLAIMING)?;
        let epoch = u64::try_from(epoch).map_err(|_| corrupt(CLAIMING))?;
        let claim = UnreadClaim { lane: row.try_get("id").doing(CLAIMING)?, webhook, epoch };
        self.held.put(&claim, class, taker);
        Ok(claim)
    }
}

/// Takes due lanes of a webhook in one statement.
struct DueRows<'a> {
    claims: &'a RowClaims,
    taker: &'a Taker<'a>,
}

#[async_trait]
impl DueLanes for DueRows<'_> {
    async fn take(
        &mut self,
        webhook: WebhookId,
        class: LaneClass,
        most: u32,
    ) -> StoreResult<Vec<UnreadClaim>> {
        let taker = self.taker;
        let rows = db::query(if class.tried { &TAKE_RETRIES } else { &TAKE_FIRST_TRIES })
            .bind(webhook.to_string())
            .bind(taker.now.millis())
            .bind(most)
            .bind(taker.owner)
            .bind(taker.until.millis())
            .bind(class.degraded)
            .fetch_all(&self.claims.couriers)
            .await
            .doing(CLAIMING)?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in &rows {
            let turn: i64 = row.try_get("turn").doing(CLAIMING)?;
            taken.push((turn, self.claims.taken(row, webhook, class, taker)?));
        }
        taken.sort_by(|one, other| (one.0, &one.1.lane).cmp(&(other.0, &other.1.lane)));
        Ok(taken.into_iter().map(|(_, claim)| claim).collect())
    }
}

#[async_trait]
impl LaneClaims for RowClaims {
    fn held(&self) -> &HeldLanes {
        &self.held
    }

    async fn by_owner(&self, now: Timestamp) -> StoreResult<Vec<(String, u64)>> {
        const DOING: &str = "counting the lanes of processes";
        let rows = db::query(&BY_OWNER).bind(now.millis()).fetch_all(&self.readers).await;
        let tally = |row: &Row| {
            let lanes: i64 = row.try_get("lanes").doing(DOING)?;
            Ok((row.try_get("owner").doing(DOING)?, u64::try_from(lanes).unwrap_or(0)))
        };
        rows.doing(DOING)?.iter().map(tally).collect()
    }

    /// Of all processes.
    async fn survey(&self, taker: &Taker<'_>) -> StoreResult<InFlight> {
        let known = self.held.survey(taker.owner, taker.now);
        let mut survey = InFlight { held: known.held, ..InFlight::default() };
        let rows = db::query(&ON_THE_WAY).bind(taker.now.millis()).fetch_all(&self.couriers).await;
        for row in rows.doing(CLAIMING)? {
            let webhook: String = row.try_get("webhook_id").doing(CLAIMING)?;
            let webhook: WebhookId = webhook.parse().map_err(|_| corrupt(CLAIMING))?;
            let holder: String = row.try_get("owner").doing(CLAIMING)?;
            let lanes: u32 = row.try_get("lanes").doing(CLAIMING)?;
            let own = holder == taker.owner;
            let counts = if own { &mut survey.by_webhook } else { &mut survey.elsewhere };
            *counts.entry(webhook).or_default() += lanes;
            if own {
                survey.own += lanes;
                if row.try_get::<bool, _>("doubtful").doing(CLAIMING)? {
                    survey.degraded += lanes;
                }
            }
        }
        Ok(survey)
    }

    async fn due<'a>(
        &'a self,
        asked: &'a Asked<'a>,
        _shares: &[Share],
        _candidates: &[Candidate],
    ) -> StoreResult<Box<dyn DueLanes + 'a>> {
        Ok(Box::new(DueRows { claims: self, taker: &asked.taker }))
    }

    async fn take_named(
        &self,
        chosen: &[Chosen<'_>],
        taker: &Taker<'_>,
    ) -> StoreResult<Vec<UnreadClaim>> {
        let by_name: HashMap<&str, &Chosen<'_>> =
            chosen.iter().map(|one| (one.lane, one)).collect();
        let mut taken = Vec::with_capacity(chosen.len());
        for degraded in [false, true] {
            let of_class = chosen.iter().filter(|one| one.class.degraded == degraded);
            let names: Vec<&str> = of_class.map(|one| one.lane).collect();
            if names.is_empty() {
                continue;
            }
            let names = serde_json::to_string(&names).map_err(|_| corrupt(CLAIMING))?;
            let rows = db::query(&TAKE_THESE)
                .bind(names)
                .bind(taker.now.millis())
                .bind(taker.owner)
                .bind(taker.until.millis())
                .bind(degraded)
                .fetch_all(&self.couriers)
                .await
                .doing(CLAIMING)?;
            for row in &rows {
                let lane: String = row.try_get("id").doing(CLAIMING)?;
                let Some(one) = by_name.get(lane.as_str()) else { continue };
                taken.push(self.taken(row, one.webhook, one.class, taker)?);
            }
        }
        Ok(taken)
    }

    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        // A claim of an earlier life of this process is nobody's.
        if self.held.with(lane.as_str(), epoch, |_| ()).is_none() {
            return Ok(false);
        }
        let done = db::query(&RENEW)
            .bind(lane.as_str())
            .bind(stored(epoch))
            .bind(until.millis())
            .execute(&self.couriers)
            .await
            .doing("renewing a lease")?;
        Ok(done.rows_affected() == 1 && self.held.renew(lane.as_str(), epoch, until))
    }

    async fn release(&self, lane: &str, epoch: u64) -> StoreResult<()> {
        self.held.put_back(lane, epoch);
        let done = db::query(&LET_GO).bind(lane).bind(stored(epoch)).execute(&self.couriers).await;
        done.doing(RELEASING).map(|_| ())
    }

    async fn requeue(&self, _writer: &Writer, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        let lane = lane.as_str();
        let done = db::query(&RELEASE).bind(lane).bind(stored(epoch)).execute(&self.readers).await;
        self.held.put_back(lane, epoch);
        done.doing(RELEASING).map(|_| ())
    }

    async fn remove_if_empty(&self, writer: &Writer, lane: &str) -> StoreResult<()> {
        let lane = lane.to_owned();
        let remove = writer.run(CLAIMING, move |unit| {
            Box::pin(async move { row_locks::remove_if_empty(unit, &lane).await })
        });
        remove.await
    }

    /// Other processes store deliveries too.
    fn cached_head(&self, _lane: &str, _window: u32) -> Option<Vec<Entry>> {
        None
    }

    fn is_held(&self, _lane: &str, lease_until: Timestamp, now: Timestamp) -> bool {
        lease_until > now
    }

    fn holders(&self, _now: Timestamp) -> Option<HashMap<String, LaneHolder>> {
        None
    }

    async fn next_end(&self, now: Timestamp) -> StoreResult<Option<Timestamp>> {
        let end = db::query_scalar(&NEXT_END).bind(now.millis()).fetch_one(&self.couriers).await;
        let end: Option<i64> = end.doing("looking for the next due lane")?;
        Ok(end.map(Timestamp::from_millis).into_iter().chain(self.held.next_end()).min())
    }

    async fn open(&self, unit: &mut Unit, lanes: &[(&str, WebhookId)]) -> StoreResult<()> {
        row_locks::open(unit, lanes).await
    }

    async fn open_retry(&self, unit: &mut Unit, lane: &str, webhook: WebhookId) -> StoreResult<()> {
        row_locks::open_retry(unit, lane, webhook).await
    }

    async fn confirm(&self, unit: &mut Unit, claims: &[(&str, u64)]) -> StoreResult<Vec<bool>> {
        let lanes: Vec<&str> = claims.iter().map(|(lane, _)| *lane).collect();
        let held = row_locks::held(unit, &lanes).await?;
        Ok(claims.iter().map(|(lane, epoch)| held.get(*lane) == Some(epoch)).collect())
    }

    async fn end(&self, unit: &mut Unit, lane: &str, epoch: u64) -> StoreResult<()> {
        let done = db::query(&LET_GO).bind(lane).bind(stored(epoch)).execute(&mut unit.conn).await;
        done.doing("recording attempts").map(|_| ())
    }

    async fn go_on(&self, unit: &mut Unit, lane: &str) -> StoreResult<()> {
        row_locks::go_on(unit, lane).await
    }

    async fn closable(&self, unit: &mut Unit, lanes: Vec<&str>) -> StoreResult<Vec<String>> {
        row_locks::ours(unit, &lanes).await
    }

    async fn lock_webhook(&self, unit: &mut Unit, webhook: &str) -> StoreResult<()> {
        row_locks::lock_webhook(unit, webhook).await
    }

    async fn lock_session(&self, unit: &mut Unit, session: &str) -> StoreResult<()> {
        row_locks::lock_session(unit, session).await
    }

    fn stored(&self, _opened: &[LaneId], _pushed: Vec<Pushed>) {}
}

fn stored(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}
