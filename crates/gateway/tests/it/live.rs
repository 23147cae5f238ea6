//! Readers of the log, and letting go of what is old.

use std::time::Duration;

use domain::{
    ApiKeyId, SessionId, Timer,
    delivery::DeliveryState,
    event::EventType,
    log::{DeliveryQuery, FailureQuery},
    port::{DeliveryLog as _, EventLog as _},
};
use gateway::live::{LiveError, LiveFilter, News, Reader, Who};
use testkit::{Receiver, Reply, build};

use crate::house::{House, until, within};

const DAY: Duration = Duration::from_secs(86_400);
/// Any key, from nowhere in particular.
const WHO: Who = Who { key: ApiKeyId::from_uuid(uuid::Uuid::from_u128(1)), address: None };

fn messages(session: SessionId) -> LiveFilter {
    let kinds = vec![EventType::MessageReceived];
    LiveFilter { session: Some(session), kinds, ..LiveFilter::default() }
}

/// The texts of the next events, until there are so many.
async fn texts(house: &House, reader: &mut Reader, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let limit = house.now().plus(DAY);
        match within("news", reader.next(10, limit)).await.unwrap() {
            News::Events(events) => texts.extend(
                events
                    .iter()
                    .map(|one| one.event.draft.data.value()["body"].as_str().unwrap().to_owned()),
            ),
            other => panic!("{other:?}"),
        }
    }
    texts
}

#[tokio::test]
async fn a_reader_wakes_on_a_commit_without_the_clock() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let live = &house.gateway.live;
    let mut reader = live.reader(WHO, messages(session), None).await.unwrap();
    assert_eq!(live.clients(), 1);
    let (texts, _) = tokio::join!(texts(&house, &mut reader, 2), async {
        house.hear(session, &build::chat(1)).await;
        house.hear(session, &build::chat(2)).await;
    });
    assert_eq!(texts, ["text 1", "text 2"]);
    drop(reader);
    assert_eq!(live.clients(), 0);
}

#[tokio::test]
async fn a_slow_reader_reads_the_log_and_misses_nothing() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let live = &house.gateway.live;
    let mut slow = live.reader(WHO, messages(session), None).await.unwrap();
    let mut quick = live.reader(WHO, messages(session), None).await.unwrap();
    // More than the memory of the tail.
    let count = 1500;
    for number in 1..=count {
        house.hear(session, &build::chat(number % 7)).await;
    }
    let expected: Vec<String> = (1..=count).map(|number| format!("text {number}")).collect();
    assert_eq!(texts(&house, &mut quick, expected.len()).await, expected);
    assert_eq!(texts(&house, &mut slow, expected.len()).await, expected);
    let mut late = live.reader(WHO, messages(session), Some(0)).await.unwrap();
    assert_eq!(texts(&house, &mut late, expected.len()).await, expected);
}

#[tokio::test]
async fn a_reader_sees_what_another_process_wrote_by_its_sweep() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let live = &house.gateway.live;
    let mut reader = live.reader(WHO, messages(session), None).await.unwrap();
    let sweep = house.options.live.sweep_interval;
    let draft = build::event(900, session, &build::chat(1));
    let news = async { within("news", reader.next(10, house.now().plus(DAY))).await.unwrap() };
    let (news, ()) = tokio::join!(news, async {
        // Past the ledger that the gateway watches.
        let write = domain::port::Write::Append { event: Box::new(draft) };
        domain::port::Ledger::write(&house.store, vec![write]).await.unwrap();
        for _ in 0..3 {
            within("the sweep", house.clock.awaited(Timer::LiveSweep)).await;
            house.clock.advance(sweep);
        }
    });
    assert!(matches!(news, News::Events(events) if events.len() == 1));
}

