//! The dashboard is one that Grafana loads: what it needs is there, and panels do not lie on each other.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::support::{objects, read, rendered};

/// The width of Grafana's grid.
const COLUMNS: u64 = 24;

#[test]
fn the_dashboard_is_whole() {
    let board: Value = serde_json::from_str(&read("charts/subrosa/files/dashboard.json")).unwrap();
    assert_eq!(board["uid"], "subrosa");
    // Of Grafana 12; older ones are migrated when they are loaded, newer ones refused.
    assert_eq!(board["schemaVersion"], 41);
    // An id of its own would be taken for that of another dashboard of the instance.
    assert_eq!(board.get("id"), None);
    let variables: BTreeSet<_> = board["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another panel's");
        assert!(panel["description"].is_string(), "{title} says not what it shows");
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(side("x") + side("w") <= COLUMNS, "{title} is outside the grid");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("subrosa_") && expression.contains("job=~\"$job\""), "{title}");
            for used in expression.split('$').skip(1) {
                let used: String =
                    used.chars().take_while(|one| one.is_alphanumeric() || *one == '_').collect();
                assert!(used == "__rate_interval" || variables.contains(used.as_str()), "{title}: ${used}");
            }
        }
    }
}

#[test]
fn it_comes_along_for_the_sidecar() -> Result<()> {
    let objects = objects(&rendered(&["grafanaDashboard.enabled=true"])?)?;
    let map = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let carried: Value = serde_json::from_str(map["data"]["subrosa.json"].as_str().unwrap())?;
    let file: Value = serde_json::from_str(&read("charts/subrosa/files/dashboard.json"))?;
    assert_eq!(carried, file);
    Ok(())
}
