//! Media, over the in-process client and over the real HTTP port.

use whatsapp_rust::{
    media::{ImageOptions, image_message},
    prelude::*,
    wacore::download::MediaType,
};

use crate::support::*;

fn picture(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn an_image_comes_back_byte_for_byte() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = Gateway::linked(&network, BOB).await;
    let image = picture(300_000);
    let upload =
        alice.client.upload(image.clone(), MediaType::Image, Default::default()).await.unwrap();
    let options = ImageOptions { caption: Some("look".into()), ..Default::default() };
    alice.client.send_message(bob.jid(), image_message(upload, options)).await.unwrap();
    let (message, _) = bob.message(|message, _| message.image_message.is_set()).await;
    assert_eq!(message.get_caption(), Some("look"));
    let content = message.image_message.as_option().unwrap();
    let got = bob.client.download(content).await.unwrap();
    assert!(got == image, "{} bytes came back", got.len());
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_large_upload_asks_first_and_is_kept_once() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let image = picture(6_000_000);
    let upload =
        alice.client.upload(image.clone(), MediaType::Video, Default::default()).await.unwrap();
    assert!(upload.direct_path.starts_with("/v/"));
    assert_all_answered(&network);
}

#[tokio::test]
async fn the_media_host_speaks_real_http() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let network = network().await;
    let address = network.media_url();
    let address = address.strip_prefix("http://").unwrap();
    let exchange = async |request: Vec<u8>| {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let post = "POST /mms/image/TOKEN?auth=a&token=TOKEN HTTP/1.1\r\nhost: x\r\n\
                connection: close\r\ncontent-length: 5\r\n\r\nbytes";
    let answer = exchange(post.into()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""direct_path":"/v/t62.7118-24/TOKEN""#));
    let get = "GET /v/t62.7118-24/TOKEN HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(get.into()).await;
    assert!(answer.ends_with("bytes"), "{answer}");
    let missing = "GET /v/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(exchange(missing.into()).await.starts_with("HTTP/1.1 404"));
}
