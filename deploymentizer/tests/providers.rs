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
    let call = program("deploymentizer").env("ENVAPI_ACCESS_TOKEN", "t0ken").args(["--jobs", "1"]);
    repository.sandbox.run(call).success();
    let requests = server.join().unwrap();
    assert!(requests[1].starts_with("POST /v3/vars HTTP/1.1"), "{}", requests[1]);
    assert!(requests[1].to_lowercase().contains("x-auth-token: t0ken"), "{}", requests[1]);
    assert!(requests[1].contains("\"service\": \"cart\""), "{}", requests[1]);
    let all = repository.generated("eu/cart.yaml") + &repository.generated("us/cart.yaml");
    assert!(all.contains("fr0m-api"), "{all}");
}
