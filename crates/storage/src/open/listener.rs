//! The notices by which processes that share a database notify each other.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Executor as _,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use crate::{
    db::{
        DbError,
        postgres::{DatabaseLimits, within},
    },
    writer::CommitCaches,
};

/// Between two tries to hear.
const PAUSE: Duration = Duration::from_secs(1);

/// What is listened for, and what follows from it.
pub(super) struct ListenerParts {
    pub(super) options: PgConnectOptions,
    pub(super) limits: DatabaseLimits,
    pub(super) channel: String,
    /// This process's name: it leaves out its own notices.
    pub(super) own: String,
    pub(super) caches: Arc<CommitCaches>,
}

/// Listens until it is dropped.
pub(super) struct NoticeListener(tokio::task::JoinHandle<()>);

impl Drop for NoticeListener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl NoticeListener {
    #[expect(
        clippy::disallowed_methods,
        reason = "the listener belongs to the store and ends with it"
    )]
    pub(super) fn start(line: ListenerParts) -> Self {
        Self(tokio::spawn(async move {
            loop {
                if let Err(error) = line.listen().await {
                    tracing::warn!(%error, "the database's notices cannot be heard; trying again");
                }
                line.caches.missed();
                tokio::time::sleep(PAUSE).await;
            }
        }))
    }
}

impl ListenerParts {
    /// Until the connection is gone.
    async fn listen(&self) -> Result<(), DbError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.limits.connect)
            .connect_lazy_with(self.options.clone());
        let mut listener = within(self.limits.connect, PgListener::connect_with(&pool)).await?;
        listener.eager_reconnect(false);
        within(self.limits.statement, listener.listen(&self.channel)).await?;
        self.caches.missed();
        loop {
            // No notice may come for hours, also by a server that is gone: it is asked from time to time.
            match tokio::time::timeout(self.limits.idle, listener.try_recv()).await {
                Ok(Ok(Some(notice))) => self.hear(notice.payload()),
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    within(self.limits.idle, listener.execute("select 1")).await?;
                }
            }
        }
    }

    fn hear(&self, notice: &str) {
        let mut words = notice.split(' ');
        if words.next() == Some(&self.own) {
            return;
        }
        words.for_each(|word| self.caches.heard(word));
    }
}
