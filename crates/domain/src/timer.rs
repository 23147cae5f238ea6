//! What this process sleeps for. The real clock does not care; a test waits for a timer by its name, and lets it ring.

/// The name of a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The next write of when sessions were last heard of.
    ActivityFlush,
    /// How long an automation rule's answer holds its place.
    AutomationAnswer,
    /// The next word about messages that automation rules did not look at.
    AutomationTell,
    /// The next look for approvals that are to go out, or waited too long.
    Approvals,
    /// How long a batch lets sends of people go first.
    BatchYield,
    /// The next look whether another process paused all sends.
    BrakeSweep,
    /// The next item of a batch, or the next look at the session's batches.
    BatchRunner,
    /// The next look for sessions with batches.
    BatchSweep,
    /// How long a change of a message waits for the answer of WhatsApp's server.
    ChangeAnswer,
    /// The next try of a write that found the ledger busy.
    CommitRetry,
    /// The end of a bucket in the record of delivery rates.
    DeliveryRates,
    /// The next look for lanes that are due.
    Dispatch,
    /// The next look for files to download.
    Downloads,
    /// The next look for changes whose message never came.
    HeldChanges,
    /// How long a hook's handler may take.
    HookAnswer,
    /// The next write of how often API keys were used.
    KeyUseFlush,
    /// How long WhatsApp may take to say where a picture is.
    Picture,
    /// How long a plugin may take to answer a call, with waiting for its process.
    PluginAnswer,
    /// The next look whether the file of a message is there for a plugin.
    PluginFile,
    /// The next look for calls of providers.
    PluginIngress,
    /// How long what a plugin asked for may take.
    PluginRequest,
    /// The next start of a plugin's process that has ended.
    PluginRestart,
    /// The next look whether another process changed a plugin.
    PluginSweep,
    /// The renewal of a lane's lease.
    LaneRenewal,
    /// How long a change that got no answer may still get one.
    LateChange,
    /// How long the renewal of a session's lease may take.
    LeaseAnswer,
    /// How long a session that ends may hold its lease.
    LeaseRelease,
    /// The renewal of a session's lease.
    LeaseRenewal,
    /// The next look whether the ledger takes results of deliveries again.
    LedgerLook,
    /// How long a reader of live events waits for one.
    LiveReader,
    /// The next read of the log for live events, whatever was announced.
    LiveSweep,
    /// How long WhatsApp may take to say who has a number.
    Lookup,
    /// The next time that this process says where it is asked.
    PeerAnnouncement,
    /// The next look at the log for deliveries that handlers of this process hear of.
    QueuedLog,
    /// How long a session waits for what it says to be stored before it counts as late.
    RecordAnswer,
    /// How long the end of a session waits for what it said to be stored.
    RecordLimit,
    /// The next try to store what a session says.
    RecordRetry,
    /// The next look at sends whose outcome is not known.
    Reconcile,
    /// The next try of a session to connect.
    Reconnect,
    /// The next try to record the result of a delivery.
    ResultRetry,
    /// The next round of deleting what is kept long enough.
    Retention,
    /// The next look for messages that are not in the search's index yet.
    SearchIndex,
    /// How long a send waits for the answer of WhatsApp's server.
    SendAnswer,
    /// How long a send waits for a connection that lets it through.
    SendGate,
    /// How long the engine may take to write a frame.
    SendWrite,
    /// The next try to start a session after a panic.
    SessionRestart,
    /// The next look whether the file of a status is there for who asked.
    StatusFile,
    /// The next look for sessions whose process died.
    Takeover,
    /// A test's own.
    Test,
    /// How long typing is shown before a text.
    Typing,
    /// How long WhatsApp may take to be shown that somebody types.
    TypingAnswer,
    /// How long an upload may take.
    Upload,
    /// The next round of finishing large deletes.
    Upkeep,
}
