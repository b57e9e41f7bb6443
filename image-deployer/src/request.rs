//! From what was typed, and the environment, to what is to be done. Everything is checked here, once.

use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use cli::{Exit, Failure, Problem};
use gitrepo::{
    Auth, Identity, RemoteSpec, RetryPolicy, Secret,
    edit::{Document, IfMissing},
    environment,
};

use crate::{
    args::{Args, AuthArg, SigningFormat},
    ci::{self, Build, Environment, variable},
    want::{self, Want},
};

/// What is to be done.
pub(crate) struct Request {
    pub(crate) remote: RemoteSpec,
    pub(crate) push_branch: Option<String>,
    pub(crate) policy: RetryPolicy,
    pub(crate) wants: Vec<Want>,
    pub(crate) document: Document,
    pub(crate) if_missing: IfMissing,
    /// `kit.yaml`, from the root of the manifests repository.
    pub(crate) conf: String,
    pub(crate) registry: Option<RegistryCheck>,
    pub(crate) guard: Option<Guard>,
    pub(crate) ignore_hold: bool,
    pub(crate) author: Identity,
    pub(crate) committer: Identity,
    pub(crate) message: Message,
    pub(crate) build: Build,
    pub(crate) signer: Option<gitrepo::Signer>,
    pub(crate) dry_run: bool,
    pub(crate) detailed_exitcode: bool,
}

/// What to ask the registry, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistryCheck {
    pub(crate) pin_digest: bool,
    /// Docker's `config.json`.
    pub(crate) docker_config: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// `--guard`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) source_repo: PathBuf,
    pub(crate) source_commit: String,
}

/// The text of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// Nothing was asked for.
    Default,
    /// `--message`
    Template(String),
    /// `CI_COMMIT_MESSAGE`, which in some CI systems is the message of a developer's commit.
    Literal(String),
}

