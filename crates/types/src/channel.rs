//! The channels of an approval workflow whose address is a secret.

/// A channel whose whole address is secret: whoever knows it can post there. Its fields are secrets of
/// the workflow under `<channel>.<field>`; a field that ends in `url` is an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedChannel {
    /// The spelling in configuration and in the outbox.
    pub name: &'static str,
    /// What it needs.
    pub required: &'static [&'static str],
    /// What it may have.
    pub optional: &'static [&'static str],
}

/// Every such channel. One more is a line here and a file in `preloop-notify`.
pub const SEALED_CHANNELS: &[SealedChannel] = &[
    SealedChannel { name: "slack", required: &["webhook_url"], optional: &[] },
    SealedChannel { name: "mattermost", required: &["webhook_url"], optional: &[] },
    SealedChannel { name: "ntfy", required: &["url"], optional: &["token"] },
];

impl SealedChannel {
    /// The channel of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SEALED_CHANNELS.iter().find(|channel| channel.name == name)
    }

    /// Its fields, those it needs first.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.required.iter().chain(self.optional).copied()
    }
}
