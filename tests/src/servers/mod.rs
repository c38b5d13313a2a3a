//! Real servers on this machine, started by tests and ended with them.

mod program;
mod proxy;
mod s3;

pub use program::{Program, free_port, moto, redis};
pub use proxy::{Fault, Proxy, Request};
pub use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY, url};
