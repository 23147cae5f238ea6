//! What it answers about people and the account's own profile.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use domain::{
    ChatId, PhoneNumber, Timestamp,
    chat::ContactName,
    event::ChangeSource,
    port::{
        Call, CallMedia, CallOutcome, ContactActions, EngineError, EngineSignal, ProfileChange,
    },
};
use tokio::sync::Semaphore;

use super::{Asked, FakeLink, FakeWhatsApp, SERVER_TIME, link::HeldLink};

/// What was asked about people, or of the account's own profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedAboutPeople {
    /// Who is blocked.
    Blocked,
    /// To block somebody, or to let them in again.
    Block(ChatId, bool),
    /// Where a picture is.
    Picture(ChatId),
    /// To save a number under a name.
    Save(PhoneNumber, ContactName),
    /// To take a number out of the address book.
    Remove(PhoneNumber),
    /// To change the own profile.
    Profile(ProfileChange),
    /// To hear of a presence.
    Watch(ChatId),
    /// To show as online, or not.
    Available(bool),
    /// To refuse a call.
    Reject(String),
    /// For a link to a call.
    CallLink(CallMedia, Timestamp),
}

/// The people whom it knows.
#[derive(Default)]
pub(super) struct FakePeople {
    blocked: Vec<ChatId>,
    pictures: HashMap<ChatId, String>,
    /// Each question about a picture takes one, if there are any to take.
    gate: Option<Arc<Semaphore>>,
    nameless: bool,
    ringing: Vec<Call>,
}

impl FakePeople {
    /// Notes calls, so that they can be refused.
    pub(super) fn hear(&mut self, signal: &EngineSignal) {
        let EngineSignal::Call(call) = signal else { return };
        self.ringing.retain(|known| known.id != call.id);
        if call.outcome.is_none() {
            self.ringing.push(call.clone());
        }
    }
}

impl FakeWhatsApp {
    /// Who is blocked at WhatsApp, whoever did it.
    pub fn set_block_list(&self, blocked: Vec<ChatId>) {
        self.lock().people.blocked = blocked;
    }

    /// Where somebody's picture is.
    pub fn set_picture(&self, id: ChatId, url: &str) {
        self.lock().people.pictures.insert(id, url.to_owned());
    }

    /// From now on each question about a picture waits for a permit of this, of which there are none at first.
    pub fn hold_pictures(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.lock().people.gate = Some(gate.clone());
        gate
    }

    /// Whether the account has no name yet, so that it cannot show as online.
    pub fn set_nameless(&self, nameless: bool) {
        self.lock().people.nameless = nameless;
    }

    /// Everything that was asked about people and the own profile, in order.
    pub fn asked_about_people(&self) -> Vec<AskedAboutPeople> {
        let asked = self.asked().into_iter();
        asked
            .filter_map(|asked| match asked {
                Asked::AboutPeople(asked) => Some(asked),
                _ => None,
            })
            .collect()
    }

    fn ask_about_people(&self, what: AskedAboutPeople) -> Result<(), EngineError> {
        self.ask(Asked::AboutPeople(what))
    }
}

#[async_trait]
impl ContactActions for FakeLink {
    async fn blocked(&self) -> Result<Vec<ChatId>, EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Blocked)?;
        Ok(self.fake.lock().people.blocked.clone())
    }

    async fn set_blocked(&self, person: &ChatId, blocked: bool) -> Result<(), EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Block(person.clone(), blocked))?;
        let list = &mut self.fake.lock().people.blocked;
        list.retain(|known| known != person);
        if blocked {
            list.push(person.clone());
        }
        Ok(())
    }

    async fn picture(&self, id: &ChatId) -> Result<Option<String>, EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Picture(id.clone()))?;
        let gate = self.fake.lock().people.gate.clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        Ok(self.fake.lock().people.pictures.get(id).cloned())
    }

    async fn save_contact(
        &self,
        phone: &PhoneNumber,
        name: &ContactName,
    ) -> Result<(), EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Save(phone.clone(), name.clone()))
    }

    async fn remove_contact(&self, phone: &PhoneNumber) -> Result<(), EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Remove(phone.clone()))
    }

    async fn change_profile(&self, change: ProfileChange) -> Result<(), EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Profile(change))
    }

    async fn watch_presence(&self, chat: &ChatId) -> Result<(), EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Watch(chat.clone()))
    }

    async fn set_available(&self, available: bool) -> Result<bool, EngineError> {
        if self.fake.lock().people.nameless {
            return Ok(false);
        }
        self.fake.ask_about_people(AskedAboutPeople::Available(available))?;
        Ok(true)
    }

    async fn reject_call(&self, id: &str) -> Result<Option<Call>, EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::Reject(id.to_owned()))?;
        let ringing = &mut self.fake.lock().people.ringing;
        let Some(index) = ringing.iter().position(|call| call.id == id) else { return Ok(None) };
        let (outcome, source) = (Some(CallOutcome::Rejected), Some(ChangeSource::Api));
        Ok(Some(Call { outcome, source, timestamp: SERVER_TIME, ..ringing.remove(index) }))
    }

    async fn call_link(&self, media: CallMedia, start: Timestamp) -> Result<String, EngineError> {
        self.fake.ask_about_people(AskedAboutPeople::CallLink(media, start))?;
        Ok("https://call.whatsapp.com/video/AbCdEf123".into())
    }
}

#[async_trait]
impl ContactActions for HeldLink {
    async fn blocked(&self) -> Result<Vec<ChatId>, EngineError> {
        self.0.blocked().await
    }

    async fn set_blocked(&self, person: &ChatId, blocked: bool) -> Result<(), EngineError> {
        self.0.set_blocked(person, blocked).await
    }

    async fn picture(&self, id: &ChatId) -> Result<Option<String>, EngineError> {
        self.0.picture(id).await
    }

    async fn save_contact(
        &self,
        phone: &PhoneNumber,
        name: &ContactName,
    ) -> Result<(), EngineError> {
        self.0.save_contact(phone, name).await
    }

    async fn remove_contact(&self, phone: &PhoneNumber) -> Result<(), EngineError> {
        self.0.remove_contact(phone).await
    }

    async fn change_profile(&self, change: ProfileChange) -> Result<(), EngineError> {
        self.0.change_profile(change).await
    }

    async fn watch_presence(&self, chat: &ChatId) -> Result<(), EngineError> {
        self.0.watch_presence(chat).await
    }

    async fn set_available(&self, available: bool) -> Result<bool, EngineError> {
        self.0.set_available(available).await
    }

    async fn reject_call(&self, id: &str) -> Result<Option<Call>, EngineError> {
        self.0.reject_call(id).await
    }

    async fn call_link(&self, media: CallMedia, start: Timestamp) -> Result<String, EngineError> {
        self.0.call_link(media, start).await
    }
}
