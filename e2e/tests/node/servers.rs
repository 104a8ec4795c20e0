//! Servers with mutual TLS and only their own configuration: who is declared gets in, and who is not does not.

use subrosa_e2e::node::{
    Node, Said,
    servers::{CLIENTS_NAMESPACE, DESK, SERVERS, SERVERS_NAMESPACE, STRANGER, Server},
    wire::Wire,
};

use crate::shared::servers;

const PSQL: &str = "host=db.cc-servers.svc dbname=postgres sslcert=/tls/tls.crt sslkey=/tls/tls.key";

/// Runs a program in a container of a client's pod.
async fn run(node: &Node, who: &str, container: &str, argv: &[&str]) -> Said {
    node.exec_in(CLIENTS_NAMESPACE, &format!("deploy/{who}"), container, argv).await.unwrap()
}

/// What OpenSSL's client hears from a server after it said something; it goes on although it trusts no server.
async fn s_client(node: &Node, who: &str, at: &str, say: &str) -> Said {
    let script = format!(
        "(printf '{say}'; sleep 1) | timeout 15 openssl s_client -quiet -connect {at} -servername {host} \
         -cert /tls/tls.crt -key /tls/tls.key -CAfile /tls/servers-ca.crt -verify_return_error",
        host = at.split(':').next().unwrap()
    );
    let script = if who == DESK { script } else { script.replace(" -verify_return_error", "") };
    run(node, who, "openssl", &["sh", "-c", &script]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_answers_its_peer_and_no_stranger() {
    let Some(node) = servers().await else { return };
    for Server { name, port, protocol, software, .. } in SERVERS {
        let server = (SERVERS_NAMESPACE, name, port);
        let peer = Wire::new(node, server, (CLIENTS_NAMESPACE, DESK), protocol).await.unwrap();
        peer.call().await.unwrap_or_else(|error| panic!("{software}: {error:#}"));
        let stranger = Wire::new(node, server, (CLIENTS_NAMESPACE, STRANGER), protocol).await.unwrap();
        let refused = stranger.call().await.map(|_| format!("{software} let a stranger in")).unwrap_err();
        let refused = format!("{refused:#}");
        // Only nginx finishes the handshake and says no in its own protocol.
        let wanted = if name == "web" { "HTTP/1.1 400" } else { "received fatal alert" };
        assert!(refused.contains(wanted), "{software}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_knows_the_role_by_the_certificate() {
    let Some(node) = servers().await else { return };
    let ask =
        ["-Atc", "SELECT current_user || ' ' || client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"];
    let psql = async |who: &str, how: &str| {
        let connection = format!("{PSQL} user={who} {how}");
        run(node, who, "postgresql", &["psql", &connection, ask[0], ask[1]]).await
    };
    let verified = "sslmode=verify-full sslrootcert=/tls/servers-ca.crt";
    let said = psql(DESK, verified).await;
    assert!(said.succeeded() && said.out.starts_with("desk /") && said.out.contains("CN=desk"), "{said:?}");
    // A stranger does not get as far as a role, and finds no server it trusts either.
    let said = psql(STRANGER, "sslmode=require").await;
    assert!(!said.succeeded() && said.err.contains("unknown ca"), "{said:?}");
    let said = psql(STRANGER, verified).await;
    assert!(!said.succeeded() && said.err.contains("certificate verify failed"), "{said:?}");
    // A peer is nobody else.
    let connection = format!("{PSQL} {verified} user=stranger");
    let said = run(node, DESK, "postgresql", &["psql", &connection, "-c", "SELECT 1"]).await;
    assert!(!said.succeeded() && said.err.contains("authentication failed"), "{said:?}");
    // And nobody comes without TLS.
    let connection = format!("{PSQL} user=desk sslmode=disable");
    let said = run(node, DESK, "postgresql", &["psql", &connection, "-c", "SELECT 1"]).await;
    assert!(!said.succeeded() && said.err.contains("no encryption"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_takes_messages_of_its_peer_alone() {
    let Some(node) = servers().await else { return };
    let mut argv = vec!["mosquitto_pub", "-h", "broker.cc-servers.svc", "-p", "8883"];
    argv.extend(["--cert", "/tls/tls.crt", "--key", "/tls/tls.key", "--cafile", "/tls/servers-ca.crt"]);
    argv.extend(["-t", "calls", "-m", "hello", "-q", "1"]);
    let said = run(node, DESK, "mosquitto", &argv).await;
    assert!(said.succeeded(), "{said:?}");
    // Its own client would end by itself before the broker says no: a stranger trusts no broker.
    let connect = "\\020\\024\\000\\004MQTT\\004\\002\\000\\074\\000\\010stranger";
    let said = s_client(node, STRANGER, "broker.cc-servers.svc:8883", connect).await;
    assert!(said.out.is_empty() && said.err.contains("alert unknown ca"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_and_kamailio_answer_their_peer_by_name() {
    let Some(node) = servers().await else { return };
    let http = "GET / HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n";
    let said = s_client(node, DESK, "web.cc-servers.svc:8443", http).await;
    assert!(said.out.contains("200 OK") && said.out.contains("you are CN=desk,OU=cc-desk"), "{said:?}");
    let said = s_client(node, STRANGER, "web.cc-servers.svc:8443", http).await;
    assert!(said.out.contains("400 Bad Request") && !said.out.contains("you are"), "{said:?}");

    let sip = "OPTIONS sip:sip SIP/2.0\\r\\nVia: SIP/2.0/TLS desk;branch=z9hG4bK2\\r\\nFrom: <sip:d@d>;tag=1\\r\\n\
               To: <sip:s@s>\\r\\nCall-ID: 2\\r\\nCSeq: 1 OPTIONS\\r\\nContent-Length: 0\\r\\n\\r\\n";
    let said = s_client(node, DESK, "sip.cc-servers.svc:5061", sip).await;
    assert!(said.out.contains("SIP/2.0 200 OK"), "{said:?}");
    let said = s_client(node, STRANGER, "sip.cc-servers.svc:5061", sip).await;
    assert!(!said.out.contains("SIP/2.0") && said.err.contains("alert unknown ca"), "{said:?}");
}
