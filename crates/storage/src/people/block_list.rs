//! Who is blocked.

use std::collections::BTreeSet;

use domain::{ChatId, ChatKind, SessionId, port::StoreResult};

use super::identity::canonical;
use crate::{
    db,
    error::{Doing as _, corrupt},
    writer::Unit,
};

db::statements! {
    BLOCKED = both("select id from contact where session_id = $1 and blocked = 1");
    BLOCK = both("insert into contact (session_id, id, blocked) values ($1, $2, 1) \
         on conflict (session_id, id) do update set blocked = 1");
    UNBLOCK = both("update contact set blocked = 0 where session_id = $1 and id = $2");
}

/// Remembers exactly these people as blocked; `false` when that was known.
pub(crate) async fn learn(
    unit: &mut Unit,
    session: SessionId,
    list: &[ChatId],
) -> StoreResult<bool> {
    const DOING: &str = "learning who is blocked";
    let mut wanted = BTreeSet::new();
    for person in list.iter().filter(|id| id.kind() == ChatKind::Individual) {
        wanted.insert(canonical(&mut unit.conn, session, person).await?);
    }
    let session = session.to_string();
    let rows = db::query(&BLOCKED).bind(&session).fetch_all(&mut unit.conn).await.doing(DOING)?;
    let mut known = BTreeSet::new();
    for row in rows {
        let id: String = row.try_get("id").doing(DOING)?;
        known.insert(id.parse::<ChatId>().map_err(|_| corrupt(DOING))?);
    }
    for (sql, people) in [(&BLOCK, &wanted - &known), (&UNBLOCK, &known - &wanted)] {
        for person in people {
            db::query(sql)
                .bind(&session)
                .bind(person.as_str())
                .execute(&mut unit.conn)
                .await
                .doing(DOING)?;
        }
    }
    Ok(wanted != known)
}
