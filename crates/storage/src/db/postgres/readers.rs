//! Connections that take whatever comes: reads, claims, leases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::Semaphore, time::Instant};

use super::{DatabaseLimits, run, within};
use crate::db::{Bound, DbError, QueryAnswer, Want};

/// A few connections; each statement is a transaction of its own and may be repeated.
#[derive(Clone)]
pub(crate) struct PostgresReaders(Arc<ReaderPool>);

struct ReaderPool {
    options: PgConnectOptions,
    limits: DatabaseLimits,
    idle: Mutex<Vec<IdleConnection>>,
    slots: Semaphore,
}

struct IdleConnection {
    conn: PgConnection,
    since: Instant,
}

impl ReaderPool {
    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that was made before, and works as far as known.
    async fn used_before(&self) -> Option<PgConnection> {
        let IdleConnection { mut conn, since } = self.idle().pop()?;
        if since.elapsed() < self.limits.idle {
            return Some(conn);
        }
        if within(self.limits.idle, conn.ping()).await.is_ok() {
            return Some(conn);
        }
        // What happened to it has happened to those that were idle for longer.
        self.forget();
        None
    }

    async fn fresh(&self) -> Result<PgConnection, DbError> {
        within(self.limits.connect, self.options.connect()).await
    }

    fn forget(&self) {
        let broken = std::mem::take(&mut *self.idle());
        drop(broken);
    }

    fn give_back(&self, conn: PgConnection) {
        if !self.slots.is_closed() {
            self.idle().push(IdleConnection { conn, since: Instant::now() });
        }
    }

    /// Runs a statement; the connection goes back unless nobody knows where it is.
    async fn run_on(
        &self,
        mut conn: PgConnection,
        statement: &Bound<'_>,
        want: Want,
    ) -> Result<QueryAnswer, DbError> {
        let answer = within(self.limits.statement, run(&mut conn, statement, want)).await;
        if answer.as_ref().is_err_and(DbError::breaks_connection) {
            self.forget();
        } else {
            self.give_back(conn);
        }
        answer
    }
}

impl PostgresReaders {
    pub(crate) fn open(options: PgConnectOptions, limits: DatabaseLimits, count: u32) -> Self {
        let slots = Semaphore::new(usize::try_from(count).unwrap_or(1));
        Self(Arc::new(ReaderPool { options, limits, idle: Mutex::default(), slots }))
    }

    pub(crate) async fn run(
        &self,
        statement: &Bound<'_>,
        want: Want,
    ) -> Result<QueryAnswer, DbError> {
        let pool = &self.0;
        let slot = tokio::time::timeout(pool.limits.connect, pool.slots.acquire()).await;
        let _slot = slot.map_err(|_| DbError::NoAnswer)?.map_err(|_| DbError::Closed)?;
        if let Some(conn) = pool.used_before().await {
            match pool.run_on(conn, statement, want).await {
                // The server ended it while it was idle, as in a restart: nothing of the statement was done, or it
                // may be done again.
                Err(error) if error.is_cut() => {}
                answer => return answer,
            }
        }
        pool.run_on(pool.fresh().await?, statement, want).await
    }

    /// Ends them; those that are in use end with their statement.
    pub(crate) async fn close(&self) {
        self.0.slots.close();
        let idle = std::mem::take(&mut *self.0.idle());
        for IdleConnection { conn, .. } in idle {
            let _ = within(self.0.limits.idle, conn.close()).await;
        }
    }
}
