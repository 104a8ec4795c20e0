//! Keycloak as the example configures it, with people, and with clients that lack one thing each.

use serde_json::{Value, json};
use subrosa_e2e::{keycloak::Keycloak, tools::workspace};

use super::browser::Person;

pub const STAFF: &str = "staff";
/// Another realm of the same Keycloak, with the same configuration.
pub const GUESTS: &str = "guests";
/// The client of the example.
pub const CLIENT: &str = "subrosa";
/// Clients that a test makes of it.
pub const WITHOUT_AUDIENCE: &str = "without-audience";
pub const WITHOUT_GROUPS: &str = "without-groups";
pub const WITHOUT_AMR: &str = "without-amr";
pub const SHORT_GROUPS: &str = "short-groups";
pub const WITHOUT_REFERENCES: &str = "without-references";

/// The key of RFC 6238's examples, and the same in base 32.
const SECRET: &[u8] = b"12345678901234567890";
const SECRET_BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// In the group, with a second factor.
pub const ANNA: Person =
    Person { name: "anna", password: "a first one", chosen: "a better one", second_factor: Some(SECRET) };
/// In the group, with a password alone.
pub const BAS: Person = Person { name: "bas", second_factor: None, ..ANNA };
/// With a second factor, in a group of the same name under another one.
pub const COOK: Person = Person { name: "cook", ..ANNA };

/// What the page and the test read.
pub fn example(name: &str) -> String {
    let path = workspace().unwrap().join("examples/identity-provider").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub async fn set_up(keycloak: &Keycloak) {
    let realm: Value = serde_json::from_str(&example("keycloak-realm.json")).unwrap();
    assert_eq!(realm["realm"], STAFF);
    keycloak.admin("POST", "", Some(&realm)).await.unwrap();
    let mut guests = realm.clone();
    guests["realm"] = json!(GUESTS);
    keycloak.admin("POST", "", Some(&guests)).await.unwrap();

    let canteen = json!({"name": "canteen"});
    keycloak.admin("POST", "/staff/groups", Some(&canteen)).await.unwrap();
    let found = keycloak.admin("GET", "/staff/groups?search=canteen", None).await.unwrap();
    let children = format!("/staff/groups/{}/children", found[0]["id"].as_str().unwrap());
    keycloak.admin("POST", &children, Some(&json!({"name": "cc-quality"}))).await.unwrap();
    for (realm, who, group) in [
        (STAFF, ANNA, "/cc-quality"),
        (STAFF, BAS, "/cc-quality"),
        (STAFF, COOK, "/canteen/cc-quality"),
        (GUESTS, ANNA, "/cc-quality"),
    ] {
        let users = format!("/{realm}/users");
        keycloak.admin("POST", &users, Some(&person(&who, group))).await.unwrap();
    }
    for client in clients(&realm["clients"][0], &built_in_flow(keycloak).await) {
        keycloak.admin("POST", "/staff/clients", Some(&client)).await.unwrap();
    }
}

fn person(who: &Person, group: &str) -> Value {
    let text =
        example("keycloak-person.json").replace("PASSWORD", who.password).replace("SECRET", SECRET_BASE32);
    let mut person: Value = serde_json::from_str(&text).unwrap();
    person["username"] = json!(who.name);
    person["email"] = json!(format!("{}@oosterlinde.example", who.name));
    person["groups"] = json!([group]);
    if who.second_factor.is_none() {
        person["credentials"].as_array_mut().unwrap().truncate(1);
    }
    person
}

/// The flow that each realm has, whose executions have no reference values.
async fn built_in_flow(keycloak: &Keycloak) -> String {
    let flows = keycloak.admin("GET", "/staff/authentication/flows", None).await.unwrap();
    let found = flows.as_array().unwrap().iter().find(|flow| flow["alias"] == "browser");
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

fn clients(example: &Value, built_in_flow: &str) -> Vec<Value> {
    let named = |name: &str| {
        let mut client = example.clone();
        client["clientId"] = json!(name);
        client
    };
    let without = |name: &str, mapper: &str| {
        let mut client = named(name);
        let mappers = client["protocolMappers"].as_array_mut().unwrap();
        let before = mappers.len();
        mappers.retain(|one| one["name"] != mapper);
        assert_eq!(mappers.len() + 1, before, "the example has no mapper {mapper}");
        client
    };
    let mut short = named(SHORT_GROUPS);
    let mappers = short["protocolMappers"].as_array_mut().unwrap();
    let groups = mappers.iter_mut().find(|mapper| mapper["name"] == "groups").unwrap();
    groups["config"]["full.path"] = json!("false");
    let mut plain = named(WITHOUT_REFERENCES);
    plain["authenticationFlowBindingOverrides"] = json!({"browser": built_in_flow});
    vec![
        without(WITHOUT_AUDIENCE, "audience"),
        without(WITHOUT_GROUPS, "groups"),
        without(WITHOUT_AMR, "amr"),
        short,
        plain,
    ]
}

/// How long after a login Keycloak still tells of its parts.
pub async fn forget_after(keycloak: &Keycloak, seconds: u32) {
    let path = "/staff/authentication/flows/browser-second-factor/executions";
    let executions = keycloak.admin("GET", path, None).await.unwrap();
    let configured =
        executions.as_array().unwrap().iter().filter_map(|one| one["authenticationConfig"].as_str());
    let mut count = 0;
    for id in configured {
        let path = format!("/staff/authentication/config/{id}");
        let mut config = keycloak.admin("GET", &path, None).await.unwrap();
        config["config"]["default.reference.maxAge"] = json!(seconds.to_string());
        keycloak.admin("PUT", &path, Some(&config)).await.unwrap();
        count += 1;
    }
    assert_eq!(count, 2, "password and second factor: {executions}");
}

/// The id that Keycloak gave to a person, which is the claim `sub`.
pub async fn id(keycloak: &Keycloak, who: &Person) -> String {
    let path = format!("/staff/users?exact=true&username={}", who.name);
    let found = keycloak.admin("GET", &path, None).await.unwrap();
    found[0]["id"].as_str().unwrap().to_owned()
}

/// Where a person's only group is taken and given.
pub async fn group(keycloak: &Keycloak, who: &Person) -> String {
    let groups = format!("/staff/users/{}/groups", id(keycloak, who).await);
    let found = keycloak.admin("GET", &groups, None).await.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    format!("{groups}/{}", found[0]["id"].as_str().unwrap())
}
