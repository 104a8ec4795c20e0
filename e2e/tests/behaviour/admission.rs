//! What the schema takes and refuses is the same for the API server as offline: the cases of `crds`, posted raw.

use std::{collections::BTreeMap, path::Path};

use http::Request;
use serde_json::Value;
use subrosa_e2e::{Environment, installation::apply_object};

#[allow(dead_code, reason = "what only the offline suite reads")]
#[path = "../../../crds/tests/cases/mod.rs"]
mod cases;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_judges_every_case_as_it_says() {
    let env = Environment::start().await.unwrap();
    let client = env.admin().unwrap();
    let mut served = BTreeMap::new();
    for crd in subrosa_crds::all() {
        apply_object(&client, &serde_json::to_value(&crd).unwrap()).await.unwrap();
        let place = if crd.spec.scope == "Namespaced" { "namespaces/default/" } else { "" };
        let url = format!(
            "/apis/{}/{}/{place}{}",
            subrosa_crds::GROUP,
            subrosa_crds::VERSION,
            crd.spec.names.plural
        );
        served.insert(crd.spec.names.kind.clone(), url);
    }
    let post = async |kind: &str, manifest: &Value| -> (u16, Value) {
        // Strict, as kubectl and GitOps tools ask for: a field nobody knows is refused, not dropped.
        let url = format!("{}?dryRun=All&fieldValidation=Strict", served[kind]);
        let request = Request::post(url).header("content-type", "application/json");
        let answer =
            client.send(request.body(serde_json::to_vec(manifest).unwrap().into()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/cases");
    let mut wrong = Vec::new();
    for case in cases::load(&folder) {
        let mut answer = post(&case.kind, &case.manifest).await;
        // A kind just defined is served a moment later.
        while answer.0 == 404 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            answer = post(&case.kind, &case.manifest).await;
        }
        let (status, body) = answer;
        let said = body["message"].as_str().unwrap_or_default();
        if case.errors.is_empty() {
            if status != 201 {
                wrong.push(format!("{}: refused with {status}: {said}", case.name));
            }
            continue;
        }
        let expected_status = if case.unknown { 400 } else { 422 };
        if status != expected_status {
            wrong.push(format!("{}: {status} instead of {expected_status}: {said}", case.name));
            continue;
        }
        let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
        for expected in &case.errors {
            let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
            let found = causes.iter().any(|cause| {
                text(cause, "field") == expected.field
                    && text(cause, "message").contains(expected.by_server())
            });
            let unknown = case.unknown && said.contains(expected.by_server());
            if !found && !unknown {
                wrong.push(format!("{}: missing {expected:?} in {said}", case.name));
            }
        }
        if let Some(secret) = &case.secret
            && body.to_string().contains(secret.as_str())
        {
            wrong.push(format!("{}: the secret is repeated: {said}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
