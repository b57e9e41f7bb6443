//! Values from outside: environment, programs, HTTP; and that they stay secret.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::wildcard_enum_match_arm)]

mod repository;

use std::io::{Read as _, Write as _};

use repository::Repository;
use testkit::program;

const SECRET: &str = "s3cr3t/v&lue";

fn with_token(encoding: &str) -> Repository {
    let repository = Repository::new();
    let entry = format!("{{name: TOKEN, external: true{encoding}}}");
    repository.replace("base-cluster.yaml", "{name: LEVEL, value: info}", &entry);
    repository
}

#[test]
fn a_value_from_the_environment_is_rendered_and_its_line_marked() {
    let repository = with_token(", encoding: base64");
    repository.sandbox.run(program("deploymentizer").env("TOKEN", SECRET)).success();
    assert!(repository.generated("eu/cart.yaml").contains("value: \"czNjcjN0L3YmbHVl\""));
    let index: serde_json::Value = serde_json::from_str(&repository.generated("eu/.kit-index.json")).unwrap();
    assert_eq!(index["files"]["cart.yaml"]["secretLines"], serde_json::json!([15]));
    assert_eq!(index["files"]["cart-svc.yaml"]["secretLines"], serde_json::Value::Null);
}

#[test]
fn a_secret_is_masked_in_every_error_that_shows_it() {
    let repository = with_token("");
    repository.replace("resources/cart.yaml.j2", "{{ entry.value | quote }}", "{{ entry.value }}: x");
    let answer = repository.sandbox.run(program("deploymentizer").env("TOKEN", SECRET));
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(!answer.to_string().contains("s3cr3t"), "{answer}");
    assert!(answer.stderr.contains("value: ********: x"), "{answer}");
    let json =
        repository.sandbox.run(program("deploymentizer").env("TOKEN", SECRET).args(["--output", "json"]));
    assert!(!json.to_string().contains("s3cr3t"), "{json}");
}

#[test]
fn a_program_answers_once_for_each_request() {
    let repository = Repository::new();
    repository.append("kit.yaml", "plugin: {path: exec, options: {command: [./answer.sh]}}\n");
    repository.write(
        "answer.sh",
        "#!/bin/sh\ncat > request.$$\necho '{\"env\": [{\"name\": \"LEVEL\", \"value\": \"plugin\"}, {\"name\": \"KEY\", \"value\": \"k3y-value\"}]}'\n",
    );
    executable(&repository, "answer.sh");
    repository.run(&[]).success();
    let rendered = repository.generated("eu/cart.yaml");
    assert!(rendered.contains("name: LEVEL\n              value: \"info\"\n            - name: KEY\n              value: \"k3y-value\""), "{rendered}");
    let requests: Vec<String> = std::fs::read_dir(repository.sandbox.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("request."))
        .map(|name| repository.sandbox.read(name))
        .collect();
    assert_eq!(requests.len(), 2);
    let request: serde_json::Value = serde_json::from_str(&requests[0]).unwrap();
    assert_eq!(request["resource"], "cart");
    assert_eq!(request["container"]["image_tag"], "shop/cart");
}

