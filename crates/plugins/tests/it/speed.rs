//! What a process is like when nothing is wrong.

use futures::future::join_all;
use serde_json::json;

use crate::house::{House, Setup, with_handler};

#[tokio::test]
async fn a_thousand_calls_at_once_are_all_answered_with_their_own_data() {
    let body = "return ctx.storage.get(String(hook.data.n)).then(() => ({ continue: true, data: hook.data.n }));";
    let house = House::start(Setup::default(), &[("index.js", &with_handler(body))]);
    house.load(json!({})).await.unwrap();
    let calls = (0..1000).map(|n| house.hook(json!({ "n": n })));
    for (n, answer) in join_all(calls).await.into_iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!(answer["data"], n),
            Err(error) => panic!("{n}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_flood_of_calls_takes_no_memory() {
    let script = with_handler(
        "return (async () => {
            await ctx.storage.set('n', ((await ctx.storage.get('n')) ?? 0));
            await new Promise((done) => setTimeout(done, 5));
            return { continue: true };
        })();",
    );
    let setup = Setup { memory_bytes: 64 << 20, ..Setup::default() };
    let house = House::start(setup, &[("index.js", &script)]);
    house.load(json!({})).await.unwrap();
    for _ in 0..50 {
        let calls = (0..200).map(|n| house.hook(json!({ "n": n, "text": "x".repeat(1000) })));
        for answer in join_all(calls).await {
            assert_eq!(answer, Ok(json!({ "continue": true })));
        }
    }
}
