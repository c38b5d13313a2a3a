//! Serves a directory as an S3 bucket, each request held back for some milliseconds:
//! `cargo run --release -p gabion-tests --bin s3-server DIRECTORY [MILLISECONDS]`. For measurements and trials.

use std::path::Path;
use std::time::Duration;

use gabion_tests::servers::{ACCESS_KEY, Fault, Proxy, S3Server, SECRET_KEY, url};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(directory) = arguments.first() else { return Err("usage: s3-server DIRECTORY [MILLISECONDS]".into()) };
    let delay = Duration::from_millis(arguments.get(1).map_or(Ok(0), |text| text.parse())?);
    let server = S3Server::start(Path::new(directory));
    // Without a delay nothing stands between.
    let proxy = (!delay.is_zero()).then(|| Proxy::start(server.port, move |_| Fault::Delay(delay)));
    let port = proxy.as_ref().map_or(server.port, |proxy| proxy.port);
    println!(
        "export AWS_ACCESS_KEY_ID='{ACCESS_KEY}' AWS_SECRET_ACCESS_KEY='{SECRET_KEY}' GABION_REPO='{}'",
        url(port, "r")
    );
    loop {
        std::thread::park();
    }
}
