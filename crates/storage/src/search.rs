//! The search for messages: FTS5 on SQLite, text vectors on PostgreSQL. The databases index new, changed and deleted
//! messages themselves, by triggers; here are the questions, and what was there before an index.

use async_trait::async_trait;
use domain::{
    ChatId,
    port::{Page, SearchStore, StoreResult},
    search::{
        PART_HITS_MAX, SEARCH_OFFSET_MAX, SearchMatch, SearchPage, SearchQuery, SearchText, folded,
    },
};

use crate::{
    db::{self, Statement, StatementBuilder},
    error::Doing as _,
    message,
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    WORD = DialectPair {
        sqlite: "select message.* from message_text cross join message on message.position = message_text.rowid \
             where message_text match $1",
        postgres: "select message.* from message_word join message on message.position = message_word.position \
             where message_word.words @@ plainto_tsquery('simple', search_words($1))",
    };
    WORD_HITS = DialectPair {
        sqlite: "select 1 from message_text cross join message on message.position = message_text.rowid \
             where message_text match $1",
        postgres: "select 1 from message_word join message on message.position = message_word.position \
             where message_word.words @@ plainto_tsquery('simple', search_words($1))",
    };
    PART = DialectPair {
        sqlite: "select message.* from message_part cross join message on message.position = message_part.rowid \
             where message_part match $1",
        postgres: "select message.* from message_part join message on message.position = message_part.position \
             where message_part.parts @> search_parts(search_unquoted($1)) \
             and strpos(search_fold(message.body), search_fold(search_unquoted($1))) > 0",
    };
    PART_HITS = DialectPair {
        sqlite: "select 1 from message_part cross join message on message.position = message_part.rowid \
             where message_part match $1",
        postgres: "select 1 from message_part join message on message.position = message_part.position \
             where message_part.parts @> search_parts(search_unquoted($1)) \
             and strpos(search_fold(message.body), search_fold(search_unquoted($1))) > 0",
    };
    // A little above what is there: a message that is stored at the same time has a higher position.
    BEGIN = both("update search_index set active = 1, \
         below = (select coalesce(max(position), 0) + 1000 from message) where kind = $1 and active = 0");
    END = both("update search_index set active = 0, below = 0 where kind = $1 and active = 1");
    EMPTY_WORDS = DialectPair {
        sqlite: "insert into message_text (message_text) values ('delete-all')",
        postgres: "delete from message_word",
    };
    EMPTY_PARTS = DialectPair {
        sqlite: "insert into message_part (message_part) values ('delete-all')",
        postgres: "delete from message_part",
    };
    BELOW = both("select below from search_index where kind = $1 and active = 1");
    NEXT = both("select min(position) from (select position from message where position < $1 \
         order by position desc limit $2) as page");
    // Of two processes that do it at the same time one does nothing.
    MOVE = both("update search_index set below = $3 where kind = $1 and below = $2");
    INDEX_WORDS = DialectPair {
        sqlite: "insert or replace into message_text (rowid, body) select position, body from message \
             where position >= $1 and position < $2 and body <> ''",
        postgres: "insert into message_word (position, words) \
             select position, to_tsvector('simple', search_words(body)) from message \
             where position >= $1 and position < $2 and body <> '' on conflict (position) do nothing",
    };
    INDEX_PARTS = DialectPair {
        sqlite: "insert or replace into message_part (rowid, body) select position, body from message \
             where position >= $1 and position < $2 and body <> ''",
        postgres: "insert into message_part (position, parts) select position, search_parts(body) from message \
             where position >= $1 and position < $2 and body <> '' on conflict (position) do nothing",
    };
}

const DOING: &str = "searching messages";

/// The name of an index, and its statements.
struct IndexStatements {
    kind: &'static str,
    rows: &'static Statement,
    hits: &'static Statement,
    empty: &'static Statement,
    fill: &'static Statement,
}

const fn of(how: SearchMatch) -> IndexStatements {
    match how {
        SearchMatch::Word => IndexStatements {
            kind: "word",
            rows: &WORD,
            hits: &WORD_HITS,
            empty: &EMPTY_WORDS,
            fill: &INDEX_WORDS,
        },
        SearchMatch::Contains => IndexStatements {
            kind: "part",
            rows: &PART,
            hits: &PART_HITS,
            empty: &EMPTY_PARTS,
            fill: &INDEX_PARTS,
        },
    }
}

