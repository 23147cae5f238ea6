//! The search for messages: what may be asked, and the index of what was there before it.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Timer,
    port::{Page, SearchStore, StoreError, StoreResult},
    search::{SearchMatch, SearchPage, SearchQuery},
};

use crate::{Policy, Ports, Supervisor};

/// Older messages that are indexed in one job.
const PORTION: u32 = 500;
/// Between two portions, so that everything else goes first.
const PAUSE: Duration = Duration::from_millis(100);
/// Until the next try when the ledger fails.
const RETRY: Duration = Duration::from_secs(5);

/// What of the search is on.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// Messages are indexed, and may be searched.
    pub enabled: bool,
    /// The search for parts of words too, which has an index of its own.
    pub contains: bool,
    /// Most hits of one page.
    pub limit_max: u32,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { enabled: true, contains: false, limit_max: 100 }
    }
}

/// Why nothing was looked for.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The whole search is off.
    #[error("the search is switched off: SEARCH_ENABLED=true switches it on")]
    Off,
    /// Only words can be looked for.
    #[error("match=contains needs SEARCH_CONTAINS_ENABLED=true, which builds an index of its own")]
    ContainsOff,
    /// The ledger could not be asked.
    #[error("the ledger failed at a search")]
    Store(#[source] StoreError),
}

/// What was found, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    /// The page that was asked for.
    pub page: SearchPage,
    /// The time from the question to the answer.
    pub took: Duration,
}

/// A handle to the search. Cheap to clone.
#[derive(Clone)]
pub struct Search {
    store: Arc<dyn SearchStore>,
    clock: Arc<dyn Clock>,
    options: SearchOptions,
}

impl Search {
    pub(crate) fn build(options: SearchOptions, ports: &Ports) -> Self {
        Self { store: ports.store.clone(), clock: ports.clock.clone(), options }
    }

    /// Switches the indexes as the options say, and fills them with what is older, in small portions.
    pub(crate) fn start(&self, supervisor: &Supervisor) {
        let (this, stopping) = (self.clone(), supervisor.stopping());
        supervisor.spawn("search/index", Policy::Once, async move {
            let mut switched = false;
            while !stopping.is_cancelled() {
                let wait = match this.step(&mut switched).await {
                    Ok(true) => PAUSE,
                    Ok(false) => return,
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "older messages wait to be indexed for the search");
                        RETRY
                    }
                };
                tokio::select! {
                    () = this.clock.sleep_until(Timer::SearchIndex, this.clock.now().plus(wait)) => {}
                    () = stopping.cancelled() => {}
                }
            }
        });
    }

    /// `false` when nothing is left to do.
    async fn step(&self, switched: &mut bool) -> StoreResult<bool> {
        let on = self.options.enabled;
        let indexes =
            [(SearchMatch::Word, on), (SearchMatch::Contains, on && self.options.contains)];
        if !*switched {
            for (how, on) in indexes {
                self.store.switch_search(how, on).await?;
            }
            *switched = true;
        }
        let mut more = false;
        for (how, _) in indexes.into_iter().filter(|(_, on)| *on) {
            more |= self.store.index_older(how, PORTION).await?;
        }
        Ok(more)
    }

    /// Most hits of one page.
    pub fn limit_max(&self) -> u32 {
        self.options.limit_max
    }

    /// Looks for messages, newest first.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn find(&self, query: &SearchQuery, page: Page) -> Result<SearchAnswer, SearchError> {
        if !self.options.enabled {
            return Err(SearchError::Off);
        }
        if query.text.how() == SearchMatch::Contains && !self.options.contains {
            return Err(SearchError::ContainsOff);
        }
        let began = self.clock.now();
        let page = self.store.search_messages(query, page).await.map_err(SearchError::Store)?;
        Ok(SearchAnswer { page, took: self.clock.now().since(began) })
    }
}
