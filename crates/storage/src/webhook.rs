//! Webhooks. Secrets and headers are encrypted.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WebhookId,
    delivery::{Health, PauseReason, PolicyChoice},
    event::Subscription,
    filter::Filters,
    port::{Page, StoreResult, WebhookStore},
    webhook::{LaneOrder, PreviousSecret, Secret, Webhook, WebhookStop},
};

use crate::{
    crypt::Cipher,
    db::{self, Conn, Row},
    delivery::attempts,
    error::{Doing as _, corrupt},
    open::LedgerStore,
    removal,
    session::list_of,
    unreadable::UnreadableRows,
    writer::{Unit, lock_webhooks, touch, touch_of},
};

db::statements! {
    INSERT = both("insert into webhook (id, session_id, url, events, filters, headers, secret, active, retry_count, \
         lane_order, last_triggered_at, created_at, updated_at, policy, previous_secret, previous_secret_until, \
         signing_key, \
         health, held_until) \
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19 \
         where $20 = 0 or (select count(*) from webhook where session_id = $2 and deleted = 0) < $20");
    // The health is not the user's: outcomes change it, and a pause does.
    UPDATE = both("update webhook set url = $2, events = $3, filters = $4, headers = $5, secret = $6, active = $7, \
         retry_count = $8, lane_order = $9, updated_at = $10, policy = $11, previous_secret = $12, \
         previous_secret_until = $13, signing_key = $14 where id = $1 and deleted = 0 and ($15 is null or \
         updated_at = $15)");
    SET_HEALTH = both("update webhook set health = $2, held_until = $3 where id = $1");
    GET = both("select * from webhook where id = $1 and deleted = 0");
    OF_SESSION = both("select * from webhook where session_id = $1 and deleted = 0 order by position desc");
    LIST = both("select * from webhook where deleted = 0 and ($1 is null or session_id = $1) order by position desc \
         limit $2 offset $3");
    AMONG = DialectPair {
        sqlite: "select webhook.* from json_each($1) as one cross join webhook on webhook.session_id = one.value \
             where webhook.deleted = 0 order by webhook.position desc",
        postgres: "select * from webhook where session_id in (select json_array_elements_text($1::json)) \
             and deleted = 0 order by position desc",
    };
    DEGRADED = both("select id, health from webhook where health <> '{}'");
}

/// What a row of it is called where it cannot be read.
pub(crate) const WEBHOOK: &str = "webhook";

/// How no `retry_count` is stored.
const NOT_GIVEN: i64 = -1;

/// The health column of a row.
pub(crate) fn health(row: &Row) -> StoreResult<Health> {
    json_of(row, "health")
}

/// The policy column of a row.
pub(crate) fn policy(row: &Row) -> StoreResult<PolicyChoice> {
    json_of(row, "policy")
}

/// What the policy column has beside the policy.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BesidePolicy {
    tls_ca: Option<String>,
}

/// The policy column as it is stored.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyColumn<'a> {
    #[serde(flatten)]
    policy: &'a PolicyChoice,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ca: Option<&'a str>,
}

fn json_of<T: serde::de::DeserializeOwned + Default>(row: &Row, column: &str) -> StoreResult<T> {
    const DOING: &str = "reading a webhook";
    let text: String = row.try_get(column).doing(DOING)?;
    if text == "{}" {
        return Ok(T::default());
    }
    serde_json::from_str(&text).map_err(|_| corrupt(DOING))
}

/// A health as its column has it: a healthy one is `{}`, so that the others are found.
pub(crate) fn stored_health(health: &Health) -> String {
    if health.is_sound() { "{}".into() } else { json(health) }
}

