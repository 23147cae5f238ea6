//! Faults a test injects into the network.
//!
//! The methods of [`Faults`] apply to every linked device; those of [`Faults::for_device`] to one. A device's own
//! script is used up before the one for everybody, and each fault counts down as it strikes, so a script ends by
//! itself. [`Faults::clear`] takes back whatever has not struck yet.
//!
//! Faults strike linked devices only: a simulated phone is never dropped, refused or delayed. A delay for everybody
//! holds clients that are pairing back as well. A message stanza means
//! one of a chat, a repetition after a retry receipt included; messages between the devices of one account are spared.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Nacks that can be lined up for one script. A test needs a handful; when full, a further one is ignored.
const NACKS_MAX: usize = 1_000;

/// The faults still to strike. Reached through [`crate::Network::faults`].
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<FaultPlan>,
}

#[derive(Debug, Default)]
struct FaultPlan {
    everybody: FaultScript,
    devices: HashMap<(String, u16), FaultScript>,
    refusals: HashMap<String, LoginRefusal>,
    withheld_key_shares: u32,
    refused_recipients: HashMap<String, u16>,
    refused_groups: VecDeque<u16>,
    refused_members: HashMap<String, u16>,
    spoilt_keys: HashSet<(String, u16)>,
    ack_delay: Duration,
    media_delay: Duration,
    media_redirect: Option<String>,
    media_hosts: Option<Vec<String>>,
}

#[derive(Debug, Default)]
struct FaultScript {
    spared: u32,
    drop_before_accept: u32,
    drop_after_accept: u32,
    nacks: VecDeque<u16>,
    corrupt: u32,
    delay: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct LoginRefusal {
    reason: u16,
    left: u32,
}

/// What happens to a message stanza that has just arrived from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StanzaFate {
    /// It is processed as usual.
    Accept,
    /// The link is closed and the message was never seen.
    DropBefore,
    /// The message is accepted and relayed; the link is closed before its ack.
    DropAfter,
    /// It is refused with this code and not relayed.
    Nack(u16),
}

impl Faults {
    /// Closes the link when each of the next `n` message stanzas arrives, before it is processed: the message is lost
    /// and the sender has no ack.
    pub fn drop_before_accept(&self, n: u32) {
        self.change(|plan| plan.everybody.drop_before_accept = n);
    }

    /// Processes and relays each of the next `n` message stanzas, but closes the link instead of writing the ack: the
    /// message is delivered and the sender cannot know.
    pub fn drop_after_accept(&self, n: u32) {
        self.change(|plan| plan.everybody.drop_after_accept = n);
    }

    /// Refuses the next message stanza with this code in its ack. Called again, it lines up further refusals.
    pub fn nack_next(&self, code: u16) {
        self.change(|plan| plan.everybody.nack(code));
    }

    /// Spares the next `n` message stanzas: whatever else is lined up strikes after them.
    pub fn spare_next(&self, n: u32) {
        self.change(|plan| plan.everybody.spared = n);
    }

    /// Refuses every message of linked devices to this number with this code, until [`Faults::accept_to`].
    pub fn nack_to(&self, phone: &str, code: u16) {
        self.change(|plan| plan.refused_recipients.insert(phone.to_owned(), code));
    }

    /// Messages to this number are accepted again.
    pub fn accept_to(&self, phone: &str) {
        self.change(|plan| plan.refused_recipients.remove(phone));
    }

    /// Refuses the next change of a group by anybody with this code. Called again, it lines up further refusals.
    pub fn refuse_group(&self, code: u16) {
        self.change(|plan| {
            if plan.refused_groups.len() < NACKS_MAX {
                plan.refused_groups.push_back(code);
            }
        });
    }

    /// Refuses whatever is done in groups with this person, with this code for them alone.
    pub fn refuse_member(&self, phone: &str, code: u16) {
        self.change(|plan| plan.refused_members.insert(phone.to_owned(), code));
    }

    /// Hands out keys of a device that fit no signature, so that nobody can open a session with it.
    pub fn spoil_keys(&self, phone: &str, device: u16) {
        self.change(|plan| plan.spoilt_keys.insert((phone.to_owned(), device)));
    }

    /// Holds every ack of a message back for this long, receipts not. Zero ends it.
    pub fn delay_acks(&self, delay: Duration) {
        self.change(|plan| plan.ack_delay = delay);
    }

    /// Lets the media host take this long before it answers. Zero ends it.
    pub fn delay_media(&self, delay: Duration) {
        self.change(|plan| plan.media_delay = delay);
    }

    /// Lets the media host answer every download with a redirect to this address. `None` ends it.
    pub fn redirect_media(&self, to: Option<&str>) {
        self.change(|plan| plan.media_redirect = to.map(str::to_owned));
    }

    /// Names these hosts for files instead of the one there is.
    pub fn name_media_hosts(&self, hosts: &[&str]) {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.change(|plan| plan.media_hosts = Some(hosts));
    }

    /// Spoils the next `n` ciphertexts on their way to a linked device, in the copy the network keeps: redelivery
    /// brings the same spoilt bytes.
    pub fn corrupt_next(&self, n: u32) {
        self.change(|plan| plan.everybody.corrupt = n);
    }

