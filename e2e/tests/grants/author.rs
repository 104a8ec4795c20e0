//! Nobody gives more by an AccessRole than they may: who writes `grantedBy`, and who approves what others wrote, has the verb `grant` on
//! each Channel.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{self, Allowed, Denied, Invalid},
        Request, apply, delete, json_patch, merge, post, put,
    },
    world::{
        ADMIN, APPROVER, GRANTER, OFFICER, OPERATOR, WORKLOAD, World, approval, role_ref, subrosa, user,
    },
};

const AUTHOR: &str = "subrosa-access-author";
const RBAC_API: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/cc-front";
/// The administrator, as the API server knows them.
const ROOT: &str = "e2e-admin";
/// How many Channels a role names at most.
const MOST: usize = 24;

fn roles(name: &str) -> String {
    format!("/apis/subrosa.dev/v1alpha1/namespaces/cc-front/accessroles/{name}")
        .trim_end_matches('/')
        .to_owned()
}

fn allow(channels: &[&str]) -> Value {
    json!({ "channels": channels, "dataClasses": ["call-recording"], "actions": ["Open"] })
}

/// A role for these Channels, which somebody gives.
fn role(name: &str, channels: &[&str], by: Option<&str>) -> Value {
    let mut role = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole", "metadata": { "name": name, "namespace": "cc-front" },
        "spec": { "login": "strong", "subjects": [{ "group": "cc-quality" }], "allow": [allow(channels)] },
    });
    if let Some(by) = by {
        role["spec"]["grantedBy"] = json!(by);
    }
    role
}

/// So many names of Channels.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line-{number}")).collect()
}

async fn may_grant(world: &World, who: &'static str, name: &str, channels: &[String]) -> Result<()> {
    let rule = json!({ "apiGroups": ["subrosa.dev"], "resources": ["channels"], "resourceNames": channels, "verbs": ["grant"] });
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name }, "rules": [rule] });
    world.must(ADMIN, post(format!("{RBAC_API}/roles"), role)).await?;
    bind(
        world,
        name,
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name }),
        user(who),
    )
    .await
}

async fn bind(world: &World, name: &str, role: Value, subject: Value) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": name },
        "roleRef": role, "subjects": [subject],
    });
    world.must(ADMIN, post(format!("{RBAC_API}/rolebindings"), binding)).await.map(drop)
}

