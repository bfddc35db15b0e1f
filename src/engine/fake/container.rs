//! One container of the fake engine.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::{
    engine::{Instance, State},
    name::InstanceId,
};

/// A container, whoever's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Container {
    /// What it goes by.
    pub(crate) name: String,
    /// The deployment and the instance on its labels, if it has labels.
    pub(crate) labels: Option<(&'static str, Instance)>,
    /// Alive and silent.
    pub(crate) frozen: bool,
    /// Whether anything from outside was done to it.
    pub(crate) harmed: bool,
    pub(super) answers_from: Option<Instant>,
}

impl Container {
    pub(super) fn is(&self, id: &InstanceId) -> bool {
        self.labels.as_ref().is_some_and(|(_, instance)| instance.id == *id)
    }

    /// Whether this deployment's.
    pub(crate) fn is_of(&self, deployment: &str) -> bool {
        self.labels.as_ref().is_some_and(|(of, _)| *of == deployment)
    }

    /// Whether it runs, where it is an instance.
    pub(crate) fn state(&self) -> Option<State> {
        self.labels.as_ref().map(|(_, instance)| instance.state)
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.labels.as_ref()?.1.address()
    }

    pub(super) fn set_state(&mut self, state: State) {
        if let Some((_, instance)) = &mut self.labels {
            instance.state = state;
        }
    }

    pub(super) fn exit(&mut self, code: i32) {
        if let Some(State::Running(_)) = self.state() {
            self.set_state(State::Exited { code: Some(code), out_of_memory: false });
        }
    }

    pub(super) fn give_up_name(&mut self) {
        if let Some((_, instance)) = &self.labels {
            self.name = format!("{}--{}", instance.name, instance.id);
        }
    }

    pub(super) fn listed(&self) -> Option<Instance> {
        let (_, instance) = self.labels.as_ref()?;
        Some(Instance { holds_name: self.name == instance.name.as_str(), ..instance.clone() })
    }
}
