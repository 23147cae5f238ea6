//! Whether the gateway says that it works.

use gateway::Readiness;

use crate::house::House;

#[tokio::test]
async fn readiness_follows_the_ledger_and_the_shutdown() {
    let house = House::start().await;
    let health = &house.gateway.health;
    assert_eq!(health.ready().await, Readiness::Ready);
    house.switch_ledger(false);
    assert_eq!(health.ready().await, Readiness::DatabaseDown);
    house.switch_ledger(true);
    assert_eq!(health.ready().await, Readiness::Ready);
    house.gateway.shutdown().await;
    assert_eq!(health.ready().await, Readiness::Draining);
}
