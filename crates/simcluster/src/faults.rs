//! Scripted failures.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a fault does to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Answers with a `Status` of this code: 401, 403, 409, 410, 429 (with `Retry-After`), 500, 503, 504.
    Status {
        /// The HTTP code.
        code: u16,
        /// For 429 and 503: seconds of `Retry-After`.
        #[serde(default)]
        retry_after: Option<u64>,
        /// Replaces the default text.
        #[serde(default)]
        message: Option<String>,
    },
    /// Closes the connection before the request is looked at.
    ResetBefore,
    /// Does what was asked and then closes the connection without an answer.
    ResetAfter,
    /// Sends half of the answer's body and closes the connection.
    Truncate,
    /// Never answers.
    Hang,
    /// Answers as usual, later.
    Delay {
        /// Milliseconds.
        millis: u64,
    },
    /// Ends a watch after this many milliseconds.
    DropWatch {
        /// Milliseconds.
        millis: u64,
    },
}

/// Which requests a fault is for, how often, and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Verbs (`get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete`, `discovery`); empty: all.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// Resources such as `deployments` or `pods/log`; empty: all.
    #[serde(default)]
    pub resources: Vec<String>,
    /// One namespace only.
    #[serde(default)]
    pub namespace: Option<String>,
    /// One name only.
    #[serde(default)]
    pub name: Option<String>,
    /// Only requests of the `limited` user (see [`crate::Simulation`]).
    #[serde(default)]
    pub limited_user: bool,
    /// How many requests pass before the fault begins.
    #[serde(default)]
    pub after: u64,
    /// How often it happens; absent: always.
    #[serde(default)]
    pub times: Option<u64>,
    /// Share of the matching requests, 0 to 1; absent: all. Decided by the cluster's seed.
    #[serde(default)]
    pub rate: Option<f64>,
    /// What it does.
    pub action: Action,
}

impl Fault {
    /// A fault that hits every request.
    pub fn every(action: Action) -> Fault {
        Fault {
            verbs: Vec::new(),
            resources: Vec::new(),
            namespace: None,
            name: None,
            limited_user: false,
            after: 0,
            times: None,
            rate: None,
            action,
        }
    }

    fn matches(&self, request: &Seen<'_>) -> bool {
        (self.verbs.is_empty() || self.verbs.iter().any(|v| v == request.verb))
            && (self.resources.is_empty() || self.resources.iter().any(|r| r == request.resource))
            && self.namespace.as_deref().is_none_or(|n| n == request.namespace)
            && self.name.as_deref().is_none_or(|n| n == request.name)
            && (!self.limited_user || request.limited)
    }
}

/// A request, as faults see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub verb: &'a str,
    pub resource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub limited: bool,
}

/// The faults of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    scripted: Vec<Fault>,
    latency: Duration,
    random: u64,
    /// How many faults have happened.
    pub hits: u64,
}

impl Faults {
    pub(crate) fn set(&mut self, faults: Vec<Fault>, seed: u64) {
        self.scripted = faults;
        self.random = seed;
    }

    pub(crate) fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// The action for a request, if one is due.
    pub(crate) fn next(&mut self, request: &Seen<'_>) -> Option<Action> {
        for i in 0..self.scripted.len() {
            if !self.scripted[i].matches(request) {
                continue;
            }
            if self.scripted[i].after > 0 {
                self.scripted[i].after -= 1;
                continue;
            }
            if let Some(rate) = self.scripted[i].rate
                && self.roll() >= rate
            {
                continue;
            }
            match &mut self.scripted[i].times {
                Some(0) => continue,
                Some(n) => *n -= 1,
                None => {}
            }
            self.hits += 1;
            return Some(self.scripted[i].action.clone());
        }
        None
    }

    /// A number in [0, 1).
    fn roll(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}
