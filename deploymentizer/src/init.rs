//! `init`: a small repository that works, and one more service in a repository that is there.

mod dockerfile;
mod entry;
mod service;

use std::path::{Path, PathBuf};

use cli::{Exit, Failure, Format, Printer};
use render::external::Environment;
use render::files::shown as path_shown;
use render::problem::{Place, Problem};

use crate::args::Args;
use crate::command::{Init, Recipe};
use crate::problems::{invalid, invalid_one};

/// A file of ours: its path below the new repository, and its text.
type Scaffold = &'static [(&'static str, &'static str)];

/// The template of a service.
const SERVICE: &str = include_str!("init/scaffold/service.yaml.j2");

const REPOSITORY: Scaffold = &[
    ("README.md", include_str!("init/scaffold/README.md")),
    (".gitignore", include_str!("init/scaffold/gitignore")),
    ("kit.yaml", include_str!("init/scaffold/kit.yaml")),
    ("base-cluster.yaml", include_str!("init/scaffold/base-cluster.yaml")),
    ("base-var.yaml", include_str!("init/scaffold/base-var.yaml")),
    ("type/standard-var.yaml", include_str!("init/scaffold/type/standard-var.yaml")),
    ("clusters/one/cluster.yaml", include_str!("init/scaffold/clusters/one/cluster.yaml")),
    ("clusters/two/cluster.yaml", include_str!("init/scaffold/clusters/two/cluster.yaml")),
    (
        "clusters/two/configuration-var.yaml",
        include_str!("init/scaffold/clusters/two/configuration-var.yaml"),
    ),
    ("resources/hello.yaml.j2", SERVICE),
    (
        "images/nginxinc/nginx-unprivileged/main.yaml",
        include_str!("init/scaffold/images/nginxinc/nginx-unprivileged/main.yaml"),
    ),
    ("namespaces/one/apps.yaml", include_str!("init/scaffold/namespaces/one/apps.yaml")),
    ("namespaces/two/apps.yaml", include_str!("init/scaffold/namespaces/two/apps.yaml")),
];

/// Does what `init` asks for.
pub(crate) fn init(
    args: &Args,
    environment: Environment,
    (dir, ci, what): (Option<&Path>, Recipe, Option<&Init>),
    printer: &Printer,
) -> Result<Exit, Failure> {
    match what {
        None => repository(args, dir.unwrap_or(Path::new(".")), ci, printer),
        Some(Init::Service { service: name, port, image, dockerfile }) => {
            let wanted = service::Wanted {
                name,
                port: *port,
                image: image.as_deref(),
                dockerfile: dockerfile.as_deref(),
            };
            service::add(args, environment, &wanted, printer)
        }
    }
}

/// Writes a repository with a service, two clusters, one type and a CI recipe.
fn repository(args: &Args, dir: &Path, ci: Recipe, printer: &Printer) -> Result<Exit, Failure> {
    let recipe = match ci {
        Recipe::Github => Some((".github/workflows/deploy.yml", include_str!("init/scaffold/ci/github.yml"))),
        Recipe::Gitlab => Some((".gitlab-ci.yml", include_str!("init/scaffold/ci/gitlab.yml"))),
        Recipe::None => None,
    };
    let mut done = Done { created: Vec::new(), changed: Vec::new() };
    for (name, text) in REPOSITORY.iter().copied().chain(recipe) {
        let path = dir.join(name);
        // A repository that a git host made has these two.
        match std::fs::read_to_string(&path) {
            Ok(_) if name == "README.md" => {}
            Ok(own) if name == ".gitignore" => {
                done.changed.extend(ignoring(&own, text).map(|new| (path, new)))
            }
            Ok(_) | Err(_) => done.created.push((path, text.to_owned())),
        }
    }
    done.save(args.save)?;
    let next = format!("next: {} check", command(&dir.join("kit.yaml")));
    done.tell(args.save, &[next], printer);
    Ok(Exit::Done)
}

