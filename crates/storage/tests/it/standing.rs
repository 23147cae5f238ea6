//! The list of lanes reads what waits, and nothing else, on both databases.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqlSafeStr as _};

use crate::{
    postgres,
    support::{database, open, raw},
};

/// Webhooks, each with as many lanes, each with five deliveries that wait.
const FILL: &str = "
    insert into session (id, name, status, wanted, config, created_at, updated_at)
        values ('s', 's', 'created', 0, '{}', 0, 0);
    insert into webhook (id, session_id, url, events, active, retry_count, lane_order, created_at, updated_at)
        select 'w' || i, 's', 'https://receiver.example', '[]', 1, 1, 'chat', 0, 0 from generate_series(1, 100) i;
    insert into lane (id, webhook_id, ticket) select 'w' || w || '/' || c, 'w' || w, w * 100 + c
        from generate_series(1, 100) w, generate_series(1, 100) c;
    insert into delivery (id, webhook_id, event_id, lane, sequence, state, occurred_at)
        select w || '-' || c || '-' || n, 'w' || w, 'e' || n, 'w' || w || '/' || c, n,
            case when n <= 5 then 'pending' else 'delivered' end, n
        from generate_series(1, 100) w, generate_series(1, 100) c, generate_series(1, 25) n;
    analyze;";

fn statement(name: &str) -> storage::RegisteredStatement {
    let name = format!("storage::delivery::standing::{name}");
    storage::statements().find(|one| one.name == name).unwrap()
}

#[tokio::test]
async fn the_list_of_lanes_reads_what_waits_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let plan = async |conn: &mut sqlx::SqliteConnection, name| -> String {
        let explain = format!("explain query plan {}", statement(name).sqlite);
        let rows = conn.fetch_all(AssertSqlSafe(explain).into_sql_str()).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    };
    let lanes = plan(&mut conn, "LANES").await;
    assert!(
        lanes.contains("SEARCH lane USING COVERING INDEX lane_by_webhook (webhook_id=?)"),
        "{lanes}"
    );
    assert!(
        lanes.contains("SEARCH delivery USING COVERING INDEX delivery_waiting (lane=?)"),
        "{lanes}"
    );
    let count = plan(&mut conn, "LANE_COUNT").await;
    assert!(count.contains("lane_by_webhook (webhook_id=?)"), "{count}");
    let heads = plan(&mut conn, "HEADS").await;
    assert!(heads.contains("INDEX delivery_waiting (lane=?)"), "{heads}");
    assert!(heads.contains("SEARCH delivery USING PRIMARY KEY (id=?)"), "{heads}");
    conn.close().await.unwrap();
    drop(store);
}

#[tokio::test]
async fn the_list_of_lanes_reads_what_waits_alone_on_postgres() {
    let place = postgres::place().await;
    let store = postgres::open(&place).await;
    let mut conn = postgres::raw(&place).await;
    sqlx::raw_sql(FILL).execute(&mut conn).await.unwrap();
    let webhooks: Vec<String> = (1..=100).map(|number| format!("\"w{number}\"")).collect();
    let webhooks = format!("'[{}]'", webhooks.join(","));
    let lanes: Vec<String> = (1..=50).map(|number| format!("\"w{number}/7\"")).collect();
    let lanes = format!("'[{}]'", lanes.join(","));
    for (name, types, values) in
        [("LANES", "text, bigint", format!("{webhooks}, 20000")), ("HEADS", "text", lanes)]
    {
        let sql = statement(name).postgres;
        let script = format!("prepare listed_{name} ({types}) as {sql}");
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut conn).await.unwrap();
        let explain = format!("explain execute listed_{name} ({values})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("delivery_waiting"), "{name}: {plan}");
        assert!(!plan.contains("Seq Scan on delivery "), "{name}: {plan}");
    }
    conn.close().await.unwrap();
    store.close().await;
}
