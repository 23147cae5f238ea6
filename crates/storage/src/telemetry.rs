//! How current everything is.

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp,
    delivery::Breaker,
    log::{Activity, DoubtfulCounts, MessageCounts, WebhookLag, WriterStats},
    port::{StoreResult, Telemetry},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    session::list_of,
    webhook,
};

db::statements! {
    // A webhook for which something waits has a lane; what waits in its lanes is read from the index that has nothing
    // else.
    LAGS = both("select webhook.id, webhook.session_id, webhook.active, webhook.last_triggered_at, \
         (select count(*) from delivery where delivery.state = 'pending' and delivery.lane >= webhook.id || '/' \
         and delivery.lane < webhook.id || '0') as pending, \
         (select min(delivery.occurred_at) from delivery where delivery.state = 'pending' and delivery.lane >= \
         webhook.id || '/' \
         and delivery.lane < webhook.id || '0') as oldest, \
         (select count(*) from lane where lane.webhook_id = webhook.id and lane.ticket = 0) as blocked \
         from webhook where exists (select 1 from lane where lane.webhook_id = webhook.id)");
    DOUBTFUL = both("select health from webhook where health <> '{}'");
    // Counted whenever a message comes, changes or goes.
    COUNTS = both("select cast(coalesce(sum(incoming), 0) as bigint) as incoming, cast(coalesce(sum(outgoing), 0) \
         as bigint) as outgoing, \
         cast(coalesce(sum(failed), 0) as bigint) as failed from session");
    ACTIVITIES = DialectPair {
        sqlite: "select session.id, engine_event_at, stored_at, \
             (select max(last_triggered_at) from webhook where webhook.session_id = session.id) as delivered_at \
             from json_each($1) as one cross join session on session.id = one.value",
        postgres: "select session.id, engine_event_at, stored_at, \
             (select max(last_triggered_at) from webhook where webhook.session_id = session.id) as delivered_at \
             from session where session.id in (select json_array_elements_text($1::json))",
    };
    KEEP = both("update session set \
         engine_event_at = case when coalesce(engine_event_at, $2) > $2 then engine_event_at else coalesce($2, \
         engine_event_at) end, \
         stored_at = case when coalesce(stored_at, $3) > $3 then stored_at else coalesce($3, stored_at) end \
         where id = $1");
}

const ACTIVITY: &str = "reading the activity of sessions";

fn lag(row: &Row) -> StoreResult<WebhookLag> {
    const DOING: &str = "measuring the webhooks";
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(DOING);
    let count = |name: &str| Ok(u64::try_from(number(name)?).unwrap_or(0));
    let time = |name: &str| {
        let time = row.try_get::<Option<i64>, _>(name).doing(DOING)?;
        StoreResult::Ok(time.map(Timestamp::from_millis))
    };
    Ok(WebhookLag {
        webhook: text("id")?.parse().map_err(|_| corrupt(DOING))?,
        session: text("session_id")?.parse().map_err(|_| corrupt(DOING))?,
        active: number("active")? == 1,
        pending: count("pending")?,
        oldest: time("oldest")?,
        lanes_blocked: count("blocked")?,
        last_delivered: time("last_triggered_at")?,
    })
}

fn activity(row: &Row) -> StoreResult<(SessionId, Activity)> {
    let id: String = row.try_get("id").doing(ACTIVITY)?;
    let time = |name: &str| {
        let time = row.try_get::<Option<i64>, _>(name).doing(ACTIVITY)?;
        StoreResult::Ok(time.map(Timestamp::from_millis))
    };
    let activity = Activity {
        engine_event: time("engine_event_at")?,
        stored: time("stored_at")?,
        delivered: time("delivered_at")?,
    };
    Ok((id.parse().map_err(|_| corrupt(ACTIVITY))?, activity))
}

#[async_trait]
impl Telemetry for LedgerStore {
    async fn lags(&self) -> StoreResult<Vec<WebhookLag>> {
        let rows = db::query(&LAGS).fetch_all(&self.readers).await;
        let rows = rows.doing("measuring the webhooks")?;
        let mut lags = self.unreadable.rows("webhook's lag", &["id"], &rows, lag);
        lags.retain(|lag| lag.pending > 0);
        lags.sort_by_key(|lag| lag.oldest);
        Ok(lags)
    }

    async fn doubtful_counts(&self) -> StoreResult<DoubtfulCounts> {
        const DOING: &str = "counting breakers";
        let rows = db::query(&DOUBTFUL).fetch_all(&self.readers).await.doing(DOING)?;
        let mut counts = DoubtfulCounts::default();
        for row in &rows {
            let Ok(health) = webhook::health(row) else { continue };
            counts.paused += u64::from(health.pause.is_some());
            match health.breaker {
                Breaker::Closed => {}
                Breaker::Open { .. } => counts.open += 1,
                Breaker::CatchUp { .. } => counts.catching_up += 1,
            }
        }
        Ok(counts)
    }

    async fn message_counts(&self) -> StoreResult<MessageCounts> {
        const DOING: &str = "counting messages";
        let row = db::query(&COUNTS).fetch_one(&self.readers).await.doing(DOING)?;
        let count = |name: &str| {
            row.try_get::<i64, _>(name).doing(DOING).map(|n| u64::try_from(n).unwrap_or(0))
        };
        Ok(MessageCounts {
            incoming: count("incoming")?,
            outgoing: count("outgoing")?,
            failed: count("failed")?,
        })
    }

    async fn activities(&self, sessions: &[SessionId]) -> StoreResult<Vec<(SessionId, Activity)>> {
        let rows = db::query(&ACTIVITIES).bind(list_of(sessions)).fetch_all(&self.readers).await;
        rows.doing(ACTIVITY)?.iter().map(activity).collect()
    }

    async fn keep_activity(&self, mut activities: Vec<(SessionId, Activity)>) -> StoreResult<()> {
        const DOING: &str = "storing the activity of sessions";
        // As everybody who changes the rows of several sessions.
        activities.sort_by_key(|(session, _)| *session);
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    for (session, activity) in activities {
                        db::query(&KEEP)
                            .bind(session.to_string())
                            .bind(activity.engine_event.map(Timestamp::millis))
                            .bind(activity.stored.map(Timestamp::millis))
                            .execute(&mut unit.conn)
                            .await
                            .doing(DOING)?;
                    }
                    Ok(())
                })
            })
            .await
    }

    fn writer(&self) -> WriterStats {
        self.writer.stats()
    }
}
