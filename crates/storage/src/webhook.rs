//! Webhooks. Secrets and headers are encrypted.

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WebhookId,
    event::Subscription,
    filter::Filters,
    port::{Page, StoreResult, WebhookStore},
    webhook::{LaneOrder, Secret, Webhook},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use crate::{
    crypt::Cipher,
    error::{Doing as _, corrupt},
    open::SqliteStore,
};

const INSERT: &str = "insert into webhook (id, session_id, url, events, filters, headers, secret, active, retry_count, \
     lane_order, last_triggered_at, created_at, updated_at) \
     select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 \
     where $14 = 0 or (select count(*) from webhook where session_id = $2) < $14";
const UPDATE: &str = "update webhook set url = $2, events = $3, filters = $4, headers = $5, secret = $6, active = $7, \
     retry_count = $8, lane_order = $9, updated_at = $10 where id = $1";
const GET: &str = "select * from webhook where id = $1";
const OF_SESSION: &str = "select * from webhook where session_id = $1 order by position desc";
const LIST: &str = "select * from webhook where ($1 is null or session_id = $1) order by position desc \
     limit $2 offset $3";
const DELETE: &str = "delete from webhook where id = $1";

fn read(row: &SqliteRow, cipher: &Cipher) -> StoreResult<Webhook> {
    const DOING: &str = "reading a webhook";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(DOING);
    let sealed = |name: &str| row.try_get::<Option<Vec<u8>>, _>(name).doing(DOING);
    let id_text = text("id")?;
    let open = |name: &str| {
        let stored = sealed(name)?;
        stored.map(|stored| cipher.open_text(&["webhook", &id_text, name], &stored)).transpose()
    };
    let filters: Option<String> = row.try_get("filters").doing(DOING)?;
    let headers = open("headers")?;
    Ok(Webhook {
        id: id_text.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        url: text("url")?,
        events: serde_json::from_str::<Vec<Subscription>>(&text("events")?).map_err(|_| bad())?,
        filters: filters
            .map(|f| serde_json::from_str::<Filters>(&f).map_err(|_| bad()))
            .transpose()?,
        headers: headers.map_or(Ok(vec![]), |h| serde_json::from_str(&h).map_err(|_| bad()))?,
        secret: open("secret")?.map(Secret::new),
        active: number("active")? == 1,
        retry_count: u8::try_from(number("retry_count")?).map_err(|_| bad())?,
        order: LaneOrder::parse(&text("lane_order")?).ok_or_else(bad)?,
        last_triggered_at: row
            .try_get::<Option<i64>, _>("last_triggered_at")
            .doing(DOING)?
            .map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(number("created_at")?),
        updated_at: Timestamp::from_millis(number("updated_at")?),
    })
}

/// The columns that hold more than one value, as stored.
struct Stored {
    events: String,
    filters: Option<String>,
    headers: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
}

fn stored(webhook: &Webhook, cipher: &Cipher) -> Stored {
    let id = webhook.id.to_string();
    let headers = (!webhook.headers.is_empty())
        .then(|| cipher.seal_text(&["webhook", &id, "headers"], &json(&webhook.headers)));
    let secret = webhook
        .secret
        .as_ref()
        .map(|secret| cipher.seal_text(&["webhook", &id, "secret"], secret.expose()));
    Stored {
        events: json(&webhook.events),
        filters: webhook.filters.as_ref().map(json),
        headers,
        secret,
    }
}

/// Plain data always serialises.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data always serialises")
}

/// All webhooks of a session.
pub(crate) async fn of_session(
    conn: &mut SqliteConnection,
    session: SessionId,
    cipher: &Cipher,
) -> StoreResult<Vec<Webhook>> {
    let rows = sqlx::query(OF_SESSION).bind(session.to_string()).fetch_all(conn).await;
    rows.doing("reading a session's webhooks")?.iter().map(|row| read(row, cipher)).collect()
}

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn insert(&self, webhook: &Webhook, most: u32) -> StoreResult<bool> {
        let webhook = webhook.clone();
        self.writer
            .run("storing a webhook", move |unit| {
                Box::pin(async move {
                    let stored = stored(&webhook, &unit.cipher);
                    unit.webhooks.remove(&webhook.session);
                    let done = sqlx::query(INSERT)
                        .bind(webhook.id.to_string())
                        .bind(webhook.session.to_string())
                        .bind(&webhook.url)
                        .bind(stored.events)
                        .bind(stored.filters)
                        .bind(stored.headers)
                        .bind(stored.secret)
                        .bind(i64::from(webhook.active))
                        .bind(i64::from(webhook.retry_count))
                        .bind(webhook.order.as_str())
                        .bind(webhook.last_triggered_at.map(Timestamp::millis))
                        .bind(webhook.created_at.millis())
                        .bind(webhook.updated_at.millis())
                        .bind(i64::from(most))
                        .execute(&mut unit.conn)
                        .await
                        .doing("storing a webhook")?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    async fn get(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        let row = sqlx::query(GET).bind(id.to_string()).fetch_optional(&self.readers).await;
        row.doing("reading a webhook")?.map(|row| read(&row, &self.cipher)).transpose()
    }

    async fn list(&self, session: Option<SessionId>, page: Page) -> StoreResult<Vec<Webhook>> {
        let rows = sqlx::query(LIST)
            .bind(session.map(|session| session.to_string()))
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await
            .doing("listing webhooks")?;
        rows.iter().map(|row| read(row, &self.cipher)).collect()
    }

    async fn update(&self, webhook: &Webhook) -> StoreResult<bool> {
        let webhook = webhook.clone();
        self.writer
            .run("changing a webhook", move |unit| {
                Box::pin(async move {
                    let stored = stored(&webhook, &unit.cipher);
                    unit.webhooks.remove(&webhook.session);
                    let done = sqlx::query(UPDATE)
                        .bind(webhook.id.to_string())
                        .bind(&webhook.url)
                        .bind(stored.events)
                        .bind(stored.filters)
                        .bind(stored.headers)
                        .bind(stored.secret)
                        .bind(i64::from(webhook.active))
                        .bind(i64::from(webhook.retry_count))
                        .bind(webhook.order.as_str())
                        .bind(webhook.updated_at.millis())
                        .execute(&mut unit.conn)
                        .await
                        .doing("changing a webhook")?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    async fn delete(&self, id: WebhookId) -> StoreResult<bool> {
        self.writer
            .run("deleting a webhook", move |unit| {
                Box::pin(async move {
                    unit.webhooks.clear();
                    let done =
                        sqlx::query(DELETE).bind(id.to_string()).execute(&mut unit.conn).await;
                    Ok(done.doing("deleting a webhook")?.rows_affected() == 1)
                })
            })
            .await
    }
}
