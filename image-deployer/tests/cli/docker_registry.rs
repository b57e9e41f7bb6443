//! `--require-pushed` and `--pin-digest` against a real registry: the program `docker-registry` of Debian.
//!
//! Skipped, with a line that says so, where it is not installed (`apt-get install docker-registry`).

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::Engine as _;
use sha2::Digest as _;
use tempfile::TempDir;
use testkit::{Answer, git::PrivateCa};

use crate::remote::{Remote, WEB_FILE};

/// `ci` with the password `pa:ss`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "ci:$2b$04$abcdefghijklmnopqrstuu2auYx.qp9Oa3Pif.hfhenSQE6jLNfY6\n";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The registry, gone with this value.
struct Registry {
    child: Child,
    address: String,
    _dir: TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// Starts one on loopback; `more` goes below `http:` and after it.
    fn start(below_http: &str, after: &str) -> Option<Self> {
        let dir = TempDir::with_prefix("registry-").unwrap();
        let config = dir.path().join("config.yml");
        let root = dir.path().join("data");
        std::fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http:\n  addr: 127.0.0.1:0\n{below_http}{after}",
                root.display()
            )
            .replace("[DIR]", &dir.path().display().to_string()),
        )
        .unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            testkit::skipped("needs `docker-registry` (apt-get install docker-registry)");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("listening on ")?;
            let end = rest.find([',', '"', ' ']).unwrap_or(rest.len());
            Some(rest[..end].to_owned())
        });
        // It must not block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address: address.expect("it says where it listens"), _dir: dir })
    }
}

/// Whoever pushes.
struct Pusher {
    agent: ureq::Agent,
    base: String,
    authorization: String,
}

impl Pusher {
    fn new(scheme: &str, registry: &Registry, ca: Option<&Path>) -> Self {
        let mut tls = ureq::tls::TlsConfig::builder();
        if let Some(ca) = ca {
            let pem = std::fs::read(ca).unwrap();
            let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
                .filter_map(|item| {
                    let ureq::tls::PemItem::Certificate(certificate) = item.unwrap() else { return None };
                    Some(certificate)
                })
                .collect();
            tls = tls.root_certs(ureq::tls::RootCerts::from(certificates));
        }
        let credentials = base64::engine::general_purpose::STANDARD.encode("ci:pa:ss");
        Self {
            agent: ureq::Agent::config_builder().tls_config(tls.build()).proxy(None).build().new_agent(),
            base: format!("{scheme}://{}/v2", registry.address),
            authorization: format!("Basic {credentials}"),
        }
    }

    fn blob(&self, repository: &str, content: &[u8]) -> String {
        let digest = digest(content);
        let url = format!("{}/{repository}/blobs/uploads/", self.base);
        let begun = self.agent.post(url).header("Authorization", &self.authorization).send_empty().unwrap();
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        self.agent
            .put(location)
            .query("digest", &digest)
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/octet-stream")
            .send(content)
            .unwrap();
        digest
    }

    /// The digest that the registry answers with.
    fn manifest(&self, repository: &str, reference: &str, kind: &str, content: &str) -> String {
        let url = format!("{}/{repository}/manifests/{reference}", self.base);
        let request =
            self.agent.put(url).header("Authorization", &self.authorization).header("Content-Type", kind);
        let answer = request.send(content).unwrap();
        answer.headers()["docker-content-digest"].to_str().unwrap().to_owned()
    }

    /// An image for one platform, and an index of it with a tag, as `docker buildx` pushes them.
    fn image(&self, repository: &str, tag: &str) -> String {
        let config = self.blob(repository, b"{}");
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
             \"digest\":\"{config}\",\"size\":2}},\"layers\":[]}}"
        );
        let platform = self.manifest(repository, &digest(manifest.as_bytes()), MANIFEST, &manifest);
        let index = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{{\"mediaType\":\"{MANIFEST}\",\"digest\":\"{platform}\",\
             \"size\":{},\"platform\":{{\"architecture\":\"amd64\",\"os\":\"linux\"}}}}]}}",
            manifest.len()
        );
        self.manifest(repository, tag, INDEX, &index)
    }
}

fn digest(content: &[u8]) -> String {
    let hex: String = sha2::Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn deploy(remote: &Remote, image: &str, args: &[&str]) -> Answer {
    let call = remote.call(&["--branch", "main", "--image", image]).args(args).env("DOCKER_CONFIG", "docker");
    remote.sandbox.run(call)
}

#[test]
fn debians_registry_is_asked_for_images_and_digests() {
    let Some(registry) = Registry::start("", "") else { return };
    let remote = Remote::new();
    let host = &registry.address;
    let index = Pusher::new("http", &registry, None).image("acme/web", "main-2");
    let image = format!("{host}/acme/web:main-2");
    deploy(&remote, &image, &["--require-pushed"]).success();
    assert!(remote.file("main", WEB_FILE).unwrap().contains(&format!("'{image}'")));
    // The index, and not the image of one of its platforms.
    deploy(&remote, &image, &["--pin-digest"]).success();
    assert!(remote.file("main", WEB_FILE).unwrap().contains(&format!("'{image}@{index}'")));
    let by_digest = deploy(&remote, &format!("{image}@{index}"), &["--require-pushed", "--output", "json"]);
    assert_eq!(by_digest.success().json()["outcome"], "unchanged");
    for absent in ["acme/web:main-3", "acme/nothing:main-2"] {
        let answer = deploy(&remote, &format!("{host}/{absent}"), &["--require-pushed"]);
        assert_eq!(answer.exit_code, 2, "{answer}");
        assert!(answer.stderr.contains("the image is not in the registry"), "{answer}");
        assert!(answer.stderr.contains("hint: push it first: `docker push"), "{answer}");
    }
    assert_eq!(remote.tip("main").1, 3);
}

#[test]
fn debians_registry_with_a_password_and_a_private_authority() {
    let ca = PrivateCa::new();
    let [certificate, key] = ca.server_files();
    let tls = format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display());
    let auth = "auth: {htpasswd: {realm: basic, path: \"[DIR]/htpasswd\"}}\n";
    let Some(registry) = Registry::start(&tls, auth) else { return };
    let host = &registry.address;
    Pusher::new("https", &registry, Some(&ca.file())).image("acme/web", "main-2");
    let remote = Remote::new();
    let image = format!("{host}/acme/web:main-2");
    let ca_file = ca.file().display().to_string();
    let args = ["--require-pushed", "--ca-file", ca_file.as_str()];
    let stranger = deploy(&remote, &image, &args);
    assert_eq!(stranger.exit_code, 1, "{stranger}");
    assert!(
        stranger
            .stderr
            .contains(&format!("hint: no credentials were sent: log in with `docker login {host}`"))
    );
    let log_in = |password: &str| {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("ci:{password}"));
        remote
            .sandbox
            .write("docker/config.json", format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{auth}\"}}}}}}"));
    };
    log_in("wr0ng");
    let wrong = deploy(&remote, &image, &args);
    assert!(wrong.exit_code == 1 && wrong.stderr.contains("the credentials are not enough"), "{wrong}");
    log_in("pa:ss");
    deploy(&remote, &image, &args).success();
    // Without the authority it is not trusted, and says so.
    let untrusted = deploy(&remote, &image, &["--require-pushed"]);
    assert!(untrusted.exit_code == 1 && untrusted.stderr.contains("cannot be verified"), "{untrusted}");
    assert!(untrusted.stderr.contains("`--ca-file`"), "{untrusted}");
    assert_eq!(remote.tip("main").1, 2);
}
