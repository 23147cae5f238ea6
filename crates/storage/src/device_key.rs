//! The engine's keys, encrypted.

use async_trait::async_trait;
use domain::{
    SessionId,
    port::{DeviceKeys, KeyChange, KeyEntry, Lease, StoreResult},
};

use crate::{
    crypt::Cipher,
    db::{self, Row},
    error::Doing as _,
    lease,
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    GET = both("select key, value, expires_at from device_key where session_id = $1 and namespace = $2 and key = $3");
    // A range instead of `like`: keys may hold any character, and the primary key serves it.
    LIST = both("select key, value, expires_at from device_key \
         where session_id = $1 and namespace = $2 and key >= $3 and key < $4 order by key");
    LIST_ALL = both("select key, value, expires_at from device_key \
         where session_id = $1 and namespace = $2 and key >= $3 order by key");
    PUT = both("insert into device_key (session_id, namespace, key, value, expires_at) values ($1, $2, $3, $4, $5) \
         on conflict (session_id, namespace, key) do update set value = excluded.value, expires_at = \
         excluded.expires_at");
    DELETE = both("delete from device_key where session_id = $1 and namespace = $2 and key = $3");
    DELETE_EXPIRED = both("delete from device_key \
         where session_id = $1 and namespace = $2 and expires_at > 0 and expires_at <= $3");
    PURGE = both("delete from device_key where session_id = $1");
    FORGET = both("delete from device_key where session_id = $1 and namespace = $2");
}

fn read(row: &Row, session: &str, namespace: &str, cipher: &Cipher) -> StoreResult<KeyEntry> {
    const DOING: &str = "reading an engine key";
    let key: String = row.try_get("key").doing(DOING)?;
    let sealed: Vec<u8> = row.try_get("value").doing(DOING)?;
    let value = cipher.open(&["device_key", session, namespace, &key], &sealed)?;
    Ok(KeyEntry { key, value, expires_at: row.try_get("expires_at").doing(DOING)? })
}

/// The first text behind all that begin with this one, as texts are compared byte by byte; `None` when there is none.
pub(crate) fn behind(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The numbers of half a character are left out.
        let next = if last == '\u{d7ff}' { 0xe000 } else { u32::from(last) + 1 };
        if let Some(next) = char::from_u32(next) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

async fn change(unit: &mut Unit, session: &str, change: KeyChange) -> StoreResult<()> {
    const DOING: &str = "writing engine keys";
    let query = match change {
        KeyChange::Put { namespace, key, value, expires_at } => {
            let sealed = unit.cipher.seal(&["device_key", session, namespace, &key], &value);
            db::query(&PUT)
                .bind(session.to_owned())
                .bind(namespace)
                .bind(key)
                .bind(sealed)
                .bind(expires_at)
        }
        KeyChange::Delete { namespace, key } => {
            db::query(&DELETE).bind(session.to_owned()).bind(namespace).bind(key)
        }
    };
    query.execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Deletes every key of a namespace; how many there were.
pub(crate) async fn forget(unit: &mut Unit, session: &str, namespace: &str) -> StoreResult<u64> {
    let done = db::query(&FORGET).bind(session).bind(namespace).execute(&mut unit.conn).await;
    Ok(done.doing("forgetting engine keys")?.rows_affected())
}

/// Puts something else in the place of a key's value; `false` where there is none, or nothing to put there.
pub(crate) async fn rewrite(
    unit: &mut Unit,
    session: &str,
    (namespace, key): (&'static str, &'static str),
    renew: &(dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync),
) -> StoreResult<bool> {
    let row = db::query(&GET).bind(session).bind(namespace).bind(key);
    let row = row.fetch_optional(&mut unit.conn).await.doing("reading an engine key")?;
    let Some(row) = row else { return Ok(false) };
    let entry = read(&row, session, namespace, &unit.cipher)?;
    let Some(value) = renew(&entry.value) else { return Ok(false) };
    let put =
        KeyChange::Put { namespace, key: key.to_owned(), value, expires_at: entry.expires_at };
    change(unit, session, put).await?;
    Ok(true)
}

#[async_trait]
impl DeviceKeys for LedgerStore {
    async fn device_key(
        &self,
        session: SessionId,
        namespace: &'static str,
        key: &str,
    ) -> StoreResult<Option<KeyEntry>> {
        let session = session.to_string();
        let row = db::query(&GET)
            .bind(&session)
            .bind(namespace)
            .bind(key)
            .fetch_optional(&self.readers)
            .await;
        let row = row.doing("reading an engine key")?;
        row.map(|row| read(&row, &session, namespace, &self.cipher)).transpose()
    }

    async fn device_keys(
        &self,
        session: SessionId,
        namespace: &'static str,
        prefix: &str,
    ) -> StoreResult<Vec<KeyEntry>> {
        let session = session.to_string();
        let behind = behind(prefix);
        let list = if behind.is_some() { &LIST } else { &LIST_ALL };
        let mut query = db::query(list).bind(&session).bind(namespace).bind(prefix);
        if let Some(behind) = behind {
            query = query.bind(behind);
        }
        let rows = query.fetch_all(&self.readers).await;
        let rows = rows.doing("listing engine keys")?;
        rows.iter().map(|row| read(row, &session, namespace, &self.cipher)).collect()
    }

    async fn apply_key_changes(&self, lease: &Lease, changes: Vec<KeyChange>) -> StoreResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let (lease, session) = (lease.clone(), lease.session.to_string());
        self.writer
            .run_for(lease.session, "writing engine keys", move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    for one in changes {
                        change(unit, &session, one).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn delete_expired_keys(
        &self,
        lease: &Lease,
        namespace: &'static str,
        cutoff: i64,
    ) -> StoreResult<u64> {
        let lease = lease.clone();
        self.writer
            .run_for(lease.session, "deleting expired engine keys", move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    let done = db::query(&DELETE_EXPIRED)
                        .bind(lease.session.to_string())
                        .bind(namespace)
                        .bind(cutoff)
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing("deleting expired engine keys")?.rows_affected())
                })
            })
            .await
    }

    async fn purge_device_keys(&self, lease: &Lease) -> StoreResult<()> {
        let lease = lease.clone();
        self.writer
            .run_for(lease.session, "deleting a session's engine keys", move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    let session = lease.session.to_string();
                    let done = db::query(&PURGE).bind(session).execute(&mut unit.conn).await;
                    done.doing("deleting a session's engine keys").map(|_| ())
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_text_ends_before_the_next_one() {
        for (prefix, expected) in [
            ("a", Some("b")),
            ("group@g.us:", Some("group@g.us;")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(behind(prefix).as_deref(), expected, "{prefix:?}");
        }
        let inside = format!("a{}z", char::MAX);
        assert!(behind("a").is_some_and(|behind| inside < behind));
    }
}
