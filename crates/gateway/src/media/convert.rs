//! The converter of sounds and moving pictures: ffmpeg, where it is there.
//!
//! It is a child with limits: the form of its input is ours to say (a playlist that names other files is never read as
//! one), it opens no network, it may write only so much, and it is killed when it takes too long.

use std::{ffi::OsString, fs::File, io::Seek as _, process::Stdio, sync::Arc, time::Duration};

use tokio::{process::Command, sync::Semaphore};

/// How long the program may take to say its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How conversions run (`MEDIA_CONVERSION_*`, `FFMPEG_PATH`).
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// The program; empty switches conversions off.
    pub ffmpeg: OsString,
    /// Longest time for one file.
    pub limit: Duration,
    /// The largest result that is kept, bytes.
    pub bytes_max: u64,
    /// Conversions at once. More of them wait.
    pub concurrency: usize,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self {
            ffmpeg: "ffmpeg".into(),
            limit: Duration::from_secs(60),
            bytes_max: 52_428_800,
            concurrency: 2,
        }
    }
}

/// Why nothing was converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConvertError {
    /// The program is not there, or switched off.
    Absent,
    /// It took too long.
    Late,
    /// It ended with an error: most likely the file is damaged.
    Failed,
}

#[derive(Clone)]
pub(super) struct SoundConverter {
    options: Arc<ConvertOptions>,
    places: Arc<Semaphore>,
}

impl SoundConverter {
    pub(super) fn new(options: ConvertOptions) -> Self {
        let places = Arc::new(Semaphore::new(options.concurrency.max(1)));
        Self { options: Arc::new(options), places }
    }

    /// Whether the program is there and answers.
    pub(super) async fn answers(&self) -> bool {
        if self.options.ffmpeg.is_empty() {
            return false;
        }
        let mut command = Command::new(&self.options.ffmpeg);
        command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.kill_on_drop(true);
        let Ok(mut child) = command.spawn() else { return false };
        let status = tokio::time::timeout(ANSWER_LIMIT, child.wait()).await;
        matches!(status, Ok(Ok(status)) if status.success())
    }

    /// Converts a file of a form that ffmpeg calls `form`, with these arguments between input and output.
    ///
    /// # Errors
    /// [`ConvertError`]; `into` holds anything then.
    pub(super) async fn run(
        &self,
        mut from: File,
        form: &str,
        args: &[&str],
        into: File,
    ) -> Result<(), ConvertError> {
        if self.options.ffmpeg.is_empty() {
            return Err(ConvertError::Absent);
        }
        from.rewind().map_err(|_| ConvertError::Failed)?;
        let most = self.options.bytes_max.to_string();
        let Ok(_place) = self.places.acquire().await else { return Err(ConvertError::Absent) };
        let mut command = Command::new(&self.options.ffmpeg);
        command
            .args(["-nostdin", "-v", "error", "-protocol_whitelist", "file", "-f", form])
            // Opened anew, so that it can be read from its end as well.
            .args(["-i", "file:/dev/stdin", "-map_metadata", "-1", "-threads", "1"])
            .args(args)
            .args(["-fs", &most, "-y", "file:/dev/stdout"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::from(from))
            .stdout(Stdio::from(into))
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|_| ConvertError::Absent)?;
        match tokio::time::timeout(self.options.limit, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => Err(ConvertError::Failed),
            Err(_) => Err(ConvertError::Late),
        }
    }
}

/// What ffmpeg calls the form of a file of a type.
pub(super) fn form(mimetype: &str) -> Option<&'static str> {
    Some(match mimetype.split(';').next().unwrap_or_default() {
        "audio/ogg" | "audio/opus" => "ogg",
        "audio/mpeg" => "mp3",
        "audio/mp4" | "audio/3gpp" | "video/mp4" | "video/quicktime" | "video/3gpp" => "mov",
        "audio/aac" => "aac",
        "audio/amr" => "amr",
        "audio/x-wav" | "audio/wav" => "wav",
        "audio/x-flac" => "flac",
        "audio/x-aiff" => "aiff",
        "audio/webm" | "video/webm" | "video/x-matroska" => "matroska",
        "video/x-msvideo" => "avi",
        "audio/m4a" | "audio/x-m4a" | "video/x-m4v" => "mov",
        "image/gif" => "gif",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// A converter that is this script.
    fn converter(script: &str, limit: Duration) -> (tempfile::TempDir, SoundConverter) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("convert");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let options = ConvertOptions { ffmpeg: path.into(), limit, ..ConvertOptions::default() };
        (dir, SoundConverter::new(options))
    }

    async fn run(converter: &SoundConverter) -> Result<String, ConvertError> {
        let (mut from, mut into) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all(b"sound").unwrap();
        converter.run(from, "mp3", &["-f", "ogg"], into.try_clone().unwrap()).await?;
        let mut text = String::new();
        into.rewind().unwrap();
        into.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[tokio::test]
    async fn a_converter_reads_one_file_of_one_form_and_writes_one() {
        let (_dir, converter) = converter("cat; echo \" $@\"", Duration::from_secs(30));
        let text = run(&converter).await.unwrap();
        assert!(text.starts_with("sound -nostdin"), "{text}");
        assert!(text.contains("-protocol_whitelist file -f mp3 -i file:/dev/stdin"), "{text}");
        assert!(text.trim_end().ends_with("-f ogg -fs 52428800 -y file:/dev/stdout"), "{text}");
    }

    #[tokio::test]
    async fn a_converter_that_is_not_there_fails_or_hangs_is_told_apart() {
        let long = Duration::from_secs(30);
        let (_dir, failing) = converter("exit 3", long);
        assert_eq!(run(&failing).await, Err(ConvertError::Failed));
        let (_dir, hanging) = converter("exec sleep 600", Duration::from_millis(50));
        assert_eq!(run(&hanging).await, Err(ConvertError::Late));
        let absent = |ffmpeg: &str| {
            SoundConverter::new(ConvertOptions {
                ffmpeg: ffmpeg.into(),
                ..ConvertOptions::default()
            })
        };
        assert_eq!(run(&absent("/nowhere/ffmpeg")).await, Err(ConvertError::Absent));
        assert_eq!(run(&absent("")).await, Err(ConvertError::Absent));
    }
}
