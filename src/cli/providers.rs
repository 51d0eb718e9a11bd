use super::{Status, args};
pub(super) fn run(_typed: args::Providers) -> anyhow::Result<Status> {
    anyhow::bail!("not yet")
}
