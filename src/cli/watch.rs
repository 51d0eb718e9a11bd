use super::{Status, config};
pub(super) fn run(_config: config::Watch) -> anyhow::Result<Status> {
    anyhow::bail!("not yet")
}
