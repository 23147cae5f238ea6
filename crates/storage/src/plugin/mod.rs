//! Plugins, what they remember, their providers and the calls of those.
//!
//! # The cast
//! - [`store`] keeps plugins with their packages and configurations, [`values`] what they remember.
//! - [`instance`] keeps their providers, [`calls`] what those sent, [`mapping`] whose chat is which conversation.
//! - [`claim`] hands calls out, and takes how their tries ended.
//!
//! Everything here goes to the writer that takes what belongs to no session, one order per transaction: what a plugin
//! stores holds up no message. Several processes on one PostgreSQL lock the row of a plugin, or of an instance,
//! before they count what belongs to it. The counter of revisions is locked last.

pub(crate) mod calls;
pub(crate) mod claim;
mod ingress;
pub(crate) mod instance;
pub(crate) mod mapping;
mod record;
pub(crate) mod store;
pub(crate) mod values;

use domain::port::StoreResult;
use serde_json::{Map, Value};

use crate::{
    crypt::Cipher,
    db,
    error::{Doing as _, corrupt},
    writer::Unit,
};

db::statements! {
    NEXT_REVISION = both("update plugin_revision set value = value + 1 returning value");
    // A session goes: what plugins have of it goes along, and others have to see that.
    REVISION_OF_SESSION = both("update plugin_revision set value = value + 1 where \
         exists (select 1 from plugin_instance where session_id = $1) \
         or exists (select 1 from plugin_session_config where session_id = $1)");
    DISABLE_OF_SESSION = both("update plugin_instance set enabled = 0 where session_id = $1");
}

/// A plugin or one of its instances changed: the number of that.
async fn next_revision(unit: &mut Unit) -> StoreResult<u64> {
    const DOING: &str = "counting a change of plugins";
    let next: i64 =
        db::query_scalar(&NEXT_REVISION).fetch_one(&mut unit.conn).await.doing(DOING)?;
    u64::try_from(next).map_err(|_| corrupt(DOING))
}

/// A session is hidden, or goes: the instances that act for it alone take nothing more.
pub(crate) async fn leave_session(unit: &mut Unit, session: &str) -> StoreResult<()> {
    for sql in [&DISABLE_OF_SESSION, &REVISION_OF_SESSION] {
        let done = db::query(sql).bind(session).execute(&mut unit.conn).await;
        done.doing("taking plugins away from a session")?;
    }
    Ok(())
}

/// A text of somebody else, which may hold what PostgreSQL does not take.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A configuration as it is stored.
fn sealed_config(cipher: &Cipher, place: &[&str], config: &Map<String, Value>) -> Vec<u8> {
    cipher.seal_text(place, &json(config))
}

fn open_config(cipher: &Cipher, place: &[&str], stored: &[u8]) -> StoreResult<Map<String, Value>> {
    let text = cipher.open_text(place, stored)?;
    serde_json::from_str(&text).map_err(|_| corrupt("reading a configuration"))
}

/// Plain data always serialises.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data always serialises")
}