/// An argument that is there and not empty: a variable of the environment may be set to nothing.
pub(crate) fn text(argument: &Option<String>) -> Option<String> {
    argument.as_ref().map(|text| text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Problems of independent arguments, collected.
#[derive(Default)]
struct Checked(Vec<Problem>);

impl Checked {
    fn keep<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }
}

/// Makes sense of the command line; `stdin` is read for `--image -`. Every error is reported, not just the first.
pub(crate) fn request(
    args: &Args,
    environment: &Environment,
    stdin: &mut dyn FnMut() -> std::io::Result<String>,
) -> Result<Request, Failure> {
    let build = build(args, environment);
    let mut checked = Checked::default();
    let url = checked.keep(repository(args));
    let auth = checked.keep(auth(args, environment, url.as_deref().unwrap_or_default()));
    let policy = [
        checked.keep(number::<u32>(&args.retries, "RETRIES", "a whole number").map(|_| ())),
        checked.keep(seconds(&args.retry_increment).map(|_| ())),
        checked.keep(duration(&args.deadline).map(|_| ())),
    ];
    let dry_run = checked.keep(dry_run(args));
    let document = checked.keep(document(&args.object));
    let guard = checked.keep(guard(args, &build));
    let wants = want::wants(args, build.branch.as_deref(), stdin);
    let wants = wants.map_err(|problems| checked.0.extend(problems)).ok();
    let (Some(url), Some(auth), Some(dry_run), Some(document), Some(guard), Some(wants), [Some(()), ..]) =
        (url, auth, dry_run, document, guard, wants, policy)
    else {
        return Err(Failure::all(Exit::Invalid, checked.0));
    };
    if !checked.0.is_empty() {
        return Err(Failure::all(Exit::Invalid, checked.0));
    }
    let ca_file = args.ca_file.clone().or_else(|| variable(environment, "GIT_SSL_CAINFO").map(PathBuf::from));
    let mut remote = RemoteSpec::new(url);
    remote.branch = text(&args.repo_branch);
    remote.auth = auth;
    remote.create_branch = args.create_branch;
    remote.ca_file = ca_file.clone();
    remote.proxy = environment::proxy(&|name| variable(environment, name).map(str::to_owned));
    remote.ssh_command = text(&args.ssh_command);
    remote.agent = concat!("kit-image-deployer/", env!("CARGO_PKG_VERSION")).to_owned();
    let committer = Identity::now(
        text(&args.committer_name).unwrap_or_else(|| "image-deployer".into()),
        text(&args.committer_email).unwrap_or_else(|| "image-deployer@localhost".into()),
    );
    let author = Identity {
        name: text(&args.author_name).unwrap_or_else(|| committer.name.clone()),
        email: text(&args.author_email).unwrap_or_else(|| committer.email.clone()),
        ..committer.clone()
    };
    let registry = (args.require_pushed || args.pin_digest).then(|| RegistryCheck {
        pin_digest: args.pin_digest,
        docker_config: args
            .docker_config
            .clone()
            .or_else(|| variable(environment, "HOME").map(|home| PathBuf::from(home).join(".docker")))
            .map(|folder| folder.join("config.json")),
        ca_file,
    });
    Ok(Request {
        remote,
        push_branch: text(&args.push_branch),
        policy: RetryPolicy {
            retries: number(&args.retries, "RETRIES", "a whole number").unwrap_or_default().unwrap_or(10),
            increment: seconds(&args.retry_increment).unwrap_or_default(),
            deadline: duration(&args.deadline).ok(),
            seed: None,
        },
        wants,
        document,
        if_missing: if args.create { IfMissing::Create } else { IfMissing::Refuse },
        conf: text(&args.conf).unwrap_or_else(|| manifest::config::FILE_NAME.to_owned()),
        registry,
        guard,
        ignore_hold: args.ignore_hold,
        author,
        committer,
        message: message(args, environment),
        build,
        signer: signer(args),
        dry_run,
        detailed_exitcode: args.detailed_exitcode,
    })
}

/// What the CI's environment says, and what the command line says instead.
fn build(args: &Args, environment: &Environment) -> Build {
    let detected = ci::detect(environment);
    Build {
        url: text(&args.build_url).or(detected.url),
        commit: text(&args.source_commit).or(detected.commit).or_else(|| text(&args.commit_id)),
        branch: text(&args.branch).or(detected.branch),
    }
}

fn repository(args: &Args) -> Result<String, Problem> {
    if let Some(repo) = text(&args.repo) {
        return Ok(repo);
    }
    match (text(&args.github_user), text(&args.github_repo)) {
        (Some(user), Some(repo)) => {
            let server = text(&args.github_server).unwrap_or_else(|| "https://github.com".into());
            let repo = repo.trim_end_matches(".git");
            Ok(format!("{}/{user}/{repo}.git", server.trim_end_matches('/')))
        }
        (Some(_), None) => Err(Problem::new("`--github-user` needs `--github-repo` (GITHUB_REPO)")),
        (None, Some(_)) => Err(Problem::new("`--github-repo` needs `--github-user` (GITHUB_USER)")),
        (None, None) => Err(Problem::new("no manifests repository is given")
            .hint("name it with `--repo URL` (KIT_REPO), or `--github-user OWNER --github-repo NAME`")),
    }
}

/// The token, from a file or from the environment, and how to send it.
fn auth(args: &Args, environment: &Environment, url: &str) -> Result<Auth, Problem> {
    match args.auth {
        Some(AuthArg::None) => return Ok(Auth::None),
        Some(AuthArg::Helper) => return Ok(Auth::CredentialHelper),
        Some(AuthArg::Token | AuthArg::Bearer) | None => {}
    }
    let token = match &args.token_file {
        Some(file) => {
            let content = std::fs::read_to_string(file).map_err(|error| {
                Problem::from_error(&error).context(format!("cannot read the token: `{}`", file.display()))
            })?;
            let token = content.trim();
            if token.is_empty() {
                return Err(Problem::new(format!("the token file is empty: `{}`", file.display())));
            }
            Some(Secret::new(token))
        }
        None => environment::token(url, &|name| variable(environment, name).map(str::to_owned)),
    };
    let Some(token) = token else {
        return match args.auth {
            Some(how @ (AuthArg::Token | AuthArg::Bearer)) => {
                let how = if how == AuthArg::Bearer { "bearer" } else { "token" };
                Err(Problem::new(format!("`--auth {how}` needs a token, and there is none"))
                    .hint("put it into the environment as KIT_TOKEN, or name a file with `--token-file`"))
            }
            Some(AuthArg::Helper | AuthArg::None) | None => Ok(Auth::None),
        };
    };
    if !token.is_sendable() {
        return Err(Problem::new("the token holds white space or control characters")
            .hint("set it without quotes and line breaks around it"));
    }
    Ok(match args.auth {
        Some(AuthArg::Bearer) => Auth::Bearer(token),
        Some(AuthArg::Token | AuthArg::Helper | AuthArg::None) | None => {
            Auth::Token { token, username: text(&args.token_user) }
        }
    })
}

fn number<T: FromStr>(argument: &Option<String>, name: &str, wanted: &str) -> Result<Option<T>, Problem>
where
    T::Err: Display,
{
    let flag = name.to_ascii_lowercase().replace('_', "-");
    text(argument)
        .map(|value| {
            value.parse().map_err(|_error: T::Err| {
                Problem::new(format!("`--{flag}` ({name}) takes {wanted}: `{value}`"))
            })
        })
        .transpose()
}

fn seconds(argument: &Option<String>) -> Result<Duration, Problem> {
    let wanted = "seconds, with fractions";
    let seconds: f64 = number(argument, "RETRY_INCREMENT", wanted)?.unwrap_or(1.0);
    Duration::try_from_secs_f64(seconds).ok().filter(|time| time.as_secs() <= 3600).ok_or_else(|| {
        Problem::new(format!("`--retry-increment` (RETRY_INCREMENT) is from 0 to 3600: `{seconds}`"))
    })
}

/// `90`, `90s`, `1.5m`, `2h`
fn duration(argument: &Option<String>) -> Result<Duration, Problem> {
    let Some(value) = text(argument) else { return Ok(Duration::from_secs(600)) };
    let (digits, unit) = match value.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => value.split_at(at),
        None => (value.as_str(), "s"),
    };
    let factor = match unit {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = factor.and_then(|factor| digits.trim().parse::<f64>().ok().map(|number| number * factor));
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| {
            Problem::new(format!("`--deadline` (KIT_DEADLINE) takes a time such as `90s` or `5m`: `{value}`"))
        })
}

