//! Labels: changes of the state that the account's devices share, in both directions.

use async_trait::async_trait;
use domain::{
    ChatId, Timestamp,
    label::{Label, LabelChange, LabelId, LabelSignal},
    port::{EngineError, EngineSignal, LabelActions},
};
use whatsapp_rust::{
    Client, types::events::Event, waproto::whatsapp::sync_action_value::LabelEditAction,
};

use crate::{connection::ConnectionHandle, failure, people};

#[async_trait]
impl LabelActions for ConnectionHandle {
    async fn change_label(&self, change: &LabelChange) -> Result<(), EngineError> {
        let (client, change) = (self.client.clone(), change.clone());
        self.request(Box::pin(async move { tell(&client, &change).await })).await
    }
}

async fn tell(client: &Client, change: &LabelChange) -> Result<(), EngineError> {
    let labels = client.labels();
    let id = change.label().as_str();
    let done = match change {
        LabelChange::Upsert(label) => {
            labels.create_label(id, &label.name, i32::from(label.colour)).await
        }
        LabelChange::Delete(_) => labels.delete_label(id).await,
        LabelChange::Add(_, chat) => labels.add_chat_label(id, &address(chat)?).await,
        LabelChange::Remove(_, chat) => labels.remove_chat_label(id, &address(chat)?).await,
    };
    done.map_err(failure::of_app_state)
}

fn address(chat: &ChatId) -> Result<whatsapp_rust::Jid, EngineError> {
    people::jid(chat).ok_or_else(|| EngineError::Refused("this is no chat of WhatsApp".into()))
}

/// What another device of the account did to its labels.
pub(crate) async fn changed(client: &Client, event: &Event) -> Option<EngineSignal> {
    let (change, at, backfilled) = match event {
        Event::LabelEditUpdate(update) => {
            let id = known(&update.label_id)?;
            let change = edited(id, &update.action)?;
            (change, update.timestamp, update.from_full_sync)
        }
        Event::LabelAssociationUpdate(update) => {
            let id = known(&update.label_id)?;
            let chat = people::canonical(client, &update.chat_jid, None).await?;
            let change = match update.action.labeled {
                Some(false) => LabelChange::Remove(id, chat),
                _ => LabelChange::Add(id, chat),
            };
            (change, update.timestamp, update.from_full_sync)
        }
        _ => return None,
    };
    let at = Timestamp::from_millis(at.timestamp_millis());
    Some(EngineSignal::Label(LabelSignal { change, at, backfilled }))
}

fn known(id: &str) -> Option<LabelId> {
    let known = id.parse().ok();
    if known.is_none() {
        tracing::warn!("a label under something that is no id was dropped");
    }
    known
}

fn edited(id: LabelId, action: &LabelEditAction) -> Option<LabelChange> {
    if action.deleted == Some(true) {
        return Some(LabelChange::Delete(id));
    }
    let name: String = action.name.as_deref()?.chars().take(NAME_CHARS_MAX).collect();
    let colour = action.color.and_then(|colour| u8::try_from(colour).ok()).unwrap_or(0);
    Some(LabelChange::Upsert(Label { id, name, colour }))
}

/// Longest name that is kept; phones allow 100 characters.
const NAME_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_names_or_deletes_a_label() {
        let id: LabelId = "7".parse().unwrap();
        let action = |name: Option<&str>, deleted| LabelEditAction {
            name: name.map(str::to_owned),
            color: Some(4),
            deleted: Some(deleted),
            ..Default::default()
        };
        let label = Label { id: id.clone(), name: "Paid".into(), colour: 4 };
        let upsert = LabelChange::Upsert(label);
        assert_eq!(edited(id.clone(), &action(Some("Paid"), false)), Some(upsert));
        assert_eq!(edited(id.clone(), &action(None, true)), Some(LabelChange::Delete(id.clone())));
        assert_eq!(edited(id, &action(None, false)), None);
    }
}
