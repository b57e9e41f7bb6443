//! `--backup-url`: what was deployed, as files, in the layout of the original: `<url>/<cluster>/<name>.yaml`.

mod aws_files;
mod directory;
mod store;
mod transport;

use std::collections::BTreeMap;
use std::path::PathBuf;

use cli::{Failure, Problem};
use cluster::outcome::{ClusterOutcome, ClusterState};
use manifest::Object;

use crate::input::Manifests;
use crate::parse;
use crate::set_args::SetArgs;
use store::Store;

/// Where a backup goes.
pub(crate) enum Backup {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A bucket or container.
    Store(Store),
}

/// The objects of one name, on one cluster.
struct File {
    cluster: String,
    /// May hold `:`, never `/`.
    name: String,
    text: String,
}

/// What `--backup-url` means. Nothing is connected to.
///
/// # Errors
/// An address that is none, a store that this program cannot write to, credentials that are not whole.
pub(crate) fn of(set: &SetArgs) -> Result<Option<Backup>, Failure> {
    parse::given(&set.backup_url).map(|url| open(&url)).transpose()
}

fn open(url: &str) -> Result<Backup, Failure> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(Backup::Directory(PathBuf::from(url)));
    };
    match scheme {
        "file" if rest.starts_with('/') => Ok(Backup::Directory(PathBuf::from(rest))),
        "file" => Err(invalid(
            "a file URL is `file:///` and an absolute path",
            "--backup-url file:///var/backups/kit",
        )),
        "s3" | "gs" | "az" | "abfs" | "abfss" => store::open(scheme, rest).map(Backup::Store),
        // The rest is not shown: addresses of other kinds carry passwords.
        _ => Err(invalid(
            format!("`--backup-url` knows no store of this kind: `{scheme}://`"),
            "--backup-url with s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX, \
             file:///DIR or a directory; an S3-compatible store is s3:// and AWS_ENDPOINT_URL",
        )),
    }
}

fn invalid(message: impl Into<String>, hint: &str) -> Failure {
    Failure::invalid(Problem::new(message.into()).hint(hint))
}

impl Backup {
    /// Writes the manifests of every cluster that has them now. What cannot be written is a warning: the deploy is over.
    pub(crate) async fn write(&self, manifests: &Manifests, outcomes: &[ClusterOutcome]) -> Vec<String> {
        let done = outcomes.iter().filter(|outcome| outcome.state == ClusterState::Done);
        // Read as they are taken: a fleet's manifests are not in memory at once.
        let files = done.flat_map(|outcome| files(manifests, outcome));
        match self {
            Self::Directory(dir) => directory::write(dir, files),
            Self::Store(store) => store.write(files).await,
        }
    }
}

/// The files of one cluster, or why one is none.
fn files(manifests: &Manifests, outcome: &ClusterOutcome) -> Vec<Result<File, String>> {
    // A rollback deploys what the cluster remembers, and has no manifests of its own.
    let loaded = match outcome.restored.as_slice() {
        [] => manifests.load(&outcome.cluster).unwrap_or_default().objects,
        restored => restored.to_vec(),
    };
    let mut names: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for object in &loaded {
        names.entry(object.name()).or_default().push(object);
    }
    let cluster = outcome.cluster.as_str();
    let file = |(name, objects): (&str, Vec<&Object>)| match text(&objects) {
        Ok(text) => Ok(File { cluster: cluster.to_owned(), name: name.to_owned(), text }),
        Err(error) => Err(format!("the backup was not written: {cluster}/{name}.yaml: {error}")),
    };
    names.into_iter().map(file).collect()
}

fn text(objects: &[&Object]) -> Result<String, String> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&manifest::yaml::emit(&object.value).map_err(|error| error.to_string())?);
    }
    Ok(text)
}
