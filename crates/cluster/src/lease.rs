//! One deployer at a time per cluster and resource set: a `coordination.k8s.io/v1` Lease.
//!
//! It is taken before the first write of a run that writes anything, renewed as long as the run takes, and deleted at its end. Who
//! finds another's waits; once nobody has renewed it for as long as it says, it is taken over. Times are the server's own, out of
//! the `Date` of its answers, so that no clock of a machine matters. A deployer that cannot renew in time sends nothing more: see
//! [`Connection::fence`].

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connect::{Call, CallError, Connection};
use crate::discovery::Resource;
use crate::events::Happening;
use crate::inventory::SetOptions;
use crate::outcome::Trouble;
use crate::packed::Packed;
use crate::stop::Stop;

static LEASE: LazyLock<Resource> =
    LazyLock::new(|| Resource::new("coordination.k8s.io", "v1", "Lease", "leases", true));

/// The `Date` of an answer is cut to whole seconds.
const CLOCK_ERROR: SignedDuration = SignedDuration::from_secs(1);
/// Longest pause between looks at another's lease.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// A lease that we hold.
pub(crate) struct Lease {
    path: String,
    holder: String,
    duration: Duration,
    /// As the server has it.
    object: Mutex<Packed<Value>>,
}

/// Why there is no lease.
#[derive(Debug)]
pub(crate) enum NoLease {
    /// Another deployer is at work and did not end in time.
    Held(Trouble),
    /// The run was stopped while waiting.
    Stopped,
    /// Leases may not be written; the caller decides what that means.
    Forbidden(CallError),
    /// Its namespace does not exist.
    NoNamespace,
    /// No answer.
    Call(CallError),
}

/// Who holds the lease of a set now, for people; `None` if nobody does.
pub(crate) async fn holder(connection: &Connection, set: &SetOptions, namespace: &str) -> Option<String> {
    let path = LEASE.path(Some(namespace), &set.name.parent());
    let reply = connection.call(&Call::get("look at the lease", path)).await.ok()?;
    let now = reply.date.unwrap_or_else(Timestamp::now);
    let seen = Seen::of(&reply.value)?;
    (now <= seen.expires).then_some(seen.holder)
}

/// What somebody's lease says.
struct Seen {
    holder: String,
    /// On the server's clock.
    expires: Timestamp,
}

