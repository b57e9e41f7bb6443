//! All the schemas for one render, and the one way to ask.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use manifest::yaml::{Map, Node, Span};

use super::bundle::{self, Bundle};
use super::check::Check;
use super::crd::{self, Custom};
use super::finding::{Finding, Findings, Step};
use super::{gone, grammar, server};

const OBJECT_META: &str = "apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A minor version of Kubernetes: `1.36`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion(u32);

/// A version without bundled schemas, or text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no schemas for this version of Kubernetes: `{0}`")]
pub struct UnknownVersion(pub String);

impl KubernetesVersion {
    /// The versions whose schemas are bundled, oldest first.
    pub fn bundled() -> Vec<Self> {
        bundle::minors().iter().copied().map(Self).collect()
    }

    /// The newest bundled version.
    pub fn newest() -> Self {
        Self(bundle::minors().last().copied().unwrap_or_default())
    }
}

impl FromStr for KubernetesVersion {
    type Err = UnknownVersion;

    /// Reads `1.36`, `v1.36` and `v1.36.2`.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let rest = text.trim_start_matches('v').strip_prefix("1.");
        let minor =
            rest.and_then(|rest| rest.split(['.', '-', '+']).next()).and_then(|minor| minor.parse().ok());
        let known = minor.filter(|minor| bundle::minors().contains(minor));
        known.map(Self).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// The schemas of one Kubernetes version, and of the custom kinds that were added. Cheap to clone; share it between
/// threads.
#[derive(Debug, Clone)]
pub struct Catalog {
    bundle: Arc<Bundle>,
    /// By `group/version`, then kind.
    custom: BTreeMap<String, BTreeMap<String, Arc<Custom>>>,
}

/// What an object was held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The schemas of Kubernetes.
    Kubernetes,
    /// A CustomResourceDefinition that was added.
    Definition,
    /// Nothing but the rules for every object: a custom kind whose definition is not known.
    Nothing,
}

/// The outcome for one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong, by line.
    pub findings: Vec<Finding>,
    /// How much was looked at.
    pub basis: Basis,
}

impl Catalog {
    /// The schemas of Kubernetes itself.
    pub fn bundled(version: KubernetesVersion) -> Self {
        Self { bundle: Arc::new(Bundle::new(version.0)), custom: BTreeMap::new() }
    }

    /// The version that objects are held against.
    pub fn version(&self) -> KubernetesVersion {
        KubernetesVersion(self.bundle.minor)
    }

