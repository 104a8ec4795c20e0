//! The end of data: which keys are due, who approved, what is held, and the next step for each key.
//!
//! ```text
//!  operator:   listing ── keys that are due ──▶ Destruction (object)
//!
//!  destroyer:  freeze (clocks, store), breaker   rules (what binds)   tally (Approvals)   holds
//!                   └──────────────────────┴──────┬─────────────┴──────────────────┘
//!                                               order ── one Destruction, judged
//!                                                 │
//!                                               step ── the next thing to do for one key ──▶ status
//! ```
//!
//! After each step the destroyer reads everything again and asks [`step::next`]. A process that dies at any point is
//! continued from the record in Vault.

pub mod breaker;
pub mod due;
pub mod freeze;
pub mod holds;
pub mod listing;
pub mod order;
pub mod pace;
pub mod rules;
pub mod settled;
pub mod status;
pub mod step;

pub use crate::world::tally;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traces;
