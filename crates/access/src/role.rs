//! What somebody may do at all.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read what is one's own.
    Read,
    /// Change what is one's own: follow, edit, pause, stop.
    Trade,
    /// See and run the installation: queue, workers, feeds, holds.
    Operate,
    /// Users, roles and the audit log of all.
    Administer,
}

impl Scope {
    /// All, narrow ones first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Trade, Self::Operate, Self::Administer];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Operate => "operate",
            Self::Administer => "administer",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| format!("`{text}` is no scope; there are read, trade, operate and administer"))
    }
}

/// Some of the scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// These.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// As a number, for a store.
    #[must_use]
    pub const fn bits(self) -> i64 {
        self.0 as i64
    }

    /// From a store's number; `None` when it names what is not there.
    #[must_use]
    pub fn from_bits(bits: i64) -> Option<Self> {
        let all = Self::of(&Scope::ALL);
        u8::try_from(bits).ok().map(Self).filter(|scopes| scopes.0 & !all.0 == 0)
    }

    /// Whether this is one of them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them.
    pub fn list(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list())
    }
}

/// What a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Trades with accounts of his own.
    Trader,
    /// Runs the installation, too.
    Operator,
    /// Decides who may do what, too.
    Administrator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Trader, Self::Operator, Self::Administrator];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trader => "trader",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// What it may do.
    #[must_use]
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Trader => Scopes::of(&[Scope::Read, Scope::Trade]),
            Self::Operator => Scopes::of(&[Scope::Read, Scope::Trade, Scope::Operate]),
            Self::Administrator => Scopes::of(&Scope::ALL),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| format!("`{text}` is no role; there are trader, operator and administrator"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_one_before_it_may() {
        let may = |role: Role| role.scopes().list().map(Scope::name).collect::<Vec<_>>();
        assert_eq!(may(Role::Trader), ["read", "trade"]);
        assert_eq!(may(Role::Operator), ["read", "trade", "operate"]);
        assert_eq!(may(Role::Administrator), ["read", "trade", "operate", "administer"]);
    }

    #[test]
    fn scopes_come_back_from_their_number_and_no_others_do() {
        for bits in 0..16 {
            assert_eq!(Scopes::from_bits(bits).unwrap().bits(), bits);
        }
        for bits in [-1, 16, 255, 256, i64::MAX] {
            assert_eq!(Scopes::from_bits(bits), None, "{bits}");
        }
    }
}
