//! Whether the admission policies that guard membership and deletion are in place and unedited.

use crate::context::Context;

/// What is wrong with the admission policies, if anything.
pub async fn look(_ctx: &Context) -> Option<String> {
    None
}
