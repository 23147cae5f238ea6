//! Channels: their description and administration by stored queries, their posts by the library.

use async_trait::async_trait;
use domain::{
    ChatId, ChatKind, WaMessageId,
    channel::{Channel, ChannelChange, ChannelPost, ChannelRole, NewChannel},
    message::Content,
    port::{ChannelActions, EngineError},
};
use serde_json::{Value, json};
use whatsapp_rust::{
    Client, Jid, NewsletterError, NewsletterMessage, NewsletterMessageType,
    wacore::iq::mex_operations::{
        change_newsletter_owner, create_newsletter, delete_newsletter, demote_newsletter_admin,
        fetch_all_newsletters_metadata, fetch_newsletter, join_newsletter, leave_newsletter,
        update_newsletter_user_setting,
    },
};

use crate::{
    connection::ConnectionHandle,
    content::{self, ParsedBody, border},
    failure, mex, people,
};

/// What WhatsApp says of a channel's picture is a path on its media servers.
const PICTURES: &str = "https://pps.whatsapp.net";

#[async_trait]
impl ChannelActions for ConnectionHandle {
    async fn channels(&self) -> Result<Vec<Channel>, EngineError> {
        let client = self.client.clone();
        self.request(Box::pin(async move {
            let variables = fetch_all_newsletters_metadata::Variables::default();
            let found =
                mex::ask(&client, fetch_all_newsletters_metadata::DOC_ID, variables).await?;
            let found = found.unwrap_or_default();
            let all = found["xwa2_newsletter_subscribed"].as_array();
            Ok(all.into_iter().flatten().filter_map(channel).collect())
        }))
        .await
    }

    async fn channel(&self, id: &ChatId) -> Result<Option<Channel>, EngineError> {
        let (client, id) = (self.client.clone(), id.clone());
        self.request(Box::pin(async move { described(&client, id.as_str(), "JID").await })).await
    }

    async fn create_channel(&self, new: NewChannel) -> Result<Channel, EngineError> {
        let client = self.client.clone();
        self.request(Box::pin(async move {
            let NewChannel { name, description } = new;
            let input = create_newsletter::Input { name: Some(name), description, picture: None };
            let variables = create_newsletter::Variables { input: Some(input) };
            let made = mex::ask(&client, create_newsletter::DOC_ID, variables).await?;
            let made = made.as_ref().and_then(|made| channel(&made["xwa2_newsletter_create"]));
            made.ok_or_else(|| EngineError::Refused("no channel was made".into()))
        }))
        .await
    }

    async fn subscribe_channel(&self, invite_code: &str) -> Result<Option<Channel>, EngineError> {
        let (client, code) = (self.client.clone(), invite_code.to_owned());
        self.request(Box::pin(async move {
            let Some(found) = described(&client, &code, "INVITE").await? else { return Ok(None) };
            let newsletter_id = Some(found.id.to_string());
            let variables = join_newsletter::Variables { newsletter_id };
            let joined = mex::ask(&client, join_newsletter::DOC_ID, variables).await?;
            // It may have ended in between.
            Ok(joined.map(|joined| channel(&joined["xwa2_newsletter_join_v2"]).unwrap_or(found)))
        }))
        .await
    }

    async fn change_channel(
        &self,
        id: &ChatId,
        change: ChannelChange,
    ) -> Result<bool, EngineError> {
        let (client, id) = (self.client.clone(), id.clone());
        self.request(Box::pin(async move { changed(&client, &id, change).await })).await
    }

    async fn channel_posts(
        &self,
        id: &ChatId,
        limit: u32,
    ) -> Result<Option<Vec<ChannelPost>>, EngineError> {
        let (client, id) = (self.client.clone(), id.clone());
        self.request(Box::pin(async move {
            let asked = client.newsletter().get_messages(address(&id)?, limit, None).await;
            match asked {
                Ok(posts) => Ok(Some(newest_first(posts))),
                Err(NewsletterError::Iq(error)) => match failure::code_of(&error) {
                    Some(404) => Ok(None),
                    _ => Err(failure::of_request(error)),
                },
                Err(error) => Err(EngineError::Refused(error.to_string())),
            }
        }))
        .await
    }
}

fn address(id: &ChatId) -> Result<Jid, EngineError> {
    let jid = people::jid(id).filter(|_| id.kind() == ChatKind::Channel);
    jid.ok_or_else(|| EngineError::Refused("this is no channel".into()))
}

/// A channel by its address or its invite code.
async fn described(client: &Client, key: &str, kind: &str) -> Result<Option<Channel>, EngineError> {
    let input = fetch_newsletter::Input {
        key: Some(key.to_owned()),
        r#type: Some(kind.to_owned()),
        view_role: Some("GUEST".to_owned()),
    };
    let variables = fetch_newsletter::Variables {
        input: Some(input),
        fetch_viewer_metadata: Some(true),
        fetch_full_image: Some(true),
        fetch_creation_time: Some(true),
        ..Default::default()
    };
    let found = mex::ask(client, fetch_newsletter::DOC_ID, variables).await?;
    Ok(found.as_ref().and_then(|found| channel(&found["xwa2_newsletter"])))
}

