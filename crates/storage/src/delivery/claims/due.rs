//! Which lanes of a SQLite ledger are due and free.
//!
//! Lanes that wait for their first try are served in the order of their tickets, and tickets only grow, in the order of
//! commits. So of each webhook it is remembered up to which ticket every lane is on the way: what is looked for begins
//! behind it, however many are on the way.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    WebhookId,
    delivery::{Candidate, Share},
    port::StoreResult,
};

use super::{Asked, DueLanes, LaneClass, UnreadClaim, memory::MemoryClaims};
use crate::{
    db::{self, Row},
    error::Doing as _,
};

db::statements! {
    FIRST_TRIES = sqlite("select id, ticket from lane where webhook_id = $1 and ticket > $2 order by ticket limit $3");
    RETRIES = sqlite("select id, ticket from lane where webhook_id = $1 and ticket = 0 and retry_at <= $2 \
         order by retry_at limit $3");
}

const DOING: &str = "claiming lanes";
/// Lanes that are looked at beyond what is asked for: some may be on the way.
const SPARE: u32 = 32;
/// Before any ticket.
const NO_TICKET: i64 = 0;

/// A lane that is due, and its ticket if it has one.
struct DueLane {
    id: String,
    ticket: i64,
}

impl DueLane {
    fn read(row: &Row) -> StoreResult<Self> {
        Ok(Self {
            id: row.try_get("id").doing(DOING)?,
            ticket: row.try_get("ticket").doing(DOING)?,
        })
    }
}

/// Looks for due lanes of one webhook.
#[derive(Clone, Copy)]
struct Look {
    webhook: WebhookId,
    tried: bool,
    limit: u32,
}

/// What a look found.
#[derive(Default)]
struct Found {
    lanes: Vec<DueLane>,
    /// How many it asked for.
    limit: u32,
    /// How often lanes had become free when it looked.
    generation: u64,
}

/// The first looks of a claim, made in one go.
pub(super) struct Due<'a> {
    claims: &'a MemoryClaims,
    asked: &'a Asked<'a>,
    found: HashMap<(WebhookId, bool), Found>,
}

impl<'a> Due<'a> {
    /// Looks at once for what the shares allow.
    pub(super) async fn of(
        claims: &'a MemoryClaims,
        asked: &'a Asked<'a>,
        shares: &[Share],
        candidates: &[Candidate],
    ) -> StoreResult<Self> {
        let held: HashMap<WebhookId, u32> =
            candidates.iter().map(|one| (one.webhook, one.held)).collect();
        let mut looks = Vec::with_capacity(shares.len() * 2);
        for share in shares {
            let webhook = share.webhook;
            let most = share.lanes.min(asked.lanes);
            // Retries have no tickets: those on the way are found too.
            let spare = held.get(&webhook).copied().unwrap_or(0);
            looks.push(Look { webhook, tried: false, limit: most.saturating_add(SPARE) });
            looks.push(Look { webhook, tried: true, limit: most.saturating_add(spare) });
        }
        let mut due = Self { claims, asked, found: HashMap::with_capacity(looks.len()) };
        for (look, found) in looks.iter().zip(due.look(&looks).await?) {
            due.found.insert((look.webhook, look.tried), found);
        }
        Ok(due)
    }

    async fn look(&self, looks: &[Look]) -> StoreResult<Vec<Found>> {
        let mut found = Vec::with_capacity(looks.len());
        let mut queries = Vec::with_capacity(looks.len());
        for look in looks {
            let (exhausted, generation) = self.claims.held.exhausted_up_to(look.webhook);
            found.push(Found { lanes: vec![], limit: look.limit, generation });
            let (sql, from) = match look.tried {
                false => (&FIRST_TRIES, exhausted.unwrap_or(NO_TICKET)),
                true => (&RETRIES, self.asked.taker.now.millis()),
            };
            queries.push(db::query(sql).bind(look.webhook.to_string()).bind(from).bind(look.limit));
        }
        let answers = self.claims.couriers.fetch_each(queries).await.doing(DOING)?;
        for (found, rows) in found.iter_mut().zip(answers) {
            found.lanes = rows.iter().map(DueLane::read).collect::<StoreResult<_>>()?;
        }
        Ok(found)
    }
}

#[async_trait]
impl DueLanes for Due<'_> {
    async fn take(
        &mut self,
        webhook: WebhookId,
        class: LaneClass,
        most: u32,
    ) -> StoreResult<Vec<UnreadClaim>> {
        let tried = class.tried;
        let mut taken = Vec::new();
        let full = usize::try_from(most).unwrap_or(usize::MAX);
        let mut next = self.found.remove(&(webhook, tried)).unwrap_or_default();
        loop {
            let Found { lanes, limit, generation } = next;
            let all = lanes.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            for lane in lanes {
                if taken.len() == full {
                    return Ok(taken);
                }
                let held = &self.claims.held;
                let epoch = held.take(&lane.id, webhook, class, &self.asked.taker);
                if !tried {
                    held.exhaust(webhook, lane.ticket, generation);
                }
                let Some(epoch) = epoch else { continue };
                taken.push(UnreadClaim { lane: lane.id, webhook, epoch });
            }
            // Retries were looked for with room for all that are on the way.
            if all || tried {
                return Ok(taken);
            }
            let look = Look { webhook, tried, limit: most.saturating_add(SPARE) };
            next = self.look(&[look]).await?.pop().unwrap_or_default();
        }
    }
}
