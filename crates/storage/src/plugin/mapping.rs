//! Which chat is which conversation of a provider, and who answers it.

use domain::{
    Timestamp,
    plugin::{Handover, Mapping, MappingKey, PluginId},
    port::StoreResult,
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
};

db::statements! {
    GET = both("select * from plugin_mapping where session_id = $1 and plugin = $2 and instance = $3 and chat = $4");
    OF_CONVERSATION = both("select * from plugin_mapping where plugin = $1 and instance = $2 and conversation = $3 \
         order by tied_at desc, session_id, chat limit 1");
    TIE = both("insert into plugin_mapping (session_id, plugin, instance, chat, conversation, handover, tied_at, \
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $7) on conflict (session_id, plugin, instance, chat) do update \
         set conversation = excluded.conversation, tied_at = excluded.tied_at, updated_at = excluded.updated_at");
    HAND_OVER = both("update plugin_mapping set handover = $5, updated_at = $6 where session_id = $1 and plugin = $2 \
         and instance = $3 and chat = $4");
}

fn read(row: &Row) -> StoreResult<Mapping> {
    const DOING: &str = "reading the conversation of a chat";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    Ok(Mapping {
        key: MappingKey {
            plugin: text("plugin")?.parse().map_err(|_| bad())?,
            instance: text("instance")?,
            session: text("session_id")?.parse().map_err(|_| bad())?,
            chat: text("chat")?,
        },
        conversation: text("conversation")?,
        handover: Handover::parse(&text("handover")?).ok_or_else(bad)?,
    })
}

/// A statement that begins with a mapping's key.
fn about<'q>(sql: &'static db::Statement, key: &'q MappingKey) -> db::Query<'q, Row> {
    let query = db::query(sql).bind(key.session.to_string()).bind(key.plugin.as_str());
    query.bind(key.instance.as_str()).bind(key.chat.as_str())
}

impl LedgerStore {
    pub(super) async fn mapping_of_chat(&self, key: &MappingKey) -> StoreResult<Option<Mapping>> {
        let row = about(&GET, key).fetch_optional(&self.readers).await;
        row.doing("reading the conversation of a chat")?.as_ref().map(read).transpose()
    }

    pub(super) async fn newest_mapping(
        &self,
        plugin: &PluginId,
        instance: &str,
        conversation: &str,
    ) -> StoreResult<Option<Mapping>> {
        let query = db::query(&OF_CONVERSATION).bind(plugin.as_str()).bind(instance);
        let row = query.bind(conversation).fetch_optional(&self.readers).await;
        row.doing("reading the chat of a conversation")?.as_ref().map(read).transpose()
    }

    pub(super) async fn tie_chat(
        &self,
        key: &MappingKey,
        conversation: &str,
        now: Timestamp,
    ) -> StoreResult<()> {
        const DOING: &str = "tying a chat to a conversation";
        let (key, conversation) = (key.clone(), conversation.to_owned());
        let work = self.writer.run(DOING, move |unit| {
            Box::pin(async move {
                let tie = about(&TIE, &key).bind(&conversation).bind(Handover::default().as_str());
                let done = tie.bind(now.millis()).execute(&mut unit.conn).await;
                done.doing(DOING).map(|_| ())
            })
        });
        work.await
    }

    pub(super) async fn hand_over(
        &self,
        key: &MappingKey,
        state: Handover,
        now: Timestamp,
    ) -> StoreResult<bool> {
        const DOING: &str = "handing a chat over";
        let key = key.clone();
        let work = self.writer.run(DOING, move |unit| {
            Box::pin(async move {
                let hand_over = about(&HAND_OVER, &key).bind(state.as_str()).bind(now.millis());
                let done = hand_over.execute(&mut unit.conn).await;
                Ok(done.doing(DOING)?.rows_affected() == 1)
            })
        });
        work.await
    }
}