async fn changed(client: &Client, id: &ChatId, change: ChannelChange) -> Result<bool, EngineError> {
    let newsletter_id = Some(address(id)?.to_string());
    let (answer, word) = match change {
        ChannelChange::Unsubscribe => {
            let variables = leave_newsletter::Variables { newsletter_id };
            let asked = mex::ask(client, leave_newsletter::DOC_ID, variables).await;
            (asked, "xwa2_newsletter_leave_v2")
        }
        ChannelChange::Delete => {
            let variables = delete_newsletter::Variables { newsletter_id };
            let asked = mex::ask(client, delete_newsletter::DOC_ID, variables).await;
            (asked, "xwa2_newsletter_delete_v2")
        }
        ChannelChange::Mute(muted) => {
            let value = if muted { "ON" } else { "OFF" };
            // What an admin does is another sound; followers hear posts.
            let kind = "MUTE_FOLLOWER_ACTIVITY";
            let variables = json!({
                "input": { "newsletter_id": newsletter_id, "type": kind, "value": value },
            });
            let doc = update_newsletter_user_setting::DOC_ID;
            (mex::ask(client, doc, variables).await, "xwa2_newsletter_update_user_setting")
        }
        ChannelChange::Demote(person) => {
            let user_id = Some(member(client, &person).await?);
            let variables = demote_newsletter_admin::Variables { newsletter_id, user_id };
            let asked = mex::ask(client, demote_newsletter_admin::DOC_ID, variables).await;
            (asked, "xwa2_newsletter_admin_demote")
        }
        ChannelChange::Transfer(person) => {
            let user_id = Some(member(client, &person).await?);
            let variables = change_newsletter_owner::Variables { newsletter_id, user_id };
            let asked = mex::ask(client, change_newsletter_owner::DOC_ID, variables).await;
            (asked, "xwa2_newsletter_change_owner")
        }
    };
    Ok(answer?.is_some_and(|answer| !answer[word].is_null()))
}

/// Channels know their people by privacy id.
async fn member(client: &Client, person: &ChatId) -> Result<String, EngineError> {
    let jid = people::jid(person).filter(people::is_person);
    let jid = jid.ok_or_else(|| EngineError::Refused("this is no person's id".into()))?;
    let addresses = people::addresses(client, &jid).await;
    let lid = addresses.iter().find(|jid| jid.server.is_lid_family());
    Ok(lid.unwrap_or(&jid).to_string())
}

/// A channel as WhatsApp writes it. Numbers come as text.
fn channel(value: &Value) -> Option<Channel> {
    let thread = &value["thread_metadata"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let number = |value: &Value| {
        value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    };
    let picture =
        text(&thread["picture"]["direct_path"]).or_else(|| text(&thread["preview"]["direct_path"]));
    let subscribers = number(&thread["subscribers_count"]).unwrap_or(0);
    Some(Channel {
        id: value["id"].as_str()?.parse().ok()?,
        name: text(&thread["name"]["text"]).unwrap_or_default(),
        description: text(&thread["description"]["text"]),
        invite_code: text(&thread["invite"]),
        subscribers: u64::try_from(subscribers).unwrap_or(0),
        picture: picture.map(|path| match path.starts_with('/') {
            true => format!("{PICTURES}{path}"),
            false => path,
        }),
        verified: thread["verification"].as_str() == Some("VERIFIED"),
        created_at: number(&thread["creation_time"]),
        role: match value["viewer_metadata"]["role"].as_str().map(str::to_ascii_lowercase) {
            Some(role) => match role.as_str() {
                "owner" => Some(ChannelRole::Owner),
                "admin" => Some(ChannelRole::Admin),
                "subscriber" => Some(ChannelRole::Subscriber),
                "guest" => Some(ChannelRole::Guest),
                _ => None,
            },
            None => None,
        },
    })
}

fn newest_first(mut posts: Vec<NewsletterMessage>) -> Vec<ChannelPost> {
    posts.sort_by_key(|post| std::cmp::Reverse(post.server_id));
    posts.iter().filter_map(post).collect()
}

/// A post that says something: reactions and what was taken back are none.
fn post(post: &NewsletterMessage) -> Option<ChannelPost> {
    use NewsletterMessageType::{PollVote, Reaction, Revoke};
    if matches!(post.message_type, Reaction | Revoke | PollVote) {
        return None;
    }
    let ParsedBody::Content(content) = content::read(post.message.as_ref()?)?.body else {
        return None;
    };
    if matches!(content, Content::Undecryptable) {
        return None;
    }
    let number = || WaMessageId::from_wire(post.server_id.to_string());
    Some(ChannelPost {
        id: border::id(&post.message_id).unwrap_or_else(number),
        content,
        timestamp: i64::try_from(post.timestamp).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_read_as_whatsapp_writes_it() {
        let value = json!({
            "id": "120363144038483540@newsletter",
            "thread_metadata": {
                "name": { "text": "Bakery news" }, "description": { "text": "" },
                "invite": "0029Va", "subscribers_count": "42", "verification": "VERIFIED",
                "creation_time": "1790841600", "picture": null,
                "preview": { "direct_path": "/v/t61/1.jpg" },
            },
            "viewer_metadata": { "role": "OWNER" },
        });
        let read = channel(&value).unwrap();
        assert_eq!((read.name.as_str(), read.subscribers), ("Bakery news", 42));
        assert_eq!((read.description, read.created_at), (None, Some(1_790_841_600)));
        assert_eq!(read.picture.as_deref(), Some("https://pps.whatsapp.net/v/t61/1.jpg"));
        assert_eq!((read.verified, read.role), (true, Some(ChannelRole::Owner)));
        assert_eq!(channel(&Value::Null), None);
    }
}
