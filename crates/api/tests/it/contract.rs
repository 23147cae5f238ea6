//! The contract: every route of OpenWA 0.32 is served, or named as not served yet.

use std::collections::BTreeSet;

use serde_json::Value;

const ROUTES: &str = include_str!("../contract/openwa-routes.json");
/// Routes that are not served yet, as `METHOD path`. It may only shrink.
const NOT_YET: &str = include_str!("../contract/not-yet.txt");

/// A route whatever its parameters are called.
fn shape(method: &str, path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    format!("{} {}", method.to_uppercase(), parts.collect::<Vec<_>>().join("/"))
}

/// What the OpenAPI document says is served.
fn served() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| shape(method, path))
        })
        .collect()
}

/// Every route of the contract, as its own shape.
fn wanted() -> BTreeSet<String> {
    let routes: Vec<Value> = serde_json::from_str(ROUTES).unwrap();
    assert_eq!(routes.len(), 205);
    routes
        .iter()
        .map(|route| shape(route["method"].as_str().unwrap(), route["path"].as_str().unwrap()))
        .collect()
}

fn not_yet() -> BTreeSet<String> {
    let lines = NOT_YET.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(method, path)| shape(method, path))
        .collect()
}

#[test]
fn every_route_of_the_contract_is_served_or_named_as_missing() {
    let missing: BTreeSet<String> = wanted().difference(&served()).cloned().collect();
    assert_eq!(missing, not_yet(), "left: not served; right: the list in tests/contract");
}