    /// This catalog with the kinds that the CustomResourceDefinitions among `objects` declare; everything else is
    /// passed over. The definitions themselves are checked like any other object, by [`validate`](Self::validate).
    #[must_use]
    pub fn with_crds<'n>(&self, objects: impl IntoIterator<Item = &'n Node>) -> Self {
        let mut catalog = self.clone();
        let metadata = self.bundle.named(OBJECT_META);
        for custom in objects
            .into_iter()
            .flat_map(flattened)
            .filter(|node| crd::is_crd(node))
            .flat_map(|node| crd::read(node, metadata))
        {
            let versions = catalog.custom.entry(format!("{}/{}", custom.group, custom.version)).or_default();
            versions.insert(custom.kind.clone(), Arc::new(custom));
        }
        catalog
    }

    /// Everything that a server of this version would refuse about `object`, as far as it can be told without one.
    ///
    /// A `List` is checked element by element.
    pub fn validate(&self, object: &Node) -> Checked {
        let mut findings = Findings::default();
        let mut basis = Basis::Kubernetes;
        self.object(object, &mut findings, &mut basis);
        let mut findings = findings.list;
        findings.sort_by_key(|finding| (finding.line, finding.column));
        Checked { findings, basis }
    }

    fn object<'n>(&self, node: &'n Node, findings: &mut Findings<'n>, basis: &mut Basis) {
        let Some(map) = node.as_map() else {
            findings.add(&node.span, format!("expected a Kubernetes object, found {}", node.kind()));
            return;
        };
        let (Some(api_version), Some(kind)) =
            (own_text(map, "apiVersion", &node.span, findings), own_text(map, "kind", &node.span, findings))
        else {
            return;
        };
        if kind == "List" && api_version == "v1" {
            for (index, item) in
                map.get("items").and_then(Node::as_list).unwrap_or_default().iter().enumerate()
            {
                findings.at(Step::Field("items"), |findings| {
                    findings.at(Step::Index(index), |findings| self.object(item, findings, basis));
                });
            }
            return;
        }
        let mut check = Check::new(&self.bundle);
        check.findings = std::mem::take(findings);
        let custom = self.custom.get(api_version).and_then(|kinds| kinds.get(kind));
        let mut known = Some(true);
        if let Some(found) = self.bundle.kind(api_version, kind) {
            check.built_in(found.definition, map, &node.span);
            known = Some(found.namespaced);
        } else if let Some(custom) = custom {
            *basis = Basis::Definition;
            check.custom(&custom.schema, node, custom.has_status);
            known = Some(custom.namespaced);
            if !custom.served {
                let served = self.served(&custom.group, kind);
                let finding = check
                    .findings
                    .add(at(map, "apiVersion", &node.span), "this version of the kind is not served");
                finding.hint = served.map(|version| format!("use `{version}`"));
            }
        } else if let Some(problem) = self.unknown(api_version, kind) {
            let (key, message, hint) = problem;
            let place = at(map, key, &node.span).clone();
            check.findings.path.push(Step::Field(key));
            check.findings.add(&place, message).hint = hint;
            check.findings.path.pop();
            known = None;
        } else {
            *basis = Basis::Nothing;
            let object_meta = self.bundle.named(OBJECT_META);
            if let Some(metadata) = map.entry("metadata").filter(|entry| !entry.value.is_null()) {
                check.metadata(object_meta, &metadata.value);
            }
        }
        *findings = check.findings;
        if known.is_some() {
            server::rules(self.bundle.minor, api_version, kind, node, findings);
        }
    }

    /// A version of the custom kind that is served.
    fn served(&self, group: &str, kind: &str) -> Option<String> {
        let of_group = |version: &str| version.rsplit_once('/').is_some_and(|(of, _)| of == group);
        let served = self.custom.iter().filter(|(version, kinds)| {
            of_group(version) && kinds.get(kind).is_some_and(|custom| custom.served)
        });
        served.map(|(version, _)| version).max_by_key(|version| maturity(version)).cloned()
    }

    /// What is wrong with a kind that has no schema; nothing if it may well be a custom kind from elsewhere.
    fn unknown(&self, api_version: &str, kind: &str) -> Option<(&'static str, String, Option<String>)> {
        let version = self.version();
        let kinds = bundle::all_kinds();
        let here = |kind: &&bundle::Kind| self.bundle.kind(kind.api_version, kind.kind).is_some();
        if let Some(other) = kinds.iter().find(|known| known.api_version == api_version && known.kind == kind)
        {
            let minors: Vec<u32> = other.minors().collect();
            let first = minors.first().copied().unwrap_or_default();
            let last = minors.last().copied().unwrap_or_default();
            let message = if version.0 < first {
                format!("`{api_version}` has no {kind} before Kubernetes 1.{first}; this is {version}")
            } else {
                format!("`{api_version}` has no {kind} after Kubernetes 1.{last}; this is {version}")
            };
            let instead = newest(
                kinds
                    .iter()
                    .filter(here)
                    .filter(|known| known.kind == kind && known.group() == other.group()),
            );
            return Some((
                "apiVersion",
                message,
                instead.map(|known| format!("use `{}`", known.api_version)),
            ));
        }
        if let Some(gone) = gone::find(api_version, kind) {
            let message = format!("`{api_version}` has had no {kind} since Kubernetes 1.{}", gone.since);
            return Some(("apiVersion", message, Some(gone.instead.to_owned())));
        }
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let of_group = |version: &str| version.rsplit_once('/').is_some_and(|(of, _)| of == group);
        if self.custom.keys().any(|version| of_group(version)) {
            // The group may have kinds whose definitions are elsewhere.
            return self.served(group, kind).map(|other| {
                let message = format!("the definition of {kind} has no version `{api_version}`");
                ("apiVersion", message, Some(format!("use `{other}`")))
            });
        }
        if kinds.iter().any(|known| known.group() == group) || gone::knows(api_version) {
            let same_kind = newest(kinds.iter().filter(here).filter(|known| known.kind == kind));
            if let Some(known) = same_kind {
                let message = format!("Kubernetes {version} has no {kind} in `{api_version}`");
                return Some(("apiVersion", message, Some(format!("use `{}`", known.api_version))));
            }
            let names = kinds
                .iter()
                .filter(here)
                .filter(|known| known.api_version == api_version)
                .map(|known| known.kind);
            let near = grammar::nearest(kind, names).map(|near| format!("did you mean `{near}`?"));
            return Some((
                "kind",
                format!("Kubernetes {version} has no kind {kind} in `{api_version}`"),
                near,
            ));
        }
        if !group.contains('.') {
            // The group of a custom kind is a domain.
            let same_kind = newest(kinds.iter().filter(here).filter(|known| known.kind == kind))
                .map(|known| known.api_version);
            let versions = kinds.iter().filter(here).map(|known| known.api_version);
            let hint = same_kind
                .or_else(|| grammar::nearest(api_version, versions))
                .map(|near| format!("did you mean `{near}`?"));
            return Some(("apiVersion", format!("Kubernetes {version} has no API `{api_version}`"), hint));
        }
        None
    }
}

