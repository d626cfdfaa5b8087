//! Faults waiting to happen: a queue per target, taken in the order they were put in.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// What a fault breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultTarget {
    /// The next `POST /order`.
    Order,
    /// The next cancel.
    Cancel,
    /// The next look-up of orders or trades.
    LookUp,
    /// The next login.
    Login,
    /// The next question for a balance, or update of one.
    Balance,
    /// The settlement of the next match.
    Settlement,
    /// The next JSON-RPC request.
    Chain,
    /// The next request to the Data API.
    Data,
    /// The next request to Gamma.
    Gamma,
    /// The next submission to the relayer.
    Relayer,
    /// The next frame of a market socket.
    MarketSocket,
    /// The next frame of a user socket.
    UserSocket,
    /// The next frame of the live trade feed.
    LiveSocket,
    /// The next frame of a websocket of the JSON-RPC.
    HeadSocket,
}

/// How it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Order, and services that are read: the connection is closed, nothing was read.
    DropBefore,
    /// Order, cancel, relayer, and a transaction sent to the chain: processed, then the connection is closed without a
    /// reply.
    AcceptThenDrop,
    /// Order: processed at once, the reply comes after `delay_ms`. Services that are read: the same.
    Slow,
    /// Order, and services that are read: status 500, not processed.
    #[serde(rename = "500_before")]
    Error500Before,
    /// Order, cancel, relayer: processed, then status 500.
    #[serde(rename = "500_after")]
    Error500After,
    /// Order: status 500 `order timed out`, not processed.
    TimedOutText,
    /// Order: status 500 `order timed out`, although it was processed.
    TimedOutTextAfter,
    /// Order, and services that are read: status 429.
    #[serde(rename = "429")]
    TooManyRequests,
    /// Order: status 425.
    #[serde(rename = "425")]
    TooEarly,
    /// Order: status 400 `order_version_mismatch`, not processed.
    VersionMismatch,
    /// Order, and services that are read: processed, the reply breaks off in the middle.
    TruncateReply,
    /// Order: the connection is closed and the order processed `delay_ms` later.
    AcceptLate,
    /// Settlement: `RETRYING`, mined one block later under another transaction hash.
    Retrying,
    /// Settlement: `FAILED`, balances are reversed. Relayer: the transaction is not sent.
    Failed,
    /// Chain: the request is answered with an error.
    RpcError,
    /// Chain: `eth_blockNumber` and `latest` go back by `depth` blocks (default 2).
    HeadBack,
    /// Chain: `eth_getLogs` finds nothing.
    MissingLogs,
    /// Relayer, and chain for what an EOA sends itself: the transaction waits `depth` blocks (default 3).
    SlowTransaction,
    /// Sockets: this socket says nothing more, stays open and answers pings.
    Stall,
    /// Sockets: a ping is not answered.
    MissPong,
    /// Sockets: half of the frame.
    Malformed,
    /// Sockets: the frame twice.
    Duplicate,
    /// Sockets: the frame after the next one.
    Reorder,
    /// Sockets: the connection is gone instead of the frame.
    Disconnect,
    /// Sockets: closed, as for a client that reads too slowly.
    SlowReader,
    /// Sockets: the frame with millions of blanks before it.
    Oversized,
    /// Sockets: the newest frames once more, then the frame.
    Replay,
}

impl FaultKind {
    /// What this kind breaks, unless another target is named.
    #[must_use]
    pub const fn target(self) -> FaultTarget {
        match self {
            Self::Retrying | Self::Failed => FaultTarget::Settlement,
            Self::RpcError | Self::HeadBack | Self::MissingLogs => FaultTarget::Chain,
            Self::SlowTransaction => FaultTarget::Relayer,
            Self::Stall
            | Self::MissPong
            | Self::Malformed
            | Self::Duplicate
            | Self::Reorder
            | Self::Disconnect
            | Self::SlowReader
            | Self::Oversized
            | Self::Replay => FaultTarget::MarketSocket,
            _ => FaultTarget::Order,
        }
    }

