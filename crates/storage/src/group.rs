//! Groups.
//!
//! A row holds a whole group as JSON; a change reads, applies ([`Group::apply`]) and writes it in the transaction of
//! its event. The largest group is about 100 KiB.

use async_trait::async_trait;
use domain::{
    ChatId, SessionId, Timestamp,
    event::EventDraft,
    group::{Group, GroupChange},
    port::{GroupStore, GroupWrite, KnownGroup, Page, StoreResult},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    event_log,
    open::LedgerStore,
    people,
    writer::Unit,
};

/// A description of WhatsApp is written anew after so long even when nothing in it is different, milliseconds.
const AS_OF_EVERY_MS: i64 = 3_600_000;

db::statements! {
    // What was heard of the group since WhatsApp was asked counts more. The same description is not written again at
    // each login.
    KNOW = both("insert into chat_group (session_id, id, name, parent, data, as_of) values ($1, $2, $3, $4, $5, $6) \
         on conflict (session_id, id) do update set name = excluded.name, parent = excluded.parent, \
         data = excluded.data, as_of = excluded.as_of, stale = 0 where chat_group.changed_at <= excluded.as_of and \
         (chat_group.data <> excluded.data or chat_group.stale = 1 or chat_group.as_of < excluded.as_of - $7)");
    OUTRUN = both("update chat_group set stale = 1 where session_id = $1 and id = $2 and changed_at > $3 \
         and stale = 0");
    KEEP = DialectPair {
        sqlite: "delete from chat_group where session_id = $1 and changed_at <= $2 and as_of <= $2 and id not in \
             (select value from json_each($3))",
        postgres: "delete from chat_group where session_id = $1 and changed_at <= $2 and as_of <= $2 and id not in \
             (select json_array_elements_text($3::json))",
    };
    BEGIN = both("insert into chat_group (session_id, id, name, parent, data, as_of, changed_at) \
         values ($1, $2, $3, $4, $5, $6, $6) \
         on conflict (session_id, id) do update set name = excluded.name, parent = excluded.parent, \
         data = excluded.data, as_of = excluded.as_of, changed_at = excluded.changed_at, stale = 0");
    MOVE_ON = both("update chat_group set name = $3, data = $4, changed_at = $5, stale = case when $6 > stale then $6 else \
         stale end where session_id = $1 and id = $2");
    FORGET = both("delete from chat_group where session_id = $1 and id = $2");
    GET = both("select data, as_of, stale from chat_group where session_id = $1 and id = $2");
    LIST = both("select id, name, parent from chat_group where session_id = $1 order by id limit $2 offset $3");
}

const READING: &str = "reading a group";
const WRITING: &str = "storing a group";

fn text(group: &Group) -> StoreResult<String> {
    serde_json::to_string(group).map_err(|_| corrupt(WRITING))
}

fn read(row: &Row) -> StoreResult<KnownGroup> {
    let data: String = row.try_get("data").doing(READING)?;
    Ok(KnownGroup {
        group: serde_json::from_str(&data).map_err(|_| corrupt(READING))?,
        as_of: Timestamp::from_millis(row.try_get("as_of").doing(READING)?),
        stale: row.try_get::<i64, _>("stale").doing(READING)? == 1,
    })
}

/// Applies a write; its events are recorded whether or not the group is known. Nothing when they were before.
pub(crate) async fn write(
    unit: &mut Unit,
    (session, group): (SessionId, &ChatId),
    change: &GroupWrite,
    events: &[EventDraft],
) -> StoreResult<Option<Vec<EventDraft>>> {
    let id = session.to_string();
    let moved = match change {
        GroupWrite::Know(known, as_of) => know(unit, (session, &id), known, *as_of).await?,
        GroupWrite::Keep(groups, as_of) => {
            let ids = serde_json::to_string(groups).map_err(|_| corrupt(WRITING))?;
            let done = db::query(&KEEP).bind(&id).bind(as_of.millis()).bind(ids);
            done.execute(&mut unit.conn).await.doing(WRITING)?.rows_affected() > 0
        }
        GroupWrite::Change(change, at) => move_on(unit, (session, &id), group, change, *at).await?,
        GroupWrite::Forget => {
            let done = db::query(&FORGET).bind(&id).bind(group.as_str());
            done.execute(&mut unit.conn).await.doing(WRITING)?.rows_affected() > 0
        }
    };
    Ok((moved || !events.is_empty()).then(|| events.to_vec()))
}

