//! The right to run a session.
//!
//! Its number is in the session's row. On PostgreSQL the owner and the time are there too, by the database's clock: the
//! clocks of the processes need not agree. On SQLite they are in memory ([`Tenures`](crate::tenures::Tenures)), and a
//! renewal writes nothing.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, Timestamp,
    port::{Held, Holder, Lease, StoreResult},
    session::Wish,
};

use crate::{
    db::{self, DbError, Kind, Query, Row, Two},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    tenures::Standing,
};

// One statement decides and takes: two callers cannot both see it free.
const ACQUIRE: Two = Two {
    sqlite: "update session set lease_epoch = lease_epoch + 1 where id = $1 and deleted = 0 \
     returning lease_epoch, wanted, wish",
    postgres: "update session set lease_owner = $2, \
     lease_until = (extract(epoch from clock_timestamp()) * 1000)::bigint + $3, \
     lease_epoch = case when lease_owner = $2 then lease_epoch else lease_epoch + 1 end \
     where id = $1 and deleted = 0 and (lease_owner is null or lease_owner = $2 \
     or lease_until <= (extract(epoch from clock_timestamp()) * 1000)::bigint) \
     returning lease_epoch, wanted, wish",
};
const WANTED: &str = "select lease_epoch, wanted, wish from session where id = $1 and deleted = 0";
const UNHELD: Two = Two {
    sqlite: "select id from session where deleted = 0 and (wanted = 1 or wish is not null) order by created_at, id",
    postgres: "select id from session where deleted = 0 and (wanted = 1 or wish is not null) and (lease_owner is null \
     or lease_until <= (extract(epoch from clock_timestamp()) * 1000)::bigint) order by created_at, id limit $1",
};
const RELEASE: &str = "update session set lease_owner = null, lease_until = null \
     where id = $1 and lease_owner = $2 and lease_epoch = $3";

const HOLDER: Two = Two {
    sqlite: "select id as owner, url from node where id = $1",
    postgres: "select session.lease_owner as owner, node.url as url from session \
     left join node on node.id = session.lease_owner where session.id = $1 \
     and session.lease_until > (extract(epoch from clock_timestamp()) * 1000)::bigint",
};
const ALL_HELD: Two = Two {
    sqlite: "select id from session where lease_owner is not null",
    postgres: "select id from session where lease_owner is not null \
     and lease_until > (extract(epoch from clock_timestamp()) * 1000)::bigint",
};
const ANNOUNCE: &str = "insert into node (id, url, seen_at) values ($1, $2, $3) \
     on conflict (id) do update set url = excluded.url, seen_at = excluded.seen_at";
const SILENT: &str = "select id from node where seen_at < $1 \
     and not exists (select 1 from session where session.lease_owner = node.id)";
const FORGET: &str = "delete from node where id = $1";

const TAKING: &str = "taking a session's lease";
const LOOKING: &str = "looking for sessions that nobody runs";

impl LedgerStore {
    pub(crate) async fn acquire_lease(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        lasts: Duration,
    ) -> StoreResult<Option<Held>> {
        let owner: Arc<str> = owner.into();
        if self.readers.kind() == Kind::Postgres {
            // Behind the work of the writer it could come too late.
            let place = self.heartbeats.as_ref().unwrap_or(&self.readers);
            let row = acquire(id, &owner, Some(lasts)).fetch_optional(place).await;
            return taken(row, id, owner);
        }
        match self.tenures.renew(id, &owner, now, lasts) {
            Standing::Taken => Ok(None),
            Standing::Renewed(lease) => {
                let row =
                    db::query(WANTED).bind(id.to_string()).fetch_optional(&self.readers).await;
                let row = row.doing(TAKING)?;
                row.map(|row| read(&row, |_| lease)).transpose()
            }
            Standing::Free => {
                let taker = owner.clone();
                let taken = self.writer.run_for(id, TAKING, move |unit| {
                    Box::pin(async move {
                        // Somebody may have been faster.
                        if unit.tenures.is_taken(id, now) {
                            return Ok(None);
                        }
                        let row = acquire(id, &owner, None).fetch_optional(&mut unit.conn).await;
                        let held = taken(row, id, owner)?;
                        if let Some(held) = &held {
                            unit.tenures.begin(&held.lease, now.plus(lasts));
                        }
                        Ok(held)
                    })
                });
                let taken = taken.await;
                if taken.is_err() {
                    // Its number may not be in the row.
                    self.tenures.abandon(id, &taker);
                }
                taken
            }
        }
    }

