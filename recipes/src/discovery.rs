//! Services that find each other: who offers what, where, with which weight.
//!
//! The layout is that of Curator's service discovery with its JSON serializer: `BASE/NAME/ID` holds an instance.

use crate::cache::{Cache, CacheEvent, CacheEvents, Scope};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::group::PersistentNode;
use crate::names::child;
use crate::session::Ensemble;
use crate::zookeeper::ZooKeeper;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::UNIX_EPOCH;

/// One instance of a service.
///
/// Fields that are not here are not lost when Curator wrote them and this crate only reads; what this crate writes has no URI
/// template (`uriSpec` is null).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInstance {
    /// The service.
    pub name: String,
    /// The instance: unique within the service.
    pub id: String,
    /// Where it is.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Its port for TLS.
    pub ssl_port: Option<u16>,
    /// What else there is to say. Curator's Java objects have a member `@class`.
    #[serde(default)]
    pub payload: Value,
    /// When it was registered, in milliseconds since 1970.
    #[serde(rename = "registrationTimeUTC", default)]
    pub registration_time_ms: i64,
    /// Whether it goes with its session.
    #[serde(default)]
    pub service_type: ServiceType,
    /// How its URI is made; Curator's, and not looked into here.
    #[serde(default)]
    pub uri_spec: Value,
    /// Whether it is to be used. Curator leaves it out, unless it is told to write it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(enabled: &bool) -> bool {
    *enabled
}

/// Whether an instance goes with its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceType {
    /// It does.
    #[default]
    Dynamic,
    /// It stays until it is unregistered.
    Static,
    /// It stays, and nobody unregisters it.
    Permanent,
    /// It goes, and its name has a sequence number.
    DynamicSequential,
}

impl ServiceInstance {
    /// An instance at this address, which goes with its session.
    pub fn new(name: &str, id: &str, address: &str, port: u16) -> ServiceInstance {
        ServiceInstance {
            name: name.to_owned(),
            id: id.to_owned(),
            address: Some(address.to_owned()),
            port: Some(port),
            ssl_port: None,
            payload: Value::Null,
            registration_time_ms: 0,
            service_type: ServiceType::Dynamic,
            uri_spec: Value::Null,
            enabled: true,
        }
    }

    /// The same with a weight: how many times as many requests as an instance of weight 1 it is to get. It is a member `weight`
    /// of the payload.
    pub fn weight(mut self, weight: u32) -> ServiceInstance {
        match &mut self.payload {
            Value::Object(members) => drop(members.insert("weight".to_owned(), weight.into())),
            payload => *payload = serde_json::json!({ "weight": weight }),
        }
        self
    }

    /// Its weight; 1, if it says none.
    fn weight_of(&self) -> u64 {
        self.payload.get("weight").and_then(Value::as_u64).unwrap_or(1)
    }

    fn read(path: &str, data: &[u8]) -> Result<ServiceInstance> {
        serde_json::from_slice(data)
            .map_err(|error| Error::Foreign { path: path.to_owned(), problem: format!("no instance: {error}") })
    }
}

/// The services below a path. Curator's `ServiceDiscovery` on the same path sees the same.
pub struct ServiceDiscovery<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
}

/// An instance that is registered for as long as this is. See [`PersistentNode`].
pub struct Registration<E: Ensemble = ZooKeeper> {
    node: PersistentNode<E>,
    instance: ServiceInstance,
}

/// The instances of one service, as they come and go.
pub struct Instances<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    cache: Cache,
    events: CacheEvents<E>,
}

impl<E: Ensemble> ServiceDiscovery<E> {
    /// The services below this path. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str) -> ServiceDiscovery<E> {
        ServiceDiscovery { connection: connection.clone(), path: path.to_owned() }
    }

    /// Registers an instance, for as long as the registration lives. It outlasts sessions. Of the types, this is
    /// [`ServiceType::Dynamic`].
    pub async fn register(&self, mut instance: ServiceInstance) -> Result<Registration<E>> {
        if instance.service_type != ServiceType::Dynamic {
            return Err(Error::Misuse("only dynamic instances are registered"));
        }
        let now = self.connection.ensemble().system_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        instance.registration_time_ms = i64::try_from(now.as_millis()).unwrap_or_default();
        let path = child(&child(&self.path, &instance.name), &instance.id);
        let node = PersistentNode::create(&self.connection, &path, &write(&instance)?).await?;
        Ok(Registration { node, instance })
    }

    /// The names of all services, sorted. One without instances may be among them for a while.
    pub async fn services(&self) -> Result<Vec<String>> {
        match self.connection.children(&self.path).await {
            Err(Error::Client(zookeeper_client::Error::NoNode)) => Ok(vec![]),
            names => names,
        }
    }

    /// Follows the instances of a service.
    pub fn watch(&self, name: &str) -> Instances<E> {
        let (cache, events) = Cache::new(&self.connection, &child(&self.path, name), Scope::Children);
        Instances { connection: self.connection.clone(), cache, events }
    }

    /// The instances of a service, when the answers were sent.
    pub async fn instances(&self, name: &str) -> Result<Vec<ServiceInstance>> {
        let mut instances = self.watch(name);
        while instances.changed().await? != Some(CacheEvent::Complete) {}
        Ok(instances.now())
    }
}

