//! What a phone does with what arrives: decrypts messages, confirms them, asks again for what it cannot read, and
//! behaves as its owner set it up.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    buffa::Message as _,
    wacore::proto_helpers::MessageExt as _,
    wacore_binary::{Jid, Node, NodeRef, Server},
    waproto::whatsapp as wa,
};

use super::{
    Phone, PhoneInput, history,
    inbox::ReceivedMessage,
    outbound::{self, PhoneMessage},
};
use crate::{
    hub::Hub,
    record::DuplicateMessage,
    server::receipts,
    state::DeviceKey,
    wire::{Build, attr, is_common, jid_attr, need_attr, need_jid, now_seconds},
};

/// How often a phone asks for one message again before it gives up, as the engine does.
const RETRIES_MAX: u8 = 5;
/// Messages a phone remembers having asked for again. When full the oldest count starts anew.
const RETRIES_REMEMBERED_MAX: usize = 4_096;
/// First words of a retry receipt.
const RETRY_VERSION: &str = "1";

/// Works off one thing from the mailbox. What goes wrong is recorded; a phone never stops working.
pub(super) async fn take(hub: &Arc<Hub>, phone: &Arc<Phone>, input: PhoneInput) {
    let outcome = match input {
        PhoneInput::Linked(device) => linked(hub, phone, device).await,
        PhoneInput::Stanza(node) => {
            let stanza = node.as_node_ref();
            match stanza.tag.as_ref() {
                // On the heap: the message passes through several large steps.
                "message" => Box::pin(message(hub, phone, &stanza)).await,
                "receipt" => receipt(hub, phone, &node).await,
                _ => Ok(()),
            }
        }
    };
    if let Err(error) = outcome {
        hub.recorder.unanswered(format!("phone {}: {error:#}", phone.me.phone));
    }
}

/// A new device gets the app-state key, and what was said so far.
async fn linked(hub: &Arc<Hub>, phone: &Phone, device: u16) -> Result<()> {
    let shared = outbound::share_app_key(hub, phone, device).await;
    shared.context("sharing the app-state key")?;
    history::share(hub, phone, device).await.context("sharing the history")
}

/// Who sent a message, and where.
struct MessageOrigin {
    id: String,
    sender: DeviceKey,
    address: Jid,
    group: Option<String>,
    recipient: Option<Jid>,
    edit: Option<String>,
    at_seconds: u64,
    peer: bool,
}

impl MessageOrigin {
    fn of(hub: &Hub, stanza: &NodeRef<'_>) -> Result<Self> {
        let from = need_jid(stanza, "from")?;
        let in_group = is_common(&from);
        let address = if in_group { need_jid(stanza, "participant")? } else { from.clone() };
        let phone = hub
            .state()
            .phone_of(&address)
            .with_context(|| format!("a message from nobody: {address}"))?;
        Ok(Self {
            id: need_attr(stanza, "id")?,
            sender: DeviceKey::new(&phone, address.device),
            address,
            group: in_group.then(|| from.to_string()),
            recipient: jid_attr(stanza, "recipient"),
            edit: attr(stanza, "edit"),
            at_seconds: attr(stanza, "t").and_then(|at| at.parse().ok()).unwrap_or_default(),
            peer: attr(stanza, "category").as_deref() == Some("peer"),
        })
    }

    /// A receipt about this message, still without type.
    fn receipt(&self) -> Build {
        let receipt = Build::new("receipt").attr("id", self.id.as_str());
        match &self.group {
            Some(group) => receipt.attr("to", group.as_str()).attr("participant", &self.address),
            None => receipt.attr("to", &self.address),
        }
    }
}

async fn message(hub: &Arc<Hub>, phone: &Arc<Phone>, stanza: &NodeRef<'_>) -> Result<()> {
    let origin = MessageOrigin::of(hub, stanza)?;
    let opened = match open(phone, &origin, stanza).await {
        Ok(opened) => opened,
        Err(error) => {
            hub.recorder.undecryptable(format!(
                "{} from {} device {}: {error:#}",
                origin.id, origin.sender.phone, origin.sender.device
            ));
            return ask_again(hub, phone, &origin).await;
        }
    };
    let Some(message) = opened else {
        return Ok(());
    };
    if origin.peer {
        let kind = message.protocol_message.r#type;
        hub.recorder.peer_request(format!("{kind:?}"));
        return Ok(());
    }
    let received = received(phone, origin, message);
    let is_new = phone.inbox.add(received.clone());
    if !is_new {
        hub.recorder
            .duplicate(DuplicateMessage { id: received.id.clone(), phone: phone.me.phone.clone() });
    }
    let behaviour = phone.behaviour();
    if behaviour.deliver {
        confirm_delivery(hub, phone, &received)?;
    }
    if is_new && !received.from_me {
        behave(hub, phone, received).await;
    }
    Ok(())
}

