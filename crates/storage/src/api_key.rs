//! API keys.

use async_trait::async_trait;
use domain::{
    ApiKeyId, Timestamp,
    api_key::{ApiKey, KeyHash, Role},
    approval::ApprovalRule,
    port::{ApiKeyStore, StoreResult},
};
use serde::de::DeserializeOwned;

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::lock_api_keys,
};

db::statements! {
    INSERT = both("insert into api_key (id, name, prefix, hash, role, allowed_ips, allowed_sessions, allowed_chats, \
         active, expires_at, last_used_at, usage_count, created_at, approval_budget) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)");
    FIND = both("select * from api_key where hash = $1");
    GET = both("select * from api_key where id = $1");
    LIST = both("select * from api_key order by position desc");
    UPDATE = both("update api_key set name = $2, role = $3, allowed_ips = $4, allowed_sessions = $5, \
         allowed_chats = $6, active = $7, expires_at = $8, approval_budget = $9 where id = $1");
    REHASH = both("update api_key set prefix = $2, hash = $3 where id = $1");
    // Locks the row, so that nobody switches it off meanwhile.
    IS_ON = both("update api_key set active = 1 where id = $1 and active = 1");
    REVOKE_OTHERS = both("update api_key set active = 0 where active = 1 and id <> $1 and id <> $2");
    END_OTHER_LOGINS = both("delete from login where hash <> $1");
    DELETE = both("delete from api_key where id = $1");
    TOUCH = both("update api_key set usage_count = usage_count + $2, last_used_at = case when last_used_at > $3 \
         then last_used_at else $3 end \
         where id = $1");
}

fn read(row: &Row) -> StoreResult<ApiKey> {
    const DOING: &str = "reading an API key";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let time = |name: &str| {
        row.try_get::<Option<i64>, _>(name).doing(DOING).map(|t| t.map(Timestamp::from_millis))
    };
    let hash: Vec<u8> = row.try_get("hash").doing(DOING)?;
    Ok(ApiKey {
        id: text("id")?.parse().map_err(|_| bad())?,
        name: text("name")?,
        prefix: text("prefix")?,
        hash: KeyHash(hash.try_into().map_err(|_| bad())?),
        role: Role::parse(&text("role")?).ok_or_else(bad)?,
        allowed_ips: list(&text("allowed_ips")?)?,
        allowed_sessions: list(&text("allowed_sessions")?)?,
        allowed_chats: list(&text("allowed_chats")?)?,
        approval: rule(row.try_get("approval_budget").doing(DOING)?)?,
        active: row.try_get::<i64, _>("active").doing(DOING)? == 1,
        expires_at: time("expires_at")?,
        last_used_at: time("last_used_at")?,
        usage_count: u64::try_from(row.try_get::<i64, _>("usage_count").doing(DOING)?)
            .map_err(|_| bad())?,
        created_at: time("created_at")?.ok_or_else(bad)?,
    })
}

/// What a key may send without a person; `None` in the row: everything.
fn rule(budget: Option<i64>) -> StoreResult<Option<ApprovalRule>> {
    let bad = |_| corrupt("reading an API key's budget");
    let budget = budget.map(|budget| u32::try_from(budget).map_err(bad)).transpose()?;
    Ok(budget.map(|daily_budget| ApprovalRule { daily_budget }))
}

fn budget(key: &ApiKey) -> Option<i64> {
    key.approval.map(|rule| i64::from(rule.daily_budget))
}

fn list<T: DeserializeOwned>(text: &str) -> StoreResult<Vec<T>> {
    serde_json::from_str(text).map_err(|_| corrupt("reading an API key's lists"))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data always serialises")
}

#[async_trait]
impl ApiKeyStore for LedgerStore {
    async fn insert_api_key(&self, key: &ApiKey) -> StoreResult<()> {
        let key = key.clone();
        self.writer
            .run("storing an API key", move |unit| {
                Box::pin(async move {
                    db::query(&INSERT)
                        .bind(key.id.to_string())
                        .bind(&key.name)
                        .bind(&key.prefix)
                        .bind(&key.hash.0[..])
                        .bind(key.role.as_str())
                        .bind(json(&key.allowed_ips))
                        .bind(json(&key.allowed_sessions))
                        .bind(json(&key.allowed_chats))
                        .bind(i64::from(key.active))
                        .bind(key.expires_at.map(Timestamp::millis))
                        .bind(key.last_used_at.map(Timestamp::millis))
                        .bind(i64::try_from(key.usage_count).unwrap_or(i64::MAX))
                        .bind(key.created_at.millis())
                        .bind(budget(&key))
                        .execute(&mut unit.conn)
                        .await
                        .doing("storing an API key")
                        .map(|_| ())
                })
            })
            .await
    }

