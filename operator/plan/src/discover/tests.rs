use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use serde_json::{Value, json};
use subrosa_crds::{common::Protocol, preset};

use super::*;
use crate::testing::{channel, domain, labels, named, party, read};

/// A namespace under survey.
#[derive(Default)]
struct Place {
    surveyed: Surveyed,
}

fn port(name: Option<&str>, number: u16) -> ContainerPort {
    let range = subrosa_crds::common::PortRange { protocol: Protocol::Tcp, start: number, end: number };
    ContainerPort { name: name.map(str::to_owned), range }
}

impl Place {
    fn workload(mut self, name: &str, image: &str, ports: &[ContainerPort]) -> Self {
        self.surveyed.workloads.push(RunningWorkload {
            kind: "Deployment".into(),
            name: name.into(),
            selector: read(json!({"matchLabels": {"app": name}})),
            labels: labels([("app", name)]),
            images: vec![image.into()],
            ports: ports.to_vec(),
            ..RunningWorkload::default()
        });
        self
    }

    fn service(mut self, name: &str, target: Value) -> Self {
        let target = read(target);
        let port = ServicePort { name: Some("main".into()), protocol: Protocol::Tcp, target };
        let selector = labels([("app", name)]);
        self.surveyed.services.push(Service {
            name: name.into(),
            selector,
            ports: vec![port],
            outside: None,
        });
        self
    }

    fn policy(mut self, name: &str, spec: Value) -> Self {
        self.surveyed.policies.insert(name.into(), read::<NetworkPolicySpec>(spec));
        self
    }

    fn found(self, namespace: &str) -> Survey {
        Survey { surveyed: [(namespace.to_owned(), self.surveyed)].into(), ..Survey::default() }
    }
}

fn app(name: &str) -> Value {
    json!({"podSelector": {"matchLabels": {"app": name}}})
}

/// The only draft of that name.
fn of<'a>(drafts: &'a Drafts, name: &str) -> &'a Draft {
    drafts.channels.iter().find(|draft| draft.name.name == name).unwrap()
}

fn names(peers: &[Peer]) -> Vec<String> {
    peers.iter().map(|peer| format!("{} [{}]", peer.name, peer.listeners.join(" "))).collect()
}

fn ports(draft: &Draft) -> Vec<String> {
    draft.spec.listeners.iter().map(|one| format!("{} {}", one.name, one.range().unwrap())).collect()
}

fn says(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.contains(text))
}

#[test]
fn a_named_connection_is_drafted_on_both_sides() {
    let found = Place::default()
        .workload("web", "example/web:1", &[])
        .workload("db", "postgres:17", &[port(Some("pg"), 5432)])
        .policy(
            "db",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [
                {"from": [app("web")], "ports": [{"port": "pg"}]},
            ]}),
        )
        .found("shop");
    let drafts = draft(&found);
    let (web, db) = (of(&drafts, "web"), of(&drafts, "db"));
    assert_eq!(
        (names(&db.spec.accepts), names(&db.spec.connects_to)),
        (vec!["web [postgres]".into()], vec![])
    );
    assert_eq!((names(&web.spec.accepts), names(&web.spec.connects_to)), (vec![], vec!["db []".into()]));
    assert_eq!(db.spec.preset, Some(preset::Preset::PostgreSQL));
    assert!(db.spec.listeners.is_empty(), "the preset gives them");
    assert!(says(&db.guessed, "shop/web connects to shop/db on postgres, from NetworkPolicy db"), "{db:?}");
    assert!(says(&drafts.remarks, "NamespaceNotGoverned"));
}

#[test]
fn what_the_other_side_refuses_is_not_drafted() {
    let place = |allowed: &str| {
        let place = Place::default()
            .workload("web", "x", &[])
            .workload("db", "x", &[port(None, 9000)])
            .policy("db", json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [app("web")]}]}))
            .policy("web", json!({
                "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{"to": [app(allowed)]}],
            }));
        draft(&place.found("shop"))
    };
    assert_eq!(names(&of(&place("db"), "db").spec.accepts), ["web [port-9000]"]);
    assert!(of(&place("cache"), "db").spec.accepts.is_empty(), "web may not reach db");
    assert!(says(&of(&place("cache"), "web").decide, "pods app=cache"));
}

