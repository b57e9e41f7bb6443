//! CronJobs. They fire on their schedule, to the minute, in UTC.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::events::Event;
use super::objects::{owner, text};
use crate::cluster::now;
use crate::store::Key;

const MANAGER: &str = "kube-controller-manager";

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut cron: Value) {
    if cron["metadata"].get("deletionTimestamp").is_some() || cron["spec"]["suspend"] == true {
        return;
    }
    let uid = text(&cron, "/metadata/uid").to_owned();
    let jobs = context.owned(&uid, "jobs.batch");
    let finished = |j: &Value| {
        j["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| matches!(c["type"].as_str(), Some("Complete" | "Failed")) && c["status"] == "True")
    };
    let active: Vec<Value> = jobs
        .iter()
        .filter(|(_, j)| !finished(j))
        .map(|(_, j)| {
            json!({"kind": "Job", "apiVersion": "batch/v1", "namespace": j["metadata"]["namespace"],
                "name": j["metadata"]["name"], "uid": j["metadata"]["uid"], "resourceVersion": j["metadata"]["resourceVersion"]})
        })
        .collect();
    if active.is_empty() {
        cron["status"].as_object_mut().map(|s| s.shift_remove("active"));
    } else {
        cron["status"]["active"] = Value::Array(active);
    }
    let minute = jiff::Timestamp::now().as_second() / 60;
    let last = cron["status"]["lastScheduleTime"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let created = text(&cron, "/metadata/creationTimestamp").parse::<jiff::Timestamp>().ok();
    let due = due(text(&cron, "/spec/schedule"), minute)
        && last.is_none_or(|l| l.as_second() / 60 < minute)
        && created.is_none_or(|c| c.as_second() / 60 < minute);
    if due {
        let name = format!("{}-{minute}", key.name);
        let mut job = json!({
            "metadata": {"name": name, "namespace": key.ns, "ownerReferences": [owner(&cron)]},
            "spec": cron["spec"]["jobTemplate"]["spec"],
        });
        for field in ["labels", "annotations"] {
            if let Some(value) = cron["spec"]["jobTemplate"]["metadata"].get(field) {
                job["metadata"][field] = value.clone();
            }
        }
        if context.create("jobs.batch", job, MANAGER).is_some() {
            let message = format!("Created job {name}");
            context.event(&cron, Event::normal("cronjob-controller", "SuccessfulCreate", &message));
        }
        cron["status"]["lastScheduleTime"] = json!(now());
    }
    context.save_status(key, &cron, MANAGER);
    let next = (minute + 1) * 60_000 - jiff::Timestamp::now().as_millisecond();
    context.again(key, Duration::from_millis(u64::try_from(next).unwrap_or(60_000).max(10)));
}

/// Whether a five-field schedule fires in this minute since the epoch.
pub(crate) fn due(schedule: &str, minute: i64) -> bool {
    let schedule = match schedule {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        other => other,
    };
    let Ok(time) = jiff::Timestamp::from_second(minute * 60) else { return false };
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    let values = [
        i64::from(time.minute()),
        i64::from(time.hour()),
        i64::from(time.day()),
        i64::from(time.month()),
        i64::from(time.weekday().to_sunday_zero_offset()),
    ];
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    fields.len() == 5
        && fields.iter().zip(values).enumerate().all(|(i, (field, value))| {
            field.split(',').any(|part| fits(part, value) || i == 4 && value == 0 && fits(part, 7))
        })
}

fn fits(part: &str, value: i64) -> bool {
    let (range, step) = part.split_once('/').unwrap_or((part, "1"));
    let step: i64 = step.parse().unwrap_or(1).max(1);
    let (from, to) = match (range, range.split_once('-')) {
        ("*" | "?", _) => (0, 60),
        (_, Some((a, b))) => (a.parse().unwrap_or(-1), b.parse().unwrap_or(-1)),
        (one, None) => {
            let one: i64 = one.parse().unwrap_or(-1);
            (one, if part.contains('/') { 60 } else { one })
        }
    };
    value >= from && value <= to && (value - from) % step == 0
}

#[cfg(test)]
mod tests {
    use super::due;

    #[test]
    fn schedules_fire_in_their_minutes() {
        assert!(due("* * * * *", 0) && due("0 0 1 1 *", 0) && due("*/15 0 * * 4", 15));
        assert!(!due("5 0 * * *", 0) && !due("0 0 * * 5", 0) && !due("nonsense", 0));
    }
}