    /// Holds every stanza to a device back for this long, keeping their order. Zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.change(|plan| plan.everybody.delay = Some(delay));
    }

    /// Answers the next `n` logins of any device of `phone` with `<failure reason=…>`.
    pub fn refuse_login(&self, phone: &str, reason: u16, n: u32) {
        let refusal = LoginRefusal { reason, left: n };
        self.change(|plan| {
            plan.refusals.insert(phone.to_owned(), refusal);
        });
    }

    /// The phones of the next `n` newly paired devices do not share their app-state key.
    pub fn withhold_key_share(&self, n: u32) {
        self.change(|plan| plan.withheld_key_shares = n);
    }

    /// The same faults for one linked device.
    pub fn for_device(&self, phone: &str, device: u16) -> DeviceFaults<'_> {
        DeviceFaults { faults: self, key: (phone.to_owned(), device) }
    }

    /// Takes back every fault that has not struck yet.
    pub fn clear(&self) {
        self.change(|plan| *plan = FaultPlan::default());
    }

    fn change<T>(&self, change: impl FnOnce(&mut FaultPlan) -> T) -> T {
        change(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn fate_of_message(&self, phone: &str, device: u16) -> StanzaFate {
        self.change(|plan| {
            let own = plan.devices.get_mut(&(phone.to_owned(), device));
            own.and_then(FaultScript::next_fate)
                .or_else(|| plan.everybody.next_fate())
                .unwrap_or(StanzaFate::Accept)
        })
    }

    pub(crate) fn refusal_to(&self, phone: &str) -> Option<u16> {
        self.change(|plan| plan.refused_recipients.get(phone).copied())
    }

    pub(crate) fn refusal_of_group(&self) -> Option<u16> {
        self.change(|plan| plan.refused_groups.pop_front())
    }

    pub(crate) fn refusal_of_member(&self, phone: &str) -> Option<u16> {
        self.change(|plan| plan.refused_members.get(phone).copied())
    }

    pub(crate) fn spoils_keys(&self, phone: &str, device: u16) -> bool {
        self.change(|plan| plan.spoilt_keys.contains(&(phone.to_owned(), device)))
    }

    pub(crate) fn ack_delay(&self) -> Duration {
        self.change(|plan| plan.ack_delay)
    }

    pub(crate) fn media_delay(&self) -> Duration {
        self.change(|plan| plan.media_delay)
    }

    pub(crate) fn media_redirect(&self) -> Option<String> {
        self.change(|plan| plan.media_redirect.clone())
    }

    pub(crate) fn media_hosts(&self) -> Option<Vec<String>> {
        self.change(|plan| plan.media_hosts.clone())
    }

    pub(crate) fn spoils(&self, phone: &str, device: u16) -> bool {
        self.change(|plan| {
            let own = plan.devices.get_mut(&(phone.to_owned(), device));
            own.is_some_and(|script| take_one(&mut script.corrupt))
                || take_one(&mut plan.everybody.corrupt)
        })
    }

    pub(crate) fn delay_of(&self, phone: &str, device: u16) -> Duration {
        self.change(|plan| {
            let own = plan.devices.get(&(phone.to_owned(), device));
            own.and_then(|script| script.delay).or(plan.everybody.delay).unwrap_or_default()
        })
    }

    pub(crate) fn delay_of_everybody(&self) -> Duration {
        self.change(|plan| plan.everybody.delay.unwrap_or_default())
    }

    pub(crate) fn refusal_of_login(&self, phone: &str) -> Option<u16> {
        self.change(|plan| {
            let refusal = plan.refusals.get_mut(phone)?;
            take_one(&mut refusal.left).then_some(refusal.reason)
        })
    }

    pub(crate) fn withholds_key_share(&self) -> bool {
        self.change(|plan| take_one(&mut plan.withheld_key_shares))
    }
}

/// Faults for one device, made by [`Faults::for_device`]; the methods mean what they mean there.
pub struct DeviceFaults<'f> {
    faults: &'f Faults,
    key: (String, u16),
}

impl DeviceFaults<'_> {
    /// As [`Faults::drop_before_accept`], for this device only.
    pub fn drop_before_accept(&self, n: u32) {
        self.change(|script| script.drop_before_accept = n);
    }

    /// As [`Faults::drop_after_accept`], for this device only.
    pub fn drop_after_accept(&self, n: u32) {
        self.change(|script| script.drop_after_accept = n);
    }

    /// As [`Faults::spare_next`], for this device only.
    pub fn spare_next(&self, n: u32) {
        self.change(|script| script.spared = n);
    }

    /// As [`Faults::nack_next`], for this device only.
    pub fn nack_next(&self, code: u16) {
        self.change(|script| script.nack(code));
    }

    /// As [`Faults::corrupt_next`], for this device only.
    pub fn corrupt_next(&self, n: u32) {
        self.change(|script| script.corrupt = n);
    }

    /// See [`Faults::delay`]. A delay of zero shields this device from the one for everybody.
    pub fn delay(&self, delay: Duration) {
        self.change(|script| script.delay = Some(delay));
    }

    fn change(&self, change: impl FnOnce(&mut FaultScript)) {
        self.faults.change(|plan| change(plan.devices.entry(self.key.clone()).or_default()));
    }
}

impl FaultScript {
    fn nack(&mut self, code: u16) {
        if self.nacks.len() < NACKS_MAX {
            self.nacks.push_back(code);
        }
    }

    fn next_fate(&mut self) -> Option<StanzaFate> {
        if take_one(&mut self.spared) {
            return Some(StanzaFate::Accept);
        }
        if take_one(&mut self.drop_before_accept) {
            return Some(StanzaFate::DropBefore);
        }
        if take_one(&mut self.drop_after_accept) {
            return Some(StanzaFate::DropAfter);
        }
        self.nacks.pop_front().map(StanzaFate::Nack)
    }
}

fn take_one(left: &mut u32) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    true
}
