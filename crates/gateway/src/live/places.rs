//! Places of live readers: so many in all, and few enough of one key and of one address that others find one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use domain::ApiKeyId;

use super::{LiveError, LiveOptions};

/// Who reads, for the limits per key and address.
#[derive(Debug, Clone, Copy)]
pub struct Who {
    /// The key that the reader came with.
    pub key: ApiKeyId,
    /// From where, if that is known.
    pub address: Option<IpAddr>,
}

/// Gives places out. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct ReaderPlaces(Arc<Mutex<TakenPlaces>>);

#[derive(Default)]
struct TakenPlaces {
    all: usize,
    keys: HashMap<ApiKeyId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// A place, until it is dropped.
pub(super) struct ReaderPlace {
    places: ReaderPlaces,
    who: Who,
}

impl ReaderPlaces {
    fn with<T>(&self, change: impl FnOnce(&mut TakenPlaces) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn taken(&self) -> usize {
        self.with(|taken| taken.all)
    }

    pub(super) fn take(&self, who: Who, options: &LiveOptions) -> Result<ReaderPlace, LiveError> {
        self.with(|taken| {
            if taken.all >= options.clients_max {
                return Err(LiveError::Full(options.clients_max));
            }
            let of_key = taken.keys.get(&who.key).copied().unwrap_or_default();
            if of_key >= options.clients_per_key {
                return Err(LiveError::KeyFull(options.clients_per_key));
            }
            let at_address = who.address.and_then(|at| taken.addresses.get(&at).copied());
            if at_address.unwrap_or_default() >= options.clients_per_address {
                return Err(LiveError::AddressFull(options.clients_per_address));
            }
            taken.all += 1;
            *taken.keys.entry(who.key).or_default() += 1;
            if let Some(address) = who.address {
                *taken.addresses.entry(address).or_default() += 1;
            }
            Ok(ReaderPlace { places: self.clone(), who })
        })
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for ReaderPlace {
    fn drop(&mut self) {
        let who = self.who;
        self.places.with(|taken| {
            taken.all -= 1;
            less(&mut taken.keys, &who.key);
            if let Some(address) = &who.address {
                less(&mut taken.addresses, address);
            }
        });
    }
}