#[async_trait]
impl SearchStore for LedgerStore {
    async fn search_messages(&self, query: &SearchQuery, page: Page) -> StoreResult<SearchPage> {
        let how = query.text.how();
        let (most, statements) = match how {
            SearchMatch::Word => (SEARCH_OFFSET_MAX, of(how)),
            SearchMatch::Contains => (PART_HITS_MAX, of(how)),
        };
        let dialect = self.readers.dialect();
        let asked = fts_text(&query.text);
        let mut rows = StatementBuilder::new(statements.rows.text(dialect));
        rows.bind(asked.clone());
        narrow(&mut rows, query);
        let limit = page.limit.min(most.saturating_sub(page.offset));
        rows.push(" order by message.position desc limit ").push_bind(i64::from(limit));
        rows.push(" offset ").push_bind(i64::from(page.offset));
        let rows = rows.build().fetch_all(&self.readers).await.doing(DOING)?;

        let mut hits = StatementBuilder::new("select count(*) as total from (");
        hits.push(statements.hits.text(dialect)).bind(asked);
        narrow(&mut hits, query);
        hits.push(" limit ").push_bind(i64::from(most)).push(") as hits");
        let total = hits.build().fetch_one(&self.readers).await.doing(DOING)?;
        let total: i64 = total.try_get("total").doing(DOING)?;
        let keys = ["session_id", "wa_id"];
        Ok(SearchPage {
            messages: self.unreadable.rows("message", &keys, &rows, message::read),
            total: u64::try_from(total).unwrap_or(0),
        })
    }

    async fn switch_search(&self, how: SearchMatch, on: bool) -> StoreResult<()> {
        const DOING: &str = "switching a search";
        let statements = of(how);
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let sql = if on { &BEGIN } else { &END };
                    let query = db::query(sql).bind(statements.kind);
                    let done = query.execute(&mut unit.conn).await.doing(DOING)?;
                    if done.rows_affected() > 0 {
                        let empty = db::query(statements.empty).execute(&mut unit.conn).await;
                        empty.doing(DOING)?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn index_older(&self, how: SearchMatch, limit: u32) -> StoreResult<bool> {
        const DOING: &str = "indexing older messages";
        self.writer.run(DOING, move |unit| Box::pin(older(unit, how, limit))).await
    }
}

async fn older(unit: &mut Unit, how: SearchMatch, limit: u32) -> StoreResult<bool> {
    const DOING: &str = "indexing older messages";
    let statements = of(how);
    let below: Option<i64> = db::query_scalar(&BELOW)
        .bind(statements.kind)
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    let Some(below) = below.filter(|below| *below > 0) else { return Ok(false) };
    let next: Option<i64> = db::query_scalar(&NEXT)
        .bind(below)
        .bind(i64::from(limit))
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    let moved = db::query(&MOVE)
        .bind(statements.kind)
        .bind(below)
        .bind(next.unwrap_or(0))
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    let Some(next) = next else { return Ok(false) };
    if moved.rows_affected() > 0 {
        let fill = db::query(statements.fill).bind(next).bind(below);
        fill.execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok(true)
}

/// The question in the language of FTS5: every word in quotes, all of them wanted; or the part in quotes. PostgreSQL's
/// statements take the quotes away.
fn fts_text(text: &SearchText) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    match text.how() {
        SearchMatch::Word => {
            let words: Vec<String> = text.words().iter().map(|word| quoted(word)).collect();
            words.join(" ")
        }
        SearchMatch::Contains => quoted(&folded(text.text())),
    }
}

/// What else must hold; scopes among it.
fn narrow<'q>(builder: &mut StatementBuilder<'q>, query: &'q SearchQuery) {
    builder.push(
        " and exists (select 1 from session where session.id = message.session_id and session.deleted = 0) \
         and not exists (select 1 from removal where removal.kind = 'chat' \
         and removal.session_id = message.session_id and removal.target = message.chat \
         and message.position <= removal.through and message.status <> 'pending')",
    );
    if let Some(sessions) = &query.sessions {
        builder.push(" and message.session_id in (''");
        for session in sessions {
            builder.push(", ").push_bind(session.to_string());
        }
        builder.push(")");
    }
    if let Some(chats) = &query.chats {
        named(builder, "message.chat", chats);
    }
    if let Some(chat) = &query.chat {
        named(builder, "message.chat", std::slice::from_ref(chat));
    }
    if let Some(from) = &query.from {
        named(builder, "coalesce(message.author, message.sender)", std::slice::from_ref(from));
    }
    if let Some(direction) = query.direction {
        builder.push(" and message.direction = ").push_bind(direction.as_str());
    }
    if let Some(kind) = query.kind {
        builder.push(" and message.kind = ").push_bind(kind.as_str());
    }
    if let Some(since) = query.since {
        builder.push(" and message.timestamp * 1000 >= ").push_bind(since.millis());
    }
    if let Some(until) = query.until {
        builder.push(" and message.timestamp * 1000 < ").push_bind(until.millis());
    }
}

/// A column names one of these: as it is, or by the number behind a privacy id.
fn named<'q>(builder: &mut StatementBuilder<'q>, column: &'static str, ids: &'q [ChatId]) {
    builder.push(" and (").push(column).push(" in (''");
    for id in ids {
        builder.push(", ").push_bind(id.as_str());
    }
    builder.push(")");
    let lids: Vec<&ChatId> = ids.iter().filter(|id| id.is_lid()).collect();
    if !lids.is_empty() {
        builder.push(
            " or exists (select 1 from identity where identity.session_id = message.session_id \
             and identity.phone || '@c.us' = ",
        );
        builder.push(column).push(" and identity.lid in (''");
        for lid in lids {
            builder.push(", ").push_bind(lid.as_str());
        }
        builder.push("))");
    }
    builder.push(")");
}
