//! The commands: what to do instead of writing the manifests.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

/// What to do instead of writing the manifests.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do everything but write: render, and check against the schemas of Kubernetes (see `--validate`)
    Check,
    /// Say where a value comes from, what it stands over, and which lines it makes
    #[command(
        after_help = "Examples:\n  deploymentizer explain eu-1 cart\n  deploymentizer explain eu-1 cart cart.env.LOG_LEVEL\n  deploymentizer explain eu-1 cart --line cart.yaml:27"
    )]
    Explain {
        /// The cluster
        cluster: String,
        /// The resource
        #[arg(value_name = "RESOURCE")]
        name: String,
        /// A value, as a template names it; entries of an env list are called by their name
        path: Option<String>,
        /// A line of a rendered file instead
        #[arg(long, value_name = "FILE:N", conflicts_with = "path")]
        line: Option<String>,
    },
    /// Say which clusters, resources and lines a file of the repository, or one line of it, reaches
    #[command(
        after_help = "Examples:\n  deploymentizer reach base-var.yaml:12\n  deploymentizer reach resources/cart.yaml.j2"
    )]
    Reach {
        /// The file, or one line of it
        #[arg(value_name = "FILE[:LINE]")]
        spot: String,
    },
    /// Show what changes in which clusters between two revisions, or a revision and the working tree
    #[command(
        after_help = "Examples:\n  deploymentizer diff\n  deploymentizer diff main\n  deploymentizer diff main..HEAD --output markdown"
    )]
    Diff {
        /// `A..B`, `A...B` for B against where it left A, or `A` for the working tree against it [default: HEAD]
        #[arg(value_name = "REV[..REV]", default_value = "HEAD", hide_default_value = true)]
        revisions: String,
        /// Also write the source lines that cause something as a Code Quality report for GitLab. In GitHub Actions they
        /// are annotated, and the summary of the step is written, by themselves
        #[arg(long, env = "CODE_QUALITY", value_name = "FILE")]
        code_quality: Option<PathBuf>,
    },
    /// List clusters, resources and images, and who runs what
    List {
        /// What to list
        #[arg(value_enum, default_value_t = Listed::Clusters)]
        what: Listed,
    },
    /// Print a JSON Schema, for editors
    #[command(
        after_help = "Example:\n  deploymentizer schema cluster > .schema/cluster.json\n  and as the first line of a file:\n  # yaml-language-server: $schema=../../.schema/cluster.json"
    )]
    Schema {
        /// Of which files
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Rewrite a repository of `.mustache` templates for minijinja, if every output byte stays the same
    Migrate {
        /// Write the files; without it only what would be done is said
        #[arg(long)]
        write: bool,
    },
    /// Write a small repository that works, or add a service to one
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  deploymentizer init manifests\n  deploymentizer --conf manifests/kit.yaml init service cart --image registry.example.com/shop/cart:1.0"
    )]
    Init {
        /// Where; existing files are never overwritten [default: here]
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The CI that deploys it
        #[arg(long, value_enum, default_value_t = Recipe::Github)]
        ci: Recipe,
        #[command(subcommand)]
        what: Option<Init>,
    },
}

/// What `init` adds to a repository that is there.
#[derive(Debug, Subcommand)]
pub(crate) enum Init {
    /// Add a service: its template, its image file, and its entry in base-cluster.yaml
    Service {
        /// Its name: lower-case letters, digits and `-`, as in Kubernetes
        #[arg(value_name = "NAME")]
        service: String,
        /// The port that it listens on [default: EXPOSE of the Dockerfile, else 8080]
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// Its image [default: a placeholder that the first run of image-deployer replaces]
        #[arg(long, value_name = "IMAGE")]
        image: Option<String>,
        /// Where EXPOSE is looked up [default: `Dockerfile`, if there is one]
        #[arg(long, value_name = "FILE")]
        dockerfile: Option<PathBuf>,
    },
}

/// Whose CI recipe a new repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Recipe {
    /// .github/workflows/deploy.yml
    Github,
    /// .gitlab-ci.yml
    Gitlab,
    /// None
    None,
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// One line a cluster
    Clusters,
    /// One line a resource, with the clusters that run it
    Resources,
    /// One line an image, with who runs it
    Images,
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// kit.yaml
    Kit,
    /// base-cluster.yaml, and types of kind ClusterNamespace
    Base,
    /// cluster.yaml
    Cluster,
    /// base-var.yaml, configuration-var.yaml, and types of kind ResourceConfig
    Var,
}
