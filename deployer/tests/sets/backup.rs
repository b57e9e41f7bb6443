//! `--backup-url`: directories and object stores.

use testkit::{Answer, Call, program};

use crate::bucket::Bucket;
use crate::stage::Stage;

/// Long enough for a key of Azure, which is base64.
const SECRET: &str = "Y2FuYXJ5LXNlY3JldC1jYW5hcnktc2VjcmV0";

fn stage(prefix: &str) -> Stage {
    let stage = Stage::new(prefix);
    stage.config("a", "x: '1'");
    stage.config("b", "x: '2'");
    stage
}

fn to_s3(stage: &Stage, bucket: &Bucket, flags: &[&str]) -> Answer {
    let call = stage.call(&["--backup-url", "s3://backups/kit/prod"]).args(flags);
    stage.sandbox.run(keys(call).env("AWS_ENDPOINT_URL", &bucket.url).env("AWS_ALLOW_HTTP", "true"))
}

fn keys(call: Call) -> Call {
    call.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "eu-north-1")
}

#[test]
fn a_backup_is_a_file_per_cluster_and_name_from_which_the_cluster_can_be_deployed() {
    let stage = stage("backup-dir");
    stage.deploy(&["--backup-url", "backup", "--dry-run"]).success();
    assert!(!stage.sandbox.join("backup").exists(), "a dry run writes nothing");
    stage.deploy(&["--backup-url", "backup"]).success();
    let text = stage.sandbox.read("backup/eu-1/a.yaml");
    assert!(text.contains("kind: ConfigMap") && text.contains("x: \"1\""), "{text}");
    let url = format!("file://{}", stage.sandbox.join("other").display());
    stage.deploy(&["--backup-url", &url]).success();
    assert_eq!(stage.sandbox.read("other/eu-1/a.yaml"), text);

    stage.config("a", "x: 'broken'");
    stage.deploy(&[]).success();
    std::fs::remove_dir_all(stage.sandbox.join("manifests")).unwrap();
    std::fs::rename(stage.sandbox.join("backup"), stage.sandbox.join("manifests")).unwrap();
    let restored = stage.deploy(&["--detailed-exitcode", "--dry-run"]);
    assert_eq!(restored.exit_code, 3, "{restored}");
    stage.deploy(&[]).success();
    let again = stage.deploy(&["--detailed-exitcode", "--dry-run"]);
    assert_eq!(again.exit_code, 0, "the backup is what is there: {again}");
}

#[test]
fn a_rollback_is_in_the_backup_as_well() {
    let stage = stage("backup-back");
    let backup = || stage.sandbox.read("backup/eu-1/a.yaml");
    stage.deploy(&["--backup-url", "backup"]).success();
    let first = backup();
    stage.config("a", "x: '3'");
    stage.deploy(&["--backup-url", "backup"]).success();
    assert_ne!(backup(), first);
    let set = ["--resource-set", &stage.set(), "--inventory-namespace", &stage.namespace];
    let call = program("deployer").arg("rollback").arg("--configs").arg(stage.clusters.configs()).args(set);
    stage.sandbox.run(call.args(["--backup-url", "backup"])).success();
    assert!(backup().contains("x: \"1\""), "{}", backup());
}

#[test]
fn s3_has_a_signed_and_encrypted_object_per_name_and_a_busy_store_is_asked_again() {
    let stage = stage("backup-s3");
    let bucket = Bucket::answering(&[503], 200);
    to_s3(&stage, &bucket, &["--dry-run"]).success();
    assert_eq!(bucket.tries(), 0, "a dry run writes nothing");
    let answer = to_s3(&stage, &bucket, &[]).success();
    assert!(!answer.stderr.contains("backup"), "{answer}");
    let puts = bucket.puts();
    let paths: Vec<&str> = puts.iter().map(|put| put.path.as_str()).collect();
    let ns = format!("/backups/kit/prod/eu-1/{}.yaml", stage.namespace);
    assert_eq!(paths, ["/backups/kit/prod/eu-1/a.yaml", "/backups/kit/prod/eu-1/b.yaml", ns.as_str()]);
    assert_eq!(bucket.tries(), 4, "one was asked again");
    assert!(puts[0].body.contains("kind: ConfigMap") && puts[0].body.contains("x: \"1\""), "{puts:?}");
    for put in &puts {
        assert_eq!(put.headers["x-amz-server-side-encryption"], "AES256");
        let signature = &put.headers["authorization"];
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signature}");
        assert!(signature.contains("/eu-north-1/s3/aws4_request"), "{signature}");
        assert!(signature.contains("x-amz-server-side-encryption"), "it is signed too: {signature}");
    }
}

