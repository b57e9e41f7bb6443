//! A rollout that is killed, at every write of its journal, and goes on.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::{Fleet, config_map, wait_for};

const WAVES: &str =
    "waves: [{name: one, clusters: [c00, c01], concurrency: 1}, {name: two, rest: true, concurrency: 1}]\n";

/// Runs the call in a process that the system kills when it makes a file longer than `limit` bytes: in the midst of a line
/// of the journal, if that is where the limit is.
fn run_until(fleet: &Fleet, limit: u64, args: &[&str]) -> Option<i32> {
    let mut command: Command = fleet.sandbox.command("sh");
    // The limit is set before the program starts.
    command.args(["-c", "read go && exec \"$@\"", "sh"]).arg(testkit::built_binary("deployer")).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let both = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    prlimit(Some(pid), Resource::Core, both(0)).unwrap();
    prlimit(Some(pid), Resource::Fsize, both(limit)).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap().code()
}

#[test]
fn killed_at_every_write_of_its_journal_a_rollout_ends_the_same() {
    let fleet = Fleet::numbered(4);
    fleet.manifest(&config_map("0"));
    fleet.sandbox.write("waves.yaml", WAVES);
    let args = ["--configs", "configs", "--manifests-dir", "manifests", "--waves", "waves.yaml", "--quiet"];
    fleet.run(&args[4..]).success();
    let lines: Vec<String> = fleet.journal().split_inclusive('\n').map(str::to_owned).collect();
    // begin; four times start and done; baked and passed for two waves; complete.
    assert_eq!(lines.len(), 1 + 4 * 2 + 2 * 2 + 1, "{lines:#?}");

    for whole in 0..lines.len() {
        // Other content each time, so that every run has everything to do.
        fleet.manifest(&config_map(&format!("{:02}", whole + 1)));
        std::fs::remove_file(fleet.sandbox.join("kit-rollout.journal")).unwrap();
        let bytes = lines[..whole].iter().map(String::len).sum::<usize>() + lines[whole].len() / 2;
        let code = run_until(&fleet, bytes as u64, &args);
        assert_eq!(code, None, "it is killed in the midst of line {whole}: {}", lines[whole]);
        let cut = fleet.journal();
        assert_eq!(cut.len(), bytes, "half a line stays: {cut}");

        let resumed = fleet.run(&[&args[4..], &["--resume", "--output", "json"]].concat());
        assert_eq!(resumed.exit_code, 0, "killed in line {whole}: {resumed}");
        let states: Vec<_> =
            resumed.json()["clusters"].as_array().unwrap().iter().map(|c| c["state"].clone()).collect();
        assert_eq!(states, ["done", "done", "done", "done"], "killed in line {whole}");
        assert!(fleet.journal().ends_with("{\"entry\":\"complete\"}\n"));
        // Every line of the journal is whole again.
        assert!(fleet.journal().lines().all(|line| line.starts_with('{') && line.ends_with('}')));
        let dry = fleet.run(&["--no-waves", "--dry-run", "--detailed-exitcode", "--quiet"]);
        assert_eq!(dry.exit_code, 0, "killed in line {whole}, every cluster has the new content: {dry}");
    }
}

#[test]
fn a_rollout_that_was_killed_while_its_gate_was_asked_asks_it_again_and_nothing_else() {
    let fleet = Fleet::numbered(3);
    fleet.manifest(&crate::deployment("default", "registry.example.com/web:1"));
    fleet.sandbox.write(
        "waves.yaml",
        "waves: [{name: one, clusters: [c00], bake: 1s, gate: {exec: [sh, gate.sh]}}, {name: two, rest: true}]\n",
    );
    fleet.sandbox.write("gate.sh", "echo asked >> asked; test -e open || sleep 60\n");
    let call = fleet.deployer().args(["--waves", "waves.yaml"]);
    let mut child = fleet.sandbox.start(&call);
    wait_for(&fleet.sandbox.join("asked"), "asked");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fleet.journal().contains("\"baked\""), "{}", fleet.journal());

    fleet.sandbox.write("open", "");
    let before = fleet.requests("c00");
    let resumed = fleet.sandbox.run(call.arg("--resume"));
    assert_eq!(resumed.exit_code, 0, "{resumed}");
    assert_eq!(before, fleet.requests("c00"), "neither deployed nor baked again");
    assert_eq!(fleet.sandbox.read("asked"), "asked\nasked\n");
    assert!(!resumed.stderr.contains("must stay well"), "{resumed}");
}

#[test]
fn an_interrupted_rollout_stops_in_order_and_can_be_resumed() {
    let fleet = Fleet::numbered(2);
    fleet.manifest(&crate::deployment("default", "registry.example.com/web:1"));
    fleet
        .sandbox
        .write("waves.yaml", "waves: [{name: one, clusters: [c00], bake: 60s}, {name: two, rest: true}]\n");
    let call = fleet.deployer().args(["--waves", "waves.yaml", "--report", "report.json"]);
    let child = fleet.sandbox.start(&call);
    wait_for(&fleet.sandbox.join("kit-rollout.journal"), "\"done\"");
    rustix::process::kill_process(Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", String::from_utf8_lossy(&output.stderr));
    let stopped = "{\"entry\":\"stopped\",\"wave\":\"one\",\"because\":\"the run was stopped\"}\n";
    assert!(fleet.journal().ends_with(stopped), "{}", fleet.journal());
    fleet.sandbox.write("waves.yaml", "waves: [{name: one, clusters: [c00]}, {name: two, rest: true}]\n");
    let resumed = fleet.sandbox.run(call.arg("--resume"));
    assert_eq!(resumed.exit_code, 0, "how long it bakes may change: {resumed}");
}

#[test]
fn a_journal_that_cannot_be_written_stops_the_rollout() {
    let fleet = Fleet::numbered(2);
    fleet.manifest(&config_map("1"));
    let answer = fleet.run(&["--journal", "no/such/folder/j"]);
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(answer.stderr.contains("cannot open the journal: `no/such/folder/j`"), "{answer}");
    assert_eq!(fleet.requests("c00"), 0, "nothing is done that cannot be written down");
}