/// The officer may write AccessRoles, and grant `voice` and 24 others, but not `chat`.
pub async fn gives_no_more_than_they_may(world: &World) -> Result<()> {
    let case = |who, what, request: Request, expected: Expected| Case { who, what, request, expected };
    let lines = many(MOST + 1);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut granted = many(MOST + 1);
    granted.push("voice".to_owned());
    may_grant(world, OFFICER, "grants-voice", &granted).await?;
    // As Argo CD's: a ServiceAccount that may write everything of the office's, and were it given, even grant.
    let argo = json!({ "kind": "ServiceAccount", "name": "default", "namespace": "plain" });
    bind(world, "argo", role_ref("subrosa-compliance"), argo.clone()).await?;
    bind(world, "argo-grants", role_ref("subrosa-channel-granter"), argo).await?;
    world
        .eventually("the right to grant", async || {
            let own = post(roles(""), role("probe", &["voice"], Some(OFFICER))).dry();
            let of_argo = post(roles(""), role("probe", &["voice"], None)).dry();
            Ok(world.call(OFFICER, own).await?.status == 201
                && world.call(WORKLOAD, of_argo).await?.status == 201)
        })
        .await?;

    let not_chat = Denied(AUTHOR, "spec.allow: officer may not grant Channel chat of namespace cc-front");
    let not_own = Denied(AUTHOR, "spec.grantedBy is ");
    let create = |channels: &[&str], by: Option<&str>| post(roles(""), role("mine", channels, by)).dry();
    let mut split = role("mine", &["voice"], Some(OFFICER));
    split["spec"]["allow"] = json!([allow(&["voice"]), allow(&["line-0", "chat"])]);
    let mut over = role("mine", &["voice"], Some(OFFICER));
    over["spec"]["allow"] = json!([allow(&lines[..MOST]), allow(&["voice"])]);
    let mut last = lines[..MOST - 1].to_vec();
    last.push("chat");
    let cases = vec![
        case(OFFICER, "gives what they may", create(&["voice"], Some(OFFICER)), Allowed),
        case(OFFICER, "gives what they may not", create(&["chat"], Some(OFFICER)), not_chat),
        case(OFFICER, "gives both", create(&["voice", "chat"], Some(OFFICER)), not_chat),
        case(OFFICER, "gives it in a second entry", post(roles(""), split).dry(), not_chat),
        case(OFFICER, "gives it as the twenty-fourth", create(&last, Some(OFFICER)), not_chat),
        case(
            OFFICER,
            "applies both",
            apply(roles("mine"), role("mine", &["voice", "chat"], Some(OFFICER))).dry(),
            not_chat,
        ),
        case(OFFICER, "gives it in another's name", create(&["chat"], Some(ROOT)), not_own),
        case(OFFICER, "gives what they may in another's name", create(&["voice"], Some(ROOT)), not_own),
        case(OFFICER, "writes it in other letters", create(&["voice"], Some("Officer")), not_own),
        case(ADMIN, "writes another's name", create(&["voice"], Some(OFFICER)), not_own),
        case(OFFICER, "gives 24 Channels", create(&lines[..MOST], Some(OFFICER)), Allowed),
        case(ADMIN, "gives 24 Channels", create(&lines[..MOST], Some(ROOT)), Allowed),
        // A definition refuses more, whoever writes it.
        case(
            OFFICER,
            "gives 25 Channels",
            post(roles(""), over).dry(),
            Invalid("spec.allow: Invalid value: names more than 24 Channels altogether"),
        ),
        case(OFFICER, "writes 25 Channels that nobody gives", create(&lines, None), Invalid("spec.allow")),
        case(OFFICER, "writes one that nobody gives", create(&["chat"], None), Allowed),
        case(WORKLOAD, "gives a role", create(&["voice"], Some(OFFICER)), not_own),
        case(
            WORKLOAD,
            "gives a role as itself",
            create(&["voice"], Some("system:serviceaccount:plain:default")),
            Invalid("a person gives it"),
        ),
        case(OPERATOR, "gives a role", create(&["voice"], Some(OPERATOR)), crate::request::RBAC),
        case(GRANTER, "gives a role", create(&["voice"], Some(GRANTER)), crate::request::RBAC),
    ];
    world.try_all("authors of AccessRoles", cases).await?;
    nobody_widens_what_others_gave(world).await?;
    approves_no_more_than_they_may(world).await
}

async fn nobody_widens_what_others_gave(world: &World) -> Result<()> {
    let case = |who, what, request: Request, expected: Expected| Case { who, what, request, expected };
    world.must(ADMIN, post(roles(""), role("given", &["voice", "chat"], Some(ROOT)))).await?;
    world.must(OFFICER, post(roles(""), role("own", &["voice"], Some(OFFICER)))).await?;
    world.must(WORKLOAD, post(roles(""), role("argo", &["voice", "chat"], None))).await?;
    let not_own = Denied(AUTHOR, "spec.grantedBy is e2e-admin, and the request is made by officer");
    let not_chat = Denied(AUTHOR, "officer may not grant Channel chat");
    let change = |name: &str, spec: Value| merge(roles(name), json!({ "spec": spec })).dry();
    let groups = || json!({ "subjects": [{ "group": "everybody" }] });
    let mut cases = vec![
        case(
            OFFICER,
            "labels another's role",
            merge(roles("given"), json!({ "metadata": { "labels": { "a": "b" } } })).dry(),
            Allowed,
        ),
        case(OFFICER, "widens their own", change("own", groups()), Allowed),
        case(OFFICER, "takes the author out", change("given", json!({ "grantedBy": null })), Allowed),
        case(
            OFFICER,
            "changes what nobody gives then",
            change("given", json!({ "grantedBy": null, "subjects": [{ "group": "b" }] })),
            Allowed,
        ),
        case(OFFICER, "takes it over", change("given", json!({ "grantedBy": OFFICER })), not_chat),
        case(OFFICER, "gives what nobody gives", change("argo", json!({ "grantedBy": OFFICER })), not_chat),
        case(
            OFFICER,
            "takes over the part that they may",
            change("given", json!({ "grantedBy": OFFICER, "allow": [allow(&["voice"])] })),
            Allowed,
        ),
        case(
            OFFICER,
            "adds what they may not",
            change("own", json!({ "allow": [allow(&["voice"]), allow(&["chat"])] })),
            not_chat,
        ),
        case(
            OFFICER,
            "adds it by its index",
            json_patch(
                roles("own"),
                json!([{ "op": "add", "path": "/spec/allow/0/channels/-", "value": "chat" }]),
            )
            .dry(),
            not_chat,
        ),
        case(
            WORKLOAD,
            "widens what somebody gave",
            change("own", groups()),
            Denied(AUTHOR, "spec.grantedBy is officer"),
        ),
        case(WORKLOAD, "changes what nobody gives", change("argo", groups()), Allowed),
        case(
            ADMIN,
            "widens another's in their name",
            change("own", groups()),
            Denied(AUTHOR, "spec.grantedBy is officer"),
        ),
    ];
    for (what, spec) in [
        ("widens whom another let in", groups()),
        ("weakens its login", json!({ "login": "weak" })),
        ("adds a Channel", json!({ "allow": [allow(&["voice", "chat", "mail"])] })),
        (
            "adds a class",
            json!({ "allow": [{ "channels": ["voice"], "dataClasses": ["transcript"], "actions": ["Open"] }] }),
        ),
        ("adds break-glass", json!({ "breakGlass": { "group": "on-call" } })),
        ("lets single persons in", json!({ "grants": { "max": "24h" } })),
        ("lets it stand beside another", json!({ "conflictsWith": ["billing"] })),
        ("has it reviewed by hardly anybody", json!({ "review": { "every": "3650d", "author": OFFICER } })),
    ] {
        cases.push(case(OFFICER, what, change("given", spec), not_own));
    }
    let stored = world.must(OFFICER, crate::request::get(roles("given"))).await?;
    let mut replaced = stored.clone();
    replaced["spec"]["subjects"] = json!([{ "group": "everybody" }]);
    cases.push(case(OFFICER, "replaces it", put(roles("given"), replaced).dry(), not_own));
    cases.push(case(OFFICER, "writes it as it is", put(roles("given"), stored).dry(), Allowed));
    let tried = cases.iter().filter(|one| !matches!(one.expected, Allowed)).count();
    ensure!(tried >= 15, "only {tried} escalations");
    world.try_all("AccessRoles of others", cases).await
}

