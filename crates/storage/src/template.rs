//! Templates.

use async_trait::async_trait;
use domain::{
    SessionId, TemplateId, Timestamp,
    port::{StoreResult, TemplateStore},
    template::Template,
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
};

db::statements! {
    INSERT = both("insert into template (id, session_id, name, body, header, footer, created_at, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (session_id, name) do nothing");
    GET = both("select * from template where id = $1 and session_id = $2");
    BY_NAME = both("select * from template where session_id = $1 and name = $2");
    LIST = both("select * from template where session_id = $1 order by position desc");
    TAKEN = both("select exists (select 1 from template where session_id = $1 and name = $2 and id <> $3)");
    UPDATE = both("update template set name = $3, body = $4, header = $5, footer = $6, updated_at = $7 \
         where id = $1 and session_id = $2");
    DELETE = both("delete from template where id = $1 and session_id = $2");
}

fn read(row: &Row) -> StoreResult<Template> {
    const DOING: &str = "reading a template";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let time = |name: &str| row.try_get::<i64, _>(name).doing(DOING).map(Timestamp::from_millis);
    Ok(Template {
        id: text("id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        name: text("name")?,
        body: text("body")?,
        header: row.try_get("header").doing(DOING)?,
        footer: row.try_get("footer").doing(DOING)?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
    })
}

#[async_trait]
impl TemplateStore for LedgerStore {
    async fn insert_template(&self, template: &Template) -> StoreResult<bool> {
        let template = template.clone();
        self.writer
            .run_for(template.session, "storing a template", move |unit| {
                Box::pin(async move {
                    let done = db::query(&INSERT)
                        .bind(template.id.to_string())
                        .bind(template.session.to_string())
                        .bind(&template.name)
                        .bind(&template.body)
                        .bind(template.header.as_deref())
                        .bind(template.footer.as_deref())
                        .bind(template.created_at.millis())
                        .bind(template.updated_at.millis())
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing("storing a template")?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn template(&self, session: SessionId, id: TemplateId) -> StoreResult<Option<Template>> {
        let row = db::query(&GET)
            .bind(id.to_string())
            .bind(session.to_string())
            .fetch_optional(&self.readers)
            .await;
        row.doing("reading a template")?.as_ref().map(read).transpose()
    }

    async fn template_by_name(
        &self,
        session: SessionId,
        name: &str,
    ) -> StoreResult<Option<Template>> {
        let row = db::query(&BY_NAME)
            .bind(session.to_string())
            .bind(name)
            .fetch_optional(&self.readers)
            .await;
        row.doing("reading a template")?.as_ref().map(read).transpose()
    }

    async fn templates(&self, session: SessionId) -> StoreResult<Vec<Template>> {
        let rows = db::query(&LIST).bind(session.to_string()).fetch_all(&self.readers).await;
        rows.doing("listing templates")?.iter().map(read).collect()
    }

    async fn update_template(&self, template: &Template) -> StoreResult<Option<bool>> {
        const DOING: &str = "changing a template";
        let template = template.clone();
        self.writer
            .run_for(template.session, DOING, move |unit| {
                Box::pin(async move {
                    let (id, session) = (template.id.to_string(), template.session.to_string());
                    let found = db::query(&GET)
                        .bind(&id)
                        .bind(&session)
                        .fetch_optional(&mut unit.conn)
                        .await;
                    if found.doing(DOING)?.is_none() {
                        return Ok(None);
                    }
                    let taken: bool = db::query_scalar(&TAKEN)
                        .bind(&session)
                        .bind(&template.name)
                        .bind(&id)
                        .fetch_one(&mut unit.conn)
                        .await
                        .doing(DOING)?;
                    if taken {
                        return Ok(Some(false));
                    }
                    db::query(&UPDATE)
                        .bind(&id)
                        .bind(&session)
                        .bind(&template.name)
                        .bind(&template.body)
                        .bind(template.header.as_deref())
                        .bind(template.footer.as_deref())
                        .bind(template.updated_at.millis())
                        .execute(&mut unit.conn)
                        .await
                        .doing(DOING)?;
                    Ok(Some(true))
                })
            })
            .await
    }

    async fn delete_template(&self, session: SessionId, id: TemplateId) -> StoreResult<bool> {
        self.writer
            .run_for(session, "deleting a template", move |unit| {
                Box::pin(async move {
                    let done = db::query(&DELETE)
                        .bind(id.to_string())
                        .bind(session.to_string())
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing("deleting a template")?.rows_affected() == 1)
                })
            })
            .await
    }
}
