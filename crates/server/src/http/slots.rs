//! Who has a place: so many connections in all, and so many of one address.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::{
    HttpLimits,
    pulse::{Idleness, Pulse},
};

/// Gives out places. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    seats: Arc<Mutex<Seats>>,
    connections: usize,
    per_address: usize,
    proxies: Arc<[IpNet]>,
}

#[derive(Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Seat>,
    counts: HashMap<IpAddr, usize>,
}

struct Seat {
    /// None: not counted per address.
    address: Option<IpAddr>,
    pulse: Arc<Pulse>,
    cut: CancellationToken,
}

/// A place, until it is dropped or taken away.
pub struct Place {
    id: u64,
    places: Places,
    pulse: Arc<Pulse>,
    cut: CancellationToken,
}

impl Places {
    pub fn new(limits: &HttpLimits) -> Self {
        Self {
            seats: Arc::default(),
            connections: limits.connections,
            per_address: limits.per_address,
            proxies: limits.proxies.clone().into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a client. When there is none, the connection that has waited longest for a request loses its own: of
    /// the same address, if that has too many. None when all of them work.
    pub fn take(&self, peer: IpAddr) -> Option<Place> {
        let address = self.counted(peer);
        let mut seats = self.lock();
        if let Some(address) = address
            && seats.counts.get(&address).is_some_and(|count| *count >= self.per_address)
        {
            seats.free(Some(address))?;
        }
        if seats.taken.len() >= self.connections {
            seats.free(None)?;
        }
        let (pulse, cut) = (Arc::new(Pulse::new()), CancellationToken::new());
        let id = seats.next;
        seats.next += 1;
        seats.taken.insert(id, Seat { address, pulse: pulse.clone(), cut: cut.clone() });
        if let Some(address) = address {
            *seats.counts.entry(address).or_default() += 1;
        }
        drop(seats);
        Some(Place { id, places: self.clone(), pulse, cut })
    }

    /// Ends the connection that is needed least.
    pub fn free_one(&self) {
        self.lock().free(None);
    }

    fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if self.proxies.iter().any(|net| net.contains(&peer)) {
            return None;
        }
        Some(match peer {
            IpAddr::V4(_) => peer,
            // Whoever has one address of such a network usually has all of them.
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
            }
        })
    }
}

impl Seats {
    /// Takes a place away; none when no connection of this address, or none at all, only waits.
    fn free(&mut self, of: Option<IpAddr>) -> Option<()> {
        let idle = |seat: &Seat| -> Option<Idleness> {
            if of.is_some() && seat.address != of { None } else { seat.pulse.idleness() }
        };
        let (_, id) = self.taken.iter().filter_map(|(id, seat)| Some((idle(seat)?, *id))).min()?;
        self.remove(id)?.cut.cancel();
        Some(())
    }

    fn remove(&mut self, id: u64) -> Option<Seat> {
        let seat = self.taken.remove(&id)?;
        if let Some(address) = seat.address
            && let Some(count) = self.counts.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
        Some(seat)
    }
}

impl Place {
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Completes when another connection needs the place.
    pub async fn taken_away(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, per_address: usize) -> Places {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Places::new(&HttpLimits { connections, per_address, proxies, ..HttpLimits::default() })
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn lost(place: &Place) -> bool {
        place.cut.is_cancelled()
    }

    #[tokio::test]
    async fn who_waits_longest_gives_way_to_who_comes() {
        let places = places(3, 3);
        let (a, b) = (places.take(at("192.0.2.1")).unwrap(), places.take(at("192.0.2.2")).unwrap());
        // One that has been served is worth more than one that never said a word.
        drop(a.pulse().work());
        let c = places.take(at("192.0.2.3")).unwrap();
        let d = places.take(at("192.0.2.4")).unwrap();
        assert_eq!([&a, &b, &c, &d].map(lost), [false, true, false, false]);
        let working: Vec<_> = [&a, &c, &d].iter().map(|place| place.pulse().work()).collect();
        assert!(places.take(at("192.0.2.5")).is_none(), "all work");
        drop(working);
        drop(d);
        assert!(places.take(at("192.0.2.5")).is_some() && !lost(&a) && !lost(&c));
    }

    #[tokio::test]
    async fn an_address_takes_places_of_its_own_alone() {
        let places = places(10, 2);
        let other = places.take(at("192.0.2.9")).unwrap();
        let (a, b) = (places.take(at("192.0.2.1")).unwrap(), places.take(at("192.0.2.1")).unwrap());
        let c = places.take(at("::ffff:192.0.2.1")).unwrap();
        assert_eq!([&other, &a, &b, &c].map(lost), [false, true, false, false]);
        let _working = [b.pulse().work(), c.pulse().work()];
        assert!(places.take(at("192.0.2.1")).is_none());
        // A network of IPv6 is one address; a proxy is none.
        let six: Vec<_> = (0..3).map(|n| places.take(at(&format!("2001:db8::{n}")))).collect();
        assert_eq!(six.iter().flatten().filter(|place| lost(place)).count(), 1);
        let proxied: Vec<_> = (0..4).filter_map(|_| places.take(at("10.1.2.3"))).collect();
        assert_eq!((proxied.len(), proxied.iter().any(lost)), (4, false));
    }

    #[tokio::test]
    async fn what_is_thrown_away_gives_way_too() {
        let places = places(1, 1);
        let one = places.take(at("192.0.2.1")).unwrap();
        let _work = one.pulse().work();
        assert!(places.take(at("192.0.2.2")).is_none());
        one.pulse().draining().store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(places.take(at("192.0.2.2")).is_some() && lost(&one));
    }
}