#[test]
fn listeners_come_from_containers_services_and_policies() {
    let found = Place::default()
        .workload("app", "x", &[port(Some("http"), 8080), port(None, 9000)])
        .service("app", json!("http"))
        .service("app", json!(9443))
        .workload("client", "x", &[])
        .policy(
            "app",
            json!({"podSelector": {"matchLabels": {"app": "app"}}, "ingress": [
                {"from": [app("client")], "ports": [{"port": 7000}, {"port": 8080}]},
            ]}),
        )
        .found("shop");
    let drafts = draft(&found);
    let app = of(&drafts, "app");
    assert_eq!(ports(app), ["http 8080/TCP", "port-9000 9000/TCP", "main 9443/TCP", "port-7000 7000/TCP"]);
    assert_eq!(names(&app.spec.accepts), ["client [http port-7000]"]);
    assert!(
        says(&app.decide, "TLS from the first byte")
            && says(&app.guessed, "7000/TCP, from NetworkPolicy app")
    );
    assert!(says(&of(&drafts, "client").guessed, "listens nowhere"));
}

#[test]
fn a_plaintext_port_of_a_preset_is_left_out_and_said() {
    let found = Place::default()
        .workload("web", "nginx:1", &[port(None, 80)])
        .workload("client", "x", &[])
        .policy(
            "web",
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [
                {"from": [app("client")], "ports": [{"port": 80}]},
            ]}),
        )
        .found("shop");
    let drafts = draft(&found);
    let web = of(&drafts, "web");
    assert!(web.spec.listeners.is_empty() && web.spec.accepts.is_empty(), "{web:?}");
    assert!(says(&web.decide, "80/TCP is left out: Nginx speaks plain text there"), "{web:?}");
    assert!(says(&web.decide, "on no port that is a listener"), "{web:?}");
    let other = Place::default().workload("web", "nginx:1", &[port(Some("https"), 8443)]).found("shop");
    assert_eq!(
        ports(&draft(&other).channels[0]),
        ["https 8443/TCP"],
        "what is found replaces the preset's 443"
    );
}

#[test]
fn who_is_not_named_is_left_to_a_person() {
    let found = Place::default()
        .workload("app", "x", &[port(None, 9000)])
        .workload("other", "x", &[])
        .policy("app", json!({"podSelector": {"matchLabels": {"app": "app"}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"port": 9000}]},
                {"from": [{"podSelector": {}}, {"namespaceSelector": {}}, {"ipBlock": {"cidr": "203.0.113.0/28", "except": ["203.0.113.1/32"]}}]},
                {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}, "podSelector": {"matchLabels": {"app": "portal"}}}]},
            ],
            "egress": [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}, {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
        }))
        .found("shop");
    let app = of(&draft(&found), "app").clone();
    assert!(app.spec.accepts.is_empty() && app.spec.connects_to.is_empty());
    for expected in [
        "lets in everybody on 9000/TCP",
        "lets in every pod of namespace shop on every port",
        "lets in every pod of every namespace",
        "lets in 203.0.113.0/28 without 203.0.113.1/32 on every port: if that is outside",
        "lets in pods app=portal of namespace web on every port: draft both together with -n web",
        "lets reach 10.1.0.0/16",
    ] {
        assert!(says(&app.decide, expected), "{expected}: {:#?}", app.decide);
    }
    assert!(says(&app.guessed, "DNS (NetworkPolicy app)"));
}

