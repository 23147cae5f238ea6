//! What the ledger knows of the processes that share it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{
    Timestamp,
    port::{ProcessStore, StoreResult},
    process::{ProcessRecord, process_of},
};

use crate::{
    db::{self, Row},
    error::Doing as _,
    open::LedgerStore,
};

db::statements! {
    NODES = both("select id, url, seen_at from node order by id");
}

const DOING: &str = "listing the processes";

/// The sessions of an owner.
pub(crate) struct OwnerTally {
    pub(crate) owner: String,
    pub(crate) sessions: u64,
    /// When the last of their leases ends.
    pub(crate) until: Timestamp,
}

fn announced(row: &Row) -> StoreResult<ProcessRecord> {
    let id: String = row.try_get("id").doing(DOING)?;
    let seen_at = row.try_get("seen_at").doing(DOING)?;
    Ok(ProcessRecord {
        url: Some(row.try_get("url").doing(DOING)?),
        seen_at: Some(Timestamp::from_millis(seen_at)),
        ..ProcessRecord::named(&id)
    })
}

#[async_trait]
impl ProcessStore for LedgerStore {
    async fn processes(&self, now: Timestamp) -> StoreResult<Vec<ProcessRecord>> {
        let mut found = BTreeMap::new();
        for row in db::query(&NODES).fetch_all(&self.readers).await.doing(DOING)? {
            let process = announced(&row)?;
            found.insert(process.id.clone(), process);
        }
        for OwnerTally { owner, sessions, until } in self.seams.leases.by_owner(now).await? {
            let process = of(&mut found, &owner);
            process.sessions = sessions;
            process.lease_until = Some(until);
        }
        for (worker, lanes) in self.seams.claims.by_owner(now).await? {
            of(&mut found, process_of(&worker)).lanes += lanes;
        }
        Ok(found.into_values().collect())
    }
}

fn of<'a>(found: &'a mut BTreeMap<String, ProcessRecord>, id: &str) -> &'a mut ProcessRecord {
    found.entry(id.to_owned()).or_insert_with(|| ProcessRecord::named(id))
}
