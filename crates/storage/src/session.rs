//! Sessions.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use domain::{
    ChatId, PhoneNumber, SessionId, Timestamp,
    port::{Held, Holder, Lease, Page, SessionPatch, SessionStore, StoreResult, WishListener},
    proxy::ProxyUrl,
    session::{NewChatQuota, Restriction, Session, SessionConfig, SessionStatus, Wish},
};

use crate::{
    crypt::Cipher,
    db::{self, Row},
    error::{Doing as _, corrupt},
    lease::LeaseApplicant,
    open::LedgerStore,
    removal,
    writer::Unit,
};

db::statements! {
    INSERT = both("insert into session (id, name, status, wanted, phone, lid, push_name, connected_at, last_active, \
         last_error, config, proxy, created_at, updated_at, restriction, new_chat_quota) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) on conflict (name) do nothing");
    UPDATE = both("update session set status = $2, wanted = $3, phone = $4, lid = $5, push_name = $6, \
         connected_at = $7, last_active = $8, last_error = $9, config = $10, proxy = $11, updated_at = $12, \
         restriction = $13, new_chat_quota = $14 \
         where id = $1");
    GET = both("select id, name, status, wanted, phone, lid, push_name, connected_at, last_active, last_error, \
         config, proxy, created_at, updated_at, restriction, new_chat_quota from session \
         where id = $1 and deleted = 0");
    LIST = both("select id, name, status, wanted, phone, lid, push_name, connected_at, last_active, last_error, \
         config, proxy, created_at, updated_at, restriction, new_chat_quota from session \
         where deleted = 0 and ($1 is null or name = $1) \
         order by created_at desc, id limit $2 offset $3");
    AMONG = DialectPair {
        sqlite: "select session.id, name, status, wanted, phone, lid, push_name, connected_at, last_active, \
             last_error, config, proxy, created_at, updated_at, restriction, new_chat_quota from json_each($1) as one \
             cross join session on session.id = one.value where deleted = 0 order by created_at desc, session.id",
        postgres: "select id, name, status, wanted, phone, lid, push_name, connected_at, last_active, last_error, \
             config, proxy, created_at, updated_at, restriction, new_chat_quota from session \
             where id in (select json_array_elements_text($1::json)) and deleted = 0 order by created_at desc, id",
    };
    WISH = both("update session set wish = $2 where id = $1");
}

/// Some sessions as one parameter: a list in JSON. Each is in it once, whoever named it twice: a join would find its
/// rows twice.
pub(crate) fn list_of(sessions: &[SessionId]) -> String {
    let ids: BTreeSet<String> = sessions.iter().map(SessionId::to_string).collect();
    serde_json::Value::from_iter(ids).to_string()
}

fn place(id: SessionId) -> String {
    id.to_string()
}

fn read(row: &Row, cipher: &Cipher) -> StoreResult<Session> {
    const DOING: &str = "reading a session";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let time = |name: &str| {
        row.try_get::<Option<i64>, _>(name).doing(DOING).map(|t| t.map(Timestamp::from_millis))
    };
    let required = |value: Option<String>| value.ok_or_else(bad);
    let id: SessionId = required(text("id")?)?.parse().map_err(|_| bad())?;
    let proxy = match row.try_get::<Option<Vec<u8>>, _>("proxy").doing(DOING)? {
        Some(sealed) => {
            let url = cipher.open_text(&["session", &place(id), "proxy"], &sealed)?;
            Some(ProxyUrl::parse(&url).map_err(|_| bad())?)
        }
        None => None,
    };
    Ok(Session {
        id,
        name: required(text("name")?)?,
        status: SessionStatus::parse(&required(text("status")?)?).ok_or_else(bad)?,
        wanted: row.try_get::<i64, _>("wanted").doing(DOING)? == 1,
        phone: text("phone")?.map(|t| PhoneNumber::parse(&t).ok_or_else(bad)).transpose()?,
        lid: text("lid")?.map(|t| t.parse::<ChatId>().map_err(|_| bad())).transpose()?,
        push_name: text("push_name")?,
        connected_at: time("connected_at")?,
        last_active: time("last_active")?,
        last_error: text("last_error")?,
        restriction: text("restriction")?
            .map(|json| serde_json::from_str::<Restriction>(&json).map_err(|_| bad()))
            .transpose()?,
        new_chat_quota: text("new_chat_quota")?
            .map(|json| serde_json::from_str::<NewChatQuota>(&json).map_err(|_| bad()))
            .transpose()?,
        config: serde_json::from_str::<SessionConfig>(&required(text("config")?)?)
            .map_err(|_| bad())?,
        proxy,
        created_at: time("created_at")?.ok_or_else(bad)?,
        updated_at: time("updated_at")?.ok_or_else(bad)?,
    })
}

fn sealed_proxy(session: &Session, cipher: &Cipher) -> Option<Vec<u8>> {
    let id = place(session.id);
    session.proxy.as_ref().map(|proxy| cipher.seal_text(&["session", &id, "proxy"], proxy.expose()))
}

fn config_text(config: &SessionConfig) -> String {
    serde_json::to_string(config).expect("numbers and flags always serialise")
}

fn restriction_text(session: &Session) -> Option<String> {
    let json = |restriction| {
        serde_json::to_string(restriction).expect("texts and numbers always serialise")
    };
    session.restriction.as_ref().map(json)
}

fn quota_text(session: &Session) -> Option<String> {
    let json = |quota| serde_json::to_string(quota).expect("texts and numbers always serialise");
    session.new_chat_quota.as_ref().map(json)
}

