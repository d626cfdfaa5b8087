//! The open questions about the venue, as knobs with discrete values.

use std::time::Duration;

/// How long the venue answers `Duplicated` to bytes it has taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicated {
    /// For ever.
    ForEver,
    /// Until its last trade is in a block (a killed order is not live).
    WhileLive,
    /// For ten seconds after it was taken.
    TenSeconds,
}

/// What a reorganisation does to a block with fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reorganisation {
    /// There is none.
    None,
    /// The same transactions in a block of the same height, at other log indices.
    NewIndex,
    /// The same transactions one block later.
    NextBlock,
}

/// Who there is besides the provider of the chain that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witnesses {
    /// An honest one; the one that is read is honest too.
    Honest,
    /// Nobody.
    Nobody,
    /// An honest one. The one that is read says for so long after each block with an exit that nothing was left.
    AgainstLiar(Duration),
}

/// One way the venue may behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueModel {
    /// Answers to repeated bytes.
    pub duplicated: Duplicated,
    /// Whether a killed or part-filled fill-and-kill order executes again on a second post, once it is no
    /// longer `Duplicated`.
    pub executes_again: bool,
    /// How long after a post its order and trades are not shown.
    pub look_up_lag: Duration,
    /// How long after the post, which then gets no reply, the bytes are taken.
    pub acceptance_delay: Duration,
    /// How long the venue holds an order back, which it answers with "delayed" …
    pub held_back: Duration,
    /// … or, if so, with "live".
    pub says_live: bool,
    /// Whether transactions get another hash between match and block.
    pub replaced_tx: bool,
    /// What happens to blocks with fills.
    pub reorganisation: Reorganisation,
    /// Orders whose timestamp is older are refused.
    pub maximum_age: Option<Duration>,
    /// Whether orders that are done are shown; their trades always are.
    pub shows_done_orders: bool,
    /// Who else there is to ask about the chain.
    pub witnesses: Witnesses,
    /// Whether a match becomes two trades, of which the second is sent to the chain, and shown, this much later.
    pub splits: Option<Duration>,
}

impl VenueModel {
    /// The venue as documented.
    pub const PLAIN: Self = Self {
        duplicated: Duplicated::ForEver,
        executes_again: false,
        look_up_lag: Duration::ZERO,
        acceptance_delay: Duration::ZERO,
        held_back: Duration::ZERO,
        says_live: false,
        replaced_tx: false,
        reorganisation: Reorganisation::None,
        maximum_age: None,
        shows_done_orders: true,
        witnesses: Witnesses::Honest,
        splits: None,
    };

    /// A venue that leaves the most room for mistakes while it answers at once.
    pub const FORGETFUL: Self =
        Self { duplicated: Duplicated::WhileLive, executes_again: true, ..Self::PLAIN };

    /// A market that holds takers back for three seconds.
    pub const HOLDING: Self = Self { held_back: Duration::from_secs(3), ..Self::FORGETFUL };

    /// A venue that settles three fifths of a match at once and the rest 45 s later.
    pub const SPLITTING: Self = Self { splits: Some(Duration::from_secs(45)), ..Self::FORGETFUL };

    /// Holding back, with every answer to repeated bytes and every lag of look-ups; 43 s were reported. That an order which
    /// never rests is called "live" was not; it is explored all the same.
    #[must_use]
    pub fn all_holding() -> Vec<Self> {
        let mut models = Vec::new();
        for (seconds, says_live) in [(3, false), (43, false), (3, true)] {
            for duplicated in [Duplicated::ForEver, Duplicated::WhileLive, Duplicated::TenSeconds] {
                for executes_again in [false, true] {
                    for lag in [0, 10, 60] {
                        models.push(Self {
                            held_back: Duration::from_secs(seconds),
                            says_live,
                            duplicated,
                            executes_again,
                            look_up_lag: Duration::from_secs(lag),
                            ..Self::PLAIN
                        });
                    }
                }
            }
        }
        models
    }

    /// Every combination.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let of = |model: Self| [true, false].map(|shows_done_orders| Self { shows_done_orders, ..model });
        Self::most().into_iter().flat_map(of).collect()
    }

    /// Every combination but of what is shown of done orders: they are, unless look-ups lag by ten seconds.
    #[must_use]
    pub fn most() -> Vec<Self> {
        let mut models = Vec::new();
        for duplicated in [Duplicated::ForEver, Duplicated::WhileLive, Duplicated::TenSeconds] {
            for executes_again in [false, true] {
                for lag in [0, 10, 60] {
                    for delay in [0, 45] {
                        let model = Self {
                            duplicated,
                            executes_again,
                            look_up_lag: Duration::from_secs(lag),
                            acceptance_delay: Duration::from_secs(delay),
                            ..Self::PLAIN
                        };
                        model.with_chain_and_age(&mut models);
                    }
                }
            }
        }
        models
    }

    fn with_chain_and_age(self, models: &mut Vec<Self>) {
        for replaced_tx in [false, true] {
            for reorganisation in [Reorganisation::None, Reorganisation::NewIndex, Reorganisation::NextBlock]
            {
                for maximum_age in [None, Some(Duration::from_secs(10))] {
                    let shows_done_orders = self.look_up_lag != Duration::from_secs(10);
                    models.push(Self { replaced_tx, reorganisation, maximum_age, shows_done_orders, ..self });
                }
            }
        }
    }
}
