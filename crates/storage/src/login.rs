//! Logins of browsers, and the links that open them.

use async_trait::async_trait;
use domain::{
    Timestamp,
    api_key::KeyHash,
    login::{Login, LoginKind},
    port::{LoginStore, StoreResult},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
};

db::statements! {
    INSERT = both("insert into login (hash, kind, api_key, created_at, expires_at) values ($1, $2, $3, $4, $5)");
    // By the index of the key's logins; more than a thousand too many go with the next ones.
    TRIM = both("delete from login where hash in (select hash from login where api_key = $1 \
         order by created_at desc, hash limit 1000 offset $2)");
    FIND = both("select * from login where hash = $1");
    TAKE = both("delete from login where hash = $1 and kind = $2 returning *");
    TOUCH = both("update login set last_used_at = $2 where hash = $1");
    SWEEP = both("delete from login where expires_at <= $1");
}

fn read(row: &Row) -> StoreResult<Login> {
    const DOING: &str = "reading a login";
    let bad = || corrupt(DOING);
    let hash: Vec<u8> = row.try_get("hash").doing(DOING)?;
    let time = |name: &str| {
        row.try_get::<Option<i64>, _>(name).doing(DOING).map(|t| t.map(Timestamp::from_millis))
    };
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    Ok(Login {
        hash: KeyHash(hash.try_into().map_err(|_| bad())?),
        kind: LoginKind::parse(&text("kind")?).ok_or_else(bad)?,
        key: text("api_key")?.parse().map_err(|_| bad())?,
        created_at: time("created_at")?.ok_or_else(bad)?,
        expires_at: time("expires_at")?.ok_or_else(bad)?,
        last_used_at: time("last_used_at")?,
    })
}

#[async_trait]
impl LoginStore for LedgerStore {
    async fn insert_login(&self, login: &Login, most: u32) -> StoreResult<()> {
        const DOING: &str = "storing a login";
        let login = login.clone();
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    db::query(&INSERT)
                        .bind(&login.hash.0[..])
                        .bind(login.kind.as_str())
                        .bind(login.key.to_string())
                        .bind(login.created_at.millis())
                        .bind(login.expires_at.millis())
                        .execute(&mut unit.conn)
                        .await
                        .doing(DOING)?;
                    db::query(&TRIM)
                        .bind(login.key.to_string())
                        .bind(i64::from(most))
                        .execute(&mut unit.conn)
                        .await
                        .doing(DOING)
                        .map(|_| ())
                })
            })
            .await
    }

    async fn login(&self, hash: KeyHash) -> StoreResult<Option<Login>> {
        let row = db::query(&FIND).bind(&hash.0[..]).fetch_optional(&self.couriers).await;
        row.doing("finding a login")?.as_ref().map(read).transpose()
    }

    async fn take_login(&self, hash: KeyHash, kind: LoginKind) -> StoreResult<Option<Login>> {
        const DOING: &str = "ending a login";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let taken = db::query(&TAKE)
                        .bind(&hash.0[..])
                        .bind(kind.as_str())
                        .fetch_optional(&mut unit.conn)
                        .await;
                    taken.doing(DOING)?.as_ref().map(read).transpose()
                })
            })
            .await
    }

    async fn touch_login(&self, hash: KeyHash, at: Timestamp) -> StoreResult<()> {
        const DOING: &str = "noting the use of a login";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let touched = db::query(&TOUCH)
                        .bind(&hash.0[..])
                        .bind(at.millis())
                        .execute(&mut unit.conn)
                        .await;
                    touched.doing(DOING).map(|_| ())
                })
            })
            .await
    }

    async fn delete_expired_logins(&self, now: Timestamp) -> StoreResult<u64> {
        const DOING: &str = "deleting logins that are over";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&SWEEP).bind(now.millis()).execute(&mut unit.conn).await;
                    Ok(done.doing(DOING)?.rows_affected())
                })
            })
            .await
    }
}
