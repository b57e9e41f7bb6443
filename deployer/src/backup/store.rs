//! A backup in S3, Google Cloud Storage or Azure Blob Storage. Credentials come from the environment and the files that the programs
//! of these clouds read; the store encrypts at rest, S3 being asked to.

use std::time::Duration;

use cli::{Failure, Problem};
use futures::StreamExt as _;
use futures::stream;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt as _, RetryConfig};

use super::transport::Transport;
use super::{File, aws_files, invalid};

/// How S3 is to encrypt: `AES256` (the default), `aws:kms`, `aws:kms:dsse`, `sse-c`, or `none` to leave it to the bucket.
const ENCRYPTION: &str = "AWS_SERVER_SIDE_ENCRYPTION";
/// Files in flight.
const PARALLEL: usize = 32;
/// After so many files that the store did not take, each tried several times, the others are not tried.
const MOST_FAILURES: usize = 5;
/// Retries of one file, on 5xx and 429 and where the connection broke.
const RETRIES: usize = 4;
/// No retry of a file after so long.
const RETRY_UNTIL: Duration = Duration::from_secs(60);
/// Not the whole document that a server sends.
const LONGEST_REASON: usize = 300;

/// A bucket or container, and the prefix in it.
pub(crate) struct Store {
    /// As the user wrote it.
    place: String,
    prefix: Path,
    store: Box<dyn ObjectStore>,
}

/// The store at `scheme://rest`. Nothing is connected to.
pub(super) fn open(scheme: &str, rest: &str) -> Result<Store, Failure> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // Names the container of `abfss://CONTAINER@ACCOUNT…`; elsewhere it is a password in an argument.
    let hadoop = scheme.starts_with("abfs") && !bucket.split('@').next().unwrap_or_default().contains(':');
    if (bucket.contains('@') && !hadoop) || rest.contains(['?', '#']) {
        return Err(invalid(
            format!(
                "`--backup-url` is a bucket and a prefix, without credentials or parameters: `{scheme}://…`"
            ),
            "credentials come from the environment: AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY",
        ));
    }
    let place = format!("{scheme}://{rest}");
    if bucket.is_empty() || bucket.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':') {
        return Err(invalid(
            format!("`--backup-url` names no bucket: `{place}`"),
            &format!("--backup-url {scheme}://BUCKET/PREFIX"),
        ));
    }
    let prefix = Path::from_url_path(prefix.trim_matches('/')).map_err(|error| {
        Failure::invalid(
            Problem::from_error(&error)
                .context(format!("`--backup-url` has a prefix that is none: `{place}`")),
        )
    })?;
    let url = format!("{scheme}://{bucket}");
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_UNTIL,
    };
    let store: Result<Box<dyn ObjectStore>, object_store::Error> = match scheme {
        "s3" => s3()?
            .with_url(url)
            .with_retry(retry)
            .with_http_connector(Transport)
            .build()
            .map(|store| Box::new(store) as _),
        "gs" => GoogleCloudStorageBuilder::from_env()
            .with_url(url)
            .with_retry(retry)
            .with_http_connector(Transport)
            .build()
            .map(|store| Box::new(store) as _),
        _ => MicrosoftAzureBuilder::from_env()
            .with_url(url)
            .with_retry(retry)
            .with_http_connector(Transport)
            .build()
            .map(|store| Box::new(store) as _),
    };
    let store = store.map_err(|error| {
        Failure::invalid(
            Problem::new(format!(
                "`--backup-url` cannot be used: `{place}`: {}",
                conceal(&error.to_string())
            ))
            .hint("set what the store reads from the environment; for Azure: export AZURE_STORAGE_ACCOUNT_NAME=ACCOUNT"),
        )
    })?;
    Ok(Store { place, prefix, store })
}

/// S3 by the environment, and by the files of the AWS programs where the environment has no keys.
fn s3() -> Result<AmazonS3Builder, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // As the original does. A store that cannot encrypt refuses, which is a warning and not a secret in the clear.
    let encryption = set(ENCRYPTION).unwrap_or_else(|| "AES256".to_owned());
    let encryption = Some(encryption).filter(|kind| kind != "none").map(|kind| (ENCRYPTION.to_owned(), kind));
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("AWS_") && name != ENCRYPTION && !value.is_empty());
    let mut builder = AmazonS3Builder::new();
    for (name, value) in variables.chain(encryption) {
        // What is no setting of the store is one of the other AWS programs.
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    let named = set("AWS_PROFILE");
    if set("AWS_ACCESS_KEY_ID").is_none() && set("AWS_WEB_IDENTITY_TOKEN_FILE").is_none() {
        let profile = aws_files::read(named.as_deref().unwrap_or("default"));
        match (profile.key_id, profile.secret) {
            (Some(id), Some(secret)) => {
                builder = builder.with_access_key_id(id).with_secret_access_key(secret);
                if let Some(token) = profile.token {
                    builder = builder.with_token(token);
                }
            }
            _ => {
                if let Some(name) = named {
                    return Err(invalid(
                        format!("the AWS profile has no keys: `{name}`"),
                        "sign in, and hand the keys over: eval \"$(aws configure export-credentials --format env)\"",
                    ));
                }
            }
        }
        if let (Some(region), None, None) = (profile.region, set("AWS_REGION"), set("AWS_DEFAULT_REGION")) {
            builder = builder.with_region(region);
        }
    }
    Ok(builder)
}

