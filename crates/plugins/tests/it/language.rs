//! What plugins are written in, and what they find.

use std::collections::BTreeMap;

use domain::{
    SessionId,
    hook::{HookPoint, OnFailure},
    port::{CallError, NewHandler, PluginCall, PluginConfigs},
};
use serde_json::{Value, json};

use crate::house::{House, Setup, hook, with_handler};

/// What a handler of this body answers.
async fn answer(body: &str) -> Value {
    let house = House::start(Setup::default(), &[("index.js", &with_handler(body))]);
    house.load(json!({})).await.unwrap();
    house.hook(json!({ "input": { "text": "hello" } })).await.unwrap()
}

/// What an expression comes to inside a plugin.
async fn value(expression: &str) -> Value {
    answer(&format!("return {{ continue: true, data: {{ value: ({expression}) }} }};")).await["data"]["value"]
        .clone()
}

#[tokio::test]
async fn a_handler_changes_stops_or_leaves_what_it_is_asked_about() {
    assert_eq!(answer("return { continue: true };").await, json!({ "continue": true }));
    assert_eq!(answer("").await, json!({ "continue": true }), "nothing is: go on");
    assert_eq!(answer("return { continue: false };").await, json!({ "continue": false }));
    let changed =
        "hook.data.input.text += '!'; return Promise.resolve({ continue: true, data: hook.data });";
    assert_eq!(
        answer(changed).await,
        json!({ "continue": true, "data": { "input": { "text": "hello!" } } })
    );
    let told = "return { continue: true, error: new Error('not today') };";
    assert!(answer(told).await["error"].as_str().unwrap().contains("not today"));
    let seen =
        "return { continue: true, data: [hook.event, hook.timestamp.toISOString(), hook.source] };";
    assert_eq!(
        answer(seen).await["data"],
        json!(["message:sending", "2026-10-01T08:00:00.000Z", "Gateway"])
    );
}

