//! WhatsApp's addresses in the domain's words.
//!
//! A person has a phone number and a privacy id (LID), and a stanza may name either. The canonical
//! chat id is the phone number's when it is known, else the LID's. What a stanza says about the
//! other one beats what was learned before; what was learned is in the library's mapping.

use domain::{ChatId, PhoneNumber};
use whatsapp_rust::{Client, Jid};

/// One person, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// The phone number.
    pub phone: Option<PhoneNumber>,
    /// The privacy id.
    pub lid: Option<ChatId>,
}

impl Person {
    /// The canonical chat with this person.
    pub fn chat(&self) -> Option<ChatId> {
        self.phone.as_ref().map(PhoneNumber::chat).or_else(|| self.lid.clone())
    }

    fn learn(&mut self, jid: &Jid) {
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

/// This account itself.
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
