//! What is foretold, against what happens.

use domain::{batch::BatchOptions, pacing::PacingRules};

use crate::house::{House, steady, texts};

async fn error_of(house: &House, people: u32, options: BatchOptions) -> f64 {
    let session = house.ready("bakery").await;
    let items = texts(people);
    let foreseen = house.gateway.batches.foresee(session, items.clone(), &options).await.unwrap();
    let began = house.now();
    let accepted = house.create(session, items, options).await.unwrap();
    assert_eq!(accepted.ends_at, foreseen.forecast.ends_at);
    assert_eq!(foreseen.forecast.new_contacts, people);
    let batch = house.finish(session, &accepted.batch.id).await;
    let told = foreseen.forecast.ends_at.unwrap().since(began).as_secs_f64();
    let real = batch.completed_at.unwrap().since(began).as_secs_f64();
    ((told - real) / real).abs()
}

#[tokio::test]
async fn a_plain_run_ends_within_two_percent_of_its_forecast() {
    let house = House::start().await;
    let error = error_of(&house, 250, BatchOptions::default()).await;
    assert!(error < 0.02, "{error}");
}

#[tokio::test]
async fn a_run_through_caps_ends_within_two_percent_of_its_forecast() {
    let rules = PacingRules {
        enabled: true,
        warmup: vec![20, 40],
        cold: vec![5, 10, 20],
        ..PacingRules::default()
    };
    let house = House::with(|options| options.sends.pacing = rules).await;
    let error = error_of(&house, 60, BatchOptions::default()).await;
    assert!(error < 0.02, "{error}");
}

#[tokio::test]
async fn a_run_beside_another_ends_as_foretold() {
    let house = House::start().await;
    let session = house.ready("other").await;
    let first = house.batch(session, 5, steady(4)).await;
    house.rested(session).await;
    let second = house.create(session, texts(3), steady(2)).await.unwrap();
    house.finish(session, &first).await;
    let batch = house.finish(session, &second.batch.id).await;
    let (told, real) = (second.ends_at.unwrap(), batch.completed_at.unwrap());
    assert!(told.since(real).max(real.since(told)).as_secs() <= 4, "{told} {real}");
}
