//! A certificate for `localhost` and the authority that signed it, made anew at each start.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::run::quietly;

/// An authority must not sign as a server in the eyes of strict clients, so there are two certificates.
const REQUEST: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = Waypost test servers
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
";

/// Three PEM files for one test server.
pub struct Certificate {
    /// The authority that clients are to trust.
    pub authority: PathBuf,
    /// The certificate that the server shows.
    pub chain: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
}

/// Makes them in a new folder.
pub fn make(folder: &Path) -> anyhow::Result<Certificate> {
    std::fs::create_dir(folder)?;
    std::fs::write(folder.join("request.conf"), REQUEST)?;
    let openssl = |args: &str| {
        let mut command = std::process::Command::new("openssl");
        command.args(args.split_whitespace()).current_dir(folder);
        quietly(command).context("cannot make a certificate for the test servers")
    };
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config request.conf";
    openssl(&format!(
        "req -x509 {new_key} -extensions authority -days 30 -keyout ca.key -out ca.pem"
    ))?;
    openssl(&format!("req -new {new_key} -subj /CN=localhost -keyout server.key -out server.csr"))?;
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
         -extfile request.conf -extensions server -out server.pem",
    )?;
    Ok(Certificate {
        authority: folder.join("ca.pem"),
        chain: folder.join("server.pem"),
        key: folder.join("server.key"),
    })
}