impl Seen {
    /// `None` if nobody holds it.
    fn of(lease: &Value) -> Option<Self> {
        let spec = &lease["spec"];
        let holder = spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?.to_owned();
        let renewed = spec["renewTime"].as_str().or(spec["acquireTime"].as_str());
        let renewed =
            renewed.and_then(|time| time.parse::<Timestamp>().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
        let duration = SignedDuration::from_secs(spec["leaseDurationSeconds"].as_i64().unwrap_or(0));
        Some(Self { holder, expires: renewed + duration + CLOCK_ERROR })
    }
}

/// Takes the lease of a set, waiting for its holder if there is one.
///
/// # Errors
/// [`NoLease`].
pub(crate) async fn acquire(
    connection: &Connection,
    set: &SetOptions,
    namespace: &str,
    stop: &Stop,
) -> Result<Lease, NoLease> {
    let path = LEASE.path(Some(namespace), &set.name.parent());
    let until = (Instant::now() + set.lease_wait).min(connection.deadline());
    let what = format!("take the lease of resource set `{}`", set.name);
    let lease = |object: Value| Lease {
        path: path.clone(),
        holder: set.holder.clone(),
        duration: set.lease_duration,
        object: Mutex::new(stored(object)),
    };
    let mut pause = Duration::from_millis(100);
    let mut look = 0;
    loop {
        let begun = Instant::now();
        let fresh = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": set.name.parent(), "namespace": namespace},
            "spec": spec(set, server_time(connection), 0),
        });
        let call = Call::new(what.clone(), Method::POST, LEASE.collection(Some(namespace)));
        match connection.call(&unfenced(call).with_body("application/json", &fresh)).await {
            Ok(reply) => {
                connection.fence(begun + set.lease_duration);
                return Ok(lease(reply.value));
            }
            Err(error) if error.refusal().is_some_and(|refusal| refusal.reason == "AlreadyExists") => {}
            Err(error) if error.is(403) => return Err(NoLease::Forbidden(error)),
            Err(error) if error.is(404) => return Err(NoLease::NoNamespace),
            Err(error) => return Err(NoLease::Call(error)),
        }
        let reply = match connection.call(&Call::get(what.clone(), path.clone())).await {
            Ok(reply) => reply,
            Err(error) if error.is(404) => continue,
            Err(error) => return Err(NoLease::Call(error)),
        };
        let now = reply.date.unwrap_or_else(Timestamp::now);
        let seen = Seen::of(&reply.value);
        match seen.filter(|seen| seen.holder != set.holder && now <= seen.expires) {
            // Nobody's, ours (the first try got through), or one that has expired.
            None => {
                let begun = Instant::now();
                let mut object = reply.value;
                let transitions = object["spec"]["leaseTransitions"].as_i64().unwrap_or(0);
                object["spec"] = spec(set, now, transitions + 1);
                let call = Call::new(what.clone(), Method::PUT, path.clone());
                match connection.call(&unfenced(call).with_body("application/json", &object)).await {
                    Ok(reply) => {
                        connection.fence(begun + set.lease_duration);
                        return Ok(lease(reply.value));
                    }
                    // Somebody was quicker.
                    Err(error) if error.is(409) || error.is(404) => {}
                    Err(error) => return Err(NoLease::Call(error)),
                }
            }
            Some(seen) => {
                look += 1;
                if Instant::now() + pause >= until {
                    let trouble = Trouble::new("another deployer is at work here, nothing was written")
                        .because(format!("`{}` holds the lease of resource set `{}`", seen.holder, set.name))
                        .hint("run again when it is done, or wait longer with `--lease-wait`");
                    return Err(NoLease::Held(trouble));
                }
                connection.events().emit(Happening::Retrying {
                    what: what.clone(),
                    attempt: look,
                    pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    because: format!("`{}` holds it", seen.holder),
                });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.set() => return Err(NoLease::Stopped),
        }
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

impl Lease {
    /// Renews it for ever; to be dropped when the work is done. A lease that went to somebody else closes the fence.
    pub(crate) async fn keep(&self, connection: &Connection) {
        loop {
            tokio::time::sleep(self.duration / 3).await;
            let begun = Instant::now();
            let mut object =
                self.object.lock().unwrap_or_else(PoisonError::into_inner).unpack().unwrap_or_default();
            object["spec"]["renewTime"] = micro_time(server_time(connection));
            let mut call = unfenced(Call::new("renew the lease", Method::PUT, self.path.clone()));
            call.timeout = Some(self.duration / 3);
            match connection.call(&call.with_body("application/json", &object)).await {
                Ok(reply) => {
                    self.store(reply.value);
                    connection.fence(begun + self.duration);
                }
                Err(error) if error.is(409) || error.is(404) => {
                    let found = connection.call(&Call::get("look at the lease", self.path.clone())).await;
                    match found {
                        // Our first try got through, and its answer did not.
                        Ok(reply) if reply.value["spec"]["holderIdentity"] == self.holder.as_str() => {
                            self.store(reply.value);
                            connection.fence(begun + self.duration);
                        }
                        Ok(_) | Err(CallError::Refused { .. }) => {
                            connection.fence(Instant::now());
                            return std::future::pending().await;
                        }
                        Err(_) => {}
                    }
                }
                // As long as nobody else takes it, it is ours; nothing is sent once it has expired.
                Err(_) => {}
            }
        }
    }

    fn store(&self, lease: Value) {
        *self.object.lock().unwrap_or_else(PoisonError::into_inner) = stored(lease);
    }

    /// Gives it back. One that cannot be given back expires.
    pub(crate) async fn release(self, connection: &Connection) {
        connection.unfence();
        let object =
            self.object.into_inner().unwrap_or_else(PoisonError::into_inner).unpack().unwrap_or_default();
        let metadata = &object["metadata"];
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        });
        let mut call = Call::new("give back the lease", Method::DELETE, self.path);
        call.timeout = Some(Duration::from_secs(5));
        let _ = connection.call(&call.with_body("application/json", &options)).await;
    }
}

/// Without the fields' managers, which need not be sent back.
fn stored(mut lease: Value) -> Packed<Value> {
    if let Some(metadata) = lease.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    Packed::from(lease)
}

fn unfenced(mut call: Call) -> Call {
    call.fenced = false;
    call
}

/// Now, as the server's last answer has it.
fn server_time(connection: &Connection) -> Timestamp {
    Timestamp::now() + connection.clock_offset()
}

fn micro_time(time: Timestamp) -> Value {
    Value::from(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

fn spec(set: &SetOptions, now: Timestamp, transitions: i64) -> Value {
    json!({
        "holderIdentity": set.holder,
        // Never shorter than what the fence counts on.
        "leaseDurationSeconds": set.lease_duration.as_millis().div_ceil(1000).max(1),
        "acquireTime": micro_time(now),
        "renewTime": micro_time(now),
        "leaseTransitions": transitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_when_nobody_has_renewed_it_for_its_duration() {
        let lease = json!({"spec": {"holderIdentity": "a", "leaseDurationSeconds": 30, "renewTime": "2026-01-01T00:00:00.500000Z"}});
        let seen = Seen::of(&lease).unwrap();
        assert_eq!(seen.expires.to_string(), "2026-01-01T00:00:31.5Z");
        assert!(Seen::of(&json!({"spec": {"holderIdentity": ""}})).is_none());
        let without_time = Seen::of(&json!({"spec": {"holderIdentity": "a"}})).unwrap();
        assert!(without_time.expires < Timestamp::now(), "a lease without a time holds nobody up");
    }
}
