//! Manifests from a small vocabulary, so that they meet: right ones, odd ones, and broken ones.

use serde_json::{Map, Value, json};

use crate::random::Random;

pub const NAMESPACES: [&str; 3] = ["front", "data", "web"];
pub const CHANNELS: [&str; 3] = ["a", "b", "c"];
pub const DOMAINS: [&str; 2] = ["one", "two"];
pub const PARTIES: [&str; 2] = ["carrier", "lab"];
pub const POLICIES: [&str; 2] = ["main", "other"];
const SERVICES: [&str; 3] = ["vault", "prometheus", "api"];
const LISTENERS: [&str; 3] = ["x", "y", "z"];
const CLASSES: [&str; 3] = ["call", "dossier", "mail"];
const APPS: [&str; 4] = ["a", "b", "c", "d"];
const DAYS: [&str; 5] = ["2026-11-21", "2026-11-22", "2026-12-24", "2027-02-28", "2031-01-01"];
const RANGES: [&str; 6] =
    ["203.0.113.0/28", "198.51.100.7/32", "2001:db8::/48", "10.1.0.0/16", "0.0.0.0/0", "169.254.0.0/16"];

fn object(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Value {
    let mut metadata = json!({"name": name, "uid": format!("uid-{kind}-{name}"), "generation": 1});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
        metadata["uid"] = json!(format!("uid-{namespace}-{name}"));
    }
    json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// The entries of a list-map: one a name.
fn distinct(entries: Vec<Value>, key: &str) -> Value {
    let mut seen = std::collections::BTreeSet::new();
    entries.into_iter().filter(|entry| seen.insert(entry[key].to_string())).collect()
}

fn set(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    fields.insert(name.to_owned(), value.into());
}

fn selector(random: &mut Random, app: &str) -> Value {
    match random.below(10) {
        0 => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": [app]}]}),
        1 => {
            json!({"matchLabels": {}, "matchExpressions": [{"key": app, "operator": random.pick(&["Exists", "DoesNotExist"]), "values": []}]})
        }
        2 => json!({"matchLabels": {"app": app, "tier": "edge"}}),
        _ => json!({"matchLabels": {"app": app}}),
    }
}

fn port(random: &mut Random) -> Value {
    let first = 1 + random.below(12);
    match random.below(6) {
        0 => json!(format!("{first}/UDP")),
        1 => json!(format!("{first}-{}/UDP", first + random.below(5))),
        2 => json!(format!("{first}-{}", first + random.below(5))),
        _ => json!(first),
    }
}

fn listeners(random: &mut Random) -> Value {
    let entries = random.some(3, |random| {
        let first = 1 + random.below(12);
        let mut entry = json!({"name": random.pick(&LISTENERS), "port": first});
        if random.chance(40) {
            entry["endPort"] = json!(first + random.below(5));
        }
        if random.chance(40) {
            entry["protocol"] = json!(random.pick(&["TCP", "UDP"]));
        }
        entry
    });
    distinct(entries, "name")
}

fn peers(random: &mut Random) -> Value {
    let entries = random.some(4, |random| {
        let mut entry = match random.below(8) {
            0 => json!({"name": random.pick(&PARTIES), "kind": "ExternalParty"}),
            1 => json!({"name": random.pick(&SERVICES), "kind": "Service"}),
            _ => json!({"name": random.pick(&CHANNELS)}),
        };
        if entry.get("kind").is_none() {
            if random.chance(60) {
                entry["namespace"] = json!(random.pick(&NAMESPACES));
            }
            if random.chance(20) {
                entry["channel"] = entry["name"].take();
                entry["name"] = json!(random.pick(&["p", "q", "r"]));
            }
        }
        if random.chance(30) {
            entry["listeners"] = json!(random.some(2, |random| random.pick(&LISTENERS)));
        }
        entry
    });
    distinct(entries, "name")
}

pub fn channel(random: &mut Random, namespace: &str, name: &str) -> Value {
    let app = if random.chance(85) { name } else { random.pick(&APPS) };
    let mut workload = json!({"selector": selector(random, app)});
    let mut spec = Map::new();
    set(&mut spec, "listeners", listeners(random));
    set(&mut spec, "accepts", peers(random));
    set(&mut spec, "connectsTo", peers(random));
    if random.chance(40) {
        let account = if random.chance(90) { name } else { random.pick(&CHANNELS) };
        workload["serviceAccountName"] = json!(account);
        let class = if random.chance(90) { "call" } else { random.pick(&CLASSES) };
        set(&mut spec, "dataClasses", json!([class]));
        if random.chance(20) {
            set(&mut spec, "retentionPolicy", random.pick(&POLICIES));
        }
        if random.chance(30) {
            let every = random.pick(&["1h", "30d", "99999999d"]);
            set(
                &mut spec,
                "encryption",
                json!({"keyType": "chacha20-poly1305", "rotateEvery": every, "workloadMay": ["Seal", "Open"]}),
            );
        }
    }
    if random.chance(20) {
        let duration = random.pick(&["7d", "30d", "400d", "99999999d"]);
        set(
            &mut spec,
            "tls",
            json!({"duration": duration, "dnsNames": [random.pick(&["a.example", "*.b.example", "c.other"])]}),
        );
    }
    if random.chance(10) {
        set(
            &mut spec,
            "exception",
            json!([{"control": "SR-NET-01", "reason": "why", "expires": random.pick(&DAYS)}]),
        );
    }
    set(&mut spec, "workload", workload);
    let mut whole = object("Channel", Some(namespace), name, spec.into());
    whole["metadata"]["creationTimestamp"] = json!(format!("2026-11-{:02}T00:00:00Z", 1 + random.below(20)));
    whole
}

fn service(random: &mut Random) -> Value {
    let mut entry = json!({
        "name": random.pick(&SERVICES), "for": random.pick(&["All", "Sealing", "Named"]),
    });
    if random.chance(70) {
        entry["namespace"] = json!(random.pick(&["security", "monitoring", "front"]));
        if random.chance(70) {
            let app = random.pick(&APPS);
            entry["podSelector"] = selector(random, app);
        }
    } else {
        entry["cidrs"] = json!(["10.0.0.1/32"]);
    }
    if random.chance(40) {
        entry["direction"] = json!(random.pick(&["Ingress", "Egress"]));
    }
    if random.chance(80) {
        entry["ports"] = json!(random.some(2, port));
    }
    entry
}

pub fn domain(random: &mut Random, name: &str) -> Value {
    let mut network = json!({"clusterCIDRs": ["10.0.0.0/8", "fd00::/8"]});
    let services = random.some(3, service);
    network["services"] = distinct(services, "name");
    if random.chance(20) {
        network["mode"] = json!("Audit");
    }
    if random.chance(20) {
        network["staged"] = json!([{"namespace": random.pick(&NAMESPACES), "mode": random.pick(&["Audit", "Enforce"]), "until": random.pick(&DAYS)}]);
    }
    if random.chance(20) {
        network["dns"] =
            json!([{"cidrs": ["169.254.20.10/32"], "ports": [53]}, {"namespace": "kube-system"}]);
    }
    if random.chance(10) {
        network["defaultDeny"] = json!(false);
    }
    let zone = if random.chance(95) {
        random.pick(&["UTC", "Europe/Amsterdam", "Pacific/Apia"])
    } else {
        "No/Where"
    };
    let mut spec = json!({
        "organisation": {"name": "a hospital", "country": "NL"},
        "jurisdictions": ["NL"],
        "timeZone": zone,
        "vault": {"address": "https://openbao.security.svc:8200", "auth": {"kubernetes": {}}},
        "retentionPolicies": if random.chance(90) { json!(["main", "other"]) } else { json!(["other"]) },
        "network": network,
    });
    if random.chance(30) {
        spec["frameworks"] = json!(["HIPAA"]);
    }
    if random.chance(30) {
        let duration = random.pick(&["1d", "90d", "1y", "99999y"]);
        spec["certificateAuthority"] = json!({"duration": duration, "allowedDNSSuffixes": ["example"]});
    }
    object("TrustDomain", None, name, spec)
}

pub fn party(random: &mut Random, name: &str) -> Value {
    let channels = random.some(4, |random| {
        json!({
            "namespace": random.pick(&NAMESPACES), "name": random.pick(&CHANNELS),
            "direction": random.pick(&["Ingress", "Egress"]), "ports": [port(random), port(random)],
        })
    });
    let agreements = random.some(
        2,
        |random| json!({"type": random.pick(&["DPA", "BAA", "SLA"]), "validUntil": random.pick(&DAYS)}),
    );
    let range = if random.chance(80) { RANGES[random.below(3)] } else { random.pick(&RANGES) };
    let tls = match random.below(4) {
        0 => {
            json!({"mode": "Mutual", "caBundle": {"configMap": random.pick(&["good", "bad", "none"]), "key": "ca.crt"}})
        }
        1 => {
            json!({"mode": "None", "exception": {"control": "SR-TLS-01", "reason": "why", "expires": random.pick(&DAYS)}})
        }
        _ => json!({"mode": "OneWay"}),
    };
    let role = random.pick(&["Processor", "Carrier", "Carrier", "Insurer"]);
    object(
        "ExternalParty",
        None,
        name,
        json!({
            "role": role, "addresses": {"cidrs": [range]}, "tls": tls,
            "agreements": distinct(agreements, "type"), "channels": channels,
        }),
    )
}

pub fn retention(random: &mut Random, name: &str) -> Value {
    let classes = CLASSES.iter().map(|class| {
        let mut entry = json!({
            "name": class, "keep": random.pick(&["90d", "18mo", "20y", "99999y"]),
            "cohort": random.pick(&["Day", "Week", "Month", "Quarter", "Year"]),
        });
        if random.chance(30) {
            entry["anchor"] = json!(random.pick(&["CaseClosed", "LastChange", "Majority"]));
            entry["openFor"] = json!("5y");
        }
        if random.chance(2) {
            entry["minimums"] =
                json!([{"jurisdiction": "NL", "period": random.pick(&["30d", "30y"]), "basis": "a law"}]);
        }
        entry
    });
    let classes: Vec<_> = classes.collect();
    let keep = if random.chance(85) { classes.len() } else { 1 };
    object("RetentionPolicy", None, name, json!({"classes": classes[..keep]}))
}

/// What is wrong nearly everywhere, and right somewhere.
fn oddity(random: &mut Random) -> Value {
    match random.below(28) {
        0 => json!(null),
        1 => json!(0),
        2 => json!(-1),
        3 => json!(65_535),
        4 => json!(65_536),
        5 => json!(i64::MAX),
        6 => json!(u64::MAX),
        7 => json!(1.5),
        8 => json!(true),
        9 => json!(""),
        10 => json!("a"),
        11 => json!("é\u{0}\n"),
        12 => json!("0d"),
        13 => json!("99999y"),
        14 => json!("99999999d"),
        15 => json!("18446744073709551616s"),
        16 => json!("2027-02-30"),
        17 => json!("9999-12-31"),
        18 => json!("-9999-01-01"),
        19 => json!("::/0"),
        20 => json!("10.0.0.0/33"),
        21 => json!("2-1/UDP"),
        22 => json!("0-65535"),
        23 => json!([]),
        24 => json!([null]),
        25 => json!({}),
        26 => json!("x".repeat(300)),
        _ => {
            let text: String =
                (0..random.below(8)).filter_map(|_| char::from_u32(random.below(0x3000) as u32)).collect();
            json!(text)
        }
    }
}

fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                places(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Breaks something: removes, repeats, copies from elsewhere or writes what does not belong there.
pub fn mutate(manifest: &mut Value, random: &mut Random) {
    let mut found = Vec::new();
    places(&manifest["spec"], "/spec", &mut found);
    let place = found[random.below(found.len())].clone();
    let elsewhere = found[random.below(found.len())].clone();
    match random.below(6) {
        0 => {
            let Some((parent, name)) = place.rsplit_once('/') else { return };
            let name = name.replace("~1", "/").replace("~0", "~");
            match manifest.pointer_mut(parent) {
                Some(Value::Object(fields)) => drop(fields.remove(&name)),
                Some(Value::Array(items)) => {
                    items.pop();
                }
                _ => {}
            }
        }
        1 => {
            if let Some(Value::Array(items)) = manifest.pointer_mut(&place) {
                let again = items.clone();
                items.extend(again.into_iter().take(3));
            }
        }
        2 => {
            let copied = manifest.pointer(&elsewhere).cloned();
            if let (Some(target), Some(copied)) = (manifest.pointer_mut(&place), copied) {
                *target = copied;
            }
        }
        _ => {
            let odd = oddity(random);
            if let Some(target) = manifest.pointer_mut(&place) {
                *target = odd;
            }
        }
    }
}
