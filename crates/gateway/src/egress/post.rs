//! POSTs, over connections that are kept.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::delivery::{AttemptErrorKind, EXCERPT_BYTES_MAX};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use super::{
    Answer, Authorities, EgressBuildError, EgressError, EgressPolicy,
    dial::dial,
    link::{EgressLink, IdleLinks},
    shown,
    trust::{TrustStore, kept_under},
};

/// Longest wait for the body of an answer, inside the whole deadline: it is read for people alone.
const BODY_LIMIT: Duration = Duration::from_secs(2);

/// The client. HTTP/1.1 over TCP or TLS, no redirects, no proxies, no cookies.
pub(super) struct HttpPoster {
    policy: Arc<EgressPolicy>,
    trust: TrustStore,
    idle: IdleLinks,
}

impl HttpPoster {
    /// `authorities` are trusted beside the usual ones.
    pub(super) fn new(
        policy: Arc<EgressPolicy>,
        authorities: Option<&Authorities>,
    ) -> Result<Self, EgressBuildError> {
        Ok(Self { policy, trust: TrustStore::new(authorities)?, idle: IdleLinks::default() })
    }

    /// Closes connections that nobody needs any more; never ends.
    pub(super) async fn close_old(&self) {
        self.idle.close_old().await;
    }

    /// POSTs a body and reads the answer, all within `limit`; literal addresses are not judged any more here. `own` are
    /// authorities of this receiver alone.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
        own: Option<&Authorities>,
    ) -> Result<Answer, EgressError> {
        let end = Instant::now() + limit;
        let request = request(url, headers, body)?;
        let kept = kept_under(&url[..Position::AfterPort], own);

        match timeout_at(end, self.send(url, &kept, own, request)).await {
            Ok(Ok((link, answer))) => {
                let redirect = redirect(url, &answer);
                let end = end.min(Instant::now() + BODY_LIMIT);
                Ok(Answer { redirect, ..self.read(&kept, link, answer, end).await })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let text = format!("no answer within {} ms", limit.as_millis());
                Err(EgressError::new(AttemptErrorKind::Timeout, &text))
            }
        }
    }

    /// Until the head of the answer is there. A kept connection that ends without an answer was most likely closed
    /// before the call came to the other side: that is no failure, the call goes out again on a new one. Should it
    /// have come, the receiver knows the repeat by its ids, like every other.
    async fn send(
        &self,
        url: &Url,
        kept: &str,
        own: Option<&Authorities>,
        request: Request<Full<Bytes>>,
    ) -> Result<(Box<EgressLink>, Response<Incoming>), EgressError> {
        if let Some(mut link) = self.idle.take(kept).await {
            match link.call(request.clone()).await {
                Ok(answer) => return Ok((link, answer)),
                Err(error) if error.is_parse() => return Err(not_http()),
                Err(_) => {}
            }
        }
        // Seldom, and large.
        let mut link = Box::pin(self.connect(url, own)).await?;
        let answer = link.call(request).await.map_err(|_| not_http())?;
        Ok((link, answer))
    }

    async fn connect(
        &self,
        url: &Url,
        own: Option<&Authorities>,
    ) -> Result<Box<EgressLink>, EgressError> {
        let tls = self.trust.connector(own);
        let tls = tls.map_err(|_| {
            let text = "the webhook's authorities cannot be used";
            EgressError::new(AttemptErrorKind::Unsendable, text)
        })?;
        let io = dial(url, &self.policy, &tls).await?;
        EgressLink::over(io).await.map_err(|_| not_http())
    }

    /// The beginning of the body. A connection whose answer is not at its end by then is closed.
    async fn read(
        &self,
        kept_under: &str,
        mut link: Box<EgressLink>,
        answer: Response<Incoming>,
        end: Instant,
    ) -> Answer {
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (head, mut body) = answer.into_parts();
        let mut kept = Vec::new();
        let whole = loop {
            if hyper::body::Body::is_end_stream(&body) {
                break true;
            }
            match timeout_at(end, link.during(body.frame())).await {
                Ok(None) => break true,
                Ok(Some(Ok(frame))) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    kept.extend_from_slice(
                        &piece[..piece.len().min(EXCERPT_BYTES_MAX - kept.len())],
                    );
                }
                Ok(Some(Err(_))) | Err(_) => break false,
            }
            if kept.len() >= EXCERPT_BYTES_MAX {
                break hyper::body::Body::is_end_stream(&body);
            }
        };
        drop(body);
        if whole {
            self.idle.put(kept_under, link).await;
        }
        Answer { status, body: kept, headers: head.headers, retry_after, redirect: None }
    }
}