/// Decrypts every part, takes in sender keys, and gives the content, if there is any besides a key.
async fn open(
    phone: &Phone,
    origin: &MessageOrigin,
    stanza: &NodeRef<'_>,
) -> Result<Option<wa::Message>> {
    let mut secrets = phone.secrets.lock().await;
    let mut content = None;
    for enc in stanza.get_children_by_tag("enc") {
        let kind = need_attr(enc, "type")?;
        let bytes = enc.content_bytes().context("an empty ciphertext")?;
        let plain = match (kind.as_str(), &origin.group) {
            ("skmsg", Some(group)) => {
                secrets.signal.decrypt_from_group(group, &origin.sender, bytes).await?
            }
            _ => secrets.signal.decrypt(&origin.sender, &kind, bytes).await?,
        };
        let message = wa::Message::decode_from_slice(&plain)?;
        if let Some(key) = message.sender_key_distribution_message.as_option() {
            let group = key.group_id.as_deref().unwrap_or_default();
            let bytes = key.axolotl_sender_key_distribution_message.as_deref().unwrap_or_default();
            secrets.signal.accept_sender_key(group, &origin.sender, bytes).await?;
            let mut rest = message.clone();
            rest.sender_key_distribution_message = Default::default();
            rest.message_context_info = Default::default();
            if rest == wa::Message::default() {
                continue;
            }
        }
        content = Some(message);
    }
    Ok(content)
}

fn received(phone: &Phone, origin: MessageOrigin, message: wa::Message) -> ReceivedMessage {
    let from_me = origin.sender.phone == phone.me.phone;
    let mut recipient = origin.recipient.map(|jid| jid.to_string());
    let message = match message.device_sent_message.into_option() {
        Some(copy) => {
            recipient = copy.destination_jid.or(recipient);
            copy.message.into_option().unwrap_or_default()
        }
        None => wa::Message { device_sent_message: Default::default(), ..message },
    };
    phone.polls.note(&origin.id, &origin.sender.phone, &message);
    let base = message.get_base_message();
    let text = base.text_content().or_else(|| base.get_caption());
    ReceivedMessage {
        id: origin.id,
        from: origin.address.to_non_ad_string(),
        from_phone: origin.sender.phone,
        from_device: origin.sender.device,
        group: origin.group,
        from_me,
        recipient,
        edit: origin.edit,
        at_seconds: origin.at_seconds,
        text: text.unwrap_or_default().to_owned(),
        message,
        sender: origin.address,
    }
}

fn confirm_delivery(hub: &Hub, phone: &Phone, received: &ReceivedMessage) -> Result<()> {
    let mut receipt = receipt_about(received).attr("t", now_seconds());
    if received.from_me && received.group.is_none() {
        receipt = receipt.attr("type", "sender");
        if let Some(recipient) = &received.recipient {
            receipt = receipt.attr("recipient", recipient.as_str());
        }
    }
    receipts::relay(hub, &phone.me, &receipt.build().as_node_ref())
}

/// Sends the sender the receipt that the message was read.
pub(crate) fn confirm_read(hub: &Hub, phone: &Phone, received: &ReceivedMessage) -> Result<()> {
    let receipt = receipt_about(received).attr("type", "read").attr("t", now_seconds());
    let mut receipt = receipt.build();
    if received.group.is_none() {
        // Everybody in the sender's account learns that it was read, not only the device that sent it.
        receipt.attrs.insert("to", received.sender.to_non_ad());
    }
    receipts::relay(hub, &phone.me, &receipt.as_node_ref())
}

fn receipt_about(received: &ReceivedMessage) -> Build {
    let receipt = Build::new("receipt").attr("id", received.id.as_str());
    match &received.group {
        Some(group) => receipt.attr("to", group.as_str()).attr("participant", &received.sender),
        None => receipt.attr("to", &received.sender),
    }
}

