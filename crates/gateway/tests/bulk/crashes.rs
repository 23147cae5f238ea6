//! Kills at any write, lost links, nacks, silence, cancels and pauses: each recipient once, or the result says why not.

use std::{collections::HashMap, pin::pin, time::Duration};

use domain::{
    SessionId, Timestamp,
    batch::{BatchId, BatchOptions, BatchState, ItemState, Progress},
    message::{Content, OutgoingMessage},
    port::{BatchStore as _, MessageStore},
    session::{LossCause, SessionStatus},
};
use proptest::prelude::*;
use testkit::{Odds, OnSend};

use crate::house::{House, chat, steady, text};

#[tokio::test]
async fn a_kill_in_the_middle_loses_and_doubles_nothing_and_keeps_the_pace() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 4, steady(60)).await;
    house.pass(session).await;
    house.rested(session).await;
    house.advance(Duration::from_secs(10));
    house.next_life(i64::MAX).await;
    house.wait_for(session, SessionStatus::Ready).await;
    let batch = house.finish(session, &id).await;
    assert_eq!(batch.progress.sent, 4);
    assert_eq!(house.gaps(), [60_000, 60_000, 60_000]);
}

#[tokio::test]
async fn a_stop_in_order_and_a_start_go_on_where_it_was() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 3, steady(30)).await;
    house.rested(session).await;
    house.restart().await;
    house.wait_for(session, SessionStatus::Ready).await;
    assert_eq!(house.finish(session, &id).await.progress.sent, 3);
    assert_eq!(house.gaps(), [30_000, 30_000]);
}

#[tokio::test]
async fn every_single_write_may_be_the_last() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let mut checked = 0;
    for writes in 1..=8 {
        let id = house.batch(session, 3, steady(2)).await;
        house.die_after(writes);
        drive(&mut house, session, &mut []).await;
        let batch = house.view(session, &id).await;
        assert_eq!((batch.state, batch.progress.sent), (BatchState::Completed, 3), "{writes}");
        checked += 1;
        let frames = house.frames();
        let ids: std::collections::HashSet<_> = frames.iter().map(|(_, frame)| &frame.id).collect();
        assert_eq!(ids.len(), checked * 3, "{writes}");
    }
}

/// What happens between two steps of time.
#[derive(Debug, Clone)]
enum Step {
    Nothing,
    Kill(i64),
    /// A stop in order and a start.
    Restart,
    Lose,
    StopSession,
    StartSession,
    Cancel(usize),
    Pause(usize),
    Resume(usize),
}

#[derive(Debug, Clone)]
struct Plan {
    batches: Vec<(u32, BatchOptions)>,
    /// 0 ack, [`SILENCE`], else refused with the code.
    outcomes: Vec<u16>,
    steps: Vec<Step>,
}

const SILENCE: u16 = 1;
/// WhatsApp's lock on strangers: the item waits and goes out later, under another id.
const COLD: u16 = 463;

fn plans() -> impl Strategy<Value = Plan> {
    let options = (1u64..4, any::<bool>(), prop::bool::weighted(0.3)).prop_map(
        |(seconds, randomize, stop_on_error)| BatchOptions {
            randomize,
            stop_on_error,
            ..steady(seconds)
        },
    );
    let step = prop_oneof![
        4 => Just(Step::Nothing),
        3 => (1i64..9).prop_map(Step::Kill),
        1 => Just(Step::Restart),
        1 => Just(Step::Lose),
        1 => Just(Step::StopSession),
        2 => Just(Step::StartSession),
        1 => (0usize..3).prop_map(Step::Cancel),
        1 => (0usize..3).prop_map(Step::Pause),
        2 => (0usize..3).prop_map(Step::Resume),
    ];
    let outcome = prop_oneof![6 => Just(0u16), 1 => Just(404), 1 => Just(479), 1 => Just(COLD), 1 => Just(SILENCE)];
    let batches = prop::collection::vec((1u32..5, options), 1..4);
    let (outcomes, steps) =
        (prop::collection::vec(outcome, 0..10), prop::collection::vec(step, 0..14));
    (batches, outcomes, steps).prop_map(|(batches, outcomes, steps)| Plan {
        batches,
        outcomes,
        steps,
    })
}

/// Each starts many lives on real files; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn each_recipient_gets_it_once_or_the_result_says_why_not(plan in plans()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(plan, Odds::default()));
    }

    #[test]
    fn each_recipient_gets_it_once_on_a_store_that_errs(plan in plans(), odds in odds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(plan, odds));
    }
}

