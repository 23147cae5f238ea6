//! Transactions on PostgreSQL, and which of a process's writers takes what.
//!
//! Whoever writes for a session locks its row first, so its writes come one after another whoever makes them; those of
//! different sessions do not wait for each other. Of several sessions the rows are locked in the order of their ids.
//! What belongs to no session goes to a writer of its own, one order per transaction, so that its locks meet nobody's
//! in another order.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher as _},
};

use async_trait::async_trait;
use domain::{SessionId, Timestamp, WebhookId, port::StoreResult};
use futures::future::BoxFuture;
use tokio::task::AbortHandle;

use super::{CHANNEL, DOING, Outside, Turn, Unit, statement};
use crate::{
    db::{self, Readers},
    error::Doing as _,
};

/// Writers for sessions and lanes. One more takes what belongs to neither.
pub(crate) const SHARES: usize = 4;

const BEGIN: &str = "begin";
// Fails when a newer version of the program brought the tables along: what this one wrote would fit them no longer.
const UNLESS_NEWER: &str =
    "; select 1 / (case when max(version) > {version} then 0 else 1 end) from _sqlx_migrations";

db::statements! {
    LOCK = postgres("select id from session where id in ($1) order by id for no key update");
    /// Up to which position the event log is whole.
    HORIZON = postgres("select event_horizon()");
    LOCK_DUE = postgres("select id from session where id in (select session_id from held_change where release_at <= $1 \
         order by release_at, position limit $2) order by id for no key update");
    TELL = postgres("select pg_notify($1 || '_' || current_schema(), $2)");
    LOCK_API_KEYS = postgres("select id from api_key order by id for no key update");
    LOCK_WEBHOOKS = postgres("select id from webhook where id in ($1) order by id for no key update");
    TOUCH = postgres("update session set webhook_version = webhook_version + 1 where id = $1");
    TOUCH_OF = postgres("update session set webhook_version = webhook_version + 1 \
         where id = (select session_id from webhook where id = $1)");
}

// A server with a standby that has to confirm gives up waiting for it at the limit and says "committed" all the same.
const COMMIT: &str = "set local statement_timeout = 0; commit";

const WITH_VALUES: &str = "set local plan_cache_mode = force_custom_plan";

/// The writer of those that takes what has this key.
pub(in crate::writer) fn share_of(key: impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARES as u64).unwrap_or(0)
}

/// Of the writers of all processes on one schema.
pub(crate) struct SharedTurn {
    /// Who this process is among those that share the database.
    name: String,
    /// The newest version of the tables that this program knows: others may bring them along.
    version: i64,
}

impl SharedTurn {
    pub(crate) fn new(name: String, version: i64) -> Self {
        Self { name, version }
    }
}

#[async_trait]
impl Turn for SharedTurn {
    #[expect(
        clippy::disallowed_methods,
        reason = "the writer belongs to the store, which ends it in close()"
    )]
    fn start(&self, task: BoxFuture<'static, ()>) -> std::io::Result<Option<AbortHandle>> {
        Ok(Some(tokio::spawn(task).abort_handle()))
    }

    /// Holds the rows of the sessions.
    async fn begin(&self, unit: &mut Unit, sessions: &BTreeSet<SessionId>) -> StoreResult<()> {
        // Others may have changed them since.
        unit.holding = None;
        unit.degraded = None;
        unit.checked.clear();
        unit.versions.clear();
        let newest = UNLESS_NEWER.replace("{version}", &self.version.to_string());
        let mut script = format!("{BEGIN}{newest}");
        if !sessions.is_empty() {
            script.push_str("; ");
            script.push_str(&LOCK.text(unit.conn.dialect()).replace("$1", &quoted(sessions)));
        }
        let conn = &mut unit.conn;
        if conn.renewed().await.is_ok() && conn.script(&script).await.is_ok() {
            return Ok(());
        }
        // The server was started again, or the network was gone: once more on a new connection.
        conn.drop_broken();
        conn.renewed().await.doing(DOING)?;
        conn.script(&script).await.doing(DOING)
    }

    async fn commit(&self, unit: &mut Unit, outside: &Outside) -> StoreResult<()> {
        let mut word = String::new();
        if unit.webhooks.is_changed() {
            outside.caches.receivers.forget();
            word.push_str(" webhooks");
        }
        if !unit.committing.opened.is_empty() {
            word.push_str(" lanes");
        }
        if unit.committing.braked {
            word.push_str(" sends");
        }
        for session in &unit.committing.wished {
            word.push_str(" session:");
            word.push_str(&session.to_string());
        }
        if !word.is_empty() {
            db::query(&TELL)
                .bind(CHANNEL)
                .bind(format!("{}{word}", self.name))
                .execute(&mut unit.conn)
                .await
                .doing(DOING)?;
        }
        unit.conn.script(COMMIT).await.doing(DOING)
    }

    async fn give_up(&self, unit: &mut Unit) {
        if statement(unit, "rollback").await.is_err() {
            unit.conn.drop_broken();
        }
    }

    async fn lock_due(&self, unit: &mut Unit, now: Timestamp, most: u64) -> StoreResult<()> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let due = db::query(&LOCK_DUE).bind(now.millis()).bind(most);
        due.fetch_all(&mut unit.conn).await.doing("releasing held changes").map(|_| ())
    }

    async fn plan_with_values(&self, unit: &mut Unit) -> StoreResult<()> {
        let done = db::control(WITH_VALUES).execute(&mut unit.conn).await;
        done.doing("planning with values").map(|_| ())
    }

    /// The rows draw theirs from a sequence, which holds nobody up.
    async fn positions(&self, _unit: &mut Unit, _count: i64) -> StoreResult<Option<i64>> {
        Ok(None)
    }

    async fn horizon(&self, readers: &Readers) -> StoreResult<i64> {
        let horizon = db::query_scalar(&HORIZON).fetch_one(readers).await;
        horizon.doing("looking how far the event log is whole")
    }

    async fn touch(&self, unit: &mut Unit, session: SessionId) -> StoreResult<()> {
        let done = db::query(&TOUCH).bind(session.to_string()).execute(&mut unit.conn).await;
        done.doing("changing a webhook").map(|_| ())
    }

    async fn touch_of(&self, unit: &mut Unit, webhook: WebhookId) -> StoreResult<()> {
        let done = db::query(&TOUCH_OF).bind(webhook.to_string()).execute(&mut unit.conn).await;
        done.doing("changing a webhook").map(|_| ())
    }

    async fn lock_webhooks(&self, unit: &mut Unit, webhooks: &[String]) -> StoreResult<()> {
        for (sql, run) in LOCK_WEBHOOKS.filled(webhooks) {
            let mut query = db::query(sql);
            for webhook in run {
                query = query.bind(webhook);
            }
            query.fetch_all(&mut unit.conn).await.doing("recording attempts")?;
        }
        // What is known of their health is from before the lock.
        unit.degraded = None;
        Ok(())
    }

    async fn lock_api_keys(&self, unit: &mut Unit) -> StoreResult<()> {
        let locked = db::query(&LOCK_API_KEYS).fetch_all(&mut unit.conn).await;
        locked.doing("revoking all other API keys").map(|_| ())
    }
}

/// As literals: an id is letters, digits and `_-` alone.
fn quoted(sessions: &BTreeSet<SessionId>) -> String {
    let ids: Vec<String> = sessions.iter().map(|session| format!("'{session}'")).collect();
    ids.join(", ")
}
