//! The writer's turn: how a transaction begins and ends, and what it owes to others who write.
//!
//! A SQLite file has one writer by itself ([`SoleTurn`]); writers of one PostgreSQL schema, in this process and in
//! others, keep out of each other's way ([`SharedTurn`]).

pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::{SessionId, Timestamp, WebhookId, port::StoreResult};
use futures::future::BoxFuture;
use tokio::task::AbortHandle;

use super::{Outside, unit::Unit};
use crate::{
    db::{self, Readers},
    error::Doing as _,
};

pub(in crate::writer) use postgres::share_of;
pub(crate) use postgres::{SHARES, SharedTurn};
pub(crate) use sqlite::SoleTurn;

/// What processes tell each other goes over this channel, one per schema: `{who} {what}…`.
pub(crate) const CHANNEL: &str = "waypost";

const DOING: &str = "committing";

/// How the transactions of a writer take turns with those of others.
#[async_trait]
pub(crate) trait Turn: Send + Sync {
    /// Starts the writer's task; the way to end it in the middle, if there is one.
    fn start(&self, task: BoxFuture<'static, ()>) -> std::io::Result<Option<AbortHandle>>;

    /// Begins a transaction in which nobody else writes for these sessions.
    async fn begin(&self, unit: &mut Unit, sessions: &BTreeSet<SessionId>) -> StoreResult<()>;

    /// Commits, and tells other processes what they have to know.
    async fn commit(&self, unit: &mut Unit, outside: &Outside) -> StoreResult<()>;

    /// Ends a transaction that did not work out.
    async fn give_up(&self, unit: &mut Unit);

    /// Locks the sessions whose held changes are due; a job that changes several has to.
    async fn lock_due(&self, unit: &mut Unit, now: Timestamp, most: u64) -> StoreResult<()>;

    /// Has the statements of this transaction planned with their values from now on: what deletes a portion of many
    /// rows would read whole tables where its number of rows is not known.
    async fn plan_with_values(&self, unit: &mut Unit) -> StoreResult<()>;

    /// Draws positions for so many events and gives the first; `None` where the rows draw their own.
    async fn positions(&self, unit: &mut Unit, count: i64) -> StoreResult<Option<i64>>;

    /// Up to which position nothing new comes into the event log.
    async fn horizon(&self, readers: &Readers) -> StoreResult<i64>;

    /// The webhooks of a session change: before they do, so that events that are being recorded are before or behind
    /// it.
    async fn touch(&self, unit: &mut Unit, session: SessionId) -> StoreResult<()>;

    /// The same, for the session of a webhook.
    async fn touch_of(&self, unit: &mut Unit, webhook: WebhookId) -> StoreResult<()>;

    /// Locks webhooks whose health is about to be read and changed.
    async fn lock_webhooks(&self, unit: &mut Unit, webhooks: &[String]) -> StoreResult<()>;

    /// Locks all API keys, in one order, before many of them change.
    async fn lock_api_keys(&self, unit: &mut Unit) -> StoreResult<()>;
}

pub(super) async fn statement(unit: &mut Unit, sql: &'static str) -> StoreResult<()> {
    db::control(sql).execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

// The methods of the unit's own turn, for a unit that is changed by them.

pub(super) async fn begin(unit: &mut Unit, sessions: &BTreeSet<SessionId>) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.begin(unit, sessions).await
}

pub(super) async fn commit(unit: &mut Unit, outside: &Outside) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.commit(unit, outside).await
}

pub(super) async fn give_up(unit: &mut Unit) {
    let turn = unit.seams.turn.clone();
    turn.give_up(unit).await;
}

pub(crate) async fn lock_due(unit: &mut Unit, now: Timestamp, most: u64) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.lock_due(unit, now, most).await
}

pub(crate) async fn plan_with_values(unit: &mut Unit) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.plan_with_values(unit).await
}

pub(crate) async fn touch(unit: &mut Unit, session: SessionId) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.touch(unit, session).await
}

pub(crate) async fn touch_of(unit: &mut Unit, webhook: WebhookId) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.touch_of(unit, webhook).await
}

pub(crate) async fn lock_webhooks(unit: &mut Unit, webhooks: &[String]) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.lock_webhooks(unit, webhooks).await
}

pub(crate) async fn lock_api_keys(unit: &mut Unit) -> StoreResult<()> {
    let turn = unit.seams.turn.clone();
    turn.lock_api_keys(unit).await
}