/// Of a thousand calls to the store, those that go wrong.
fn odds() -> impl Strategy<Value = Odds> {
    prop_oneof![
        Just(Odds::each(10)),
        Just(Odds { applied: 60, applied_hang: 20, ..Odds::default() }),
        Just(Odds { unavailable: 60, busy: 20, ..Odds::default() }),
        Just(Odds { hang: 30, slow: 60, ..Odds::default() }),
    ]
}

/// Everything one batch's check needs.
struct Made {
    id: BatchId,
    options: BatchOptions,
    cancelled: bool,
}

async fn play(plan: Plan, odds: Odds) {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    // Before the first frame can leave.
    for outcome in &plan.outcomes {
        house.whatsapp.on_send(match *outcome {
            0 => OnSend::Ack,
            SILENCE => OnSend::Silence,
            code => OnSend::Refuse(code),
        });
    }
    let mut made = Vec::new();
    for (place, (people, options)) in plan.batches.iter().enumerate() {
        let items = (0..*people)
            .map(|number| text(number, chat(number), &format!("batch {place} item {number}")));
        let accepted = house.create(session, items.collect(), options.clone()).await.unwrap();
        made.push(Made { id: accepted.batch.id, options: options.clone(), cancelled: false });
    }
    house.trouble.odds(odds, &[]);
    for step in plan.steps {
        act(&mut house, session, step, &mut made).await;
        tick(&mut house, session, Duration::from_secs(11)).await;
    }
    house.trouble.over();
    drive(&mut house, session, &mut made).await;
    check(&house, session, &made, &plan.outcomes).await;
}

async fn act(house: &mut House, session: SessionId, step: Step, made: &mut [Made]) {
    let batches = house.gateway.batches.clone();
    match step {
        Step::Nothing => {}
        Step::Kill(writes) => house.die_after(writes),
        Step::Restart => house.restart().await,
        // What is so already is refused.
        Step::StopSession => {
            let sessions = house.gateway.sessions.clone();
            drop(patiently(house, sessions.stop(session)).await);
        }
        Step::StartSession => {
            let sessions = house.gateway.sessions.clone();
            drop(patiently(house, sessions.start(session)).await);
        }
        Step::Lose => {
            let link = house.whatsapp.connection(session);
            link.lose(LossCause::Link("reset".into())).await;
        }
        Step::Cancel(place) => {
            if let Some(one) = made.get_mut(place)
                && patiently(house, batches.cancel(session, &one.id)).await.is_ok()
            {
                one.cancelled = true;
            }
        }
        Step::Pause(place) => {
            if let Some(one) = made.get(place) {
                let _ = patiently(house, batches.pause(session, &one.id)).await;
            }
        }
        Step::Resume(place) => {
            if let Some(one) = made.get(place) {
                let _ = patiently(house, batches.resume(session, &one.id)).await;
            }
        }
    }
}

/// A call that waits for the store to answer waits for time to pass.
async fn patiently<T>(house: &House, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            biased;
            done = &mut call => return done,
            () = tokio::time::sleep(Duration::from_millis(50)) => house.advance(Duration::from_secs(1)),
        }
    }
}

/// Lets things happen until the runner rests or a moment is over, then lets time pass: until the end of its rest, or by
/// this much.
async fn tick(house: &mut House, session: SessionId, mut by: Duration) {
    let rests = house.gateway.batches.resting(session);
    for _ in 0..25 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if house.ledger.is_dead() {
            house.next_life(i64::MAX).await;
            return;
        }
        let rest = *rests.borrow();
        if let Some(until) = rest.until.filter(|until| rest.resting && *until > house.now()) {
            by = until.since(house.now());
            break;
        }
    }
    house.advance(by);
}

/// Lets time pass until nothing is left to do; what is paused is resumed.
async fn drive(house: &mut House, session: SessionId, made: &mut [Made]) {
    for _ in 0..400 {
        if house.store.bulk_sessions().await.unwrap().is_empty() && !house.ledger.is_dead() {
            return;
        }
        for one in made.iter() {
            let _ = patiently(house, house.gateway.batches.resume(session, &one.id)).await;
        }
        drop(patiently(house, house.gateway.sessions.start(session)).await);
        tick(house, session, Duration::from_secs(61)).await;
    }
    for one in made.iter() {
        let (batch, items) =
            (house.view(session, &one.id).await, house.items(session, &one.id).await);
        eprintln!("{batch:?} {items:?}");
    }
    panic!("never: an end");
}

