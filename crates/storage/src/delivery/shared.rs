//! What a shared queue asks of the ledger: which lanes are due, and these lanes for this worker.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    Timestamp, WebhookId,
    delivery::{Candidate, LaneId, Places},
    port::{LaneLedger, Offer, OpenedListener, StoreResult, WaitingLane},
};

use super::{
    claim,
    claims::{Asked, Chosen, InFlight, LaneClass, Taker, UnreadClaim},
};
use crate::{
    db::{self, Row},
    error::Doing as _,
    open::LedgerStore,
};

db::statements! {
    FIRST_TRIES = DialectPair {
        sqlite: "select id, ticket, retry_at, 0 as lease_until from lane where webhook_id = $1 and ticket > 0 \
             order by ticket limit $3",
        postgres: "select id, ticket, retry_at, lease_until from lane where webhook_id = $1 and ticket > 0 \
             and (lease_until is null or lease_until <= $2) order by ticket limit $3",
    };
    RETRIES = DialectPair {
        sqlite: "select id, ticket, retry_at, 0 as lease_until from lane where webhook_id = $1 and ticket = 0 \
             and retry_at <= $2 order by retry_at limit $3",
        postgres: "select id, ticket, retry_at, lease_until from lane where webhook_id = $1 and ticket = 0 \
             and retry_at <= $2 and (lease_until is null or lease_until <= $2) order by retry_at limit $3",
    };
    NAMED = DialectPair {
        sqlite: "select id, ticket, retry_at, 0 as lease_until from lane where id in ($1)",
        postgres: "select id, ticket, retry_at, lease_until from lane where id in ($1)",
    };
}

const DOING: &str = "looking at lanes";

/// A lane row.
struct LaneRow {
    lane: String,
    /// Its turn among the first tries.
    ticket: i64,
    /// The time of a retry.
    retry_at: Option<i64>,
    /// Until when a worker of any process holds it, where that is known to the row.
    lease_until: i64,
}

impl LaneRow {
    fn read(row: &Row) -> StoreResult<Self> {
        Ok(Self {
            lane: row.try_get("id").doing(DOING)?,
            ticket: row.try_get("ticket").doing(DOING)?,
            retry_at: row.try_get("retry_at").doing(DOING)?,
            lease_until: row.try_get::<Option<i64>, _>("lease_until").doing(DOING)?.unwrap_or(0),
        })
    }

    /// First tries come first, then by how long they wait.
    fn turn(&self) -> (Option<i64>, i64) {
        (self.retry_at, self.ticket)
    }

    /// Whether somebody holds it.
    fn is_held(&self, store: &LedgerStore, now: Timestamp) -> bool {
        let lease_until = Timestamp::from_millis(self.lease_until);
        store.seams.claims.is_held(&self.lane, lease_until, now)
    }

    fn waiting(self) -> WaitingLane {
        WaitingLane {
            lane: LaneId::from_stored(self.lane),
            retry: self.retry_at.is_some(),
            not_before: self.retry_at.map(Timestamp::from_millis),
        }
    }
}

#[async_trait]
impl LaneLedger for LedgerStore {
    async fn due(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<WaitingLane>> {
        // Nobody's name: it holds nothing.
        let taker = Taker { owner: "", now, until: now };
        let survey = self.seams.claims.survey(&taker).await?;
        let asked = Asked { taker, lanes: 0, window: 0 };
        let candidates = claim::candidates(self, &asked, &survey).await?;
        let mut due = Vec::new();
        for webhook in candidates.iter().map(|candidate| candidate.webhook) {
            // Those on the way are due too.
            let held = survey.by_webhook.get(&webhook).copied().unwrap_or(0);
            for sql in [&FIRST_TRIES, &RETRIES] {
                let rows = db::query(sql)
                    .bind(webhook.to_string())
                    .bind(now.millis())
                    .bind(i64::from(limit) + i64::from(held))
                    .fetch_all(&self.couriers)
                    .await
                    .doing(DOING)?;
                for row in &rows {
                    due.push(LaneRow::read(row)?);
                }
            }
        }
        due.retain(|row| !row.is_held(self, now));
        due.sort_by_key(LaneRow::turn);
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due.into_iter().map(LaneRow::waiting).collect())
    }