/// The approver may approve AccessRoles, and grant nothing at first.
async fn approves_no_more_than_they_may(world: &World) -> Result<()> {
    let case = |who, what, request: Request, expected: Expected| Case { who, what, request, expected };
    let gives = |who: &str, channels: &[&str]| {
        let mut approval = approval("gives", "AccessRole", "argo", who);
        approval["spec"]["target"]["namespace"] = json!("cc-front");
        approval["spec"]["target"]["channels"] = json!(channels);
        post(subrosa("approvals", ""), approval).dry()
    };
    let lines = many(MOST + 1);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let refused = |channel: &'static str| Denied("subrosa-approval", channel);
    let cases = vec![
        case(
            APPROVER,
            "gives a Channel",
            gives(APPROVER, &["voice"]),
            refused("approver may not grant Channel voice"),
        ),
        case(
            APPROVER,
            "gives it in another's name",
            gives(ROOT, &["voice"]),
            refused("everybody decides for themselves"),
        ),
        case(OFFICER, "approves without the verb", gives(OFFICER, &["voice"]), crate::request::RBAC),
        case(ADMIN, "gives 24 Channels", gives(ROOT, &lines[..MOST]), Allowed),
        case(ADMIN, "gives 25 Channels", gives(ROOT, &lines), Invalid("spec.target.channels")),
        case(
            WORKLOAD,
            "gives a Channel",
            gives("system:serviceaccount:plain:default", &["voice"]),
            Invalid("a person decides"),
        ),
    ];
    world.try_all("Approvals that give", cases).await?;
    may_grant(world, APPROVER, "approver-voice", &["voice".to_owned()]).await?;
    world
        .eventually("the approver's right to grant", async || {
            Ok(world.call(APPROVER, gives(APPROVER, &["voice"])).await?.status == 201)
        })
        .await?;
    let cases = vec![
        case(APPROVER, "gives what they may", gives(APPROVER, &["voice"]), Allowed),
        case(
            APPROVER,
            "gives both",
            gives(APPROVER, &["voice", "chat"]),
            refused("approver may not grant Channel chat of namespace cc-front"),
        ),
        case(
            APPROVER,
            "gives it as the second",
            gives(APPROVER, &["chat", "voice"]),
            refused("approver may not grant Channel chat"),
        ),
    ];
    world.try_all("Approvals of one Channel", cases).await?;
    for name in ["given", "own", "argo"] {
        world.must(ADMIN, delete(roles(name))).await?;
    }
    Ok(())
}