/// The one with the most mature version.
fn newest<'k>(kinds: impl Iterator<Item = &'k bundle::Kind>) -> Option<&'k bundle::Kind> {
    kinds.max_by_key(|kind| (kind.group().is_empty(), maturity(kind.api_version)))
}

/// Orders versions as Kubernetes does: stable before beta before alpha, then by number.
fn maturity(api_version: &str) -> (u8, u32, u32) {
    let version = api_version.rsplit('/').next().unwrap_or(api_version).trim_start_matches('v');
    for (stage, name) in [(1, "beta"), (0, "alpha")] {
        if let Some((major, minor)) = version.split_once(name) {
            return (stage, major.parse().unwrap_or(0), minor.parse().unwrap_or(0));
        }
    }
    (2, version.parse().unwrap_or(0), 0)
}

/// The elements of a `List`, or the object itself.
fn flattened(node: &Node) -> Vec<&Node> {
    let is_list = node.get("kind").and_then(Node::as_str) == Some("List");
    match node.get("items").and_then(Node::as_list).filter(|_| is_list) {
        Some(items) => items.iter().collect(),
        None => vec![node],
    }
}

fn own_text<'n>(
    map: &'n Map,
    key: &'static str,
    span: &Span,
    findings: &mut Findings<'n>,
) -> Option<&'n str> {
    let Some(node) = map.get(key).filter(|node| !node.is_null()) else {
        findings.at(Step::Field(key), |findings| {
            findings.add(span, "required field is missing");
        });
        return None;
    };
    match node.as_str() {
        Some("") => {
            findings.at(Step::Field(key), |findings| {
                findings.add(&node.span, "must not be empty");
            });
            None
        }
        Some(text) => Some(text),
        None => {
            findings.at(Step::Field(key), |findings| {
                findings.add(&node.span, format!("expected a string, found {}", node.kind()));
            });
            None
        }
    }
}

/// Where the value of `key` stands.
fn at<'n>(map: &'n Map, key: &str, otherwise: &'n Span) -> &'n Span {
    map.get(key).map_or(otherwise, |node| &node.span)
}