/// Asks the sender to encrypt the message again, with the phone's keys so that the new session starts at once.
async fn ask_again(hub: &Hub, phone: &Phone, origin: &MessageOrigin) -> Result<()> {
    let count = {
        let mut secrets = phone.secrets.lock().await;
        let asked = (origin.sender.clone(), origin.id.clone());
        let before = secrets.retries.iter().position(|(key, _)| *key == asked);
        let count = before
            .and_then(|index| secrets.retries.remove(index))
            .map_or(1, |(_, count)| count + 1);
        if secrets.retries.len() >= RETRIES_REMEMBERED_MAX {
            secrets.retries.pop_front();
        }
        secrets.retries.push_back((asked, count));
        count
    };
    if count > RETRIES_MAX {
        return Ok(());
    }
    let keys = hub.state().account(&phone.me.phone)?.keys.bundle();
    let retry = Build::new("retry")
        .attr("v", RETRY_VERSION)
        .attr("id", origin.id.as_str())
        .attr("t", now_seconds())
        .attr("count", count)
        .build();
    let receipt = origin
        .receipt()
        .attr("type", "retry")
        .children([retry, keys.registration_node(), keys.to_retry_keys()])
        .build();
    receipts::relay(hub, &phone.me, &receipt.as_node_ref())
}

async fn receipt(hub: &Arc<Hub>, phone: &Arc<Phone>, node: &Arc<Node>) -> Result<()> {
    let stanza = &node.as_node_ref();
    if attr(stanza, "type").as_deref() != Some("retry") {
        return Ok(());
    }
    let from = need_jid(stanza, "from")?;
    let device = match from.server {
        Server::Group | Server::Broadcast => need_jid(stanza, "participant")?,
        _ => from,
    };
    let owner = hub
        .state()
        .phone_of(&device)
        .with_context(|| format!("a retry receipt from nobody: {device}"))?;
    let device = DeviceKey::new(&owner, device.device);
    let after = phone.behaviour().resend_after;
    if after.is_zero() {
        let again = outbound::send_again(hub, phone, &device, stanza).await;
        return again.context("answering a retry receipt");
    }
    let (again_hub, phone, node) = (hub.clone(), phone.clone(), node.clone());
    act(hub, after, async move {
        let again = outbound::send_again(&again_hub, &phone, &device, &node.as_node_ref()).await;
        if let Err(error) = again {
            again_hub.recorder.unanswered(format!("answering a retry receipt: {error:#}"));
        }
    })
    .await;
    Ok(())
}

/// Reads and answers. At once means before the next message is taken, so that answers keep the order of what they
/// answer; a delayed action is a task that ends with the network.
async fn behave(hub: &Arc<Hub>, phone: &Arc<Phone>, received: ReceivedMessage) {
    let behaviour = phone.behaviour();
    if let Some(after) = behaviour.read_after {
        let (hub, phone, received) = (hub.clone(), phone.clone(), received.clone());
        act(&hub.clone(), after, async move {
            if let Err(error) = confirm_read(&hub, &phone, &received) {
                hub.recorder.unanswered(format!("reading: {error:#}"));
            }
        })
        .await;
    }
    if received.text.is_empty() || received.group.is_some() {
        return;
    }
    let Some(text) = behaviour.answer.and_then(|answer| answer(&received)) else {
        return;
    };
    let (hub, phone) = (hub.clone(), phone.clone());
    act(&hub.clone(), behaviour.answer_after, async move {
        let letter = PhoneMessage {
            id: hub.message_id(),
            to: received.sender.to_non_ad(),
            message: wa::Message { conversation: Some(text), ..Default::default() },
            peer: false,
            bytes: None,
            audience: Vec::new(),
        };
        if let Err(error) = outbound::send(&hub, &phone, letter).await {
            hub.recorder.unanswered(format!("answering: {error:#}"));
        }
    })
    .await;
}

async fn act(hub: &Hub, after: Duration, action: impl Future<Output = ()> + Send + 'static) {
    if after.is_zero() {
        return action.await;
    }
    let stop = hub.stop.clone();
    hub.tasks.spawn(async move {
        let delayed = async {
            tokio::time::sleep(after).await;
            action.await;
        };
        let _ = stop.run_until_cancelled(delayed).await;
    });
}
