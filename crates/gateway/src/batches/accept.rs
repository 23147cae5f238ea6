//! Taking a batch in, and looking ahead at one.

use std::time::Duration;

use domain::{
    EventId, SessionId, Timestamp, WaMessageId,
    batch::{
        self, Batch, BatchId, BatchOptions, Forecast, ForecastInput, ForecastItem, ItemContent,
        ItemDraft, ItemError, NewItem, Others, Rendered, Said, Source,
    },
    port::{Created, NewBatch},
};

use super::{BatchError, Batches};
use crate::ledger::Committed;

/// How long ago a batch may have been meant to begin.
const LATE_MAX: Duration = Duration::from_secs(60);

/// A batch as asked for. What is wrong with its items was told before ([`batch::problems`]).
#[derive(Debug, Clone, PartialEq)]
pub struct BulkRequest {
    /// Its name; one is made when there is none.
    pub id: Option<BatchId>,
    /// The messages of the batch, in order.
    pub items: Vec<ItemDraft>,
    /// How it is sent.
    pub options: BatchOptions,
    /// Of a request that may come again and is taken in once, as the caller sent it.
    pub key: Option<String>,
}

/// A batch that was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The batch as it is stored.
    pub batch: Batch,
    /// Items that repeat another one: theirs and the other's index. They are not sent.
    pub duplicates: Vec<(u32, u32)>,
    /// Items that cannot be sent, known before anything was.
    pub failed: Vec<(u32, ItemError)>,
    /// When it would end; not told again when the same request comes again.
    pub ends_at: Option<Timestamp>,
    /// Whether the same request came before: nothing was stored.
    pub replayed: bool,
}

/// What would become of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// Items that would go out.
    pub total: u32,
    /// Items that repeat another one: theirs and the other's index.
    pub duplicates: Vec<(u32, u32)>,
    /// Items that cannot be sent.
    pub failed: Vec<(u32, ItemError)>,
    /// When it would go out, and what it meets.
    pub forecast: Forecast,
}

impl Batches {
    /// Stores a batch; its runner begins with it.
    ///
    /// # Errors
    /// [`BatchError`].
    pub async fn create(
        &self,
        session: SessionId,
        request: BulkRequest,
    ) -> Result<Accepted, BatchError> {
        if self.shared.supervisor.stopping().is_cancelled() {
            return Err(BatchError::ShuttingDown);
        }
        let BulkRequest { id, items, mut options, key } = request;
        let id = match &key {
            Some(key) => Some(id.unwrap_or_else(|| BatchId::of_key(key))),
            None => id,
        };
        options.fingerprint = key.map(|_| batch::request_fingerprint(&items, &options));
        if let Some(known) = self.known(session, id.as_ref(), &items, &options).await? {
            return Ok(known);
        }
        self.check_begin(&options)?;
        self.check_session(session).await?;
        let again = options.fingerprint.is_some().then(|| (items.clone(), options.clone()));
        let (rendered, duplicates) = batch::expand(items);
        let failed = failed(&rendered);
        // Before the items: what is being stored counts among the others otherwise.
        let ahead = self.ahead(session, &options, &rendered).await?;
        let ports = &self.shared.ports;
        let mut stored = Vec::with_capacity(rendered.len());
        for item in rendered {
            stored.push(self.new_item(&options, item).await?);
        }
        let new = NewBatch {
            session,
            id: id.clone().unwrap_or_else(|| BatchId::new(&*ports.entropy)),
            options,
            items: stored,
            at: ports.clock.now(),
            event: EventId::new(&*ports.entropy),
        };
        let most = self.shared.options.unfinished_max;
        let batch = match ports
            .store
            .create_batch(new, most)
            .await
            .map_err(|error| unstored(session, error))?
        {
            Created::Stored(batch) => *batch,
            Created::Taken => {
                // The same request, a moment before.
                let Some((items, options)) = again else { return Err(BatchError::Taken) };
                let known = self.known(session, id.as_ref(), &items, &options).await?;
                return known.ok_or(BatchError::Taken);
            }
            Created::TooMany => return Err(BatchError::TooMany(most)),
        };
        if batch.state.is_over() {
            self.shared.ledger.announce(Committed::Deliveries);
        }
        self.shared.wake(session);
        Ok(Accepted { batch, duplicates, failed, ends_at: ahead.ends_at, replayed: false })
    }

    /// Refuses a beginning in the past; a moment of it is on the way here.
    fn check_begin(&self, options: &BatchOptions) -> Result<(), BatchError> {
        let now = self.shared.ports.clock.now();
        match options.scheduled_at {
            Some(at) if at.plus(LATE_MAX) < now => Err(BatchError::Past { at, now }),
            _ => Ok(()),
        }
    }