fn read(row: &Row, cipher: &Cipher) -> StoreResult<Webhook> {
    const DOING: &str = "reading a webhook";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(DOING);
    let time = |name: &str| {
        let millis = row.try_get::<Option<i64>, _>(name).doing(DOING);
        millis.map(|millis| millis.map(Timestamp::from_millis))
    };
    let sealed = |name: &str| row.try_get::<Option<Vec<u8>>, _>(name).doing(DOING);
    let id_text = text("id")?;
    let open = |name: &str| {
        let stored = sealed(name)?;
        stored.map(|stored| cipher.open_text(&["webhook", &id_text, name], &stored)).transpose()
    };
    let filters: Option<String> = row.try_get("filters").doing(DOING)?;
    let headers = open("headers")?;
    let previous = open("previous_secret")?.map(Secret::new).zip(time("previous_secret_until")?);
    let retry_count = number("retry_count")?;
    let retry_count = (retry_count != NOT_GIVEN).then_some(retry_count);
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
        previous_secret: previous.map(|(secret, until)| PreviousSecret { secret, until }),
        signing_key: open("signing_key")?.map(Secret::new),
        active: number("active")? == 1,
        retry_count: retry_count.map(u8::try_from).transpose().map_err(|_| bad())?,
        policy: policy(row)?,
        tls_ca: json_of::<BesidePolicy>(row, "policy")?.tls_ca,
        health: health(row)?,
        order: LaneOrder::parse(&text("lane_order")?).ok_or_else(bad)?,
        last_triggered_at: time("last_triggered_at")?,
        created_at: Timestamp::from_millis(number("created_at")?),
        updated_at: Timestamp::from_millis(number("updated_at")?),
    })
}

/// The columns that hold more than one value, as stored.
struct SealedSecrets {
    events: String,
    filters: Option<String>,
    headers: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<i64>,
    signing_key: Option<Vec<u8>>,
    policy: String,
    retry_count: i64,
}

fn stored(webhook: &Webhook, cipher: &Cipher) -> SealedSecrets {
    let id = webhook.id.to_string();
    let seal = |name: &str, text: &str| cipher.seal_text(&["webhook", &id, name], text);
    let secret =
        |name: &str, secret: Option<&Secret>| secret.map(|secret| seal(name, secret.expose()));
    let previous = webhook.previous_secret.as_ref();
    SealedSecrets {
        events: json(&webhook.events),
        filters: webhook.filters.as_ref().map(json),
        headers: (!webhook.headers.is_empty()).then(|| seal("headers", &json(&webhook.headers))),
        secret: secret("secret", webhook.secret.as_ref()),
        previous_secret: secret("previous_secret", previous.map(|previous| &previous.secret)),
        previous_until: previous.map(|previous| previous.until.millis()),
        signing_key: secret("signing_key", webhook.signing_key.as_ref()),
        policy: json(&PolicyColumn { policy: &webhook.policy, tls_ca: webhook.tls_ca.as_deref() }),
        retry_count: webhook.retry_count.map_or(NOT_GIVEN, i64::from),
    }
}

/// Plain data always serialises.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data always serialises")
}

