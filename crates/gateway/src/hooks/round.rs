//! One round of asking the handlers of a point.

use std::panic::AssertUnwindSafe;

use domain::{SessionId, Timer};
use futures::FutureExt as _;
use serde_json::Value;

use super::{Handler, HandlerId, HookContext, HookPoint, HookResult, OnFailure, SharedHooks};

tokio::task_local! {
    /// The handlers that run around this code, outermost first.
    static RUNNING: Vec<(HandlerId, HookPoint)>;
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HookVerdict {
    /// The data as the handlers left it.
    pub(crate) data: Value,
    /// Whether any handler replaced it.
    pub(crate) changed: bool,
    /// Why it was stopped, if it was.
    pub(crate) blocked: Option<String>,
    /// It was stopped by the failure of a handler, not by its decision.
    pub(crate) failed: bool,
}

impl HookVerdict {
    fn fail(&mut self, handler: &Handler, why: &str) {
        let hook = handler.point.as_str();
        tracing::warn!(hook, handler = %handler.name, error = %why, "a handler failed");
        if handler.on_failure == OnFailure::Closed {
            (self.blocked, self.failed) = (Some(format!("{} failed", handler.name)), true);
        }
    }
}

/// Which handlers run around a piece of code; carried over to tasks that go on with its work.
#[derive(Debug, Clone, Default)]
pub(crate) struct HookScope(Vec<(HandlerId, HookPoint)>);

impl HookScope {
    /// Of the code that asks.
    pub(crate) fn here() -> Self {
        RUNNING.try_with(|running| Self(running.clone())).unwrap_or_default()
    }

    /// Whether a handler of this point is among them.
    pub(crate) fn is_inside(&self, point: HookPoint) -> bool {
        self.0.iter().any(|(_, other)| *other == point)
    }

    /// Runs something inside the same handlers.
    pub(crate) async fn run<T>(self, work: impl Future<Output = T>) -> T {
        RUNNING.scope(self.0, work).await
    }
}

impl SharedHooks {
    pub(super) async fn ask(
        &self,
        point: HookPoint,
        session: SessionId,
        data: Value,
        usable: fn(&Value) -> bool,
    ) -> HookVerdict {
        let within = HookScope::here();
        let asked: Vec<(HandlerId, Handler)> = {
            let handlers = self.lock();
            let is_asked = |(id, handler): &&(HandlerId, Handler)| {
                handler.point == point && !within.0.iter().any(|(running, _)| running == id)
            };
            handlers.iter().filter(is_asked).cloned().collect()
        };
        let mut verdict = HookVerdict { data, changed: false, blocked: None, failed: false };
        let at = self.clock.now();
        for (id, handler) in asked {
            let context = HookContext { point, session, at, data: verdict.data.clone() };
            let mut inside = within.clone();
            inside.0.push((id, point));
            match inside.run(self.one(&handler, context)).await {
                Ok(HookResult::Continue) => {}
                Ok(HookResult::Replace(data)) if usable(&data) => {
                    (verdict.data, verdict.changed) = (data, true);
                }
                Ok(HookResult::Replace(_)) => {
                    verdict.fail(&handler, "it left data that cannot be used");
                }
                Ok(HookResult::Block(why)) => verdict.blocked = Some(why),
                Ok(HookResult::Failed(why)) | Err(why) => verdict.fail(&handler, &why),
            }
            if verdict.blocked.is_some() {
                break;
            }
        }
        verdict
    }

    /// One handler, within its limit; a panic is a failure.
    async fn one(&self, handler: &Handler, context: HookContext) -> Result<HookResult, String> {
        let limit = self.clock.now().plus(handler.limit);
        let work = AssertUnwindSafe(async { (handler.run)(context).await }).catch_unwind();
        tokio::select! {
            done = work => done.map_err(|_| "it panicked".to_owned()),
            () = self.clock.sleep_until(Timer::HookAnswer, limit) => {
                Err(format!("it took longer than {} ms", handler.limit.as_millis()))
            }
        }
    }
}
