//! The end of data: what is due, who approved it, what is held, and the next step of each key.
//!
//! ```text
//!  operator:   listing ── keys that are due ──▶ Destruction (object)
//!
//!  destroyer:  freeze (clocks, store)   rules (what binds)   tally (Approvals)   holds
//!                   └──────────────────────┴──────┬─────────────┴──────────────────┘
//!                                               order ── one Destruction, judged
//!                                                 │
//!                                               step ── the next thing to do for one key ──▶ status
//! ```
//!
//! The destroyer asks [`step::next`] again after each thing it did, with everything read anew: a process that ends
//! anywhere goes on from what stands in Vault.

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
pub mod tally;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traces;
