//! Plugins that want to hurt.

use std::time::Duration;

use domain::port::{CallError, PluginCall};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::house::{House, LIMIT, Setup, hook, with_handler};

const BUDGET: Duration = Duration::from_millis(250);

async fn started(body: &str) -> House {
    let house = House::start(Setup::default(), &[("index.js", &with_handler(body))]);
    house.load(json!({})).await.unwrap();
    house
}

async fn outcome(body: &str) -> Result<Value, CallError> {
    started(body).await.hook(json!({ "text": "x" })).await
}

fn threw(result: Result<Value, CallError>) -> String {
    match result {
        Err(CallError::Threw(why)) => why,
        other => panic!("it was to throw: {other:?}"),
    }
}

/// The child is killed, soon, and its process is gone.
async fn is_killed(body: &str) {
    let house = started(body).await;
    let pid = house.process.pid().unwrap();
    let began = Instant::now();
    assert_eq!(house.hook(json!({})).await, Err(CallError::OverBudget(BUDGET)), "{body}");
    assert!(began.elapsed() < 8 * BUDGET + Duration::from_secs(1), "{:?}", began.elapsed());
    let why = house.driver.await.unwrap();
    assert!(why.contains("ran longer than its 250 ms"), "{why}");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the process is reaped");
}

#[tokio::test]
async fn an_infinite_loop_is_killed() {
    is_killed("for (;;);").await;
}

#[tokio::test]
async fn an_endless_chain_of_promises_is_killed() {
    is_killed(
        "const again = () => Promise.resolve().then(again); again(); return { continue: true };",
    )
    .await;
}

#[tokio::test]
async fn a_search_that_no_interrupt_reaches_is_killed() {
    is_killed("return 'a'.repeat(200000).concat('b').repeat(50).indexOf('a'.repeat(200000) + 'c') && 'a'.repeat(5000000).indexOf('a'.repeat(2500000) + 'b');").await;
}

#[tokio::test]
async fn a_regular_expression_that_explodes_is_killed() {
    is_killed("return /^(a+)+$/.test('a'.repeat(40) + '!');").await;
}

#[tokio::test]
async fn a_loop_in_the_background_is_killed_too_and_what_waits_behind_it_has_not_begun() {
    let house = started("setTimeout(() => { for (;;); }, 5); return { continue: true };").await;
    // Until the first timer rings, calls are answered.
    let ended = loop {
        match house.hook(json!({})).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(ended, CallError::NotBegun);
    assert!(house.driver.await.unwrap().contains("ran longer"));
}

#[tokio::test]
async fn memory_without_end_is_an_error_and_not_the_machines_problem() {
    let house = started("const all = []; for (;;) all.push(new Array(100000).fill(1.5));").await;
    let pid = house.process.pid().unwrap();
    let result = house.hook(json!({})).await;
    assert!(result.is_err(), "{result:?}");
    if house.process.pid().is_some() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak: u64 = peak.map_or(0, |kib| kib.trim().trim_end_matches(" kB").parse().unwrap());
        assert!(peak < 160 * 1024, "{peak} KiB");
    }
}

#[tokio::test]
async fn a_string_that_doubles_for_ever_ends_as_an_error() {
    assert!(outcome("let s = 'x'; for (;;) s += s;").await.is_err());
}

#[tokio::test]
async fn deep_recursion_throws_and_the_next_call_is_served() {
    let house =
        started("if (hook.data.deep) { const f = () => f() + 1; f(); } return { continue: true };")
            .await;
    let why = threw(house.hook(json!({ "deep": true })).await);
    assert!(why.contains("stack"), "{why}");
    assert_eq!(house.hook(json!({})).await.unwrap()["continue"], true);
}

#[tokio::test]
async fn data_nested_without_end_is_an_error() {
    // To build it takes a busy machine longer than the budget, which is not what this is about.
    let setup = Setup { budget: LIMIT, ..Setup::default() };
    let body = "let d = {}; for (let i = 0; i < 200000; i++) d = { d }; return { continue: true, data: d };";
    let house = House::start(setup, &[("index.js", &with_handler(body))]);
    house.load(json!({})).await.unwrap();
    let why = threw(house.hook(json!({ "text": "x" })).await);
    assert!(why.contains("stack") || why.contains("large"), "{why}");
    assert!(
        threw(outcome("const d = {}; d.d = d; return { continue: true, data: d };").await)
            .contains("circular")
    );
}

#[tokio::test]
async fn a_promise_that_nothing_can_settle_ends_at_once() {
    let began = Instant::now();
    let why = threw(outcome("return new Promise(() => {});").await);
    assert!(why.contains("nothing can settle") && began.elapsed() < LIMIT, "{why}");
}

#[tokio::test]
async fn a_call_that_waits_for_ever_ends_at_its_limit_and_delays_nobody() {
    let house =
        started("return hook.data.wait ? ctx.storage.get('never') : { continue: true };").await;
    let limit = Duration::from_millis(300);
    let waiting = house.call_within(hook(json!({ "wait": true })), limit);
    let other = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        let answer = house.hook(json!({})).await;
        (answer, began.elapsed())
    };
    let (waited, (answer, took)) = tokio::join!(waiting, other);
    assert_eq!(waited, Err(CallError::TooLong(limit)));
    assert!(answer.is_ok() && took < limit, "{took:?}");
}

#[tokio::test]
async fn getters_that_throw_fail_the_call_alone() {
    let house = started("return hook.data.bad ? { continue: true, get data() { throw new Error('trap'); } } : { continue: true };").await;
    assert!(threw(house.hook(json!({ "bad": true })).await).contains("trap"));
    assert!(
        threw(outcome("throw { get message() { throw 1; }, toString() { throw 2; } };").await)
            .len()
            < 100
    );
    assert!(house.hook(json!({})).await.is_ok());
}

