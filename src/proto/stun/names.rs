//! The numbers of STUN: message types, methods, classes and attributes, with the names that IANA gives
//! them and those of the vendors whose dialects are met in the wild. An unknown number stays a number.

use std::fmt;

/// One newtype over `u16` with named constants, `name()` and `Display`.
macro_rules! wire_numbers {
    ($(#[$outer:meta])* $type:ident { $($constant:ident = $value:literal $name:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u16);

        impl $type {
            $(#[doc = concat!("`", $name, "`.")] pub const $constant: Self = Self($value);)+

            /// The registered or customary name, where there is one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#06x}", self.0),
                }
            }
        }
    };
}

wire_numbers! {
    /// The twelve-bit method of a message (RFC 8489 §5). Vendor methods keep their number.
    Method {
        BINDING = 0x001 "Binding",
        SHARED_SECRET = 0x002 "Shared Secret",
        ALLOCATE = 0x003 "Allocate",
        REFRESH = 0x004 "Refresh",
        SEND = 0x006 "Send",
        DATA = 0x007 "Data",
        CREATE_PERMISSION = 0x008 "CreatePermission",
        CHANNEL_BIND = 0x009 "ChannelBind",
        CONNECT = 0x00a "Connect",
        CONNECTION_BIND = 0x00b "ConnectionBind",
        CONNECTION_ATTEMPT = 0x00c "ConnectionAttempt",
        GOOG_PING = 0x080 "Google Ping",
        WHATSAPP_0800 = 0x200 "WhatsApp 0x0800",
        WHATSAPP_0801 = 0x201 "WhatsApp 0x0801",
        WHATSAPP_0802 = 0x202 "WhatsApp 0x0802",
        WHATSAPP_0803 = 0x203 "WhatsApp 0x0803",
        WHATSAPP_0804 = 0x204 "WhatsApp 0x0804",
        WHATSAPP_0805 = 0x205 "WhatsApp 0x0805",
    }
}

/// The two class bits (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "two bits hold four values")]
pub enum Class {
    /// Asks for an answer.
    Request,
    /// Asks for none.
    Indication,
    /// Answers: done.
    Success,
    /// Answers: refused, with an ERROR-CODE.
    Error,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Indication => "indication",
            Self::Success => "success response",
            Self::Error => "error response",
        })
    }
}

/// The first sixteen bits of a message as sent, class and method interleaved (RFC 8489 §5).
///
/// Dialects that do not follow the interleaving are told apart by this raw value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(pub u16);

impl MessageType {
    /// Data Indication of MS-TURN, which numbered it before the class bits existed.
    pub const MS_DATA_INDICATION: Self = Self(0x0115);

    /// The class bits, as RFC 8489 reads them.
    pub const fn class(self) -> Class {
        match (self.0 & 0x0100 != 0, self.0 & 0x0010 != 0) {
            (false, false) => Class::Request,
            (false, true) => Class::Indication,
            (true, false) => Class::Success,
            (true, true) => Class::Error,
        }
    }

    /// The method bits, as RFC 8489 reads them.
    pub const fn method(self) -> Method {
        // 00 MMMMM C MMM C MMMM
        Method((self.0 & 0x3e00) >> 2 | (self.0 & 0x00e0) >> 1 | self.0 & 0x000f)
    }

    /// True for a method of the standards (IANA's registry: RFC 8489, RFC 8656, RFC 6062).
    pub const fn is_standard(self) -> bool {
        matches!(self.method().0, 0x001..=0x00c)
    }

    /// True for the message types that `WhatsApp` added (0x0800 to 0x0805).
    pub const fn is_whatsapp(self) -> bool {
        matches!(self.0, 0x0800..=0x0805)
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MS_DATA_INDICATION => f.write_str("Data indication (MS-TURN)"),
            known if known.is_whatsapp() => known.method().fmt(f),
            other => write!(f, "{} {}", other.method(), other.class()),
        }
    }
}