    async fn claim_these(
        &self,
        worker: &str,
        places: u32,
        lanes: &[LaneId],
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<Offer>> {
        let taker = Taker { owner: worker, now, until };
        claim_these(self, &Asked { taker, lanes: places, window }, lanes).await
    }

    async fn waiting(&self, lanes: &[LaneId], now: Timestamp) -> StoreResult<Vec<WaitingLane>> {
        let rows = named(self, lanes).await?.into_values();
        let free = rows.filter(|row| !row.is_held(self, now));
        Ok(free.map(LaneRow::waiting).collect())
    }

    fn on_opened(&self, listener: OpenedListener) {
        self.caches.recent.listen(listener);
    }
}

/// The rows of some lanes, by name.
async fn named(store: &LedgerStore, lanes: &[LaneId]) -> StoreResult<HashMap<String, LaneRow>> {
    let mut found = HashMap::with_capacity(lanes.len());
    for (sql, run) in NAMED.runs(store.couriers.dialect(), lanes) {
        let mut query = db::query(sql);
        for lane in run {
            query = query.bind(lane.as_str());
        }
        for row in query.fetch_all(&store.couriers).await.doing(DOING)? {
            let row = LaneRow::read(&row)?;
            found.insert(row.lane.clone(), row);
        }
    }
    Ok(found)
}

async fn claim_these(
    store: &LedgerStore,
    asked: &Asked<'_>,
    lanes: &[LaneId],
) -> StoreResult<Vec<Offer>> {
    let survey = store.seams.claims.survey(&asked.taker).await?;
    let candidates = claim::candidates(store, asked, &survey).await?;
    let rows = named(store, lanes).await?;
    let mut offers: HashMap<&str, Offer> = HashMap::new();
    let taken = take(store, asked, &survey, &candidates, &rows, &mut offers).await?;
    let read = claim::read_all(store, &taken, asked).await?;
    let mut claimed: HashMap<String, Offer> =
        read.into_iter().map(|one| (one.lane.as_str().to_owned(), Offer::Claimed(one))).collect();
    let mut answer =
        |lane: &LaneId| claimed.remove(lane.as_str()).or_else(|| offers.remove(lane.as_str()));
    Ok(lanes.iter().map(|lane| answer(lane).unwrap_or(Offer::Nothing)).collect())
}

/// Takes what may be taken, in the order in which the ledger would; says why the others may not.
async fn take<'a>(
    store: &LedgerStore,
    asked: &Asked<'_>,
    survey: &InFlight,
    candidates: &[Candidate],
    rows: &'a HashMap<String, LaneRow>,
    offers: &mut HashMap<&'a str, Offer>,
) -> StoreResult<Vec<UnreadClaim>> {
    let now = asked.taker.now;
    let places =
        Places { free: asked.lanes, all: survey.own + asked.lanes, doubtful: survey.degraded };
    let mut room = places.doubtful_room();
    let mut left: HashMap<WebhookId, u32> =
        places.share(candidates).iter().map(|share| (share.webhook, share.lanes)).collect();
    let candidates: HashMap<WebhookId, &Candidate> =
        candidates.iter().map(|one| (one.webhook, one)).collect();
    let mut order: Vec<&LaneRow> = rows.values().collect();
    order.sort_by_key(|row| row.turn());
    let mut chosen = Vec::new();
    for row in order {
        let Some(webhook) = LaneId::from_stored(row.lane.clone()).webhook() else { continue };
        let retry_at = row.retry_at.map(Timestamp::from_millis);
        if let Some(at) = retry_at.filter(|at| *at > now) {
            offers.insert(&row.lane, Offer::Later(at));
            continue;
        }
        let Some(candidate) = candidates.get(&webhook) else {
            offers.insert(&row.lane, held_back(store, survey, webhook, now).await?);
            continue;
        };
        let tried = retry_at.is_some();
        let class = LaneClass { tried, degraded: tried || candidate.failing };
        let own = left.entry(webhook).or_default();
        let full = chosen.len() >= usize::try_from(asked.lanes).unwrap_or(usize::MAX);
        if full || *own == 0 || (class.degraded && room == 0) {
            let busy = row.is_held(store, now);
            offers.insert(&row.lane, if busy { Offer::Nothing } else { Offer::Crowded });
            continue;
        }
        if row.is_held(store, now) {
            continue;
        }
        chosen.push(Chosen { lane: &row.lane, webhook, class });
        *own -= 1;
        room -= u32::from(class.degraded);
    }
    store.seams.claims.take_named(&chosen, &asked.taker).await
}

/// Why nothing of a webhook is offered.
async fn held_back(
    store: &LedgerStore,
    survey: &InFlight,
    webhook: WebhookId,
    now: Timestamp,
) -> StoreResult<Offer> {
    if survey.held.contains(&webhook) {
        return Ok(Offer::Crowded);
    }
    let Some(known) = store.receiver_of(webhook).await?.filter(|known| known.active) else {
        return Ok(Offer::Nothing);
    };
    let held = known.health.held_until().filter(|_| known.health.pause.is_none());
    // It may have changed since the look at the candidates.
    Ok(held.map_or(Offer::Nothing, |until| Offer::Later(until.max(now))))
}
