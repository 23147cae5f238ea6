//! Claims in memory, where one process has the database to itself: taking a lane costs no commit.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use domain::{
    Timestamp, WebhookId,
    delivery::{Candidate, LaneHolder, LaneId, Share},
    port::StoreResult,
};

use super::{
    Asked, Chosen, DueLanes, Entry, HeldLanes, InFlight, LaneClaims, Pushed, Step, Taker,
    UnreadClaim, due::Due, pending::PendingCache,
};
use crate::{
    db::{self, Readers},
    error::Doing as _,
    writer::{Unit, Writer},
};

db::statements! {
    // A lane that waits for a retry keeps its time: a new delivery behind the head must not wake it.
    OPEN_LANE = sqlite("insert into lane (id, webhook_id, ticket) values ($1, $2, $3) on conflict (id) do \
         nothing returning id");
    // Behind first tries, like every other second chance.
    OPEN_RETRY = sqlite("insert into lane (id, webhook_id, ticket, retry_at) values ($1, $2, 0, 0) on conflict \
         (id) do nothing");
    GO_ON = sqlite("update lane set ticket = $2, retry_at = null where id = $1");
    REQUEUE = sqlite("update lane set ticket = $2 where id = $1 and ticket > 0");
}

/// The claims of a process that has the file to itself.
pub(crate) struct MemoryClaims {
    pub(super) held: HeldLanes,
    pub(super) couriers: Readers,
    pending: PendingCache,
    tickets: Tickets,
}

impl MemoryClaims {
    /// Lanes are looked for through `couriers`; tickets go on behind the last one.
    pub(crate) fn new(couriers: Readers, last_ticket: i64) -> Self {
        Self {
            held: HeldLanes::default(),
            couriers,
            pending: PendingCache::default(),
            tickets: Tickets(Arc::new(AtomicI64::new(last_ticket))),
        }
    }
}

/// Lanes that wait are served in the order of their tickets, which is the order of commits: drawn in the writer's
/// transactions alone.
#[derive(Clone)]
struct Tickets(Arc<AtomicI64>);

impl Tickets {
    fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[async_trait]
impl LaneClaims for MemoryClaims {
    fn held(&self) -> &HeldLanes {
        &self.held
    }

    async fn by_owner(&self, now: Timestamp) -> StoreResult<Vec<(String, u64)>> {
        Ok(self.held.by_owner(now))
    }

    async fn survey(&self, taker: &Taker<'_>) -> StoreResult<InFlight> {
        Ok(self.held.survey(taker.owner, taker.now))
    }

