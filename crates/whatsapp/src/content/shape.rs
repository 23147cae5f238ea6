//! Locations, address cards, polls.

use domain::content::{ContactCard, Content, Location, Poll};
use whatsapp_rust::waproto::whatsapp as wa;

pub(super) fn read(base: &wa::Message) -> Option<Content> {
    if let Some(location) = base.location_message.as_option() {
        return Some(Content::Location(Location {
            latitude: degrees(location.degrees_latitude),
            longitude: degrees(location.degrees_longitude),
            description: filled(&location.name).or_else(|| filled(&location.comment)),
            address: filled(&location.address),
            url: filled(&location.url),
        }));
    }
    if let Some(location) = base.live_location_message.as_option() {
        return Some(Content::Location(Location {
            latitude: degrees(location.degrees_latitude),
            longitude: degrees(location.degrees_longitude),
            description: filled(&location.caption),
            address: None,
            url: None,
        }));
    }
    if let Some(one) = base.contact_message.as_option() {
        return Some(Content::Contacts { cards: vec![card(one)] });
    }
    if let Some(many) = base.contacts_array_message.as_option()
        && !many.contacts.is_empty()
    {
        return Some(Content::Contacts { cards: many.contacts.iter().map(card).collect() });
    }
    poll_creation(base).map(|creation| {
        Content::Poll(Poll {
            name: creation.name.clone().unwrap_or_default(),
            options: creation
                .options
                .iter()
                .filter_map(|option| option.option_name.clone())
                .collect(),
            allow_multiple_answers: creation.selectable_options_count != Some(1),
        })
    })
}

pub(super) fn poll_creation(base: &wa::Message) -> Option<&wa::message::PollCreationMessage> {
    [
        &base.poll_creation_message,
        &base.poll_creation_message_v2,
        &base.poll_creation_message_v3,
        &base.poll_creation_message_v5,
        &base.poll_creation_message_v6,
    ]
    .into_iter()
    .find_map(|poll| poll.as_option())
}

fn card(contact: &wa::message::ContactMessage) -> ContactCard {
    ContactCard {
        name: contact.display_name.clone().unwrap_or_default(),
        vcard: contact.vcard.clone().unwrap_or_default(),
    }
}

/// JSON has no other numbers.
fn degrees(value: Option<f64>) -> f64 {
    value.filter(|value| value.is_finite()).unwrap_or_default()
}

fn filled(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
