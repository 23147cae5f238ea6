//! Conversions that somebody asks for: to a voice note, to a video that every phone plays.

use ::base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{content::MediaKind, port::KeptMedia};
use tokio::io::AsyncReadExt as _;

use super::{
    Media, MediaError,
    convert::{ConvertError, form},
    error,
    shape::TO_VOICE,
    sniff::OGG_OPUS,
};

/// Conversions that may be asked for at once, those that wait among them. When full, further ones are refused.
pub(super) const ASKED_MAX: usize = 16;

/// H.264 and AAC in an MP4 that begins to play before it is whole.
const TO_VIDEO: [&str; 22] = [
    "-map",
    "0:v:0",
    "-map",
    "0:a:0?",
    "-vf",
    "scale=trunc(iw/2)*2:trunc(ih/2)*2",
    "-c:v",
    "libx264",
    "-profile:v",
    "main",
    "-pix_fmt",
    "yuv420p",
    "-preset",
    "veryfast",
    "-c:a",
    "aac",
    "-b:a",
    "128k",
    "-movflags",
    "+faststart",
    "-f",
    "mp4",
];

/// What a file is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvertTarget {
    /// Ogg Opus in one channel, as phones record it.
    Voice,
    /// H.264 and AAC in an MP4.
    Video,
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertedFile {
    /// All of it, as base64.
    pub base64: String,
    /// Its length before it was written as base64.
    pub size_bytes: u64,
    /// The type of the file that was made.
    pub mimetype: &'static str,
}

/// Why a file was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConversionError {
    /// Switched off, or the program is not there.
    #[error(
        "Media conversion needs ffmpeg: install it, or name it by FFMPEG_PATH, and set MEDIA_CONVERSION_ENABLED=true"
    )]
    Absent,
    /// Too many are asked for.
    #[error("Too many conversions are under way; try again in a moment")]
    Busy,
    /// It was cut off.
    #[error("The conversion took longer than MEDIA_CONVERSION_TIMEOUT_MS; send a smaller file")]
    Late,
    /// The file is of no form that is converted.
    #[error("The file is no sound or video that can be converted")]
    Unknown,
    /// Most likely the file is damaged, or has no sound or picture in it.
    #[error("The file could not be converted; it may be damaged, or have no track of that kind")]
    Failed,
    /// The file itself.
    #[error(transparent)]
    Media(#[from] MediaError),
}

impl Media {
    /// Whether a file would be converted: it is switched on, and the program answers.
    pub async fn can_convert(&self) -> bool {
        self.converter.answers().await
    }

    /// Makes another file of one that is kept.
    ///
    /// # Errors
    /// [`ConversionError`].
    pub(crate) async fn convert(
        &self,
        kept: &KeptMedia,
        target: ConvertTarget,
    ) -> Result<ConvertedFile, ConversionError> {
        let Ok(_asked) = self.asked.try_acquire() else { return Err(ConversionError::Busy) };
        // Whatever kind the bytes have: the converter is told which, and reads no other.
        let found = self.check(MediaKind::Document, kept, None).await?;
        let form = self.form_of(kept, found).await?.ok_or(ConversionError::Unknown)?;
        let (args, mimetype): (&[&str], _) = match target {
            ConvertTarget::Voice => (&TO_VOICE, OGG_OPUS),
            ConvertTarget::Video => (&TO_VIDEO, "video/mp4"),
        };
        let (file, scratch) = (self.file(kept).await?, self.scratch().await?);
        let into = scratch.handle().map_err(error::write)?;
        let done = self.converter.run(file, form, args, into).await;
        done.map_err(|why| match why {
            ConvertError::Absent => ConversionError::Absent,
            ConvertError::Late => ConversionError::Late,
            ConvertError::Failed => ConversionError::Failed,
        })?;
        let made = scratch.handle().map_err(error::read)?;
        let size = made.metadata().map_err(error::read)?.len();
        if size >= self.options.convert.bytes_max {
            // It was cut at the limit.
            return Err(MediaError::TooBig.into());
        }
        if size == 0 {
            return Err(ConversionError::Failed);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut made = tokio::fs::File::from_std(made);
        tokio::io::AsyncSeekExt::rewind(&mut made).await.map_err(error::read)?;
        made.take(size).read_to_end(&mut bytes).await.map_err(error::read)?;
        Ok(ConvertedFile { base64: STANDARD.encode(&bytes), size_bytes: size, mimetype })
    }

    /// What the converter calls the form of a file, by its first bytes.
    async fn form_of(
        &self,
        kept: &KeptMedia,
        found: Option<&'static str>,
    ) -> Result<Option<&'static str>, MediaError> {
        match found.and_then(form) {
            Some(form) => Ok(Some(form)),
            None => {
                let head = self.blocking(kept, super::shape::head).await?.map_err(error::read)?;
                Ok(infer::get(&head).and_then(|kind| form(kind.mime_type())))
            }
        }
    }
}
