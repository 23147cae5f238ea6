//! Files that nothing refers to any longer.
//!
//! A trigger notes a file in the commit that takes a reference away: of a message's record, or of an item of a batch.
//! From a while later on it may go, unless something refers to it by then.

use domain::{MediaId, Timestamp, port::StoreResult};
use serde_json::json;

use crate::{
    db,
    error::{Doing as _, corrupt},
    open::LedgerStore,
};

const DOING: &str = "looking for files to remove";

db::statements! {
    ANY = both("select exists (select 1 from media_removal where due_at <= $1)");
    FIRST_SEEN = both("update media_removal set due_at = $1 where file in \
         (select file from media_removal where due_at = 0 limit $2)");
    // Somebody sends or stored the same bytes again.
    STILL_WANTED = both("delete from media_removal where file in \
         (select file from media_removal where due_at > 0 and due_at <= $1 order by due_at limit $2) and \
         (exists (select 1 from media where media.file = media_removal.file) or \
         exists (select 1 from batch_item where batch_item.file = media_removal.file and batch_item.content is not \
         null))");
    // None while there are items of batches of which the file is not known.
    DUE = both("select file from media_removal where due_at > 0 and due_at <= $1 and not exists \
         (select 1 from batch_item where file = '?' and content is not null) order by due_at limit $2");
    REMOVED = DialectPair {
        sqlite: "delete from media_removal where file in (select value from json_each($1))",
        postgres: "delete from media_removal where file in (select json_array_elements_text($1::json))",
    };
    POSTPONE = DialectPair {
        sqlite: "update media_removal set due_at = $2 where file in (select value from json_each($1))",
        postgres: "update media_removal set due_at = $2 where file in (select json_array_elements_text($1::json))",
    };
    UNKNOWN = DialectPair {
        sqlite: "select one.value as file from json_each($1) as one where \
             not exists (select 1 from media where file = one.value) and not exists \
             (select 1 from batch_item where file = one.value and content is not null) and not exists \
             (select 1 from media_removal where file = one.value)",
        postgres: "select one.value as file from json_array_elements_text($1::json) as one(value) where \
             not exists (select 1 from media where file = one.value) and not exists \
             (select 1 from batch_item where file = one.value and content is not null) and not exists \
             (select 1 from media_removal where file = one.value)",
    };
    LET_GO = DialectPair {
        sqlite: "insert into media_removal (file) select value from json_each($1) where true on conflict (file) do \
             nothing",
        postgres: "insert into media_removal (file) select json_array_elements_text($1::json) on conflict (file) \
             do nothing",
    };
}

fn list(files: &[MediaId]) -> String {
    json!(files.iter().map(MediaId::as_str).collect::<Vec<_>>()).to_string()
}

/// Files that may go now.
pub(crate) async fn due(
    store: &LedgerStore,
    now: Timestamp,
    from: Timestamp,
    limit: u32,
) -> StoreResult<Vec<MediaId>> {
    let any: bool =
        db::query_scalar(&ANY).bind(now.millis()).fetch_one(&store.readers).await.doing(DOING)?;
    if !any {
        return Ok(vec![]);
    }
    let due = store.writer.run(DOING, move |unit| {
        Box::pin(async move {
            let limit = i64::from(limit);
            for (sql, at) in [(&FIRST_SEEN, from), (&STILL_WANTED, now)] {
                let query = db::query(sql).bind(at.millis()).bind(limit);
                query.execute(&mut unit.conn).await.doing(DOING)?;
            }
            let due = db::query_scalar::<String>(&DUE).bind(now.millis()).bind(limit);
            due.fetch_all(&mut unit.conn).await.doing(DOING)
        })
    });
    due.await?.iter().map(|file| MediaId::parse(file).ok_or_else(|| corrupt(DOING))).collect()
}

/// They are gone; or they are looked at again from a time on.
pub(crate) async fn settle(
    store: &LedgerStore,
    files: &[MediaId],
    again: Option<Timestamp>,
) -> StoreResult<()> {
    if files.is_empty() {
        return Ok(());
    }
    let files = list(files);
    store
        .writer
        .run("removing files", move |unit| {
            Box::pin(async move {
                let query = match again {
                    None => db::query(&REMOVED).bind(files),
                    Some(at) => db::query(&POSTPONE).bind(files).bind(at.millis()),
                };
                query.execute(&mut unit.conn).await.doing("removing files").map(|_| ())
            })
        })
        .await
}

/// Notes those of these files that nothing refers to; how many.
pub(crate) async fn note(store: &LedgerStore, files: &[MediaId]) -> StoreResult<u64> {
    let unknown: Vec<String> = db::query_scalar(&UNKNOWN)
        .bind(list(files))
        .fetch_all(&store.readers)
        .await
        .doing(DOING)?;
    if unknown.is_empty() {
        return Ok(0);
    }
    let files = json!(unknown).to_string();
    store
        .writer
        .run(DOING, move |unit| {
            Box::pin(async move {
                let done = db::query(&LET_GO).bind(files).execute(&mut unit.conn).await;
                Ok(done.doing(DOING)?.rows_affected())
            })
        })
        .await
}
