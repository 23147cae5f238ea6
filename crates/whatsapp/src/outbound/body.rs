//! What is read: texts, locations, address cards, polls.

use domain::{
    content::{ContactCard, LinkPreview, Location, Poll},
    port::EngineError,
};
use whatsapp_rust::{
    buffa::MessageField, proto_helpers::MessageBuilderExt as _, waproto::whatsapp as wa,
};

use super::refused;

pub(super) fn text(body: String, preview: Option<LinkPreview>) -> wa::Message {
    let Some(LinkPreview { url, title, description, thumbnail }) = preview else {
        return wa::Message::text(body);
    };
    wa::Message {
        extended_text_message: MessageField::some(wa::message::ExtendedTextMessage {
            text: Some(body),
            matched_text: Some(url),
            title: Some(title),
            description,
            jpeg_thumbnail: (!thumbnail.is_empty()).then_some(thumbnail),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn location(location: Location) -> wa::Message {
    wa::Message {
        location_message: MessageField::some(wa::message::LocationMessage {
            degrees_latitude: Some(location.latitude),
            degrees_longitude: Some(location.longitude),
            name: location.description,
            address: location.address,
            url: location.url,
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn contacts(cards: Vec<ContactCard>) -> Result<wa::Message, EngineError> {
    let mut contacts: Vec<_> = cards
        .into_iter()
        .map(|card| wa::message::ContactMessage {
            display_name: Some(card.name),
            vcard: Some(card.vcard),
            ..Default::default()
        })
        .collect();
    match contacts.len() {
        0 => Err(refused("there is no address card to send")),
        1 => Ok(wa::Message {
            contact_message: MessageField::some(contacts.remove(0)),
            ..Default::default()
        }),
        many => Ok(wa::Message {
            contacts_array_message: MessageField::some(wa::message::ContactsArrayMessage {
                display_name: Some(format!("{many} contacts")),
                contacts,
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}

/// The first form of polls for several choices, the third for one: clients distinguish them by it.
pub(super) fn poll(poll: Poll, secret: [u8; 32]) -> wa::Message {
    let options =
        poll.options.into_iter().map(|option| wa::message::poll_creation_message::Option {
            option_name: Some(option),
            ..Default::default()
        });
    let creation = MessageField::some(wa::message::PollCreationMessage {
        name: Some(poll.name),
        options: options.collect(),
        // Zero: as many as there are.
        selectable_options_count: Some(u32::from(!poll.allow_multiple_answers)),
        ..Default::default()
    });
    let mut message = wa::Message {
        message_context_info: MessageField::some(wa::MessageContextInfo {
            message_secret: Some(secret.to_vec()),
            ..Default::default()
        }),
        ..Default::default()
    };
    if poll.allow_multiple_answers {
        message.poll_creation_message = creation;
    } else {
        message.poll_creation_message_v3 = creation;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> ContactCard {
        ContactCard { name: name.into(), vcard: domain::content::vcard(name, "5511990000001") }
    }

    #[test]
    fn one_card_is_a_contact_and_several_are_a_list() {
        assert!(contacts(vec![]).is_err());
        assert!(contacts(vec![card("Mia")]).unwrap().contact_message.is_set());
        let two = contacts(vec![card("Mia"), card("Ben")]).unwrap();
        assert_eq!(two.contacts_array_message.as_option().unwrap().contacts.len(), 2);
    }

    #[test]
    fn a_poll_says_how_many_may_be_chosen() {
        let mut question = Poll {
            name: "when?".into(),
            options: vec!["now".into(), "later".into()],
            allow_multiple_answers: false,
        };
        let single = poll(question.clone(), [7; 32]);
        let creation = single.poll_creation_message_v3.as_option().unwrap();
        assert_eq!(creation.selectable_options_count, Some(1));
        question.allow_multiple_answers = true;
        let multiple = poll(question, [7; 32]);
        let creation = multiple.poll_creation_message.as_option().unwrap();
        assert_eq!(creation.selectable_options_count, Some(0));
    }

    #[test]
    fn a_preview_makes_a_card() {
        let preview = LinkPreview {
            url: "https://example.com".into(),
            title: "Example".into(),
            description: None,
            thumbnail: vec![],
        };
        let message = text("see https://example.com".into(), Some(preview));
        let text = message.extended_text_message.as_option().unwrap();
        assert_eq!(text.matched_text.as_deref(), Some("https://example.com"));
    }
}