    async fn api_key_by_hash(&self, hash: KeyHash) -> StoreResult<Option<ApiKey>> {
        let row = db::query(&FIND).bind(&hash.0[..]).fetch_optional(&self.couriers).await;
        row.doing("finding an API key")?.as_ref().map(read).transpose()
    }

    async fn api_key(&self, id: ApiKeyId) -> StoreResult<Option<ApiKey>> {
        let row = db::query(&GET).bind(id.to_string()).fetch_optional(&self.readers).await;
        row.doing("reading an API key")?.as_ref().map(read).transpose()
    }

    async fn api_keys(&self) -> StoreResult<Vec<ApiKey>> {
        let rows = db::query(&LIST).fetch_all(&self.readers).await.doing("listing API keys")?;
        rows.iter().map(read).collect()
    }

    async fn update_api_key(&self, key: &ApiKey) -> StoreResult<bool> {
        let key = key.clone();
        self.writer
            .run("changing an API key", move |unit| {
                Box::pin(async move {
                    let done = db::query(&UPDATE)
                        .bind(key.id.to_string())
                        .bind(&key.name)
                        .bind(key.role.as_str())
                        .bind(json(&key.allowed_ips))
                        .bind(json(&key.allowed_sessions))
                        .bind(json(&key.allowed_chats))
                        .bind(i64::from(key.active))
                        .bind(key.expires_at.map(Timestamp::millis))
                        .bind(budget(&key))
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing("changing an API key")?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn rehash_api_key(&self, id: ApiKeyId, prefix: &str, hash: KeyHash) -> StoreResult<()> {
        let prefix = prefix.to_owned();
        self.writer
            .run("changing the hash of an API key", move |unit| {
                Box::pin(async move {
                    let done = db::query(&REHASH)
                        .bind(id.to_string())
                        .bind(&prefix)
                        .bind(&hash.0[..])
                        .execute(&mut unit.conn)
                        .await;
                    done.doing("changing the hash of an API key").map(|_| ())
                })
            })
            .await
    }

    async fn revoke_other_api_keys(
        &self,
        caller: ApiKeyId,
        kept: Option<ApiKeyId>,
        login: Option<KeyHash>,
    ) -> StoreResult<Option<u64>> {
        const DOING: &str = "revoking all other API keys";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    // Another admin may revoke this caller at the same moment, elsewhere.
                    lock_api_keys(unit).await?;
                    let caller = caller.to_string();
                    let is_on = db::query(&IS_ON).bind(&caller).execute(&mut unit.conn).await;
                    if is_on.doing(DOING)?.rows_affected() == 0 {
                        return Ok(None);
                    }
                    let kept = kept.map_or_else(|| caller.clone(), |kept| kept.to_string());
                    let revoked = db::query(&REVOKE_OTHERS)
                        .bind(&caller)
                        .bind(kept)
                        .execute(&mut unit.conn)
                        .await
                        .doing(DOING)?
                        .rows_affected();
                    // No hash is empty.
                    let login = login.map(|hash| hash.0.to_vec()).unwrap_or_default();
                    let ended =
                        db::query(&END_OTHER_LOGINS).bind(login).execute(&mut unit.conn).await;
                    ended.doing(DOING).map(|_| Some(revoked))
                })
            })
            .await
    }

    async fn delete_api_key(&self, id: ApiKeyId) -> StoreResult<bool> {
        self.writer
            .run("deleting an API key", move |unit| {
                Box::pin(async move {
                    let done =
                        db::query(&DELETE).bind(id.to_string()).execute(&mut unit.conn).await;
                    Ok(done.doing("deleting an API key")?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn touch_api_key(&self, id: ApiKeyId, uses: u64, at: Timestamp) -> StoreResult<()> {
        self.writer
            .run("counting uses of an API key", move |unit| {
                Box::pin(async move {
                    db::query(&TOUCH)
                        .bind(id.to_string())
                        .bind(i64::try_from(uses).unwrap_or(i64::MAX))
                        .bind(at.millis())
                        .execute(&mut unit.conn)
                        .await
                        .doing("counting uses of an API key")
                        .map(|_| ())
                })
            })
            .await
    }
}