#[tokio::test]
async fn a_polluted_prototype_answers_for_nobody() {
    let house = started(
        "if (hook.data.spoil) { Object.prototype.continue = false; Object.prototype.data = { stolen: 1 }; Object.prototype.then = (go) => go(7);
           Array.prototype.map = Map.prototype.get = Map.prototype.has = JSON.stringify = JSON.parse = Promise.prototype.then = () => { throw new Error('mine'); }; }
         return {};",
    )
    .await;
    let _ = house.hook(json!({ "spoil": true })).await;
    // The plugin may have broken itself, which is an error; it answers nothing that its handler did not say.
    match house.hook(json!({})).await {
        Ok(answer) => assert_eq!(answer, json!({ "continue": true })),
        Err(
            CallError::Threw(_)
            | CallError::Crashed(_)
            | CallError::TooLong(_)
            | CallError::NotBegun,
        ) => {}
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn results_that_are_too_large_are_refused() {
    let why = threw(outcome("return { continue: true, data: 'x'.repeat(3 << 20) };").await);
    assert!(why.contains("larger than"), "{why}");
}

#[tokio::test]
async fn ten_thousand_timers_are_refused_and_a_thousand_are_not() {
    let house = started("for (let i = 0; i < hook.data.count; i++) setTimeout(() => {}, 100000); return { continue: true };").await;
    assert!(threw(house.hook(json!({ "count": 10_000 })).await).contains("at most 1000 timers"));
    let house_ok = started(
        "for (let i = 0; i < 1000; i++) setTimeout(() => {}, 100000); return { continue: true };",
    )
    .await;
    assert!(house_ok.hook(json!({})).await.is_ok());
}

#[tokio::test]
async fn asking_for_too_much_at_once_is_refused_and_a_flooded_log_is_cut() {
    let flood = "for (let i = 0; i < 100; i++) ctx.storage.get('never').catch((e) => ctx.logger.warn(e.message)); return { continue: true };";
    let house = started(flood).await;
    house.hook(json!({})).await.unwrap();
    assert!(
        house.logged().iter().any(|line| line.contains("at most 32 calls")),
        "{:?}",
        house.logged()
    );
    assert_eq!(house.backstage.asked.lock().unwrap().len(), 32);
    let house = started(
        "for (let i = 0; i < 1000; i++) console.log('x'.repeat(9000)); return { continue: true };",
    )
    .await;
    house.hook(json!({})).await.unwrap();
    let lines = house.logged();
    assert!(lines.len() <= 200 && lines.iter().all(|line| line.len() <= 8192), "{}", lines.len());
}

#[tokio::test]
async fn there_are_no_files_no_environment_no_network_and_no_way_out() {
    let names = "['require', 'std', 'os', 'bjson', 'scriptArgs', 'Worker', 'SharedArrayBuffer_', 'XMLHttpRequest', 'WebSocket', 'Deno', 'Bun', 'native', '__waypost'].filter((name) => name in globalThis)";
    let house = started(&format!("return {{ continue: true, data: {names} }};")).await;
    assert_eq!(house.hook(json!({})).await.unwrap()["data"], json!([]));
    let environ = std::fs::read(format!("/proc/{}/environ", house.process.pid().unwrap()));
    assert!(environ.is_err() || environ.unwrap().is_empty(), "it has no environment");
    for expression in [
        "fetch('http://127.0.0.1:1')",
        "import('fs')",
        "import('../../etc/passwd')",
        "import('file:///etc/passwd')",
    ] {
        let result = outcome(&format!(
            "return {expression}.then((found) => ({{ continue: true, data: String(found) }}));"
        ))
        .await;
        assert!(result.is_err(), "{expression}: {result:?}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_process_is_locked_up() {
    let house = started("return { continue: true };").await;
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", house.process.pid().unwrap())).unwrap();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    assert_eq!(field("NoNewPrivs:").as_deref(), Some("1"));
    assert_eq!(field("Seccomp:").as_deref(), Some("2"), "a filter is in force");
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", house.process.pid().unwrap())).unwrap();
    let limit = |name: &str| {
        limits
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .split_whitespace()
            .rev()
            .nth(2)
            .unwrap()
            .to_owned()
    };
    assert_eq!(limit("Max open files"), "3");
    assert_eq!(limit("Max file size"), "0");
}

#[tokio::test]
async fn a_child_that_is_killed_from_outside_tells_everybody_who_waits() {
    let house =
        started("return hook.data.wait ? ctx.storage.get('never') : { continue: true };").await;
    let waiting = house.hook(json!({ "wait": true }));
    let killed = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.process.kill();
    };
    let (waited, ()) = tokio::join!(waiting, killed);
    assert!(matches!(waited, Err(CallError::Crashed(_))), "{waited:?}");
    assert_eq!(house.hook(json!({})).await, Err(CallError::NotBegun));
}

#[tokio::test]
async fn a_registration_of_nonsense_ends_the_process_with_a_sentence() {
    let source =
        "module.exports = { onEnable(ctx) { ctx.registerHook('message:invented', () => {}); } };";
    let house = House::start(Setup::default(), &[("index.js", source)]);
    assert!(house.load(json!({})).await.is_err());
    assert!(house.driver.await.unwrap().contains("there is no hook message:invented"));
}

#[tokio::test]
async fn a_start_that_never_ends_is_killed() {
    let house = House::start(Setup::default(), &[("index.js", "for (;;);")]);
    let result = house.call(PluginCall::Load(Default::default())).await;
    assert_eq!(result, Err(CallError::OverBudget(BUDGET)));
}
