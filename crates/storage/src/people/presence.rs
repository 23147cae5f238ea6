//! What an account wants of presences.

use domain::{
    ChatId, SessionId, Timestamp,
    port::StoreResult,
    presence::{PresenceWishes, WATCHED_MAX},
};

use super::identity::canonical;
use crate::{
    db,
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    AVAILABLE = both("select available from own_presence where session_id = $1");
    WATCHED = both("select chat from presence_watch where session_id = $1 order by at desc, chat");
    WISH = both("insert into own_presence (session_id, available) values ($1, $2) \
         on conflict (session_id) do update set available = excluded.available \
         where own_presence.available <> excluded.available");
    WATCH = both("insert into presence_watch (session_id, chat, at) values ($1, $2, $3) \
         on conflict (session_id, chat) do update set at = excluded.at");
    TRIM = both("delete from presence_watch where session_id = $1 and chat in \
         (select chat from presence_watch where session_id = $1 order by at desc, chat limit 1 offset $2)");
    FORGET = both("delete from presence_watch where session_id = $1 and chat = $2");
}

/// Both wishes of a session.
pub(super) async fn wishes(store: &LedgerStore, session: SessionId) -> StoreResult<PresenceWishes> {
    const DOING: &str = "reading what is wanted of presences";
    let id = session.to_string();
    let available: Option<i64> =
        db::query_scalar(&AVAILABLE).bind(&id).fetch_optional(&store.readers).await.doing(DOING)?;
    let rows = db::query(&WATCHED).bind(&id).fetch_all(&store.readers).await.doing(DOING)?;
    let mut watched = Vec::with_capacity(rows.len());
    for row in rows {
        let chat: String = row.try_get("chat").doing(DOING)?;
        watched.push(chat.parse().map_err(|_| corrupt(DOING))?);
    }
    Ok(PresenceWishes { available: available.map(|available| available == 1), watched })
}

/// Remembers whether the account shows as online; `false` when it was known.
pub(crate) async fn wish_available(
    unit: &mut Unit,
    session: SessionId,
    available: bool,
) -> StoreResult<bool> {
    let done = db::query(&WISH)
        .bind(session.to_string())
        .bind(i64::from(available))
        .execute(&mut unit.conn)
        .await;
    Ok(done.doing("remembering the own presence")?.rows_affected() == 1)
}

/// Remembers a watched chat; with one more than there may be, the oldest goes.
pub(crate) async fn watch(
    unit: &mut Unit,
    session: SessionId,
    chat: &ChatId,
    at: Timestamp,
) -> StoreResult<()> {
    const DOING: &str = "remembering whose presence is watched";
    let chat = canonical(&mut unit.conn, session, chat).await?;
    let session = session.to_string();
    db::query(&WATCH)
        .bind(&session)
        .bind(chat.as_str())
        .bind(at.millis())
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    let most = i64::from(WATCHED_MAX);
    let trimmed = db::query(&TRIM).bind(&session).bind(most).execute(&mut unit.conn).await;
    trimmed.doing(DOING).map(|_| ())
}

/// Stops watching somebody who is erased.
pub(crate) async fn forget(unit: &mut Unit, session: &str, chat: &str) -> StoreResult<()> {
    let gone = db::query(&FORGET).bind(session).bind(chat).execute(&mut unit.conn).await;
    gone.doing("forgetting whose presence is watched").map(|_| ())
}
