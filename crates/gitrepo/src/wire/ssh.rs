//! Lines through programs: the user's `ssh`, and `git` for repositories of this machine.

use std::path::Path;

use super::advert::Service;
use super::stream::{Dial, remote_command};

/// Through `ssh`, or the command of `GIT_SSH_COMMAND`, which a shell reads as git has it read.
pub(crate) fn ssh(command: Option<&str>, destination: &str, port: Option<u16>, path: &str) -> Dial {
    let command = command.unwrap_or("ssh").to_string();
    let (destination, path) = (destination.to_string(), path.to_string());
    Dial::Program {
        program: "sh".to_string(),
        shown: command.clone(),
        arguments: Box::new(move |service| ssh_arguments(&command, &destination, port, &path, service)),
    }
}

fn ssh_arguments(
    command: &str,
    destination: &str,
    port: Option<u16>,
    path: &str,
    service: Service,
) -> Vec<String> {
    // `sh -c 'COMMAND "$@"' COMMAND arguments…`, with `exec` where it is one program, so that it is
    // this program that is ended when we end it.
    let plain = |c: char| !c.is_control() && !";|&<>()`$=!#".contains(c);
    let exec = if command.chars().all(plain) { "exec " } else { "" };
    let mut arguments = vec!["-c".to_string(), format!("{exec}{command} \"$@\""), command.to_string()];
    let plink = plink(command);
    if !plink && service == Service::UploadPack {
        arguments.extend(["-o".to_string(), "SendEnv=GIT_PROTOCOL".to_string()]);
    }
    if let Some(port) = port {
        arguments.extend([if plink { "-P" } else { "-p" }.to_string(), port.to_string()]);
    }
    arguments.extend([destination.to_string(), remote_command(service, path)]);
    arguments
}

/// PuTTY's program, which has other options.
fn plink(command: &str) -> bool {
    let program = command.split_whitespace().next().unwrap_or_default();
    let name = program.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    name.trim_end_matches(".exe").ends_with("plink")
}

/// Through `git upload-pack` and `git receive-pack` on this machine.
pub(crate) fn git(program: &Path, path: &Path) -> Dial {
    let path = path.display().to_string();
    Dial::Program {
        program: program.display().to_string(),
        shown: program.display().to_string(),
        arguments: Box::new(move |service| {
            vec![service.program().trim_start_matches("git-").to_string(), path.clone()]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_called_as_git_calls_it() {
        assert_eq!(
            ssh_arguments("ssh -i key", "git@h", Some(2222), "o/r.git", Service::UploadPack),
            [
                "-c",
                "exec ssh -i key \"$@\"",
                "ssh -i key",
                "-o",
                "SendEnv=GIT_PROTOCOL",
                "-p",
                "2222",
                "git@h",
                "git-upload-pack 'o/r.git'"
            ]
        );
        assert_eq!(
            ssh_arguments("/opt/plink.exe -batch", "git@h", Some(2222), "r", Service::ReceivePack)[3..],
            ["-P", "2222", "git@h", "git-receive-pack 'r'"]
        );
    }
}
