//! The command line, as it is typed. `request.rs` makes sense of it.
// These comments are the text of `--help`, which is no Markdown.
#![allow(rustdoc::bare_urls, rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;

use clap::{Parser, ValueEnum, builder::FalseyValueParser};

/// Commits a new image into a git repository of manifests: one value of one file,
/// exactly, without a clone.
///
/// The common case is the last step of a CI job:
///
///   image-deployer --repo https://github.com/acme/manifests \
///     --branch main --image quay.io/acme/web:main-4f2a91c
///
/// which writes that image into `images/acme/web/main.yaml`, as `kit.yaml` says.
///
/// The token for the git server comes from KIT_TOKEN or GITHUB_AUTH_TOKEN (or from
/// GITHUB_TOKEN, GH_TOKEN and GITLAB_TOKEN on the hosts that these are for), or from
/// `--token-file`; never from an argument.
#[derive(Debug, Parser)]
#[command(name = "image-deployer", version, verbatim_doc_comment, max_term_width = 110)]
#[allow(clippy::struct_excessive_bools)] // Flags of a command line.
pub(crate) struct Args {
    /// The manifests repository: a path or any URL that git takes.
    #[arg(
        long,
        env = "KIT_REPO",
        hide_env_values = true,
        value_name = "URL|PATH",
        help_heading = "Repository"
    )]
    pub(crate) repo: Option<String>,
    /// Owner of the repository on GitHub, with `--github-repo`, instead of `--repo`.
    #[arg(long, env = "GITHUB_USER", value_name = "OWNER", help_heading = "Repository")]
    pub(crate) github_user: Option<String>,
    /// Name of the repository on GitHub.
    #[arg(long, env = "GITHUB_REPO", value_name = "NAME", help_heading = "Repository")]
    pub(crate) github_repo: Option<String>,
    /// The GitHub server, for GitHub Enterprise [default: https://github.com].
    #[arg(long, env = "GITHUB_SERVER_URL", value_name = "URL", help_heading = "Repository")]
    pub(crate) github_server: Option<String>,
    /// The branch of the manifests repository to commit to [default: the remote's HEAD].
    #[arg(long, env = "KIT_REPO_BRANCH", value_name = "BRANCH", help_heading = "Repository")]
    pub(crate) repo_branch: Option<String>,
    /// Commit to this branch for a review, made from `--repo-branch` if it is not there; prints the URL to open.
    #[arg(long, env = "KIT_PUSH_BRANCH", value_name = "BRANCH", help_heading = "Repository")]
    pub(crate) push_branch: Option<String>,
    /// Make the branch, or the first commit of an empty repository, if it is not there.
    #[arg(long, env = "KIT_CREATE_BRANCH", help_heading = "Repository", value_parser = FalseyValueParser::new())]
    pub(crate) create_branch: bool,

    /// The image to write, such as `quay.io/acme/web:main-4f2a91c`; repeat it for several in one commit; `-` reads
    /// lines `IMAGE [FILE PROPERTY]` from stdin.
    #[arg(long, env = "IMAGE", value_name = "IMAGE", help_heading = "Image")]
    pub(crate) image: Vec<String>,
    /// The branch that the image was built from [default: what the CI's environment says].
    #[arg(long, env = "CI_BRANCH", value_name = "BRANCH", help_heading = "Image")]
    pub(crate) branch: Option<String>,
    /// Builds the image as `<registry>/<repo>:<branch>-<commit id>`, with `--docker-registry` and `--docker-repo`.
    #[arg(long, env = "CI_COMMIT_ID", value_name = "ID", help_heading = "Image")]
    pub(crate) commit_id: Option<String>,
    /// The registry of the image, such as `quay.io`.
    #[arg(long, env = "DOCKER_REGISTRY", value_name = "HOST", help_heading = "Image")]
    pub(crate) docker_registry: Option<String>,
    /// The image's repository, such as `acme/web`; also the folder of its image file [default: the image's].
    #[arg(long, env = "DOCKER_REPO", value_name = "REPO", help_heading = "Image")]
    pub(crate) docker_repo: Option<String>,
    /// Ask the registry whether the image is there before anything is written.
    #[arg(long, env = "KIT_REQUIRE_PUSHED", help_heading = "Image", value_parser = FalseyValueParser::new())]
    pub(crate) require_pushed: bool,
    /// Ask the registry for the image's digest and write `tag@digest`.
    #[arg(long, env = "KIT_PIN_DIGEST", help_heading = "Image", value_parser = FalseyValueParser::new())]
    pub(crate) pin_digest: bool,
    /// Folder of Docker's `config.json`, for the registry's credentials [default: ~/.docker].
    #[arg(long, env = "DOCKER_CONFIG", value_name = "DIR", help_heading = "Image")]
    pub(crate) docker_config: Option<PathBuf>,

    /// The file of the repository to edit, instead of the image file of kit's layout; with `--property`.
    #[arg(long, env = "KIT_FILE", value_name = "FILE", help_heading = "Edit")]
    pub(crate) file: Vec<String>,
    /// The property to set: `image.tag`, `images[name=web].newTag`, `spec.containers[0].image`.
    #[arg(long, env = "KIT_PROPERTY", value_name = "PATH", help_heading = "Edit")]
    pub(crate) property: Vec<String>,
    /// The document of the file to edit, by kind and name, such as `Deployment/web`.
    #[arg(long, env = "KIT_OBJECT", value_name = "KIND/NAME", help_heading = "Edit")]
    pub(crate) object: Option<String>,
    /// What to write: the whole image or a part of it; `auto` writes the part that the property's name says (`tag`,
    /// `newTag`, `digest`, `repository`, `newName`), else the whole image [default: auto].
    #[arg(long, env = "KIT_PART", value_name = "PART", help_heading = "Edit")]
    pub(crate) part: Option<PartArg>,
    /// Set every place in the YAML files below this path that carries an image of the same repository.
    #[arg(long, env = "KIT_EVERYWHERE", value_name = "PATH", help_heading = "Edit")]
    pub(crate) everywhere: Vec<String>,
    /// Create the file or the property if it is not there (kit's image files are created without it).
    #[arg(long, env = "KIT_CREATE", help_heading = "Edit", value_parser = FalseyValueParser::new())]
    pub(crate) create: bool,
    /// The configuration in the manifests repository.
    #[arg(long, env = "KIT_CONF", value_name = "FILE", help_heading = "Edit")]
    pub(crate) conf: Option<String>,

    /// Refuse (exit code 5) to replace an image that was built from a newer commit than this one.
    #[arg(long, env = "KIT_GUARD", help_heading = "Order", value_parser = FalseyValueParser::new())]
    pub(crate) guard: bool,
    /// A clone of the service's source, in which `--guard` looks up which commit is newer [default: .].
    #[arg(long, env = "KIT_SOURCE_REPO", value_name = "PATH", help_heading = "Order")]
    pub(crate) source_repo: Option<PathBuf>,
    /// The commit that the image was built from [default: what the CI's environment says, else `--commit-id`].
    #[arg(long, env = "KIT_SOURCE_COMMIT", value_name = "SHA", help_heading = "Order")]
    pub(crate) source_commit: Option<String>,
    /// Write even where a comment `# kit: hold <reason>` asks to leave the image as it is.
    #[arg(long, env = "KIT_IGNORE_HOLD", help_heading = "Order", value_parser = FalseyValueParser::new())]
    pub(crate) ignore_hold: bool,

    /// Name of the committer [default: image-deployer].
    #[arg(long, env = "CI_COMMITTER_NAME", value_name = "NAME", help_heading = "Commit")]
    pub(crate) committer_name: Option<String>,
    /// E-mail address of the committer [default: image-deployer@localhost].
    #[arg(long, env = "CI_COMMITTER_EMAIL", value_name = "EMAIL", help_heading = "Commit")]
    pub(crate) committer_email: Option<String>,
    /// Name of the author [default: the committer's].
    #[arg(long, env = "KIT_AUTHOR_NAME", value_name = "NAME", help_heading = "Commit")]
    pub(crate) author_name: Option<String>,
    /// E-mail address of the author [default: the committer's].
    #[arg(long, env = "KIT_AUTHOR_EMAIL", value_name = "EMAIL", help_heading = "Commit")]
    pub(crate) author_email: Option<String>,
    /// Commit message, a minijinja template of `images`, `image`, `old`, `tag`, `old_tag`, `repository`, `files`,
    /// `branch`, `source_commit`, `build_url`. CI_COMMIT_MESSAGE of the environment is taken to the letter.
    #[arg(long, env = "KIT_MESSAGE", value_name = "TEMPLATE", help_heading = "Commit")]
    pub(crate) message: Option<String>,
    /// The URL of the build, for the commit message [default: what the CI's environment says].
    #[arg(long, env = "KIT_BUILD_URL", value_name = "URL", help_heading = "Commit")]
    pub(crate) build_url: Option<String>,
    /// Sign the commit with this key: the path of an SSH key, or the id of an OpenPGP key.
    #[arg(long, env = "KIT_SIGNING_KEY", value_name = "KEY", help_heading = "Commit")]
    pub(crate) signing_key: Option<String>,
    /// How to sign: `ssh` runs `ssh-keygen`, `openpgp` runs `gpg` [default: ssh].
    #[arg(long, env = "KIT_SIGNING_FORMAT", value_name = "FORMAT", help_heading = "Commit")]
    pub(crate) signing_format: Option<SigningFormat>,

    /// A file that holds the token for the git server, instead of a variable of the environment.
    #[arg(long, env = "KIT_TOKEN_FILE", value_name = "FILE", help_heading = "Access")]
    pub(crate) token_file: Option<PathBuf>,
    /// The user name to send with the token [default: what the host expects].
    #[arg(long, env = "KIT_TOKEN_USER", value_name = "NAME", help_heading = "Access")]
    pub(crate) token_user: Option<String>,
    /// How to use the token over http: as a password, as a bearer token, not at all, or asking git's credential
    /// helpers instead [default: token].
    #[arg(long, env = "KIT_AUTH", value_name = "HOW", help_heading = "Access")]
    pub(crate) auth: Option<AuthArg>,
    /// Certificate authorities to trust instead of the system's (PEM), for git and registry.
    #[arg(long, env = "KIT_CA_FILE", value_name = "FILE", help_heading = "Access")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The command to run for ssh, as git reads it.
    #[arg(long, env = "GIT_SSH_COMMAND", value_name = "COMMAND", help_heading = "Access")]
    pub(crate) ssh_command: Option<String>,

    /// Attempts after the first one, when others push at the same time or the server fails [default: 10].
    #[arg(long, env = "RETRIES", value_name = "N", help_heading = "Retry")]
    pub(crate) retries: Option<String>,
    /// Seconds by which the wait between attempts grows, fractions allowed [default: 1].
    #[arg(long, env = "RETRY_INCREMENT", value_name = "SECONDS", help_heading = "Retry")]
    pub(crate) retry_increment: Option<String>,
    /// Give up after this time, such as `90s` or `5m` [default: 10m].
    #[arg(long, env = "KIT_DEADLINE", value_name = "DURATION", help_heading = "Retry")]
    pub(crate) deadline: Option<String>,

    /// Write nothing; print what would change as a diff.
    #[arg(long, env = "KIT_DRY_RUN", help_heading = "Output", value_parser = FalseyValueParser::new())]
    pub(crate) dry_run: bool,
    /// `false` is a dry run: kit's variable.
    #[arg(long, env = "COMMIT", value_name = "BOOL", help_heading = "Output")]
    pub(crate) commit: Option<String>,
    /// How the result is printed on stdout [default: text].
    #[arg(long, env = "KIT_OUTPUT", value_name = "FORMAT", help_heading = "Output")]
    pub(crate) output: Option<OutputArg>,
    /// Exit with 3 instead of 0 if there is a change.
    #[arg(long, env = "KIT_DETAILED_EXITCODE", help_heading = "Output", value_parser = FalseyValueParser::new())]
    pub(crate) detailed_exitcode: bool,
    /// Only results and errors, no narration.
    #[arg(long, short, env = "KIT_QUIET", help_heading = "Output", value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// Print a completion script for this shell.
    #[arg(long, value_name = "SHELL", help_heading = "Output")]
    pub(crate) completions: Option<clap_complete::Shell>,
}

/// `--part`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartArg {
    /// By the name of the property.
    Auto,
    /// The whole reference.
    Image,
    /// The tag, with the digest if the image has one.
    Tag,
    /// The digest.
    Digest,
    /// Registry and repository.
    Name,
}

/// `--signing-format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SigningFormat {
    /// `ssh-keygen -Y sign`
    Ssh,
    /// `gpg --detach-sign`
    Openpgp,
}

/// `--auth`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthArg {
    /// As a password.
    Token,
    /// `Authorization: Bearer`.
    Bearer,
    /// `git credential fill`.
    Helper,
    /// Nothing.
    None,
}

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputArg {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}
