//! The last lines of a container's log, for those diagnoses that ask for it.

use std::time::Duration;

use futures::future::join_all;
use kube::api::LogParams;
use kube::{Api, Client};

use crate::health::{Diagnosis, LogTail};

/// Enough for what a program says before it ends; a line of a megabyte is cut.
const BYTES: i64 = 16 * 1024;

/// Fetches the logs of `diagnoses`, all at once, within `limit`. What cannot be had is left out: a report without a
/// log is better than none.
pub(super) async fn fetch(
    client: &Client,
    namespace: &str,
    lines: u32,
    limit: Duration,
    diagnoses: &mut [Diagnosis],
) {
    if lines == 0 {
        return;
    }
    let all = diagnoses.iter_mut().filter(|diagnosis| diagnosis.log.is_none()).map(async |diagnosis| {
        let Some((pod, previous)) = diagnosis.ask_log.clone() else { return };
        let container = diagnosis.container.clone();
        let one = tail(client, namespace, &pod, container.as_deref(), previous, lines);
        diagnosis.log = tokio::time::timeout(limit, one).await.unwrap_or_default().map(Box::new);
    });
    join_all(all).await;
}

async fn tail(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: Option<&str>,
    previous: bool,
    lines: u32,
) -> Option<LogTail> {
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), namespace);
    // The run before may have been collected already, or the present one may not have begun: then the other one.
    for previous in [previous, !previous] {
        let params = LogParams {
            container: container.map(str::to_owned),
            previous,
            tail_lines: Some(i64::from(lines)),
            limit_bytes: Some(BYTES),
            ..LogParams::default()
        };
        if let Ok(text) = pods.logs(pod, &params).await
            && !text.trim().is_empty()
        {
            let lines = text.lines().map(|line| line.trim_end().to_owned()).collect();
            return Some(LogTail { pod: pod.to_owned(), previous, lines });
        }
    }
    None
}
