//! From a file that was handed in to one that phones show: its type by its bytes, its size, how long it plays, and
//! the forms that stickers and voice notes must have.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
};

use domain::{
    content::{MediaKind, MediaLook},
    port::{KeptMedia, Scratch},
};

use super::{
    Media, MediaError,
    convert::{ConvertError, form},
    error,
    picture::{self, StickerShape},
    play,
    sniff::{self, HEAD_BYTES, OGG_OPUS},
};

/// A file as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShapedFile {
    /// Another one than was handed in where it had to be converted.
    pub(crate) kept: KeptMedia,
    /// Its type by its bytes; `None` leaves what was given.
    pub(crate) mimetype: Option<String>,
    pub(crate) seconds: Option<u32>,
    pub(crate) look: MediaLook,
}

/// Ogg Opus in one channel, what phones record themselves.
pub(super) const TO_VOICE: [&str; 15] = [
    "-map",
    "0:a:0",
    "-vn",
    "-ac",
    "1",
    "-ar",
    "48000",
    "-c:a",
    "libopus",
    "-b:a",
    "32k",
    "-application",
    "voip",
    "-f",
    "ogg",
];
/// Samples for a waveform.
const TO_SAMPLES: [&str; 8] = ["-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le"];
/// A moving sticker.
const TO_STICKER: [&str; 12] = [
    "-vf",
    "fps=15,format=rgba,scale=512:512:force_original_aspect_ratio=decrease,pad=512:512:(ow-iw)/2:(oh-ih)/2:color=black@0",
    "-t",
    "10",
    "-c:v",
    "libwebp_anim",
    "-q:v",
    "40",
    "-loop",
    "0",
    "-f",
    "webp",
];
/// The first picture of a video.
const TO_STILL: [&str; 8] = ["-map", "0:v:0", "-frames:v", "1", "-c:v", "mjpeg", "-f", "mjpeg"];

impl Media {
    /// Looks at the bytes of a file and makes of it what its kind needs.
    ///
    /// # Errors
    /// [`MediaError::Unfit`] says what is wrong and what to do.
    pub(crate) async fn shape(
        &self,
        kind: MediaKind,
        kept: KeptMedia,
        given: Option<&str>,
    ) -> Result<ShapedFile, MediaError> {
        let found = self.check(kind, &kept, given).await?;
        let plain = |look, seconds| ShapedFile {
            kept: kept.clone(),
            mimetype: found.map(str::to_owned),
            seconds,
            look,
        };
        match kind {
            MediaKind::Document => Ok(plain(MediaLook::default(), None)),
            MediaKind::Image => {
                let seen = self.blocking(&kept, picture::look).await?.map_err(MediaError::Unfit)?;
                let look = MediaLook {
                    width: Some(seen.width),
                    height: Some(seen.height),
                    thumbnail: seen.thumbnail,
                    ..MediaLook::default()
                };
                Ok(plain(look, None))
            }
            MediaKind::Audio => {
                let seconds = self.blocking(&kept, play::seconds).await?;
                Ok(plain(MediaLook::default(), seconds))
            }
            MediaKind::Video => {
                let film = self.blocking(&kept, play::film).await?;
                let still = self.still(&kept, found.unwrap_or_default()).await?;
                let (width, height) = film.size.unzip();
                let look = MediaLook { width, height, thumbnail: still, ..MediaLook::default() };
                Ok(plain(look, film.seconds))
            }
            MediaKind::Sticker => self.sticker(kept).await,
            MediaKind::Voice => self.voice(kept, found.unwrap_or_default()).await,
        }
    }

