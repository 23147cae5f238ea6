//! What businesses send, and the answer to it: products, and the press of a button.

use domain::{
    ChatId, SessionId, WaMessageId,
    catalogue::{CATALOGUE_PAGE, CATALOGUE_PRODUCTS_MAX, Product},
    content::{self, Button, ButtonForm, Content, MediaKind, ProductCard},
    message::Quoted,
    port::EngineError,
};

use super::{MediaInput, Messages, SendError, compose::SentFileSource, context::SendContext};
use crate::sessions::ReadySession;

/// The press of a button, with the message that it stands under.
pub(super) struct PressedButton {
    pub(super) content: Content,
    pub(super) quoted: (Quoted, ChatId),
}

impl Messages {
    /// A product of the account's own catalogue, with its picture where that can be had.
    pub(super) async fn product(
        &self,
        context: &SendContext,
        link: &ReadySession,
        (id, body): (&str, Option<String>),
    ) -> Result<Content, SendError> {
        let product = find(link, id).await?;
        let picture = match product.image_url.clone() {
            Some(url) => {
                let source = SentFileSource {
                    kind: MediaKind::Image,
                    input: MediaInput::Url(url),
                    mimetype: None,
                };
                match Box::pin(self.uploaded(context, link, source)).await {
                    Ok(file) => Some(file),
                    Err(error) => {
                        tracing::warn!(session.id = %context.session, %error,
                            "a product goes out without its picture");
                        None
                    }
                }
            }
            None => None,
        };
        let picture = picture.map(|file| {
            Box::new(content::Media {
                kind: MediaKind::Image,
                mimetype: file.shaped.mimetype.unwrap_or_else(|| "image/jpeg".to_owned()),
                filename: None,
                caption: None,
                size_bytes: file.shaped.kept.size_bytes,
                seconds: None,
                look: file.shaped.look,
                remote: Some(file.remote),
            })
        });
        let owner = link.from.parse().ok();
        Ok(Content::Product(Box::new(ProductCard { product, owner, body, picture })))
    }

    /// A button of a stored message, pressed.
    pub(super) async fn pressed(
        &self,
        session: SessionId,
        chat: &ChatId,
        (id, button, text): (&WaMessageId, &str, Option<String>),
    ) -> Result<PressedButton, SendError> {
        let message = self.stored(session, chat, id).await?;
        let buttons: Vec<Button> =
            serde_json::from_value(message.metadata["buttons"].clone()).unwrap_or_default();
        if buttons.is_empty() {
            return Err(SendError::NotPossible("This message has no buttons"));
        }
        let Some(found) = buttons.into_iter().find(|one| one.id == button) else {
            return Err(SendError::NotPossible("This message has no such button"));
        };
        let form = serde_json::from_value(message.metadata["buttonForm"].clone());
        let form = form.unwrap_or(ButtonForm::Plain);
        let button = Button { id: found.id, text: text.unwrap_or(found.text) };
        let author = message.author.clone().unwrap_or_else(|| message.chat.clone());
        let quoted = Quoted { id: message.wa_id, body: message.body.unwrap_or_default() };
        Ok(PressedButton {
            content: Content::ButtonReply { button, form },
            quoted: (quoted, author),
        })
    }
}

async fn find(link: &ReadySession, id: &str) -> Result<Product, SendError> {
    let (mut after, mut seen) = (None::<String>, 0);
    loop {
        let page = link.connection.products(after.as_deref(), CATALOGUE_PAGE).await;
        let page = page.map_err(|error| match error {
            // Nothing was sent yet.
            EngineError::Unanswered(_) => SendError::Engine(EngineError::NotConnected),
            error => SendError::Engine(error),
        })?;
        let Some(page) = page else {
            return Err(SendError::NotPossible("This account has no catalogue"));
        };
        seen += page.products.len().max(1);
        if let Some(found) = page.products.into_iter().find(|product| product.id == id) {
            return Ok(found);
        }
        match page.next {
            Some(next) if seen < CATALOGUE_PRODUCTS_MAX => after = Some(next),
            _ => return Err(SendError::ProductNotFound(id.to_owned())),
        }
    }
}