#[tokio::test]
async fn the_life_of_a_plugin_and_its_registrations() {
    let source = "
        exports.default = class Plugin {
            async onLoad(ctx) { ctx.logger.log('load', { a: 1 }); }
            async onEnable(ctx) {
                ctx.registerHook('message:received', async () => ({ continue: true }), 40);
                ctx.registerHook('webhook:before', () => ({ continue: true }), undefined, { onFailure: 'closed' });
                ctx.registerWebhook('orders', async (req) => { ctx.logger.warn(`${req.method} ${req.body}`); });
                console.error('enabled', ctx.config.greeting, new Error('seen'));
            }
            async onConfigChange(ctx, config) { ctx.logger.log(`now ${config.greeting} ${ctx.config.greeting}`); }
            async healthCheck() { return { healthy: false, message: 'tired' }; }
            onDisable(ctx) { ctx.logger.debug('bye'); }
        };";
    let house = House::start(Setup::default(), &[("index.js", source)]);
    house.load(json!({ "greeting": "hi" })).await.unwrap();
    let handlers = house.backstage.handlers.lock().unwrap().clone();
    let handler =
        |handler, point, priority, on_failure| NewHandler { handler, point, priority, on_failure };
    assert_eq!(
        handlers,
        [
            handler(0, HookPoint::MessageReceived, 40, None),
            handler(1, HookPoint::WebhookBefore, 100, Some(OnFailure::Closed)),
        ]
    );
    assert_eq!(*house.backstage.routes.lock().unwrap(), ["orders"]);
    let ingress = PluginCall::Ingress {
        route: "orders".into(),
        session: None,
        request: json!({ "method": "POST", "body": "b" }),
    };
    house.call(ingress).await.unwrap();
    let base = json!({ "greeting": "ho" }).as_object().cloned().unwrap();
    house.call(PluginCall::Configure(PluginConfigs { base, ..Default::default() })).await.unwrap();
    let health = house.call(PluginCall::Health).await.unwrap();
    assert_eq!(health, json!({ "healthy": false, "message": "tired" }));
    house.call(PluginCall::Disable).await.unwrap();
    let logged = house.logged();
    assert_eq!(&logged[..1], ["load"]);
    assert!(logged[1].starts_with("enabled hi Error: seen"), "{logged:?}");
    assert_eq!(&logged[2..], ["POST b", "now ho ho", "bye"]);
    assert_eq!(house.backstage.lines.lock().unwrap()[0].about.as_deref(), Some(r#"{"a":1}"#));
}

#[tokio::test]
async fn the_configuration_is_the_one_of_the_calls_session_also_after_a_wait() {
    let body = "const before = ctx.config.word; return ctx.storage.get('x').then(() => ({ continue: true, data: [before, ctx.config.word] }));";
    let house = House::start(Setup::default(), &[("index.js", &with_handler(body))]);
    let word = |word: &str| json!({ "word": word }).as_object().cloned().unwrap();
    let session = SessionId::from_uuid(uuid_of(7));
    let configs =
        PluginConfigs { base: word("base"), sessions: BTreeMap::from([(session, word("own"))]) };
    house.call(PluginCall::Load(configs)).await.unwrap();
    house.call(PluginCall::Enable).await.unwrap();
    let PluginCall::Hook { context, .. } = hook(json!({})) else { unreachable!() };
    let mine = PluginCall::Hook { handler: 0, session: Some(session), context };
    let (mine, other) = tokio::join!(house.call(mine), house.hook(json!({})));
    assert_eq!(mine.unwrap()["data"], json!(["own", "own"]));
    assert_eq!(other.unwrap()["data"], json!(["base", "base"]));
    assert_eq!(house.backstage.asked.lock().unwrap()[0].0, 3, "the ask names its call");
}

fn uuid_of(byte: u8) -> uuid::Uuid {
    uuid::Uuid::from_bytes([byte; 16])
}

#[tokio::test]
async fn what_is_asked_of_the_house_is_answered_or_thrown() {
    let asked = "return ctx.net.fetch('https://x.test', { method: 'POST', body: Buffer.from('hi') }).then((data) => ({ continue: true, data }));";
    assert_eq!(
        answer(asked).await["data"],
        json!({ "asked": "net.fetch", "with": ["https://x.test", { "method": "POST", "body": { "$bytes": "aGk=" } }] })
    );
    let refused = "return ctx.storage.get('no').catch((error) => ({ continue: true, data: [error.name, error.message, error instanceof Error] }));";
    assert_eq!(
        answer(refused).await["data"],
        json!(["PluginCapabilityError", "no such thing", true])
    );
}

#[tokio::test]
async fn modules_files_and_types() {
    let commonjs = [
        (
            "dist/index.js",
            "const { say } = require('./lib/words'); const data = require('../data.json'); module.exports = { onEnable(ctx) { ctx.registerHook('message:sending', () => ({ continue: true, data: say(data.name) })); } };",
        ),
        ("dist/lib/words.js", "exports.say = (name) => `hello ${name} ${__filename}`;"),
        ("data.json", r#"{"name":"Mia"}"#),
    ];
    let house = House::start(Setup { main: "./dist/index.js", ..Setup::default() }, &commonjs);
    house.load(json!({})).await.unwrap();
    assert_eq!(house.hook(json!({})).await.unwrap()["data"], "hello Mia dist/lib/words.js");
    let module = [
        (
            "index.mjs",
            "import { say } from './words.js'; import { createHash } from 'node:crypto'; import * as url from 'url'; export default class { onEnable(ctx) { ctx.registerHook('message:sending', () => ({ continue: true, data: [say('Mia'), createHash('sha256').update('').digest('hex').slice(0, 8), new url.URL('https://a.b/c').host] })); } }",
        ),
        ("words.js", "export const say = (name) => `hello ${name}`;"),
    ];
    let house = House::start(Setup { main: "index.mjs", ..Setup::default() }, &module);
    house.load(json!({})).await.unwrap();
    assert_eq!(
        house.hook(json!({})).await.unwrap()["data"],
        json!(["hello Mia", "e3b0c442", "a.b"])
    );
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    for (source, says) in [
        ("require('fs');", "Cannot find module 'fs'"),
        ("require('node:child_process');", "has no files, no network and no processes"),
        ("require('./missing');", "the package has no such file"),
        ("module.exports = 5;", "exports no plugin"),
        ("function (", "SyntaxError"),
        ("throw new Error('at once');", "at once"),
    ] {
        let house = House::start(Setup::default(), &[("index.js", source)]);
        let Err(CallError::Threw(why)) = house.load(json!({})).await else { panic!("{source}") };
        assert!(why.contains(says), "{source}: {why}");
    }
    let house =
        House::start(Setup::default(), &[("index.mjs", "import 'node:net'; export default {};")]);
    let Err(CallError::Threw(_)) = house.load(json!({})).await else {
        panic!("it has no such file as main")
    };
    let setup = Setup { main: "index.mjs", ..Setup::default() };
    let house = House::start(setup, &[("index.mjs", "import 'node:net'; export default {};")]);
    let Err(CallError::Threw(why)) = house.load(json!({})).await else { panic!("no network") };
    assert!(why.contains("Cannot find module 'node:net'"), "{why}");
}

#[tokio::test]
async fn bytes_and_digests_are_nodes() {
    let table = [
        ("Buffer.from('héllo').toString('base64')", json!("aMOpbGxv")),
        ("Buffer.from('aMOpbGxv', 'base64').toString()", json!("héllo")),
        ("Buffer.from('_-8', 'base64url').toString('hex')", json!("ffef")),
        ("Buffer.concat([Buffer.from('a'), Buffer.from('62', 'hex')]).toString()", json!("ab")),
        ("Buffer.isBuffer(Buffer.alloc(2)) && Buffer.byteLength('é')", json!(2)),
        (
            "Buffer.from('abc').subarray(1).toString() + Buffer.from('abc').slice(0, 1)",
            json!("bca"),
        ),
        ("JSON.stringify(Buffer.from([1, 2]))", json!(r#"{"type":"Buffer","data":[1,2]}"#)),
        ("new TextDecoder().decode(new TextEncoder().encode('ü'))", json!("ü")),
        ("atob(btoa('hello'))", json!("hello")),
        (
            "require('crypto').createHmac('sha256', 'key').update('The quick brown fox ').update('jumps over the lazy dog').digest('hex')",
            json!("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"),
        ),
        ("require('node:crypto').randomBytes(8).toString('hex').length", json!(16)),
        ("/^[0-9a-f]{8}-[0-9a-f]{4}-4/.test(crypto.randomUUID())", json!(true)),
        ("require('crypto').timingSafeEqual(Buffer.from('a'), Buffer.from('a'))", json!(true)),
        ("Buffer.from('\\ud800').toString('hex')", json!("efbfbd")),
    ];
    for (expression, wanted) in table {
        let with_require = expression.replace("require(", "module_require(");
        let source = format!(
            "const module_require = require; {}",
            with_handler(&format!(
                "return {{ continue: true, data: {{ value: ({with_require}) }} }};"
            ))
        );
        let house = House::start(Setup::default(), &[("index.js", &source)]);
        house.load(json!({})).await.unwrap();
        assert_eq!(house.hook(json!({})).await.unwrap()["data"]["value"], wanted, "{expression}");
    }
}

#[tokio::test]
async fn addresses_clones_and_clocks_are_those_of_browsers() {
    let parts = "new Intl.DateTimeFormat('en-US', { timeZone: 'Asia/Jakarta', weekday: 'short', hour: '2-digit', minute: '2-digit', hour12: false }).formatToParts(new Date('2026-10-01T20:05:00Z')).filter((part) => part.type !== 'literal').map((part) => part.value).join(' ')";
    let table = [
        ("new URL('/a?x=1', 'https://Shop.test:443/b').href", json!("https://shop.test/a?x=1")),
        (
            "(() => { const u = new URL('https://a.b/'); u.searchParams.set('q', 'a b&c'); return u.href; })()",
            json!("https://a.b/?q=a+b%26c"),
        ),
        (
            "(() => { try { new URL('nonsense'); } catch (e) { return [e instanceof TypeError, e.code]; } })()",
            json!([true, "ERR_INVALID_URL"]),
        ),
        ("[...new URLSearchParams('a=1&b=%20x')].flat()", json!(["a", "1", "b", " x"])),
        ("structuredClone({ a: new Date(0), b: [new Map([[1, 2]])] }).b[0].get(1)", json!(2)),
        (
            "(() => { const c = new AbortController(); c.abort(); return [c.signal.aborted, c.signal.reason.name]; })()",
            json!([true, "AbortError"]),
        ),
        (parts, json!("Fri 03 05")),
        (
            "(() => { try { new Intl.DateTimeFormat('en', { timeZone: 'Mars/Olympus' }); } catch (e) { return e.name; } })()",
            json!("RangeError"),
        ),
        (
            "new Date('2026-10-01T20:05:00Z').toLocaleString('en-US', { timeZone: 'Europe/Berlin' })",
            json!("10/1/2026, 10:05:00 PM"),
        ),
        (
            "new Intl.DateTimeFormat('en-US', { timeZone: 'Europe/Berlin' }).resolvedOptions().timeZone",
            json!("Europe/Berlin"),
        ),
        ("Object.keys(process.env).length", json!(0)),
    ];
    for (expression, wanted) in table {
        assert_eq!(value(expression).await, wanted, "{expression}");
    }
}

#[tokio::test]
async fn timers_ring_in_order_and_can_be_cleared() {
    let body = "
        const seen = [];
        setTimeout(() => seen.push('b'), 20);
        setTimeout((word) => seen.push(word), 5, 'a');
        clearTimeout(setTimeout(() => seen.push('never'), 8));
        const ticks = setInterval(() => seen.push('t'), 30);
        return new Promise((go) => setTimeout(() => { clearInterval(ticks); go({ continue: true, data: seen }); }, 200));";
    let seen = answer(body).await["data"].as_array().cloned().unwrap();
    assert_eq!(seen[..3], [json!("a"), json!("b"), json!("t")]);
    // How often it rang depends on how busy the machine is.
    assert!(seen[3..].iter().all(|rung| rung == "t"), "{seen:?}");
}

#[tokio::test]
async fn a_service_accounts_key_signs() {
    // Made for this test with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`.
    let key = include_str!("service-account.pem");
    let source = format!(
        "const {{ createSign }} = require('node:crypto'); const key = {}; {}",
        serde_json::to_string(key).unwrap(),
        with_handler(
            "return { continue: true, data: createSign('RSA-SHA256').update('header.claims').sign(key, 'base64url') };"
        )
    );
    let setup = Setup { budget: std::time::Duration::from_secs(5), ..Setup::default() };
    let house = House::start(setup, &[("index.js", &source)]);
    house.load(json!({})).await.unwrap();
    let signature = house.hook(json!({})).await.unwrap()["data"].as_str().unwrap().to_owned();
    assert_eq!(signature, include_str!("service-account.signature").trim());
}
