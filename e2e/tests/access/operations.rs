//! A role can do all it says, and nothing of more than two hundred other operations, each really tried: with a session in Vault
//! ([`in_vault`]) and by a member of its group at the API server ([`in_kubernetes`]). What is allowed is listed exactly.

mod in_kubernetes;
mod in_vault;

use std::collections::BTreeSet;

use serde_json::Value;
use subrosa_crds::access_role::AccessAction;

use super::world::World;

/// One operation.
struct Operation {
    method: &'static str,
    path: String,
    body: Value,
}

impl Operation {
    fn new(method: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { method, path: path.into(), body }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Role `reviewer` gives group `CC-Quality` the recordings of Channel `voice`.
pub async fn a_role_can_do_what_it_says_and_nothing_else(world: &World) {
    let opens = Member { login: "strong", group: "cc-quality", actions: &[AccessAction::Open] };
    let (vault, kubernetes) = (in_vault::tried(world, &opens).await, in_kubernetes::tried(world).await);
    println!(
        "a role: {} operations of {} in Vault, and {} of {} at the API server",
        vault.allowed, vault.all, kubernetes.allowed, kubernetes.all
    );
    let refused = |one: &Tried| one.all - one.allowed;
    assert!(refused(&vault) >= 120 && refused(&kubernetes) >= 80);
    assert!(refused(&vault) + refused(&kubernetes) >= 200);
}

/// Somebody of a group whose role has these actions on the recordings of Channel `voice`.
pub struct Member<'a> {
    pub login: &'a str,
    pub group: &'a str,
    pub actions: &'a [AccessAction],
}

/// The same in Vault alone, after another login and for other actions.
pub async fn a_session_can_do_what_these_actions_say(world: &World, of: &Member<'_>) {
    let vault = in_vault::tried(world, of).await;
    println!("{:?}: {} operations of {} in Vault", of.actions, vault.allowed, vault.all);
    assert!(vault.all - vault.allowed >= 200, "{}", vault.all - vault.allowed);
}

/// How many were tried, and how many of them went through.
struct Tried {
    all: usize,
    allowed: usize,
}

/// Holds what went through against what should.
fn compare(of: &str, all: usize, allowed: BTreeSet<String>, expected: &[String]) -> Tried {
    let expected: BTreeSet<String> = expected.iter().cloned().collect();
    let more: Vec<_> = allowed.difference(&expected).collect();
    let less: Vec<_> = expected.difference(&allowed).collect();
    assert!(more.is_empty() && less.is_empty(), "{of}: also allowed {more:#?}, not allowed {less:#?}");
    Tried { all, allowed: allowed.len() }
}
