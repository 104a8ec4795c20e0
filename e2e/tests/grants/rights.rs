//! What the operator's token may do is the table, no less and no more.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use subrosa::grants::{
    audit::compare,
    destroyer, granter,
    table::{AccessRequest, Grant, GrantScope, table},
};

use crate::{
    request::post,
    world::{DESTROYER, GRANTER, OPERATOR, WORKLOAD, World},
};

/// Group, resource, name (or none), verb.
type Right = (String, String, Option<String>, String);

/// All rights in a namespace, as the API server resolves them for the token.
async fn resolved(world: &World, who: &str, namespace: &str) -> Result<BTreeSet<Right>> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": namespace },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = world.must(who, post(path, review)).await?;
    ensure!(answer["status"]["incomplete"] == false, "the API server does not know all rights: {answer}");
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let items = rule[field].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in answer["status"]["resourceRules"].as_array().context("rules")? {
        let mut names: Vec<Option<String>> = texts(rule, "resourceNames").into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    for name in &names {
                        rights.insert((group.clone(), resource.clone(), name.clone(), verb.clone()));
                    }
                }
            }
        }
    }
    Ok(rights)
}

/// The rights of these scopes by a table.
fn granted(table: &[Grant], scopes: &[GrantScope]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for grant in table.iter().filter(|grant| scopes.contains(&grant.scope)) {
        let mut names: Vec<Option<String>> = grant.names.iter().cloned().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for verb in grant.verbs {
            for name in &names {
                rights.insert((grant.group.to_owned(), grant.path(), name.clone(), verb.to_string()));
            }
        }
    }
    rights
}

pub async fn are_exactly_the_table(world: &World) -> Result<()> {
    let (cluster, home, governed) =
        (GrantScope::Cluster, GrantScope::OperatorNamespace, GrantScope::GovernedNamespace);
    let (of_operator, of_destroyer, of_granter) =
        (table(&world.installation), destroyer::table(), granter::table());
    for (who, table, namespace, scopes) in [
        (OPERATOR, &of_operator, "plain", &[cluster][..]),
        (OPERATOR, &of_operator, "kube-system", &[cluster]),
        // Labelled, but not bound yet.
        (OPERATOR, &of_operator, "cc-front", &[cluster]),
        (OPERATOR, &of_operator, "cc-west", &[cluster, governed]),
        (OPERATOR, &of_operator, "subrosa-system", &[cluster, home]),
        (DESTROYER, &of_destroyer, "plain", &[cluster]),
        (DESTROYER, &of_destroyer, "kube-system", &[cluster]),
        (DESTROYER, &of_destroyer, "cc-west", &[cluster]),
        (DESTROYER, &of_destroyer, "subrosa-system", &[cluster, home]),
        (GRANTER, &of_granter, "plain", &[cluster]),
        (GRANTER, &of_granter, "cc-west", &[cluster]),
        (GRANTER, &of_granter, "subrosa-system", &[cluster, home]),
    ] {
        let everybodys = resolved(world, WORKLOAD, namespace).await?;
        let have = &resolved(world, who, namespace).await? - &everybodys;
        let want = granted(table, scopes);
        let more: Vec<_> = have.difference(&want).collect();
        let less: Vec<_> = want.difference(&have).collect();
        ensure!(
            more.is_empty() && less.is_empty(),
            "{who} in {namespace}: not in the table {more:?}, not granted {less:?}"
        );
    }
    Ok(())
}

/// Whatever the operator's token brought about in all these tries, a row of the table allows.
pub fn cover_what_was_done(world: &World) -> Result<()> {
    let entries = world.env.audit_entries()?;
    let done: Vec<_> = entries
        .iter()
        .filter(|entry| entry.user.username == world.installation.user() && entry.impersonated_user.is_none())
        .filter(|entry| entry.response_status.as_ref().is_some_and(|status| status.code < 400))
        .filter_map(|entry| Some((entry.object_ref.as_ref()?, entry.resource(), &entry.verb)))
        .filter(|(object, ..)| object.api_group != "authorization.k8s.io")
        .collect();
    let done: Vec<AccessRequest<'_>> = done
        .iter()
        .map(|(object, resource, verb)| AccessRequest {
            namespace: &object.namespace,
            group: &object.api_group,
            resource,
            name: &object.name,
            verb,
        })
        .collect();
    ensure!(done.len() > 20, "the audit log shows {} requests", done.len());
    let table = table(&world.installation);
    let beyond = compare(&table, &done, &world.installation).beyond;
    ensure!(beyond.is_empty(), "{beyond:?}");
    Ok(())
}
