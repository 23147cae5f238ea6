//! Files from URLs.

use std::io::{Read as _, Seek as _};

use domain::{delivery::AttemptErrorKind, proxy::ProxyUrl};
use url::Url;

use super::{Fetched, Media, MediaError, error, names};
use crate::egress::{EgressError, GetError, GetLimits};

/// Longest URL, in characters (OpenWA's limit for URLs).
const URL_CHARS_MAX: usize = 2048;
/// As many first bytes as tell any type.
const SNIFFED_BYTES: u64 = 8192;

pub(super) async fn fetch(
    media: &Media,
    url: &str,
    proxy: Option<&ProxyUrl>,
) -> Result<Fetched, MediaError> {
    let url = parse(url)?;
    let scratch = media.ports.media_files.scratch().await.map_err(MediaError::Store)?;
    let limits = GetLimits { bytes_max: media.options.bytes_max, time: media.options.fetch_limit };
    let into = scratch.handle().map_err(error::write)?;
    let got = media.egress.get_into(&url, into, limits, proxy).await.map_err(failed)?;
    let told = got.content_type.as_deref().and_then(names::of_content_type);
    let mimetype = match told {
        Some(told) => Some(told),
        None => sniff(scratch.handle().map_err(error::read)?).map_err(error::read)?,
    };
    let filename = got.disposition.as_deref().and_then(names::of_disposition);
    let filename = filename.or_else(|| names::of_url(&got.url));
    let kept = media.ports.media_files.keep(scratch).await.map_err(MediaError::Store)?;
    Ok(Fetched { kept, mimetype, filename })
}

pub(super) fn parse(text: &str) -> Result<Url, MediaError> {
    if text.chars().count() > URL_CHARS_MAX {
        return Err(MediaError::NotHttp);
    }
    let url = Url::parse(text.trim()).map_err(|_| MediaError::NotHttp)?;
    if crate::egress::is_plain_http(&url) { Ok(url) } else { Err(MediaError::NotHttp) }
}

fn sniff(mut file: std::fs::File) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    file.rewind()?;
    file.take(SNIFFED_BYTES).read_to_end(&mut head)?;
    Ok(infer::get(&head).map(|kind| kind.mime_type().to_owned()))
}

pub(super) fn failed(error: GetError) -> MediaError {
    match error {
        GetError::Status(status) => MediaError::Status(status),
        GetError::TooBig => MediaError::TooBig,
        GetError::Write(error) => error::write(error),
        GetError::Egress(EgressError { kind: AttemptErrorKind::Blocked, text }) => {
            MediaError::Blocked(text)
        }
        GetError::Egress(EgressError { kind: AttemptErrorKind::Timeout, .. }) => {
            MediaError::Timeout
        }
        GetError::Egress(error) => MediaError::Unreachable(error.text),
    }
}
