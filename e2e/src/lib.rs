//! A real control plane and a real OpenBao on loopback, for tests, the demo and the benches.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use subrosa_e2e::Environment;
//!
//! let env = Environment::start().await?;
//! let client = env.admin()?;
//! let health = env.openbao().request("GET", "sys/health", None).await?;
//! # drop((client, health));
//! # Ok(())
//! # }
//! ```
//!
//! Everything is started on random ports with random credentials in one directory of its own, and
//! is ended, reaped and removed when the [`Environment`] is dropped. A test process that is killed
//! takes its servers along; the directory it leaves is swept by the next start.
//!
//! Which cluster it is, in this order:
//!
//! 1. `SUBROSA_E2E_KUBECONFIG`: a cluster of yours (kind, k3d, a test cluster). OpenBao still runs here.
//! 2. `KUBEBUILDER_ASSETS`: etcd, kube-apiserver and, if there, kube-controller-manager and kubectl of that directory.
//! 3. Otherwise a control plane built from Kubernetes' own Go packages into `target/e2e/`.
//!
//! `SUBROSA_E2E_KEEP=1` leaves the directory with all logs in place.

mod access;
pub mod alerts;
pub mod audit;
pub mod bench;
pub mod cluster;
pub mod control_plane;
pub mod demo;
pub mod directory;
pub mod environment;
pub mod helm;
pub mod installation;
pub mod keycloak;
pub mod kubeconfig;
pub mod node;
pub mod openbao;
pub mod operator;
pub mod pki;
pub mod postgresql;
pub mod process;
pub mod proxy;
pub mod recorded;
pub mod s3;
pub mod tap;
pub mod tools;
pub mod wait;

pub use environment::{Environment, EnvironmentBuilder};
pub use installation::Installation;
pub use kubeconfig::Endpoint;
pub use operator::Operator;
pub use proxy::Proxy;
pub use tap::{Mode, Tap, Write};
