//! A file from a URL, in pieces, into a file.
//!
//! Redirects are followed here and not in the library: each hop is judged like the first URL, and only so many are.

use std::{fs::File, io::Seek as _, time::Duration};

use domain::delivery::AttemptErrorKind;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::{Egress, EgressError, describe};

/// Redirects that are followed.
const HOPS_MAX: usize = 5;

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct GetLimits {
    /// Largest file, bytes.
    pub bytes_max: u64,
    /// For everything together.
    pub time: Duration,
}

/// A file that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// Where it came from in the end.
    pub url: Url,
    /// Its bytes.
    pub size_bytes: u64,
    /// The header of its type, if it is text.
    pub content_type: Option<String>,
    /// The header of its name, if it is text.
    pub disposition: Option<String>,
}

/// Why no file came.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The way there.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// Not 2xx, or a redirect that leads nowhere.
    #[error("the URL answered with status {0}")]
    Status(u16),
    /// Larger than the limit.
    #[error("the file is too large")]
    TooBig,
    /// It could not be written.
    #[error("the file could not be written")]
    Write(#[source] std::io::Error),
}

/// Whether a URL is http or https and carries no name or password.
pub fn is_plain_http(url: &Url) -> bool {
    let http = matches!(url.scheme(), "http" | "https") && url.has_host();
    http && url.username().is_empty() && url.password().is_none()
}

impl Egress {
    /// GETs a file into `into`, from its beginning, all within the limits. At most five redirects are followed; each
    /// is judged as the URL was.
    ///
    /// # Errors
    /// [`GetError`]; the file holds anything then.
    pub async fn get_into(
        &self,
        url: &Url,
        into: File,
        limits: GetLimits,
    ) -> Result<Got, GetError> {
        match tokio::time::timeout(limits.time, self.follow(url, into, limits.bytes_max)).await {
            Ok(done) => done,
            Err(_) => {
                let text = format!("no file within {} ms", limits.time.as_millis());
                Err(EgressError::new(AttemptErrorKind::Timeout, &text).into())
            }
        }
    }

    async fn follow(&self, url: &Url, into: File, bytes_max: u64) -> Result<Got, GetError> {
        let mut url = url.clone();
        for _ in 0..=HOPS_MAX {
            if !is_plain_http(&url) {
                return Err(EgressError::blocked().into());
            }
            self.check(&url)?;
            let answer = self.client.get(url.clone()).send().await;
            let answer = answer.map_err(|error| describe(&error))?;
            let status = answer.status().as_u16();
            if let (301 | 302 | 303 | 307 | 308, Some(location)) =
                (status, text(&answer, &LOCATION))
            {
                url = url.join(&location).map_err(|_| GetError::Status(status))?;
                continue;
            }
            if !answer.status().is_success() {
                return Err(GetError::Status(status));
            }
            let (content_type, disposition) =
                (text(&answer, &CONTENT_TYPE), text(&answer, &CONTENT_DISPOSITION));
            let size_bytes = save(answer, into, bytes_max).await?;
            return Ok(Got { url, size_bytes, content_type, disposition });
        }
        let text = format!("more than {HOPS_MAX} redirects");
        Err(EgressError::new(AttemptErrorKind::Protocol, &text).into())
    }
}

fn text(answer: &reqwest::Response, name: &HeaderName) -> Option<String> {
    // Names in headers are often raw UTF-8, which `to_str` refuses.
    let value = answer.headers().get(name)?;
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
}

async fn save(
    mut answer: reqwest::Response,
    mut into: File,
    bytes_max: u64,
) -> Result<u64, GetError> {
    let announced = text(&answer, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(GetError::TooBig);
    }
    into.set_len(0).and_then(|()| into.rewind()).map_err(GetError::Write)?;
    let mut into = tokio::fs::File::from_std(into);
    let mut size = 0;
    while let Some(piece) = answer.chunk().await.map_err(|error| describe(&error))? {
        size += piece.len() as u64;
        if size > bytes_max {
            return Err(GetError::TooBig);
        }
        into.write_all(&piece).await.map_err(GetError::Write)?;
    }
    into.flush().await.map_err(GetError::Write)?;
    Ok(size)
}
