//! The card above a text with a link, and the way out of a session.

use domain::{SessionId, content::LinkPreview, proxy::ProxyUrl};

use super::{Card, MediaInput, Messages, Preview, SendError};
use crate::{media::MediaError, preview};

impl Messages {
    /// What is fetched for a session goes through this proxy, and in no other way.
    pub(super) async fn way_out(&self, session: SessionId) -> Result<Option<ProxyUrl>, SendError> {
        if !self.shared.options.fetch_through_proxy {
            return Ok(None);
        }
        Ok(self.session(session).await?.proxy)
    }

    pub(super) async fn card(
        &self,
        session: SessionId,
        text: &str,
        preview: Preview,
    ) -> Result<Option<LinkPreview>, SendError> {
        let wanted = match preview {
            Preview::Off => false,
            Preview::Card(card) => return self.given(session, *card).await.map(Some),
            Preview::Fetch => true,
            Preview::Usual => {
                preview::has_link(text) && self.session(session).await?.config.link_preview
            }
        };
        if !wanted {
            return Ok(None);
        }
        let proxy = self.way_out(session).await?;
        let (pages, media) = (&self.shared.pages, &self.shared.media);
        let files = &*self.shared.ports.media_files;
        Ok(preview::of_text(pages, media, files, text, proxy.as_ref()).await)
    }

    /// A card that the caller wrote. Its picture was asked for: without it nothing is sent.
    async fn given(&self, session: SessionId, card: Card) -> Result<LinkPreview, SendError> {
        let Card { mut preview, picture } = card;
        let media = &self.shared.media;
        let made = match picture {
            None | Some(MediaInput::Kept(_)) => return Ok(preview),
            Some(MediaInput::Base64(text)) => media.thumbnail_of_base64(&text).await,
            Some(MediaInput::Url(url)) => {
                let proxy = self.way_out(session).await?;
                let time = media.options().fetch_limit;
                media.thumbnail_of_url(&url, proxy.as_ref(), time).await
            }
        };
        preview.thumbnail = made.map_err(|error| SendError::Media(of_card(error)))?;
        Ok(preview)
    }
}

/// Says of what is wrong that it is the card's picture.
fn of_card(error: MediaError) -> MediaError {
    let unfit = |text: String| MediaError::Unfit(text);
    match error {
        MediaError::NotHttp => unfit("customLinkPreview.thumbnailUrl must be a URL address".into()),
        MediaError::BadBase64 => {
            unfit("customLinkPreview.thumbnailBase64 must be the base64 text of a picture".into())
        }
        MediaError::TooBig => {
            unfit("the picture of customLinkPreview is too large: 5 MiB are the limit".into())
        }
        MediaError::Unfit(why) => unfit(format!("the picture of customLinkPreview: {why}")),
        MediaError::Blocked(why) => {
            MediaError::Blocked(format!("customLinkPreview.thumbnailUrl: {why}"))
        }
        other => other,
    }
}
