//! A session's proxy is its only way out.

use domain::{proxy::ProxyUrl, session::LossCause};

use crate::{
    proxy_servers::{ESCAPED, Kind, Proxy, USER},
    support::{ALICE, BOB, LIMIT, World, engine, open_with, options, text, until},
};

fn address(scheme: &str, proxy: &Proxy, password: &str) -> ProxyUrl {
    ProxyUrl::parse(&format!("{scheme}://{USER}:{password}@{}", proxy.address)).unwrap()
}

async fn carries(kind: Kind, scheme: &str) {
    let world = World::new().await;
    let proxy = Proxy::start(kind).await;
    let (session, _) = world.linked(ALICE).await;
    // By name: the proxy resolves it, not this process.
    let mut by_name = options(&world.network);
    by_name.chat_url.set_host(Some("localhost")).unwrap();
    let engine = engine(by_name, &world.keys);
    let line = open_with(&engine, session, Some(address(scheme, &proxy, ESCAPED))).await.unwrap();
    line.ear.connected().await;
    line.connection.send(text(BOB, "through the proxy")).await.unwrap();
    let bob = world.network.account(BOB).unwrap();
    bob.wait_for(LIMIT, |message| message.text == "through the proxy").await.unwrap();
    line.connection.close().await;

    assert_eq!(proxy.tunnels(), 1);
    let target = proxy.carried.targets.lock().unwrap()[0].clone();
    assert!(target.starts_with("localhost:"), "{target}");
    assert!(proxy.bytes() > 1000, "{}", proxy.bytes());
    assert_eq!(world.network.record().handshakes.values().sum::<u64>(), 1);
}

#[tokio::test]
async fn an_http_proxy_carries_everything() {
    carries(Kind::Http, "http").await;
}

#[tokio::test]
async fn a_socks_proxy_carries_everything() {
    carries(Kind::Socks5, "socks5").await;
}

async fn refused(kind: Kind, scheme: &str) {
    let world = World::new().await;
    let proxy = Proxy::start(kind).await;
    let (session, _) = world.linked(ALICE).await;
    let wrong = address(scheme, &proxy, "wrong");
    let line = world.try_open(session, Some(wrong)).await.unwrap();
    let expected = LossCause::Link("the proxy refused the user name or password".into());
    assert_eq!(line.ear.lost().await, expected);
    until("the proxy saw us", || {
        proxy.carried.refused.load(std::sync::atomic::Ordering::SeqCst) > 0
    })
    .await;
    assert!(world.network.record().handshakes.is_empty(), "nothing was dialled directly");
}

#[tokio::test]
async fn a_refusing_http_proxy_is_not_bypassed() {
    refused(Kind::Http, "http").await;
}

#[tokio::test]
async fn a_refusing_socks_proxy_is_not_bypassed() {
    refused(Kind::Socks5, "socks5").await;
}

#[tokio::test]
async fn a_dead_proxy_is_not_bypassed() {
    let world = World::new().await;
    let (session, _) = world.linked(ALICE).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "https", "socks5"] {
        let proxy = ProxyUrl::parse(&format!("{scheme}://{dead}")).unwrap();
        let line = world.try_open(session, Some(proxy)).await.unwrap();
        let expected = LossCause::Link("the proxy cannot be reached".into());
        assert_eq!(line.ear.lost().await, expected, "{scheme}");
    }
    assert!(world.network.record().handshakes.is_empty(), "nothing was dialled directly");
}

#[tokio::test]
async fn a_proxy_that_speaks_something_else_is_not_bypassed() {
    let world = World::new().await;
    let (session, _) = world.linked(ALICE).await;
    let mut impatient = options(&world.network);
    impatient.connect_limit = std::time::Duration::from_secs(1);
    let engine = engine(impatient, &world.keys);
    let proxy = Proxy::start(Kind::Socks5).await;
    let wrong = ProxyUrl::parse(&format!("http://{}", proxy.address)).unwrap();
    let line = open_with(&engine, session, Some(wrong)).await.unwrap();
    assert!(matches!(line.ear.lost().await, LossCause::Link(_)));
    // TLS to a proxy without a trusted certificate.
    let proxy = Proxy::start(Kind::Http).await;
    let untrusted = ProxyUrl::parse(&format!("https://{}", proxy.address)).unwrap();
    let line = open_with(&engine, session, Some(untrusted)).await.unwrap();
    assert!(matches!(line.ear.lost().await, LossCause::Link(_)));
    assert!(world.network.record().handshakes.is_empty(), "nothing was dialled directly");
}