/// A `.gitignore` with our lines behind its own; `None` if it has them.
fn ignoring(own: &str, ours: &str) -> Option<String> {
    let missing: Vec<&str> = ours.lines().filter(|line| !own.lines().any(|other| other == *line)).collect();
    let newline = if own.is_empty() || own.ends_with('\n') { "" } else { "\n" };
    (!missing.is_empty()).then(|| format!("{own}{newline}{}\n", missing.join("\n")))
}

/// How this program is called for a kit.yaml.
fn command(conf: &Path) -> String {
    match path_shown(conf).as_str() {
        "kit.yaml" => "deploymentizer".to_owned(),
        conf => format!("deploymentizer --conf {}", quoted(conf)),
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Files to write.
struct Done {
    /// New ones.
    created: Vec<(PathBuf, String)>,
    /// Those that get another text.
    changed: Vec<(PathBuf, String)>,
}

impl Done {
    /// Writes all files or none. Nothing that is there is overwritten, but for `changed`.
    fn save(&self, save: bool) -> Result<(), Failure> {
        let there = self.created.iter().filter(|(path, _)| path.symlink_metadata().is_ok());
        let problems: Vec<Problem> = there
            .map(|(path, _)| Problem::new("the file is there already").at(Place::of_file(path_shown(path))))
            .collect();
        if !problems.is_empty() {
            let hint = "nothing was written; name an empty folder, or move the files away";
            let last = problems.len() - 1;
            let hinted =
                |(at, problem): (usize, Problem)| if at == last { problem.hint(hint) } else { problem };
            return Err(invalid(problems.into_iter().enumerate().map(hinted).collect()));
        }
        if !save {
            return Ok(());
        }
        let mut written = Vec::new();
        let outcome = self.write(&mut written);
        outcome.map_err(|(path, error)| {
            for file in written.iter().rev() {
                let _ = std::fs::remove_file(file);
            }
            let problem = Problem::new("cannot write the file").at(Place::of_file(path_shown(&path)));
            invalid_one(problem.cause(error.to_string()))
        })
    }

    fn write<'s>(&'s self, written: &mut Vec<&'s Path>) -> Result<(), (PathBuf, std::io::Error)> {
        use std::io::Write as _;
        for (path, text) in &self.created {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::File::create_new(path))
                .and_then(|mut file| {
                    written.push(path);
                    file.write_all(text.as_bytes())
                })
                .map_err(|error| (path.clone(), error))?;
        }
        for (path, text) in &self.changed {
            replace(path, text).map_err(|error| (path.clone(), error))?;
        }
        Ok(())
    }

    fn tell(&self, saved: bool, notes: &[String], printer: &Printer) {
        let names = |files: &[(PathBuf, String)]| -> Vec<String> {
            files.iter().map(|(path, _)| path_shown(path)).collect()
        };
        let (created, changed) = (names(&self.created), names(&self.changed));
        match printer.format() {
            Format::Json | Format::Ndjson => printer.json(&serde_json::json!({
                "version": 1,
                "saved": saved,
                "created": created,
                "changed": changed,
            })),
            Format::Text => {
                let (new, other) =
                    if saved { ("created", "changed") } else { ("would create", "would change") };
                let lines = created.iter().map(|name| format!("{new} {name}\n"));
                let lines = lines.chain(changed.iter().map(|name| format!("{other} {name}\n")));
                printer.result(&lines.collect::<String>());
            }
        }
        notes.iter().for_each(|note| printer.say(note));
    }
}

/// Gives a file another text; whoever reads it sees the old one or the new one. A link stays a link.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let mut part = path.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let permissions = std::fs::metadata(&path)?.permissions();
    std::fs::write(&part, text)
        .and_then(|()| std::fs::set_permissions(&part, permissions))
        .and_then(|()| std::fs::rename(&part, &path))
        .inspect_err(|_| drop(std::fs::remove_file(&part)))
}
