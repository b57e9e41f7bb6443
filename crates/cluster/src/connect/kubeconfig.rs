//! Kubeconfigs: which clusters a folder of them names, and what one of them says about reaching its cluster.
//!
//! The name of a cluster is, in this order: top-level `metadata.name` (kit's convention), the name of the cluster of the
//! current context, the stem of the file. Everything is checked before the first connection is made; what is secret is only
//! read, never shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster, Kubeconfig, NamedCluster, NamedContext};
use manifest::ClusterName;

/// One cluster that a kubeconfig names, not yet connected to.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the cluster is called, everywhere.
    pub name: ClusterName,
    /// The file it was read from; absent for [`Target::in_cluster`].
    pub file: Option<PathBuf>,
    /// The context of the file.
    pub context: String,
    /// Top-level `metadata.labels` of the file: waves select clusters by them.
    pub labels: BTreeMap<String, String>,
    /// What the file says about reaching it.
    pub(crate) reach: Reach,
}

/// How a cluster is reached, resolved from one context of one file, relative paths made absolute.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) cluster: Cluster,
    pub(crate) user: AuthInfo,
    pub(crate) user_name: String,
    pub(crate) namespace: String,
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The file cannot be read.
    #[error("cannot read kubeconfig: {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not YAML, or not a kubeconfig.
    #[error("not a kubeconfig: {path}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        #[source]
        problem: SyntaxProblem,
    },
    /// A part that must be there is not.
    #[error("{path}: {problem}")]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What is missing, as a sentence.
        problem: String,
    },
    /// Two files, or two contexts, name the same cluster.
    #[error("two kubeconfigs name one cluster: `{name}`")]
    Duplicate {
        /// The name.
        name: ClusterName,
        /// Where it was seen first.
        first: String,
        /// Where it was seen again.
        second: String,
    },
    /// The service account of the pod is not there.
    #[error("not in a cluster: {problem}")]
    NotInCluster {
        /// What is missing.
        problem: String,
    },
}

/// Position and reason of a kubeconfig that is not one; never an excerpt, which could hold a token.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxProblem(pub(crate) String);

impl KubeconfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { path, .. } => Some(format!("ls -l {}", path.display())),
            Self::Syntax { path, .. } | Self::Incomplete { path, .. } => {
                Some(format!("kubectl --kubeconfig {} config view", path.display()))
            }
            Self::Duplicate { first, second, .. } => {
                Some(format!("give them different top-level `metadata.name`: {first}, {second}"))
            }
            Self::NotInCluster { .. } => {
                Some("run it in a pod that has a service account, or use `--configs`".into())
            }
        }
    }
}

/// Which contexts of a file become clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contexts {
    /// The current one.
    Current,
    /// Each, named after its cluster (or after the context, where two contexts share a cluster).
    All,
}

