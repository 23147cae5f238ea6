//! What a large ledger costs, compared in one run with an almost empty one: both are filled past the store, then each step
//! is made on the one and on the other in turn.
//!
//! Ten sessions with five webhooks each, the newest messages still waiting for a paused webhook, a delivery in a hundred
//! given up. The almost empty ledger has messages for a page of everything.
//!
//! `cargo xtask bench growth [--json] [--messages 1000000] [--backlog 1000] [--postgres] [step …]`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

mod fill;
#[path = "../../tests/parts/place.rs"]
mod place;
mod steps;

use std::path::Path;

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use storage::{Database, LedgerStore, MasterKey, PostgresOptions, StoreOptions};
use tokio::time::Instant;

use fill::{HOOKS, Sink, fill, tenant};
use steps::{STEPS, World};

const SESSIONS: u32 = 10;
/// Sessions that will be deleted, and what each has, in both ledgers.
const VICTIMS: u32 = 3;
const OF_VICTIM: usize = 400;
/// Messages of the almost empty one.
const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
/// Of the newest messages, those that still wait for the paused webhooks, in both ledgers.
const BACKLOG: usize = 1_000;
const SEED: u64 = 10;

struct Options {
    json: bool,
    postgres: bool,
    many: usize,
    backlog: usize,
    only: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let mut options =
            Self { json: false, postgres: false, many: MANY, backlog: BACKLOG, only: vec![] };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = true,
                "--postgres" => options.postgres = true,
                "--messages" => options.many = arguments.next().unwrap().parse().unwrap(),
                "--backlog" => options.backlog = arguments.next().unwrap().parse().unwrap(),
                // Cargo adds it.
                "--bench" => {}
                _ => options.only.push(argument),
            }
        }
        options
    }

    fn wants(&self, step: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| step.contains(only.as_str()))
    }
}

fn main() {
    let options = Options::read();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(compare(&options));
}

async fn compare(options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    let few = ledger(options, folder.path(), "few", (FEW, BACKLOG)).await;
    let many = ledger(options, folder.path(), "many", (options.many, options.backlog)).await;
    let mut worlds = [few, many];
    for (step, times) in STEPS.into_iter().filter(|(step, _)| options.wants(step)) {
        let mut took = [vec![], vec![]];
        for round in 0..times {
            for (world, took) in worlds.iter_mut().zip(&mut took) {
                took.push(world.measure(step, round).await);
            }
        }
        let [few, many] = took.map(median);
        tell(options, step, few, many);
    }
    for world in worlds {
        world.close().await;
    }
}

fn tell(options: &Options, step: &str, few: f64, many: f64) {
    let ratio = many / few;
    let place = if options.postgres { "postgres." } else { "" };
    if options.json {
        let line = serde_json::json!({
            "name": format!("growth.{place}{step}"), "unit": "x", "median": ratio, "few_ms": few, "many_ms": many,
        });
        println!("{line}");
    } else {
        println!("{step:<34} {few:>9.3} ms {many:>9.3} ms   {ratio:>7.2} x");
    }
}

fn median(mut took: Vec<f64>) -> f64 {
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

/// A ledger with so many messages of tenants that stay. Their last webhooks are paused behind what waits for them.
async fn ledger(
    options: &Options,
    folder: &Path,
    name: &str,
    (messages, backlog): (usize, usize),
) -> World {
    let began = Instant::now();
    let place = match options.postgres {
        false => StoreOptions::for_testing(folder.join(name)),
        true => {
            StoreOptions::postgres(place::place("waypost").await, MasterKey::from_bytes([7; 32]))
        }
    };
    let store = LedgerStore::open(place.clone()).await.unwrap();
    let mut tenants = Vec::new();
    for number in 1..=SESSIONS + VICTIMS {
        let stays = number <= SESSIONS;
        let messages = if stays { messages / SESSIONS as usize } else { OF_VICTIM };
        tenants.push(tenant(&store, number, messages).await);
    }
    store.close().await;
    drop(store);
    let mut sink = match &place.database {
        Database::Sqlite { path } => Sink::Sqlite(rusqlite::Connection::open(path).unwrap()),
        Database::Postgres(place) => Sink::Postgres(Box::new(raw(place).await)),
    };
    fill(&mut sink, &tenants, backlog, SEED).await;
    drop(sink);
    let all: usize = tenants.iter().map(|tenant| tenant.messages).sum();
    eprintln!(
        "{name}: {all} messages, {} deliveries, filled in {:.0} s",
        all * HOOKS as usize,
        began.elapsed().as_secs_f64()
    );
    let first = u32::try_from(all).unwrap() + 1;
    let hooks: Vec<_> = tenants.iter().map(|tenant| tenant.hooks.last().unwrap().id).collect();
    let world = World::open(place, tenants, VICTIMS as usize, first).await;
    for hook in hooks {
        world.pause(hook).await;
    }
    world
}

async fn raw(place: &PostgresOptions) -> sqlx::PgConnection {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&place.host)
        .port(place.port)
        .username(&place.username)
        .database(&place.database)
        .options([("search_path", place.schema.as_str())]);
    options.connect().await.unwrap()
}
