//! `sshd` on a port of loopback, with keys and a configuration of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server for the user who runs the tests, gone with this value.
#[derive(Debug)]
pub struct SshServer {
    dir: TempDir,
    port: u16,
    child: Child,
}

const SSHD: &str = "/usr/sbin/sshd";

impl SshServer {
    /// Starts one. `None`, and a line that says so, if this machine has no `sshd`.
    pub fn start() -> Option<Self> {
        if !Path::new(SSHD).exists() {
            crate::skipped("needs sshd (apt-get install openssh-server)");
            return None;
        }
        let dir = TempDir::with_prefix("ssh-").unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["host", "user", "stranger"] {
            let path = at(name);
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&path)
                .status()
                .unwrap();
            assert!(status.success());
        }
        std::fs::copy(at("user.pub"), at("authorized_keys")).unwrap();
        let port = super::free_port();
        let host_key = std::fs::read_to_string(at("host.pub")).unwrap();
        std::fs::write(at("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        std::fs::write(at("no_hosts"), "").unwrap();
        let path = dir.path().display();
        // The default key exchange takes a sixth of a second of each side's processor, a hundred
        // times over in some tests. With this `SHLVL`, bash does not read the user's `.bashrc`.
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {path}/host\nPidFile none\n\
             AuthorizedKeysFile {path}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             AcceptEnv GIT_PROTOCOL\nMaxStartups 1000\nMaxSessions 1000\nUseDNS no\n\
             KexAlgorithms curve25519-sha256\nSetEnv SHLVL=2\n"
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        // Wanted by an sshd that root starts; it is empty and belongs to the system.
        let _ = std::fs::create_dir("/run/sshd");
        let child = Command::new(SSHD)
            .arg("-D")
            .arg("-f")
            .arg(at("sshd_config"))
            .arg("-E")
            .arg(at("log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        super::wait_for_port(port);
        Some(Self { dir, port, child })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a directory of this machine, through the server.
    pub fn url(&self, path: &Path) -> String {
        self.url_at(self.port, path)
    }

    /// The same through another port, which leads to the server.
    pub fn url_at(&self, port: u16, path: &Path) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        format!("ssh://{}@127.0.0.1:{port}{}", String::from_utf8(user).unwrap().trim(), path.display())
    }

    /// The `GIT_SSH_COMMAND` with which the server lets us in.
    pub fn command(&self) -> String {
        self.command_with("user", "known_hosts")
    }

    /// One with a key the server does not know.
    pub fn command_of_stranger(&self) -> String {
        self.command_with("stranger", "known_hosts")
    }

    /// One that does not know the server.
    pub fn command_without_host_key(&self) -> String {
        self.command_with("user", "no_hosts")
    }

    fn command_with(&self, key: &str, hosts: &str) -> String {
        let dir = self.dir.path().display();
        format!(
            "ssh -F none -i {dir}/{key} -o IdentitiesOnly=yes -o BatchMode=yes -o HostKeyAlias=[127.0.0.1]:{} \
             -o UserKnownHostsFile={dir}/{hosts} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes",
            self.port
        )
    }

    /// What it logged.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
