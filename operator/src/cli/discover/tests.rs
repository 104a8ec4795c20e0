use serde::de::DeserializeOwned;
use serde_json::Value;
use subrosa_plan::discover::{Survey, Surveyed, draft};

use super::{
    read::{Objects, survey},
    write,
};
use crate::cli::{exit::Exit, output::Screen, render};

/// Two namespaces of a contact centre before anybody wrote a Channel.
const RUNNING: &str = r#"
kind: Deployment
metadata: {name: portal, namespace: cc-web}
spec:
  selector: {matchLabels: {app: portal}}
  template:
    metadata: {labels: {app: portal, tier: front}}
    spec:
      serviceAccountName: portal
      containers:
      - {name: nginx, image: "registry.example.org/nginx:1.22", ports: [{containerPort: 443}, {containerPort: 80}]}
---
kind: Deployment
metadata: {name: app, namespace: cc-web}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - name: app
        image: registry.example.org/app:3
        ports: [{name: https, containerPort: 8443}, {name: metrics, containerPort: 9100}]
---
kind: Service
metadata: {name: portal, namespace: cc-web}
spec: {type: LoadBalancer, selector: {app: portal}, ports: [{name: https, port: 443}]}
---
kind: Service
metadata: {name: old-mainframe, namespace: cc-web}
spec: {ports: [{port: 23}]}
---
kind: NetworkPolicy
metadata: {name: app, namespace: cc-web}
spec:
  podSelector: {matchLabels: {app: app}}
  policyTypes: [Ingress, Egress]
  ingress:
  - {from: [{podSelector: {matchLabels: {app: portal}}}], ports: [{port: https}]}
  - {from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}], ports: [{port: 9100}]}
  egress:
  - {ports: [{port: 53, protocol: UDP}, {port: 53}]}
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: cc-data}}
      podSelector: {matchLabels: {app: db}}
    ports: [{port: 5432}]
  - {to: [{ipBlock: {cidr: 203.0.113.0/28}}], ports: [{port: 443}]}
---
kind: NetworkPolicy
metadata:
  name: subrosa-default-deny
  namespace: cc-web
  labels: {app.kubernetes.io/managed-by: subrosa}
spec: {podSelector: {}}
---
kind: StatefulSet
metadata: {name: db, namespace: cc-data}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      serviceAccountName: data
      containers: [{name: postgres, image: "docker.io/library/postgres:17", ports: [{name: sql, containerPort: 5432}]}]
---
kind: DaemonSet
metadata: {name: broker, namespace: cc-data}
spec:
  selector: {matchLabels: {app: broker}}
  template:
    metadata: {labels: {app: broker}}
    spec:
      serviceAccountName: data
      hostNetwork: true
      containers: [{name: mosquitto, image: eclipse-mosquitto, ports: [{containerPort: 8883}, {containerPort: 1883}]}]
---
kind: Pod
metadata: {name: db-0, namespace: cc-data, labels: {app: db, statefulset.kubernetes.io/pod-name: db-0}}
spec: {containers: [{name: postgres, image: "postgres:17"}]}
---
kind: Pod
metadata:
  name: report-27-x
  namespace: cc-data
  labels: {app: report, job-name: report-27}
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: report-27, uid: u, controller: true}]
spec: {containers: [{name: report, image: "registry.example.org/report:1"}]}
---
kind: Pod
metadata: {name: odd, namespace: cc-data}
spec: {containers: [{name: odd, image: "registry.example.org/odd:1"}]}
---
kind: NetworkPolicy
metadata: {name: db, namespace: cc-data}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: cc-web}}
      podSelector: {matchLabels: {app: app}}
    - {podSelector: {matchLabels: {app: report}}}
    - {podSelector: {}}
    ports: [{port: sql}]
"#;

fn of<T: DeserializeOwned>(objects: &[Value], kind: &str, namespace: &str) -> Vec<T> {
    let is = |object: &&Value| object["kind"] == kind && object["metadata"]["namespace"] == namespace;
    objects.iter().filter(is).map(|one| serde_json::from_value(one.clone()).unwrap()).collect()
}

fn found(namespaces: &[&str]) -> Survey {
    let objects: Vec<Value> = serde_saphyr::from_multiple(RUNNING).unwrap();
    let of_namespace = |namespace: &&str| -> (String, Surveyed) {
        let surveyed = survey(Objects {
            deployments: of(&objects, "Deployment", namespace),
            stateful_sets: of(&objects, "StatefulSet", namespace),
            daemon_sets: of(&objects, "DaemonSet", namespace),
            pods: of(&objects, "Pod", namespace),
            services: of(&objects, "Service", namespace),
            policies: of(&objects, "NetworkPolicy", namespace),
        });
        ((*namespace).to_owned(), surveyed)
    };
    Survey { surveyed: namespaces.iter().map(of_namespace).collect(), ..Survey::default() }
}

fn drafted(namespaces: &[&str]) -> String {
    let names: Vec<_> = namespaces.iter().map(|name| (*name).to_owned()).collect();
    write::stream(&names, &draft(&found(namespaces))).unwrap()
}

#[test]
fn what_runs_is_drafted_with_what_is_to_be_decided() {
    insta::assert_snapshot!("drafts", drafted(&["cc-web", "cc-data"]));
}

#[test]
fn drafts_pass_render_and_their_connections_open() {
    let (exit, printed, said) = render::tests::render_text(&drafted(&["cc-web", "cc-data"]), "");
    assert_eq!(exit, Exit::Done, "{said}");
    assert!(!said.contains("AwaitingConsent") && !said.contains("not among the files:"), "{said}");
    assert!(printed.contains("port: 5432") && printed.contains("port: 8443"), "{printed}");
    let (exit, _, said) = render::tests::render_text(&drafted(&["cc-web"]), "");
    assert_eq!(exit, Exit::Done, "{said}");
}

#[test]
fn one_namespace_alone_says_that_the_other_end_is_elsewhere() {
    let text = drafted(&["cc-data"]);
    let words: Vec<_> = text.split(['#', ' ', '\n']).filter(|word| !word.is_empty()).collect();
    assert!(words.join(" ").contains("draft both together with -n cc-web"), "{text}");
    assert!(!text.contains("namespace: cc-web"), "{text}");
}

#[test]
fn what_others_wrote_cannot_leave_its_comment() {
    let mut found = found(&["cc-web"]);
    let surveyed = found.surveyed.get_mut("cc-web").unwrap();
    surveyed.workloads[0].images = vec!["x\nspec: {}/nginx".into()];
    surveyed.workloads[0].name = "app\nkind: Secret".into();
    let text = write::stream(&["cc-web".into()], &draft(&found)).unwrap();
    assert!(
        !text.lines().any(|line| line.starts_with("kind: Secret") || line.starts_with("spec: {}")),
        "{text}"
    );
}

#[test]
fn a_cluster_that_cannot_be_read_is_said_and_nothing_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    std::fs::write(&file, "apiVersion: v1\nkind: Config\n").unwrap();
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: super::Args,
    }
    let line = ["discover", "-n", "a", "--kubeconfig", file.to_str().unwrap()];
    let args = <Line as clap::Parser>::parse_from(line).args;
    let (mut screen, captured) = Screen::captured();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(super::run(&args, &mut screen)).is_err());
    assert_eq!(captured.printed(), "");
}
