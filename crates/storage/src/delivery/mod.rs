//! The queue of lanes.
//!
//! # The cast
//! - [`push`] numbers events and stores their deliveries, each in its lane; a lane row exists while something waits.
//! - [`claim`] takes lanes that are due, and reads what waits in them.
//! - [`claims`] is who holds which lane: in memory where one process has the database to itself, so that taking one
//!   costs no commit, else in the lane's row. What waits in lanes is remembered there too.
//! - [`attempts`] records results, those of many lanes in one commit.
//! - [`shared`] answers a queue that several processes share, [`standing`] people who ask how the lanes stand.
//! - [`recent`] keeps the events of the last commits, so that a fresh event goes out without being read back.

pub(crate) mod attempts;
pub(crate) mod claim;
pub(crate) mod claims;
pub(crate) mod log;
pub(crate) mod push;
pub(crate) mod recent;
pub(crate) mod shared;
pub(crate) mod standing;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Timestamp, WebhookId,
    delivery::{ClaimedLane, Delivery, LaneId},
    port::{DeliveryQueue, QueueStats, Settled, Settlement, StoreResult},
    webhook::Webhook,
};

use crate::{db, error::Doing as _, open::LedgerStore};

db::statements! {
    NEXT = both("select (select min(retry_at) from lane where retry_at > $1) as retry, \
         (select min(held_until) from webhook where active = 1 and held_until > $1 and held_until < \
         9223372036854775807) as probe");
    // Each from an index that has only these rows. A dead letter that was put on its way again is one no longer.
    STATS = both("select (select count(*) from delivery where state = 'pending') as pending, \
         (select count(*) from delivery where state in ('exhausted', 'dropped') and superseded = 0 and state = \
         'exhausted') as exhausted, \
         (select min(occurred_at) from delivery where state = 'pending') as oldest");
}

#[async_trait]
impl DeliveryQueue for LedgerStore {
    async fn claim_lanes(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>> {
        let taker = claims::Taker { owner: worker, now, until };
        claim::claim(self, claims::Asked { taker, lanes, window }).await
    }

    async fn more_of_lane(
        &self,
        lane: &LaneId,
        epoch: u64,
        window: u32,
    ) -> StoreResult<Vec<Delivery>> {
        claim::more(self, lane.as_str(), epoch, window).await
    }

    async fn record_attempts(&self, settlement: Settlement) -> StoreResult<Settled> {
        self.writer.record_attempt(settlement).await
    }

    async fn renew_lane(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        self.seams.claims.renew(lane, epoch, until).await
    }

    async fn release_lane(&self, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        let claims = &self.seams.claims;
        if claims.held().with(lane.as_str(), epoch, |_| ()).is_none() {
            return Ok(());
        }
        claims.requeue(&self.writer, lane, epoch).await
    }

    async fn hold_webhook(&self, webhook: WebhookId, until: Timestamp) -> StoreResult<()> {
        self.seams.claims.held().hold(webhook, until);
        Ok(())
    }

    async fn next_lane_due(&self, now: Timestamp) -> StoreResult<Option<Timestamp>> {
        const DOING: &str = "looking for the next due lane";
        let row =
            db::query(&NEXT).bind(now.millis()).fetch_one(&self.couriers).await.doing(DOING)?;
        let retry: Option<i64> = row.try_get("retry").doing(DOING)?;
        let probe: Option<i64> = row.try_get("probe").doing(DOING)?;
        let stored = retry.into_iter().chain(probe).map(Timestamp::from_millis);
        Ok(stored.chain(self.seams.claims.next_end(now).await?).min())
    }

    async fn opened_elsewhere(&self) {
        self.caches.elsewhere.notified().await;
    }

    async fn receiver(&self, webhook: WebhookId) -> StoreResult<Option<Arc<Webhook>>> {
        self.receiver_of(webhook).await
    }

    async fn queue_stats(&self) -> StoreResult<QueueStats> {
        const DOING: &str = "counting deliveries";
        let row = db::query(&STATS).fetch_one(&self.readers).await.doing(DOING)?;
        let count = |name: &str| {
            row.try_get::<i64, _>(name).doing(DOING).map(|n| u64::try_from(n).unwrap_or(0))
        };
        let oldest: Option<i64> = row.try_get("oldest").doing(DOING)?;
        Ok(QueueStats {
            pending: count("pending")?,
            exhausted: count("exhausted")?,
            oldest_pending: oldest.map(Timestamp::from_millis),
        })
    }
}
