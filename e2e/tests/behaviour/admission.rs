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
    let send = async |request: Request<Vec<u8>>| -> (u16, Value) {
        let answer = client.send(request.map(Into::into)).await.unwrap();
        let status = answer.status().as_u16();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    };
    let post = async |kind: &str, manifest: &Value| -> (u16, Value) {
        // Strict, as kubectl and GitOps tools ask for: a field nobody knows is refused, not dropped.
        let url = format!("{}?dryRun=All&fieldValidation=Strict", served[kind]);
        let request = Request::post(url).header("content-type", "application/json");
        send(request.body(serde_json::to_vec(manifest).unwrap()).unwrap()).await
    };
    // What a case changes is there for the time of the change.
    let change = async |case: &cases::Case, before: &Value| -> (u16, Value) {
        let (all, name) = (&served[&case.kind], before["metadata"]["name"].as_str().unwrap());
        let put = |url: String, mut object: Value, made: &Value| {
            object["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
            let request = Request::put(url).header("content-type", "application/json");
            request.body(serde_json::to_vec(&object).unwrap()).unwrap()
        };
        let create = Request::post(all).header("content-type", "application/json");
        let (status, made) = send(create.body(serde_json::to_vec(before).unwrap()).unwrap()).await;
        if status == 404 {
            return (status, made);
        }
        assert_eq!(status, 201, "{}: {made}", case.name);
        // An Approval has none, and nothing is to be said of it.
        let made = if before.get("status").is_some() {
            let (status, made) = send(put(format!("{all}/{name}/status"), before.clone(), &made)).await;
            assert_eq!(status, 200, "{}: {made}", case.name);
            made
        } else {
            made
        };
        let url = format!("{all}/{name}?dryRun=All&fieldValidation=Strict");
        let answer = send(put(url, case.manifest.clone(), &made)).await;
        let (status, gone) = send(Request::delete(format!("{all}/{name}")).body(Vec::new()).unwrap()).await;
        assert_eq!(status, 200, "{}: {gone}", case.name);
        answer
    };
    let judge = async |case: &cases::Case| match &case.before {
        Some(before) => change(case, before).await,
        None => post(&case.kind, &case.manifest).await,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/cases");
    let mut wrong = Vec::new();
    for case in cases::load(&folder) {
        let mut answer = judge(&case).await;
        // A kind just defined is served a moment later.
        while answer.0 == 404 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            answer = judge(&case).await;
        }
        let (status, body) = answer;
        let said = body["message"].as_str().unwrap_or_default();
        if case.errors.is_empty() {
            if status != if case.before.is_some() { 200 } else { 201 } {
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