async fn check(house: &House, session: SessionId, made: &[Made], outcomes: &[u16]) {
    let frames = house.frames();
    let outcome = |place: usize| outcomes.get(place).copied().unwrap_or(0);
    let (mut texts, mut delays) = (HashMap::new(), HashMap::new());
    for (place, one) in made.iter().enumerate() {
        let batch = house.view(session, &one.id).await;
        let items = house.items(session, &one.id).await;
        let count =
            |state| u32::try_from(items.iter().filter(|item| item.state == state).count()).unwrap();
        let (sent, failed, cancelled) =
            (count(ItemState::Sent), count(ItemState::Failed), count(ItemState::Cancelled));
        let total = u32::try_from(items.len()).unwrap();
        assert_eq!(batch.progress, Progress { total, sent, failed, pending: 0, cancelled });
        assert_eq!(sent + failed + cancelled, total);
        let stopped = one.options.stop_on_error && failed > 0;
        let end = if one.cancelled { BatchState::Cancelled } else { batch.progress.end(stopped) };
        // A cancel whose answer was lost in a kill may have worked all the same.
        assert!(batch.state == end || batch.state == BatchState::Cancelled, "{batch:?}");
        for item in items {
            let said = format!("batch {place} item {}", item.index);
            delays.insert(said.clone(), one.options.delay);
            texts.insert(said, item);
        }
    }
    let mut ids: HashMap<String, Vec<_>> = HashMap::new();
    for (place, (_, frame)) in frames.iter().enumerate() {
        if outcome(place) == COLD {
            // It certainly did not arrive; the item has another id since.
            continue;
        }
        let Content::Text { body, .. } = &frame.content else { panic!() };
        let known = ids.entry(body.clone()).or_default();
        if !known.contains(&frame.id) {
            known.push(frame.id.clone());
        }
    }
    for (said, item) in &texts {
        let on_wire = ids.get(said).cloned().unwrap_or_default();
        match item.state {
            ItemState::Sent => assert_eq!(on_wire, std::slice::from_ref(&item.wa_id), "{said}"),
            ItemState::Failed => {
                assert!(item.error.is_some());
                assert!(on_wire.len() <= 1, "{said}");
                let refused = frames
                    .iter()
                    .enumerate()
                    .any(|(place, (_, frame))| frame.id == item.wa_id && outcome(place) != 0);
                let wire: Vec<_> = frames
                    .iter()
                    .map(|(at, frame)| (at.iso(), frame.id.as_str(), frame.content.body()))
                    .collect();
                // A row whose answer was lost may be older than a send may be by the time at which it is found: the
                // clock leaps here. Whether it went out nobody knows, and that is what is said.
                let unknown = house.trouble.strikes() > 0
                    && item.error.as_ref().is_some_and(|error| error.code == "SEND_UNCONFIRMED");
                assert!(refused || unknown, "{said}: {item:?} {wire:?}");
            }
            _ => assert!(on_wire.is_empty(), "{said}: {item:?}"),
        }
    }
    paced(house, session, &frames, &delays).await;
}

/// New items keep their distance. What goes out again after a lost link has its time already, and so has an item whose
/// row was stored before the link was lost: it goes out with the next connection, and its acceptance kept the distance.
async fn paced(
    house: &House,
    session: SessionId,
    frames: &[(Timestamp, OutgoingMessage)],
    delays: &HashMap<String, Duration>,
) {
    let mut accepted = HashMap::new();
    for (_, frame) in frames {
        let row = house.store.message(session, &frame.id).await.unwrap().unwrap();
        accepted.insert(frame.id.clone(), row.created_at);
    }
    let mut seen = vec![];
    for (pair, was_kept) in frames.windows(2).zip(house.went_out_later().into_iter().skip(1)) {
        let ((before, first), (after, second)) = (&pair[0], &pair[1]);
        seen.push(first.id.clone());
        if seen.contains(&second.id) {
            continue;
        }
        let delay = delays[&first.content.body().unwrap()];
        let (one, other) = (accepted[&first.id], accepted[&second.id]);
        let distance = match was_kept {
            true => one.max(other).since(one.min(other)),
            false => after.since(*before),
        };
        let all = || {
            let of = |(at, frame): &(Timestamp, OutgoingMessage)| {
                format!("{at} {} {:?}\n", accepted[&frame.id], frame.content.body())
            };
            frames.iter().map(of).collect::<String>()
        };
        assert!(distance >= delay, "{:?} {:?}\n{}", first.id, second.id, all());
    }
}
