//! Files that are converted for somebody, without being sent.

use domain::SessionId;

use super::{MediaInput, Messages, SendError};
use crate::media::{ConversionError, ConvertTarget, ConvertedFile};

/// Why a file was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertFileError {
    /// The session, or its proxy, through which the file is fetched.
    #[error(transparent)]
    Session(#[from] SendError),
    /// The conversion itself failed.
    #[error(transparent)]
    Conversion(#[from] ConversionError),
}

impl Messages {
    /// Makes a voice note or a video of a file. It is fetched as a send of the session would fetch it.
    ///
    /// # Errors
    /// [`ConvertFileError`].
    pub async fn convert(
        &self,
        session: SessionId,
        input: &MediaInput,
        target: ConvertTarget,
    ) -> Result<ConvertedFile, ConvertFileError> {
        self.session(session).await?;
        let media = &self.shared.media;
        if !media.can_convert().await {
            return Err(ConversionError::Absent.into());
        }
        let kept = match input {
            MediaInput::Base64(text) => {
                media.keep_base64(text).await.map_err(ConversionError::Media)?
            }
            MediaInput::Kept(kept) => kept.clone(),
            MediaInput::Url(url) => {
                let proxy = self.way_out(session).await?;
                let fetched = media.fetch(url, proxy.as_ref()).await;
                fetched.map_err(ConversionError::Media)?.kept
            }
        };
        Ok(media.convert(&kept, target).await?)
    }
}
