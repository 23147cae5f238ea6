//! The small picture of a link's card. Nothing of it is kept: the card itself carries it.

use std::time::Duration;

use domain::{port::Scratch, proxy::ProxyUrl};
use url::Url;

use super::{Media, MediaError, base64, error, fetch, picture, shape::off_the_runtime};
use crate::egress::GetLimits;

/// Largest picture that one is made of, bytes (OpenWA's limit).
pub(crate) const PICTURE_BYTES_MAX: u64 = 5 * 1024 * 1024;

impl Media {
    /// Makes one of base64 text.
    ///
    /// # Errors
    /// [`MediaError::BadBase64`], [`MediaError::TooBig`], [`MediaError::Unfit`] for what is no picture,
    /// [`MediaError::Store`].
    pub(crate) async fn thumbnail_of_base64(&self, text: &str) -> Result<Vec<u8>, MediaError> {
        let text = base64::strip_data_url(text);
        match base64::decoded_length(text) {
            0 => return Err(MediaError::BadBase64),
            length if length > PICTURE_BYTES_MAX => return Err(MediaError::TooBig),
            _ => {}
        }
        let scratch = self.ports.media_files.scratch().await.map_err(MediaError::Store)?;
        base64::decode(text, scratch.handle().map_err(error::write)?).await?;
        self.thumbnail(&scratch).await
    }

    /// Makes one of a picture on the web, fetched within `time`.
    ///
    /// # Errors
    /// As [`Media::fetch`], and [`MediaError::Unfit`] for what is no picture.
    pub(crate) async fn thumbnail_of_url(
        &self,
        url: &str,
        proxy: Option<&ProxyUrl>,
        time: Duration,
    ) -> Result<Vec<u8>, MediaError> {
        let url: Url = fetch::parse(url)?;
        let scratch = self.ports.media_files.scratch().await.map_err(MediaError::Store)?;
        let limits = GetLimits { bytes_max: PICTURE_BYTES_MAX, time };
        let into = scratch.handle().map_err(error::write)?;
        self.egress.get_into(&url, into, limits, proxy).await.map_err(fetch::failed)?;
        self.thumbnail(&scratch).await
    }

    async fn thumbnail(&self, scratch: &Scratch) -> Result<Vec<u8>, MediaError> {
        let file = scratch.handle().map_err(error::read)?;
        let Ok(_place) = self.looks.acquire().await else { return Err(MediaError::NotStored) };
        let seen =
            off_the_runtime(move || picture::look(file)).await?.map_err(MediaError::Unfit)?;
        match seen.thumbnail.is_empty() {
            true => Err(MediaError::Unfit("the picture is damaged: it cannot be opened".into())),
            false => Ok(seen.thumbnail),
        }
    }
}
