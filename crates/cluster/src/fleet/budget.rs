//! How much may fail: a count, or a share.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// How many clusters may fail before a rollout stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many.
    Count(usize),
    /// So many of a hundred, rounded down: 5 % of 19 clusters are none.
    Percent(u8),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a count such as `3` or a share such as `5%`")]
pub(super) enum RawBudget {
    Count(usize),
    Text(String),
}

impl Budget {
    pub(super) fn validate(raw: RawBudget) -> Result<Self, String> {
        match raw {
            RawBudget::Count(count) => Ok(Self::Count(count)),
            RawBudget::Text(text) => text.parse(),
        }
    }

    /// How many failed clusters of `total` are borne.
    pub fn allowed(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => total * usize::from(percent) / 100,
        }
    }

    /// What is borne of `total`, in words: `5 (5 %)`.
    pub fn of(self, total: usize) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Percent(percent) => format!("{} ({percent} %)", self.allowed(total)),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| format!("a budget is a count such as `3` or a share such as `5%`: `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down() {
        assert_eq!(Budget::Percent(5).allowed(19), 0);
        assert_eq!(Budget::Percent(5).allowed(100), 5);
        assert_eq!("3".parse(), Ok(Budget::Count(3)));
        assert!("101%".parse::<Budget>().is_err());
    }
}