impl Store {
    /// Puts the files below the prefix. Returns what was not written, in a few lines however many files there are.
    pub(super) async fn write(&self, files: impl Iterator<Item = Result<File, String>>) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut files = files.filter_map(|file| file.map_err(|line| warnings.push(line)).ok());
        let mut troubles = Vec::new();
        // One alone first: a wrong name, or credentials that nobody has, show once.
        if let Some(first) = files.next() {
            troubles.extend(self.put(first).await.err());
        }
        if troubles.is_empty() {
            let mut puts = stream::iter(files.by_ref().map(|file| self.put(file))).buffer_unordered(PARALLEL);
            while let Some(put) = puts.next().await {
                troubles.extend(put.err());
                if troubles.len() >= MOST_FAILURES {
                    break;
                }
            }
        }
        let left = files.count();
        troubles.sort();
        warnings.extend(troubles.into_iter().map(|why| format!("the backup was not written: {why}")));
        if left > 0 {
            let files = if left == 1 { "file was" } else { "files were" };
            warnings
                .push(format!("the backup in {} is not whole: {left} more {files} not tried", self.place));
        }
        warnings
    }

    async fn put(&self, file: File) -> Result<(), String> {
        let path = self.prefix.clone().join(file.cluster.as_str()).join(format!("{}.yaml", file.name));
        match self.store.put(&path, file.text.into_bytes().into()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "{}/{}/{}.yaml: {}",
                self.place.trim_end_matches('/'),
                file.cluster,
                file.name,
                reason(&error)
            )),
        }
    }
}

/// Why the store did not take it, in one line, and what to do. The library tells status and answer only as text.
fn reason(error: &object_store::Error) -> String {
    let text = error.to_string();
    let status = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse::<u16>().ok());
    let Some(status) = status else {
        let short = text.rsplit_once("HTTP error: ").map_or(text.as_str(), |(_, why)| why);
        return conceal(&one_line(short));
    };
    let said: Vec<&str> = ["Code", "Message"].into_iter().filter_map(|name| element(&text, name)).collect();
    let said =
        if said.is_empty() { String::new() } else { format!(": {}", conceal(&one_line(&said.join(": ")))) };
    let hint = match status {
        401 | 403 => " (check the credentials in the environment, and that they may write there)",
        404 => " (make the bucket first)",
        300..=400 => " (check AWS_REGION, and AWS_SERVER_SIDE_ENCRYPTION if the store cannot encrypt)",
        _ => "",
    };
    format!("HTTP status {status}{said}{hint}")
}

/// The text of an XML element without children. All three stores answer with `<Error><Code>…</Code><Message>…`.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0).filter(|text| !text.is_empty())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_REASON).collect()
}

/// Without any credential of the environment, should a server or a library quote one.
fn conceal(text: &str) -> String {
    let secret = |(name, value): (String, String)| {
        let ours = ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        let telling = ["KEY", "SECRET", "TOKEN", "SAS"].iter().any(|word| name.contains(word));
        (ours && telling && value.len() > 3).then_some(value)
    };
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter_map(secret).fold(text.to_owned(), |text, value| text.replace(&value, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        reason(&object_store::Error::Generic { store: "S3", source: text.into() })
    }

    #[test]
    fn an_answer_of_a_store_is_told_in_one_line() {
        let body = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\n<Message>Access\nDenied</Message></Error>";
        assert_eq!(
            told(&format!(
                "Error performing PUT http://h/b in 1s - Server returned non-2xx status code: 403 Forbidden: {body}"
            )),
            "HTTP status 403: AccessDenied: Access Denied (check the credentials in the environment, and that they may write there)"
        );
        assert_eq!(told("- Server returned non-2xx status code: 502 Bad Gateway: "), "HTTP status 502");
        assert_eq!(told("in 2s, after 4 retries - HTTP error: connection refused"), "connection refused");
    }
}
