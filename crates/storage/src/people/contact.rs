//! People.

use domain::{
    ChatId, SessionId,
    address::ChatKind,
    chat::{Contact, ContactPatch},
    port::{Page, StoreResult},
};

use super::identity::canonical;
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    LEARN = both("insert into contact (session_id, id, name, push_name, blocked) values ($1, $2, $4, $5, \
         coalesce($6, 0)) \
         on conflict (session_id, id) do update set \
         name = case when $3 = 1 then $4 else contact.name end, \
         push_name = coalesce($5, contact.push_name), blocked = coalesce($6, contact.blocked) \
         where ($3 = 1 and contact.name is distinct from $4) or contact.push_name is distinct from coalesce($5, \
         contact.push_name) \
         or contact.blocked <> coalesce($6, contact.blocked)");
    // A number may have had several privacy ids: the last learned counts.
    LIST = DialectPair {
        sqlite: "select contact.*, (select identity.lid from identity where identity.session_id = contact.session_id \
             and identity.phone = substr(contact.id, 1, instr(contact.id, '@') - 1) order by identity.position \
             desc limit 1) as lid \
             from contact where contact.session_id = $1 order by contact.id limit $2 offset $3",
        postgres: "select contact.*, (select identity.lid from identity where identity.session_id = \
             contact.session_id \
             and identity.phone = split_part(contact.id, '@', 1) order by identity.position desc limit 1) as lid \
             from contact where contact.session_id = $1 order by contact.id limit $2 offset $3",
    };
    GET = DialectPair {
        sqlite: "select contact.*, (select identity.lid from identity where identity.session_id = contact.session_id \
             and identity.phone = substr(contact.id, 1, instr(contact.id, '@') - 1) order by identity.position \
             desc limit 1) as lid \
             from contact where contact.session_id = $1 and contact.id = $2",
        postgres: "select contact.*, (select identity.lid from identity where identity.session_id = \
             contact.session_id \
             and identity.phone = split_part(contact.id, '@', 1) order by identity.position desc limit 1) as lid \
             from contact where contact.session_id = $1 and contact.id = $2",
    };
    MERGE = both("update contact set name = coalesce(contact.name, old.name), \
         push_name = coalesce(contact.push_name, old.push_name), blocked = case when old.blocked > contact.blocked \
         then old.blocked else contact.blocked end \
         from contact as old where contact.session_id = $1 and contact.id = $3 and old.session_id = $1 and old.id \
         = $2");
    MOVE = both("update contact set id = $3 where session_id = $1 and id = $2 \
         and not exists (select 1 from contact as other where other.session_id = $1 and other.id = $3)");
    REMOVE = both("delete from contact where session_id = $1 and id = $2");
}

fn read(row: &Row) -> StoreResult<Contact> {
    const DOING: &str = "reading a contact";
    let text = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let id = |name: &str| {
        text(name)?.map(|id| id.parse::<ChatId>().map_err(|_| corrupt(DOING))).transpose()
    };
    let own = id("id")?.ok_or_else(|| corrupt(DOING))?;
    let lid = if own.is_lid() { Some(own.clone()) } else { id("lid")? };
    Ok(Contact {
        phone: own.phone(),
        id: own,
        lid,
        name: text("name")?,
        push_name: text("push_name")?,
        blocked: row.try_get::<i64, _>("blocked").doing(DOING)? == 1,
    })
}

/// The account's people, by canonical id.
pub(super) async fn list(
    store: &LedgerStore,
    session: SessionId,
    page: Page,
) -> StoreResult<Vec<Contact>> {
    let rows = db::query(&LIST)
        .bind(session.to_string())
        .bind(i64::from(page.limit))
        .bind(i64::from(page.offset))
        .fetch_all(&store.readers)
        .await;
    rows.doing("listing contacts")?.iter().map(read).collect()
}

/// One person by canonical id.
pub(super) async fn get(
    store: &LedgerStore,
    session: SessionId,
    id: &ChatId,
) -> StoreResult<Option<Contact>> {
    let row = db::query(&GET)
        .bind(session.to_string())
        .bind(id.as_str())
        .fetch_optional(&store.readers)
        .await;
    row.doing("reading a contact")?.as_ref().map(read).transpose()
}

/// Remembers something about a person; `false` when it was known, or the id is not a person's.
pub(crate) async fn learn_contact(
    unit: &mut Unit,
    session: SessionId,
    id: &ChatId,
    patch: &ContactPatch,
) -> StoreResult<bool> {
    if id.kind() != ChatKind::Individual {
        return Ok(false);
    }
    let id = canonical(&mut unit.conn, session, id).await?;
    let done = db::query(&LEARN)
        .bind(session.to_string())
        .bind(id.as_str())
        .bind(patch.name.is_some())
        .bind(patch.name.as_ref().and_then(Option::as_deref))
        .bind(patch.push_name.as_deref())
        .bind(patch.blocked.map(i64::from))
        .execute(&mut unit.conn)
        .await;
    Ok(done.doing("learning a contact")?.rows_affected() == 1)
}

/// One person under two ids becomes one; what is known under the number counts more.
pub(super) async fn merge(unit: &mut Unit, session: &str, old: &str, new: &str) -> StoreResult<()> {
    for sql in [&MERGE, &MOVE] {
        db::query(sql)
            .bind(session)
            .bind(old)
            .bind(new)
            .execute(&mut unit.conn)
            .await
            .doing("merging contacts")?;
    }
    let gone = db::query(&REMOVE).bind(session).bind(old).execute(&mut unit.conn).await;
    gone.doing("merging contacts").map(|_| ())
}
