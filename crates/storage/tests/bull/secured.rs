//! Password and TLS.

use std::path::PathBuf;

use crate::{
    house::{House, until_up},
    server::{options_for, setting},
};

fn options() -> storage::RedisOptions {
    let mut options = options_for(&setting("WAYPOST_TEST_REDIS_TLS"));
    options.ca = Some(PathBuf::from(setting("WAYPOST_TEST_REDIS_CA")));
    assert!(options.tls && options.password.is_some());
    options
}

#[tokio::test]
async fn it_speaks_tls_with_a_private_authority_and_a_password() {
    let house = House::new().await;
    let queue = house.queue(&options()).await;
    assert!(queue.status().up, "{:?}", queue.status());
    house.push(1).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
    assert!(queue.status().up);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_authority_are_told() {
    let house = House::new().await;
    let mut wrong = options();
    wrong.password = Some("wrong".into());
    let queue = house.queue(&wrong).await;
    until_up(&queue, false).await;
    let reason = queue.status().reason.unwrap();
    assert!(reason.to_lowercase().contains("auth") || reason.contains("WRONGPASS"), "{reason}");
    assert!(!reason.contains("wrong\""), "{reason}");
    let mut unknown = options();
    unknown.ca = None;
    let queue = house.queue(&unknown).await;
    let reason = queue.status().reason.unwrap();
    assert!(reason.to_lowercase().contains("certificate"), "{reason}");
    house.push(1).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
}
