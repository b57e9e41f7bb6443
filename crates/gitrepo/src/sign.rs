//! Signatures of commits, made by the programs that git itself uses.

use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use crate::commit::Signer;

/// Signs with an SSH key: `ssh-keygen -Y sign -n git`, as git does with `gpg.format=ssh`.
///
/// `key` is a private key, or a public one whose private half an agent holds. `program` is `ssh-keygen`.
pub fn ssh(program: &Path, key: &Path) -> Signer {
    let args: Vec<OsString> =
        ["-Y", "sign", "-n", "git", "-f"].iter().map(OsString::from).chain([key.into()]).collect();
    by_program(program.to_owned(), args, "-----BEGIN SSH SIGNATURE-----")
}

/// Signs with an OpenPGP key: `gpg --detach-sign`. `key` is an id, fingerprint or address; `program` is `gpg`.
pub fn openpgp(program: &Path, key: &str) -> Signer {
    let args = ["--batch", "--armor", "--detach-sign", "--local-user", key];
    by_program(program.to_owned(), args.iter().map(OsString::from).collect(), "-----BEGIN PGP SIGNATURE-----")
}

fn by_program(program: PathBuf, args: Vec<OsString>, expected: &'static str) -> Signer {
    Arc::new(move |commit| {
        let name = program.display();
        let mut child = Command::new(&program)
            .args(&args)
            // A key with a passphrase that no agent holds fails; nobody is there to type it.
            .env("SSH_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run `{name}`: {error}"))?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(commit));
        let output = child.wait_with_output().map_err(|error| format!("`{name}` failed: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{name}` failed: {}", said.trim().lines().collect::<Vec<_>>().join("; ")));
        }
        written.map_err(|error| format!("`{name}` did not read the commit: {error}"))?;
        let signature = String::from_utf8(output.stdout).unwrap_or_default();
        if signature.starts_with(expected) {
            Ok(signature)
        } else {
            Err(format!("`{name}` gave no signature"))
        }
    })
}