/// Where an answer sends the caller instead.
fn redirect(url: &Url, answer: &Response<Incoming>) -> Option<String> {
    if !answer.status().is_redirection() {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?;
    let to = url.join(std::str::from_utf8(location.as_bytes()).ok()?).ok()?;
    Some(shown(&to))
}

fn not_http() -> EgressError {
    EgressError::new(AttemptErrorKind::Protocol, "the answer broke off or was not HTTP")
}

fn request(
    url: &Url,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, EgressError> {
    let bad = || EgressError::new(AttemptErrorKind::Unsendable, "the webhook's URL cannot be sent");
    let target =
        Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).map_err(|_| bad())?;
    let host = &url[Position::BeforeHost..Position::AfterPort];
    headers.insert(header::HOST, HeaderValue::try_from(host).map_err(|_| bad())?);
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::egress::{Egress, SHOWN_CHARS_MAX};

    /// Of `localhost`, for this test alone: nobody trusts it.
    const CERTIFICATE: &str = "\
        MIIBfTCCASOgAwIBAgIUMDPGEsuHzWbzMa++rINv3md9eHwwCgYIKoZIzj0EAwIwFzEVMBMGA1UEAwwMd2F5\
        cG9zdCB0ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAXMRUwEwYDVQQDDAx3YXlwb3N0\
        IHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQXTDkWJzuirJORJyR9z41cXcQG/++2y0oPkyCigcKM\
        ov8xrljoreTdBTHpQBly3iMrXcYjMWsv8Ri+Ma9JzlO4o0swSTAMBgNVHRMBAf8EAjAAMBoGA1UdEQQTMBGC\
        CWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQU0le9q11Y0KftkI6j/5qNPJPSnS4wCgYIKoZIzj0EAwIDSAAw\
        RQIhAIvl51Psx2GhJ2aKtNrUrwVGb3EAkpq43s6diuSJNbsZAiATbCda2cp77A08UKdixx8uaihi+AnM2wjK\
        A9Yduw3WnQ==";
    const KEY: &str = "\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmud0PLhYkxs30ohT8rDn5azdoxN3iETz2CX3\
        Xyn1UK+hRANCAAQXTDkWJzuirJORJyR9z41cXcQG/++2y0oPkyCigcKMov8xrljoreTdBTHpQBly3iMrXcYj\
        MWsv8Ri+Ma9JzlO4";

    fn server() -> TlsAcceptor {
        let key = PrivatePkcs8KeyDer::from(STANDARD.decode(KEY).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate()], PrivateKeyDer::from(key))
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn certificate() -> CertificateDer<'static> {
        CertificateDer::from(STANDARD.decode(CERTIFICATE).unwrap())
    }

    fn authorities() -> Authorities {
        let begin = "-----BEGIN CERTIFICATE-----";
        Authorities::read(&format!("{begin}\n{CERTIFICATE}\n-----END CERTIFICATE-----\n")).unwrap()
    }

    fn trusting() -> HttpPoster {
        HttpPoster::new(Arc::new(EgressPolicy::default()), Some(&authorities())).unwrap()
    }

    /// A server of the test's certificate, which answers each call of a connection with its number; its port.
    #[expect(clippy::disallowed_methods, reason = "the server of a test ends with it")]
    async fn serve() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let talk = async |socket| {
            let Ok(mut secured) = server().accept(socket).await else { return };
            let mut call = vec![0; 4096];
            for number in 1.. {
                if !matches!(secured.read(&mut call).await, Ok(1..)) {
                    break;
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
                secured.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(talk(socket));
            }
        });
        port
    }

    #[expect(clippy::disallowed_methods, reason = "the server of a test ends with it")]
    #[tokio::test]
    async fn a_connection_with_tls_is_kept_and_a_certificate_that_nobody_trusts_is_refused() {
        let port = serve().await;
        let limit = Duration::from_secs(10);
        let url = Url::parse(&format!("https://localhost:{port}/")).unwrap();
        let poster = trusting();
        for number in ["1", "2", "3"] {
            let answer = poster.post(&url, HeaderMap::new(), Bytes::new(), limit, None).await;
            assert_eq!(answer.unwrap().body, number.as_bytes());
        }
        drop(poster);
        let wary = Egress::new(EgressPolicy::default()).unwrap();
        let refused = wary.poster.post(&url, HeaderMap::new(), Bytes::new(), limit, None).await;
        let text = refused.unwrap_err().text;
        assert!(text.contains("an authority that is not known here"), "{text}");
        let elsewhere = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        tokio::spawn(async move {
            let (socket, _) = elsewhere.accept().await.unwrap();
            let _ = server().accept(socket).await;
        });
        let other_name = Url::parse(&format!("https://127.0.0.2:{port}/")).unwrap();
        let refused =
            trusting().post(&other_name, HeaderMap::new(), Bytes::new(), limit, None).await;
        let text = refused.unwrap_err().text;
        assert!(text.contains("another name than the URL's"), "{text}");
    }

    #[tokio::test]
    async fn authorities_of_one_receiver_are_no_others() {
        let port = serve().await;
        let limit = Duration::from_secs(10);
        let url = Url::parse(&format!("https://localhost:{port}/")).unwrap();
        let poster = HttpPoster::new(Arc::new(EgressPolicy::default()), None).unwrap();
        let own = authorities();
        for number in ["1", "2"] {
            let ask = poster.post(&url, HeaderMap::new(), Bytes::new(), limit, Some(&own));
            assert_eq!(ask.await.unwrap().body, number.as_bytes());
            // Not over the connection that is kept for the first either.
            let refused = poster.post(&url, HeaderMap::new(), Bytes::new(), limit, None).await;
            let text = refused.unwrap_err().text;
            assert!(text.contains("an authority that is not known here"), "{text}");
        }
    }

    #[tokio::test]
    async fn where_a_redirect_leads_is_told_without_what_is_secret_in_it() {
        let receiver = testkit::Receiver::start().await;
        let url = Url::parse(&receiver.url()).unwrap();
        let egress = Egress::new(EgressPolicy::default()).unwrap();
        let told = async |to: &str| {
            receiver.answer([testkit::Reply::Redirect(to.to_owned())]);
            let limit = Duration::from_secs(10);
            let answer = egress.post(&url, HeaderMap::new(), Bytes::new(), limit, None).await;
            answer.unwrap().redirect.unwrap()
        };
        let secret = "https://ann:secret@new.example:8443/hook?token=secret#secret";
        assert_eq!(told(secret).await, "https://new.example:8443/hook?…");
        assert_eq!(told("/hook/").await, format!("{}/hook/", url.origin().ascii_serialization()));
        let long = told(&format!("https://new.example/{}", "x".repeat(1000))).await;
        assert_eq!(long.chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
