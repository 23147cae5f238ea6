//! Messages that go because of their age, or with everything else about a person.

use domain::{
    ChatId, SessionId, Timestamp,
    port::{Erased, StoreResult},
};

use super::receipt;
use crate::{
    db,
    error::{Doing as _, corrupt},
    open::LedgerStore,
    people,
    removal::PORTION,
    stats,
    writer::Unit,
};

db::statements! {
    OLD_IN = both("select id from session where deleted = 0 and exists (select 1 from message \
         where message.session_id = session.id and message.created_at < $1 and message.status <> 'pending') limit 1");
    PRUNE = both("delete from message where position in (select position from message where session_id = $1 \
         and created_at < $2 and status <> 'pending' order by created_at, position limit $3)");
    LIDS = both("select lid from identity where session_id = $1 and phone = $2");
    CHAT_MESSAGES = both("delete from message where position in (select position from message where session_id = $1 \
         and chat = $2 and status <> 'pending' limit $3)");
    AUTHORED = both("delete from message where position in (select position from message where session_id = $1 \
         and author = $2 and status <> 'pending' limit $3)");
    HELD = both("delete from held_change where session_id = $1 and body like '%' || $2 || '%'");
    CHAT = both("delete from chat where session_id = $1 and id = $2");
    CONTACT = both("delete from contact where session_id = $1 and id = $2");
    IDENTITIES = both("delete from identity where session_id = $1 and (lid = $2 or phone = $3)");
}

/// Up to so many messages of one session that are older.
pub(crate) async fn prune(store: &LedgerStore, before: Timestamp, limit: u32) -> StoreResult<u64> {
    const DOING: &str = "deleting old messages";
    let session: Option<String> = db::query_scalar(&OLD_IN)
        .bind(before.millis())
        .fetch_optional(&store.readers)
        .await
        .doing(DOING)?;
    let Some(session) = session else { return Ok(0) };
    let id = session.parse().map_err(|_| corrupt(DOING))?;
    store
        .writer
        .run_for(id, DOING, move |unit| {
            Box::pin(async move {
                let query = db::query(&PRUNE).bind(session).bind(before.millis());
                let done = query.bind(i64::from(limit)).execute(&mut unit.conn).await;
                Ok(done.doing(DOING)?.rows_affected())
            })
        })
        .await
}

const ERASING: &str = "erasing what is known of a person";

/// Everything about a person, under their number and their privacy ids.
pub(crate) async fn erase(
    store: &LedgerStore,
    session: SessionId,
    person: &ChatId,
) -> StoreResult<Erased> {
    let number = people::filed_under(&store.readers, session, person).await?;
    let (owner, session) = (session, session.to_string());
    let mut ids = vec![number.to_string()];
    if let Some(phone) = number.phone() {
        let lids: Vec<String> = db::query_scalar(&LIDS)
            .bind(&session)
            .bind(phone.digits())
            .fetch_all(&store.readers)
            .await
            .doing(ERASING)?;
        ids.extend(lids);
    }
    if !ids.iter().any(|id| id == person.as_str()) {
        ids.push(person.to_string());
    }
    let mut erased = Erased::default();
    for id in ids {
        loop {
            let (session, id) = (session.clone(), id.clone());
            let job = store
                .writer
                .run_for(owner, ERASING, move |unit| Box::pin(portion(unit, session, id)));
            let (gone, whole) = job.await?;
            erased = add(erased, gone);
            if whole {
                break;
            }
        }
    }
    Ok(erased)
}

/// A portion of what is filed under one id, and whether it was the last.
async fn portion(unit: &mut Unit, session: String, id: String) -> StoreResult<(Erased, bool)> {
    let mut erased = Erased::default();
    for sql in [&CHAT_MESSAGES, &AUTHORED] {
        let left = u64::from(PORTION) - erased.messages;
        let query = db::query(sql).bind(&session).bind(&id);
        let left = i64::try_from(left).unwrap_or(0);
        let done = query.bind(left).execute(&mut unit.conn).await.doing(ERASING)?;
        erased.messages += done.rows_affected();
        if erased.messages >= u64::from(PORTION) {
            return Ok((erased, false));
        }
    }
    erased.held = run(unit, db::query(&HELD).bind(&session).bind(&id)).await?;
    erased.chats = run(unit, db::query(&CHAT).bind(&session).bind(&id)).await?;
    erased.contacts = run(unit, db::query(&CONTACT).bind(&session).bind(&id)).await?;
    let digits = id.split('@').next().unwrap_or_default();
    let identities = db::query(&IDENTITIES).bind(&session).bind(&id).bind(digits);
    erased.identities = run(unit, identities).await?;
    people::forget_form(unit, &session, &id).await?;
    receipt::erase(unit, &session, &id).await?;
    stats::erase_chat(unit, &session, &id).await?;
    people::forget_presence(unit, &session, &id).await?;
    Ok((erased, true))
}

async fn run(unit: &mut Unit, query: db::Query<'_, db::Row>) -> StoreResult<u64> {
    Ok(query.execute(&mut unit.conn).await.doing(ERASING)?.rows_affected())
}

fn add(a: Erased, b: Erased) -> Erased {
    Erased {
        messages: a.messages + b.messages,
        chats: a.chats + b.chats,
        contacts: a.contacts + b.contacts,
        identities: a.identities + b.identities,
        held: a.held + b.held,
    }
}
