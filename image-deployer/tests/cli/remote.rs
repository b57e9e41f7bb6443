//! A manifests repository to push to.

use std::path::Path;

use testkit::{Answer, Call, Sandbox, program};

pub(crate) const KIT_YAML: &str = "images: {path: ./images, property: image}\n";
pub(crate) const WEB: &str = "# the shop\nimage: 'quay.io/acme/web:main-1'  # by CI\n";
pub(crate) const WEB_FILE: &str = "images/acme/web/main.yaml";

/// A bare repository `manifests.git` in a sandbox.
pub(crate) struct Remote {
    pub(crate) sandbox: Sandbox,
}

impl Remote {
    /// kit's layout with one image file.
    pub(crate) fn new() -> Self {
        Self::with(&[("kit.yaml", KIT_YAML), (WEB_FILE, WEB)])
    }

    /// One commit of these files on `main`.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let remote = Self::empty();
        remote.commit("main", "init", files);
        remote
    }

    /// No commit at all.
    pub(crate) fn empty() -> Self {
        let sandbox = Sandbox::new();
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main").external_template(false);
        git2::Repository::init_opts(sandbox.join("manifests.git"), &options).unwrap();
        Self { sandbox }
    }

    pub(crate) fn repository(&self) -> git2::Repository {
        git2::Repository::open_bare(self.sandbox.join("manifests.git")).unwrap()
    }

    /// Adds a commit with these files changed, as somebody else would.
    pub(crate) fn commit(&self, branch: &str, message: &str, files: &[(&str, &str)]) -> String {
        commit(&self.repository(), branch, message, files)
    }

    /// The content of a file at the tip of a branch.
    pub(crate) fn file(&self, branch: &str, path: &str) -> Option<String> {
        let repository = self.repository();
        let tree =
            repository.find_branch(branch, git2::BranchType::Local).ok()?.into_reference().peel_to_tree();
        let entry = tree.ok()?.get_path(Path::new(path)).ok()?;
        let blob = repository.find_blob(entry.id()).ok()?;
        Some(String::from_utf8(blob.content().to_vec()).unwrap())
    }

    /// The tip of a branch: id, number of commits, message.
    pub(crate) fn tip(&self, branch: &str) -> (String, usize, String) {
        let repository = self.repository();
        let tip = repository.find_branch(branch, git2::BranchType::Local).unwrap().into_reference();
        let commit = tip.peel_to_commit().unwrap();
        let mut walk = repository.revwalk().unwrap();
        walk.push(commit.id()).unwrap();
        (commit.id().to_string(), walk.count(), commit.message().unwrap().to_owned())
    }

    /// `image-deployer` with this repository.
    pub(crate) fn call(&self, args: &[&str]) -> Call {
        program("image-deployer").args(["--repo", "manifests.git"]).args(args)
    }

    /// Runs [`Remote::call`].
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.sandbox.run(self.call(args))
    }
}

/// One commit on a branch of any repository.
pub(crate) fn commit(
    repository: &git2::Repository,
    branch: &str,
    message: &str,
    files: &[(&str, &str)],
) -> String {
    let parent = repository
        .find_branch(branch, git2::BranchType::Local)
        .ok()
        .map(|branch| branch.into_reference().peel_to_commit().unwrap());
    let base = match &parent {
        Some(parent) => parent.tree().unwrap(),
        None => repository.find_tree(repository.treebuilder(None).unwrap().write().unwrap()).unwrap(),
    };
    let mut update = git2::build::TreeUpdateBuilder::new();
    for (path, content) in files {
        let blob = repository.blob(content.as_bytes()).unwrap();
        update.upsert(*path, blob, git2::FileMode::Blob);
    }
    let tree = repository.find_tree(update.create_updated(repository, &base).unwrap()).unwrap();
    let me =
        git2::Signature::new("Somebody", "somebody@example.com", &git2::Time::new(1_700_000_000, 0)).unwrap();
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    let name = format!("refs/heads/{branch}");
    repository.commit(Some(&name), &me, &me, message, &tree, &parents).unwrap().to_string()
}
