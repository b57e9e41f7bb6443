//! `git daemon`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A daemon that also takes pushes, gone with this value.
#[derive(Debug)]
pub struct Daemon {
    port: u16,
    child: Child,
}

impl Daemon {
    /// Serves the repositories of a directory.
    pub fn serve(root: &Path) -> Self {
        let port = super::free_port();
        // Not through `git`, which would leave the daemon behind when it is killed.
        let exec = Command::new("git").arg("--exec-path").output().unwrap().stdout;
        let program = Path::new(String::from_utf8(exec).unwrap().trim()).join("git-daemon");
        let child = Command::new(program)
            .args(["--listen=127.0.0.1", "--export-all", "--enable=receive-pack", "--reuseaddr"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", root.display()))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        super::wait_for_port(port);
        Self { port, child }
    }

    /// The URL of the repository `repo.git`.
    pub fn url(&self) -> String {
        format!("git://127.0.0.1:{}/repo.git", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
