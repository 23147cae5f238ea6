//! Who has a slot: so many connections in all, and so many of one address.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::{
    HttpLimits,
    pulse::{ConnectionPulse, Idleness},
};

/// Gives out slots. Cheap to clone.
#[derive(Clone)]
pub struct ClientSlots {
    table: Arc<Mutex<SlotTable>>,
    connections: usize,
    per_address: usize,
    proxies: Arc<[IpNet]>,
}

#[derive(Default)]
struct SlotTable {
    next: u64,
    taken: BTreeMap<u64, HeldSlot>,
    counts: HashMap<IpAddr, usize>,
}

struct HeldSlot {
    /// None: not counted per address.
    address: Option<IpAddr>,
    pulse: Arc<ConnectionPulse>,
    cut: CancellationToken,
}

/// A slot, until it is dropped or taken away.
pub struct ClientSlot {
    id: u64,
    slots: ClientSlots,
    pulse: Arc<ConnectionPulse>,
    cut: CancellationToken,
}

impl ClientSlots {
    pub fn new(limits: &HttpLimits) -> Self {
        Self {
            table: Arc::default(),
            connections: limits.connections,
            per_address: limits.per_address,
            proxies: limits.proxies.clone().into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a client. When there is none, the connection that has waited longest for a request loses its own: of
    /// the same address, if that has too many. None when all of them work.
    pub fn take(&self, peer: IpAddr) -> Option<ClientSlot> {
        let address = self.counted(peer);
        let mut table = self.lock();
        if let Some(address) = address
            && table.counts.get(&address).is_some_and(|count| *count >= self.per_address)
        {
            table.free(Some(address))?;
        }
        if table.taken.len() >= self.connections {
            table.free(None)?;
        }
        let (pulse, cut) = (Arc::new(ConnectionPulse::new()), CancellationToken::new());
        let id = table.next;
        table.next += 1;
        table.taken.insert(id, HeldSlot { address, pulse: pulse.clone(), cut: cut.clone() });
        if let Some(address) = address {
            *table.counts.entry(address).or_default() += 1;
        }
        drop(table);
        Some(ClientSlot { id, slots: self.clone(), pulse, cut })
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

impl SlotTable {
    /// Takes a slot away; none when no connection of this address, or none at all, only waits.
    fn free(&mut self, of: Option<IpAddr>) -> Option<()> {
        let idle = |held: &HeldSlot| -> Option<Idleness> {
            if of.is_some() && held.address != of { None } else { held.pulse.idleness() }
        };
        let (_, id) = self.taken.iter().filter_map(|(id, held)| Some((idle(held)?, *id))).min()?;
        self.remove(id)?.cut.cancel();
        Some(())
    }

    fn remove(&mut self, id: u64) -> Option<HeldSlot> {
        let held = self.taken.remove(&id)?;
        if let Some(address) = held.address
            && let Some(count) = self.counts.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
        Some(held)
    }
}

impl ClientSlot {
    pub fn pulse(&self) -> &Arc<ConnectionPulse> {
        &self.pulse
    }

    /// Completes when another connection needs the slot.
    pub async fn taken_away(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        self.slots.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(connections: usize, per_address: usize) -> ClientSlots {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        ClientSlots::new(&HttpLimits { connections, per_address, proxies, ..HttpLimits::default() })
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn lost(slot: &ClientSlot) -> bool {
        slot.cut.is_cancelled()
    }

    #[tokio::test]
    async fn who_waits_longest_gives_way_to_who_comes() {
        let slots = slots(3, 3);
        let (a, b) = (slots.take(at("192.0.2.1")).unwrap(), slots.take(at("192.0.2.2")).unwrap());
        // One that has been served is worth more than one that never said a word.
        drop(a.pulse().work());
        let c = slots.take(at("192.0.2.3")).unwrap();
        let d = slots.take(at("192.0.2.4")).unwrap();
        assert_eq!([&a, &b, &c, &d].map(lost), [false, true, false, false]);
        let working: Vec<_> = [&a, &c, &d].iter().map(|slot| slot.pulse().work()).collect();
        assert!(slots.take(at("192.0.2.5")).is_none(), "all work");
        drop(working);
        drop(d);
        assert!(slots.take(at("192.0.2.5")).is_some() && !lost(&a) && !lost(&c));
    }

    #[tokio::test]
    async fn an_address_only_takes_slots_of_its_own() {
        let slots = slots(10, 2);
        let other = slots.take(at("192.0.2.9")).unwrap();
        let (a, b) = (slots.take(at("192.0.2.1")).unwrap(), slots.take(at("192.0.2.1")).unwrap());
        let c = slots.take(at("::ffff:192.0.2.1")).unwrap();
        assert_eq!([&other, &a, &b, &c].map(lost), [false, true, false, false]);
        let _working = [b.pulse().work(), c.pulse().work()];
        assert!(slots.take(at("192.0.2.1")).is_none());
        // A network of IPv6 is one address; a proxy is none.
        let six: Vec<_> = (0..3).map(|n| slots.take(at(&format!("2001:db8::{n}")))).collect();
        assert_eq!(six.iter().flatten().filter(|slot| lost(slot)).count(), 1);
        let proxied: Vec<_> = (0..4).filter_map(|_| slots.take(at("10.1.2.3"))).collect();
        assert_eq!((proxied.len(), proxied.iter().any(lost)), (4, false));
    }

    #[tokio::test]
    async fn what_is_thrown_away_gives_way_too() {
        let slots = slots(1, 1);
        let one = slots.take(at("192.0.2.1")).unwrap();
        let _work = one.pulse().work();
        assert!(slots.take(at("192.0.2.2")).is_none());
        one.pulse().draining().store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(slots.take(at("192.0.2.2")).is_some() && lost(&one));
    }
}
