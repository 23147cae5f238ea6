//! One round of asking the handlers of a point.

use std::panic::AssertUnwindSafe;

use domain::{SessionId, Timer};
use futures::FutureExt as _;
use serde_json::Value;

use super::{Handler, HandlerId, HookContext, HookPoint, HookResult, OnFailure, SharedHooks};

tokio::task_local! {
    /// What runs around this code.
    static SCOPE: HookScope;
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
    /// What stopped it.
    pub(crate) cause: StopCause,
}

/// What stopped a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// The decision of a handler.
    Decision,
    /// The failure of a handler.
    Failure,
    /// A handler that could not be asked: it is worth asking again.
    Absence,
}

impl HookVerdict {
    fn fail(&mut self, handler: &Handler, cause: StopCause, why: &str) {
        let hook = handler.point.as_str();
        tracing::warn!(hook, handler = %handler.name, error = %why, "a handler failed");
        if handler.on_failure == OnFailure::Closed {
            (self.blocked, self.cause) = (Some(format!("{} failed", handler.name)), cause);
        }
    }
}

/// Which handlers run around a piece of code, and what caused it; carried over to tasks that go on with its work.
#[derive(Debug, Clone, Default)]
pub(crate) struct HookScope {
    /// The handlers, outermost first.
    running: Vec<(HandlerId, HookPoint)>,
    /// Handlers of `message:sending` that are not asked: of the plugin whose send it is.
    passed_over: Vec<HandlerId>,
    /// How many sends of plugins have caused each other up to here.
    depth: u32,
}

impl HookScope {
    /// Of the code that asks.
    pub(crate) fn here() -> Self {
        SCOPE.try_with(Clone::clone).unwrap_or_default()
    }

    /// Whether a handler of this point is among them.
    pub(crate) fn is_inside(&self, point: HookPoint) -> bool {
        self.running.iter().any(|(_, other)| *other == point)
    }

    /// How many sends of plugins have caused each other up to here.
    pub(crate) const fn depth(&self) -> u32 {
        self.depth
    }

    /// Of what is caused by this code but does not run inside it.
    pub(crate) fn afterwards(&self) -> Self {
        Self { depth: self.depth, ..Self::default() }
    }

    /// Of a send that a plugin makes here; its own handlers of `message:sending` are not asked about it.
    pub(crate) fn of_plugin_send(mut self, own: Vec<HandlerId>) -> Self {
        self.depth += 1;
        self.passed_over = own;
        self
    }

    /// Runs something inside the same handlers.
    pub(crate) async fn run<T>(self, work: impl Future<Output = T>) -> T {
        SCOPE.scope(self, work).await
    }

    fn asks(&self, id: HandlerId, point: HookPoint) -> bool {
        let passed_over = point == HookPoint::MessageSending && self.passed_over.contains(&id);
        !passed_over && !self.running.iter().any(|(running, _)| *running == id)
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
        let _ = self.opened.subscribe().wait_for(|opened| *opened).await;
        let within = HookScope::here();
        let asked: Vec<(HandlerId, Handler)> = {
            let handlers = self.lock();
            let is_asked = |(id, handler): &&(HandlerId, Handler)| {
                handler.point == point && within.asks(*id, point)
            };
            handlers.iter().filter(is_asked).cloned().collect()
        };
        let cause = StopCause::Decision;
        let mut verdict = HookVerdict { data, changed: false, blocked: None, cause };
        let at = self.clock.now();
        for (id, handler) in asked {
            let context = HookContext { point, session, at, data: verdict.data.clone() };
            let mut inside = within.clone();
            inside.running.push((id, point));
            match inside.run(self.one(&handler, context)).await {
                Ok(HookResult::Continue) => {}
                Ok(HookResult::Replace(data)) if usable(&data) => {
                    (verdict.data, verdict.changed) = (data, true);
                }
                Ok(HookResult::Replace(_)) => {
                    verdict.fail(&handler, StopCause::Failure, "it left data that cannot be used");
                }
                Ok(HookResult::Block(why)) => verdict.blocked = Some(why),
                Ok(HookResult::Failed(why)) | Err(why) => {
                    verdict.fail(&handler, StopCause::Failure, &why);
                }
                Ok(HookResult::Unavailable(why)) => {
                    verdict.fail(&handler, StopCause::Absence, &why);
                }
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
