//! What can never be stored where it belongs, put aside with all its bytes, encrypted.

use domain::{
    SessionId, Timestamp,
    port::{Quarantined, StoreResult},
};
use sha2::{Digest as _, Sha256};

use crate::{
    db,
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    INSERT = both("insert into quarantine (session_id, kind, key, name, content, reason, at) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (session_id, kind, key) do nothing");
    LIST = both("select kind, key, content from quarantine where session_id = $1 order by at, key limit $2");
    COUNT = both("select count(*) from quarantine");
}

const DOING: &str = "putting something aside";

/// Most of an id, or of a reason, that is kept to be shown. The whole id is in the content.
const SHOWN_MAX: usize = 200;

/// Something to put aside.
pub(crate) struct PutAside<'a> {
    /// The id of the session that it came to.
    pub(crate) session: &'a str,
    /// The kind of record, as it is shown.
    pub(crate) kind: &'static str,
    /// Its own id, of any length.
    pub(crate) id: &'a str,
    /// Everything that is known of it, sealed when it is stored.
    pub(crate) content: &'a [u8],
    /// Why it cannot be stored where it belongs.
    pub(crate) reason: &'a str,
    /// When it was put aside.
    pub(crate) at: Timestamp,
}

/// An id of any length is too long for an index on PostgreSQL.
fn key(id: &str) -> String {
    hex::encode(Sha256::digest(id.as_bytes()))
}

fn content_aad<'a>(session: &'a str, kind: &'a str, key: &'a str) -> [&'a str; 5] {
    ["quarantine", session, kind, key, "content"]
}

fn shown(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(SHOWN_MAX).collect()
}

/// Puts something aside; `false` when it is there already.
pub(crate) async fn put(unit: &mut Unit, what: PutAside<'_>) -> StoreResult<bool> {
    let key = key(what.id);
    let sealed = unit.cipher.seal(&content_aad(what.session, what.kind, &key), what.content);
    let done = db::query(&INSERT)
        .bind(what.session)
        .bind(what.kind)
        .bind(&key)
        .bind(shown(what.id))
        .bind(sealed)
        .bind(shown(what.reason))
        .bind(what.at.millis())
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    Ok(done.rows_affected() == 1)
}

impl LedgerStore {
    /// Puts a record aside, so that the rest goes on.
    pub(crate) async fn put_one_aside(&self, one: Quarantined) -> StoreResult<bool> {
        let put = self.writer.run_for(one.session, DOING, move |unit| {
            Box::pin(async move {
                let session = one.session.to_string();
                let what = PutAside {
                    session: &session,
                    kind: one.kind,
                    id: &one.id,
                    content: &one.content,
                    reason: &one.reason,
                    at: one.at,
                };
                put(unit, what).await
            })
        });
        put.await
    }

    /// How much is put aside.
    pub(crate) async fn count_put_aside(&self) -> StoreResult<u64> {
        const DOING: &str = "counting what was put aside";
        let count: i64 = db::query_scalar(&COUNT).fetch_one(&self.readers).await.doing(DOING)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// What was put aside of a session, oldest first, at most `limit`: what it is, and all its bytes.
    ///
    /// # Errors
    /// The database failed, or one was encrypted with another key.
    pub async fn quarantined(
        &self,
        session: SessionId,
        limit: u32,
    ) -> StoreResult<Vec<(String, Vec<u8>)>> {
        const DOING: &str = "reading what was put aside";
        let session = session.to_string();
        let rows = db::query(&LIST).bind(&session).bind(limit).fetch_all(&self.readers).await;
        let mut found = Vec::new();
        for row in rows.doing(DOING)? {
            let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
            let (kind, key) = (text("kind")?, text("key")?);
            let sealed: Vec<u8> = row.try_get("content").doing(DOING)?;
            let opened = self.cipher.open(&content_aad(&session, &kind, &key), &sealed);
            found.push((kind, opened.map_err(|_| corrupt(DOING))?));
        }
        Ok(found)
    }
}
