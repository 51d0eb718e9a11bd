//! The captures that can be made. A new one is a module here and a row in [`ALL`].

mod dtls_srtp;
pub(crate) mod e2e_call;
mod false_place;
mod hostile_names;
mod sip_berlin;
mod sip_calls;
mod zoom_beijing_2020;
mod zoom_ecb_pkcs7;
mod zoom_gcm;
mod zoom_gov;
mod zoom_servers_73;

use anyhow::Result;

/// A finished capture and the files beside it.
pub(crate) struct Capture {
    pub(crate) pcapng: Vec<u8>,
    /// File extension and content.
    pub(crate) companions: Vec<(&'static str, String)>,
}

/// A recipe.
pub(crate) struct Case {
    /// File name without extension.
    pub(crate) name: &'static str,
    pub(crate) make: fn() -> Result<Capture>,
}

/// All recipes.
pub(crate) const ALL: &[Case] = &[
    Case { name: "zoom-beijing-2020", make: zoom_beijing_2020::make },
    Case { name: "zoom-ecb-pkcs7", make: zoom_ecb_pkcs7::make },
    Case { name: "zoom-gcm", make: zoom_gcm::make },
    Case { name: "zoom-servers-73", make: zoom_servers_73::make },
    Case { name: "sip-sdes", make: sip_calls::sdes },
    Case { name: "sip-sdes-clear", make: sip_calls::sdes_clear },
    Case { name: "dtls-srtp", make: dtls_srtp::make },
    Case { name: "e2e-call", make: e2e_call::make },
    Case { name: "hostile-names", make: hostile_names::make },
    Case { name: "plain-rtp", make: sip_calls::plain },
    Case { name: "zoom-gov", make: zoom_gov::make },
    Case { name: "sip-berlin", make: sip_berlin::make },
    Case { name: "false-place", make: false_place::make },
];
