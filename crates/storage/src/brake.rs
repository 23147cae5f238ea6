//! The pause of all sends: a value of `meta`, so that a restart keeps it and every process on the database sees it.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::{
    Timestamp,
    brake::SendsPause,
    port::{BrakeStore, PauseListener, StoreResult},
};
use serde::{Deserialize, Serialize};

use crate::{
    db::{self, Conn},
    error::{Doing as _, corrupt},
    open::LedgerStore,
};

db::statements! {
    GET = both("select value from meta where key = 'sends_paused'");
    // The first of several callers begins it.
    PAUSE = both("insert into meta (key, value) values ('sends_paused', $1) on conflict (key) do nothing");
    RESUME = both("delete from meta where key = 'sends_paused'");
}

const READING: &str = "reading the pause of all sends";
const PAUSING: &str = "pausing all sends";
const RESUMING: &str = "resuming all sends";

/// What the value says, as JSON.
#[derive(Serialize, Deserialize)]
struct StoredPause {
    /// Milliseconds since 1970.
    since: i64,
    by: String,
    reason: Option<String>,
}

fn write(pause: &SendsPause) -> Vec<u8> {
    let SendsPause { since, by, reason } = pause.clone();
    let stored = StoredPause { since: since.millis(), by, reason };
    serde_json::to_vec(&stored).expect("plain data always serialises")
}

fn read(value: &[u8]) -> StoreResult<SendsPause> {
    let stored: StoredPause = serde_json::from_slice(value).map_err(|_| corrupt(READING))?;
    let StoredPause { since, by, reason } = stored;
    Ok(SendsPause { since: Timestamp::from_millis(since), by, reason })
}

async fn in_force(conn: &mut Conn) -> StoreResult<Option<SendsPause>> {
    let value: Option<Vec<u8>> =
        db::query_scalar(&GET).fetch_optional(conn).await.doing(READING)?;
    value.as_deref().map(read).transpose()
}

/// Who is notified when a pause began or ended; one per gateway on this store.
#[derive(Default)]
pub(crate) struct PauseListeners(Mutex<Vec<PauseListener>>);

impl PauseListeners {
    /// From now on this listener is notified too, until the store is gone.
    fn listen(&self, listener: PauseListener) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Tells all of them.
    pub(crate) fn notify(&self) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener());
    }
}

#[async_trait]
impl BrakeStore for LedgerStore {
    async fn sends_pause(&self) -> StoreResult<Option<SendsPause>> {
        // With what every request needs: people wait for it.
        let value: Option<Vec<u8>> =
            db::query_scalar(&GET).fetch_optional(&self.couriers).await.doing(READING)?;
        value.as_deref().map(read).transpose()
    }

    async fn pause_sends(&self, pause: &SendsPause) -> StoreResult<SendsPause> {
        let pause = pause.clone();
        self.writer
            .run(PAUSING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&PAUSE).bind(write(&pause)).execute(&mut unit.conn).await;
                    unit.committing.braked |= done.doing(PAUSING)?.rows_affected() == 1;
                    in_force(&mut unit.conn).await.map(|now| now.unwrap_or(pause))
                })
            })
            .await
    }

    async fn resume_sends(&self) -> StoreResult<bool> {
        self.writer
            .run(RESUMING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&RESUME).execute(&mut unit.conn).await;
                    let ended = done.doing(RESUMING)?.rows_affected() == 1;
                    unit.committing.braked |= ended;
                    Ok(ended)
                })
            })
            .await
    }

    fn listen_for_pauses(&self, listener: PauseListener) {
        self.caches.pauses.listen(listener);
    }
}
