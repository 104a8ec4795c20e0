//! The only way Subrosa speaks to OpenBao and HashiCorp Vault.
//!
//! ```text
//! name ──> transit ┐
//!          sealing │
//!          backup  │
//!          destroy │
//!          kv      ├──> client ──> one HTTP connection pool, one token, one limit on concurrency
//!          identity│       ▲
//!          groups  │       │
//!          grants  │       │
//!          entities│       │
//!          setup   ┘      auth (logs in, renews, notices a dead token)
//! ```
//!
//! * Paths consist of [`name`] types only, so no text of a tenant reaches a path.
//! * [`Vault`] owns transport, deadlines, retries and the token; nothing else opens a connection.
//! * Every failure is a [`VaultError`] with a stable reason and a next step, and none contains a secret.
//! * [`setup`] describes what an administrator writes once. The operator's own identity may write neither policies
//!   nor roles; `setup` and its tests enforce that.

mod answer;
pub mod auth;
pub mod backup;
pub mod canary;
pub mod client;
mod config;
pub mod destroy;
mod endpoint;
pub mod entities;
pub mod error;
pub mod grant_policies;
pub mod groups;
mod health;
pub mod identity;
pub mod kv;
pub mod logins;
pub mod name;
mod refusal;
pub mod sealing;
pub mod setup;
pub mod transit;

pub use client::{Health, RequestObserver, RequestSample, Vault, VaultAddress, VaultConfig};
pub use error::VaultError;
pub use name::{
    AliasId, AliasName, ClassName, EntityId, Folder, GroupName, MonthName, MountAccessor, MountPath,
    PolicyName, RecordPath, RoleName, TransitKeyName,
};
pub use refusal::KeyRefusal;
