//! A file from a URL, in pieces, into a file.
//!
//! Redirects are followed here and not in the library: each hop is judged like the first URL, and only so many are.

use std::{fs::File, io::Seek as _, time::Duration};

use domain::{delivery::AttemptErrorKind, proxy::ProxyUrl};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::{Egress, EgressError, describe, proxied};

/// Redirects that are followed.
const HOPS_MAX: usize = 5;
/// The answer of a proxy that wants to know who asks; no other server gives it.
const PROXY_CREDENTIALS: u16 = 407;

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct GetLimits {
    /// The largest body that is taken, bytes.
    pub bytes_max: u64,
    /// The limit for name, connection, head and body together.
    pub time: Duration,
}

/// A file that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// Where it came from in the end.
    pub url: Url,
    /// The length of the file in bytes.
    pub size_bytes: u64,
    /// The header of its type, if it is text.
    pub content_type: Option<String>,
    /// The header of its name, if it is text.
    pub disposition: Option<String>,
}

/// Why no file came.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The connection could not be made or was refused.
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
    /// GETs a file into `into`, from its beginning, all within the limits; through `proxy` and in no other way, if
    /// there is one. At most five redirects are followed; each is judged as the URL was.
    ///
    /// # Errors
    /// [`GetError`]; the file holds anything then.
    pub async fn get_into(
        &self,
        url: &Url,
        into: File,
        limits: GetLimits,
        proxy: Option<&ProxyUrl>,
    ) -> Result<Got, GetError> {
        let follow = self.follow(url, into, limits.bytes_max, proxy);
        match tokio::time::timeout(limits.time, follow).await {
            Ok(done) => done,
            Err(_) => {
                let text = format!("no file within {} ms", limits.time.as_millis());
                Err(EgressError::new(AttemptErrorKind::Timeout, &text).into())
            }
        }
    }

    async fn follow(
        &self,
        url: &Url,
        into: File,
        bytes_max: u64,
        proxy: Option<&ProxyUrl>,
    ) -> Result<Got, GetError> {
        let mut url = url.clone();
        for _ in 0..=HOPS_MAX {
            if !is_plain_http(&url) {
                return Err(EgressError::blocked().into());
            }
            let answer = self.ask(&url, proxy).await?;
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
            let size_bytes = save(answer, into, bytes_max, &url).await?;
            return Ok(Got { url, size_bytes, content_type, disposition });
        }
        let text = format!("more than {HOPS_MAX} redirects");
        Err(EgressError::new(AttemptErrorKind::Protocol, &text).into())
    }

    /// Asks one address, and follows no redirect.
    async fn ask(
        &self,
        url: &Url,
        proxy: Option<&ProxyUrl>,
    ) -> Result<reqwest::Response, EgressError> {
        self.check_name(url).await?;
        let Some(proxy) = proxy else {
            let answer = self.client.get(url.clone()).send().await;
            return answer.map_err(|error| describe(&error, url));
        };
        // The proxy resolves the name by itself; what it means here is judged before.
        self.check_addresses(url).await?;
        let answer = self.proxied.client(proxy)?.get(url.clone()).send().await;
        let answer = answer.map_err(|error| proxied::describe(&error))?;
        if answer.status().as_u16() == PROXY_CREDENTIALS {
            return Err(proxied::failed(proxied::CREDENTIALS));
        }
        Ok(answer)
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
    url: &Url,
) -> Result<u64, GetError> {
    let announced = text(&answer, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(GetError::TooBig);
    }
    into.set_len(0).and_then(|()| into.rewind()).map_err(GetError::Write)?;
    let mut into = tokio::fs::File::from_std(into);
    let mut size = 0;
    while let Some(piece) = answer.chunk().await.map_err(|error| describe(&error, url))? {
        size += piece.len() as u64;
        if size > bytes_max {
            return Err(GetError::TooBig);
        }
        into.write_all(&piece).await.map_err(GetError::Write)?;
    }
    into.flush().await.map_err(GetError::Write)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::EgressPolicy;
    use std::io::Read as _;
    use tokio::io::AsyncReadExt as _;

    const LIMITS: GetLimits = GetLimits { bytes_max: 100, time: Duration::from_secs(5) };

    /// Answers every request with what `answer` makes of its path; the base of its URLs.
    #[expect(
        clippy::disallowed_methods,
        reason = "a server of a test ends with the test's runtime"
    )]
    async fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = socket.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                socket.write_all(answer(path).as_bytes()).await.unwrap();
            }
        });
        base
    }

    fn egress() -> Egress {
        let allowed_hosts = vec!["127.0.0.1".into()];
        Egress::new(EgressPolicy { protect: true, allowed_hosts }).unwrap()
    }

    async fn get(url: &str, limits: GetLimits) -> Result<(Got, Vec<u8>), GetError> {
        let mut file = tempfile::tempfile().unwrap();
        let url = Url::parse(url).unwrap();
        let got = egress().get_into(&url, file.try_clone().unwrap(), limits, None).await?;
        let mut bytes = vec![];
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        Ok((got, bytes))
    }

    fn redirect(location: &str) -> String {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    }

    #[tokio::test]
    async fn a_file_comes_over_a_few_redirects() {
        let base = serve(|path| match path.trim_start_matches('/').parse::<u32>() {
            Ok(0) => "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-disposition: inline; filename=a.png\r\n\
                      content-length: 5\r\nconnection: close\r\n\r\nhello"
                .to_owned(),
            Ok(more) => redirect(&format!("/{}", more - 1)),
            Err(_) => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into(),
        })
        .await;
        let (got, bytes) = get(&format!("{base}/5"), LIMITS).await.unwrap();
        assert_eq!((got.size_bytes, bytes.as_slice()), (5, b"hello".as_slice()));
        assert_eq!(got.content_type.as_deref(), Some("image/png"));
        assert_eq!(got.disposition.as_deref(), Some("inline; filename=a.png"));
        assert_eq!(got.url.path(), "/0");
        let many = get(&format!("{base}/6"), LIMITS).await.unwrap_err();
        assert_eq!(many.to_string(), "more than 5 redirects");
        assert!(matches!(get(&format!("{base}/x"), LIMITS).await, Err(GetError::Status(404))));
    }

    #[tokio::test]
    async fn no_redirect_leads_into_private_space() {
        let locations = [
            "http://127.0.0.2/",
            "http://0x7f000002/",
            "http://017700000002/",
            "http://10.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[::ffff:a00:1]/",
            "http://[64:ff9b::a00:1]/",
            "http://[64:ff9b:1::a00:1]/",
            "http://[2002:a00:1::]/",
            "http://169.254.169.254/latest/meta-data",
            "http://localhost/",
            "//localhost/",
            "http://user:secret@127.0.0.1/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
        ];
        let base = serve(move |path| {
            let number: usize = path.trim_start_matches('/').parse().unwrap();
            redirect(locations[number])
        })
        .await;
        for (number, location) in locations.into_iter().enumerate() {
            let refused = get(&format!("{base}/{number}"), LIMITS).await.unwrap_err();
            assert!(
                matches!(
                    &refused,
                    GetError::Egress(EgressError { kind: AttemptErrorKind::Blocked, .. })
                ),
                "{location}: {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn size_and_time_have_limits() {
        let base = serve(|path| match path {
            "/announced" => {
                "HTTP/1.1 200 OK\r\ncontent-length: 101\r\nconnection: close\r\n\r\n".into()
            }
            "/grows" => format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(500)),
            "/fits" => format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(100)),
            _ => String::new(),
        })
        .await;
        for path in ["announced", "grows"] {
            let refused = get(&format!("{base}/{path}"), LIMITS).await;
            assert!(matches!(refused, Err(GetError::TooBig)), "{path}");
        }
        assert_eq!(get(&format!("{base}/fits"), LIMITS).await.unwrap().1.len(), 100);

        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let short = GetLimits { time: Duration::from_millis(50), ..LIMITS };
        let late = get(&url, short).await.unwrap_err();
        assert!(
            matches!(&late, GetError::Egress(EgressError { kind: AttemptErrorKind::Timeout, .. })),
            "{late:?}"
        );
    }
}
