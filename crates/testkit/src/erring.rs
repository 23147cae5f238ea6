//! A store that errs: every port, over any store that implements it, fails as databases do.
//!
//! What goes wrong is decided by a [`Trouble`], by a script or by seeded odds: an answer at once that it is away or
//! busy, no answer until a limit has passed, and, the one that hurts, a call that was carried out and whose answer
//! was lost. A call is named by its port and method, for instance `Ledger::write`.

mod parts;
mod ports;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Clock, Timer,
    port::{StoreError, StoreErrorKind, StoreResult},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

pub use parts::StoreParts;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing was done: the database does not answer.
    Unavailable,
    /// Nothing was done: the writer's queue is full.
    Busy,
    /// Nothing was done, and that is said only after this time: the caller's limit for one call.
    Hang(Duration),
    /// It was done, but the answer was lost: [`StoreErrorKind::Unavailable`].
    Applied,
    /// It was done, and the answer was lost after this time.
    AppliedHang(Duration),
    /// It takes this time, and then is done and answered.
    Slow(Duration),
    /// Nothing was done, for a reason that trying again does not change.
    Corrupt,
}

/// How many of a thousand calls go wrong, by kind; the rest go well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Odds {
    /// Calls that end in [`Fault::Unavailable`].
    pub unavailable: u32,
    /// Calls that end in [`Fault::Busy`].
    pub busy: u32,
    /// Calls that end in [`Fault::Hang`].
    pub hang: u32,
    /// Calls that end in [`Fault::Applied`].
    pub applied: u32,
    /// Calls that end in [`Fault::AppliedHang`].
    pub applied_hang: u32,
    /// [`Fault::Slow`], up to the limit.
    pub slow: u32,
}

impl Odds {
    /// Every kind equally often.
    pub const fn each(per_mille: u32) -> Self {
        Self {
            unavailable: per_mille,
            busy: per_mille,
            hang: per_mille,
            applied: per_mille,
            applied_hang: per_mille,
            slow: per_mille,
        }
    }
}

/// Decides what goes wrong. Clones decide together. Until odds or a script are set, everything goes well.
#[derive(Clone)]
pub struct Trouble {
    plan: Arc<Mutex<TroublePlan>>,
    clock: Arc<dyn Clock>,
    /// Longest that a hanging call takes.
    limit: Duration,
}

struct TroublePlan {
    dice: StdRng,
    odds: Odds,
    /// Odds hold for these calls only; empty: for all.
    among: Vec<&'static str>,
    /// What the next calls of a name meet; `None` is a call that goes well.
    scripts: HashMap<&'static str, VecDeque<Option<Fault>>>,
    /// What every call of a name meets after its script.
    always: HashMap<&'static str, Fault>,
    struck: BTreeMap<(&'static str, Fault), u64>,
    calls: HashMap<&'static str, u64>,
}

impl Trouble {
    /// With a seed for what is left to chance. A call that hangs ends when `clock` has passed `limit`.
    pub fn new(seed: u64, clock: Arc<dyn Clock>, limit: Duration) -> Self {
        let plan = TroublePlan {
            dice: StdRng::seed_from_u64(seed),
            odds: Odds::default(),
            among: vec![],
            scripts: HashMap::new(),
            always: HashMap::new(),
            struck: BTreeMap::new(),
            calls: HashMap::new(),
        };
        Self { plan: Arc::new(Mutex::new(plan)), clock, limit }
    }

