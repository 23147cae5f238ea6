//! The connection of a writer.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};
use tokio::time::Instant;

use super::{DatabaseLimits, run, within};
use crate::db::{Bound, DbError, QueryAnswer, Want};

/// One connection. After it broke, [`Self::renewed`] makes it anew; until then every statement fails, so that none
/// runs outside the transaction it belongs to.
pub(crate) struct PostgresConnection {
    options: PgConnectOptions,
    limits: DatabaseLimits,
    conn: Option<PgConnection>,
    used: Instant,
    /// Its statements may take longer.
    patient: bool,
}

impl PostgresConnection {
    pub(crate) async fn open(
        options: PgConnectOptions,
        limits: DatabaseLimits,
    ) -> Result<Self, DbError> {
        let mut connection =
            Self { options, limits, conn: None, used: Instant::now(), patient: false };
        connection.renewed().await?;
        Ok(connection)
    }

    /// Makes the connection if it is not there, or was idle and does not answer any more.
    pub(crate) async fn renewed(&mut self) -> Result<(), DbError> {
        if let Some(conn) = &mut self.conn
            && self.used.elapsed() >= self.limits.idle
            && within(self.limits.idle, conn.ping()).await.is_err()
        {
            self.conn = None;
        }
        if self.conn.is_none() {
            self.conn = Some(within(self.limits.connect, self.options.connect()).await?);
        }
        self.used = Instant::now();
        Ok(())
    }

    /// Lets go of a connection that may be broken.
    pub(crate) fn drop_broken(&mut self) {
        self.conn = None;
    }

    /// Whether statements from now on are those of jobs that may touch many rows.
    pub(crate) fn set_patient(&mut self, patient: bool) {
        self.patient = patient;
    }

    pub(crate) async fn run(
        &mut self,
        statement: &Bound<'_>,
        want: Want,
    ) -> Result<QueryAnswer, DbError> {
        let limit = if self.patient { self.limits.job } else { self.limits.statement };
        let conn = self.conn.as_mut().ok_or(DbError::Closed)?;
        let answer = within(limit, run(conn, statement, want)).await;
        self.judged(answer)
    }

    /// Runs several statements in one round trip.
    pub(crate) async fn script(&mut self, text: String) -> Result<(), DbError> {
        use sqlx::Executor as _;
        let conn = self.conn.as_mut().ok_or(DbError::Closed)?;
        let answer =
            within(self.limits.statement, conn.execute(sqlx::raw_sql(AssertSqlSafe(text)))).await;
        self.judged(answer.map(|_| ()))
    }

    /// What the server said is an answer; everything else leaves a connection of which nobody knows where it is.
    fn judged<T>(&mut self, answer: Result<T, DbError>) -> Result<T, DbError> {
        self.used = Instant::now();
        if answer.as_ref().is_err_and(DbError::breaks_connection) {
            self.conn = None;
        }
        answer
    }

    pub(crate) async fn close(self) -> Result<(), DbError> {
        match self.conn {
            Some(conn) => within(self.limits.statement, conn.close()).await,
            None => Ok(()),
        }
    }
}
