//! What is left of a node when it ends: nothing, whichever way.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use subrosa_e2e::{
    node::{Node, unsupported},
    wait,
};

const LIMIT: Duration = Duration::from_secs(60);
/// Before each path that the process below prints.
const MARK: &str = "leaves ";

fn still_there(paths: &[String]) -> Vec<&String> {
    paths.iter().filter(|path| Path::new(path).exists()).collect()
}

/// Enough is there of the node to notice if it stayed. Some of its processes last only a moment.
fn is_a_node(paths: &[String]) -> bool {
    let there = still_there(paths);
    let count = |of: &str| there.iter().filter(|path| path.starts_with(of)).count();
    // kubelet, containerd, kube-proxy, the first process and what is in pods.
    count("/proc/") >= 5 && count("/sys/fs/cgroup/") > 0 && count("/sys/class/net/subrosa") == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_node_leaves_nothing() {
    if unsupported().is_some() {
        return;
    }
    let node = Node::start().await.unwrap();
    let paths = node.leavings();
    assert!(is_a_node(&paths), "{paths:?}");
    drop(node);
    let left = still_there(&paths);
    assert!(left.is_empty(), "{left:?}");
}

/// The process that the next test kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it waits until it is killed"]
async fn a_node_until_it_is_killed() {
    let node = Node::start().await.unwrap();
    for path in node.leavings() {
        println!("{MARK}{path}");
    }
    println!("{MARK}");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_nothing_of_its_node() {
    if unsupported().is_some() {
        return;
    }
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "leavings::a_node_until_it_is_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let marked = lines.filter_map(|line| line.split_once(MARK).map(|(_, path)| path.to_owned()));
    let paths: Vec<String> = marked.take_while(|path| !path.is_empty()).collect();
    let there = is_a_node(&paths);
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(there, "{paths:?}");
    wait::until(LIMIT, || async {
        let left = still_there(&paths);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await
    .unwrap();
}