wire_numbers! {
    /// An attribute type: IANA's registry, RFC 3489, and the vendors'.
    Attribute {
        MAPPED_ADDRESS = 0x0001 "MAPPED-ADDRESS",
        RESPONSE_ADDRESS = 0x0002 "RESPONSE-ADDRESS",
        CHANGE_REQUEST = 0x0003 "CHANGE-REQUEST",
        SOURCE_ADDRESS = 0x0004 "SOURCE-ADDRESS",
        CHANGED_ADDRESS = 0x0005 "CHANGED-ADDRESS",
        USERNAME = 0x0006 "USERNAME",
        PASSWORD = 0x0007 "PASSWORD",
        MESSAGE_INTEGRITY = 0x0008 "MESSAGE-INTEGRITY",
        ERROR_CODE = 0x0009 "ERROR-CODE",
        UNKNOWN_ATTRIBUTES = 0x000a "UNKNOWN-ATTRIBUTES",
        REFLECTED_FROM = 0x000b "REFLECTED-FROM",
        CHANNEL_NUMBER = 0x000c "CHANNEL-NUMBER",
        LIFETIME = 0x000d "LIFETIME",
        MS_ALTERNATE_SERVER = 0x000e "MS-ALTERNATE-SERVER",
        MS_MAGIC_COOKIE = 0x000f "MS-MAGIC-COOKIE",
        BANDWIDTH = 0x0010 "BANDWIDTH",
        MS_DESTINATION_ADDRESS = 0x0011 "MS-DESTINATION-ADDRESS",
        XOR_PEER_ADDRESS = 0x0012 "XOR-PEER-ADDRESS",
        DATA = 0x0013 "DATA",
        REALM = 0x0014 "REALM",
        NONCE = 0x0015 "NONCE",
        XOR_RELAYED_ADDRESS = 0x0016 "XOR-RELAYED-ADDRESS",
        REQUESTED_ADDRESS_FAMILY = 0x0017 "REQUESTED-ADDRESS-FAMILY",
        EVEN_PORT = 0x0018 "EVEN-PORT",
        REQUESTED_TRANSPORT = 0x0019 "REQUESTED-TRANSPORT",
        DONT_FRAGMENT = 0x001a "DONT-FRAGMENT",
        ACCESS_TOKEN = 0x001b "ACCESS-TOKEN",
        MESSAGE_INTEGRITY_SHA256 = 0x001c "MESSAGE-INTEGRITY-SHA256",
        PASSWORD_ALGORITHM = 0x001d "PASSWORD-ALGORITHM",
        USERHASH = 0x001e "USERHASH",
        XOR_MAPPED_ADDRESS = 0x0020 "XOR-MAPPED-ADDRESS",
        RESERVATION_TOKEN = 0x0022 "RESERVATION-TOKEN",
        PRIORITY = 0x0024 "PRIORITY",
        USE_CANDIDATE = 0x0025 "USE-CANDIDATE",
        PADDING = 0x0026 "PADDING",
        RESPONSE_PORT = 0x0027 "RESPONSE-PORT",
        CONNECTION_ID = 0x002a "CONNECTION-ID",
        ZOOM_0101 = 0x0101 "ZOOM-0101",
        ZOOM_0103 = 0x0103 "ZOOM-0103",
        ADDITIONAL_ADDRESS_FAMILY = 0x8000 "ADDITIONAL-ADDRESS-FAMILY",
        ADDRESS_ERROR_CODE = 0x8001 "ADDRESS-ERROR-CODE",
        PASSWORD_ALGORITHMS = 0x8002 "PASSWORD-ALGORITHMS",
        ALTERNATE_DOMAIN = 0x8003 "ALTERNATE-DOMAIN",
        ICMP = 0x8004 "ICMP",
        MS_VERSION = 0x8008 "MS-VERSION",
        MS_XOR_MAPPED_ADDRESS = 0x8020 "MS-XOR-MAPPED-ADDRESS",
        SOFTWARE = 0x8022 "SOFTWARE",
        ALTERNATE_SERVER = 0x8023 "ALTERNATE-SERVER",
        TRANSACTION_TRANSMIT_COUNTER = 0x8025 "TRANSACTION-TRANSMIT-COUNTER",
        CACHE_TIMEOUT = 0x8027 "CACHE-TIMEOUT",
        FINGERPRINT = 0x8028 "FINGERPRINT",
        ICE_CONTROLLED = 0x8029 "ICE-CONTROLLED",
        ICE_CONTROLLING = 0x802a "ICE-CONTROLLING",
        RESPONSE_ORIGIN = 0x802b "RESPONSE-ORIGIN",
        OTHER_ADDRESS = 0x802c "OTHER-ADDRESS",
        ECN_CHECK = 0x802d "ECN-CHECK",
        THIRD_PARTY_AUTHORIZATION = 0x802e "THIRD-PARTY-AUTHORIZATION",
        MOBILITY_TICKET = 0x8030 "MOBILITY-TICKET",
        MS_SEQUENCE_NUMBER = 0x8050 "MS-SEQUENCE-NUMBER",
        MS_CANDIDATE_IDENTIFIER = 0x8054 "MS-CANDIDATE-IDENTIFIER",
        MS_SERVICE_QUALITY = 0x8055 "MS-SERVICE-QUALITY",
        MS_IMPLEMENTATION_VERSION = 0x8070 "MS-IMPLEMENTATION-VERSION",
        MS_ALTERNATE_MAPPED_ADDRESS = 0x8090 "MS-ALTERNATE-MAPPED-ADDRESS",
        MS_MULTIPLEXED_TURN_SESSION_ID = 0x8095 "MS-MULTIPLEXED-TURN-SESSION-ID",
        CISCO_STUN_FLOWDATA = 0xc000 "CISCO-STUN-FLOWDATA",
        ENF_FLOW_DESCRIPTION = 0xc001 "ENF-FLOW-DESCRIPTION",
        ENF_NETWORK_STATUS = 0xc002 "ENF-NETWORK-STATUS",
        GOOG_NETWORK_INFO = 0xc057 "GOOG-NETWORK-INFO",
        GOOG_LAST_ICE_CHECK_RECEIVED = 0xc058 "GOOG-LAST-ICE-CHECK-RECEIVED",
        GOOG_MISC_INFO = 0xc059 "GOOG-MISC-INFO",
        GOOG_CONNECTION_ID = 0xc05b "GOOG-CONNECTION-ID",
        GOOG_DELTA = 0xc05c "GOOG-DELTA",
        GOOG_DELTA_ACK = 0xc05d "GOOG-DELTA-ACK",
        GOOG_DELTA_SYNC_REQ = 0xc05e "GOOG-DELTA-SYNC-REQ",
        GOOG_MESSAGE_INTEGRITY_32 = 0xc060 "GOOG-MESSAGE-INTEGRITY-32",
        META_DTLS_IN_STUN = 0xc070 "META-DTLS-IN-STUN",
        META_DTLS_IN_STUN_ACK = 0xc071 "META-DTLS-IN-STUN-ACKNOWLEDGEMENT",
        GOOG_RETRANSMIT_COUNT = 0xff00 "GOOG-RETRANSMIT-COUNT",
        GOOG_FF03 = 0xff03 "GOOG-FF03",
    }
}