/// The clusters that `files` name, sorted by name.
///
/// # Errors
/// Every problem of every file, not only the first.
pub fn read_kubeconfigs(files: &[PathBuf], contexts: Contexts) -> Result<Vec<Target>, Vec<KubeconfigError>> {
    let mut targets: BTreeMap<ClusterName, Target> = BTreeMap::new();
    let mut errors = Vec::new();
    for file in files {
        let found = match read_file(file).and_then(|config| targets_of(&config, file, contexts)) {
            Ok(found) => found,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for target in found {
            if let Some(first) = targets.get(&target.name) {
                errors.push(KubeconfigError::Duplicate {
                    name: target.name.clone(),
                    first: first.origin(),
                    second: target.origin(),
                });
            } else {
                targets.insert(target.name.clone(), target);
            }
        }
    }
    if errors.is_empty() { Ok(targets.into_values().collect()) } else { Err(errors) }
}

impl Target {
    /// File and context, for messages.
    pub fn origin(&self) -> String {
        match &self.file {
            Some(file) => format!("{} (context `{}`)", file.display(), self.context),
            None => "the service account of this pod".to_owned(),
        }
    }

    /// The URL of the API server as written.
    pub fn server(&self) -> &str {
        self.reach.cluster.server.as_deref().unwrap_or_default()
    }

    /// The namespace of objects whose manifest names none.
    pub fn namespace(&self) -> &str {
        &self.reach.namespace
    }

    /// The cluster that this process runs in, by the service account that Kubernetes mounts into a pod.
    ///
    /// `host` and `port` are the values of `KUBERNETES_SERVICE_HOST` and `_PORT`; `mount` is
    /// `/var/run/secrets/kubernetes.io/serviceaccount`.
    ///
    /// # Errors
    /// [`KubeconfigError::NotInCluster`] if one of them is missing.
    pub fn in_cluster(
        name: ClusterName,
        host: Option<&str>,
        port: Option<&str>,
        mount: &Path,
    ) -> Result<Self, KubeconfigError> {
        let missing = |problem: String| KubeconfigError::NotInCluster { problem };
        let host = host.ok_or_else(|| missing("`KUBERNETES_SERVICE_HOST` is not set".into()))?;
        let token = mount.join("token");
        if !token.exists() {
            return Err(missing(format!("no service account token: {}", token.display())));
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let cluster = Cluster {
            server: Some(format!("https://{host}:{}", port.unwrap_or("443"))),
            certificate_authority: Some(mount.join("ca.crt").display().to_string()),
            ..Cluster::default()
        };
        let user = AuthInfo { token_file: Some(token.display().to_string()), ..AuthInfo::default() };
        let namespace = std::fs::read_to_string(mount.join("namespace")).unwrap_or_else(|_| "default".into());
        Ok(Self {
            name,
            file: None,
            context: "in-cluster".into(),
            labels: BTreeMap::new(),
            reach: Reach {
                cluster,
                user,
                user_name: "service account".into(),
                namespace: namespace.trim().to_owned(),
            },
        })
    }
}

fn read_file(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let bytes =
        std::fs::read(path).map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })?;
    let syntax =
        |text: String| KubeconfigError::Syntax { path: path.to_owned(), problem: SyntaxProblem(text) };
    let text = String::from_utf8(bytes).map_err(|error| syntax(format!("not UTF-8: {error}")))?;
    let mut config = parse(&text).map_err(syntax)?;
    if config.clusters.is_empty() && config.contexts.is_empty() {
        return Err(KubeconfigError::Incomplete {
            path: path.to_owned(),
            problem: "a kubeconfig has `clusters`, `contexts` and `users`, this file has none of them".into(),
        });
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let absolute = |file: &mut Option<String>| {
        if let Some(name) = file.as_deref().filter(|name| !name.is_empty()) {
            *file = Some(dir.join(name).display().to_string());
        }
    };
    for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        absolute(&mut cluster.certificate_authority);
    }
    for user in config.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        absolute(&mut user.client_certificate);
        absolute(&mut user.client_key);
        absolute(&mut user.token_file);
        // As client-go: a command with a separator is relative to the file, a bare one is looked up in PATH.
        if let Some(exec) = user.exec.as_mut()
            && exec.command.as_deref().is_some_and(|command| command.contains('/'))
        {
            absolute(&mut exec.command);
        }
    }
    Ok(config)
}

fn parse(text: &str) -> Result<Kubeconfig, String> {
    Kubeconfig::from_yaml(text).map_err(|error| first_line(&error.to_string()))
}

/// Parsers append an excerpt of the text to their message; a kubeconfig holds tokens, so only the first line is kept.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
}

