//! One commit on a branch of a git repository, however many push at once.
//!
//! What it promises:
//! * **Bytes.** [`edit`] changes one scalar of a file and proves that nothing else changed.
//! * **Races.** [`update`](update()) reads the tip of a branch, asks what to change, commits and pushes. If
//!   somebody was faster, it asks again on the new tip. It never forces, rebases, merges, or makes
//!   an empty commit.
//! * **Size.** Over `https`, `ssh` and `git://` only the commit, the trees on the way to the files
//!   that are read, and these files are transferred, whatever the size of the repository.
//! * **Truth.** A push whose answer is lost is looked up before it is repeated.
//!
//! [`Follower`] looks at a branch again and again, for who acts on what is in it.
//!
//! What it refuses to know: images, Kubernetes, the terminal, the environment.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # git2::Repository::init_bare(dir.path())?;
//! use gitrepo::{Change, CommitSpec, Identity, Outcome, RemoteSpec, RetryPolicy};
//!
//! let mut remote = RemoteSpec::new(dir.path().to_string_lossy());
//! remote.branch = Some("main".to_string());
//! remote.create_branch = true;
//! let me = Identity::now("CI", "ci@example.org");
//! let outcome = gitrepo::update::<gitrepo::GitError>(
//!     &remote,
//!     &RetryPolicy::default(),
//!     &mut |_event| {},
//!     &mut |tip| {
//!         if tip.read("images/app.yaml")?.is_some() {
//!             return Ok(None);
//!         }
//!         Ok(Some(Change {
//!             files: vec![("images/app.yaml".to_string(), b"image: app:1\n".to_vec())],
//!             commit: CommitSpec {
//!                 author: me.clone(),
//!                 committer: me.clone(),
//!                 message: "app:1".to_string(),
//!                 signer: None,
//!             },
//!         }))
//!     },
//! )?;
//! assert!(matches!(outcome, Outcome::Pushed(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod ancestry;
mod auth;
mod commit;
pub mod edit;
pub mod environment;
mod fault;
mod follow;
pub mod history;
mod local;
mod object;
mod outcome;
mod refusal;
mod remote;
mod retry;
mod session;
pub mod sign;
mod stop;
mod tip;
mod update;
mod wire;

pub use address::redact;
pub use ancestry::{Relation, relation};
pub use auth::{Auth, Secret};
pub use commit::{Change, CommitSpec, Identity, Signer};
pub use fault::GitError;
pub use follow::{Follower, Look, Snapshot};
pub use object::ObjectFormat;
pub use outcome::{Decide, NoChange, Outcome, Planned, PushEvent, Pushed, UpdateError};
pub use refusal::RefusalKind;
pub use remote::{Proxy, RemoteSpec, Timeouts};
pub use retry::RetryPolicy;
pub use session::Traffic;
pub use stop::Stop;
pub use tip::{CommitInfo, TipReader};
pub use update::{dry_run, push_branch, update};