#[test]
fn a_store_that_refuses_is_one_warning_without_the_secret_and_the_deploy_counts() {
    let stage = stage("backup-refused");
    let bucket = Bucket::answering(&[], 403);
    let answer = to_s3(&stage, &bucket, &[]).success();
    assert!(
        answer.stderr.contains(
            "/a.yaml: HTTP status 403: SignatureDoesNotMatch: The signature does not match (check the credentials"
        ),
        "{answer}"
    );
    assert!(answer.stderr.contains("the backup in s3://backups/kit/prod is not whole: 2 more"), "{answer}");
    for secret in [SECRET, "canary-secret"] {
        assert!(!answer.stderr.contains(secret) && !answer.stdout.contains(secret), "{answer}");
    }
    assert_eq!(bucket.tries(), 1, "a refusal is final");
}

#[test]
fn keys_of_a_profile_and_the_encryption_of_the_environment_are_taken() {
    let stage = stage("backup-profile");
    let bucket = Bucket::answering(&[], 200);
    stage.sandbox.write(
        "aws/credentials",
        format!("[ci]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = {SECRET}\n"),
    );
    let call = |profile: &str, encryption: &str| {
        let call = stage.call(&["--backup-url", "s3://backups"]);
        stage.sandbox.run(
            call.env("AWS_SHARED_CREDENTIALS_FILE", "aws/credentials")
                .env("AWS_PROFILE", profile)
                .env("AWS_SERVER_SIDE_ENCRYPTION", encryption)
                .env("AWS_ENDPOINT_URL", &bucket.url),
        )
    };
    call("ci", "none").success();
    let puts = bucket.puts();
    assert!(puts[0].headers["authorization"].contains("AKIDPROFILE"), "{puts:?}");
    assert!(!puts[0].headers.contains_key("x-amz-server-side-encryption"), "{puts:?}");
    let answer = call("other", "AES256");
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("the AWS profile has no keys: `other`"), "{answer}");
    let answer = call("ci", "rot13");
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("rot13"), "{answer}");
}

#[test]
fn google_and_azure_take_the_same_layout() {
    let stage = stage("backup-clouds");
    let google = Bucket::answering(&[503], 200);
    let call = stage.call(&["--backup-url", "gs://backups/kit"]);
    let call = call.env("GOOGLE_BASE_URL", &google.url).env("GOOGLE_BEARER_TOKEN", SECRET);
    let answer = stage.sandbox.run(call).success();
    assert!(!answer.stderr.contains("backup"), "{answer}");
    let put = &google.puts()[0];
    // Google wants the slashes of a name written so.
    assert_eq!(put.path, "/backups/kit%2Feu%2D1%2Fa%2Eyaml");
    assert_eq!(put.headers["authorization"], format!("Bearer {SECRET}"));

    let azure = Bucket::answering(&[503], 201);
    let call = |key: &str, value: &str| {
        stage
            .call(&["--backup-url", "az://backups/kit"])
            .env("AZURE_STORAGE_ENDPOINT", &azure.url)
            .env("AZURE_STORAGE_ACCOUNT_NAME", "account")
            .env(key, value)
    };
    let answer = stage.sandbox.run(call("AZURE_STORAGE_ACCOUNT_KEY", SECRET)).success();
    assert!(!answer.stderr.contains("backup"), "{answer}");
    let put = &azure.puts()[0];
    assert_eq!(put.path, "/backups/kit/eu-1/a.yaml");
    assert_eq!(put.headers["x-ms-blob-type"], "BlockBlob");
    assert!(put.headers["authorization"].starts_with("SharedKey account:"), "{put:?}");

    let refused = Bucket::answering(&[], 403);
    let sas = format!("sv=2024-11-04&sp=w&sig={SECRET}");
    let call = call("AZURE_STORAGE_SAS_TOKEN", &sas).env("AZURE_STORAGE_ENDPOINT", &refused.url);
    let answer = stage.sandbox.run(call).success();
    assert!(answer.stderr.contains("az://backups/kit/eu-1/a.yaml: HTTP status 403"), "{answer}");
    assert!(!answer.stderr.contains(SECRET), "{answer}");
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_connected_to() {
    let stage = stage("backup-bad");
    for (url, message) in [
        ("ftp://user:canary@host/x", "`--backup-url` knows no store of this kind: `ftp://`"),
        ("s3://", "`--backup-url` names no bucket: `s3://`"),
        ("s3://key:canary@bucket/x", "without credentials or parameters: `s3://…`"),
        ("az://box/x?sig=canary", "without credentials or parameters: `az://…`"),
        ("az://box/x", "`--backup-url` cannot be used: `az://box/x`"),
        ("file://host/x", "a file URL is `file:///` and an absolute path"),
    ] {
        let answer = stage.deploy(&["--backup-url", url]);
        assert_eq!(answer.exit_code, 2, "{url}: {answer}");
        assert!(answer.stderr.contains(message) && answer.stderr.contains("hint:"), "{url}: {answer}");
        assert!(!answer.stderr.contains("canary"), "{url}: {answer}");
    }
    let answer = stage.deploy(&["--dry-run", "--detailed-exitcode"]);
    assert_eq!(answer.exit_code, 3, "nothing was deployed: {answer}");
}