fn write(instance: &ServiceInstance) -> Result<Vec<u8>> {
    serde_json::to_vec(instance).map_err(|_| Error::Misuse("the payload cannot be written as JSON"))
}

impl<E: Ensemble> Registration<E> {
    /// What is registered.
    pub fn instance(&self) -> &ServiceInstance {
        &self.instance
    }

    /// Changes what the instance says of itself, such as its weight or whether it is enabled; its name and id stay.
    pub async fn update(&mut self, change: impl FnOnce(&mut ServiceInstance)) -> Result<()> {
        let mut changed = self.instance.clone();
        change(&mut changed);
        changed.name.clone_from(&self.instance.name);
        changed.id.clone_from(&self.instance.id);
        self.node.set(&write(&changed)?).await?;
        self.instance = changed;
        Ok(())
    }

    /// Unregisters the instance, and returns when it is gone.
    pub async fn unregister(self) -> Result<()> {
        self.node.close().await
    }
}

impl<E: Ensemble> Instances<E> {
    /// Waits for the next change; `None` for one of what is no instance. The first ones tell of those that are there, and
    /// [`CacheEvent::Complete`] ends them. See [`CacheEvents::next`] for cuts, sessions and cancellation.
    pub async fn changed(&mut self) -> Result<Option<CacheEvent>> {
        let event = self.events.next().await?;
        let is_instance = match &event {
            CacheEvent::Created(path, cached) | CacheEvent::Changed { path, after: cached, .. } => {
                let read = ServiceInstance::read(path, &cached.data);
                if let Err(error) = &read {
                    tracing::warn!(%error, "left out");
                }
                read.is_ok()
            }
            _ => true,
        };
        Ok(is_instance.then_some(event))
    }

    /// The instances, as far as is known. Those that cannot be read are left out.
    pub fn now(&self) -> Vec<ServiceInstance> {
        let nodes = self.cache.snapshot();
        nodes.iter().filter_map(|(path, cached)| ServiceInstance::read(path, &cached.data).ok()).collect()
    }

    /// One of the enabled instances, drawn by their weights.
    pub fn pick(&self) -> Option<ServiceInstance> {
        let mut instances = self.now();
        instances.retain(|instance| instance.enabled);
        let all: u64 = instances.iter().map(ServiceInstance::weight_of).sum();
        let mut drawn = self.connection.ensemble().random().checked_rem(all)?;
        instances.into_iter().find(|instance| {
            let weight = instance.weight_of();
            let is_it = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            is_it
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Curator's serializer writes an instance in its compatible mode.
    const CURATORS: &str = r#"{"name":"web","id":"7f6b","address":"10.0.0.1","port":80,"sslPort":null,"payload":null,"registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null}"#;

    #[test]
    fn instances_are_written_as_curator_does() {
        let instance = ServiceInstance {
            registration_time_ms: 1_700_000_000_000,
            ..ServiceInstance::new("web", "7f6b", "10.0.0.1", 80)
        };
        assert_eq!(String::from_utf8(write(&instance).unwrap()).unwrap(), CURATORS);
        assert_eq!(ServiceInstance::read("/", CURATORS.as_bytes()).unwrap(), instance);
    }

    #[test]
    fn what_curator_says_besides_is_read() {
        let text = r#"{"name":"web","id":"1","address":"a","port":1,"sslPort":443,"payload":{"@class":"com.example.Payload","zone":"b"},"registrationTimeUTC":1,"serviceType":"DYNAMIC_SEQUENTIAL","uriSpec":{"parts":[{"value":"scheme","variable":true}]},"enabled":false,"later":1}"#;
        let instance = ServiceInstance::read("/", text.as_bytes()).unwrap();
        assert_eq!((instance.ssl_port, instance.enabled), (Some(443), false));
        assert_eq!(instance.service_type, ServiceType::DynamicSequential);
        assert_eq!(instance.payload["zone"], "b");
        assert!(ServiceInstance::read("/", b"{}").is_err());
    }
}
