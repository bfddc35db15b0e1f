//! The settings of a ring.

use crate::ring::{Hash, Probing, Slack, Spec, SpecError, Virtual};

/// The flags of a ring's [`Spec`]. What is not set is as the preset has it, or else the default.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecArgs {
    /// Start from this preset; what is set beside it overrides it
    #[arg(long)]
    pub preset: Option<Preset>,
    /// How many slots the ring has
    #[arg(long, value_name = "M")]
    pub slots: Option<u32>,
    /// Virtual servers for each server, or 'full': every slot has an owner of its own
    #[arg(long = "virtual", value_name = "K|full")]
    pub virtual_servers: Option<Virtual>,
    /// With 'full': how much more than its share a server may own, such as 0.01
    #[arg(long, value_name = "PART")]
    pub slack: Option<Slack>,
    /// quadratic, prime, sha256, xxh3 or polynomial:a,b,c/d,e,f,g
    #[arg(long)]
    pub hash: Option<Hash>,
    /// With virtual servers: linear or quadratic
    #[arg(long)]
    pub probing: Option<Probing>,
}

/// A named set of settings.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The assignment's: 512 slots, 9 virtual servers, linear probing, the quadratic hash.
    Assignment,
}

impl SpecArgs {
    /// The spec that these flags mean, validated.
    pub fn spec(&self) -> Result<Spec, SpecError> {
        let base = match self.preset {
            Some(Preset::Assignment) => Spec::assignment(),
            None => Spec::default(),
        };
        let spec = Spec {
            slots: self.slots.unwrap_or(base.slots),
            placement: self.virtual_servers.unwrap_or(base.placement),
            probing: self.probing.unwrap_or(base.probing),
            hash: self.hash.unwrap_or(base.hash),
            slack: self.slack.unwrap_or(base.slack),
        };
        spec.validate()?;
        Ok(spec)
    }
}