fn executable(repository: &Repository, path: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(repository.sandbox.join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_program_that_fails_hangs_or_lies_is_an_error_with_its_own_words() {
    let repository = Repository::new();
    repository
        .append("kit.yaml", "plugin: {path: exec, options: {command: [./answer.sh], timeoutSeconds: 1}}\n");
    for (script, expected) in [
        ("echo no such vault >&2; exit 3", "no such vault"),
        ("exec sleep 20", "did not answer within 1 s"),
        ("echo hello", "did not answer JSON"),
        ("echo '[1]'", "must answer a JSON object"),
    ] {
        repository.write("answer.sh", &format!("#!/bin/sh\n{script}\n"));
        executable(&repository, "answer.sh");
        let answer = repository.run(&[]);
        assert_eq!(answer.exit_code, 1, "{answer}");
        assert!(answer.stderr.contains(expected), "{answer}");
        assert!(repository.files().is_empty());
    }
}

#[test]
fn the_environment_api_is_asked_with_the_token_and_asked_again_when_it_stumbles() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for (status, body) in [
            ("503 Busy", ""),
            ("200 OK", "{\"values\":{\"LEVEL\":\"api\",\"KEY\":\"fr0m-api\"}}"),
            ("206 Partial", "{\"values\":{}}"),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let count = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let length = text
                    .to_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
                if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
                    && body.len() >= length
                {
                    requests.push(text.clone());
                    break;
                }
                if count == 0 {
                    break;
                }
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
        }
        requests
    });
    let repository = Repository::new();
    repository.append(
        "kit.yaml",
        &format!("plugin: {{path: env-api-client-v3, options: {{apiUrl: \"{url}\"}}}}\n"),
    );
    repository.replace(
        "base-cluster.yaml",
        "    image_tag",
        "    annotations: {kit-deploymentizer/env-api-service: cart}\n    image_tag",
    );
    repository.replace("clusters/eu/cluster.yaml", "type: prod", "type: prod, tier: 1");
    repository.replace("clusters/us/cluster.yaml", "type: prod", "type: prod, environment: live");
    let call = program("deploymentizer").env("ENVAPI_ACCESS_TOKEN", "t0ken").args(["--jobs", "1"]);
    repository.sandbox.run(call).success();
    let requests = server.join().unwrap();
    assert!(requests[1].starts_with("POST /v3/vars HTTP/1.1"), "{}", requests[1]);
    assert!(requests[1].to_lowercase().contains("x-auth-token: t0ken"), "{}", requests[1]);
    let bodies: Vec<serde_json::Value> = requests
        .iter()
        .map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap())
        .collect();
    // kit sends metadata as text, and no environment where there is none.
    let expected = serde_json::json!({
        "cluster": "eu", "service": "cart", "metadata": {"name": "eu", "type": "prod", "branch": "main", "tier": "1"}
    });
    assert_eq!((&bodies[0], &bodies[1]), (&expected, &expected));
    assert_eq!(bodies[2]["environment"], "live");
    let all = repository.generated("eu/cart.yaml") + &repository.generated("us/cart.yaml");
    assert!(all.contains("fr0m-api"), "{all}");
}

#[test]
fn programs_are_run_for_distinct_requests_only_and_so_many_at_a_time() {
    let repository = Repository::new();
    repository
        .append("kit.yaml", "plugin: {path: exec, options: {command: [./answer.sh], concurrency: 2}}\n");
    // Each call counts those that run beside it, itself included.
    repository.write(
        "answer.sh",
        "#!/bin/sh\nmkdir -p running\n: > running/$$\n: > call.$$\nsleep 0.05\nls running | wc -l >> seen.$$\nrm running/$$\necho '{}'\n",
    );
    executable(&repository, "answer.sh");
    for cluster in 0..8 {
        repository.write(
            &format!("clusters/c{cluster}/cluster.yaml"),
            &format!("kind: ClusterNamespace\nmetadata: {{name: c{cluster}, type: prod}}\n"),
        );
        repository.write(
            &format!("clusters/c{cluster}/configuration-var.yaml"),
            "kind: ResourceConfig\nregion: c\n",
        );
    }
    repository.run(&["--jobs", "8", "--cluster-name", "c*"]).success();
    let (mut calls, mut most) = (0, 0);
    for entry in std::fs::read_dir(repository.sandbox.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        calls += usize::from(name.starts_with("call."));
        if name.starts_with("seen.") {
            most = most.max(repository.sandbox.read(name).trim().parse::<usize>().unwrap());
        }
    }
    assert_eq!((calls, most), (8, 2));
}

#[test]
fn an_environment_api_that_is_silent_refuses_or_is_not_there_is_an_error_with_what_to_do() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing_at = refusing.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = refusing.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let repository = Repository::new();
    repository.remove("clusters/us");
    repository.replace(
        "base-cluster.yaml",
        "    image_tag",
        "    annotations: {kit-deploymentizer/env-api-service: cart}\n    image_tag",
    );
    let plain = repository.sandbox.read("kit.yaml");
    for (address, retries, expected) in [
        (silent.local_addr().unwrap(), 0, "timeout: global"),
        (refusing_at, 2, "answered status 403 for service `cart`"),
        (std::net::SocketAddr::from(([127, 0, 0, 1], 1)), 1, "tried 2 times"),
    ] {
        let options = format!("{{apiUrl: \"http://{address}\", timeoutSeconds: 1, retries: {retries}}}");
        repository
            .write("kit.yaml", &format!("{plain}plugin: {{path: env-api-client-v3, options: {options}}}\n"));
        let start = std::time::Instant::now();
        let answer = repository.sandbox.run(program("deploymentizer").env("ENVAPI_ACCESS_TOKEN", "t0ken"));
        assert_eq!(answer.exit_code, 1, "{answer}");
        assert!(answer.stderr.contains(expected) && !answer.to_string().contains("t0ken"), "{answer}");
        assert!(start.elapsed() < std::time::Duration::from_secs(15), "{answer}");
        assert!(repository.files().is_empty());
    }
    let answer = repository.run(&[]);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("needs the environment variable `ENVAPI_ACCESS_TOKEN`"), "{answer}");
}
