//! One request, handed to the process that runs its session.

use std::{net::IpAddr, pin::Pin, time::Duration};

use bytes::Bytes;
use domain::{hop, port::Holder};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use url::Url;

use super::Peers;

/// The header of a seal; and, in answers that only processes see, why a request was not taken.
pub const HOP: HeaderName = HeaderName::from_static("waypost-hop");
/// The span that a request comes from.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Said in [`HOP`]: this process does not run the session.
const ELSEWHERE: &str = "elsewhere";
/// Said in [`HOP`]: the seal counts for nothing here.
const REFUSED: &str = "refused";

/// What belongs to one connection (RFC 9110, 7.6.1), or to the way to the first process.
const NOT_CARRIED: [HeaderName; 15] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    // The first process speaks with browsers.
    header::ORIGIN,
];

/// The body of an answer, as it comes. It ends with an error when the other process breaks off or falls silent.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// What another process answered to a request that was handed to it.
pub type Answer = Response<Body>;

/// Why a request was not answered by the process it was handed to.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// It does not say where it is asked. Nothing was sent.
    #[error("the process that runs the session does not say where it is asked")]
    NoAddress,
    /// There is no connection to it. Nothing was sent.
    #[error("the process that runs the session cannot be reached")]
    Unreachable(#[source] Option<reqwest::Error>),
    /// It does not run the session any more. It did nothing.
    #[error("the process that ran the session does not run it any more")]
    NotThere,
    /// It does not believe this process. It did nothing.
    #[error("the process that runs the session does not take requests of this one")]
    Refused,
    /// It did not begin to answer in time. What it did is not known.
    #[error("the process that runs the session did not answer in time")]
    Silent,
    /// The connection to it broke off. What it did is not known.
    #[error("the connection to the process that runs the session broke off")]
    BrokenOff(#[source] reqwest::Error),
}

impl Peers {
    /// Hands a request to the process that runs its session: method, target, headers and body as they came, with the
    /// caller's key (`credential`) and address. It is sent at most once.
    ///
    /// # Errors
    /// [`HandOverError`]; each says whether something may have been done.
    pub async fn hand_over(
        &self,
        to: &Holder,
        request: &http::Request<Bytes>,
        credential: &[u8],
        client: Option<IpAddr>,
    ) -> Result<Answer, HandOverError> {
        let answer = self.call(to, request, credential, client).await;
        self.inner.tally.count(answer.as_ref().err());
        answer
    }

    async fn call(
        &self,
        to: &Holder,
        request: &http::Request<Bytes>,
        credential: &[u8],
        client: Option<IpAddr>,
    ) -> Result<Answer, HandOverError> {
        let url = to.url.as_deref().ok_or(HandOverError::NoAddress)?;
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let url = address(url, target).ok_or(HandOverError::Unreachable(None))?;
        let method = request.method();
        let about = hop::Request { method: method.as_str(), target, credential };
        let seal = self.inner.seal(&to.owner, &about, client);
        let seal = HeaderValue::try_from(seal).map_err(|_| HandOverError::NoAddress)?;
        let mut call = reqwest::Request::new(method.clone(), url);
        *call.headers_mut() = carried(request.headers());
        call.headers_mut().insert(HOP, seal);
        // Its part of the trace is a part of this one's.
        if let Some(context) = self.inner.traces.here()
            && let Ok(context) = HeaderValue::try_from(context.to_string())
        {
            call.headers_mut().insert(TRACEPARENT, context);
        }
        if !request.body().is_empty() {
            *call.body_mut() = Some(request.body().clone().into());
        }
        let limit = self.answer_limit();
        let answer = match tokio::time::timeout(limit, self.inner.client.send(call)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_connect() => {
                return Err(HandOverError::Unreachable(Some(error.without_url())));
            }
            Ok(Err(error)) => return Err(HandOverError::BrokenOff(error.without_url())),
            Err(_) => return Err(HandOverError::Silent),
        };
        match answer.headers().get(HOP).map(HeaderValue::as_bytes) {
            Some(word) if word == ELSEWHERE.as_bytes() => Err(HandOverError::NotThere),
            Some(_) => Err(HandOverError::Refused),
            None => Ok(answered(answer, limit)),
        }
    }

    /// The header by which this process tells another one that it does not run the session.
    pub fn elsewhere() -> (HeaderName, HeaderValue) {
        (HOP, HeaderValue::from_static(ELSEWHERE))
    }

    /// The header by which this process tells another one that it does not believe it.
    pub fn refused() -> (HeaderName, HeaderValue) {
        (HOP, HeaderValue::from_static(REFUSED))
    }
}

/// Where a target is at another process. None when that is not the very target any more: a URL knows paths that it
/// takes for others (`/a/../b`).
fn address(base: &str, target: &str) -> Option<Url> {
    let url = Url::parse(&format!("{}{target}", base.trim_end_matches('/'))).ok()?;
    let as_sent = &url[url::Position::BeforePath..url::Position::AfterQuery];
    (matches!(url.scheme(), "http" | "https") && as_sent.ends_with(target)).then_some(url)
}

/// Headers without those of the connection they came by.
fn carried(headers: &HeaderMap) -> HeaderMap {
    let mut carried = headers.clone();
    for names in headers.get_all(header::CONNECTION) {
        for name in names.to_str().unwrap_or("").split(',') {
            carried.remove(name.trim());
        }
    }
    for name in NOT_CARRIED {
        carried.remove(name);
    }
    carried
}

fn answered(answer: reqwest::Response, limit: Duration) -> Answer {
    let status = answer.status();
    let mut headers = carried(answer.headers());
    if let Some(length) = answer.headers().get(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, length.clone());
    }
    let mut response = Response::new(paced(answer.bytes_stream(), limit));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body of which each piece comes within a limit.
fn paced(
    body: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
    limit: Duration,
) -> Body {
    let pieces = stream::unfold(Some(Box::pin(body)), move |body| async move {
        let mut body = body?;
        match tokio::time::timeout(limit, body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
            Ok(Some(Err(error))) => Some((Err(std::io::Error::other(error.without_url())), None)),
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    });
    Box::pin(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_the_very_target() {
        let at = |base: &str, target: &str| address(base, target).map(String::from);
        let target = "/api/sessions/1/chats/49170%40c.us/messages?x=%2F..&y=a+b";
        assert_eq!(
            at("http://10.0.0.2:2785", target),
            Some(format!("http://10.0.0.2:2785{target}"))
        );
        assert_eq!(at("https://a/b/", target), Some(format!("https://a/b{target}")));
        for other in ["/api/sessions/1/../2", "/api/sessions/%2e%2e/2", "/api/\\x"] {
            assert_eq!(at("http://10.0.0.2:2785", other), None, "{other}");
        }
        assert_eq!(at("ftp://10.0.0.2", "/api"), None);
        assert_eq!(at("nonsense", "/api"), None);
    }

    #[test]
    fn headers_of_a_connection_stay_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "public.example"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-api-key", "k"),
            ("idempotency-key", "order-1"),
            ("content-type", "application/json"),
            ("x-request-id", "r"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let carried = carried(&headers);
        let mut names: Vec<&str> = carried.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "idempotency-key", "x-api-key", "x-request-id"]);
    }
}
