//! Changes of messages that are on their way: kept until what became of them is stored, so that one that a crash cut
//! off can go out again under its id.

use domain::{
    SessionId, Timestamp, WaMessageId,
    message::OutgoingMessage,
    port::{OpenChange, StoreResult},
};

use crate::{
    crypt::Cipher,
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    OPEN = both("insert into open_change (session_id, wa_id, created_at, outgoing) \
         select id, $2, $3, $4 from session where id = $1 on conflict (session_id, wa_id) do nothing");
    CLOSE = both("delete from open_change where session_id = $1 and wa_id = $2");
    LIST = both("select * from open_change where session_id = $1 order by created_at, wa_id");
}

const DOING: &str = "keeping a change that goes out";

fn content_aad<'a>(session: &'a str, wa_id: &'a str) -> [&'a str; 4] {
    ["open_change", session, wa_id, "outgoing"]
}

pub(crate) async fn open(
    unit: &mut Unit,
    session: SessionId,
    outgoing: &OutgoingMessage,
    at: Timestamp,
) -> StoreResult<bool> {
    let session = session.to_string();
    let plain = serde_json::to_vec(outgoing).map_err(|_| corrupt(DOING))?;
    let sealed = unit.cipher.seal(&content_aad(&session, outgoing.id.as_str()), &plain);
    let query = db::query(&OPEN)
        .bind(&session)
        .bind(outgoing.id.as_str())
        .bind(at.millis())
        .bind(sealed)
        .execute(&mut unit.conn);
    Ok(query.await.doing(DOING)?.rows_affected() > 0)
}

pub(crate) async fn close(
    unit: &mut Unit,
    session: SessionId,
    id: &WaMessageId,
) -> StoreResult<bool> {
    let query = db::query(&CLOSE).bind(session.to_string()).bind(id.as_str());
    let done = query.execute(&mut unit.conn).await.doing("forgetting a change that went out")?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn list(store: &LedgerStore, session: SessionId) -> StoreResult<Vec<OpenChange>> {
    let rows = db::query(&LIST).bind(session.to_string()).fetch_all(&store.readers).await;
    let rows = rows.doing("listing changes that go out")?;
    let read = |row: &Row| read(row, &store.cipher);
    Ok(store.unreadable.rows("open_change", &["session_id", "wa_id"], &rows, read))
}

fn read(row: &Row, cipher: &Cipher) -> StoreResult<OpenChange> {
    const DOING: &str = "reading a change that goes out";
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let (session, id) = (text("session_id")?, text("wa_id")?);
    let sealed: Vec<u8> = row.try_get("outgoing").doing(DOING)?;
    let plain = cipher.open(&content_aad(&session, &id), &sealed)?;
    Ok(OpenChange {
        outgoing: serde_json::from_slice(&plain).map_err(|_| corrupt(DOING))?,
        at: Timestamp::from_millis(row.try_get("created_at").doing(DOING)?),
    })
}
