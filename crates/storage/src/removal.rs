//! Deletes of any size: marked in one write, then done in portions with everything else in between.
//!
//! What is marked is hidden from then on. The first portion goes with the mark, so that what is small is gone at
//! once; the rest is done by whoever calls [`sweep`], also after a restart.

use domain::{SessionId, WebhookId, port::StoreResult};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    plugin,
    writer::{Unit, plan_with_values, touch, touch_of},
};

/// Rows of one portion, not counted what goes with them.
pub(crate) const PORTION: u32 = 2_000;

const DOING: &str = "deleting what is marked";

db::statements! {
    FIRST = both("select position, session_id from removal order by position limit 1");
    GET = both("select position, kind, session_id, target, through from removal where position = $1");
    MARK = both("insert into removal (kind, session_id, target, through) values ($1, $2, $3, $4) returning position");
    DONE = both("delete from removal where position = $1");
    // A name may be given again at once; nobody has the right to connect it.
    HIDE_SESSION = both("update session set deleted = 1, wanted = 0, name = 'deleted ' || id, lease_owner = null, \
         lease_until = null where id = $1 and deleted = 0");
    HIDE_WEBHOOKS = both("update webhook set deleted = 1, active = 0 where session_id = $1");
    HIDE_WEBHOOK = both("update webhook set deleted = 1, active = 0 where id = $1 and deleted = 0 returning \
         session_id");
    LAST_MESSAGE = both("select coalesce(max(position), 0) from message");
    DELETE_SESSION = both("delete from session where id = $1");
    OF_WEBHOOK = both("delete from delivery where id in (select id from delivery where webhook_id = $1 limit $2)");
    DELETE_WEBHOOK = both("delete from webhook where id = $1");
    // A send whose outcome is not known stays: it is on no device yet that could have removed it.
    OF_CHAT = both("delete from message where position in (select position from message where session_id = $1 \
         and chat = $3 and status <> 'pending' and position <= $4 order by created_at desc, position desc limit $2)");
    MOVE_CHAT = both("update removal set target = $3 where kind = 'chat' and session_id = $1 and target = $2");
    DELIVERIES = both("delete from delivery where id in (select delivery.id from webhook join delivery on \
         delivery.webhook_id = webhook.id \
         where webhook.session_id = $1 limit $2)");
    EVENTS = both("delete from event where position in (select position from event where session_id = $1 limit $2)");
    MESSAGES = both("delete from message where position in (select position from message where session_id = $1 \
         limit $2)");
    DEVICE_KEYS = both("delete from device_key where (session_id, namespace, key) in \
         (select session_id, namespace, key from device_key where session_id = $1 limit $2)");
    BATCH_ITEMS = both("delete from batch_item where (batch, place) in (select batch_item.batch, batch_item.place \
         from batch \
         join batch_item on batch_item.batch = batch.position where batch.session_id = $1 limit $2)");
    CONTACTS = both("delete from contact where (session_id, id) in (select session_id, id from contact where \
         session_id = $1 limit $2)");
    CHATS = both("delete from chat where (session_id, id) in (select session_id, id from chat where session_id = \
         $1 limit $2)");
    IDENTITIES = both("delete from identity where position in (select position from identity where session_id = $1 \
         limit $2)");
    PHONE_FORMS = both("delete from phone_form where (session_id, asked) in \
         (select session_id, asked from phone_form where session_id = $1 limit $2)");
    HELD_CHANGES = both("delete from held_change where position in (select position from held_change where \
         session_id = $1 limit $2)");
    IDEMPOTENCY_KEYS = both("delete from idempotency where (session_id, key) in \
         (select session_id, key from idempotency where session_id = $1 limit $2)");
    PLUGIN_VALUES = both("delete from plugin_value where (session_id, plugin, key) in \
         (select session_id, plugin, key from plugin_value where session_id = $1 limit $2)");
    PLUGIN_CALLS = both("delete from plugin_ingress where position in (select one.position from plugin_instance \
         join plugin_ingress one on one.plugin = plugin_instance.plugin and one.instance = plugin_instance.id \
         where plugin_instance.session_id = $1 limit $2)");
    PLUGIN_MAPPINGS = both("delete from plugin_mapping where (session_id, plugin, instance, chat) in \
         (select session_id, plugin, instance, chat from plugin_mapping where session_id = $1 limit $2)");
}

/// Rows of a session, each statement up to a number of them. What is left at the end is little and goes with the
/// session.
static OF_SESSION: [&db::Statement; 14] = [
    &DELIVERIES,
    &EVENTS,
    &MESSAGES,
    &DEVICE_KEYS,
    &BATCH_ITEMS,
    &CONTACTS,
    &CHATS,
    &IDENTITIES,
    &PHONE_FORMS,
    &HELD_CHANGES,
    &IDEMPOTENCY_KEYS,
    &PLUGIN_VALUES,
    &PLUGIN_CALLS,
    &PLUGIN_MAPPINGS,
];

/// Rows that are marked to be removed, up to a position.
struct MarkedRows {
    position: i64,
    kind: String,
    session: String,
    target: String,
    through: i64,
}

fn marked(row: &Row) -> StoreResult<MarkedRows> {
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    Ok(MarkedRows {
        position: row.try_get("position").doing(DOING)?,
        kind: text("kind")?,
        session: text("session_id")?,
        target: text("target")?,
        through: row.try_get("through").doing(DOING)?,
    })
}

/// A lane is locked before its deliveries, as by everybody who changes them.
async fn lock_lanes(unit: &mut Unit, session: &str, webhook: Option<&str>) -> StoreResult<()> {
    let claims = unit.seams.claims.clone();
    match webhook {
        Some(webhook) => claims.lock_webhook(unit, webhook).await,
        None => claims.lock_session(unit, session).await,
    }
}

