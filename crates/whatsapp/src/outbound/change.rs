//! Changes of a message that exists: reaction, edit, revocation, pin, vote.

use domain::{
    content::{Content, OptionHash, Target},
    port::EngineError,
};
use whatsapp_rust::{
    Jid,
    buffa::MessageField,
    proto_helpers::{MessageExt as _, build_reaction_message},
    wacore::poll,
    wacore_binary::JidExt as _,
    waproto::whatsapp::{
        self as wa,
        message::{pin_in_chat_message, protocol_message},
    },
};

use super::{MessageWriter, body, media, refused};
use crate::{people, secrets};

impl MessageWriter {
    pub(super) async fn change(
        &self,
        to: &Jid,
        content: Content,
        context: Option<wa::ContextInfo>,
    ) -> Result<wa::Message, EngineError> {
        let now = self.clock.now().millis();
        match content {
            Content::Reaction { target, emoji } => {
                let key = self.key(to, &target).await?;
                Ok(build_reaction_message(key, emoji, now))
            }
            Content::Edit { target, body, file } => {
                let edited = match file {
                    Some(file) => media::caption(*file, context)?,
                    None => {
                        let mut edited = body::text(body, None);
                        if let Some(context) = context {
                            edited.set_context_info(context);
                        }
                        edited
                    }
                };
                self.edit(to, &target, edited, now).await
            }
            Content::Revoke { target } => self.revoke(to, &target).await,
            Content::Pin { target, seconds } => self.pin(to, &target, seconds, now).await,
            Content::Vote { poll, options } => self.vote(to, &poll, &options, now).await,
            other => {
                let kind = other.kind().as_str();
                Err(refused(&format!("a message of this kind cannot be sent: {kind}")))
            }
        }
    }

    /// How a message is named in this chat, from this account's view.
    async fn key(&self, chat: &Jid, target: &Target) -> Result<wa::MessageKey, EngineError> {
        let participant = if chat.is_group() && !target.from_me {
            Some(self.author(chat, target).await?.to_non_ad_string())
        } else {
            None
        };
        Ok(wa::MessageKey {
            remote_jid: Some(chat.to_non_ad_string()),
            from_me: Some(target.from_me),
            id: Some(target.id.as_str().to_owned()),
            participant,
        })
    }

    /// Who wrote a message, as addressed in this chat.
    async fn author(&self, chat: &Jid, target: &Target) -> Result<Jid, EngineError> {
        if target.from_me {
            return people::own_in(&self.client, chat).await.ok_or(EngineError::NotConnected);
        }
        match &target.author {
            Some(author) => self.address_in(chat, author).await,
            None if chat.is_group() => Err(refused("the author of the message is not known")),
            None => Ok(chat.clone()),
        }
    }

    /// Only the author can; in a group the key says by which address.
    async fn edit(
        &self,
        to: &Jid,
        target: &Target,
        edited: wa::Message,
        now: i64,
    ) -> Result<wa::Message, EngineError> {
        if !target.from_me {
            return Err(refused("a message of somebody else cannot be edited"));
        }
        let mut key = self.key(to, target).await?;
        if to.is_group() {
            key.participant = Some(self.author(to, target).await?.to_non_ad_string());
        }
        Ok(protocol(wa::message::ProtocolMessage {
            key: MessageField::some(key),
            r#type: Some(protocol_message::Type::MESSAGE_EDIT),
            edited_message: MessageField::some(edited),
            timestamp_ms: Some(now),
            ..Default::default()
        }))
    }

    /// One's own anywhere, those of others in groups, where WhatsApp asks for an admin.
    async fn revoke(&self, to: &Jid, target: &Target) -> Result<wa::Message, EngineError> {
        if !target.from_me && !to.is_group() {
            return Err(refused("a message of somebody else can be deleted in groups only"));
        }
        Ok(protocol(wa::message::ProtocolMessage {
            key: MessageField::some(self.key(to, target).await?),
            r#type: Some(protocol_message::Type::REVOKE),
            ..Default::default()
        }))
    }

    async fn pin(
        &self,
        to: &Jid,
        target: &Target,
        seconds: Option<u32>,
        now: i64,
    ) -> Result<wa::Message, EngineError> {
        let kind = match seconds {
            Some(_) => pin_in_chat_message::Type::PIN_FOR_ALL,
            None => pin_in_chat_message::Type::UNPIN_FOR_ALL,
        };
        Ok(wa::Message {
            pin_in_chat_message: MessageField::some(wa::message::PinInChatMessage {
                key: MessageField::some(self.key(to, target).await?),
                r#type: Some(kind),
                sender_timestamp_ms: Some(now),
            }),
            message_context_info: MessageField::some(wa::MessageContextInfo {
                message_add_on_duration_in_secs: Some(seconds.unwrap_or(0)),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    /// Encrypted with the poll's secret, under the address that the poll's author uses for the chat.
    async fn vote(
        &self,
        to: &Jid,
        target: &Target,
        options: &[OptionHash],
        now: i64,
    ) -> Result<wa::Message, EngineError> {
        let creator = self.author(to, target).await?.to_non_ad();
        let id = target.id.as_str();
        let found = secrets::find(&self.client, &self.backend, to, &creator, id).await?;
        let Some(secret) = found else {
            return Err(refused("the key of this poll is not known here"));
        };
        let voter = people::own_like(&self.client, &creator).ok_or(EngineError::NotConnected)?;
        let hashes: Vec<Vec<u8>> = options.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        let (payload, iv) = poll::encrypt_poll_vote_with_secret(
            &hashes,
            &secret,
            id,
            &creator.to_non_ad_string(),
            &voter.to_non_ad_string(),
        )
        .map_err(|error| refused(&format!("the vote could not be encrypted: {error}")))?;
        let mut key = self.key(to, target).await?;
        if to.is_group() {
            key.participant = Some(creator.to_non_ad_string());
        }
        Ok(wa::Message {
            poll_update_message: MessageField::some(wa::message::PollUpdateMessage {
                poll_creation_message_key: MessageField::some(key),
                vote: MessageField::some(wa::message::PollEncValue {
                    enc_payload: Some(payload),
                    enc_iv: Some(iv.to_vec()),
                }),
                sender_timestamp_ms: Some(now),
                ..Default::default()
            }),
            ..Default::default()
        })
    }
}

fn protocol(protocol: wa::message::ProtocolMessage) -> wa::Message {
    wa::Message { protocol_message: MessageField::some(protocol), ..Default::default() }
}
