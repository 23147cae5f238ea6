//! What one does about people and the own profile, at WhatsApp.

use async_trait::async_trait;
use domain::{
    ChatId, PhoneNumber, Timestamp,
    chat::ContactName,
    port::{Call, CallMedia, ContactActions, EngineError, ProfileChange},
};
use whatsapp_rust::{Client, ContactError, IqError, Jid};

use crate::{address_book, calls, chats, connection::ConnectionHandle, failure, people, presence};

#[async_trait]
impl ContactActions for ConnectionHandle {
    async fn blocked(&self) -> Result<Vec<ChatId>, EngineError> {
        let client = self.client.clone();
        self.request(Box::pin(async move { block_list(&client).await })).await
    }

    async fn set_blocked(&self, person: &ChatId, blocked: bool) -> Result<(), EngineError> {
        let (client, person) = (self.client.clone(), person.clone());
        self.request(Box::pin(async move { set_blocked(&client, &person, blocked).await })).await
    }

    async fn picture(&self, id: &ChatId) -> Result<Option<String>, EngineError> {
        let (client, id) = (self.client.clone(), id.clone());
        self.request(Box::pin(async move { picture(&client, &id).await })).await
    }

    async fn save_contact(
        &self,
        phone: &PhoneNumber,
        name: &ContactName,
    ) -> Result<(), EngineError> {
        let (client, phone, name) = (self.client.clone(), phone.clone(), name.clone());
        self.request(Box::pin(async move { address_book::save(&client, &phone, &name).await }))
            .await
    }

    async fn remove_contact(&self, phone: &PhoneNumber) -> Result<(), EngineError> {
        let (client, backend) = (self.client.clone(), self.writer.backend.clone());
        let (tasks, phone) = (self.tasks.clone(), phone.clone());
        self.request(Box::pin(async move {
            address_book::remove(&client, &backend, &tasks, &phone).await
        }))
        .await
    }

    async fn change_profile(&self, change: ProfileChange) -> Result<(), EngineError> {
        let (client, own) = (self.client.clone(), self.own_presence.clone());
        self.request(Box::pin(async move {
            let named = matches!(change, ProfileChange::Name(_));
            change_profile(&client, change).await?;
            if named {
                // A name goes out as a presence, which says nothing of being online.
                own.again(&client).await;
            }
            Ok(())
        }))
        .await
    }

    async fn watch_presence(&self, chat: &ChatId) -> Result<(), EngineError> {
        let (client, chat) = (self.client.clone(), chat.clone());
        self.request(Box::pin(async move { presence::watch(&client, &chat).await })).await
    }

    async fn set_available(&self, available: bool) -> Result<bool, EngineError> {
        let (client, own) = (self.client.clone(), self.own_presence.clone());
        self.request(Box::pin(async move { own.want(&client, available).await })).await
    }

    async fn reject_call(&self, id: &str) -> Result<Option<Call>, EngineError> {
        let (client, ringing, id) = (self.client.clone(), self.calls.clone(), id.to_owned());
        let now = self.writer.clock.now();
        self.request(Box::pin(async move { ringing.reject(&client, &id, now).await })).await
    }

    async fn call_link(&self, media: CallMedia, start: Timestamp) -> Result<String, EngineError> {
        let client = self.client.clone();
        self.request(Box::pin(async move { calls::link(&client, media, start).await })).await
    }
}

/// Everybody who is blocked, as WhatsApp says now.
pub(crate) async fn block_list(client: &Client) -> Result<Vec<ChatId>, EngineError> {
    let entries = client.blocking().get_blocklist().await.map_err(failure::of_blocking)?;
    let mut blocked = Vec::with_capacity(entries.len());
    for entry in entries {
        blocked.extend(people::canonical(client, &entry.jid, None).await);
    }
    Ok(blocked)
}

/// WhatsApp wants both ids of whom it blocks: it is asked for the other one where that is not known.
async fn set_blocked(client: &Client, person: &ChatId, blocked: bool) -> Result<(), EngineError> {
    let jid = chats::address(person)?;
    let known = client.get_lid_pn_entry(&jid).await.map_err(failure::of_any)?;
    if known.is_none() {
        let asked = std::slice::from_ref(&jid);
        client.contacts().is_on_whatsapp(asked).await.map_err(failure::of_contact)?;
    }
    let blocking = client.blocking();
    let done = match blocked {
        true => blocking.block(&jid).await,
        false => blocking.unblock(&jid).await,
    };
    done.map_err(failure::of_blocking)
}

/// Where a picture is, in full size.
async fn picture(client: &Client, id: &ChatId) -> Result<Option<String>, EngineError> {
    let jid: Jid = chats::address(id)?;
    match client.contacts().get_profile_picture(&jid, false).await {
        Ok(found) => Ok(found.map(|picture| picture.url)),
        // Not for this account.
        Err(ContactError::Iq(IqError::ServerError { code: 403, .. })) => Ok(None),
        Err(error) => Err(failure::of_contact(error)),
    }
}

async fn change_profile(client: &Client, change: ProfileChange) -> Result<(), EngineError> {
    let profile = client.profile();
    let done = match change {
        ProfileChange::Name(name) => profile.set_push_name(&name).await,
        ProfileChange::About(text) => profile.set_status_text(&text).await,
        ProfileChange::Picture(Some(jpeg)) => profile.set_profile_picture(jpeg).await.map(drop),
        ProfileChange::Picture(None) => profile.remove_profile_picture().await.map(drop),
    };
    done.map_err(failure::of_profile)
}
