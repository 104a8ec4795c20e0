//! A span of ours reaches a collector, and what libraries say of secrets does not.
#![cfg(feature = "otlp")]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread,
};

use subrosa::traces::Traces;
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt as _;

/// Takes one request: its first line and its body.
fn collect(listener: &TcpListener) -> (String, Vec<u8>) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    reader.into_inner().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    (first, body)
}

#[test]
fn spans_reach_the_collector_without_what_vaults_library_says() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let collector = thread::spawn(move || collect(&listener));

    let traces = Traces::to(&address).unwrap();
    with_default(tracing_subscriber::registry().with(traces.layer()), || {
        let span =
            tracing::info_span!(target: "subrosa::controllers", "reconcile", channel = "cc-front/voice");
        span.in_scope(|| {
            tracing::debug!(target: "subrosa::controllers", took = 12, "reconciled");
            tracing::error!(target: "vaultrs::client", "canary-of-an-event");
        });
        tracing::error_span!(target: "rustify::endpoint", "canary-of-a-span").in_scope(|| {});
    });
    drop(traces);

    let (first, body) = collector.join().unwrap();
    assert_eq!(first.trim(), "POST /v1/traces HTTP/1.1");
    let body = String::from_utf8_lossy(&body);
    for said in ["subrosa", "reconcile", "cc-front/voice", "reconciled"] {
        assert!(body.contains(said), "{said} in {body:?}");
    }
    assert!(!body.contains("canary"), "{body:?}");
}

#[test]
fn what_is_no_address_is_said() {
    let error = Traces::to("not an address").err().unwrap();
    assert!(format!("{error:#}").contains("--otlp-endpoint"), "{error:#}");
}
