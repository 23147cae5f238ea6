//! Tasks: what their end means.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gateway::{LoopBeat, Policy, Supervisor, supervisor::Ending};

use crate::house::within;

const LONG: Duration = Duration::from_secs(60);

async fn ending(mut told: tokio::sync::watch::Receiver<Option<Ending>>) -> Ending {
    let ended = within("the end", told.wait_for(Option::is_some)).await.unwrap();
    ended.unwrap()
}

/// Whether an essential task has ended by now.
async fn failed(supervisor: &Supervisor) -> Option<String> {
    tokio::time::timeout(Duration::ZERO, supervisor.failed()).await.ok()
}

#[tokio::test]
async fn an_essential_task_that_ends_fails_the_process() {
    let supervisor = Supervisor::new();
    let told = supervisor.spawn("pump", Policy::Essential, async {});
    assert_eq!(ending(told).await, Ending::Finished);
    assert_eq!(within("the failure", supervisor.failed()).await, "pump");
}

#[tokio::test]
async fn an_essential_task_that_panics_fails_the_process() {
    let supervisor = Supervisor::new();
    let told = supervisor.spawn("pump", Policy::Essential, async { panic!("a bug, for the test") });
    assert_eq!(ending(told).await, Ending::Panicked);
    assert_eq!(within("the failure", supervisor.failed()).await, "pump");
}

#[tokio::test]
async fn other_tasks_may_end_and_panic() {
    let supervisor = Supervisor::new();
    let told = supervisor.spawn("step", Policy::Once, async {});
    assert_eq!(ending(told).await, Ending::Finished);
    let told = supervisor.spawn("step", Policy::Once, async { panic!("a bug, for the test") });
    assert_eq!(ending(told).await, Ending::Panicked);
    assert_eq!(failed(&supervisor).await, None);
}

#[tokio::test]
async fn a_shutdown_waits_for_those_who_finish() {
    let supervisor = Supervisor::new();
    let (stopping, done) = (supervisor.stopping(), Arc::new(AtomicBool::new(false)));
    let told = supervisor.spawn("pump", Policy::Essential, {
        let done = done.clone();
        async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            done.store(true, Ordering::Release);
        }
    });
    within("the shutdown", supervisor.shutdown(LONG)).await;
    assert!(done.load(Ordering::Acquire));
    assert_eq!(ending(told).await, Ending::Finished);
    // An end after the shutdown began is no failure.
    assert_eq!(failed(&supervisor).await, None);
    within("the second shutdown", supervisor.shutdown(LONG)).await;
}

#[tokio::test]
async fn a_shutdown_cuts_those_who_do_not() {
    let supervisor = Supervisor::new();
    let stubborn = supervisor.spawn("stubborn", Policy::Essential, std::future::pending());
    within("the shutdown", supervisor.shutdown(Duration::from_millis(20))).await;
    assert_eq!(ending(stubborn).await, Ending::Cut);
    assert!(supervisor.cut().is_cancelled());
    assert_eq!(failed(&supervisor).await, None);
}

#[tokio::test]
async fn a_loop_with_a_pulse_is_watched_while_its_turns_have_to_come() {
    let supervisor = Supervisor::new();
    let beat = |turns| vec![LoopBeat { name: "pump", turns }];
    assert_eq!(supervisor.beats(), []);
    let pulse = supervisor.pulse("pump");
    assert_eq!(supervisor.beats(), beat(None), "it has not begun");
    pulse.beat();
    pulse.beat();
    assert_eq!(supervisor.beats(), beat(Some(2)));
    pulse.wait();
    assert_eq!(supervisor.beats(), beat(None), "it may wait for ever");
    pulse.beat();
    assert_eq!(supervisor.clone().beats(), beat(Some(3)));
    drop(pulse);
    assert_eq!(supervisor.beats(), beat(None), "it has ended");
}