impl Attribute {
    /// True when a receiver that does not know it must refuse the message (RFC 8489 §14).
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// True in the range that `WhatsApp` uses for its own attributes (0x4000 to 0x40ff).
    pub const fn is_whatsapp(self) -> bool {
        self.0 >> 8 == 0x40
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_method_follow_the_interleaved_bits_of_rfc_8489() {
        // RFC 8489 §5: Binding request 0x0001, success 0x0101; RFC 8656 §17: ChannelBind, Send, Data.
        for (raw, method, class) in [
            (0x0001, Method::BINDING, Class::Request),
            (0x0011, Method::BINDING, Class::Indication),
            (0x0101, Method::BINDING, Class::Success),
            (0x0111, Method::BINDING, Class::Error),
            (0x0016, Method::SEND, Class::Indication),
            (0x0017, Method::DATA, Class::Indication),
            (0x0109, Method::CHANNEL_BIND, Class::Success),
            (0x0113, Method::ALLOCATE, Class::Error),
            (0x0200, Method::GOOG_PING, Class::Request),
            (0x0300, Method::GOOG_PING, Class::Success),
        ] {
            let kind = MessageType(raw);
            assert_eq!((kind.method(), kind.class()), (method, class), "{raw:#06x}");
        }
    }

    #[test]
    fn names_cover_dialects_and_unknowns_keep_their_number() {
        assert_eq!(MessageType(0x0101).to_string(), "Binding success response");
        assert_eq!(MessageType(0x0115).to_string(), "Data indication (MS-TURN)");
        assert_eq!(MessageType(0x0804).to_string(), "WhatsApp 0x0804");
        assert_eq!(Attribute(0xc057).to_string(), "GOOG-NETWORK-INFO");
        assert_eq!(Attribute(0x4002).to_string(), "0x4002");
        assert!(Attribute(0x4002).is_whatsapp());
        assert!(!Attribute::SOFTWARE.is_comprehension_required());
    }
}