    /// Whether this kind can break a target.
    #[must_use]
    pub fn can_break(self, target: FaultTarget) -> bool {
        let reading = matches!(
            self,
            Self::DropBefore
                | Self::Slow
                | Self::Error500Before
                | Self::TooManyRequests
                | Self::TruncateReply
        );
        match target {
            FaultTarget::Data
            | FaultTarget::Gamma
            | FaultTarget::LookUp
            | FaultTarget::Login
            | FaultTarget::Balance => reading,
            FaultTarget::Cancel => reading || matches!(self, Self::AcceptThenDrop | Self::Error500After),
            FaultTarget::Relayer => {
                let known = [Self::AcceptThenDrop, Self::Error500After, Self::Failed, Self::SlowTransaction];
                reading || known.contains(&self)
            }
            // A transaction that is sent to the chain.
            FaultTarget::Chain if matches!(self, Self::AcceptThenDrop | Self::SlowTransaction) => true,
            // All sockets fail in the same ways.
            FaultTarget::UserSocket | FaultTarget::LiveSocket | FaultTarget::HeadSocket => {
                self.target() == FaultTarget::MarketSocket
            }
            FaultTarget::Order | FaultTarget::Settlement | FaultTarget::Chain | FaultTarget::MarketSocket => {
                self.target() == target
            }
        }
    }

    /// Whether an order that this kind breaks is not even read.
    #[must_use]
    pub const fn keeps_order_out(self) -> bool {
        matches!(
            self,
            Self::DropBefore
                | Self::Error500Before
                | Self::TimedOutText
                | Self::TooManyRequests
                | Self::TooEarly
                | Self::VersionMismatch
        )
    }
}

/// A fault, `count` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it breaks.
    pub target: FaultTarget,
    /// How.
    pub kind: FaultKind,
    /// How often, one after the other.
    #[serde(default = "once")]
    pub count: u32,
    /// Delay of the kinds that have one.
    #[serde(default)]
    pub delay_ms: u64,
    /// Blocks of the kinds that have them.
    #[serde(default)]
    pub depth: u64,
}

const fn once() -> u32 {
    1
}

/// Queues of faults, and how many happened.
#[derive(Debug, Default)]
pub struct Faults {
    waiting: BTreeMap<FaultTarget, VecDeque<Fault>>,
    taken: BTreeMap<FaultKind, u64>,
}

impl Faults {
    /// Appends a fault; `false` if its kind cannot break its target.
    pub fn push(&mut self, fault: Fault) -> bool {
        if !fault.kind.can_break(fault.target) || fault.count == 0 {
            return false;
        }
        self.waiting.entry(fault.target).or_default().push_back(fault);
        true
    }

    /// Takes the next fault of a target if it is one of the kinds that can happen now.
    pub fn take(&mut self, target: FaultTarget, possible: impl Fn(FaultKind) -> bool) -> Option<Fault> {
        let queue = self.waiting.get_mut(&target)?;
        let fault = queue.front_mut().filter(|fault| possible(fault.kind))?;
        let taken = *fault;
        fault.count = fault.count.saturating_sub(1);
        if fault.count == 0 {
            queue.pop_front();
        }
        let happened = self.taken.entry(taken.kind).or_default();
        *happened = happened.saturating_add(1);
        Some(taken)
    }

    /// Forgets all waiting faults.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Waiting faults.
    pub fn waiting(&self) -> impl Iterator<Item = &Fault> {
        self.waiting.values().flatten()
    }

    /// How often each kind happened.
    #[must_use]
    pub const fn happened(&self) -> &BTreeMap<FaultKind, u64> {
        &self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, count: u32) -> Fault {
        Fault { target: kind.target(), kind, count, delay_ms: 0, depth: 0 }
    }

    #[test]
    fn faults_happen_in_order_and_as_often_as_told() {
        let mut faults = Faults::default();
        assert!(faults.push(fault(FaultKind::Slow, 2)));
        assert!(faults.push(fault(FaultKind::TooEarly, 1)));
        assert!(faults.push(fault(FaultKind::MissingLogs, 1)));
        let mut next = || faults.take(FaultTarget::Order, |_| true).map(|fault| fault.kind);
        assert_eq!([next(), next()], [Some(FaultKind::Slow); 2]);
        assert_eq!([next(), next()], [Some(FaultKind::TooEarly), None]);
        assert!(faults.take(FaultTarget::Chain, |kind| kind == FaultKind::RpcError).is_none());
        assert!(faults.take(FaultTarget::Chain, |kind| kind == FaultKind::MissingLogs).is_some());
        assert_eq!(faults.happened().get(&FaultKind::Slow), Some(&2));
    }

    #[test]
    fn a_kind_breaks_only_its_target() {
        let mut faults = Faults::default();
        assert!(!faults.push(Fault { target: FaultTarget::Chain, ..fault(FaultKind::Slow, 1) }));
        let parsed: Fault = serde_json::from_str(r#"{"target":"order","kind":"500_after"}"#).unwrap();
        assert_eq!(parsed, fault(FaultKind::Error500After, 1));
    }
}
