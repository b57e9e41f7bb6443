//! The gate between two waves.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use testkit::Answer;

use crate::{Fleet, config_map};

fn rollout(gate: &str, scripts: &[(&str, &str)], env: &[(&str, &str)]) -> (Fleet, Answer) {
    let fleet = Fleet::numbered(3);
    fleet.manifest(&config_map("1"));
    let waves =
        format!("waves: [{{name: one, clusters: [c00, c01], gate: {gate}}}, {{name: two, rest: true}}]\n");
    fleet.sandbox.write("waves.yaml", waves);
    for (name, text) in scripts {
        fleet.sandbox.write(name, text);
    }
    let mut call = fleet.deployer().args(["--waves", "waves.yaml", "--sha", "abc"]);
    for (name, value) in env {
        call = call.env(name, value);
    }
    let answer = fleet.sandbox.run(call);
    (fleet, answer)
}

/// Answers GETs with these codes, one after the other, and keeps the requests.
fn server(codes: &'static [u16]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = requests.clone();
    std::thread::spawn(move || {
        for code in codes {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            seen.lock().unwrap().push(String::from_utf8_lossy(&buffer[..count]).into_owned());
            let answer = format!("HTTP/1.1 {code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (format!("http://{address}"), requests)
}

#[test]
fn a_program_that_says_yes_knows_what_it_is_asked_about() {
    let script = "printf '%s/%s/%s' \"$KIT_GATE_WAVE\" \"$KIT_GATE_CLUSTERS\" \"$KIT_GATE_COMMIT\" > told\n";
    let (fleet, answer) = rollout("{exec: [sh, gate.sh]}", &[("gate.sh", script)], &[]);
    assert_eq!(answer.exit_code, 0, "{answer}");
    assert_eq!(fleet.sandbox.read("told"), "one/c00,c01/abc");
    assert!(answer.stderr.contains("wave `one`: asking its gate: exec sh\nwave `one`: passed\n"), "{answer}");
}

#[test]
fn a_program_that_says_no_stops_the_rollout_and_is_quoted() {
    let (fleet, answer) = rollout(
        "{exec: [sh, gate.sh, --token, s3cret]}",
        &[("gate.sh", "echo error rate 7 %; exit 3\n")],
        &[],
    );
    assert_eq!(answer.exit_code, 4, "{answer}");
    let because = "its gate is closed, `sh` ended with exit status: 3: error rate 7 %";
    assert!(answer.stderr.contains(&format!("stopped in wave `one`: {because}")), "{answer}");
    assert!(!fleet.journal().contains("\"cluster\":\"c02\""), "its turn has not come: {}", fleet.journal());
    let all = format!("{answer}{}", fleet.journal());
    assert!(!all.contains("s3cret"), "arguments are not told: {all}");
    // The next try asks only the gate.
    fleet.sandbox.write("gate.sh", "exit 0\n");
    let before = fleet.requests("c00");
    let resumed = fleet.run(&["--waves", "waves.yaml", "--sha", "abc", "--resume"]);
    assert_eq!((resumed.exit_code, fleet.requests("c00")), (0, before), "{resumed}");
}

#[test]
fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let script = "sleep 61 & echo $! > child; wait\n";
    let started = std::time::Instant::now();
    let (fleet, answer) = rollout("{exec: [sh, gate.sh], timeout: 1s}", &[("gate.sh", script)], &[]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    assert!(answer.stderr.contains("its gate did not answer within 1 s, `sh`"), "{answer}");
    assert!(started.elapsed().as_secs() < 30);
    let child = fleet.sandbox.read("child");
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "the child has ended: {state}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let (_, answer) = rollout("{exec: [./no-such-gate]}", &[], &[]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    assert!(answer.stderr.contains("its gate cannot be started, `./no-such-gate`: No such file"), "{answer}");
}

#[test]
fn an_address_that_is_busy_is_asked_again_and_gets_its_token_in_a_header() {
    let (url, requests) = server(&[503, 204]);
    let gate = format!("{{http: '{url}/may?deploy=1', tokenEnv: GATE_TOKEN}}");
    let (fleet, answer) = rollout(&gate, &[], &[("GATE_TOKEN", "t0p-s3cret-token")]);
    assert_eq!(answer.exit_code, 0, "{answer}");
    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].starts_with("GET /may?deploy=1 "), "{}", requests[1]);
    assert!(requests[1].to_lowercase().contains("authorization: bearer t0p-s3cret-token"), "{}", requests[1]);
    let all = format!("{answer}{}", fleet.journal());
    assert!(!all.contains("t0p-s3cret") && !all.contains("deploy=1"), "{all}");
}

#[test]
fn an_address_that_says_no_or_nothing_stops_the_rollout() {
    let (url, _) = server(&[404]);
    let (_, answer) = rollout(&format!("{{http: '{url}/may?k=s3cret'}}"), &[], &[]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let because = format!("its gate is closed, http {url}/may: it answers 404");
    assert!(answer.stderr.contains(&because) && !answer.stderr.contains("s3cret"), "{answer}");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_, answer) = rollout(&format!("{{http: 'http://127.0.0.1:{port}/', timeout: 1s}}"), &[], &[]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    assert!(answer.stderr.contains("did not open within 1 s"), "{answer}");

    let (_, answer) = rollout("{http: 'http://127.0.0.1:9/', tokenEnv: NOT_SET}", &[], &[]);
    assert!(
        answer.stderr.contains("its gate needs a token, and the variable is not set: `NOT_SET`"),
        "{answer}"
    );
}
