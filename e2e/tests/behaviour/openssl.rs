//! OpenSSL as the other party: what it says of a certificate, and whether two of its programs can talk.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Client<'a> {
    /// Checks the server against its own `servers-ca.crt` and this name.
    Checking(&'a str),
    /// Takes any server: only the server's own check is in the way.
    Careless,
    /// Takes any server and shows no certificate.
    Anonymous,
}

/// What `openssl <arguments>` prints, and whether it succeeded.
pub fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().expect("openssl");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Whether `certificate` is one for `purpose` that the authorities in `trust` vouch for.
pub fn verifies(certificate: &Path, trust: &Path, purpose: &str) -> bool {
    let (verified, text) = run(&[
        "verify",
        "-x509_strict",
        "-purpose",
        purpose,
        "-no-CAfile",
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        trust.to_str().unwrap(),
        certificate.to_str().unwrap(),
    ]);
    assert_eq!(verified, text.contains(": OK"), "{text}");
    verified
}

/// Whether a client with the files of one directory gets an answer from a server with those of another.
///
/// The server asks for a client certificate and checks it against `clients-ca.crt`.
pub async fn talk(client: &Path, how: Client<'_>, server: &Path) -> Result<(), String> {
    let file = |directory: &Path, name: &str| directory.join(name).display().to_string();
    let mut listening = process::Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-Verify", "1", "-verify_return_error", "-rev"])
        .args(["-cert", &file(server, "tls.crt"), "-cert_chain", &file(server, "tls.crt")])
        .args(["-key", &file(server, "tls.key"), "-CAfile", &file(server, "clients-ca.crt")])
        .args(["-no-CApath", "-no-CAstore"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl s_server");
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    let port = loop {
        let line =
            tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("s_server listens").unwrap();
        let line = line.expect("s_server ended before it listened: it does not load these files");
        if let Some(port) = line.strip_prefix("ACCEPT ").and_then(|address| address.rsplit(':').next()) {
            break port.to_owned();
        }
    };
    // Read on, or the server would wait for somebody to.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let mut command = process::Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")]);
    command.args(["-no-CApath", "-no-CAstore"]);
    if how != Client::Anonymous {
        command.args(["-cert", &file(client, "tls.crt"), "-cert_chain", &file(client, "tls.crt")]);
        command.args(["-key", &file(client, "tls.key")]);
    }
    if let Client::Checking(name) = how {
        command.args([
            "-CAfile",
            &file(client, "servers-ca.crt"),
            "-verify_return_error",
            "-verify_hostname",
            name,
        ]);
    } else {
        command.arg("-no-CAfile");
    }
    let mut connecting = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl s_client");
    let mut stdin = connecting.stdin.take().unwrap();
    // A client that was refused is gone before it could be told.
    let _ = stdin.write_all(b"ping\nCLOSE\n").await;
    let mut said = String::new();
    let mut stdout = connecting.stdout.take().unwrap();
    let mut errors = String::new();
    let mut stderr = connecting.stderr.take().unwrap();
    let read = async {
        let both = tokio::join!(stdout.read_to_string(&mut said), stderr.read_to_string(&mut errors));
        both.0.and(both.1)
    };
    tokio::time::timeout(PATIENCE, read).await.expect("s_client ends").expect("its output");
    if said.contains("gnip") { Ok(()) } else { Err(errors) }
}
