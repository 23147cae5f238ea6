//! Receivers whose certificates are of an authority of their own.

use std::sync::Arc;

use domain::{SessionId, WebhookId};
use gateway::{
    egress::Authorities,
    webhooks::{WebhookError, WebhookPatch},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::house::{House, new_webhook};

const AUTHORITY: &str = include_str!("authority/authority.pem");
/// Of `localhost` and 127.0.0.1, by that authority; for these tests alone.
const CERTIFICATE: &str = include_str!("authority/receiver.pem");
const KEY: &str = include_str!("authority/receiver.key.pem");

/// A receiver that takes everything; its URL.
#[expect(clippy::disallowed_methods, reason = "a server of a test ends with its runtime")]
async fn receiver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut secured) = acceptor.accept(socket).await else { return };
                let mut call = vec![0; 64 * 1024];
                while matches!(secured.read(&mut call).await, Ok(1..)) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if secured.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

async fn test(house: &House, session: SessionId, id: WebhookId) -> Result<(), String> {
    let ping = house.gateway.webhooks.test(session, id).await.unwrap();
    ping.error.map_or(Ok(()), Err)
}

fn is_unknown(result: &Result<(), String>) -> bool {
    result.as_ref().is_err_and(|error| error.contains("an authority that is not known here"))
}

#[tokio::test]
async fn a_webhook_has_authorities_of_its_own() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let webhooks = &house.gateway.webhooks;
    let url = receiver().await;
    let mut trusting = new_webhook(&url);
    trusting.tls_ca = Some(AUTHORITY.into());
    let trusting = webhooks.create(session, trusting).await.unwrap();
    assert_eq!(test(&house, session, trusting.id).await, Ok(()));
    // The connection of the first is not the other's.
    let wary = webhooks.create(session, new_webhook(&url)).await.unwrap();
    let refused = test(&house, session, wary.id).await;
    assert!(is_unknown(&refused), "{refused:?}");
    let patch = |tls_ca: Option<&str>| WebhookPatch {
        tls_ca: Some(tls_ca.map(str::to_owned)),
        ..WebhookPatch::default()
    };
    webhooks.update(session, wary.id, patch(Some(AUTHORITY))).await.unwrap();
    assert_eq!(test(&house, session, wary.id).await, Ok(()));
    let cleared = webhooks.update(session, wary.id, patch(None)).await.unwrap();
    assert_eq!(cleared.tls_ca, None);
    let refused = test(&house, session, wary.id).await;
    assert!(is_unknown(&refused), "{refused:?}");
}

#[tokio::test]
async fn the_installation_has_authorities_for_all_webhooks() {
    let house = House::with(|options| {
        options.webhooks.authorities = Some(Authorities::read(AUTHORITY).unwrap());
    })
    .await;
    let session = house.ready("bakery").await;
    let webhook = new_webhook(&receiver().await);
    let webhook = house.gateway.webhooks.create(session, webhook).await.unwrap();
    assert_eq!(test(&house, session, webhook.id).await, Ok(()));
}

#[tokio::test]
async fn what_names_no_authority_is_refused() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let broken = AUTHORITY.replace("MII", "AAA");
    for (text, why) in [
        ("hello", "tlsCa holds no PEM certificate"),
        (KEY, "tlsCa holds no PEM certificate"),
        (&broken, "tlsCa holds a certificate that cannot be read"),
        (&AUTHORITY.repeat(33), "tlsCa must be shorter than or equal to 16384 characters"),
    ] {
        let mut webhook = new_webhook("https://receiver.example/");
        webhook.tls_ca = Some(text.into());
        let refused = house.gateway.webhooks.create(session, webhook).await.unwrap_err();
        assert!(matches!(refused, WebhookError::TlsCa(_)), "{refused:?}");
        assert_eq!(refused.to_string(), why);
    }
}