fn targets_of(config: &Kubeconfig, path: &Path, contexts: Contexts) -> Result<Vec<Target>, KubeconfigError> {
    let incomplete = |problem: String| KubeconfigError::Incomplete { path: path.to_owned(), problem };
    let file_name = config
        .other
        .get("metadata")
        .and_then(|metadata| metadata.get("name"))
        .and_then(|name| name.as_str())
        .filter(|name| !name.is_empty());
    match contexts {
        Contexts::Current => {
            let current = match config.current_context.as_deref().filter(|name| !name.is_empty()) {
                Some(name) => name,
                // kubectl would fall back to localhost:8080; a file with one context can only mean that one.
                None => match config.contexts.as_slice() {
                    [only] => only.name.as_str(),
                    _ => return Err(incomplete("`current-context` is not set".into())),
                },
            };
            let context = config
                .contexts
                .iter()
                .find(|context| context.name == current)
                .ok_or_else(|| incomplete(format!("`current-context` names no context: `{current}`")))?;
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let cluster = context.context.as_ref().map(|context| context.cluster.as_str());
            let name = file_name.or(cluster.filter(|name| !name.is_empty())).unwrap_or(&stem);
            target(config, path, context, name).map(|target| vec![target])
        }
        Contexts::All => config
            .contexts
            .iter()
            .map(|context| {
                let cluster = context.context.as_ref().map_or("", |context| context.cluster.as_str());
                let shared = config
                    .contexts
                    .iter()
                    .filter(|other| other.context.as_ref().is_some_and(|other| other.cluster == cluster))
                    .count()
                    > 1;
                let name = if shared || cluster.is_empty() { context.name.as_str() } else { cluster };
                target(config, path, context, name)
            })
            .collect(),
    }
}

fn target(
    config: &Kubeconfig,
    path: &Path,
    named: &NamedContext,
    name: &str,
) -> Result<Target, KubeconfigError> {
    let incomplete = |problem: String| KubeconfigError::Incomplete { path: path.to_owned(), problem };
    let name: ClusterName =
        name.parse().map_err(|error: manifest::ClusterNameError| incomplete(error.to_string()))?;
    let context = named
        .context
        .as_ref()
        .ok_or_else(|| incomplete(format!("the context is empty: `{}`", named.name)))?;
    let NamedCluster { cluster, .. } =
        config.clusters.iter().find(|cluster| cluster.name == context.cluster).ok_or_else(|| {
            incomplete(format!("context `{}` names no cluster: `{}`", named.name, context.cluster))
        })?;
    let cluster =
        cluster.clone().ok_or_else(|| incomplete(format!("the cluster is empty: `{}`", context.cluster)))?;
    match cluster.server.as_deref().unwrap_or_default() {
        "" => return Err(incomplete(format!("cluster `{}` has no `server`", context.cluster))),
        server if server.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some()) => {}
        server => {
            return Err(incomplete(format!(
                "`server` of cluster `{}` is not a URL: `{server}`",
                context.cluster
            )));
        }
    }
    let user_name = context.user.clone().unwrap_or_default();
    let user = if user_name.is_empty() {
        AuthInfo::default()
    } else {
        config
            .auth_infos
            .iter()
            .find(|user| user.name == user_name)
            .ok_or_else(|| incomplete(format!("context `{}` names no user: `{user_name}`", named.name)))?
            .auth_info
            .clone()
            .unwrap_or_default()
    };
    let namespace = context.namespace.clone().filter(|namespace| !namespace.is_empty());
    Ok(Target {
        name,
        file: Some(path.to_owned()),
        context: named.name.clone(),
        labels: labels(config).map_err(incomplete)?,
        reach: Reach { cluster, user, user_name, namespace: namespace.unwrap_or_else(|| "default".into()) },
    })
}

/// `metadata.labels` of a kubeconfig: an extension of ours, beside `metadata.name`.
fn labels(config: &Kubeconfig) -> Result<BTreeMap<String, String>, String> {
    let labels = config.other.get("metadata").and_then(|metadata| metadata.get("labels"));
    let Some(labels) = labels.filter(|labels| !labels.is_null()) else { return Ok(BTreeMap::new()) };
    let wrong = || "`metadata.labels` is a map of strings, such as `{region: eu}`".to_owned();
    let labels = serde_json::to_value(labels).map_err(|_| wrong())?;
    let map = labels.as_object().ok_or_else(wrong)?;
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(value.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    };
    map.iter().map(|(key, value)| Some((key.clone(), text(value)?))).collect::<Option<_>>().ok_or_else(wrong)
}
