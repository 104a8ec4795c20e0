//! Connections with a Service of the TrustDomain.

use super::*;

/// A trust domain with one service, named by a Channel in one list.
fn with_service(service: Value, field: &str, spec: Value) -> Scene {
    let mut whole = json!({
        "listeners": [{"name": "web", "port": 8443}, {"name": "metrics", "port": 9100}],
        field: [{"name": "svc", "kind": "Service"}],
    });
    crate::testing::merge(&mut whole, spec);
    let mut entry = json!({"name": "svc", "namespace": "ops"});
    crate::testing::merge(&mut entry, service);
    Scene::new().domain(DOMAIN, json!({"network": {"services": [entry]}})).channel("cc-front/voice", whole)
}

#[test]
fn services_are_used_in_their_direction_only() {
    let egress = json!({"ports": [8200], "for": "Named"});
    let one = only(&with_service(egress.clone(), "connectsTo", json!({})), "cc-front/voice");
    assert_eq!((one.other.clone(), brief(&one)), (Other::Service("svc".into()), open(&["8200/TCP"])));
    let wrong = only(&with_service(egress, "accepts", json!({})), "cc-front/voice");
    assert_eq!(brief(&wrong), closed(State::Refused));
    assert!(wrong.next_step.unwrap().contains("connectsTo"));

    let ingress = json!({"direction": "Ingress", "for": "Named"});
    let wrong = only(&with_service(ingress.clone(), "connectsTo", json!({})), "cc-front/voice");
    assert_eq!(brief(&wrong), closed(State::Refused));
    assert!(wrong.next_step.unwrap().contains("accepts"));
    let one = only(&with_service(ingress, "accepts", json!({})), "cc-front/voice");
    assert_eq!(brief(&one), open(&["8443/TCP", "9100/TCP"]), "without ports: every listener");
}

#[test]
fn a_service_that_connects_in_reaches_chosen_listeners_and_common_ports() {
    let chosen = json!({"accepts": [{"name": "svc", "kind": "Service", "listeners": ["metrics"]}]});
    let any = json!({"direction": "Ingress", "for": "Named"});
    assert_eq!(brief(&only(&with_service(any, "accepts", chosen), "cc-front/voice")), open(&["9100/TCP"]));
    let some = json!({"direction": "Ingress", "for": "Named", "ports": [8443, 22]});
    let one = only(&with_service(some, "accepts", json!({})), "cc-front/voice");
    assert_eq!(brief(&one), open(&["8443/TCP"]));
    let none = json!({"direction": "Ingress", "for": "Named", "ports": [22]});
    let one = only(&with_service(none, "accepts", json!({})), "cc-front/voice");
    assert_eq!(brief(&one), closed(State::ListenerMismatch));
}

#[test]
fn services_are_for_whom_they_say() {
    let sealing = json!({"ports": [8200], "for": "Sealing"});
    let one = only(&with_service(sealing.clone(), "connectsTo", json!({})), "cc-front/voice");
    assert_eq!(brief(&one), closed(State::Refused));
    let classes = json!({"dataClasses": ["call-recording"], "workload": {"serviceAccountName": "sbc"}});
    let one = only(&with_service(sealing, "connectsTo", classes), "cc-front/voice");
    assert_eq!(brief(&one), open(&["8200/TCP"]));
    let absent =
        Scene::new().channel("cc-front/voice", json!({"connectsTo": [{"name": "svc", "kind": "Service"}]}));
    assert_eq!(only(&absent, "cc-front/voice").state, State::NotFound);

    let services = json!({"network": {"services": [
        {"name": "all", "namespace": "ops", "ports": [1], "for": "All"},
        {"name": "sealing", "namespace": "ops", "ports": [2], "for": "Sealing"},
        {"name": "named", "namespace": "ops", "ports": [3], "for": "Named"},
    ]}});
    let domain = crate::testing::domain(DOMAIN, services);
    let implied = |spec: Value| -> Vec<String> {
        let channel = crate::testing::channel("cc-front/voice", spec);
        implied_services(&channel, &domain).map(|service| service.name.clone()).collect()
    };
    assert_eq!(implied(json!({})), ["all"]);
    assert_eq!(implied(json!({"dataClasses": ["call-recording"]})), ["all", "sealing"]);
}
