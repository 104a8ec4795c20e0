//! How the machine and a node reach each other: one pair of interfaces, and a route to the pods.
//!
//! The addresses are of the range that is set aside for tests of networks (RFC 2544), so that they meet nothing
//! real. Pods reach the machine and each other, and nothing beyond: the machine forwards nothing for them.

use std::{net::Ipv4Addr, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use rand::Rng as _;
use serde_json::{Value, json};

use super::{programs::Programs, space::Space};
use crate::tools::run;

/// Of Services, as the API server gives them out.
pub const SERVICES: &str = "10.96.0.0/16";
/// Of the cluster's DNS.
pub const DNS: &str = "10.96.0.10";
const ATTEMPTS: usize = 20;

/// A node's addresses. The number is its own among the nodes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    number: u8,
}

impl Network {
    /// Makes the pair of interfaces, with a number that is free.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn create(space: &Space, programs: &Programs) -> Result<Self> {
        let first: u8 = rand::rng().random();
        let mut last = None;
        for step in 0..ATTEMPTS {
            let number = first.wrapping_add(u8::try_from(step).unwrap_or_default());
            let network = Self { number };
            match network.connect(space, programs) {
                Ok(()) => return Ok(network),
                Err(error) if error.to_string().contains("File exists") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        match last {
            Some(error) => Err(error).context("no free number for a node's network"),
            None => bail!("no attempt at a node's network"),
        }
    }

    fn connect(self, space: &Space, programs: &Programs) -> Result<()> {
        let ip = ip(programs)?;
        let machine = |words: &str| {
            let mut command = Command::new(&ip);
            command.env("LD_LIBRARY_PATH", programs.libraries()).args(words.split(' '));
            run(command, &format!("ip {words}"))
        };
        let (link, here, there, pods) = (self.link(), self.machine(), self.node(), self.pods());
        // The name is what one number is taken by.
        machine(&format!("link add {link} type veth peer name eth0 netns {}", space.first()))?;
        machine(&format!("address add {here}/30 dev {link}"))?;
        machine(&format!("link set {link} up"))?;
        let ip = ip.display();
        space.run(&[
            "sh",
            "-c",
            &format!(
                "export LD_LIBRARY_PATH={}; {ip} link set lo up && {ip} address add {there}/30 dev eth0 && {ip} link set eth0 up && \
                 {ip} route add default via {here}",
                programs.libraries()
            ),
        ])?;
        machine(&format!("route add {pods} via {there} dev {link}"))
    }

    /// The machine's interface.
    pub fn link(self) -> String {
        format!("subrosa{}", self.number)
    }

    /// The machine, as the node sees it.
    pub fn machine(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 1)
    }

    /// The node, as the machine sees it.
    pub fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 2)
    }

    /// The addresses of pods.
    pub fn pods(self) -> String {
        format!("198.19.{}.0/24", self.number)
    }

    /// The configuration of CNI. Every pod has an interface of its own to the node, so that whatever goes between
    /// two pods goes through the node, where a Service's address is made a pod's, and made it back.
    pub fn cni(self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": self.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        })
    }
}

fn ip(programs: &Programs) -> Result<PathBuf> {
    programs.tool("ip")
}