    /// The answer to a request with a key that came before.
    async fn known(
        &self,
        session: SessionId,
        id: Option<&BatchId>,
        items: &[ItemDraft],
        options: &BatchOptions,
    ) -> Result<Option<Accepted>, BatchError> {
        let (Some(id), Some(fingerprint)) = (id, &options.fingerprint) else { return Ok(None) };
        let Some(batch) = self.get(session, id).await.map_err(BatchError::Store)? else {
            return Ok(None);
        };
        match &batch.options.fingerprint {
            None => Err(BatchError::Taken),
            Some(first) if first != fingerprint => Err(BatchError::KeyReused),
            Some(_) => {
                let (rendered, duplicates) = batch::expand(items.to_vec());
                let failed = failed(&rendered);
                Ok(Some(Accepted { batch, duplicates, failed, ends_at: None, replayed: true }))
            }
        }
    }

    /// Says what would become of a batch; nothing is stored.
    ///
    /// # Errors
    /// [`BatchError::SessionNotFound`], [`BatchError::Store`].
    pub async fn foresee(
        &self,
        session: SessionId,
        items: Vec<ItemDraft>,
        options: &BatchOptions,
    ) -> Result<Foreseen, BatchError> {
        self.check_begin(options)?;
        let (rendered, duplicates) = batch::expand(items);
        let failed = failed(&rendered);
        let total = u32::try_from(rendered.len() - failed.len()).unwrap_or(u32::MAX);
        let forecast = self.ahead(session, options, &rendered).await?;
        Ok(Foreseen { total, duplicates, failed, forecast })
    }

    async fn check_session(&self, session: SessionId) -> Result<(), BatchError> {
        match self.shared.sessions.get(session).await.map_err(BatchError::Store)? {
            None => Err(BatchError::SessionNotFound(session)),
            // One that comes up soon sends it then.
            Some(view) if view.engine_loaded || view.session.is_coming_up() => Ok(()),
            Some(_) => Err(BatchError::NotStarted),
        }
    }

    async fn ahead(
        &self,
        session: SessionId,
        options: &BatchOptions,
        rendered: &[Rendered],
    ) -> Result<Forecast, BatchError> {
        let ports = &self.shared.ports;
        let record = ports.store.session(session).await.map_err(BatchError::Store)?;
        let record = record.ok_or(BatchError::SessionNotFound(session))?;
        let going: Vec<&Rendered> = rendered.iter().filter(|item| item.said.is_ok()).collect();
        let chats: Vec<_> = going.iter().map(|item| item.chat.clone()).collect();
        let facts = ports.store.bulk_facts(session, &chats).await.map_err(BatchError::Store)?;
        let unfinished =
            ports.store.unfinished_batches(session).await.map_err(BatchError::Store)?;
        let now = ports.clock.now();
        let others = unfinished.iter().filter(|batch| !batch.is_paused()).map(|batch| Others {
            left: batch.progress.pending,
            gap: batch.options.mean_gap(),
            from: batch.options.scheduled_at.unwrap_or(now),
        });
        let zone = |chat| options.quiet_hours.as_ref().and_then(|quiet| quiet.own_zone(chat));
        let items: Vec<ForecastItem> = going
            .iter()
            .zip(&facts.cold)
            .map(|(item, cold)| ForecastItem {
                chat: item.chat.clone(),
                cold: *cold,
                zone: zone(&item.chat).map(str::to_owned),
            })
            .collect();
        Ok(batch::forecast(ForecastInput {
            now,
            pace: facts.pace.unwrap_or(now),
            options,
            items: &items,
            others: others.collect(),
            rules: &self.shared.rules,
            pacing: facts.pacing,
            session_created_at: record.created_at,
        }))
    }

    /// Gives an item its message id and brings its bytes into the media store.
    async fn new_item(
        &self,
        options: &BatchOptions,
        item: Rendered,
    ) -> Result<NewItem, BatchError> {
        let Rendered { index, chat, said, mentions } = item;
        let content = match said {
            Err(error) => Err(error),
            Ok(Said::Text(text)) => Ok(Said::Text(text)),
            Ok(Said::File { kind, source, mimetype, filename, caption }) => {
                let source = match source {
                    Source::Url(url) => Source::Url(url),
                    Source::Bytes(base64) => {
                        let kept = self.shared.media.keep_base64(&base64).await;
                        let unfit = |source| BatchError::Media { index, source };
                        let kept = kept.map_err(unfit)?;
                        let checked = self.shared.media.check(kind, &kept, mimetype.as_deref());
                        checked.await.map_err(unfit)?;
                        Source::Bytes(kept.into())
                    }
                };
                Ok(Said::File { kind, source, mimetype, filename, caption })
            }
        };
        let zone = options.quiet_hours.as_ref().and_then(|quiet| quiet.own_zone(&chat));
        Ok(NewItem {
            index,
            wa_id: WaMessageId::new(&*self.shared.ports.entropy),
            zone: zone.map(str::to_owned),
            chat,
            content: content.map(|said| ItemContent { said, mentions }),
        })
    }
}

fn failed(rendered: &[Rendered]) -> Vec<(u32, ItemError)> {
    let errors = rendered.iter().filter_map(|item| Some((item.index, item.said.clone().err()?)));
    errors.collect()
}

fn unstored(session: SessionId, error: domain::port::StoreError) -> BatchError {
    match error.kind {
        domain::port::StoreErrorKind::Gone => BatchError::SessionNotFound(session),
        _ => BatchError::Store(error),
    }
}
