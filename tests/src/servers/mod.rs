//! Real servers on this machine, started by tests and ended with them.

mod azurite;
mod cutter;
mod metadata;
mod program;
mod proxy;
mod s3;
mod webdav;

pub use azurite::{AZURE_KEY, azurite, azurite_url};
pub use cutter::Cutter;
pub use metadata::MetadataServer;
pub use program::{Program, free_port, google_url, moto, redis, redis_at};
pub use proxy::{Fault, Proxy, Request};
pub use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY, url};
pub use webdav::{WEBDAV_PASSWORD, WEBDAV_USER, webdav, webdav_at, webdav_url};
