//! What the fake says of channels, labels and the account's business.

use async_trait::async_trait;
use domain::{
    ChatId,
    catalogue::{BusinessProfile, Product, ProductPage},
    channel::{Channel, ChannelChange, ChannelPost, ChannelRole, NewChannel},
    label::LabelChange,
    port::{CatalogueActions, ChannelActions, EngineError, LabelActions},
};

use super::{Asked, FakeLink, FakeWhatsApp, SERVER_TIME, link::HeldLink};

/// What a test says of channels and of the business.
#[derive(Debug, Default)]
pub(super) struct FakeBusiness {
    channels: Vec<Channel>,
    posts: Vec<ChannelPost>,
    profile: Option<BusinessProfile>,
    products: Option<Vec<Product>>,
}

impl FakeWhatsApp {
    /// A channel that the account can see, with its posts.
    pub fn keep_channel(&self, channel: Channel, posts: Vec<ChannelPost>) {
        let mut state = self.lock();
        state.business.channels.push(channel);
        state.business.posts.extend(posts);
    }

    /// The account is a business, with a catalogue if there are products.
    pub fn make_business(&self, description: &str, products: Option<Vec<Product>>) {
        let mut state = self.lock();
        state.business.profile =
            Some(BusinessProfile { description: Some(description.to_owned()) });
        state.business.products = products;
    }
}

/// What a connection asks is asked of the fake behind it.
trait OfFake {
    fn fake(&self) -> &FakeWhatsApp;
}

impl OfFake for HeldLink {
    fn fake(&self) -> &FakeWhatsApp {
        &self.0.fake
    }
}

impl OfFake for FakeLink {
    fn fake(&self) -> &FakeWhatsApp {
        &self.fake
    }
}

macro_rules! with_business {
    ($($link:ident),*) => { $(
        #[async_trait]
        impl ChannelActions for $link {
            async fn channels(&self) -> Result<Vec<Channel>, EngineError> {
                self.fake().ask(Asked::Channels)?;
                Ok(self.fake().lock().business.channels.clone())
            }

            async fn channel(&self, id: &ChatId) -> Result<Option<Channel>, EngineError> {
                self.fake().ask(Asked::Channels)?;
                let state = self.fake().lock();
                Ok(state.business.channels.iter().find(|channel| channel.id == *id).cloned())
            }

            async fn create_channel(&self, new: NewChannel) -> Result<Channel, EngineError> {
                self.fake().ask(Asked::NewChannel(new.clone()))?;
                let mut state = self.fake().lock();
                let number = state.business.channels.len() + 1;
                let channel = Channel {
                    id: format!("1203630000000{number:05}@newsletter").parse().unwrap(),
                    name: new.name,
                    description: new.description,
                    invite_code: Some(format!("invite{number}")),
                    subscribers: 0,
                    picture: None,
                    verified: false,
                    created_at: Some(SERVER_TIME),
                    role: Some(ChannelRole::Owner),
                };
                state.business.channels.push(channel.clone());
                Ok(channel)
            }

            async fn subscribe_channel(&self, invite_code: &str) -> Result<Option<Channel>, EngineError> {
                self.fake().ask(Asked::Subscribe(invite_code.to_owned()))?;
                let state = self.fake().lock();
                let mut known = state.business.channels.iter();
                Ok(known.find(|channel| channel.invite_code.as_deref() == Some(invite_code)).cloned())
            }

            async fn change_channel(
                &self,
                id: &ChatId,
                change: ChannelChange,
            ) -> Result<bool, EngineError> {
                self.fake().ask(Asked::Channel(id.clone(), change))?;
                Ok(self.fake().lock().business.channels.iter().any(|channel| channel.id == *id))
            }

            async fn channel_posts(
                &self,
                id: &ChatId,
                limit: u32,
            ) -> Result<Option<Vec<ChannelPost>>, EngineError> {
                self.fake().ask(Asked::Channels)?;
                let state = self.fake().lock();
                let known = state.business.channels.iter().any(|channel| channel.id == *id);
                let posts = state.business.posts.iter().take(limit as usize).cloned().collect();
                Ok(known.then_some(posts))
            }
        }

        #[async_trait]
        impl LabelActions for $link {
            async fn change_label(&self, change: &LabelChange) -> Result<(), EngineError> {
                self.fake().ask(Asked::Label(change.clone()))
            }
        }

        #[async_trait]
        impl CatalogueActions for $link {
            async fn business(&self) -> Result<Option<BusinessProfile>, EngineError> {
                Ok(self.fake().lock().business.profile.clone())
            }

            async fn products(
                &self,
                after: Option<&str>,
                limit: u32,
            ) -> Result<Option<ProductPage>, EngineError> {
                let state = self.fake().lock();
                let Some(products) = &state.business.products else { return Ok(None) };
                let (skip, limit) = (after.map_or(0, |after| after.parse().unwrap()), limit as usize);
                let page = products.iter().skip(skip).take(limit).cloned().collect();
                let end = skip + limit;
                let next = (end < products.len()).then(|| end.to_string());
                Ok(Some(ProductPage { products: page, next }))
            }
        }
    )* };
}

with_business!(HeldLink, FakeLink);
