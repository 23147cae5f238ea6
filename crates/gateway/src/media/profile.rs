//! Pictures of profiles, as WhatsApp takes them: a square JPEG. Nothing of them is kept.

use domain::{port::Scratch, proxy::ProxyUrl};

use super::{Media, MediaError, base64, error, fetch, picture, shape::off_the_runtime};
use crate::egress::GetLimits;

impl Media {
    /// Makes one of base64 text.
    ///
    /// # Errors
    /// [`MediaError::BadBase64`], [`MediaError::TooBig`], [`MediaError::Unfit`] for what is no picture,
    /// [`MediaError::Store`].
    pub(crate) async fn profile_of_base64(&self, text: &str) -> Result<Vec<u8>, MediaError> {
        let text = base64::strip_data_url(text);
        match base64::decoded_length(text) {
            0 => return Err(MediaError::BadBase64),
            length if length > self.options.bytes_max => return Err(MediaError::TooBig),
            _ => {}
        }
        let scratch = self.ports.media_files.scratch().await.map_err(MediaError::Store)?;
        base64::decode(text, scratch.handle().map_err(error::write)?).await?;
        self.profile(&scratch).await
    }

    /// Makes one of a picture on the web.
    ///
    /// # Errors
    /// As [`Media::fetch`], and [`MediaError::Unfit`] for what is no picture.
    pub(crate) async fn profile_of_url(
        &self,
        url: &str,
        proxy: Option<&ProxyUrl>,
    ) -> Result<Vec<u8>, MediaError> {
        let url = fetch::parse(url)?;
        let scratch = self.ports.media_files.scratch().await.map_err(MediaError::Store)?;
        let (bytes_max, time) = (self.options.bytes_max, self.options.fetch_limit);
        let into = scratch.handle().map_err(error::write)?;
        let limits = GetLimits { bytes_max, time };
        self.egress.get_into(&url, into, limits, proxy).await.map_err(fetch::failed)?;
        self.profile(&scratch).await
    }

    async fn profile(&self, scratch: &Scratch) -> Result<Vec<u8>, MediaError> {
        let file = scratch.handle().map_err(error::read)?;
        let Ok(_place) = self.looks.acquire().await else { return Err(MediaError::NotStored) };
        off_the_runtime(move || picture::square(file)).await?.map_err(MediaError::Unfit)
    }
}
