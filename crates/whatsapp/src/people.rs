//! WhatsApp's addresses in the domain's words.
//!
//! A person has a phone number and a privacy id (LID), and a stanza may name either. The canonical
//! chat id is the phone number's when it is known, else the LID's. What a stanza says about the
//! other one beats what was learned before; what was learned is in the library's mapping.

use domain::{ChatId, PhoneNumber};
use whatsapp_rust::{
    Client, Jid, lid_pn_cache::LearningSource, wacore::types::message::AddressingMode,
    wacore_binary::JidExt as _,
};

/// One person, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Person {
    pub phone: Option<PhoneNumber>,
    pub lid: Option<ChatId>,
}

impl Person {
    /// The canonical chat with this person.
    pub fn chat(&self) -> Option<ChatId> {
        self.phone.as_ref().map(PhoneNumber::chat).or_else(|| self.lid.clone())
    }

    pub fn learn(&mut self, jid: &Jid) {
        match chat_id(jid) {
            Some(chat) if chat.is_lid() => self.lid = self.lid.take().or(Some(chat)),
            Some(chat) => self.phone = self.phone.take().or_else(|| chat.phone()),
            None => {}
        }
    }
}

/// An address without its device. `None` for servers the domain has no word for.
pub(crate) fn chat_id(jid: &Jid) -> Option<ChatId> {
    jid.to_non_ad_string().parse().ok()
}

/// An address of ours for the library.
pub(crate) fn jid(chat: &ChatId) -> Option<Jid> {
    chat.to_jid().parse().ok()
}

/// Whether the address is a person's, by number or by LID.
pub(crate) fn is_person(jid: &Jid) -> bool {
    jid.server.is_pn_family() || jid.server.is_lid_family()
}

/// Everything known about a person.
pub(crate) async fn person(client: &Client, jid: &Jid, alt: Option<&Jid>) -> Person {
    let mut person = Person::default();
    person.learn(jid);
    if let Some(alt) = alt {
        person.learn(alt);
    }
    if person.phone.is_some() && person.lid.is_some() {
        return person;
    }
    // A failed look-up must not hold a message up: the other id stays unknown.
    if let Ok(Some(known)) = client.get_lid_pn_entry(&jid.to_non_ad()).await {
        person.learn(&Jid::pn(&*known.phone_number));
        person.learn(&Jid::lid(&*known.lid));
    }
    person
}

/// Keeps what some stanza said of the two ids of a person, where it names both.
pub(crate) async fn learn_pair(client: &Client, one: &Jid, other: Option<&Jid>) {
    let Some(other) = other else { return };
    let (lid, number) = match (one.server.is_lid_family(), other.server.is_lid_family()) {
        (true, false) => (one, other),
        (false, true) => (other, one),
        _ => return,
    };
    if !number.server.is_pn_family() {
        return;
    }
    // Seeds what is new; where the library knows better it asks WhatsApp.
    let kept = client.add_lid_pn_mapping(&lid.user, &number.user, LearningSource::Other).await;
    if let Err(error) = kept {
        tracing::debug!(%error, "the two ids of a person were not kept");
    }
}

/// The account that this connection is linked to.
pub(crate) fn own(client: &Client) -> Person {
    let mut person = Person::default();
    for jid in [client.pn(), client.lid()].into_iter().flatten() {
        person.learn(&jid);
    }
    person
}

/// The canonical id of any chat: a person's by number if known, everything else as it is.
pub(crate) async fn canonical(client: &Client, jid: &Jid, alt: Option<&Jid>) -> Option<ChatId> {
    if is_person(jid) { person(client, jid, alt).await.chat() } else { chat_id(jid) }
}

/// Every address of a person or chat, the given one first.
pub(crate) async fn addresses(client: &Client, jid: &Jid) -> Vec<Jid> {
    let mut all = vec![jid.to_non_ad()];
    if !is_person(jid) {
        return all;
    }
    let known = if is_own(client, jid) { own(client) } else { person(client, jid, None).await };
    let phone = known.phone.as_ref().map(|phone| Jid::pn(phone.digits()));
    let lid = known.lid.as_ref().and_then(self::jid);
    for other in [phone, lid].into_iter().flatten() {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    all
}

/// Whether people are named by their privacy ids in this chat.
async fn is_by_lid(client: &Client, chat: &Jid) -> bool {
    if !chat.is_group() {
        return chat.server.is_lid_family();
    }
    // A failed look-up: the number is what groups were addressed by before.
    let group = client.groups().query_info(chat).await;
    group.is_ok_and(|group| group.addressing_mode == AddressingMode::Lid)
}

/// A person's address as it is written in this chat. `None` when the id is no person's.
pub(crate) async fn address_in(client: &Client, chat: &Jid, who: &ChatId) -> Option<Jid> {
    let jid = jid(who).filter(is_person)?;
    if jid.server.is_lid_family() || !is_by_lid(client, chat).await {
        return Some(jid);
    }
    let lid = person(client, &jid, None).await.lid.as_ref().and_then(self::jid);
    Some(lid.unwrap_or(jid))
}

/// This account's address as it is written in this chat.
pub(crate) async fn own_in(client: &Client, chat: &Jid) -> Option<Jid> {
    let by_lid = is_by_lid(client, chat).await;
    let lid = client.lid().filter(|_| by_lid);
    lid.or_else(|| client.pn()).map(|jid| jid.to_non_ad())
}

/// This account's address of the same kind as somebody else's: by number or by privacy id.
pub(crate) fn own_like(client: &Client, other: &Jid) -> Option<Jid> {
    let lid = client.lid().filter(|_| other.server.is_lid_family());
    lid.or_else(|| client.pn()).map(|jid| jid.to_non_ad())
}

/// Whether an address is this account's.
pub(crate) fn is_own(client: &Client, jid: &Jid) -> bool {
    [client.pn(), client.lid()].into_iter().flatten().any(|own| own.is_same_user_as(jid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Jid {
        text.parse().unwrap()
    }

    #[test]
    fn a_person_is_known_by_number_first() {
        let mut person = Person::default();
        person.learn(&read("100000012345678:3@lid"));
        assert_eq!(person.chat().unwrap().as_str(), "100000012345678@lid");
        person.learn(&read("5511990000042:7@s.whatsapp.net"));
        assert_eq!(person.chat().unwrap().as_str(), "5511990000042@c.us");
        assert_eq!(person.lid.unwrap().as_str(), "100000012345678@lid");
    }

    #[test]
    fn addresses_go_both_ways() {
        for (ours, theirs) in [
            ("5511990000042@c.us", "5511990000042@s.whatsapp.net"),
            ("120363041@g.us", "120363041@g.us"),
            ("100000012345678@lid", "100000012345678@lid"),
            ("status@broadcast", "status@broadcast"),
        ] {
            let chat: ChatId = ours.parse().unwrap();
            assert_eq!(jid(&chat).unwrap().to_string(), theirs);
            assert_eq!(chat_id(&read(theirs)).unwrap(), chat);
        }
    }
}
