//! Verbs of the audit log.

macro_rules! verbs {
    ($($name:ident = $text:literal;)*) => {$(
        #[doc = concat!("`", $text, "`")]
        pub const $name: &str = $text;
    )*};
}

verbs! {
    USER_ADDED = "user.added";
    ROLE_CHANGED = "user.role_changed";
    DISABLED = "user.disabled";
    ENABLED = "user.enabled";
    INVITED = "user.invited";
    RESET = "user.reset";
    ERASED = "user.erased";
    EXPORTED = "user.exported";
    SIGNED_IN = "session.begun";
    REFUSED = "session.refused";
    PROVEN = "session.proven";
    SIGNED_OUT = "session.ended";
    OTHERS_SIGNED_OUT = "session.others_ended";
    SET_UP_LINK = "set_up.link";
    PASSWORD_CHANGED = "password.changed";
    TOTP_ADDED = "totp.added";
    TOTP_REMOVED = "totp.removed";
    CODES_MADE = "recovery.made";
    CODE_USED = "recovery.used";
    PASSKEY_ADDED = "passkey.added";
    PASSKEY_REMOVED = "passkey.removed";
    WALLET_LINKED = "wallet.linked";
    WALLET_REMOVED = "wallet.removed";
    TOKEN_MADE = "token.made";
    TOKEN_REVOKED = "token.revoked";
}