/// Marks and does the first portion.
async fn begin(
    unit: &mut Unit,
    kind: &'static str,
    session: &str,
    target: &str,
    through: i64,
) -> StoreResult<()> {
    let position: i64 = db::query_scalar(&MARK)
        .bind(kind)
        .bind(session)
        .bind(target)
        .bind(through)
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    portion(unit, position, PORTION).await.map(|_| ())
}

/// Hides a session and begins to delete it; `false` when there is none.
pub(crate) async fn session(unit: &mut Unit, id: SessionId) -> StoreResult<bool> {
    let id_text = id.to_string();
    lock_lanes(unit, &id_text, None).await?;
    let hidden = db::query(&HIDE_SESSION).bind(&id_text).execute(&mut unit.conn).await;
    if hidden.doing(DOING)?.rows_affected() == 0 {
        return Ok(false);
    }
    unit.webhooks.remove(&id);
    unit.degraded = None;
    touch(unit, id).await?;
    db::query(&HIDE_WEBHOOKS).bind(&id_text).execute(&mut unit.conn).await.doing(DOING)?;
    plugin::leave_session(unit, &id_text).await?;
    begin(unit, "session", &id_text, "", 0).await?;
    Ok(true)
}

/// Hides a webhook and begins to delete it; `false` when there is none.
pub(crate) async fn webhook(unit: &mut Unit, id: WebhookId) -> StoreResult<bool> {
    touch_of(unit, id).await?;
    let claims = unit.seams.claims.clone();
    claims.lock_webhook(unit, &id.to_string()).await?;
    unit.webhooks.clear();
    unit.degraded = None;
    let id = id.to_string();
    let session: Option<String> = db::query_scalar(&HIDE_WEBHOOK)
        .bind(&id)
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    let Some(session) = session else { return Ok(false) };
    begin(unit, "webhook", &session, &id, 0).await?;
    Ok(true)
}

/// Begins to delete the messages that a chat has now.
pub(crate) async fn messages_of_chat(
    unit: &mut Unit,
    session: &str,
    chat: &str,
) -> StoreResult<()> {
    let through: i64 =
        db::query_scalar(&LAST_MESSAGE).fetch_one(&mut unit.conn).await.doing(DOING)?;
    begin(unit, "chat", session, chat, through).await
}

/// A chat has another id from now on.
pub(crate) async fn chat_moved(
    unit: &mut Unit,
    session: &str,
    old: &str,
    new: &str,
) -> StoreResult<()> {
    let query = db::query(&MOVE_CHAT).bind(session).bind(old).bind(new);
    query.execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Up to so many rows of what is marked at this position; how many there were.
async fn portion(unit: &mut Unit, position: i64, most: u32) -> StoreResult<u64> {
    let row = db::query(&GET).bind(position).fetch_optional(&mut unit.conn).await.doing(DOING)?;
    let Some(marked) = row.as_ref().map(marked).transpose()? else { return Ok(0) };
    plan_with_values(unit).await?;
    let most = u64::from(most);
    let mut gone = 0;
    let session = marked.session.as_str();
    match marked.kind.as_str() {
        "session" => {
            lock_lanes(unit, session, None).await?;
            for sql in OF_SESSION {
                gone += some(unit, db::query(sql).bind(session), most - gone).await?;
                if gone >= most {
                    return Ok(gone);
                }
            }
            plugin::leave_session(unit, session).await?;
            let done = db::query(&DELETE_SESSION).bind(session).execute(&mut unit.conn).await;
            gone += done.doing(DOING)?.rows_affected();
        }
        "webhook" => {
            let target = marked.target.as_str();
            lock_lanes(unit, session, Some(target)).await?;
            gone += some(unit, db::query(&OF_WEBHOOK).bind(target), most).await?;
            if gone >= most {
                return Ok(gone);
            }
            unit.webhooks.clear();
            let done = db::query(&DELETE_WEBHOOK).bind(target).execute(&mut unit.conn).await;
            gone += done.doing(DOING)?.rows_affected();
        }
        _ => {
            let done = db::query(&OF_CHAT)
                .bind(session)
                .bind(i64::try_from(most).unwrap_or(i64::MAX))
                .bind(marked.target.as_str())
                .bind(marked.through)
                .execute(&mut unit.conn)
                .await;
            gone += done.doing(DOING)?.rows_affected();
            if gone >= most {
                return Ok(gone);
            }
        }
    }
    let done = db::query(&DONE).bind(marked.position).execute(&mut unit.conn).await;
    done.doing(DOING)?;
    Ok(gone)
}

async fn some(unit: &mut Unit, query: db::Query<'_, Row>, most: u64) -> StoreResult<u64> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let done = query.bind(most).execute(&mut unit.conn).await;
    Ok(done.doing(DOING)?.rows_affected())
}

/// The next portion of what was marked first; `None` when nothing is marked.
pub(crate) async fn sweep(store: &LedgerStore, most: u32) -> StoreResult<Option<u64>> {
    let first = db::query(&FIRST).fetch_optional(&store.readers).await.doing(DOING)?;
    let Some(first) = first else { return Ok(None) };
    let position: i64 = first.try_get("position").doing(DOING)?;
    let session: String = first.try_get("session_id").doing(DOING)?;
    let session = session.parse().map_err(|_| corrupt(DOING))?;
    let job =
        store.writer.run_for(session, DOING, move |unit| Box::pin(portion(unit, position, most)));
    job.await.map(Some)
}