/// `COMMIT=false` is a dry run, as in kit; what is neither yes nor no is not guessed.
fn dry_run(args: &Args) -> Result<bool, Problem> {
    let commit = match text(&args.commit).map(|value| value.to_ascii_lowercase()).as_deref() {
        None | Some("true" | "1" | "yes" | "on") => true,
        Some("false" | "0" | "no" | "off") => false,
        Some(other) => {
            return Err(Problem::new(format!("`--commit` (COMMIT) takes `true` or `false`: `{other}`")));
        }
    };
    Ok(args.dry_run || !commit)
}

fn document(argument: &Option<String>) -> Result<Document, Problem> {
    let Some(value) = text(argument) else { return Ok(Document::Any) };
    match value.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => {
            Ok(Document::Object { kind: kind.to_owned(), name: name.to_owned() })
        }
        _ => Err(Problem::new(format!("`--object` takes KIND/NAME, such as `Deployment/web`: `{value}`"))),
    }
}

fn guard(args: &Args, build: &Build) -> Result<Option<Guard>, Problem> {
    if !args.guard {
        return Ok(None);
    }
    let source_commit = build.commit.clone().ok_or_else(|| {
        Problem::new("`--guard` needs to know the commit that the image was built from")
            .hint("name it with `--source-commit \"$(git rev-parse HEAD)\"`")
    })?;
    Ok(Some(Guard {
        source_repo: args.source_repo.clone().unwrap_or_else(|| PathBuf::from(".")),
        source_commit,
    }))
}

fn message(args: &Args, environment: &Environment) -> Message {
    match (&args.message, variable(environment, "CI_COMMIT_MESSAGE")) {
        (Some(template), _) if !template.trim().is_empty() => Message::Template(template.clone()),
        (_, Some(literal)) if !literal.trim().is_empty() => Message::Literal(literal.to_owned()),
        _ => Message::Default,
    }
}

fn signer(args: &Args) -> Option<gitrepo::Signer> {
    let key = text(&args.signing_key)?;
    Some(match args.signing_format.unwrap_or(SigningFormat::Ssh) {
        SigningFormat::Ssh => gitrepo::sign::ssh("ssh-keygen".as_ref(), key.as_ref()),
        SigningFormat::Openpgp => gitrepo::sign::openpgp("gpg".as_ref(), &key),
    })
}