    fn plan(&self) -> MutexGuard<'_, TroublePlan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls go wrong by chance: those named, or all when none is.
    pub fn odds(&self, odds: Odds, among: &[&'static str]) {
        let mut plan = self.plan();
        (plan.odds, plan.among) = (odds, among.to_vec());
    }

    /// Nothing goes wrong by chance until odds are set again; those that held.
    pub fn pause(&self) -> Odds {
        std::mem::take(&mut self.plan().odds)
    }

    /// The next calls of this name meet these, one after another; `None` is one that goes well.
    pub fn next(&self, call: &'static str, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.plan().scripts.entry(call).or_default().extend(faults);
    }

    /// Every call of this name goes wrong like this, until [`over`](Self::over).
    pub fn always(&self, call: &'static str, fault: Fault) {
        self.plan().always.insert(call, fault);
    }

    /// Everything goes well from now on. What hangs goes on hanging to its end.
    pub fn over(&self) {
        let mut plan = self.plan();
        plan.odds = Odds::default();
        plan.scripts.clear();
        plan.always.clear();
    }

    /// How often what struck which call so far.
    pub fn struck(&self) -> BTreeMap<(&'static str, Fault), u64> {
        self.plan().struck.clone()
    }

    /// How often something went wrong so far.
    pub fn strikes(&self) -> u64 {
        self.plan().struck.values().sum()
    }

    /// Calls of this name so far, also those that went wrong.
    pub fn calls(&self, call: &str) -> u64 {
        self.plan().calls.get(call).copied().unwrap_or_default()
    }

    fn decide(&self, call: &'static str) -> Option<Fault> {
        let limit = self.limit;
        let mut plan = self.plan();
        *plan.calls.entry(call).or_default() += 1;
        let scripted = plan.scripts.get_mut(call).and_then(VecDeque::pop_front);
        let fault = match scripted {
            Some(fault) => fault,
            None => plan.always.get(call).copied().or_else(|| plan.draw(call, limit)),
        };
        if let Some(fault) = fault {
            *plan.struck.entry((call, fault)).or_default() += 1;
        }
        fault
    }

    async fn wait(&self, time: Duration) {
        self.clock.sleep_until(Timer::Test, self.clock.now().plus(time)).await;
    }

    async fn through<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = StoreResult<T>> + Send,
    ) -> StoreResult<T> {
        match self.decide(call) {
            None => work.await,
            Some(Fault::Unavailable) => Err(failed(call, StoreErrorKind::Unavailable)),
            Some(Fault::Busy) => Err(failed(call, StoreErrorKind::Busy)),
            Some(Fault::Corrupt) => Err(failed(call, StoreErrorKind::Corrupt)),
            Some(Fault::Hang(time)) => {
                self.wait(time).await;
                Err(failed(call, StoreErrorKind::Unavailable))
            }
            Some(Fault::Applied) => {
                work.await?;
                Err(failed(call, StoreErrorKind::Unavailable))
            }
            Some(Fault::AppliedHang(time)) => {
                work.await?;
                self.wait(time).await;
                Err(failed(call, StoreErrorKind::Unavailable))
            }
            Some(Fault::Slow(time)) => {
                self.wait(time).await;
                work.await
            }
        }
    }
}

impl TroublePlan {
    fn draw(&mut self, call: &str, limit: Duration) -> Option<Fault> {
        if !self.among.is_empty() && !self.among.contains(&call) {
            return None;
        }
        let odds = self.odds;
        if odds == Odds::default() {
            return None;
        }
        let mut number = self.dice.random_range(0..1000u32);
        let part = limit.mul_f64(self.dice.random_range(0.0..1.0));
        let slow = Duration::from_millis(u64::try_from(part.as_millis()).unwrap_or(u64::MAX));
        for (odds, fault) in [
            (odds.unavailable, Fault::Unavailable),
            (odds.busy, Fault::Busy),
            (odds.hang, Fault::Hang(limit)),
            (odds.applied, Fault::Applied),
            (odds.applied_hang, Fault::AppliedHang(limit)),
            (odds.slow, Fault::Slow(slow)),
        ] {
            match number.checked_sub(odds) {
                None => return Some(fault),
                Some(rest) => number = rest,
            }
        }
        None
    }
}

fn failed(doing: &'static str, kind: StoreErrorKind) -> StoreError {
    StoreError { kind, doing, source: None }
}

/// A store whose calls go wrong when its [`Trouble`] says so. It implements every port that the store under it does.
pub struct Erring<S: ?Sized> {
    store: Arc<S>,
    trouble: Trouble,
}

impl<S: ?Sized> Erring<S> {
    /// Lets calls of a store go wrong as `trouble` decides.
    pub fn new(store: Arc<S>, trouble: &Trouble) -> Self {
        Self { store, trouble: trouble.clone() }
    }
}

impl<S: ?Sized> Clone for Erring<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), trouble: self.trouble.clone() }
    }
}
