//! The job of a lane: "drain this lane".

use bullmq::{BulkJob, Job, JobOptions, types::RemoveOnFinish};
use domain::{Timestamp, delivery::LaneId, port::WaitingLane};
use serde_json::{Value, json};

/// The name of every job.
const NAME: &str = "lane";
/// Behind those without a priority: first tries leave before retries.
pub(super) const RETRY: u32 = 1;

/// The id of a lane's job: the lane's name, with what BullMQ forbids in an id written as `%3A`. The slash becomes an
/// underscore, so that it is one step of a path in dashboards.
pub(super) fn id_of(lane: &LaneId) -> String {
    lane.as_str().replacen('/', "_", 1).replace('%', "%25").replace(':', "%3A")
}

/// A job to be added.
pub(super) fn new(waiting: &WaitingLane, now: Timestamp) -> BulkJob {
    let lane = &waiting.lane;
    let webhook = lane.webhook().map(|id| id.to_string());
    let data = json!({ "lane": lane.as_str(), "webhook": webhook });
    let wait = waiting.not_before.map(|at| at.since(now)).filter(|wait| !wait.is_zero());
    let options = JobOptions {
        delay: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        job_id: Some(id_of(lane)),
        priority: waiting.retry.then_some(RETRY),
        remove_on_complete: Some(RemoveOnFinish::Bool(true)),
        remove_on_fail: Some(RemoveOnFinish::Bool(true)),
        ..JobOptions::default()
    };
    BulkJob::with_options(NAME, data, options)
}

/// The lane of a job; `None`: somebody else put it there.
pub(super) fn lane_of(job: &Job) -> Option<LaneId> {
    let lane = job.data().get("lane").and_then(Value::as_str)?;
    let lane = LaneId::from_stored(lane.to_owned());
    (id_of(&lane) == job.id()).then_some(lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_bullmq_takes() {
        let lane = |text: &str| LaneId::from_stored(text.to_owned());
        let webhook = "01890000-0000-7000-8000-000000000001";
        let id = id_of(&lane(&format!("{webhook}/491700000001:5@c.us")));
        assert_eq!(id, format!("{webhook}_491700000001%3A5@c.us"));
        assert_ne!(id_of(&lane("w/a%3Ab")), id_of(&lane("w/a:b")));
    }
}
