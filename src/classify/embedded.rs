//! The provider files that ship with the program.

use super::provider::ProviderError;
use super::rules::Rules;
use crate::parallel::Threads;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$((concat!($name, ".toml"), include_str!(concat!("../../providers/", $name, ".toml")))),*]
    };
}

const SOURCES: &str = include_str!("../../providers/sources.toml");

/// In the order in which providers were entered; on a tie the earlier wins.
const FILES: [(&str, &str); 38] = files![
    "zoom",
    "ms-teams",
    "skype",
    "google-meet",
    "webex",
    "discord",
    "whatsapp",
    "signal",
    "telegram",
    "facetime",
    "messenger",
    "chime-slack",
    "jitsi",
    "bigbluebutton",
    "ringcentral",
    "goto",
    "bluejeans",
    "whereby",
    "livekit",
    "8x8",
    "dialpad",
    "zoho-meeting",
    "lifesize",
    "tencent-meeting",
    "dingtalk",
    "feishu-lark",
    "wechat",
    "line",
    "viber",
    "kakaotalk",
    "snapchat",
    "wire",
    "element-call",
    "nextcloud-talk",
    "teamspeak",
    "mumble",
    "sip-rtp",
    "agora",
];

/// Compiles the provider files that ship with the program.
///
/// # Errors
/// [`ProviderError`] when one does not fit the schema; a test keeps that from happening in a release.
pub fn embedded() -> Result<Rules, ProviderError> {
    embedded_by(Threads::ONE)
}

/// The same by several threads.
///
/// # Errors
/// As [`embedded`].
pub fn embedded_by(threads: Threads) -> Result<Rules, ProviderError> {
    Rules::compile_by(threads, &FILES, SOURCES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_folder_ships_and_compiles() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/providers");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                name.strip_suffix(".toml").is_some() && name != "sources.toml" && name != "common.toml"
            })
            .collect();
        on_disk.sort();
        let mut shipped: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        shipped.sort();
        assert_eq!(on_disk, shipped);
        let rules = embedded().unwrap();
        assert_eq!(rules.providers().len(), 38);
    }
}
