//! Permissions: what a client may not do never reaches the store.
//!
//! The table is [`Permissions`]. A server does not let a restricted client change what exists either: a put under a name
//! that is taken must bring the bytes that are there.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gabion_core::backend::{
    Action, Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Permissions, Prefix, PutMode,
};
use gabion_core::error::{Error, ErrorKind, Result};

/// A store of which only a part may be used.
#[derive(Debug)]
pub struct PermitBackend {
    inner: Arc<dyn Backend>,
    permissions: Permissions,
    /// Whether a restricted put is compared with what is there.
    compares: bool,
}

impl PermitBackend {
    /// Lets through to `inner` what a client asks for that keeps to its permissions by itself.
    pub fn new(inner: Arc<dyn Backend>, permissions: Permissions) -> Self {
        Self { inner, permissions, compares: false }
    }

    /// Lets through to `inner` what a client is permitted that may be hostile.
    pub fn strict(inner: Arc<dyn Backend>, permissions: Permissions) -> Self {
        Self { inner, permissions, compares: !permissions.may_delete() }
    }

    fn check(&self, action: Action, operation: &'static str, name: &ObjectName) -> Result<()> {
        if self.permissions.allow(action, name) { Ok(()) } else { Err(self.refusal(operation, name)) }
    }

    fn refusal(&self, operation: &'static str, name: &ObjectName) -> Error {
        Error::new(ErrorKind::PermissionDenied, operation).with("object", name).with("permissions", self.permissions)
    }

    /// Refuses a put that would change an object.
    async fn check_same(&self, name: &ObjectName, payload: &Payload) -> Result<()> {
        let range = ByteRange::All { limit: payload.len() as u64 };
        match self.inner.get(name, range).await {
            Ok(there) if payload.has_bytes(&there) => Ok(()),
            Ok(_) => Err(self.taken(name)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == ErrorKind::LimitExceeded => Err(self.taken(name)),
            Err(error) => Err(error),
        }
    }

    fn taken(&self, name: &ObjectName) -> Error {
        self.refusal("put object", name).with("reason", "there is another object of that name")
    }
}

#[async_trait]
impl Backend for PermitBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        let inner = self.inner.capabilities();
        let permissions = inner.permissions.max(self.permissions);
        Capabilities { permissions, replace_existing: inner.replace_existing && permissions.may_delete(), ..inner }
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        match mode {
            PutMode::Write => self.check(Action::Put, "put object", name)?,
            PutMode::ReplaceExisting => self.check(Action::Replace, "replace object", name)?,
        }
        if self.compares {
            self.check_same(name, &payload).await?;
        }
        self.inner.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        self.check(Action::Get, "get object", name)?;
        self.inner.get(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.check(Action::List, "head object", name)?;
        self.inner.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.check(Action::Delete, "delete object", name)?;
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::backend::MemoryBackend;

    use super::super::testing::{keeps_the_contract, named, runtime};
    use super::*;

    #[test]
    fn with_all_permissions_it_keeps_the_contract() {
        keeps_the_contract(|inner| Arc::new(PermitBackend::new(inner, Permissions::All)));
    }

    #[test]
    fn what_is_not_permitted_changes_nothing() {
        runtime().block_on(async {
            let store = Arc::new(MemoryBackend::new());
            let (config, segment) = (named("config"), named("segments/a"));
            store.put(&config, b"old".to_vec().into(), PutMode::Write).await.unwrap();
            for permissions in [Permissions::NoDelete, Permissions::WriteOnly, Permissions::ReadOnly] {
                let client = PermitBackend::new(Arc::clone(&store) as _, permissions);
                assert_eq!(client.capabilities().permissions, permissions);
                let refused = [
                    client.put(&config, b"new".to_vec().into(), PutMode::Write).await,
                    client.put(&config, b"old".to_vec().into(), PutMode::ReplaceExisting).await,
                    client.delete(&config).await,
                    client.delete(&named("archives/nothing")).await,
                    client.put(&named("removed/a.b"), Payload::default(), PutMode::Write).await,
                ];
                for result in refused {
                    let error = result.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{permissions}");
                    assert_eq!(error.context("permissions"), Some(permissions.name()));
                }
                let put = client.put(&segment, b"data".to_vec().into(), PutMode::Write).await;
                assert_eq!(put.is_ok(), permissions != Permissions::ReadOnly);
                let got = client.get(&segment, ByteRange::WHOLE).await;
                assert_eq!(got.is_ok(), permissions != Permissions::WriteOnly, "{permissions}");
                assert_eq!(client.head(&segment).await.unwrap().bytes, 4);
            }
            assert_eq!(store.get(&config, ByteRange::WHOLE).await.unwrap(), "old");
        });
    }

    #[test]
    fn an_object_takes_no_other_bytes() {
        runtime().block_on(async {
            let store = Arc::new(MemoryBackend::new());
            let client = PermitBackend::strict(Arc::clone(&store) as _, Permissions::NoDelete);
            let name = named("segments/a");
            let payload = || Payload::from_pieces(vec![Bytes::from_static(b"da"), Bytes::from_static(b"ta")]);
            client.put(&name, payload(), PutMode::Write).await.unwrap();
            client.put(&name, payload(), PutMode::Write).await.unwrap();
            for other in [&b"dat"[..], b"datas", b"dato", b""] {
                let error = client.put(&name, other.to_vec().into(), PutMode::Write).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                assert!(error.context("reason").is_some());
            }
            assert_eq!(store.get(&name, ByteRange::WHOLE).await.unwrap(), "data");
        });
    }
}