    pub(crate) async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
        const DOING: &str = "releasing a session's lease";
        if self.readers.kind() == Kind::Sqlite {
            self.tenures.end(lease);
            return Ok(());
        }
        let lease = lease.clone();
        self.writer
            .run_for(lease.session, DOING, move |unit| {
                Box::pin(async move {
                    db::query(RELEASE)
                        .bind(lease.session.to_string())
                        .bind(&*lease.owner)
                        .bind(i64::try_from(lease.epoch).unwrap_or(i64::MAX))
                        .execute(&mut unit.conn)
                        .await
                        .doing(DOING)
                        .map(|_| ())
                })
            })
            .await
    }

    pub(crate) async fn lease_holder(
        &self,
        id: SessionId,
        now: Timestamp,
    ) -> StoreResult<Option<Holder>> {
        const DOING: &str = "looking for who runs a session";
        let owner = self.tenures.owner(id, now);
        let subject = match (self.readers.kind(), &owner) {
            (Kind::Postgres, _) => id.to_string(),
            (Kind::Sqlite, Some(owner)) => owner.to_string(),
            (Kind::Sqlite, None) => return Ok(None),
        };
        let row = db::query(HOLDER).bind(subject).fetch_optional(&self.readers).await;
        let Some(row) = row.doing(DOING)? else {
            return Ok(owner.map(|owner| Holder { owner: owner.to_string(), url: None }));
        };
        let owner: Option<String> = row.try_get("owner").doing(DOING)?;
        let url = row.try_get("url").doing(DOING)?;
        Ok(owner.map(|owner| Holder { owner, url }))
    }

    pub(crate) async fn held_sessions(&self, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        const DOING: &str = "listing the sessions that somebody runs";
        if self.readers.kind() == Kind::Sqlite {
            return Ok(self.tenures.taken(now));
        }
        let rows = db::query(ALL_HELD).fetch_all(&self.readers).await.doing(DOING)?;
        Ok(self.readable_ids(&rows, DOING))
    }

    pub(crate) async fn announce_node(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()> {
        const DOING: &str = "telling where this process is asked";
        let (owner, url) = (owner.to_owned(), url.to_owned());
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let told = db::query(ANNOUNCE)
                        .bind(owner)
                        .bind(url)
                        .bind(now.millis())
                        .execute(&mut unit.conn)
                        .await;
                    told.doing(DOING)?;
                    let silent: Vec<String> = db::query_scalar(SILENT)
                        .bind(forget_before.millis())
                        .fetch_all(&mut unit.conn)
                        .await
                        .doing(DOING)?;
                    for node in silent {
                        if !unit.tenures.is_owner(&node) {
                            let done = db::query(FORGET).bind(node).execute(&mut unit.conn).await;
                            done.doing(DOING)?;
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    pub(crate) async fn unheld_sessions(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<SessionId>> {
        let shared = self.readers.kind() == Kind::Postgres;
        let query = db::query(UNHELD);
        let query = if shared { query.bind(i64::from(limit)) } else { query };
        let rows = query.fetch_all(&self.readers).await.doing(LOOKING)?;
        let ids = self.readable_ids(&rows, LOOKING).into_iter();
        let free = |id: &SessionId| shared || !self.tenures.is_taken(*id, now);
        Ok(ids.filter(free).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    /// Those that can be read; the others are told once.
    fn readable_ids(&self, rows: &[Row], doing: &'static str) -> Vec<SessionId> {
        let id = |row: &Row| {
            let id: String = row.try_get("id").doing(doing)?;
            id.parse().map_err(|_| corrupt(doing))
        };
        self.unreadable.rows("session's id", &["id"], rows, id)
    }
}

fn acquire(session: SessionId, owner: &str, lasts: Option<Duration>) -> Query<'_, Row> {
    let query = db::query(ACQUIRE).bind(session.to_string());
    let Some(lasts) = lasts else { return query };
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX / 2);
    query.bind(owner).bind(lasts)
}

fn taken(
    row: Result<Option<Row>, DbError>,
    session: SessionId,
    owner: Arc<str>,
) -> StoreResult<Option<Held>> {
    let lease = |epoch| Lease { session, owner, epoch };
    row.doing(TAKING)?.map(|row| read(&row, lease)).transpose()
}

fn read(row: &Row, lease: impl FnOnce(u64) -> Lease) -> StoreResult<Held> {
    let bad = || corrupt(TAKING);
    let epoch: i64 = row.try_get("lease_epoch").doing(TAKING)?;
    let wish: Option<String> = row.try_get("wish").doing(TAKING)?;
    Ok(Held {
        lease: lease(u64::try_from(epoch).map_err(|_| bad())?),
        wanted: row.try_get::<i64, _>("wanted").doing(TAKING)? == 1,
        wish: wish.map(|wish| Wish::parse(&wish).ok_or_else(bad)).transpose()?,
    })
}