    /// Whether the first bytes of a file fit what it is sent as; the type that they have, where the kind decides it.
    ///
    /// # Errors
    /// [`MediaError::Unfit`].
    pub(crate) async fn check(
        &self,
        kind: MediaKind,
        kept: &KeptMedia,
        given: Option<&str>,
    ) -> Result<Option<&'static str>, MediaError> {
        if kept.size_bytes == 0 {
            return Err(MediaError::Unfit("the file is empty: it has no bytes".into()));
        }
        let head = self.blocking(kept, head).await?.map_err(error::read)?;
        sniff::fit(kind, given, &head).map_err(MediaError::Unfit)
    }

    async fn sticker(&self, kept: KeptMedia) -> Result<ShapedFile, MediaError> {
        let made = self.blocking(&kept, picture::sticker).await?.map_err(MediaError::Unfit)?;
        let kept = match made {
            StickerShape::Fits => kept,
            StickerShape::Made(bytes) => {
                let scratch = self.scratch().await?;
                let mut into = scratch.handle().map_err(error::write)?;
                into.write_all(&bytes).map_err(error::write)?;
                self.keep(scratch).await?
            }
            StickerShape::Moves => {
                let what = "a moving GIF as a sticker";
                let otherwise = "send it as a still picture or as WebP";
                self.converted(&kept, "image/gif", &TO_STICKER, what, otherwise).await?
            }
        };
        let side = Some(picture::STICKER_PIXELS);
        let look = MediaLook { width: side, height: side, ..MediaLook::default() };
        Ok(ShapedFile { kept, mimetype: Some("image/webp".into()), seconds: None, look })
    }

    async fn voice(&self, kept: KeptMedia, found: &str) -> Result<ShapedFile, MediaError> {
        let is_note = found == OGG_OPUS
            && self
                .blocking(&kept, head)
                .await?
                .map_err(error::read)?
                .windows(8)
                .any(|bytes| bytes == b"OpusHead");
        let kept = if is_note {
            kept
        } else {
            let what = "a voice note that is no Ogg Opus";
            let otherwise = "send Ogg Opus (one channel), or send it without ptt";
            self.converted(&kept, found, &TO_VOICE, what, otherwise).await?
        };
        let told = self.blocking(&kept, play::seconds).await?;
        let wave = self.wave(&kept).await?;
        let (heard, waveform) = wave.unzip();
        let look = MediaLook { waveform: waveform.unwrap_or_default(), ..MediaLook::default() };
        Ok(ShapedFile { kept, mimetype: Some(OGG_OPUS.into()), seconds: heard.or(told), look })
    }

    /// How long a voice note plays, and its waveform. Without a converter there is none: it plays all the same.
    async fn wave(&self, kept: &KeptMedia) -> Result<Option<(u32, Vec<u8>)>, MediaError> {
        let (file, scratch) = (self.file(kept).await?, self.scratch().await?);
        let into = scratch.handle().map_err(error::write)?;
        if self.converter.run(file, "ogg", &TO_SAMPLES, into).await.is_err() {
            return Ok(None);
        }
        let samples = scratch.handle().map_err(error::read)?;
        off_the_runtime(move || play::waveform(samples)).await?.map_err(error::read)
    }

    /// A small picture of a video; empty where none could be made.
    async fn still(&self, kept: &KeptMedia, found: &str) -> Result<Vec<u8>, MediaError> {
        let Some(form) = form(found) else { return Ok(vec![]) };
        let (file, scratch) = (self.file(kept).await?, self.scratch().await?);
        let into = scratch.handle().map_err(error::write)?;
        if self.converter.run(file, form, &TO_STILL, into).await.is_err() {
            return Ok(vec![]);
        }
        let still = scratch.handle().map_err(error::read)?;
        let seen = off_the_runtime(move || picture::look(still)).await?;
        Ok(seen.map(|seen| seen.thumbnail).unwrap_or_default())
    }

    async fn converted(
        &self,
        kept: &KeptMedia,
        found: &str,
        args: &[&str],
        what: &str,
        otherwise: &str,
    ) -> Result<KeptMedia, MediaError> {
        let unfit = |why: &str| MediaError::Unfit(format!("{what} {why}: {otherwise}"));
        let form = form(found).ok_or_else(|| unfit("cannot be converted"))?;
        let (file, scratch) = (self.file(kept).await?, self.scratch().await?);
        let into = scratch.handle().map_err(error::write)?;
        let done = self.converter.run(file, form, args, into).await;
        done.map_err(|why| match why {
            ConvertError::Absent => {
                unfit("needs ffmpeg, which is not installed here (FFMPEG_PATH)")
            }
            ConvertError::Late => unfit("took too long to convert (MEDIA_CONVERSION_TIMEOUT_MS)"),
            ConvertError::Failed => unfit("could not be converted, the file may be damaged"),
        })?;
        let kept = self.keep(scratch).await?;
        if kept.size_bytes == 0 {
            return Err(unfit("could not be converted, nothing is in it"));
        }
        Ok(kept)
    }

    pub(super) async fn scratch(&self) -> Result<Scratch, MediaError> {
        self.ports.media_files.scratch().await.map_err(MediaError::Store)
    }

    async fn keep(&self, scratch: Scratch) -> Result<KeptMedia, MediaError> {
        self.ports.media_files.keep(scratch).await.map_err(MediaError::Store)
    }

    pub(super) async fn file(&self, kept: &KeptMedia) -> Result<File, MediaError> {
        let opened = self.ports.media_files.open(&kept.id).await.map_err(MediaError::Store)?;
        opened.map(|(file, _)| file).ok_or(MediaError::NotStored)
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        kept: &KeptMedia,
        work: impl FnOnce(File) -> T + Send + 'static,
    ) -> Result<T, MediaError> {
        let file = self.file(kept).await?;
        let Ok(_place) = self.looks.acquire().await else { return Err(MediaError::NotStored) };
        off_the_runtime(move || work(file)).await
    }
}

/// A parser of strangers' bytes that panics says nothing about the house.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MediaError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| MediaError::Unfit("the file could not be read: it is damaged".into()))
}

pub(super) fn head(mut file: File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.rewind()?;
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}