#[tokio::test]
async fn quiet_readers_are_told_so_and_bounded() {
    let house = House::with(|options| options.live.clients_max = 1).await;
    let live = &house.gateway.live;
    let mut reader = live.reader(WHO, LiveFilter::default(), None).await.unwrap();
    let full = live.reader(WHO, LiveFilter::default(), None).await;
    assert!(matches!(full, Err(LiveError::Full(1))));
    let quiet = reader.next(10, house.now()).await.unwrap();
    assert!(matches!(quiet, News::Quiet));
    house.gateway.shutdown().await;
    let ended = reader.next(10, house.now().plus(DAY)).await.unwrap();
    assert!(matches!(ended, News::Ended));
    drop(reader);
    let beyond = live.reader(WHO, LiveFilter::default(), Some(1 << 40)).await;
    assert!(matches!(beyond, Err(LiveError::Cursor)));
}

#[tokio::test]
async fn one_key_and_one_address_leave_places_to_others() {
    let house = House::with(|options| {
        (options.live.clients_per_key, options.live.clients_per_address) = (2, 3);
    })
    .await;
    let live = &house.gateway.live;
    let who = |key: u128, address: &str| Who {
        key: ApiKeyId::from_uuid(uuid::Uuid::from_u128(key)),
        address: address.parse().ok(),
    };
    let open = async |who| live.reader(who, LiveFilter::default(), None).await;
    let (one, two) = (open(who(1, "192.0.2.1")).await.unwrap(), open(who(1, "192.0.2.1")).await);
    assert!(matches!(open(who(1, "192.0.2.2")).await, Err(LiveError::KeyFull(2))));
    let three = open(who(2, "192.0.2.1")).await.unwrap();
    assert!(matches!(open(who(3, "192.0.2.1")).await, Err(LiveError::AddressFull(3))));
    let four = open(who(3, "192.0.2.2")).await.unwrap();
    assert_eq!(live.clients(), 4);
    drop((one, two, three, four));
    assert_eq!(live.clients(), 0);
    assert!(open(who(1, "192.0.2.1")).await.is_ok());
}

#[tokio::test]
async fn old_events_go_after_a_week_and_dead_letters_after_a_season() {
    let every = Duration::from_secs(7200);
    let house = House::with(|options| options.retention.every = every).await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook_with(session, &receiver, |new| new.retry_count = Some(1)).await;
    receiver.answer([Reply::Status(500)]);
    house.hear(session, &build::chat(1)).await;
    house.hear(session, &build::chat(2)).await;
    house.drained().await;
    let round = async || {
        house.clock.advance(every);
        within("a round", house.clock.awaited_until(Timer::Retention, house.now().plus(every)))
            .await;
    };
    // The next round marks how long the log is now.
    round().await;
    let count = async |state| {
        let query = DeliveryQuery { state: Some(state), ..DeliveryQuery::default() };
        house.store.deliveries(webhook.id, &query, 10).await.unwrap().len()
    };
    house.clock.advance(DAY * 7 - every);
    round().await;
    until("a week", async || count(DeliveryState::Delivered).await == 0).await;
    assert_eq!(count(DeliveryState::Exhausted).await, 1);
    let live = &house.gateway.live;
    let page = live.pull(WHO, LiveFilter::default(), Some(0), 100, Duration::ZERO).await.unwrap();
    assert_eq!(page.events.len(), 1, "the dead letter's event is kept");
    let missed = page.missed.unwrap();
    assert_eq!(missed.sessions[0].session, session);
    assert!(missed.through > 0 && missed.sessions[0].through > 1);
    let done = house.gateway.webhooks.redrive(FailureQuery::default(), 10).await.unwrap();
    assert_eq!(done.delivered, 1);
    house.clock.advance(DAY * 90);
    round().await;
    until("a season", async || count(DeliveryState::Delivered).await == 0).await;
    until("gone", async || house.store.read_events(0, None, 10).await.unwrap().is_empty()).await;
    // Sequences and positions go on where they were.
    let last = house.store.log_bounds().await.unwrap().last;
    house.hear(session, &build::chat(1)).await;
    let left = house.store.read_events(0, None, 10).await.unwrap();
    assert_eq!(left[0].position, last + 1);
}
