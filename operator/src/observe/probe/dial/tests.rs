//! Real servers on loopback, each with another way to answer.

use std::sync::Arc;

use rcgen::{CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use subrosa_plan::{
    probe::Whose,
    world::answers::{PodTarget, Presented},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// An authority, and leaves of it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn leaf(&self, serial: u64) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(["db.cc-data.svc".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        (params.signed_by(&key, &self.issuer).unwrap().der().clone(), key)
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// Whether a server asks its clients for a certificate.
#[derive(Clone, Copy)]
enum Clients {
    Anybody,
    Ours,
}

fn server(
    authority: &Authority,
    leaf: (CertificateDer<'static>, KeyPair),
    version: &'static rustls::SupportedProtocolVersion,
    clients: Clients,
) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap();
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::Ours => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(vec![leaf.0], private(&leaf.1)).unwrap()
}

/// Listens, and lets `before` speak with each client before TLS begins.
async fn listen(config: ServerConfig, before: &'static [(&'static str, &'static [u8])]) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                for (says, hears) in before {
                    stream.write_all(says.as_bytes()).await.unwrap();
                    let mut heard = vec![0; hears.len()];
                    stream.read_exact(&mut heard).await.unwrap();
                    assert_eq!(heard, *hears);
                }
                if let Ok(mut tls) = acceptor.accept(stream).await {
                    let _ = tls.read_u8().await;
                }
            });
        }
    });
    port
}

/// Says something to everybody, and nothing else.
async fn speak(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 4];
                if !words.is_empty() {
                    let _ = stream.write_all(words).await;
                }
                let _ = stream.read_exact(&mut heard).await;
                tokio::time::sleep(DEADLINE * 2).await;
            });
        }
    });
    port
}

async fn asked(port: u16, begins: ListenerTls, authorities: &[String]) -> Answer {
    ask(HERE, port, begins, Some("db.cc-data.svc"), authorities).await
}

fn serial(answer: &Answer) -> (&str, bool) {
    match answer {
        Answer::Certificate(Presented { serial, ours, not_after, .. }) => {
            assert!(not_after.is_some());
            (serial, *ours)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_certificate_is_seen_whatever_the_server_asks_of_clients() {
    let authority = Authority::new();
    let own = [authority.pem.clone()];
    for version in [&TLS12, &TLS13] {
        for clients in [Clients::Anybody, Clients::Ours] {
            let config = server(&authority, authority.leaf(0x0badcafe), version, clients);
            let port = listen(config, &[]).await;
            let answer = asked(port, ListenerTls::Direct, &own).await;
            assert_eq!(serial(&answer), ("0badcafe", true), "{version:?}");
            let others = [Authority::new().pem];
            assert_eq!(serial(&asked(port, ListenerTls::Direct, &others).await), ("0badcafe", false));
            assert_eq!(serial(&asked(port, ListenerTls::Direct, &[]).await), ("0badcafe", false));
        }
    }
}

/// Shows a certificate and signs with the key of another.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_server_that_does_not_hold_the_key_proves_nothing() {
    let authority = Authority::new();
    let (certificate, _) = authority.leaf(7);
    let (_, another) = authority.leaf(7);
    let key = ring::sign::any_supported_type(&private(&another)).unwrap();
    let shown = Arc::new(CertifiedKey::new(vec![certificate], key));
    for version in [&TLS12, &TLS13] {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Impostor(Arc::clone(&shown))));
        let port = listen(config, &[]).await;
        let answer = asked(port, ListenerTls::Direct, std::slice::from_ref(&authority.pem)).await;
        assert_eq!(answer, Answer::KeyNotHeld, "{version:?}");
    }
}

#[tokio::test]
async fn tls_begins_as_the_listener_says() {
    let authority = Authority::new();
    let own = [authority.pem.clone()];
    let fresh = || server(&authority, authority.leaf(9), &TLS13, Clients::Anybody);
    let smtp: &[(&str, &[u8])] = &[
        ("220-mail\r\n220 ready\r\n", b"EHLO probe.subrosa.invalid\r\n"),
        ("250-mail\r\n250-STARTTLS\r\n250 8BITMIME\r\n", b"STARTTLS\r\n"),
        ("220 go on\r\n", b""),
    ];
    let imap: &[(&str, &[u8])] =
        &[("* OK hello\r\n", b"a STARTTLS\r\n"), ("* BYTHEWAY\r\na OK begin\r\n", b"")];
    let postgresql: &[(&str, &[u8])] = &[("", &[0, 0, 0, 8, 4, 210, 22, 47]), ("S", b"")];
    for (begins, words) in
        [(ListenerTls::Smtp, smtp), (ListenerTls::Imap, imap), (ListenerTls::PostgreSQL, postgresql)]
    {
        let port = listen(fresh(), words).await;
        assert_eq!(serial(&asked(port, begins, &own).await), ("09", true), "{begins:?}");
    }
}

#[tokio::test]
async fn what_does_not_change_to_tls_is_plain_text() {
    for (begins, words) in [
        (ListenerTls::Direct, &b"220 mail ESMTP\r\n"[..]),
        (ListenerTls::Direct, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (ListenerTls::PostgreSQL, b"N"),
        (ListenerTls::PostgreSQL, b"E"),
        (ListenerTls::Smtp, b"220 mail\r\n250 nothing\r\n454 not now\r\n"),
        (ListenerTls::Smtp, b"554 go away\r\n"),
        (ListenerTls::Imap, b"* OK\r\na BAD what\r\n"),
        (ListenerTls::Imap, b"* BYE\r\n"),
        // What was said too early would be taken for TLS.
        (ListenerTls::PostgreSQL, b"Sinjected bytes"),
    ] {
        let answer = asked(speak(words).await, begins, &[]).await;
        assert_eq!(answer, Answer::Plaintext, "{begins:?} {words:?}");
    }
}

#[tokio::test]
async fn who_says_nothing_is_silent_within_the_deadline() {
    let began = std::time::Instant::now();
    assert_eq!(asked(speak(b"").await, ListenerTls::Smtp, &[]).await, Answer::Silent);
    assert!((DEADLINE..DEADLINE * 2).contains(&began.elapsed()));
    let nobody = TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap().port();
    assert_eq!(asked(nobody, ListenerTls::Direct, &[]).await, Answer::Refused);
    for nobodys in ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "fe80::1"] {
        let answer = ask(nobodys.parse().unwrap(), 80, ListenerTls::Direct, None, &[]).await;
        assert_eq!(answer, Answer::Silent, "{nobodys}");
    }
}

#[tokio::test]
async fn a_round_asks_every_listener_of_every_pod() {
    let authority = Authority::new();
    let port = listen(server(&authority, authority.leaf(3), &TLS13, Clients::Anybody), &[]).await;
    let plain = speak(b"hello, this is no TLS\r\n").await;
    let target = PodTarget { ip: HERE, running_since: None };
    let targets = Targets {
        certificate: None,
        whose: Whose::OfAll,
        server_name: None,
        authorities: vec![authority.pem],
        listeners: [(port, ListenerTls::Direct), (plain, ListenerTls::Direct)].into(),
        pods: [("db-0".to_owned(), target), ("db-1".to_owned(), target)].into(),
    };
    let seen = round(&targets, &Semaphore::new(2)).await;
    assert!(targets.answered(&seen) && !targets.current(&seen));
    for pod in ["db-0", "db-1"] {
        assert_eq!(serial(&seen[pod].answers[&port]), ("03", true));
        assert_eq!(seen[pod].answers[&plain], Answer::Plaintext);
    }
}
