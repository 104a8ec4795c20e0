//! Break-glass where the granter cannot read OpenBao's audit log: it opens by an exception, and for a day after the log was there.

use std::{path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::{AccessRole, AccessRoleStatus};
use subrosa_e2e::{Tap, alerts::History, wait};
use subrosa_granter::Granter;

use super::{
    break_glass::{enter, glass},
    factors::declare,
    world::{CHAT, NS, RECORDING, World, access, ready, reason, role},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Nobody uses it, so that its condition tells of the log.
const UNUSED: &str = "unused";

fn soon() -> Timestamp {
    Timestamp::now() + SignedDuration::from_mins(31)
}

fn tomorrow() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(25)
}

pub async fn without_the_audit_log_it_opens_only_by_an_exception(world: &World) {
    let recording = world.sealed("voice", RECORDING).await;
    for (name, group) in [("unlogged", "on-call"), (UNUSED, "night-duty")] {
        let mut emergency = role(name, "strong", &["cc-quality"], &[("voice", RECORDING)]);
        emergency["spec"]["breakGlass"] = json!({"group": group});
        world.apply(&emergency).await;
    }
    world.role("unlogged", |status| ready(status) && glass(status).0 == "True InForce").await;
    world.role(UNUSED, |status| glass(status).0 == "True InForce").await;
    let ivo = enter(world, "ivo", json!({"jti": "u1"})).await.unwrap();
    assert!(world.opens(&ivo, &recording).await, "with the log, and without an exception");

    let blind = world.granter_with(None, Timestamp::now).await;
    let status = until(world, &blind.granter, |status| glass(status).0 == "False AuditLogNotGiven").await;
    assert!(glass(&status).1.contains("spec.access.breakGlass.exception"), "{status:?}");
    assert!(status.effective.unwrap().rules.iter().all(|rule| rule.login != "break-glass"));
    assert!(!world.opens(&ivo, &recording).await, "no log and no exception");
    assert!(events(world).await.iter().any(|reason| reason == "AuditLogNotGiven"));
    it_is_told(&blind.granter, true).await;
    let again = enter(world, "ivo", json!({"jti": "u2"})).await.unwrap();
    assert!(!world.opens(&again, &recording).await);

    declare(world, excepted("2099-12-31")).await;
    let status = until(world, &blind.granter, |status| glass(status).0 == "True InForce").await;
    let exception = status.break_glass.unwrap().exception.unwrap();
    assert_eq!((exception.control.as_str(), exception.overdue), ("SR-AUD-01", false));
    assert!(world.opens(&ivo, &recording).await, "by the exception");
    it_is_told(&blind.granter, false).await;

    declare(world, excepted("2020-01-31")).await;
    let status = until(world, &blind.granter, |status| glass(status).0 == "False ExceptionExpired").await;
    assert!(
        glass(&status).1.contains("2020-01-31") && status.break_glass.unwrap().exception.unwrap().overdue
    );
    assert!(!world.opens(&ivo, &recording).await, "its last day is past");
    let status = world.role(UNUSED, |status| glass(status).0 == "True InForce").await;
    assert!(status.break_glass.unwrap().exception.is_none() && world.opens(&ivo, &recording).await);
    let mut without = access();
    without["breakGlass"]["exception"] = Value::Null;
    declare(world, without).await;
    a_log_that_is_away_for_a_while_closes_nothing(world, &ivo, &recording).await;
    what_has_to_close_closes_while_nobody_can_read_the_reviews(world, &ivo, &recording).await;

    world.delete("unlogged").await;
    world.delete(UNUSED).await;
    world.granter.round().await;
    assert!(!world.opens(&ivo, &recording).await);
}

async fn a_log_that_is_away_for_a_while_closes_nothing(
    world: &World,
    session: &str,
    recording: &(String, String),
) {
    let since = async || {
        let record = world.env.openbao().request("GET", "subrosa/data/break-glass", None).await.unwrap();
        record["data"]["data"].to_string().contains("logUnreadSince")
    };
    world.role(UNUSED, |status| glass(status).0 == "True InForce").await;
    assert!(!since().await);
    let missing = Some(PathBuf::from("/nonexistent/audit.log"));
    let now = world.granter_with(missing.clone(), Timestamp::now).await;
    let in_force = |status: &AccessRoleStatus| {
        let is_unread = status.uses.as_ref().is_some_and(|uses| uses.reason == "AuditLogUnreadable");
        is_unread && glass(status).0 == "True InForce"
    };
    until(world, &now.granter, in_force).await;
    assert!(since().await && world.opens(session, recording).await);
    let later = world.granter_with(missing.clone(), soon).await;
    let status = until(world, &later.granter, |status| glass(status).0 == "Unknown AuditLogUnreadable").await;
    assert!(glass(&status).1.contains("it opens nothing from"), "{status:?}");
    assert!(world.opens(session, recording).await);
    let late = world.granter_with(missing, tomorrow).await;
    until(world, &late.granter, |status| glass(status).0 == "False AuditLogUnreadable").await;
    assert!(!world.opens(session, recording).await, "for a day");
    world.role(UNUSED, |status| glass(status).0 == "True InForce").await;
    assert!(!since().await && world.opens(session, recording).await, "the log is back");
}

/// The alert, on the granter's own metrics.
async fn it_is_told(granter: &Granter, is_closed: bool) {
    const ALERT: &str = "SubrosaBreakGlassClosed";
    let closed = || {
        let text = granter.metrics().text();
        let told = text.lines().filter(|line| line.starts_with("subrosa_break_glass_closed{"));
        told.collect::<Vec<_>>().join("\n")
    };
    let mut history = History::begin().unwrap();
    history.scrape(async || Some(closed())).await;
    assert_eq!(history.is_true(ALERT, Duration::ZERO).unwrap(), is_closed, "{}", closed());
    let named = format!("role=\"{UNUSED}\",reason=\"AuditLogNotGiven\"");
    assert_eq!(closed().contains(&named), is_closed, "{}", closed());
}

/// Vault does not show the record of reviews: what was decided to close closes, what a role no longer names is taken away, and nothing
/// new is given.
async fn what_has_to_close_closes_while_nobody_can_read_the_reviews(
    world: &World,
    session: &str,
    recording: &(String, String),
) {
    let chat = world.sealed("voice", CHAT).await;
    let of = |groups: &[&str]| role("follows", "strong", groups, &[("voice", CHAT)]);
    world.slots_have_rested().await;
    // The group of the second one was named by another test before, so that Vault has one for it.
    world.apply(&of(&["c", "cc-quality"])).await;
    world.role("follows", ready).await;
    let person = async |name: &str, group: &str| {
        world.login("strong", name, json!({"amr": ["mfa"], "groups": [group]})).await.unwrap()
    };
    let (carl, quinn, zack) =
        (person("carl", "c").await, person("quinn", "cc-quality").await, person("zack", "nobody").await);
    assert!(world.opens(&carl, &chat).await && world.opens(&quinn, &chat).await);
    world.role(UNUSED, |status| glass(status).0 == "True InForce").await;
    let tap = Tap::new();
    tap.fail_where(|_, path| path.contains("/data/reviews"));
    let bao = world.env.proxy_openbao(&tap).await.unwrap();
    world.reach(&bao.endpoint().url).await;
    let seeing = world.another_granter(world.env.api()).await;
    let is_unread = |status: &AccessRoleStatus| reason(status).0.starts_with("Vault");
    until(world, &seeing.granter, is_unread).await;
    assert!(world.opens(session, recording).await && world.opens(&carl, &chat).await, "nothing has to close");
    world.apply(&of(&["cc-quality", "nobody"])).await;
    let closed = wait::until(PATIENCE, || async {
        seeing.granter.round().await;
        if world.opens(&carl, &chat).await { Err("it opens") } else { Ok(()) }
    });
    closed.await.unwrap();
    assert!(world.opens(&quinn, &chat).await, "who is named before and after goes on");
    assert!(!world.opens(&zack, &chat).await, "nothing new is given");
    let blind = world.granter_with(None, Timestamp::now).await;
    let status = until(world, &blind.granter, |status| glass(status).0 == "False AuditLogNotGiven").await;
    assert!(is_unread(&status), "{status:?}");
    assert!(!world.opens(session, recording).await, "it closes all the same");
    for _ in 0..2 {
        seeing.granter.round().await;
    }
    assert!(!world.opens(session, recording).await, "it opens again when the record is read");
    tap.fail_where(|_, _| false);
    until(world, &seeing.granter, |status| ready(status) && glass(status).0 == "True InForce").await;
    assert!(world.opens(session, recording).await && world.opens(&zack, &chat).await);
    world.reach(world.env.openbao().url()).await;
    world.delete("follows").await;
}

/// Has this granter look until the status of the role that nobody uses holds.
async fn until(
    world: &World,
    granter: &Granter,
    holds: impl Fn(&AccessRoleStatus) -> bool,
) -> AccessRoleStatus {
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let found = wait::until(PATIENCE, || async {
        granter.round().await;
        let status = roles.get(UNUSED).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if holds(&status) { Ok(status) } else { Err(format!("{status:?}")) }
    });
    found.await.unwrap()
}

fn excepted(day: &str) -> Value {
    let mut access = access();
    access["breakGlass"]["exception"] = json!({"reason": "the log is in another building", "expires": day});
    access
}

async fn events(world: &World) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(world.admin.clone(), NS);
    let found = events.list(&ListParams::default()).await.unwrap().items;
    found.into_iter().filter_map(|event| event.reason).collect()
}
