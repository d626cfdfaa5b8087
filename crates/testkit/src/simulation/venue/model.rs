//! The open questions about the venue, as knobs with discrete values.

use std::time::Duration;

use domain::Side;

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

/// A while in which the venue takes no orders ("not now": a restart, a restricted mode): it begins with the first post of
/// an order of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whose first post begins it.
    pub side: Side,
    /// How long it lasts.
    pub lasts: Duration,
    /// Whether the answers say for how long still; whoever has heard it is admitted no sooner.
    pub tells: bool,
}

/// How often a signer's orders are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerLimit {
    /// After an order the next one is not taken for this long.
    pub pause: Duration,
    /// Whether it is known before: then no more are admitted.
    pub known: bool,
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
    /// When it takes no orders.
    pub closed: Option<Closed>,
    /// How often it takes those of a signer.
    pub signer_limit: Option<SignerLimit>,
    /// Whether sales are held to the minimum of orders that rest.
    pub refuses_small: bool,
    /// Whether an order that found nobody is answered "unmatched", which says nothing about what becomes of it, instead of
    /// with the refusal of killed orders.
    pub says_unmatched: bool,
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
        closed: None,
        signer_limit: None,
        refuses_small: false,
        says_unmatched: false,
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
        let holding = |(seconds, says_live)| {
            Self { held_back: Duration::from_secs(seconds), says_live, ..Self::PLAIN }.with_answers()
        };
        [(3, false), (43, false), (3, true)].into_iter().flat_map(holding).collect()
    }

    /// Not taking orders of this side for a while, and limits of signers, with every answer to repeated bytes and every lag
    /// of look-ups. Five seconds are a retry that may still be in time, 120 s are a restart.
    #[must_use]
    pub fn all_refusing(side: Side) -> Vec<Self> {
        let closed = |seconds, tells| {
            let closed = Closed { side, lasts: Duration::from_secs(seconds), tells };
            Self { closed: Some(closed), ..Self::PLAIN }
        };
        let limited = |seconds, known| {
            let limit = SignerLimit { pause: Duration::from_secs(seconds), known };
            Self { signer_limit: Some(limit), ..Self::PLAIN }
        };
        let mut refusing: Vec<Self> = [false, true].map(|tells| closed(5, tells)).into();
        refusing.extend([false, true].map(|tells| closed(120, tells)));
        refusing.extend([(1, false), (1, true), (20, true)].map(|(seconds, known)| limited(seconds, known)));
        // A moment of each: what was admitted is refused, and admitted again.
        refusing.push(Self { signer_limit: limited(1, true).signer_limit, ..closed(5, true) });
        refusing.into_iter().flat_map(Self::with_answers).collect()
    }

    /// Killed orders called "unmatched", with every answer to repeated bytes and every lag of look-ups.
    #[must_use]
    pub fn all_unmatched() -> Vec<Self> {
        Self { says_unmatched: true, ..Self::PLAIN }.with_answers()
    }

    /// Sales below the minimum of orders that rest taken or refused, with every answer to repeated bytes and every lag of
    /// look-ups.
    #[must_use]
    pub fn all_small() -> Vec<Self> {
        let of = |refuses_small| Self { refuses_small, ..Self::PLAIN }.with_answers();
        [false, true].into_iter().flat_map(of).collect()
    }

    fn with_answers(self) -> Vec<Self> {
        let mut models = Vec::new();
        for duplicated in [Duplicated::ForEver, Duplicated::WhileLive, Duplicated::TenSeconds] {
            for executes_again in [false, true] {
                for lag in [0, 10, 60] {
                    let look_up_lag = Duration::from_secs(lag);
                    models.push(Self { duplicated, executes_again, look_up_lag, ..self });
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