/// Whether what a write tells was recorded before, or is about to be.
pub(crate) async fn is_told(
    unit: &mut Unit,
    event: &EventDraft,
    drafts: &[EventDraft],
) -> StoreResult<bool> {
    if drafts.iter().any(|draft| draft.id == event.id) {
        return Ok(true);
    }
    Ok(event_log::recorded(unit, event.id).await?.is_some())
}

async fn know(
    unit: &mut Unit,
    (session, id): (SessionId, &str),
    group: &Group,
    as_of: Timestamp,
) -> StoreResult<bool> {
    let done = db::query(&KNOW)
        .bind(id)
        .bind(group.id.as_str())
        .bind(group.name.as_str())
        .bind(group.parent.as_ref().map(ChatId::as_str))
        .bind(text(group)?)
        .bind(as_of.millis())
        .bind(AS_OF_EVERY_MS)
        .execute(&mut unit.conn)
        .await;
    let written = done.doing(WRITING)?.rows_affected() > 0;
    if written {
        people::name_chat(unit, session, &group.id, &group.name).await?;
    } else {
        let done = db::query(&OUTRUN).bind(id).bind(group.id.as_str()).bind(as_of.millis());
        done.execute(&mut unit.conn).await.doing(WRITING)?;
    }
    Ok(written)
}

async fn move_on(
    unit: &mut Unit,
    (session, id): (SessionId, &str),
    group: &ChatId,
    change: &GroupChange,
    at: Timestamp,
) -> StoreResult<bool> {
    if let GroupChange::Begun { group: begun, .. } = change {
        let done = db::query(&BEGIN)
            .bind(id)
            .bind(group.as_str())
            .bind(begun.name.as_str())
            .bind(begun.parent.as_ref().map(ChatId::as_str))
            .bind(text(begun)?)
            .bind(at.millis())
            .execute(&mut unit.conn)
            .await;
        done.doing(WRITING)?;
        people::name_chat(unit, session, group, &begun.name).await?;
        return Ok(true);
    }
    if let GroupChange::Name(name) = change {
        people::name_chat(unit, session, group, name).await?;
    }
    let row = db::query(&GET).bind(id).bind(group.as_str()).fetch_optional(&mut unit.conn).await;
    let Some(row) = row.doing(READING)? else { return Ok(false) };
    let mut known = read(&row)?.group;
    let stale = matches!(change, GroupChange::MembersMoved(_));
    if !known.apply(change) && !stale {
        return Ok(false);
    }
    let done = db::query(&MOVE_ON)
        .bind(id)
        .bind(group.as_str())
        .bind(known.name.as_str())
        .bind(text(&known)?)
        .bind(at.millis())
        .bind(i64::from(stale))
        .execute(&mut unit.conn)
        .await;
    done.doing(WRITING)?;
    Ok(true)
}

#[async_trait]
impl GroupStore for LedgerStore {
    async fn known_group(
        &self,
        session: SessionId,
        group: &ChatId,
    ) -> StoreResult<Option<KnownGroup>> {
        let row = db::query(&GET)
            .bind(session.to_string())
            .bind(group.as_str())
            .fetch_optional(&self.readers)
            .await;
        row.doing(READING)?.as_ref().map(read).transpose()
    }

    async fn known_groups(
        &self,
        session: SessionId,
        page: Page,
    ) -> StoreResult<Vec<(ChatId, String, Option<ChatId>)>> {
        const DOING: &str = "listing groups";
        let rows = db::query(&LIST)
            .bind(session.to_string())
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let chat = |text: String| text.parse::<ChatId>().map_err(|_| corrupt(DOING));
        let mut groups = Vec::with_capacity(rows.len());
        for row in rows {
            let parent: Option<String> = row.try_get("parent").doing(DOING)?;
            groups.push((
                chat(row.try_get("id").doing(DOING)?)?,
                row.try_get("name").doing(DOING)?,
                parent.map(chat).transpose()?,
            ));
        }
        Ok(groups)
    }
}
