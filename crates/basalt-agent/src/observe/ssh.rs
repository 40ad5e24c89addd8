use std::{fs, io, path::Path};

use basalt_node::{HostKey, SshFacts};

use crate::error::{AgentResult, Kind, OrFail as _};

const SERVER: &str = "/usr/sbin/sshd";
/// How a whole private key ends (OpenSSH `PROTOCOL.key`).
const END: &str = "-----END OPENSSH PRIVATE KEY-----\n";

/// The server, and the keys in `directory` that are whole.
pub(crate) fn ssh(directory: &Path) -> AgentResult<SshFacts> {
    let mut keys = Vec::new();
    for kind in HostKey::ALL {
        match fs::read_to_string(directory.join(kind.file_name())) {
            Ok(text) if text.ends_with(END) => keys.push(kind),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).or_fail(Kind::Host),
        }
    }
    Ok(SshFacts { server: Path::new(SERVER).exists(), keys })
}
