//! The contract over the real protocol: every route of OpenWA is asked of the built program, which is linked to the
//! simulated network, and every answer is held against the OpenAPI document.
//!
//! Each part walks the routes that it declares; the tests here unite what they declare.

mod access;
mod agents;
mod business;
mod changes;
mod channels;
mod chats;
mod document;
mod groups;
mod infra;
mod instances;
mod people;
mod plugin_files;
mod plugins;
mod sends;
mod sessions;
mod stage;
mod statuses;
mod tools;
mod walk;
mod webhooks;

use std::collections::BTreeSet;

use serde_json::Value;

const CONTRACT: &str = include_str!("../../../../api/tests/contract/openwa-routes.json");
/// Routes that are not served yet, as `METHOD path`.
const NOT_YET: &str = include_str!("../../../../api/tests/contract/not-yet.txt");

/// Routes that no scenario walks with a success, and why.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// What the parts walk, each route with a success: their tests fail otherwise.
const PARTS: [&[&str]; 16] = [
    access::ROUTES,
    agents::ROUTES,
    business::ROUTES,
    changes::ROUTES,
    channels::ROUTES,
    chats::ROUTES,
    groups::ROUTES,
    infra::ROUTES,
    instances::ROUTES,
    people::ROUTES,
    plugins::ROUTES,
    sends::ROUTES,
    sessions::ROUTES,
    statuses::ROUTES,
    tools::ROUTES,
    webhooks::ROUTES,
];

/// A route whatever its parameters are called.
fn shape(route: &str) -> String {
    let parts = route.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn contract() -> BTreeSet<String> {
    let routes: Vec<Value> = serde_json::from_str(CONTRACT).unwrap();
    let text = |route: &Value, field: &str| route[field].as_str().unwrap().to_owned();
    let route = |route: &Value| format!("{} {}", text(route, "method"), text(route, "path"));
    routes.iter().map(route).map(|route| shape(&route)).collect()
}

#[test]
fn every_route_of_the_contract_has_its_walk() {
    let parts = PARTS.iter();
    let walked = parts.flat_map(|routes| routes.iter()).map(|route| shape(&walk::named(route)));
    let not_yet = NOT_YET.lines().filter(|line| !line.is_empty()).map(shape);
    let excepted = EXCEPTIONS.iter().map(|(route, _)| shape(&walk::named(route)));
    let named: BTreeSet<String> = walked.chain(not_yet).chain(excepted).collect();
    let missing: Vec<String> = contract().difference(&named).cloned().collect();
    assert!(missing.is_empty(), "no scenario walks these: {missing:#?}");
}