    async fn due<'a>(
        &'a self,
        asked: &'a Asked<'a>,
        shares: &[Share],
        candidates: &[Candidate],
    ) -> StoreResult<Box<dyn DueLanes + 'a>> {
        Ok(Box::new(Due::of(self, asked, shares, candidates).await?))
    }

    async fn take_named(
        &self,
        chosen: &[Chosen<'_>],
        taker: &Taker<'_>,
    ) -> StoreResult<Vec<UnreadClaim>> {
        let take = |one: &Chosen<'_>| {
            let epoch = self.held.take(one.lane, one.webhook, one.class, taker)?;
            Some(UnreadClaim { lane: one.lane.to_owned(), webhook: one.webhook, epoch })
        };
        Ok(chosen.iter().filter_map(take).collect())
    }

    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        Ok(self.held.renew(lane.as_str(), epoch, until))
    }

    async fn release(&self, lane: &str, epoch: u64) -> StoreResult<()> {
        self.held.put_back(lane, epoch);
        Ok(())
    }

    async fn requeue(&self, writer: &Writer, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        const DOING: &str = "releasing a lane";
        let name = lane.clone();
        let tickets = self.tickets.clone();
        let requeue = writer.run(DOING, move |unit| {
            Box::pin(async move {
                let requeue = db::query(&REQUEUE).bind(name.as_str()).bind(tickets.next());
                requeue.execute(&mut unit.conn).await.doing(DOING).map(|_| ())
            })
        });
        let requeued = requeue.await;
        // Its new ticket may have been seen while it was still held.
        self.held.put_back(lane.as_str(), epoch);
        requeued
    }

    /// There is none: only one writer adds to lanes.
    async fn remove_if_empty(&self, _writer: &Writer, _lane: &str) -> StoreResult<()> {
        Ok(())
    }

    fn cached_head(&self, lane: &str, window: u32) -> Option<Vec<Entry>> {
        self.pending.head(lane, usize::try_from(window).unwrap_or(usize::MAX))
    }

    fn is_held(&self, lane: &str, _lease_until: Timestamp, now: Timestamp) -> bool {
        self.held.is_held(lane, now)
    }

    fn holders(&self, now: Timestamp) -> Option<HashMap<String, LaneHolder>> {
        Some(self.held.holders(now))
    }

    async fn next_end(&self, _now: Timestamp) -> StoreResult<Option<Timestamp>> {
        Ok(self.held.next_end())
    }

    async fn open(&self, unit: &mut Unit, lanes: &[(&str, WebhookId)]) -> StoreResult<()> {
        const DOING: &str = "recording an event";
        let with_tickets: Vec<(&str, WebhookId, i64)> =
            lanes.iter().map(|(lane, webhook)| (*lane, *webhook, self.tickets.next())).collect();
        for (sql, run) in OPEN_LANE.runs(unit.conn.dialect(), &with_tickets) {
            let mut query = db::query_scalar::<String>(sql);
            for (lane, webhook, ticket) in run {
                query = query.bind(*lane).bind(webhook.to_string()).bind(*ticket);
            }
            let opened = query.fetch_all(&mut unit.conn).await.doing(DOING)?;
            unit.committing.opened.extend(opened.into_iter().map(LaneId::from_stored));
        }
        Ok(())
    }

    async fn open_retry(&self, unit: &mut Unit, lane: &str, webhook: WebhookId) -> StoreResult<()> {
        let open = db::query(&OPEN_RETRY).bind(lane).bind(webhook.to_string());
        open.execute(&mut unit.conn).await.doing("storing replays").map(|_| ())
    }

    /// What is held was looked up in memory already.
    async fn confirm(&self, _unit: &mut Unit, claims: &[(&str, u64)]) -> StoreResult<Vec<bool>> {
        Ok(vec![true; claims.len()])
    }

    async fn end(&self, _unit: &mut Unit, _lane: &str, _epoch: u64) -> StoreResult<()> {
        Ok(())
    }

    async fn go_on(&self, unit: &mut Unit, lane: &str) -> StoreResult<()> {
        let go = db::query(&GO_ON).bind(lane).bind(self.tickets.next());
        go.execute(&mut unit.conn).await.doing("recording attempts").map(|_| ())
    }

    async fn closable(&self, _unit: &mut Unit, lanes: Vec<&str>) -> StoreResult<Vec<String>> {
        Ok(lanes.into_iter().map(str::to_owned).collect())
    }

    async fn lock_webhook(&self, _unit: &mut Unit, _webhook: &str) -> StoreResult<()> {
        Ok(())
    }

    async fn lock_session(&self, _unit: &mut Unit, _session: &str) -> StoreResult<()> {
        Ok(())
    }

    fn stored(&self, opened: &[LaneId], pushed: Vec<Pushed>) {
        self.pending.stored(opened, pushed);
    }

    fn recorded(&self, steps: Vec<Step>) {
        for step in steps {
            // First, so that whoever takes the lane does not find the old head.
            self.pending.recorded(&step.lane, step.delivery, step.stays);
            self.held.advance(&step);
        }
    }

    fn forget(&self, webhook: WebhookId) {
        self.held.forget(webhook);
        self.pending.forget(webhook);
    }

    fn forget_pending(&self) {
        self.pending.clear();
    }
}
