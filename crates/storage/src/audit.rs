//! The audit.

use async_trait::async_trait;
use domain::{
    Timestamp,
    log::{AuditEntry, AuditQuery, Severity},
    port::{AuditLog, Page, StoreResult},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    INSERT = both("insert into audit (id, action, severity, api_key_id, api_key_name, session_id, session_name, ip, \
         user_agent, method, path, status_code, metadata, error_message, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)");
    // One picture of both: the count fits the rows. A page behind the end is one row without an entry.
    LIST = both("with found as (select * from audit where ($1 is null or action = $1) and ($2 is null or severity \
         = $2) \
         and ($3 is null or session_id = $3) and ($4 is null or api_key_id = $4)) \
         select (select count(*) from found) as total, page.* from (select 1 as one) as one \
         left join (select * from found order by position desc limit $5 offset $6) as page on true \
         order by page.position desc");
    PRUNE = both("delete from audit where position in \
         (select position from audit where created_at < $1 order by created_at limit $2)");
}

fn read(row: &Row) -> StoreResult<AuditEntry> {
    const DOING: &str = "reading the audit";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let needed = |name: &str| text(name)?.ok_or_else(bad);
    let number = |name: &str| row.try_get::<Option<i64>, _>(name).doing(DOING);
    let metadata = text("metadata")?;
    let status = number("status_code")?;
    Ok(AuditEntry {
        id: needed("id")?.parse().map_err(|_| bad())?,
        action: needed("action")?,
        severity: Severity::parse(&needed("severity")?).ok_or_else(bad)?,
        api_key: text("api_key_id")?.map(|id| id.parse().map_err(|_| bad())).transpose()?,
        api_key_name: text("api_key_name")?,
        session: text("session_id")?.map(|id| id.parse().map_err(|_| bad())).transpose()?,
        session_name: text("session_name")?,
        ip: text("ip")?,
        user_agent: text("user_agent")?,
        method: text("method")?,
        path: text("path")?,
        status_code: status.map(|code| u16::try_from(code).map_err(|_| bad())).transpose()?,
        metadata: metadata
            .map(|json| serde_json::from_str(&json).map_err(|_| bad()))
            .transpose()?
            .unwrap_or_default(),
        error_message: text("error_message")?,
        created_at: Timestamp::from_millis(number("created_at")?.ok_or_else(bad)?),
    })
}

/// Writes entries, one after another.
pub(crate) async fn insert_all(unit: &mut Unit, entries: &[AuditEntry]) -> StoreResult<()> {
    for entry in entries {
        insert(unit, entry).await?;
    }
    Ok(())
}

/// Writes an entry within the transaction of what it reports.
pub(crate) async fn insert(unit: &mut Unit, entry: &AuditEntry) -> StoreResult<()> {
    let metadata = (!entry.metadata.is_null()).then(|| entry.metadata.to_string());
    db::query(&INSERT)
        .bind(entry.id.to_string())
        .bind(&entry.action)
        .bind(entry.severity.as_str())
        .bind(entry.api_key.map(|id| id.to_string()))
        .bind(entry.api_key_name.as_deref())
        .bind(entry.session.map(|id| id.to_string()))
        .bind(entry.session_name.as_deref())
        .bind(entry.ip.as_deref())
        .bind(entry.user_agent.as_deref())
        .bind(entry.method.as_deref())
        .bind(entry.path.as_deref())
        .bind(entry.status_code.map(i64::from))
        .bind(metadata)
        .bind(entry.error_message.as_deref())
        .bind(entry.created_at.millis())
        .execute(&mut unit.conn)
        .await
        .doing("writing the audit")
        .map(|_| ())
}

#[async_trait]
impl AuditLog for LedgerStore {
    async fn append_audit(&self, entries: Vec<AuditEntry>) -> StoreResult<()> {
        self.writer.audit(entries).await
    }

    async fn audit_entries(
        &self,
        query: &AuditQuery,
        page: Page,
    ) -> StoreResult<(Vec<AuditEntry>, u64)> {
        const DOING: &str = "reading the audit";
        let severity = query.severity.map(Severity::as_str);
        let session = query.session.map(|id| id.to_string());
        let api_key = query.api_key.map(|id| id.to_string());
        let rows = db::query(&LIST)
            .bind(query.action.as_deref())
            .bind(severity)
            .bind(session)
            .bind(api_key)
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let mut entries = Vec::with_capacity(rows.len());
        let mut total = 0;
        for row in &rows {
            total = row.try_get::<i64, _>("total").doing(DOING)?;
            if row.try_get::<Option<String>, _>("id").doing(DOING)?.is_some() {
                entries.push(read(row)?);
            }
        }
        Ok((entries, u64::try_from(total).unwrap_or(0)))
    }

    async fn prune_audit(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        const DOING: &str = "pruning the audit";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&PRUNE)
                        .bind(before.millis())
                        .bind(i64::from(limit))
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing(DOING)?.rows_affected())
                })
            })
            .await
    }
}
