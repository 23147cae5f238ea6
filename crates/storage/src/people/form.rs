//! Under which spelling WhatsApp knows a number that may have two.

use domain::{
    ChatId, SessionId,
    chat::{FORMS_MAX, KnownForm},
    port::StoreResult,
    time::Timestamp,
};

use crate::{
    db::{self, Executor},
    error::{Doing as _, corrupt},
    writer::Unit,
};

db::statements! {
    GET = both("select found, at from phone_form where session_id = $1 and asked = $2");
    LEARN = both("insert into phone_form (session_id, asked, found, at) values ($1, $2, $3, $4) \
         on conflict (session_id, asked) do update set found = excluded.found, at = excluded.at");
    // The spelling that WhatsApp knows is nobody's other one any more.
    TURN = both("delete from phone_form where session_id = $1 and asked = $2 and found <> $2");
    TRIM = both("delete from phone_form where session_id = $1 and asked in \
         (select asked from phone_form where session_id = $1 order by at desc limit 1 offset $2)");
    FORGET = both("delete from phone_form where session_id = $1 and (asked = $2 or found = $2)");
}

/// What WhatsApp said last about a spelling.
pub(super) async fn get(
    conn: impl Executor,
    session: SessionId,
    asked: &ChatId,
) -> StoreResult<Option<KnownForm>> {
    const DOING: &str = "looking the spelling of a number up";
    let row = db::query(&GET)
        .bind(session.to_string())
        .bind(asked.as_str())
        .fetch_optional(conn)
        .await
        .doing(DOING)?;
    let Some(row) = row else { return Ok(None) };
    let found: String = row.try_get("found").doing(DOING)?;
    let at = Timestamp::from_millis(row.try_get("at").doing(DOING)?);
    Ok(Some(KnownForm { chat: found.parse().map_err(|_| corrupt(DOING))?, at }))
}

/// Remembers it; with one more than there may be, the oldest goes.
pub(crate) async fn learn(
    unit: &mut Unit,
    session: SessionId,
    asked: &ChatId,
    form: &KnownForm,
) -> StoreResult<()> {
    const DOING: &str = "remembering the spelling of a number";
    let (session, found) = (session.to_string(), form.chat.as_str());
    db::query(&LEARN)
        .bind(&session)
        .bind(asked.as_str())
        .bind(found)
        .bind(form.at.millis())
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    db::query(&TURN).bind(&session).bind(found).execute(&mut unit.conn).await.doing(DOING)?;
    let most = i64::from(FORMS_MAX);
    db::query(&TRIM).bind(&session).bind(most).execute(&mut unit.conn).await.doing(DOING)?;
    Ok(())
}

/// Forgets both spellings of an id.
pub(crate) async fn forget(unit: &mut Unit, session: &str, id: &str) -> StoreResult<()> {
    let gone = db::query(&FORGET).bind(session).bind(id).execute(&mut unit.conn).await;
    gone.doing("forgetting the spelling of a number").map(|_| ())
}