/// Changes the patched fields; `false` when the session does not exist.
pub(crate) async fn patch(
    unit: &mut Unit,
    id: SessionId,
    patch: SessionPatch,
) -> StoreResult<bool> {
    const DOING: &str = "changing a session";
    let Some(row) =
        db::query(&GET).bind(id.to_string()).fetch_optional(&mut unit.conn).await.doing(DOING)?
    else {
        return Ok(false);
    };
    let mut session = read(&row, &unit.cipher)?;
    if let Some(wish) = patch.wish {
        let wish = wish.map(Wish::as_str);
        db::query(&WISH)
            .bind(id.to_string())
            .bind(wish)
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
    }
    if matches!(patch.wish, Some(Some(_))) {
        unit.committing.wished.push(id);
    }
    apply(&mut session, patch);
    let proxy = sealed_proxy(&session, &unit.cipher);
    db::query(&UPDATE)
        .bind(session.id.to_string())
        .bind(session.status.as_str())
        .bind(i64::from(session.wanted))
        .bind(session.phone.as_ref().map(PhoneNumber::digits))
        .bind(session.lid.as_ref().map(ChatId::as_str))
        .bind(session.push_name.as_deref())
        .bind(session.connected_at.map(Timestamp::millis))
        .bind(session.last_active.map(Timestamp::millis))
        .bind(session.last_error.as_deref())
        .bind(config_text(&session.config))
        .bind(proxy)
        .bind(session.updated_at.millis())
        .bind(restriction_text(&session))
        .bind(quota_text(&session))
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    Ok(true)
}

fn apply(session: &mut Session, patch: SessionPatch) {
    fn set<T>(field: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *field = value;
        }
    }
    set(&mut session.status, patch.status);
    set(&mut session.wanted, patch.wanted);
    set(&mut session.phone, patch.phone);
    set(&mut session.lid, patch.lid);
    set(&mut session.push_name, patch.push_name);
    set(&mut session.connected_at, patch.connected_at);
    set(&mut session.last_active, patch.last_active);
    set(&mut session.last_error, patch.last_error);
    set(&mut session.config, patch.config);
    set(&mut session.proxy, patch.proxy);
    set(&mut session.restriction, patch.restriction);
    set(&mut session.new_chat_quota, patch.new_chat_quota);
    set(&mut session.updated_at, patch.at);
}

#[async_trait]
impl SessionStore for LedgerStore {
    async fn insert_session(&self, session: &Session) -> StoreResult<bool> {
        let session = session.clone();
        self.writer
            .run_for(session.id, "storing a session", move |unit| {
                Box::pin(async move {
                    let proxy = sealed_proxy(&session, &unit.cipher);
                    let done = db::query(&INSERT)
                        .bind(session.id.to_string())
                        .bind(&session.name)
                        .bind(session.status.as_str())
                        .bind(i64::from(session.wanted))
                        .bind(session.phone.as_ref().map(PhoneNumber::digits))
                        .bind(session.lid.as_ref().map(ChatId::as_str))
                        .bind(session.push_name.as_deref())
                        .bind(session.connected_at.map(Timestamp::millis))
                        .bind(session.last_active.map(Timestamp::millis))
                        .bind(session.last_error.as_deref())
                        .bind(config_text(&session.config))
                        .bind(proxy)
                        .bind(session.created_at.millis())
                        .bind(session.updated_at.millis())
                        .bind(restriction_text(&session))
                        .bind(quota_text(&session))
                        .execute(&mut unit.conn)
                        .await
                        .doing("storing a session")?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    async fn session(&self, id: SessionId) -> StoreResult<Option<Session>> {
        let row = db::query(&GET).bind(id.to_string()).fetch_optional(&self.readers).await;
        row.doing("reading a session")?.map(|row| read(&row, &self.cipher)).transpose()
    }

    async fn sessions(&self, name: Option<&str>, page: Page) -> StoreResult<Vec<Session>> {
        let rows = db::query(&LIST)
            .bind(name)
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await
            .doing("listing sessions")?;
        Ok(self.unreadable.rows("session", &["id"], &rows, |row| read(row, &self.cipher)))
    }

    async fn sessions_among(&self, ids: &[SessionId]) -> StoreResult<Vec<Session>> {
        let rows = db::query(&AMONG).bind(list_of(ids)).fetch_all(&self.readers).await;
        let read = |row: &Row| read(row, &self.cipher);
        Ok(self.unreadable.rows("session", &["id"], &rows.doing("listing sessions")?, read))
    }

    async fn delete_session(&self, id: SessionId) -> StoreResult<bool> {
        let deleted = self
            .writer
            .run_for(id, "deleting a session", move |unit| Box::pin(removal::session(unit, id)))
            .await;
        self.seams.leases.forget(id);
        self.caches.forget_lanes();
        deleted
    }

    async fn acquire_session(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        lasts: Duration,
    ) -> StoreResult<Option<Held>> {
        let by = LeaseApplicant { session: id, owner: owner.into(), now, lasts };
        self.seams.leases.acquire(&self.writer, by).await
    }

    async fn release_session(&self, lease: &Lease) -> StoreResult<()> {
        self.seams.leases.release(&self.writer, lease).await
    }

    async fn unheld_sessions(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>> {
        self.seams.leases.unheld(now, limit).await
    }

    fn is_shared(&self) -> bool {
        self.seams.leases.is_shared()
    }

    fn listen_for_wishes(&self, listener: WishListener) {
        self.caches.wishes.listen(listener);
    }

    async fn session_holder(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Holder>> {
        self.seams.leases.holder(id, now).await
    }

    async fn held_sessions(&self, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        self.seams.leases.held(now).await
    }

    async fn announce_process(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()> {
        self.announce_node(owner, url, now, forget_before).await
    }
}