#[test]
fn the_trust_domain_tells_what_is_a_service_and_what_is_outside() {
    let mut found = Place::default()
        .workload("app", "x", &[port(None, 9000)])
        .policy("app", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]}],
            "egress": [
                {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "security"}}, "podSelector": {"matchLabels": {"app": "vault"}}}]},
                {"to": [{"ipBlock": {"cidr": "203.0.113.4/32"}}, {"ipBlock": {"cidr": "10.1.0.0/16"}}]},
            ],
        }))
        .found("shop");
    found.surveyed.get_mut("shop").unwrap().trust_domain = Some("oosterlinde".into());
    found.domains = vec![domain(
        "oosterlinde",
        json!({"network": {"services": [
            {"name": "ingress", "namespace": "ingress", "podSelector": {"matchLabels": {"app": "nginx"}}, "direction": "Ingress", "for": "Named"},
            {"name": "vault", "namespace": "security", "podSelector": {"matchLabels": {"app": "vault"}}, "ports": [8200], "for": "All"},
        ]}}),
    )];
    found.parties = vec![party("carrier", json!({}))];
    let drafts = draft(&found);
    let app = of(&drafts, "app");
    assert_eq!(app.spec.accepts[0].kind, Some(PeerKind::Service));
    assert_eq!(names(&app.spec.accepts), ["ingress []"]);
    assert!(app.spec.connects_to.is_empty(), "the domain opens its own services");
    assert!(says(&app.guessed, "opens its service vault by itself"), "{app:?}");
    assert!(
        says(&app.decide, "of ExternalParty carrier") && says(&app.decide, "addresses of the cluster"),
        "{app:?}"
    );
    assert_eq!(drafts.remarks[0], "namespace shop belongs to TrustDomain oosterlinde");
    assert!(drafts.remarks[1].contains("take the place of NetworkPolicy app"), "{:?}", drafts.remarks);
}

#[test]
fn what_has_a_channel_is_left_alone_and_named_where_it_is_the_other_end() {
    let mut found = Place::default()
        .workload("app", "x", &[port(None, 9000)])
        .workload("db", "x", &[port(None, 5432)])
        .policy("db", json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [app("app")]}]}))
        .policy("app", json!({"podSelector": {"matchLabels": {"app": "app"}}, "ingress": [
            {"from": [{"namespaceSelector": {"matchLabels": {"tier": "front"}}, "podSelector": {"matchLabels": {"app": "db"}}}]},
        ]}))
        .found("shop");
    found.labels = [("web".to_owned(), labels([("tier", "front")]))].into();
    for (name, pods) in [("shop/store", "db"), ("web/db", "db")] {
        let there = channel(
            name,
            json!({
                "workload": {"selector": {"matchLabels": {"app": pods}}}, "listeners": [{"name": "sql", "port": 5432}],
            }),
        );
        found.channels.insert(named(name), there);
    }
    let drafts = draft(&found);
    assert_eq!(drafts.channels.len(), 1);
    let app = of(&drafts, "app");
    assert_eq!(names(&app.spec.connects_to), ["store []"]);
    assert_eq!(names(&app.spec.accepts), ["db [port-9000]"]);
    assert_eq!(app.spec.accepts[0].namespace.as_deref(), Some("web"));
    assert!(says(&app.decide, "subrosa connect shop/app shop/store"), "{app:?}");
    assert!(says(&drafts.remarks, "Deployment shop/db has Channel shop/store already"));
}

#[test]
fn two_of_one_name_and_of_one_label_are_told_apart() {
    let mut place = Place::default().workload("app", "x", &[]).workload("app", "x", &[]);
    place.surveyed.workloads[1].kind = "StatefulSet".into();
    place.surveyed.workloads[1].labels = labels([("app", "app"), ("role", "store")]);
    for workload in &mut place.surveyed.workloads {
        workload.service_account = Some("shared".into());
    }
    let drafts = draft(&place.found("shop"));
    let names: Vec<_> = drafts.channels.iter().map(|draft| draft.name.name.as_str()).collect();
    assert_eq!(names, ["app", "app-statefulset"]);
    let [one, two] = drafts.channels.as_slice() else { panic!() };
    assert!(says(&one.decide, "cannot be told from another"), "{one:?}");
    assert_eq!(two.spec.workload.selector.match_labels, Some(labels([("app", "app"), ("role", "store")])));
    assert!(one.spec.workload.service_account_name.is_none() && says(&one.decide, "ServiceAccount shared"));
}