/// What decides which events a webhook gets, and in which lanes. It leaves nothing by this: its deliveries are
/// stored, and wait until all of its row can be read.
fn receiving(row: &Row) -> StoreResult<Webhook> {
    const DOING: &str = "reading which events a webhook gets";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let filters: Option<String> = row.try_get("filters").doing(DOING)?;
    Ok(Webhook {
        id: text("id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        url: String::new(),
        events: serde_json::from_str::<Vec<Subscription>>(&text("events")?).map_err(|_| bad())?,
        filters: filters.map(|f| serde_json::from_str(&f).map_err(|_| bad())).transpose()?,
        headers: vec![],
        secret: None,
        previous_secret: None,
        signing_key: None,
        active: row.try_get::<i64, _>("active").doing(DOING)? == 1,
        retry_count: None,
        policy: PolicyChoice::default(),
        tls_ca: None,
        health: Health::default(),
        order: LaneOrder::parse(&text("lane_order")?).ok_or_else(bad)?,
        last_triggered_at: None,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    })
}

/// All webhooks of a session that may get events.
pub(crate) async fn of_session(unit: &mut Unit, session: SessionId) -> StoreResult<Vec<Webhook>> {
    let rows = db::query(&OF_SESSION).bind(session.to_string()).fetch_all(&mut unit.conn).await;
    let mut webhooks = Vec::new();
    for row in &rows.doing("reading a session's webhooks")? {
        let whole = unit.unreadable.row(WEBHOOK, &["id"], row, read(row, &unit.cipher));
        // Without even that, events pass it by; the others of its session get theirs.
        let known = || unit.unreadable.row("webhook's events", &["id"], row, receiving(row));
        webhooks.extend(whole.or_else(known));
    }
    Ok(webhooks)
}

/// One webhook that is reported to others; `None` when there is none that can be read.
pub(crate) async fn readable(unit: &mut Unit, id: WebhookId) -> StoreResult<Option<Webhook>> {
    let row = db::query(&GET).bind(id.to_string()).fetch_optional(&mut unit.conn).await;
    let row = row.doing("reading a webhook")?;
    Ok(row.and_then(|row| unit.unreadable.row(WEBHOOK, &["id"], &row, read(&row, &unit.cipher))))
}

/// One webhook with its secrets decrypted.
async fn one(conn: &mut Conn, id: WebhookId, cipher: &Cipher) -> StoreResult<Option<Webhook>> {
    let row = db::query(&GET).bind(id.to_string()).fetch_optional(conn).await;
    row.doing("reading a webhook")?.map(|row| read(&row, cipher)).transpose()
}

/// The health of every webhook that is not healthy, as far as it can be read.
pub(crate) async fn degraded(
    conn: &mut Conn,
    unreadable: &UnreadableRows,
) -> StoreResult<HashMap<WebhookId, Health>> {
    const DOING: &str = "reading the health of webhooks";
    let read = |row: &Row| {
        let id: String = row.try_get("id").doing(DOING)?;
        Ok((id.parse().map_err(|_| corrupt(DOING))?, health(row)?))
    };
    let rows = db::query(&DEGRADED).fetch_all(conn).await.doing(DOING)?;
    Ok(unreadable.rows("webhook's health", &["id"], &rows, read).into_iter().collect())
}

/// Changes the health of a webhook by hand; `false` when it is unknown.
async fn change_health(
    unit: &mut Unit,
    id: WebhookId,
    change: impl FnOnce(&mut Health),
) -> StoreResult<bool> {
    const DOING: &str = "pausing or resuming a webhook";
    let cipher = unit.cipher.clone();
    touch_of(unit, id).await?;
    lock_webhooks(unit, &[id.to_string()]).await?;
    let Some(webhook) = one(&mut unit.conn, id, &cipher).await? else { return Ok(false) };
    let mut health = webhook.health;
    change(&mut health);
    if health == webhook.health {
        return Ok(true);
    }
    unit.degraded = None;
    unit.webhooks.changed();
    db::query(&SET_HEALTH)
        .bind(id.to_string())
        .bind(stored_health(&health))
        .bind(health.held_until().map_or(0, Timestamp::millis))
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    if let (None, Some(pause)) = (webhook.health.pause, health.pause) {
        let stop = WebhookStop::Paused(pause.reason);
        attempts::notice_stop(unit, id, stop, pause.at).await?;
    }
    Ok(true)
}

impl LedgerStore {
    /// Replaces what a user may change; with a time only if it was changed last at that time.
    async fn change_webhook(&self, webhook: &Webhook, was: Option<Timestamp>) -> StoreResult<bool> {
        let webhook = webhook.clone();
        self.writer
            .run("changing a webhook", move |unit| {
                Box::pin(async move {
                    touch(unit, webhook.session).await?;
                    let stored = stored(&webhook, &unit.cipher);
                    unit.webhooks.remove(&webhook.session);
                    let done = db::query(&UPDATE)
                        .bind(webhook.id.to_string())
                        .bind(&webhook.url)
                        .bind(stored.events)
                        .bind(stored.filters)
                        .bind(stored.headers)
                        .bind(stored.secret)
                        .bind(i64::from(webhook.active))
                        .bind(stored.retry_count)
                        .bind(webhook.order.as_str())
                        .bind(webhook.updated_at.millis())
                        .bind(stored.policy)
                        .bind(stored.previous_secret)
                        .bind(stored.previous_until)
                        .bind(stored.signing_key)
                        .bind(was.map(Timestamp::millis))
                        .execute(&mut unit.conn)
                        .await
                        .doing("changing a webhook")?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// A webhook from memory, as of the last commit.
    pub(crate) async fn receiver_of(&self, id: WebhookId) -> StoreResult<Option<Arc<Webhook>>> {
        let (known, version) = self.caches.receivers.get(id);
        if known.is_some() {
            return Ok(known);
        }
        let read = self.webhook(id).await?.map(Arc::new);
        if let Some(webhook) = &read {
            self.caches.receivers.keep(webhook.clone(), version);
        }
        Ok(read)
    }
}

#[async_trait]
impl WebhookStore for LedgerStore {
    async fn insert_webhook(&self, webhook: &Webhook, most: u32) -> StoreResult<bool> {
        let webhook = webhook.clone();
        self.writer
            .run("storing a webhook", move |unit| {
                Box::pin(async move {
                    touch(unit, webhook.session).await?;
                    let stored = stored(&webhook, &unit.cipher);
                    unit.webhooks.remove(&webhook.session);
                    let done = db::query(&INSERT)
                        .bind(webhook.id.to_string())
                        .bind(webhook.session.to_string())
                        .bind(&webhook.url)
                        .bind(stored.events)
                        .bind(stored.filters)
                        .bind(stored.headers)
                        .bind(stored.secret)
                        .bind(i64::from(webhook.active))
                        .bind(stored.retry_count)
                        .bind(webhook.order.as_str())
                        .bind(webhook.last_triggered_at.map(Timestamp::millis))
                        .bind(webhook.created_at.millis())
                        .bind(webhook.updated_at.millis())
                        .bind(stored.policy)
                        .bind(stored.previous_secret)
                        .bind(stored.previous_until)
                        .bind(stored.signing_key)
                        .bind(stored_health(&webhook.health))
                        .bind(webhook.health.held_until().map_or(0, Timestamp::millis))
                        .bind(i64::from(most))
                        .execute(&mut unit.conn)
                        .await
                        .doing("storing a webhook")?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    async fn webhook(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        let row = db::query(&GET).bind(id.to_string()).fetch_optional(&self.readers).await;
        row.doing("reading a webhook")?.map(|row| read(&row, &self.cipher)).transpose()
    }

    async fn webhooks(&self, session: Option<SessionId>, page: Page) -> StoreResult<Vec<Webhook>> {
        let rows = db::query(&LIST)
            .bind(session.map(|session| session.to_string()))
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await
            .doing("listing webhooks")?;
        Ok(self.unreadable.rows(WEBHOOK, &["id"], &rows, |row| read(row, &self.cipher)))
    }

    async fn webhooks_among(&self, sessions: &[SessionId]) -> StoreResult<Vec<Webhook>> {
        let rows = db::query(&AMONG).bind(list_of(sessions)).fetch_all(&self.readers).await;
        let read = |row: &Row| read(row, &self.cipher);
        Ok(self.unreadable.rows(WEBHOOK, &["id"], &rows.doing("listing webhooks")?, read))
    }

    async fn update_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        self.change_webhook(webhook, None).await
    }

    async fn update_webhook_if_unchanged(
        &self,
        webhook: &Webhook,
        was: Timestamp,
    ) -> StoreResult<bool> {
        self.change_webhook(webhook, Some(was)).await
    }

    async fn delete_webhook(&self, id: WebhookId) -> StoreResult<bool> {
        let deleted = self
            .writer
            .run("deleting a webhook", move |unit| Box::pin(removal::webhook(unit, id)))
            .await;
        self.caches.forget_webhook(id);
        deleted
    }

    async fn pause_webhook(&self, id: WebhookId, at: Timestamp) -> StoreResult<bool> {
        self.writer
            .run("pausing a webhook", move |unit| {
                Box::pin(change_health(unit, id, move |health| {
                    health.pause(at, PauseReason::Requested);
                }))
            })
            .await
    }

    async fn resume_webhook(&self, id: WebhookId, now: Timestamp) -> StoreResult<bool> {
        self.writer
            .run("resuming a webhook", move |unit| {
                Box::pin(change_health(unit, id, move |health| health.resume(now)))
            })
            .await
    }
}
