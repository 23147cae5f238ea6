//! How long a database may take.

use std::{future::Future, time::Duration};

use crate::db::DbError;

/// How long a database may take before it counts as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseLimits {
    /// To connect, and to find a connection that is free.
    pub connect: Duration,
    /// How long one statement may take.
    pub statement: Duration,
    /// For one statement of a job that may touch many rows.
    pub job: Duration,
    /// From an order to the writer to its answer.
    pub answer: Duration,
    /// For the writer to show that it works.
    pub pulse: Duration,
    /// How long a connection may be idle before it is asked whether it still works, and how long it then has to answer.
    pub idle: Duration,
}

impl Default for DatabaseLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            statement: Duration::from_secs(15),
            job: Duration::from_secs(60),
            answer: Duration::from_secs(120),
            pulse: Duration::from_millis(1500),
            idle: Duration::from_secs(3),
        }
    }
}

impl DatabaseLimits {
    /// What a server is asked to keep to by itself, so that nothing of ours goes on there after we let go of it.
    pub(crate) fn of_server(&self) -> [(&'static str, String); 8] {
        let millis = |time: Duration| time.as_millis().to_string();
        let seconds = |time: Duration| time.as_secs().max(1).to_string();
        [
            ("statement_timeout", millis(self.job)),
            // Less than we wait: the server's answer says what it was.
            ("lock_timeout", millis(self.statement * 2 / 3)),
            // A process that was halted in its turn must not keep the others waiting for ever.
            ("idle_in_transaction_session_timeout", millis(self.statement * 2)),
            // A process that is gone is noticed in the middle of a statement too, and where no word of its end came.
            ("client_connection_check_interval", millis(self.statement / 3)),
            ("tcp_user_timeout", millis(self.statement * 2)),
            ("tcp_keepalives_idle", seconds(self.statement)),
            ("tcp_keepalives_interval", seconds(self.statement / 3)),
            ("tcp_keepalives_count", "3".into()),
        ]
    }
}

/// Waits for an answer within a limit.
pub(crate) async fn within<T, E>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, DbError>
where
    DbError: From<E>,
{
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DbError::NoAnswer),
    }
}
