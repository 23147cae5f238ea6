//! The polls a phone has seen: what it needs to vote, and to read votes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use whatsapp_rust::{wacore::proto_helpers::MessageExt as _, waproto::whatsapp as wa};

/// Polls a phone remembers. A test has a few; when full a further one is not remembered.
const POLLS_MAX: usize = 10_000;

/// What it takes to vote in a poll.
#[derive(Debug, Clone)]
pub(crate) struct KnownPoll {
    /// Phone number of who asked.
    pub(crate) creator: String,
    pub(crate) secret: Vec<u8>,
    pub(crate) options: Vec<String>,
}

/// Polls that a phone saw, by message id.
#[derive(Default)]
pub(crate) struct KnownPolls(Mutex<HashMap<String, KnownPoll>>);

impl KnownPolls {
    /// Remembers a message, if it is a poll.
    pub(super) fn note(&self, id: &str, creator: &str, message: &wa::Message) {
        let base = message.get_base_message();
        let Some(creation) = creation(base) else {
            return;
        };
        let secret = [message, base]
            .into_iter()
            .find_map(|message| message.message_context_info.as_option()?.message_secret.clone());
        let Some(secret) = secret else {
            return;
        };
        let options = creation.options.iter().filter_map(|option| option.option_name.clone());
        let poll = KnownPoll { creator: creator.to_owned(), secret, options: options.collect() };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < POLLS_MAX {
            known.entry(id.to_owned()).or_insert(poll);
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<KnownPoll> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

fn creation(base: &wa::Message) -> Option<&wa::message::PollCreationMessage> {
    let forms = [
        &base.poll_creation_message,
        &base.poll_creation_message_v2,
        &base.poll_creation_message_v3,
    ];
    forms.into_iter().find_map(|poll| poll.as_option())
}
