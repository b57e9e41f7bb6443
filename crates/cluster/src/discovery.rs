//! Which kinds a cluster serves and under which paths.
//!
//! One request: the aggregated document of `/apis` (Kubernetes 1.27 and newer). The core group is frozen, so its kinds are known
//! here; `/api/v1` is only asked about a kind that is not. Older servers are asked group by group, and only for groups in use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::connect::{Call, CallError, Connection};

/// How one kind is addressed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// `apps`; empty for the core group.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// A kind by its parts.
    pub fn new(group: &str, version: &str, kind: &str, plural: &str, namespaced: bool) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced,
        }
    }

    /// `apps/v1`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of all its objects, in one namespace or in all.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{}/{}", escaped(namespace), self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The path of one of its objects.
    pub fn path(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), escaped(name))
    }
}

/// A path segment or query value, percent-encoded.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The kinds of a cluster that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// By group and kind: the versions served, preferred first.
    kinds: BTreeMap<(String, String), Vec<Arc<Resource>>>,
}

/// What a cluster says about a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// It is served. Whoever keeps it for each of many objects keeps it once.
    Served(&'a Arc<Resource>),
    /// Not in this version; these are.
    OtherVersions(Vec<String>),
    /// Not at all.
    Unknown,
}

impl Discovery {
    /// Asks a cluster about the kinds of `wanted`, pairs of `apiVersion` and `kind`.
    ///
    /// # Errors
    /// The server's refusal, or no answer.
    pub async fn of(connection: &Connection, wanted: &BTreeSet<(String, String)>) -> Result<Self, CallError> {
        let mut found = Self::default();
        for (kind, plural, namespaced) in CORE {
            found.add(Resource::new("", "v1", kind, plural, *namespaced));
        }
        let is_core = |api_version: &str| api_version == "v1";
        if wanted
            .iter()
            .any(|(api_version, kind)| is_core(api_version) && found.get(api_version, kind).is_none())
        {
            let call = Call::get("discover the kinds of v1", "/api/v1");
            found.add_list("", "v1", &connection.call(&call).await?.value);
        }
        if wanted.iter().all(|(api_version, _)| is_core(api_version)) {
            return Ok(found);
        }
        let mut call = Call::get("discover the kinds of the cluster", "/apis");
        call.accept = AGGREGATED.into();
        let document = connection.call(&call).await?.value;
        if document["kind"] == "APIGroupDiscoveryList" {
            found.add_aggregated(&document);
            return Ok(found);
        }
        let versions: BTreeSet<&str> =
            wanted.iter().map(|(api_version, _)| api_version.as_str()).filter(|v| !is_core(v)).collect();
        for api_version in versions {
            let Some((group, version)) = api_version.split_once('/') else { continue };
            let path = format!("/apis/{}/{}", escaped(group), escaped(version));
            match connection.call(&Call::get(format!("discover the kinds of {api_version}"), path)).await {
                Ok(reply) => found.add_list(group, version, &reply.value),
                Err(error) if error.is(404) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Whether a kind is served in that version, and if not, in which.
    pub fn lookup(&self, api_version: &str, kind: &str) -> Lookup<'_> {
        if let Some(resource) = self.get(api_version, kind) {
            return Lookup::Served(resource);
        }
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let others: Vec<String> = match self.kinds.get(&(group.to_owned(), kind.to_owned())) {
            Some(versions) => versions.iter().map(|other| other.api_version()).collect(),
            // `extensions/v1beta1` Ingress is `networking.k8s.io/v1` now: say so.
            None => self
                .kinds
                .iter()
                .filter(|((_, other), _)| other == kind)
                .flat_map(|(_, versions)| versions.iter().map(|other| other.api_version()))
                .collect(),
        };
        if others.is_empty() { Lookup::Unknown } else { Lookup::OtherVersions(others) }
    }

    fn get(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let versions = self.kinds.get(&(group.to_owned(), kind.to_owned()))?;
        versions.iter().find(|resource| resource.version == version)
    }

    /// The version of a kind that the server prefers.
    pub fn preferred(&self, group: &str, kind: &str) -> Option<&Resource> {
        self.kinds.get(&(group.to_owned(), kind.to_owned()))?.first().map(Arc::as_ref)
    }

    /// Adds all that `other` knows.
    pub fn extend(&mut self, other: Self) {
        other.kinds.into_values().flatten().for_each(|resource| self.add(resource));
    }

    /// Adds a kind, for example one that a CRD of the same deploy defines.
    pub fn add(&mut self, resource: impl Into<Arc<Resource>>) {
        let resource = resource.into();
        let versions = self.kinds.entry((resource.group.clone(), resource.kind.clone())).or_default();
        if !versions.iter().any(|known| known.version == resource.version) {
            versions.push(resource);
        }
    }

    fn add_aggregated(&mut self, document: &Value) {
        for group in list(&document["items"]) {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in list(&group["versions"]) {
                let number = version["version"].as_str().unwrap_or_default();
                for entry in list(&version["resources"]) {
                    let kind = entry["responseKind"]["kind"].as_str().unwrap_or_default();
                    let plural = entry["resource"].as_str().unwrap_or_default();
                    if !kind.is_empty() && !plural.is_empty() {
                        self.add(Resource::new(name, number, kind, plural, entry["scope"] == "Namespaced"));
                    }
                }
            }
        }
    }

    fn add_list(&mut self, group: &str, version: &str, document: &Value) {
        for entry in list(&document["resources"]) {
            let plural = entry["name"].as_str().unwrap_or_default();
            let kind = entry["kind"].as_str().unwrap_or_default();
            if !plural.is_empty() && !plural.contains('/') && !kind.is_empty() {
                self.add(Resource::new(group, version, kind, plural, entry["namespaced"] == true));
            }
        }
    }
}

/// The kinds that a CustomResourceDefinition defines, one per served version.
pub fn kinds_of_crd(crd: &Value) -> Vec<Resource> {
    let spec = &crd["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list(&spec["versions"])
        .filter(|version| version["served"] != false)
        .map(|version| Resource {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            kind: text(&spec["names"]["kind"]),
            plural: text(&spec["names"]["plural"]),
            namespaced: spec["scope"] == "Namespaced",
        })
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Both spellings of the aggregated document, and the old one for servers that know neither.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                          application/json";

/// The core group, which Kubernetes has declared complete: kind, plural, namespaced.
const CORE: &[(&str, &str, bool)] = &[
    ("ConfigMap", "configmaps", true),
    ("Endpoints", "endpoints", true),
    ("LimitRange", "limitranges", true),
    ("Namespace", "namespaces", false),
    ("PersistentVolume", "persistentvolumes", false),
    ("PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("Pod", "pods", true),
    ("PodTemplate", "podtemplates", true),
    ("ReplicationController", "replicationcontrollers", true),
    ("ResourceQuota", "resourcequotas", true),
    ("Secret", "secrets", true),
    ("Service", "services", true),
    ("ServiceAccount", "serviceaccounts", true),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn served() -> Discovery {
        let mut discovery = Discovery::default();
        discovery.add_aggregated(&serde_json::json!({"items": [{
            "metadata": {"name": "apps"},
            "versions": [{"version": "v1", "resources": [
                {"resource": "deployments", "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                 "scope": "Namespaced"},
            ]}],
        }]}));
        discovery
    }

    #[test]
    fn an_api_version_that_is_gone_names_the_one_that_took_its_place() {
        let discovery = served();
        let Lookup::Served(resource) = discovery.lookup("apps/v1", "Deployment") else { panic!() };
        assert_eq!(resource.path(Some("web"), "a b"), "/apis/apps/v1/namespaces/web/deployments/a%20b");
        assert_eq!(
            discovery.lookup("extensions/v1beta1", "Deployment"),
            Lookup::OtherVersions(vec!["apps/v1".into()])
        );
        assert_eq!(discovery.lookup("a/v1", "Frobnicator"), Lookup::Unknown);
    }

    #[test]
    fn a_crd_defines_one_kind_per_served_version() {
        let crd = serde_json::json!({"spec": {"group": "e.io", "scope": "Cluster", "names": {"kind": "K", "plural": "ks"},
            "versions": [{"name": "v1", "served": true}, {"name": "v0", "served": false}]}});
        let kinds = kinds_of_crd(&crd);
        assert_eq!(kinds.len(), 1);
        assert_eq!(kinds[0].path(Some("ignored"), "x"), "/apis/e.io/v1/ks/x");
    }
}
